"""How much may be sent: buckets of orders and messages, and executions of one strategy in one symbol."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages.control import DisableStrategy, Halt, Kill, Reload
from actors.messages.inference import StrategyDisabled, StrategyEnabled
from actors.messages.orders import (
    BUY,
    SELL,
    CancelOrder,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRequested,
    OrderDenied,
    OrderRejected,
    OrderReplaced,
    OrderReplaceRequested,
    OrderTerms,
    OrderType,
)
from actors.values.fixed import to_fixed
from tests.actors.risk.conftest import DAY
from tests.actors.risk.feeding import MINUTE, SECOND

LIMIT = OrderType.LIMIT


def limits(base, **changes):
    """Return wide limits with some of them set."""
    return msgspec.structs.replace(base, **changes)


def wait(w, ns):
    """Let time pass."""
    w.clock.advance_to(w.clock.now() + ns)


# -- buckets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"order_rate": 2.0, "order_burst": 3}, "ORDER_RATE"),
        ({"symbol_order_rate": 2.0, "symbol_order_burst": 3}, "SYMBOL_ORDER_RATE"),
        ({"message_rate": 2.0, "message_burst": 3}, "MESSAGE_RATE"),
    ],
)
def test_behind_the_burst_one_passes_each_time_the_rate_allows_it(world, wide, changes, code):
    """Three at once, then one every half second: a nanosecond earlier is too early."""
    w = world(limits(wide, **changes))
    assert [w.submit(BUY, 1) for _ in range(4)] == ["ok"] * 3 + [code]
    wait(w, SECOND // 2 - 1)
    assert w.submit(BUY, 1) == code
    wait(w, 1)
    assert [w.submit(BUY, 1) for _ in range(2)] == ["ok", code]
    wait(w, 10 * SECOND)
    w.split()
    assert [w.submit(BUY, 1) for _ in range(4)] == ["ok"] * 3 + [code]


def test_the_denial_says_when_the_next_one_passes(world, wide):
    """One of one at two a second: in half a second."""
    w = world(limits(wide, order_rate=2.0, order_burst=1))
    assert w.submit(BUY, 1) == "ok"
    denied = w.denial(BUY, 1)
    assert (denied.code, denied.value, denied.limit) == ("ORDER_RATE", "0.5", "2")
    assert "the next passes in 0.5 s, at 1970-01-02T14:31:00.500Z" in denied.reason


def test_each_symbol_has_its_own_bucket(world, wide):
    """B is not held back by A."""
    w = world(limits(wide, symbol_order_rate=1.0, symbol_order_burst=1))
    assert [w.submit(BUY, 1, symbol=n) for n in (0, 0, 1, 1, 2)] == [
        *["ok", "SYMBOL_ORDER_RATE", "ok", "SYMBOL_ORDER_RATE", "ok"]
    ]


def test_a_restart_keeps_every_bucket(world, wide):
    """By a snapshot, and by what was recorded."""
    for again in ("split", "refold"):
        w = world(limits(wide, order_rate=1.0, order_burst=2, symbol_order_rate=1.0, symbol_order_burst=1))
        assert w.submit(BUY, 1) == "ok"
        getattr(w, again)()
        assert w.submit(BUY, 1) == "SYMBOL_ORDER_RATE"
        assert w.submit(BUY, 1, symbol=1) == "ok"
        getattr(w, again)()
        assert w.submit(BUY, 1, symbol=2) == "ORDER_RATE"


def test_a_storm_never_gets_more_through_than_rate_times_time_and_burst(world, wide):
    """10,000 signals within a second at 100 a second behind 50: 50 and 100 more, less the one due at the end."""
    w = world(limits(wide, order_rate=100.0, order_burst=50))
    passed = 0
    for _ in range(10_000):
        passed += w.submit(BUY, 1) == "ok"
        wait(w, SECOND // 10_000)
    assert passed == 50 + 99


def test_a_kill_passes_in_the_middle_of_a_storm_and_cancels_everything(world, wide):
    """The buckets are empty; what stops trading waits for nobody."""
    w = world(limits(wide, order_rate=1.0, order_burst=20, message_rate=1.0, message_burst=20))
    answers = [w.submit(BUY, 1) for _ in range(100)]
    assert (answers.count("ok"), answers[-1]) == (20, "MESSAGE_RATE")
    w.process(Kill("storm", "anna"))
    assert not w.venue.orders
    assert w.submit(BUY, 1) == "KILLED"


def test_reductions_and_cancels_pass_an_empty_bucket(world, wide):
    """And what they used of it entries do not get back: two messages more make two seconds."""
    w = world(limits(wide, order_rate=1.0, order_burst=3, message_rate=1.0, message_burst=3))
    w.hold(10)
    wait(w, 10 * SECOND)
    assert [w.submit(BUY, 1, symbol=1, type=LIMIT, limit_px=90) for _ in range(4)] == ["ok"] * 3 + ["MESSAGE_RATE"]
    assert w.submit(SELL, 10) == "ok"
    w.process(CancelOrder(f"c{w.n - 3}", "test"))
    assert len(w.venue.orders) == 3
    wait(w, SECOND - 1)
    assert w.submit(BUY, 1, symbol=1) == "MESSAGE_RATE"
    wait(w, 1)
    assert w.submit(BUY, 1, symbol=1) == "ok"


def test_what_passes_anyway_empties_a_bucket_and_does_no_more(world, wide):
    """A halt that cancels ten orders at five a second leaves one second of burst to wait for, not two."""
    w = world(limits(wide, message_rate=5.0, message_burst=10))
    assert [w.submit(BUY, 1) for _ in range(10)] == ["ok"] * 10
    w.process(Halt("test", "anna"))
    assert not w.venue.orders
    until = w.risk._remembered.throttle.until
    assert until - w.clock.now() == SECOND // 5


def test_replaces_of_entries_take_messages_and_those_of_exits_pass(world, wide):
    """Two messages were sent: the third is refused, unless it only reduces."""
    w = world(limits(wide, message_rate=1.0, message_burst=3, order_rate=1.0, order_burst=1))
    w.hold(10)
    wait(w, 10 * SECOND)
    assert w.submit(BUY, 1, symbol=1, client_order_id="entry", type=LIMIT, limit_px=90) == "ok"
    assert w.submit(SELL, 5, client_order_id="exit", type=LIMIT, limit_px=110) == "ok"
    assert w.replace("entry", 2) == "ok"  # no new order, which would have to wait
    assert w.replace("entry", 3) == "MESSAGE_RATE"
    assert w.replace("exit", 6) == "ok"


def test_an_order_that_the_venue_refused_was_sent_all_the_same(world, wide):
    """It takes its place in both buckets."""
    w = world(limits(wide, order_rate=1.0, order_burst=2))
    w.state(OrderRejected("o", w.order(BUY, 1), "NO", "test"))
    assert [w.submit(BUY, 1) for _ in range(2)] == ["ok", "ORDER_RATE"]


def test_orders_with_terms_are_sent_as_others_are_and_exits_of_a_bracket_by_nobody(world, wide):
    """One of a group takes its place; what the broker brings to life behind an entry takes none."""
    w = world(limits(wide, order_rate=1.0, order_burst=3))
    assert w.submit(BUY, 1, type=LIMIT, limit_px=90, terms=OrderTerms(oco_group="g")) == "ok"
    child = w.order(SELL, 1, type=LIMIT, limit_px=110, reduce_only=True, terms=OrderTerms(bracket_of="x"))
    w.state(OrderAccepted("o", child, 0, w.clock.now()))
    assert [w.submit(BUY, 1) for _ in range(3)] == ["ok", "ok", "ORDER_RATE"]


def test_new_limits_count_what_was_sent_before(world, wide):
    """Turned on by a reload, the bucket begins full; turned down, what was sent stays sent."""
    w = world(limits(wide, order_rate=1.0, order_burst=10))
    assert [w.submit(BUY, 1) for _ in range(5)] == ["ok"] * 5
    w.risk._adopt(limits(wide, order_rate=1.0, order_burst=5))
    assert w.submit(BUY, 1) == "ORDER_RATE"


def test_a_reload_that_says_the_same_holds_nobody_back_longer(world, wide):
    """Two of a burst of three are sent: the third passes, the fourth does not."""
    w = world(limits(wide, symbol_order_rate=1.0, symbol_order_burst=3))
    assert [w.submit(BUY, 1) for _ in range(2)] == ["ok"] * 2
    w.process(Reload("d", "anna", limits(w.limits, max_order_qty=to_fixed(50))))
    assert [w.submit(BUY, 1) for _ in range(2)] == ["ok", "SYMBOL_ORDER_RATE"]


@pytest.mark.parametrize(
    ("asked", "done"),
    [
        (OrderReplaceRequested("a", 2, None, None, 0, 9), OrderReplaced("o", "a", 2, None, None, 0)),
        (OrderCancelRequested("a", "no more", 9), OrderCanceled("o", "a", 0, "no more")),
    ],
    ids=["replace", "cancel"],
)
@pytest.mark.parametrize("again", ["", "split", "refold"])
def test_what_is_on_its_way_was_sent_when_it_was_asked_for_and_once(world, wide, asked, done, again):
    """An order and the request empty a bucket of two; a second later its effect takes nothing of what came back."""
    w = world(limits(wide, message_rate=1.0, message_burst=2))
    assert w.submit(BUY, 1, client_order_id="a") == "ok"
    w.state(asked)
    assert w.submit(BUY, 1) == "MESSAGE_RATE"
    if again:
        getattr(w, again)()
    wait(w, SECOND)
    w.state(done)
    assert [w.submit(BUY, 1) for _ in range(2)] == ["ok", "MESSAGE_RATE"]


# -- executions ----------------------------------------------------------------------------------------------------


def execute(w, side, **fields):
    """Submit one share of a strategy and fill it."""
    verdict = w.submit(side, 1, **{"strategy": "s", "decision": w.n, **fields})
    return w.fill((f"c{w.n}", 1, 100)) if verdict == "ok" else verdict


def test_a_strategy_that_oscillates_is_switched_off_with_one_execution_too_many(world, wide):
    """Buy, sell, buy, and the fourth: at once in the gate, by a command to everyone, and never by itself back on."""
    w = world(limits(wide, max_executions=3, executions_window_ns=60 * SECOND))
    for side in (BUY, SELL, BUY):
        execute(w, side)
    assert w.books.disabled == []
    execute(w, SELL)
    why = "4 of its orders in A were executed within 60 s, more than 3"
    assert w.books.disabled == [DisableStrategy("s", why, "risk")]
    denied = w.denial(BUY, 1, strategy="s", decision=99)
    assert denied.code == "STRATEGY_DISABLED"
    assert why in denied.reason
    w.split()
    wait(w, 3600 * SECOND)
    w.close()
    w.open()
    w.bar([100.0] * 3)
    assert w.submit(BUY, 1, strategy="s", decision=100) == "STRATEGY_DISABLED"
    w.state(StrategyEnabled("s", "looked at", "anna"))
    assert w.submit(BUY, 1, strategy="s", decision=101) == "ok"


def test_the_command_is_not_repeated_once_the_strategy_is_off(world, wide):
    """StrategyDisabled is the answer to it."""
    w = world(limits(wide, max_executions=1, executions_window_ns=60 * SECOND))
    w.hold(5)
    execute(w, BUY)
    execute(w, SELL)
    w.state(StrategyDisabled("s", "too many", "risk"))
    execute(w, SELL)
    assert len(w.books.disabled) == 1


@pytest.mark.parametrize(("pause", "verdict"), [(60 * SECOND - 1, "STRATEGY_DISABLED"), (60 * SECOND, "ok")])
def test_executions_count_within_the_window(world, wide, pause, verdict):
    """The first of four is out of it after a minute."""
    w = world(limits(wide, max_executions=3, executions_window_ns=60 * SECOND))
    execute(w, BUY)
    wait(w, pause)
    for side in (SELL, BUY, SELL):
        execute(w, side)
    assert w.submit(BUY, 1, strategy="s", decision=99) == verdict


def test_what_is_out_of_the_window_goes_one_by_one(world, wide):
    """Two in 60 s: at 0, 30 and 70 s there are never more; at 75 s there are those of 30, 70 and 75."""
    w = world(limits(wide, max_executions=2, executions_window_ns=60 * SECOND))
    for pause in (0, 30, 40, 5):
        assert w.books.disabled == []
        wait(w, pause * SECOND)
        execute(w, BUY)
    assert [command.strategy for command in w.books.disabled] == ["s"]


@pytest.mark.parametrize("again", ["", "split", "refold"])
def test_a_strategy_that_was_enabled_is_counted_anew_and_switched_off_again(world, wide, again):
    """Two of one allowed; enabled, the next one passes and the one behind it switches it off a second time."""
    w = world(limits(wide, max_executions=1))
    execute(w, BUY)
    execute(w, SELL)
    w.state(StrategyDisabled("s", "too many", "risk"))
    assert execute(w, BUY) == "STRATEGY_DISABLED"
    w.state(StrategyEnabled("s", "looked at", "anna"))
    if again:
        getattr(w, again)()
    asked = len(w.books.disabled)
    execute(w, BUY)
    assert len(w.books.disabled) == asked
    execute(w, SELL)
    assert [command.strategy for command in w.books.disabled[asked:]] == ["s"]


def test_a_window_may_last_over_a_night(world, wide):
    """One within a day: today's and tomorrow's at the open are two; a symbol with one alone is forgotten by then."""
    w = world(limits(wide, max_executions=1, executions_window_ns=DAY))
    execute(w, BUY, symbol=1)
    w.clock.advance_to(w.session.close_ts)
    execute(w, BUY)
    w.close()
    w.open()
    wait(w, 2 * MINUTE)  # of symbol 1 it is a day and a minute
    execute(w, BUY, symbol=1)
    assert w.books.disabled == []
    execute(w, BUY)
    assert [command.strategy for command in w.books.disabled] == ["s"]


def test_executions_are_of_one_strategy_in_one_symbol(world, wide):
    """Others have their own count, parts of one order are one, and operators have none."""
    w = world(limits(wide, max_executions=2, executions_window_ns=60 * SECOND))
    for symbol in (0, 1):
        execute(w, BUY, symbol=symbol)
    execute(w, BUY, strategy="t")
    for _ in range(5):
        execute(w, BUY, strategy="")
    assert w.submit(BUY, 10, strategy="s", decision=50, client_order_id="parts") == "ok"
    for _ in range(10):
        w.fill(("parts", 1, 100))
    assert w.submit(BUY, 1, strategy="s", decision=51) == "ok"
    assert w.submit(BUY, 1, strategy="t", decision=52) == "ok"


def test_automatic_exits_are_no_executions_of_a_strategy(world, wide):
    """Ten lots that are stopped out at once switch nothing off."""
    w = world(limits(wide, max_executions=2, executions_window_ns=60 * SECOND))
    w.hold(10)
    for n in range(10):
        assert w.submit(SELL, 1, strategy="s", decision=n, reduce_only=True, lot_id=f"l{n}") == "ok"
        w.fill((f"c{w.n}", 1, 100))
    assert w.submit(BUY, 1, strategy="s", decision=99) == "ok"


def test_a_denied_order_takes_nothing(world, wide):
    """Only what was sent counts: the second of two is denied for its size, the third passes."""
    w = world(limits(wide, order_rate=1.0, order_burst=2, max_order_value=to_fixed(1_000)))
    kinds = [type(w.process(w.order(BUY, qty))[0]) for qty in (1, 100, 1, 1)]
    assert kinds == [OrderAccepted, OrderDenied, OrderAccepted, OrderDenied]
