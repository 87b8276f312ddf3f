"""What a start says before somebody waits for what will not happen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.faults.killing import quotes
from tests.live_support import Daemon, daemon, minute_bars, until

TRADERLESS = """
[[portfolio]]
name = "main"
cash = {cash}
strategies = []
"""

OFTEN = "[control]\nrequests_per_s = 100000\n"


def bars(folder: Path, *, cash: int = 100_000, more: str = "") -> str:
    """Return settings that play half an hour of bars at once."""
    path = minute_bars(folder / "bars.csv", ["AAA"], minutes=30)
    feed = f'[feed.playback]\nbars = ["{path}"]\nadjustment = "raw"\nspeed = "max"\n{more}'
    return feed + TRADERLESS.format(cash=cash)


def said(d: Daemon, event: str = "configuration") -> list[str]:
    """Return the sentences of one kind in the log."""
    return [line["detail"] for line in d.logged() if line["event"] == event]


def status(d: Daemon) -> dict[str, Any]:
    """Return the status."""
    with d.client() as client:
        return client.call("status")


def test_changed_cash_of_a_portfolio_that_is_funded_is_told_to_change_nothing(tmp_path: Path) -> None:
    """Once, at the start behind the change, with the way to do it; what is held stays what it was."""
    with daemon(tmp_path, bars(tmp_path)) as d:
        d.start()
        assert (d.stop(), said(d)) == (0, [])
        d.write(bars(tmp_path, cash=200_000))
        d.start()
        (sentence,) = said(d)
        assert sentence == (
            "portfolio main: cash was changed from 100,000 to 200,000, which changes nothing: the opening deposit is "
            "booked once, when the ledger begins; use tradingctl cash deposit or withdraw"
        )
        assert (status(d)["cash"], sentence in status(d)["notices"]) == (100_000, True)
        assert d.stop() == 0
        d.start()
        assert len(said(d)) == 1
        assert d.stop() == 0


def test_a_start_says_what_it_plays_and_behind_what_it_goes_on_only_if_it_does(tmp_path: Path) -> None:
    """A fresh one begins at the beginning."""
    with daemon(tmp_path, bars(tmp_path)) as d:
        for n in range(2):
            d.start()
            assert d.stop() == 0
            ready = [line["playing"] for line in d.logged() if line["event"] == "ready"]
            assert ("going on behind 2024-01-02T" in ready[n]) == (n == 1), ready
            assert "bars.csv, 1 symbol, 2024-01-02, as fast as it can" in ready[n]


def test_a_shutdown_says_what_stays_open_and_who_may_start_it_again(tmp_path: Path) -> None:
    """The harness is a service manager; a bar a second never comes near the order."""
    with daemon(tmp_path, bars(tmp_path, more=OFTEN).replace('"max"', "60")) as d:
        d.start()
        with d.client() as client:
            until(20, lambda: client.call("status")["journal"]["seq"] > 2, "a first bar")
        order = ("--symbol", "AAA", "--side", "buy", "--qty", "100", "--type", "limit", "--limit-px", "95")
        placed = d.ctl("order", "submit", *order, "--tif", "gtc")
        assert placed.returncode == 0, placed
        done = d.ctl("shutdown")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            "shutdown: the daemon ends; 1 working order stays as it is; "
            "a service manager may start it again: systemctl stop tradingd ends it for good\n"
        )
        assert d.wait() == 0


def test_ticks_without_bars_are_told_to_decide_nothing(tmp_path: Path) -> None:
    """Otherwise everything looks well and no strategy ever does anything. Market orders meet ticks, so nothing else."""
    path = quotes(tmp_path / "quotes.csv", seconds=5, rate=10)
    feed = f'[feed.playback]\nquotes = ["{path}"]\nspeed = "max"\n'
    feed += '[predictor]\nstrategies = ["buy_and_hold"]\n[broker]\nsame_event_fill = true\n'
    with daemon(tmp_path, feed) as d:
        d.start()
        decides, fills = said(d)
        assert "no bars: strategies decide on bars, so they decide nothing here" in decides
        assert "broker.same_event_fill does nothing where quotes or trades are matched" in fills
        assert {decides, fills} <= set(status(d)["notices"])
        assert d.stop() == 0


def test_ticks_without_bars_are_enough_for_orders(tmp_path: Path) -> None:
    """Nobody decides, so nothing is missing: there is nothing to say."""
    path = quotes(tmp_path / "quotes.csv", seconds=5, rate=10)
    feed = f'[feed.playback]\nquotes = ["{path}"]\nspeed = "max"\n'
    with daemon(tmp_path, feed + TRADERLESS.format(cash=100_000)) as d:
        d.start()
        assert said(d) == []
        assert d.stop() == 0


def test_a_beginning_without_decisions_is_told_how_long_it_may_last(tmp_path: Path) -> None:
    """Only at the beginning, and only where less is shown beforehand than strategies look back over."""
    feed = '[feed.playback]\nsource = "sp500"\nfrom = 2019-01-01\nto = 2019-01-05\nspeed = "max"\n'
    cold = feed + '[predictor]\nstrategies = ["price_model"]\nwarmup = 60\n'
    with daemon(tmp_path, cold) as d:
        for _ in range(2):
            d.start()
            assert d.stop() == 0
        (sentence,) = said(d, "warm-up")
        assert sentence == (
            "strategies look back over 64 sessions, and predictor.warmup shows them 60 before the first: 4 may pass "
            "without a decision"
        )
    (tmp_path / "warm").mkdir()
    with daemon(tmp_path / "warm", cold.replace("60", "64")) as d:
        d.start()
        assert (d.stop(), said(d, "warm-up")) == (0, [])


def test_another_universe_is_refused_with_what_came_and_went(tmp_path: Path) -> None:
    """The ids of the ledger would name other shares; the sentence names some, counts the rest, and the way out."""
    names = [f"S{n}" for n in range(8)]
    path = minute_bars(tmp_path / "many.csv", names, minutes=5)
    several = f'[feed.playback]\nbars = ["{path}"]\nadjustment = "raw"\nspeed = "max"\n' + TRADERLESS.format(cash=1)
    with daemon(tmp_path, several) as d:
        d.start()
        assert d.stop() == 0
        d.write(several + '[universe]\nsymbols = ["S1"]\n')
        d.spawn()
        assert d.wait() == 78
        (refused,) = [line for line in d.logged() if line["event"] == "start refused"]
        assert refused["reason"] == (
            "the ledger was written for 8 symbols, the data have 1 (new: none; gone: S0, S2, S3, S4, S5 and 2 more)"
        )
        assert "paths.state_dir" in refused["remedy"]
