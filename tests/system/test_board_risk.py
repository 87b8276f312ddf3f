"""What the board says of breakers, locks, the restricted list and every limit, against what the core holds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from actors.messages.control import SetLimits
from actors.messages.limits import BreakerRule, PortfolioLimits, RiskLimits, SymbolLimits
from daemon.system.board import Board, build_board
from daemon.system.board_facts import ShellFacts
from daemon.system.desk import command_of
from daemon.system.order_form import FieldError
from system.wired import MINUTE, OPEN, House, make_call

SECOND = 10**9
WIDE = RiskLimits(
    replay=False,
    max_order_value=0,
    max_order_fraction=0.0,
    max_position=0.2,
    max_positions=4,
    max_leverage=2.0,
    daily_loss_halt=0.05,
    cooldown_ns=10 * MINUTE,
    stop_guard=0,
    utilization_warn=0.9,
    max_order_qty=500 * 10**8,
    order_rate=100.0,
    collar_period_ns=10 * SECOND,
    self_match_prevention=True,
    restricted=("SPY",),
    symbols={"AAPL": SymbolLimits(max_position=0.1, max_order_qty=200 * 10**8)},
    portfolios={"main": PortfolioLimits(max_positions=3)},
    breakers={
        "weekly_loss": BreakerRule(limit=0.05),
        "loss_streak": BreakerRule(limit=3.0, action="block", reset="cooling", cooling_sessions=1),
        "slippage": BreakerRule(limit=1e-9, action="block", reset="cooling", cooling_ns=5 * MINUTE, cooling_sessions=2),
        "exposure": BreakerRule(limit=1.5, action="deleverage", reset="cooling"),
        "stale_data": BreakerRule(limit=60.0, action="reduce", reset="cooling"),
        "order_rate": BreakerRule(limit=0.0),
    },
)


def board(house: House) -> Board:
    """Build the board of a house."""
    facts = ShellFacts(version="1", run_id="r", mode="playback", started_ns=0, commit_ns=0, seq=1)
    return build_board(house.core, house.universe, facts, now_ns=9 * SECOND)


def decoded(value: Any) -> Any:
    """Return a value as a client reads it."""
    return msgspec.json.Decoder(float_hook=Decimal).decode(msgspec.json.encode(value))


def limits(house: House) -> dict[str, Any]:
    """Return the rows of limits by name."""
    return {row["limit"]: row for row in decoded(board(house).limits_in_use())}


def traded() -> House:
    """Return a house that bought 95 AAPL at 100 of 100,000, and sold ten of them a dollar lower."""
    house = House(limits=WIDE)
    house.bar(100, 200, 300)
    house.submit(id="a", qty=95)
    house.bar(100, 200, 300)
    house.submit(id="b", side="sell", qty=95)
    house.bar(99, 200, 300)
    return house


def test_every_breaker_that_is_on_has_a_row_with_its_unit_and_what_it_measures() -> None:
    """One a portfolio, or one for all; those that are off are left out, the two of [risk] are always there."""
    house = House(limits=WIDE)
    house.bar(100, 200, 300)
    rows = {row["breaker"]: row for row in decoded(board(house).breakers())}
    assert list(rows) == [
        "daily_loss", "drawdown", "weekly_loss", "loss_streak", "slippage", "stale_data", "exposure",
    ]  # fmt: skip
    assert {row["state"] for row in rows.values()} == {"armed"}
    assert (rows["stale_data"]["portfolio"], rows["stale_data"]["unit"]) == (None, "seconds")
    assert (rows["loss_streak"]["portfolio"], rows["loss_streak"]["value"]) == ("main", 0)
    assert (rows["exposure"]["value"], rows["exposure"]["limit"]) == (0, Decimal("1.5"))
    assert (rows["weekly_loss"]["value"], rows["weekly_loss"]["action"]) == (0, "halt")
    assert rows["slippage"]["value"] is None


def test_a_breaker_that_cools_says_of_what_since_when_and_until_when() -> None:
    """A buy pays spread and slippage, which is more than a billionth: it trips with the fill, at the bar's end."""
    house = traded()
    row = next(row for row in decoded(board(house).breakers()) if row["breaker"] == "slippage")
    assert (row["portfolio"], row["subject"], row["state"], row["action"]) == ("main", "AAPL", "cooling", "block")
    assert row["cause"].startswith("a fill of AAPL cost")
    # Bought with the second bar, sold with the third: what happens again begins the wait anew.
    assert row["since"] == "2020-01-02T14:33:00.000Z"
    assert row["until"] == "2020-01-02T14:38:00.000Z"
    assert row["sessions_left"] == 2
    assert 0 < row["value"] < Decimal("0.01")


def test_a_lock_and_the_restricted_list_are_shown_while_they_hold() -> None:
    """Sold at 99 what was bought at 100: AAPL rests for ten minutes; SPY stands in the configuration."""
    house = traded()
    (lock,) = decoded(board(house).locks())
    assert (lock["portfolio"], lock["symbol"], lock["rule"]) == ("main", "AAPL", "cooldown")
    assert lock["until"] == "2020-01-02T14:43:00.000Z"
    house.call("restricted.add", symbol="MSFT", reason="earnings")
    assert [(row["symbol"], row["reason"][:8]) for row in decoded(board(house).restricted())] == [
        ("MSFT", "earnings"),
        ("SPY", "risk.res"),
    ]
    for _ in range(10):
        house.bar(99, 200, 300)
    assert decoded(board(house).locks()) == []


def test_limits_say_bound_value_use_and_unit_and_mark_what_is_nearly_used_up() -> None:
    """9,500 of 100,000 in AAPL against its own cap of 10 %: 95 %; the portfolio's own three places bind, not four."""
    house = House(limits=WIDE)
    house.bar(100, 200, 300)
    house.submit(id="a", qty=95)
    house.bar(100, 200, 300)
    rows = limits(house)
    position = rows["max_position"]
    assert (position["bound"], position["subject"], position["warn"]) == (Decimal("0.1"), "AAPL", True)
    assert abs(position["utilization"] - Decimal("0.95")) < Decimal("0.001")
    assert rows["symbols.AAPL.max_position"]["utilization"] == position["utilization"]
    assert (rows["max_positions"]["bound"], rows["max_positions"]["value"]) == (3, 1)
    assert (rows["max_positions"]["warn"], rows["max_positions"]["unit"]) == (False, "count")
    assert rows["symbols.AAPL.max_order_qty"]["bound"] == 200
    assert rows["portfolios.main.max_positions"]["bound"] == 3
    assert (rows["collar_period_s"]["bound"], rows["collar_period_s"]["unit"]) == (10, "seconds")
    assert (rows["order_rate"]["bound"], rows["order_rate"]["unit"]) == (100, "per_second")
    assert (rows["self_match_prevention"]["bound"], rows["deny_unknown_adv"]["bound"]) == (True, False)
    assert rows["max_order_adv"]["bound"] is None
    assert abs(rows["book_max_position"]["value"] - Decimal("0.095")) < Decimal("0.001")
    nearest = decoded(board(house).status())["limits"]
    assert (nearest[0]["limit"], nearest[0]["warn"], len(nearest)) == ("max_position", True, 3)


def test_every_limit_of_the_message_has_a_row() -> None:
    """A limit that comes later is not forgotten here; what only a restart changes is no limit of these rows."""
    house = House(limits=WIDE)
    house.bar(100, 200, 300)
    shown = {name.removesuffix("_s") for name in limits(house)}
    fixed = {
        "allow_short", "lot_size", "replay", "replay_resume_sessions", "cash_reserve", "correlation_sessions",
        "var_sessions",
    }  # fmt: skip
    elsewhere = {"symbols", "sectors", "portfolios", "breakers", "restricted"}
    fields = {name.removesuffix("_ns") for name in RiskLimits.__struct_fields__}
    assert fields - shown == fixed | elsewhere


def test_limits_set_by_hand_are_marked_and_listed() -> None:
    """Until the configuration changes."""
    house = House(limits=WIDE)
    house.bar(100, 200, 300)
    assert decoded(board(house).by_hand()) == []
    tighter = msgspec.structs.replace(house.core.risk.limits, max_order_qty=10 * 10**8, collar_period_ns=20 * SECOND)
    changes = (("risk.max_order_qty", "500", "10"), ("risk.collar_period_ms", "10000", "20000"))
    house.put(SetLimits(tighter, changes, "thin", "ann"), "control")
    rows = limits(house)
    assert {name for name, row in rows.items() if row["by_hand"]} == {"max_order_qty", "collar_period_s"}
    assert rows["max_order_qty"]["bound"] == 10
    assert decoded(board(house).by_hand()) == [
        {"key": "risk.max_order_qty", "value": "10"},
        {"key": "risk.collar_period_ms", "value": "20000"},
    ]


def test_a_breaker_of_a_subject_is_reset_by_the_name_people_see() -> None:
    """Of a portfolio without naming it where there is one; of all portfolios without a portfolio; twice is no error."""
    house = traded()
    done = house.call("breaker.reset", breaker="slippage", subject="AAPL").result
    assert done is not None
    assert (done["subjects"], done["changed"], done["portfolio"]) == (["AAPL"], True, "main")
    again = house.call("breaker.reset", breaker="slippage", subject="AAPL").result
    assert again is not None
    assert again["changed"] is False
    assert house.now == OPEN + 3 * MINUTE


def test_a_breaker_that_watches_all_portfolios_needs_none_named() -> None:
    """One of a portfolio needs it where there are several; one of all has none."""
    house = House(limits=msgspec.structs.replace(WIDE, portfolios={}), portfolios=("one", "two"))

    def command(**params: str) -> Any:
        return command_of(make_call("breaker.reset", **params), house.universe, house.portfolios)

    assert command(breaker="connectivity", subject="alpaca").portfolio == ""
    assert command(breaker="connectivity", portfolio="").subject == ""
    assert command(breaker="slippage", portfolio="two").portfolio == "two"
    with pytest.raises(FieldError) as refused:
        command(breaker="connectivity", portfolio="one")
    assert refused.value.code == "UNKNOWN_BREAKER"
    with pytest.raises(FieldError) as refused:
        command(breaker="slippage")
    assert refused.value.code == "UNKNOWN_PORTFOLIO"
