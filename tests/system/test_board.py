"""The board against what the core holds and what the events of the same run say."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from actors.broker.params import BrokerParams
from actors.messages.portfolio import EquityMarked, PositionChanged, SessionRolled
from actors.predictor.registry import bind
from actors.risk.params import RiskLimits
from actors.values.fixed import fmt
from daemon.control.calls import Call, Peer, Role
from daemon.system.board import Board, build_board, order_names, positions_asked
from daemon.system.board_facts import ActorFact, FeedFact, ShellFacts
from daemon.system.order_form import FieldError
from system.wired import House

SECOND = 10**9
OPEN = RiskLimits(max_order_value=0, max_order_fraction=0.0, max_position=0.0, daily_loss_halt=0.0, max_drawdown=0.0)


def facts(**changes: Any) -> ShellFacts:
    """Return a shell that has been up for a while."""
    fields: dict[str, Any] = {
        "version": "1.2.3",
        "run_id": "r",
        "mode": "playback",
        "started_ns": 0,
        "commit_ns": 9 * SECOND,
        "seq": 41,
        "feeds": (FeedFact("playback", "live", 9_750_000_000),),
        "actors": (ActorFact("feed", "running", 2, "reads ahead"),),
        "journal": {"wal_bytes": 4096},
    }
    return ShellFacts(**fields | changes)


def board(house: House, **changes: Any) -> Board:
    """Build the board of a house."""
    return build_board(house.core, house.universe, facts(**changes), now_ns=9 * SECOND)


def decoded(value: Any) -> Any:
    """Return a value as a client reads it."""
    return msgspec.json.Decoder(float_hook=Decimal).decode(msgspec.json.encode(value))


def traded() -> House:
    """Return a house that bought twice, sold a part and left an order working."""
    house = House()
    house.bar(100, 200, 300)
    house.submit(id="a", qty=100)
    house.submit(id="b", symbol="MSFT", qty=40)
    house.bar(101, 202, 303)
    house.submit(id="c", side="sell", qty=30)
    house.bar(102.5, 199, 303)
    house.submit(id="d", side="buy", type="limit", limit_px=95, qty=10, tif="gtc")
    return house


def test_status_has_what_the_contract_promises() -> None:
    """Every field, with the values the events of the run give."""
    house = traded()
    status = decoded(board(house).status(now_ns=10 * SECOND))
    marks = [e for f in house.frames for e in f.events if isinstance(e, EquityMarked)]
    assert list(status)[:5] == ["schema", "version", "run_id", "mode", "trading_state"]
    assert status["equity"] == Decimal(fmt(marks[-1].equity))
    assert status["cash"] == Decimal(fmt(marks[-1].cash))
    assert (status["positions"], status["open_orders"]) == (2, 1)
    assert status["daily_pnl"] == status["equity"] - 100_000
    assert float(status["drawdown"]) == pytest.approx(marks[-1].equity / 10**13 - 1, abs=1e-9)
    assert status["session"] == {"date": "2020-01-02", "state": "open"}
    assert status["feeds"] == [{"name": "playback", "state": "live", "last_event_age_s": Decimal("0.250")}]
    assert status["actors"][0] == {"name": "feed", "state": "running", "restarts": 2}
    assert {row["name"] for row in status["actors"]} == {"feed", "broker", "portfolio", "risk", "predictor"}
    assert status["journal"] == {"seq": 41, "commit_age_s": Decimal("1.000"), "wal_bytes": 4096}
    assert (status["uptime_s"], status["model"], status["alerts_pending"]) == (Decimal("10.000"), {}, 0)
    assert [(row["breaker"], row["state"]) for row in status["breakers"]] == [
        ("daily_loss", "armed"),
        ("drawdown", "armed"),
    ]


def test_positions_are_those_of_the_bookings_marked_at_the_last_prices() -> None:
    """The columns of positions.csv, by average cost; flat ones when asked for."""
    house = traded()
    house.submit(id="e", symbol="MSFT", side="sell", qty=40)
    house.bar(102.5, 199, 303)
    booked: dict[int, list[int]] = {}
    for frame in house.frames:
        for event in frame.events:
            if isinstance(event, PositionChanged):
                row = booked.setdefault(event.symbol, [0, 0, 0])
                row[0], row[1], row[2] = event.qty, event.cost, row[2] + event.realized
    rows = decoded(board(house).positions())
    assert [list(row) for row in rows] == [
        ["symbol", "qty", "avg_px", "market_px", "unrealized_pnl", "realized_pnl"],
    ]
    (row,) = rows
    qty, cost, realized = booked[0]
    assert (row["symbol"], row["qty"], row["market_px"]) == ("AAPL", 70, Decimal("102.5"))
    assert abs(row["avg_px"] * 70 - Decimal(fmt(cost))) < Decimal("1e-6")
    assert row["unrealized_pnl"] == 70 * Decimal("102.5") - Decimal(fmt(cost))
    assert row["realized_pnl"] == Decimal(fmt(realized))
    assert qty == 70 * 10**8
    everything = decoded(board(house).positions(everything=True))
    assert [(r["symbol"], r["qty"], r["avg_px"], r["unrealized_pnl"]) for r in everything[1:]] == [("MSFT", 0, None, 0)]
    assert board(house).positions(symbol="MSFT") == []


def test_the_days_profit_is_measured_from_the_close_before_net_of_flows() -> None:
    """It stays until the next session opens; a deposit is no profit, and a restored core says the same."""
    house = traded()
    before = decoded(board(house).status())["daily_pnl"]
    assert before
    house.close()
    house.call("cash.deposit", amount=500)
    status = decoded(board(house).status())
    assert (status["session"]["state"], status["daily_pnl"]) == ("closed", before)
    assert status["daily_pnl"] == status["equity"] - 100_500
    assert decoded(board(house).risk())[0]["daily_pnl"] == before
    other = House()
    other.core.sequencer.restore(house.core.sequencer.snapshot())
    again, first = board(other), board(house)
    assert again.portfolios == first.portfolios
    assert again.status(now_ns=0) == first.status(now_ns=0)
    closed = [e for f in house.frames for e in f.events if isinstance(e, SessionRolled)][-1]
    house.open(day=1)
    status = decoded(board(house).status())
    assert status["daily_pnl"] == status["equity"] - Decimal(fmt(closed.equity)) - 500 == 0


def test_the_loss_of_a_session_that_has_ended_stands_beside_its_limits_until_the_next_one_opens() -> None:
    """Breakers and limits tell it too; they act on the new baseline alone."""
    house = House()
    house.bar(100, 200, 300)
    house.submit(id="a", qty=150)
    house.bar(100, 200, 300)
    house.bar(96, 200, 300)
    house.close()
    row = next(row for row in decoded(board(house).breakers()) if row["breaker"] == "daily_loss")
    assert row["value"] > Decimal("0.004")
    assert row["baseline"] == 100_000
    used = {row["limit"]: row["value"] for row in decoded(board(house).limits_in_use())}
    assert used["daily_loss_halt"] == row["value"]
    house.open(day=1)
    row = next(row for row in decoded(board(house).breakers()) if row["breaker"] == "daily_loss")
    assert (row["value"], row["baseline"]) == (0, row["equity"])


def test_losses_show_against_their_limits_and_a_tripped_breaker_says_so() -> None:
    """Utilisation grows to the bound; the state and the blocked entries stand beside it."""
    house = House(limits=RiskLimits(replay=False, daily_loss_halt=0.005, daily_loss_block=0.004, daily_loss_warn=0.003))
    house.bar(100, 200, 300)
    house.submit(qty=100)
    house.bar(100, 200, 300)
    limits = {row["limit"]: row for row in decoded(board(house).limits_in_use())}
    assert limits["max_positions"]["value"] == 1
    assert limits["max_positions"]["utilization"] == Decimal("0.1")
    assert (limits["max_position"]["symbol"], limits["max_position"]["bound"]) == ("AAPL", Decimal("0.2"))
    assert 0 < limits["daily_loss_halt"]["utilization"] < 1
    assert limits["max_order_qty"]["bound"] is None
    house.bar(94, 200, 300)
    rows = decoded(board(house).breakers())
    assert [(row["breaker"], row["state"], row["entries_blocked"]) for row in rows] == [
        ("daily_loss", "latched", True),
        ("drawdown", "armed", False),
    ]
    assert rows[0]["value"] > rows[0]["limit"] == Decimal("0.005")
    risk = decoded(board(house).risk())[0]
    assert (risk["trading_state"], risk["positions"], risk["largest_symbol"]) == ("halted", 1, "AAPL")
    assert risk["gross"] == risk["net"] == 9_400
    assert risk["leverage"] == risk["gross_exposure"]


def test_a_working_order_shows_as_reserved_cash() -> None:
    """What is reserved is not available, and both are the gate's own figures."""
    house = traded()
    risk = decoded(board(house).risk())[0]
    book = house.core.risk.exposure.books["main"]
    assert risk["reserved"] == Decimal(fmt(book.reserved)) > 0
    assert risk["available"] == risk["cash"] - risk["reserved"]


def test_a_margin_account_shows_what_it_requires_and_could_still_open() -> None:
    """1,500 at 100 held on 100,000: 75,000 to open, 37,500 to keep. 25,000 are free, which open 50,000.

    At 80 equity is 70,000: 60,000 and 30,000 are required, 10,000 are free. A cash account has nothing to say of this.
    """
    free = BrokerParams(commission_rate=0, slippage_rate=0, spread_rate=0, impact="none", account="margin")
    house = House(broker=free, limits=msgspec.structs.replace(OPEN, replay=False))
    house.bar(100, 200, 300)
    house.submit(qty=1500)
    house.bar(100, 200, 300)
    names = ("initial_margin", "maintenance_margin", "margin_excess", "buying_power", "available")
    risk = decoded(board(house).risk())[0]
    assert [risk[name] for name in names] == [75_000, 37_500, 62_500, 50_000, 25_000]
    house.bar(80, 200, 300)
    risk = decoded(board(house).risk())[0]
    assert [risk[name] for name in names] == [60_000, 30_000, 40_000, 20_000, 10_000]
    assert [decoded(board(traded()).risk())[0][name] for name in names[:-1]] == [None] * 4


def test_several_portfolios_are_added_up_and_told_apart() -> None:
    """Money sums; rows say whose they are; the deeper drawdown is the one shown."""
    house = House(portfolios=("a", "b"))
    house.bar(100, 200, 300)
    house.submit(portfolio="b", qty=100)
    house.bar(100, 200, 300)
    house.bar(90, 200, 300)
    found = board(house)
    status = decoded(found.status())
    a, b = found.portfolios
    assert status["equity"] == Decimal(fmt(a.equity + b.equity))
    assert float(status["drawdown"]) == pytest.approx(b.equity / b.peak - 1 if b.peak else 0.0, abs=1e-9)
    assert [row["portfolio"] for row in found.positions()] == ["b"]
    assert found.positions(portfolio="a") == []
    assert [row["portfolio"] for row in found.risk()] == ["a", "b"]


def test_a_board_does_not_change_with_the_core() -> None:
    """Another thread may read it at leisure."""
    house = traded()
    found = board(house)
    before = msgspec.json.encode([found.status(0), found.positions(everything=True), found.risk()])
    house.bar(50, 100, 150)
    house.call("kill")
    assert msgspec.json.encode([found.status(0), found.positions(everything=True), found.risk()]) == before


def test_positions_are_asked_for_by_portfolio_symbol_and_number() -> None:
    """Flat ones only with all; what was cut is said; a limit that makes no sense is named."""
    house = traded()
    house.submit(id="e", symbol="MSFT", side="sell", qty=40)
    house.bar(102.5, 199, 303)
    found = board(house)

    def ask(**params: Any) -> dict[str, Any]:
        return positions_asked(found, Call("positions", params, Peer(7, 7, 7, Role.VIEWER)))

    held, ever = found.positions(), found.positions(everything=True)
    assert len(ever) > len(held) > 0
    assert (ask()["rows"], ask()["more"], ask()["as_of_seq"]) == (held, False, found.seq)
    assert ask(all=True)["rows"] == ever
    assert ask(portfolio="nobody")["rows"] == []
    assert ask(all=True, symbol=ever[0]["symbol"])["rows"] == ever[:1]
    cut = ask(all=True, limit=1)
    assert (cut["rows"], cut["more"]) == (ever[:1], True)
    for limit in (0, -1, 1_001):
        with pytest.raises(FieldError):
            ask(limit=limit)


def test_a_degraded_actor_and_a_lost_feed_show_in_health() -> None:
    """Each with its detail."""
    house = traded()
    found = board(house, degraded=("risk",), feeds=(FeedFact("playback", "lost", None, "the file is gone"),))
    rows = {row["name"]: row for row in found.health_rows(now_ns=10 * SECOND)}
    assert (rows["risk"]["state"], rows["risk"]["ok"]) == ("degraded", False)
    assert (rows["broker"]["ok"], rows["broker"]["detail"][:16]) == (True, "1 working orders")
    assert (rows["feed:playback"]["ok"], rows["feed:playback"]["last_event_age_s"]) == (False, None)
    assert rows["feed"]["detail"] == "reads ahead"


def test_health_tells_of_a_ledger_that_takes_nothing_and_of_a_recording_that_has_ended() -> None:
    """A sentence stands beside each: behind the end of the recording no order ever fills."""
    house = traded()
    found = board(
        house, journal={"state": "no room on the disk"}, feeds=(FeedFact("playback", "ended", None, "bars.csv"),)
    )
    rows = {row["name"]: row for row in found.health_rows(now_ns=10 * SECOND)}
    assert rows["ledger"] == {"name": "ledger", "state": "stalled", "ok": False, "detail": "no room on the disk"}
    told = (rows["feed:playback"]["ok"], rows["feed:playback"]["detail"])
    assert told == (False, "no prices come any more, so no order fills: bars.csv")
    rows = {row["name"]: row for row in board(house).health_rows(now_ns=10 * SECOND)}
    assert rows["ledger"]["ok"]


def test_health_tells_of_a_disk_with_too_little_room() -> None:
    """As the page about it says, also once there is room again."""
    house = traded()
    for disk, shown in (("12 MB left", ("full", False, "12 MB left")), ("ok", ("running", True, ""))):
        rows = {row["name"]: row for row in board(house, disk=disk).health_rows(now_ns=10 * SECOND)}
        assert (rows["disk"]["state"], rows["disk"]["ok"], rows["disk"]["detail"]) == shown


def test_strategies_and_the_models_behind_them_are_told() -> None:
    """On or off, by whom, and what the model was trained on."""
    bindings = [bind("momentum", {}), bind("price_model", {})]
    house = House(bindings=bindings, daily=True)
    assert house.call("strategy.disable", strategy="momentum").code == ""
    found = board(house)
    rows = {row["name"]: row for row in found.strategy_rows()}
    assert (rows["momentum"]["enabled"], rows["momentum"]["off_by"]) == (False, "uid 7 pid 4242")
    assert found.status()["notices"][-1] == "strategy momentum is switched off, by uid 7 pid 4242"
    model = bindings[1].model
    assert model is not None
    assert (rows["price_model"]["enabled"], rows["price_model"]["model"]) == (True, model.model_id)
    (row,) = found.model_rows()
    assert row == found.status()["model"]
    assert (row["state"], row["strategy"]) == ("active", "price_model")
    assert row["trained_from"].replace("-", "") == str(model.train_from)
    assert found.actors() == found.status()["actors"]


def test_working_orders_are_found_by_the_brokers_name() -> None:
    """What a person reads in a table may be typed back."""
    house = traded()
    assert order_names(house.core) == {"O-4": "d"}
