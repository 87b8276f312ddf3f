"""What a replay tells the operator beside its figures."""

from __future__ import annotations

import csv
from pathlib import Path

from tests_support import replay


def test_sessions_without_bars_are_told(tmp_path: Path) -> None:
    """A file with a hole of three sessions: they count as sessions, so the reader hears of them."""
    bars = tmp_path / "bars.csv"
    days = ["2022-03-01", "2022-03-02", "2022-03-08", "2022-03-09"]
    bars.write_text("ts,symbol,close\n" + "".join(f"{day},AAA,{100 + n}\n" for n, day in enumerate(days)), "utf-8")
    result = replay(tmp_path / "out", strategy="buy_and_hold", bars=(bars,))
    assert "3 of 7 sessions have no bar of any symbol; they count, with a return of 0" in result.notices
    whole = replay(tmp_path / "whole", strategy="buy_and_hold", bars=(bars,), date_to=20220302)
    assert [n for n in whole.notices if "no bar of any symbol" in n] == []


def test_what_ticks_cannot_give_is_told(tmp_path: Path) -> None:
    """A strategy without bars, and a switch for bars; the same switch on bars alone is no news."""
    quotes, bars = tmp_path / "quotes.csv", tmp_path / "bars.csv"
    quotes.write_text("ts,symbol,bid_px,ask_px\n2024-03-04T15:00:00Z,ABC,50,50.02\n", "utf-8")
    bars.write_text("ts,symbol,close\n2024-03-04,ABC,50\n2024-03-05,ABC,51\n", "utf-8")
    same = ("broker.same_event_fill=true",)
    ticks = replay(tmp_path / "ticks", strategy="buy_and_hold", quotes=(quotes,), sets=same)
    assert len([n for n in ticks.notices if "so they decide nothing here; give bars" in n]) == 1
    assert len([n for n in ticks.notices if n.startswith("broker.same_event_fill does nothing where quotes")]) == 1
    alone = replay(tmp_path / "alone", strategy="buy_and_hold", bars=(bars,), sets=same)
    assert [n for n in alone.notices if "same_event_fill" in n or "decide nothing" in n] == []


def test_what_the_denial_of_an_unknown_symbol_says_can_be_done(tmp_path: Path) -> None:
    """Prices of it, here quotes beside the bars of another, are enough; where symbols are named it has to be, too."""
    bars, quotes, script = tmp_path / "bars.csv", tmp_path / "quotes.csv", tmp_path / "orders.jsonl"
    bars.write_text("ts,symbol,close\n2024-03-04T15:00:00Z,BBB,50\n2024-03-04T15:01:00Z,BBB,51\n", "utf-8")
    rows = [f"2024-03-04T15:00:{second:02}Z,AAA,50,50.02\n" for second in (5, 10, 15)]
    quotes.write_text("ts,symbol,bid_px,ask_px\n" + "".join(rows), "utf-8")
    order = '{"id": "a", "symbol": "AAA", "side": "buy", "qty": 1}'
    script.write_text(f'{{"at": "2024-03-04T15:00:07Z", "submit": {order}}}\n', "utf-8")
    steps: list[tuple[tuple[Path, ...], tuple[str, ...], str]] = [
        ((), (), "denied"),
        ((quotes,), (), "filled"),
        ((quotes,), ('universe.symbols=["BBB"]',), "denied"),
        ((quotes,), ('universe.symbols=["AAA","BBB"]',), "filled"),
    ]
    for n, (ticks, sets, status) in enumerate(steps):
        run = replay(tmp_path / str(n), profile="frictionless", bars=(bars,), quotes=ticks, orders=script, sets=sets)
        (row,) = csv.DictReader((run.folder / "orders.csv").read_text("utf-8").splitlines())
        assert row["status"] == status, (n, row["reason"])
        if status == "denied":
            assert "give prices of it, and name it in universe.symbols where that is set" in row["reason"]


def test_refused_cancels_replaces_and_commands_of_a_script_are_told(tmp_path: Path) -> None:
    """They have no row in orders.csv, so the run says it."""
    bars = tmp_path / "bars.csv"
    bars.write_text("ts,symbol,close\n2024-03-04,ABC,50\n2024-03-05,ABC,51\n2024-03-06,ABC,52\n")
    script = tmp_path / "orders.jsonl"
    script.write_text('{"at": "2024-03-05", "cancel": "ghost"}\n{"at": "2024-03-05", "resume": {"reason": "x"}}\n')
    result = replay(tmp_path / "run", profile="frictionless", bars=(bars,), orders=script)
    [notice] = [n for n in result.notices if n.startswith("the script was refused")]
    assert "WRONG_STATE" in notice or "ghost: UNKNOWN_ORDER" in notice
    assert "and 1 more" in notice
