"""Properties: limits hold under any sequence of orders, and a restart in the middle changes nothing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.messages.control import Halt, Reduce, ResetBreaker, Resume, Unlatch
from actors.messages.orders import BUY, SELL, CancelOrder, OrderType
from actors.values.fixed import mul, to_fixed

LIMIT = OrderType.LIMIT

orders = st.tuples(
    st.just("order"),
    st.sampled_from([BUY, SELL]),
    st.integers(1, 400),
    st.integers(0, 2),
    st.sampled_from([None, 80, 100, 120]),
    st.booleans(),
)
fills = st.tuples(st.just("fill"), st.integers(0, 5), st.integers(1, 100))
cancels = st.tuples(st.just("cancel"), st.integers(0, 5))
replaces = st.tuples(st.just("replace"), st.integers(0, 5), st.integers(1, 400))
bars = st.tuples(st.just("bar"), st.integers(60, 140), st.integers(60, 140))
marks = st.tuples(st.just("mark"), st.integers(50_000, 130_000))
sessions = st.tuples(st.just("session"))
commands = st.tuples(st.just("command"), st.sampled_from(["halt", "reduce", "resume", "unlatch", "reset"]))
steps = st.lists(
    st.one_of(orders, orders, orders, fills, cancels, replaces, bars, marks, sessions, commands), max_size=40
)
trades = st.lists(st.one_of(orders, orders, orders, fills, cancels, replaces), min_size=15, max_size=60)

COMMANDS = {
    "halt": Halt("test", "anna"),
    "reduce": Reduce("test", "anna"),
    "resume": Resume("test", "anna"),
    "unlatch": Unlatch("test", "anna"),
    "reset": ResetBreaker("main", "drawdown", "test", "anna"),
}


def apply(w, step):
    """Do one step of a random story."""
    kind, *args = step
    working = list(w.venue.orders)
    if kind == "order":
        side, qty, symbol, limit_px, reduce_only = args
        terms = {} if limit_px is None else {"type": LIMIT, "limit_px": limit_px}
        strategy = {"strategy": "s", "decision": qty % 3} if qty % 2 else {}
        w.process(w.order(side, qty, symbol=symbol, reduce_only=reduce_only, **terms, **strategy))
    elif kind == "bar":
        w.bar([args[0], args[1], None])
    elif kind == "mark":
        w.mark(args[0])
    elif kind == "session":
        w.close()
        w.open()
        w.bar([100.0] * 3)
    elif kind == "command":
        w.process(COMMANDS[args[0]])
    elif working:
        order_id = working[args[0] % len(working)]
        order, total, done = w.venue.orders[order_id]
        if kind == "cancel":
            w.process(CancelOrder(order_id, "test"))
        elif kind == "replace":
            w.replace(order_id, args[1])
        else:
            qty = min(to_fixed(args[1]), total - done)
            held = w.books.qty.get(("main", order.symbol), 0)
            if order.reduce_only or (order.side == SELL and not w.limits.allow_short):
                qty = min(qty, max(0, -held * order.side))  # as the broker does: nothing is sold that is not held
            if qty:
                px = order.limit_px or to_fixed(100)
                w.fill((order_id, qty / 10**8, px / 10**8))


REDUCED_WHILE_FLAT = [
    *[("order", -1, 48, 1, None, True), ("order", 1, 49, 1, None, False), ("fill", 0, 1), ("fill", 0, 1)],
    *[("fill", 1, 48), ("cancel", 1), ("fill", 0, 1), ("fill", 0, 1), ("fill", 0, 45)],
    *[("order", -1, 1, 0, None, False), ("order", -1, 1, 1, None, False), ("order", 1, 1, 0, None, False)],
    *[("fill", 0, 1), ("order", 1, 1, 0, None, False), ("fill", 0, 1)],
]
"""A reduce-only market sell accepted while flat, and a plain sell of what is bought afterwards: one share for two."""


@settings(max_examples=400, deadline=None)
@given(story=trades)
@example(story=REDUCED_WHILE_FLAT)
def test_worst_case_cash_and_position_stay_within_limits(world, wide, story):
    """If every working buy filled at once, no name would exceed its cap and cash would not go negative."""
    w = world(msgspec.structs.replace(wide, max_position=0.3), account="cash_strict", commission_rate=0)
    cap = mul(to_fixed(100_000), to_fixed(0.3))
    book = w.risk.exposure.books["main"]
    for step in story:
        apply(w, step)
        book = w.risk.exposure.books["main"]
        worst_cash = book.cash
        for order, total, done in w.venue.orders.values():
            if order.side == BUY and not order.reduce_only:
                working = w.risk.exposure.working[order.client_order_id]
                worst_cash -= mul(total - done, working.limit_px or to_fixed(100))
        assert worst_cash >= 0
        assert worst_cash == book.cash - book.reserved
        for holding in book.holdings.values():
            # A limit of 120 is worth 120 at worst; the mark of this story is 100.
            assert mul(max(holding.qty, 0) + holding.buys, to_fixed(100)) <= cap
            assert holding.qty >= 0
            assert holding.sells >= 0
        assert (book.cash, book.pending) == (w.books.cash["main"], {})
        assert book.names == sum(h.counted for h in book.holdings.values())


@settings(max_examples=300, deadline=None)
@given(story=steps, cut=st.integers(0, 40))
def test_a_story_split_by_a_restart_gives_the_same_events(world, wide, story, cut):
    """Snapshot, msgpack, fresh actors: equal digests, whatever happened before."""
    limits = msgspec.structs.replace(
        wide,
        max_position=0.3,
        max_positions=2,
        max_order_value=to_fixed(30_000),
        stale_ns=10**9,
        duplicate_window_ns=10**9,
        daily_loss_warn=0.018,
        daily_loss_block=0.02,
        daily_loss_halt=0.05,
        max_drawdown=0.2,
        replay_resume_sessions=1,
        allow_short=True,
        require_reference=True,
        cash_reserve=102_000_000,
    )
    whole, parts = world(limits), world(limits)
    for n, step in enumerate(story):
        apply(whole, step)
        if n == cut:
            parts.split()
        apply(parts, step)
    parts.split()
    assert parts.sequencer.digest == whole.sequencer.digest
    assert parts.risk.snapshot() == whole.risk.snapshot()


@pytest.mark.parametrize("account", ["cash", "cash_strict"])
def test_reserved_cash_is_always_the_sum_over_working_orders(world, wide, account):
    """Through fills, replaces and cancels, to the last digit."""
    w = world(msgspec.structs.replace(wide, cash_reserve=102_000_000), account=account, commission_rate=123_456)
    story = [("order", BUY, 7 + n, n % 3, [None, 80, 120][n % 3], False) for n in range(9)]
    story += [("fill", 1, 3), ("replace", 2, 11), ("fill", 2, 5), ("fill", 0, 1), ("cancel", 3), ("replace", 0, 30)]
    story += [("order", SELL, 3, 1, None, False), ("fill", 4, 2)]
    for step in story:
        apply(w, step)
        book = w.risk.exposure.books["main"]
        assert book.reserved == sum(x.reserved for x in w.risk.exposure.working.values())
        assert book.proceeds == sum(x.expected for x in w.risk.exposure.working.values())
    assert book.reserved > 0
