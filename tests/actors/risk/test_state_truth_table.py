"""REDUCING, HALTED and KILLED over long, short and flat, buys, sells and flips, and every type of order.

What passes is what verifiably reduces: a buy of a short, a sell of a long, no larger than what is held. A flip is split
into the half that closes, which passes, and the half that opens, which does not; nothing ever passes whole. The same
holds whether a person or a breaker has set the state.
"""

from __future__ import annotations

import itertools

import msgspec
import pytest

from actors.messages.control import ClockStepped, Halt, Kill, Reduce
from actors.messages.limits import BreakerRule
from actors.messages.orders import BUY, SELL, OrderAccepted, OrderDenied, OrderTerms, OrderType, TimeInForce
from actors.messages.risk import TradingState
from actors.risk.breaker_rows import CLOCK_SKEW
from actors.values.fixed import to_fixed

HELD = {"long": 100, "flat": 0, "short": -100}
SIZES = {"part": 40, "whole": 100, "flip": 150}
STATES = (TradingState.REDUCING, TradingState.HALTED, TradingState.KILLED)


def terms(kind, side):
    """Return the prices and terms that an order of this type needs, near a price of 100."""
    above, below = 100 + 5 * side, 100 - 5 * side
    return {
        OrderType.MARKET: {},
        OrderType.LIMIT: {"limit_px": below},
        OrderType.STOP: {"stop_px": above},
        OrderType.STOP_LIMIT: {"stop_px": above, "limit_px": above},
        OrderType.TRAILING_STOP: {"terms": OrderTerms(trail_amount=to_fixed(5))},
        OrderType.MARKET_IF_TOUCHED: {"stop_px": below},
        OrderType.LIMIT_IF_TOUCHED: {"stop_px": below, "limit_px": below},
        OrderType.TAKE_PROFIT: {"limit_px": below},
        OrderType.MARKET_ON_OPEN: {"tif": TimeInForce.OPG},
        OrderType.MARKET_ON_CLOSE: {"tif": TimeInForce.CLS},
    }[kind]


@pytest.fixture
def put(world, wide):
    """Return a builder of worlds with a position, in a state set by a person or by a breaker."""

    def build(state, position, by):
        action = {"reducing": "reduce", "halted": "halt"}.get(state.value, "warn")
        rules = {CLOCK_SKEW: BreakerRule(limit=1.0, action=action)}
        w = world(msgspec.structs.replace(wide, allow_short=True, breakers=rules))
        if HELD[position]:
            w.hold(HELD[position])
        if by == "breaker" and state is not TradingState.KILLED:
            w.process(ClockStepped(2 * 10**9))
        else:
            command = {"reducing": Reduce, "halted": Halt, "killed": Kill}[state.value]
            w.process(command("test", "anna"))
        assert w.risk.trading_state is state
        return w

    return build


@pytest.mark.parametrize("by", ["person", "breaker"])
@pytest.mark.parametrize("kind", OrderType)
@pytest.mark.parametrize(("state", "position"), list(itertools.product(STATES, HELD)))
def test_what_passes(put, state, position, kind, by):
    """Each order alone in its own world: accepted whole, split, or denied with the state's code."""
    for side, size in itertools.product((BUY, SELL), SIZES):
        w = put(state, position, by)
        events = w.process(w.order(side, SIZES[size], type=kind, **terms(kind, side)))
        passed = sum(e.order.qty for e in events if isinstance(e, OrderAccepted))
        codes = [e.code for e in events if isinstance(e, OrderDenied)]
        reduces = HELD[position] * side < 0 and state is not TradingState.KILLED
        expected = min(SIZES[size], 100) if reduces else 0
        assert passed == to_fixed(expected), (side, size, events)
        if state is TradingState.KILLED and size == "flip" and HELD[position] * side < 0:
            assert codes == ["KILLED", "WOULD_FLIP"]  # both halves: nothing is opened where nothing was closed
        else:
            assert codes == ([] if expected == SIZES[size] else [state.name])


@pytest.mark.parametrize("kind", OrderType)
@pytest.mark.parametrize(("state", "position"), list(itertools.product(STATES, HELD)))
def test_reduce_only_passes_whole_and_never_while_killed_or_on_the_wrong_side(put, state, position, kind):
    """The broker cuts it to the position, so its size is no matter."""
    for side, size in itertools.product((BUY, SELL), SIZES):
        w = put(state, position, "breaker")
        verdict = w.submit(side, SIZES[size], type=kind, reduce_only=True, **terms(kind, side))
        reduces = HELD[position] * side < 0 and state is not TradingState.KILLED
        assert verdict == ("ok" if reduces else state.name), (side, size)
