"""The gate, the breakers and the operator's words (semantics section 4): limits hit exactly and missed by a cent."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oracle.sheet import DAYS, daily, play, submit

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = DAYS
FLAT = (100, 100, 100, 100)
OPEN_CAPS = ("risk.max_position=0", "risk.max_order_value=0", "risk.max_order_fraction=0")


@pytest.mark.parametrize(
    ("px", "order", "status"),
    [
        (99.99, {"qty": 1}, "denied MIN_NOTIONAL"),  # $99.99 is below $100
        (100, {"qty": 1}, "filled"),
        (100, {"qty": 200}, "filled"),  # exactly 20 % of 100,000
        (100, {"qty": 201}, "denied MAX_POSITION"),
        (100, {"qty": 501}, "denied MAX_NOTIONAL"),  # $50,100
        (100, {"qty": 0}, "denied BAD_QTY"),
        (100, {"qty": -5}, "denied BAD_QTY"),
        (100, {"qty": 1.5}, "denied BAD_QTY"),  # whole shares
        (100, {"qty": 10, "type": "limit", "limit_px": 90}, "expired"),  # exactly 10 % away
        (100, {"qty": 10, "type": "limit", "limit_px": 89.99}, "denied PRICE_COLLAR"),
        (100, {"qty": 10, "type": "limit", "limit_px": 110.01}, "denied PRICE_COLLAR"),
        (100, {"qty": 10, "type": "stop", "stop_px": 110.01}, "denied PRICE_COLLAR"),
        (100, {"qty": 10, "type": "limit"}, "denied BAD_PRICE"),
        (100, {"qty": 10, "limit_px": 100}, "denied BAD_PRICE"),
        (100, {"qty": 10, "type": "limit", "limit_px": 0}, "denied BAD_PRICE"),
        (100, {"qty": 10, "type": "stop"}, "denied BAD_PRICE"),
        (100, {"qty": 10, "symbol": "ZZZ"}, "denied UNKNOWN_SYMBOL"),
        (100, {"qty": 10, "type": "nonsense"}, "denied BAD_TYPE"),
        (100, {"qty": 10, "tif": "nonsense"}, "denied BAD_TIF"),
    ],
)
def test_limits_of_the_plan(tmp_path: Path, px: float, order: dict[str, Any], status: str) -> None:
    """Each limit where it begins; what is denied carries a stable code."""
    run = play(tmp_path, daily((px,) * 4, (px,) * 4), [submit(TUESDAY, "x", "buy", **order)], "plan")
    assert run.statuses() == {"x": status}


def test_a_denial_shows_the_numbers(tmp_path: Path) -> None:
    """What it was and what it may be."""
    script = [submit(TUESDAY, "small", "buy", 1), submit(TUESDAY, "large", "buy", 600)]
    run = play(tmp_path, daily((99.5,) * 4, (99.5,) * 4), script, "plan")
    assert "99.5 against 100" in run.order("small")["reason"]
    assert "59700 against 50000" in run.order("large")["reason"]


def test_the_order_limit_grows_with_equity(tmp_path: Path) -> None:
    """With 1,000,000 an order may have 20 % of it: $200,000 instead of $50,000."""
    bars = daily(FLAT, FLAT)
    script = [submit(TUESDAY, "fits", "buy", 2000), submit(TUESDAY, "over", "buy", 2001)]
    run = play(tmp_path, bars, script, "plan", ["portfolio.cash=1000000", "risk.max_position=0.5"])
    assert run.statuses() == {"fits": "filled", "over": "denied MAX_NOTIONAL"}


def test_frictionless_denies_only_what_is_malformed(tmp_path: Path) -> None:
    """The limits are open, the form is not."""
    script = [
        submit(TUESDAY, "far", "buy", 1, type="limit", limit_px=1),
        submit(TUESDAY, "tiny", "buy", 1),
        submit(TUESDAY, "huge", "buy", 990),
        submit(TUESDAY, "bad", "buy", -1),
        submit(TUESDAY, "none", "buy", 1, type="limit"),
        submit(TUESDAY, "tiny", "buy", 1),
    ]
    run = play(tmp_path, daily(FLAT, FLAT), script)
    got = [(r["client_order_id"], r["status"]) for r in run.table("orders")]
    assert got == [
        ("far", "expired"),
        ("tiny", "filled"),
        ("huge", "filled"),
        ("bad", "denied"),
        ("none", "denied"),
        ("tiny", "denied"),
    ]


@pytest.mark.parametrize(("profile", "places"), [("plan", 10), ("swing", 5), ("frictionless", 12)])
def test_number_of_positions(tmp_path: Path, profile: str, places: int) -> None:
    """Ten names, five for swing, any number without limits."""
    names = [f"S{i:02d}" for i in range(12)]
    header, *first = "\n".join(daily(FLAT, FLAT, symbol=n, header=n == "S00") for n in names).splitlines()
    script = [submit(TUESDAY, n, "buy", 10, symbol=n) for n in names]
    run = play(tmp_path, "\n".join([header, *sorted(first)]), script, profile, ["risk.max_heat=0"])
    assert [r["status"] for r in run.table("orders")] == ["filled"] * places + ["denied"] * (12 - places)
    assert all("MAX_POSITIONS" in r["reason"] for r in run.table("orders")[places:])


def test_swing_has_two_percent_of_equity_at_risk(tmp_path: Path) -> None:
    """Ten shares at 100 without a stop are 1,000 at risk: two names of 100,000 are what 2 % allow."""
    names = [f"S{i:02d}" for i in range(4)]
    header, *first = "\n".join(daily(FLAT, FLAT, symbol=n, header=n == "S00") for n in names).splitlines()
    script = [submit(TUESDAY, n, "buy", 10, symbol=n) for n in names]
    run = play(tmp_path, "\n".join([header, *sorted(first)]), script, "swing")
    assert [r["status"] for r in run.table("orders")] == ["filled"] * 2 + ["denied"] * 2
    assert all(r["reason"].startswith("MAX_HEAT") for r in run.table("orders")[2:])


@pytest.mark.parametrize(
    ("close", "status"),
    [
        (98.3, "filled"),  # 1.7 %: nothing
        (98.15, "filled"),  # 1.85 %: a warning
        (97.9, "denied ENTRIES_BLOCKED"),  # 2.1 %
        (94.8, "denied HALTED"),  # 5.2 %
    ],
)
def test_the_days_loss(tmp_path: Path, close: float, status: str) -> None:
    """All cash in one share without costs: the close's loss is the account's; sales always pass; next day is new."""
    bars = daily(FLAT, FLAT, (100, 100, close, close), (close,) * 4, (close,) * 4)
    after = f"{WEDNESDAY}T21:00:00Z"
    script = [
        submit(MONDAY, "b", "buy", 990),
        submit(after, "entry", "buy", 2),
        submit(after, "exit", "sell", 5),
        submit(f"{THURSDAY}T21:00:00Z", "next", "buy", 2),
    ]
    free = [
        "broker.slippage_bps=0", "broker.spread_bps=0", "broker.impact=none", "broker.commission_rate=0",
        "risk.cash_reserve=1", *OPEN_CAPS,
    ]  # fmt: skip
    run = play(tmp_path, bars, script, "plan", free)
    assert run.statuses() == {"b": "filled", "entry": status, "exit": "filled", "next": "filled"}


@pytest.mark.parametrize(("resume", "statuses"), [(0, ["denied", "denied"]), (1, ["denied", "filled"])])
def test_drawdown_stays_latched_unless_told_otherwise(tmp_path: Path, resume: int, statuses: list[str]) -> None:
    """20 % below the high-water mark halts; in replay it stays so, or for the sessions that were asked for."""
    bars = daily(FLAT, (100, 100, 78, 78), *[(78,) * 4] * 3)
    script = [
        submit(MONDAY, "b", "buy", 990),
        {"at": f"{TUESDAY}T22:00:00Z", "resume": {"reason": "refused: the breaker is latched"}},
        submit(f"{TUESDAY}T23:00:00Z", "one", "buy", 2),
        submit(f"{WEDNESDAY}T21:00:00Z", "two", "buy", 2),
    ]
    sets = ["risk.cash_reserve=1", "broker.commission_rate=0", f"risk.replay_resume_sessions={resume}", *OPEN_CAPS]
    run = play(
        tmp_path, bars, script, "plan", [*sets, "broker.slippage_bps=0", "broker.spread_bps=0", "broker.impact=none"]
    )
    assert [run.order(n)["status"] for n in ("one", "two")] == statuses


def test_halt_reduce_resume_kill(tmp_path: Path) -> None:
    """Halt cancels what adds risk and lets exits pass; resume opens; reduce lets only exits pass; kill ends all."""
    bars = daily(FLAT, FLAT, FLAT, FLAT, FLAT)
    script = [
        submit(MONDAY, "b", "buy", 50),
        submit(TUESDAY, "adds", "buy", 5, type="limit", limit_px=95, tif="gtc"),
        submit(TUESDAY, "protects", "sell", 5, type="stop", stop_px=95, tif="gtc"),
        {"at": f"{TUESDAY}T01:00:00-05:00", "halt": {"reason": "lunch"}},
        submit(f"{TUESDAY}T02:00:00-05:00", "halted_buy", "buy", 1),
        submit(f"{TUESDAY}T02:00:00-05:00", "halted_sell", "sell", 1),
        {"at": WEDNESDAY, "resume": {"reason": "back"}},
        submit(WEDNESDAY, "resumed_buy", "buy", 1),
        {"at": THURSDAY, "reduce": {"reason": "careful"}},
        submit(THURSDAY, "reduced_buy", "buy", 1),
        submit(THURSDAY, "reduced_sell", "sell", 1),
        submit(THURSDAY, "working", "sell", 1, type="limit", limit_px=105, tif="gtc"),
        {"at": FRIDAY, "kill": {"reason": "over"}},
        submit(FRIDAY, "killed_sell", "sell", 1),
    ]
    run = play(tmp_path, bars, script, "plan")
    assert run.statuses() == {
        "b": "filled",
        "adds": "canceled",
        "protects": "canceled",  # by the kill, not by the halt
        "halted_buy": "denied HALTED",
        "halted_sell": "filled",
        "resumed_buy": "filled",
        "reduced_buy": "denied REDUCING",
        "reduced_sell": "filled",
        "working": "canceled",
        "killed_sell": "denied KILLED",
    }
    assert (run.order("adds")["reason"], run.order("protects")["reason"]) == ("lunch", "over")
    [position] = run.table("positions")
    assert position["qty"] == "49"  # a kill closes nothing


@pytest.mark.parametrize("when", [f"{TUESDAY}T15:00:00Z", f"{TUESDAY}T21:00:00Z", WEDNESDAY])
def test_flatten_closes_every_position(tmp_path: Path, when: str) -> None:
    """In mid-session, at the very close or over night: the next open closes what is held, then nothing enters."""
    bars = daily(FLAT, FLAT, (99, 99, 99, 99), FLAT)
    script = [
        submit(MONDAY, "b", "buy", 50),
        submit(TUESDAY, "rests", "buy", 5, type="limit", limit_px=95, tif="gtc"),
        {"at": when, "flatten": {"reason": "enough"}},
        submit(f"{WEDNESDAY}T20:59:00Z", "again", "buy", 5),
    ]
    run = play(tmp_path, bars, script)
    assert [(f["side"], f["qty"], f["price"]) for f in run.table("fills")] == [
        ("buy", "50", "100"),
        ("sell", "50", "99"),
    ]
    assert (run.order("rests")["status"], run.order("again")["status"]) == ("canceled", "denied")
    assert run.table("positions")[0]["qty"] == "0"


def test_a_flatten_is_worked_until_nothing_is_left(tmp_path: Path) -> None:
    """Where participation lets only a part go, the rest goes on the next days."""
    bars = daily((100, 100, 100, 100, 10_000), *[(100, 100, 100, 100, 200)] * 4)
    script = [submit(MONDAY, "b", "buy", 50), {"at": TUESDAY, "flatten": {"reason": "x"}}]
    run = play(tmp_path, bars, script, sets=["broker.participation=0.1"])
    assert [f["qty"] for f in run.table("fills")] == ["50", "20", "20", "10"]


STRATEGY = '''
from actors.api import Params, Signal, Window, strategy


class P(Params):
    confidence: float = 0.9


@strategy(name="always", params=P, lookback=1, horizon=1)
def always(w: Window, p: P) -> Signal:
    """Want every symbol."""
    return Signal(1.0, confidence=p.confidence)
'''


def strategy_file(tmp_path: Path) -> str:
    """Write a strategy that always buys."""
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "always.py"
    path.write_text(STRATEGY)
    return f"{path}:always"


@pytest.mark.parametrize(("confidence", "buys"), [("0.649", 0), ("0.65", 1)])
def test_confidence_is_gated_at_65_percent(tmp_path: Path, confidence: str, buys: int) -> None:
    """At the gate a signal passes, below it does not."""
    sets = [f"predictor.params.always.confidence={confidence}", "portfolio.stop_loss=0", "portfolio.take_profit=0"]
    run = play(tmp_path, daily(FLAT, FLAT, FLAT), (), "plan", sets, strategy=strategy_file(tmp_path / "s"))
    assert len(run.table("orders")) == buys
    gates = {row["gate"] for row in run.table("signals")}
    assert gates == {"passed" if buys else "cut"}


def test_automatic_exits_of_a_strategys_lot(tmp_path: Path) -> None:
    """20 % of 100,000 at 100 are 200 shares; 3 % under the entry price they are stopped, in the bar after the entry."""
    bars = daily(FLAT, (100, 101, 99, 100), (100, 100, 96, 97), (97, 98, 96, 97))
    free = ["broker.slippage_bps=0", "broker.spread_bps=0", "broker.impact=none"]
    run = play(tmp_path, bars, (), "plan", free, strategy=strategy_file(tmp_path / "s"))
    assert [(f["side"], f["qty"], f["price"], f["px_source"]) for f in run.table("fills")] == [
        ("buy", "200", "100", "open"),
        ("sell", "200", "97", "intrabar"),
    ]
    [trade] = run.table("trades")
    assert trade["exit_reason"] == "stop_loss"
    assert Decimal(trade["pnl"]) == -600 - 20 - Decimal("19.4")
    assert Decimal(trade["mae"]) == Decimal("-0.03")
    assert trade["entry_confidence"] == "0.9"


def test_take_profit_at_ten_percent(tmp_path: Path) -> None:
    """A resting limit: traded through, at its price, without slippage; off under frictionless."""
    bars = daily(FLAT, FLAT, (100, 112, 100, 111), (111, 111, 111, 111))
    free = ["broker.slippage_bps=0", "broker.spread_bps=0", "broker.impact=none"]
    name = strategy_file(tmp_path / "s")
    run = play(tmp_path / "plan", bars, (), "plan", free, strategy=name)
    assert [(f["side"], f["price"]) for f in run.table("fills")] == [("buy", "100"), ("sell", "110")]
    assert run.table("trades")[0]["exit_reason"] == "take_profit"
    run = play(tmp_path / "free", bars, (), "frictionless", strategy=name)
    assert [f["side"] for f in run.table("fills")] == ["buy"]
