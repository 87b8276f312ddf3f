"""What passes while trading is reducing, halted or killed, written down line by line; nothing here is computed.

100 shares are held, long or short; ``part`` is 40 of them, ``flip`` 150. The column says what of an order is accepted:
``all``, ``100`` (the half of a flip that closes), or the code with which it is denied whole.
"""

from __future__ import annotations

import itertools

import msgspec
import pytest

from actors.messages.control import Halt, Kill, Reduce
from actors.messages.orders import (
    BUY,
    SELL,
    CancelOrder,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderDenied,
    OrderType,
)
from actors.values.fixed import to_fixed
from tests.actors.risk.test_state_truth_table import terms

TABLE = """
    held   order       reducing  halted  killed
    long   sell part   all       all     KILLED
    long   sell all    all       all     KILLED
    long   sell flip   100       100     KILLED
    long   buy part    REDUCING  HALTED  KILLED
    long   buy all     REDUCING  HALTED  KILLED
    long   buy flip    REDUCING  HALTED  KILLED
    flat   sell part   REDUCING  HALTED  KILLED
    flat   sell all    REDUCING  HALTED  KILLED
    flat   sell flip   REDUCING  HALTED  KILLED
    flat   buy part    REDUCING  HALTED  KILLED
    flat   buy all     REDUCING  HALTED  KILLED
    flat   buy flip    REDUCING  HALTED  KILLED
    short  sell part   REDUCING  HALTED  KILLED
    short  sell all    REDUCING  HALTED  KILLED
    short  sell flip   REDUCING  HALTED  KILLED
    short  buy part    all       all     KILLED
    short  buy all     all       all     KILLED
    short  buy flip    100       100     KILLED
"""
MARKED = """
    held   order       reducing  halted  killed
    long   sell part   all       all     KILLED
    long   sell all    all       all     KILLED
    long   sell flip   all       all     KILLED
    long   buy part    REDUCING  HALTED  KILLED
    long   buy flip    REDUCING  HALTED  KILLED
    flat   sell part   REDUCING  HALTED  KILLED
    flat   buy part    REDUCING  HALTED  KILLED
    short  sell part   REDUCING  HALTED  KILLED
    short  sell flip   REDUCING  HALTED  KILLED
    short  buy part    all       all     KILLED
    short  buy all     all       all     KILLED
    short  buy flip    all       all     KILLED
"""
"""The same marked reduce-only: the broker cuts those to the position, so that none of them can flip it."""
COMMANDS = {"reducing": Reduce, "halted": Halt, "killed": Kill}
CODES = {"reducing": "REDUCING", "halted": "HALTED"}
POSITIONS = {"long": 100, "flat": 0, "short": -100}
SIDES = {"buy": BUY, "sell": SELL}
SHARES = {"part": 40, "all": 100, "flip": 150}


def rows(table):
    """Yield (held, side, size, state, expected) of a table."""
    head, *lines = (line.split() for line in table.strip().splitlines())
    for held, side, size, *expected in lines:
        yield from ((held, side, size, *pair) for pair in zip(head[2:], expected, strict=True))


def test_the_tables_are_whole():
    """Every position with every side and size in every state; marked ones lack what is as large and says no more."""
    whole = set(itertools.product(POSITIONS, SIDES, SHARES, COMMANDS))
    assert {row[:4] for row in rows(TABLE)} == whole
    assert {row[:4] for row in rows(MARKED)} < whole


@pytest.mark.parametrize("kind", OrderType)
@pytest.mark.parametrize("table", [TABLE, MARKED], ids=["plain", "reduce-only"])
def test_what_is_accepted_is_what_the_table_says(world, wide, table, kind):
    """Each line alone in its own world, with every type of order."""
    for held, side, size, state, expected in rows(table):
        w = world(msgspec.structs.replace(wide, allow_short=True))
        if POSITIONS[held]:
            w.hold(POSITIONS[held])
        w.process(COMMANDS[state]("test", "anna"))
        fields = terms(kind, SIDES[side])
        events = w.process(w.order(SIDES[side], SHARES[size], type=kind, reduce_only=table is MARKED, **fields))
        accepted = sum(e.order.qty for e in events if isinstance(e, OrderAccepted))
        codes = [e.code for e in events if isinstance(e, OrderDenied)]
        if expected == "all":
            assert (accepted, codes) == (to_fixed(SHARES[size]), []), (held, side, size, state)
        elif expected == "100":
            assert (accepted, codes) == (to_fixed(100), [CODES[state]]), (held, side, size, state)
        else:
            assert (accepted, codes[0]) == (0, expected), (held, side, size, state)


@pytest.mark.parametrize(
    ("state", "entry", "exit_"),
    [("reducing", OrderCanceled, OrderCanceled), ("halted", None, OrderCanceled), ("killed", None, None)],
)
def test_cancels_pass_in_every_state(world, wide, state, entry, exit_):
    """While reducing both are there to be cancelled; a halt has cancelled entries already, a kill everything."""
    w = world(msgspec.structs.replace(wide, allow_short=True))
    w.hold(100)
    assert w.submit(BUY, 1, client_order_id="entry", type=OrderType.LIMIT, limit_px=90) == "ok"
    assert w.submit(SELL, 1, client_order_id="exit", type=OrderType.LIMIT, limit_px=110) == "ok"
    w.process(COMMANDS[state]("test", "anna"))
    for name, expected in (("entry", entry), ("exit", exit_)):
        events = w.process(CancelOrder(name, "test"))
        assert not any(isinstance(e, OrderCancelRejected) for e in events)
        assert [type(e) for e in events] == ([expected] if expected else [])
        assert name not in w.venue.orders
