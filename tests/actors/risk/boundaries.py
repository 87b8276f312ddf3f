"""For every code of the gate an order, and a replace where one can meet it, on either side of its boundary.

A case is a world, what happens in it, and two orders (or moments) next to each other: the first has to pass, the second
to be denied with the code. Equity is 100,000 and the price 100 unless a case says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from actors.messages.control import Halt, Kill, Reduce, Resume, SetLimits, Unlatch
from actors.messages.inference import StrategyDisabled, StrategyEnabled
from actors.messages.limits import SymbolLimits
from actors.messages.market import CorporateAction, TradingStatus
from actors.messages.orders import BUY, SELL, Bracket, CancelOrder, OrderTerms, OrderType, TimeInForce
from actors.messages.risk import EntriesLocked, RestrictionChanged
from actors.values.fixed import FIXED_MAX, SCALE, to_fixed
from tests.actors.risk.feeding import day, quote, show, trade

SECOND = 10**9
MINUTE = 60 * SECOND
LIMIT, STOP, TRAILING = OrderType.LIMIT, OrderType.STOP, OrderType.TRAILING_STOP
Act = Callable[[Any], Any]


class Case(NamedTuple):
    """One boundary.

    Attributes:
        code: of what lies outside.
        how: ``new`` or ``replace``, with a word where there are several.
        limits, world: what differs from wide limits and the usual world.
        before: what happens first, in both.
        inside, outside: give the verdict; everything else is the same.
    """

    code: str
    how: str
    limits: dict[str, Any]
    world: dict[str, Any]
    before: Act
    inside: Act
    outside: Act


CASES: list[Case] = []


def nothing(w: Any) -> None:
    """Nothing happens."""
    del w


def new(side: int, qty: float, **fields: Any) -> Act:
    """Submit an order."""
    return lambda w: w.submit(side, qty, **fields)


def rep(qty: float | None = None, **prices: float) -> Act:
    """Replace the order called "a"."""
    return lambda w: w.replace("a", qty, **prices)


def has(side: int = BUY, qty: float = 1, **fields: Any) -> Act:
    """Let an order called "a" work, a limit at 100 unless it says otherwise."""
    given = {"type": LIMIT, "limit_px": 100, "client_order_id": "a"} | fields

    def act(w: Any) -> None:
        assert w.submit(side, qty, **given) == "ok"

    return act


def then(*acts: Act) -> Act:
    """Do one thing after the other; the verdict is the last one's."""

    def act(w: Any) -> Any:
        found = None
        for each in acts:
            found = each(w)
        return found

    return act


def hold(qty: float, **fields: Any) -> Act:
    """Hold a position."""
    return lambda w: w.hold(qty, **fields)


def put(message: Any) -> Act:
    """Let an input in."""
    return lambda w: w.process(message)


def states(event: Any) -> Act:
    """Let another room state a fact."""
    return lambda w: w.state(event)


def later(ns: int) -> Act:
    """Let time pass."""
    return lambda w: w.clock.advance_to(w.clock.now() + ns)


def case(
    code: str,
    inside: Act,
    outside: Act,
    how: str = "new",
    limits: dict[str, Any] | None = None,
    before: Act = nothing,
    **world: Any,
) -> None:
    """Add a case."""
    CASES.append(Case(code, how, limits or {}, world, before, inside, outside))


def sizes(code: str, most: float, more: float, before: Act = nothing, *, side: int = BUY, **rest: Any) -> None:
    """Add a boundary of a quantity, for a new order and for the replace of one that works: ``most`` and ``more``."""
    case(code, new(side, most), new(side, more), before=before, **rest)
    case(code, rep(most), rep(more), "replace", before=then(before, has(side)), **rest)


def moments(code: str, good: Act, bad: Act, before: Act = nothing, *, limits: Any = None, **world: Any) -> None:
    """Add a boundary of a moment, for a new order and for the replace of one that worked before."""
    case(code, then(good, new(BUY, 1)), then(bad, new(BUY, 1)), limits=limits, before=before, **world)
    replaced = then(before, has())
    case(code, then(good, rep(2)), then(bad, rep(2)), "replace", limits=limits, before=replaced, **world)


# -- form ----------------------------------------------------------------------------------------------------------

case("UNKNOWN_PORTFOLIO", new(BUY, 1, portfolio="main"), new(BUY, 1, portfolio="Main"))
case("UNKNOWN_SYMBOL", new(BUY, 1, symbol=2), new(BUY, 1, symbol=3))
case("UNKNOWN_SYMBOL", new(BUY, 1, symbol=0), new(BUY, 1, symbol=-1), "new, below")
case("NOT_TRADABLE", new(BUY, 1), new(BUY, 1, symbol=1), tradable=(True, False, True))
case("BAD_SIDE", new(1, 1), new(2, 1))
case("BAD_SIDE", new(1, 1), new(0, 1), "new, none")
sizes("BAD_QTY", 2, 0)
sizes("BAD_QTY", 3, 2.5)
case(
    "BELOW_FILLED",
    rep(4),
    rep(3),
    "replace of what is filled",
    before=then(has(qty=5), lambda w: w.fill(("a", 3, 100))),
)
case("BAD_PRICE", new(BUY, 1, type=LIMIT, limit_px=0.00000001), new(BUY, 1, type=LIMIT, limit_px=0))
case("BAD_PRICE", rep(limit_px=0.00000001), rep(limit_px=0), "replace", before=has())
case("BAD_PRICE", new(BUY, 1), new(BUY, 1, limit_px=100), "new, one too many")
case("BAD_PRICE", rep(limit_px=99), rep(limit_px=99, stop_px=99), "replace, one too many", before=has())
case("BAD_TIF", new(BUY, 1, type=STOP, stop_px=101), new(BUY, 1, type=STOP, stop_px=101, tif=TimeInForce.IOC))


def _until(after: int) -> Act:
    def act(w: Any) -> str:
        ends = OrderTerms(expire_ts=w.clock.now() + after)
        verdict: str = w.submit(BUY, 1, tif=TimeInForce.GTD, terms=ends)
        return verdict

    return act


case("BAD_EXPIRY", _until(1), _until(0))


def _trails(amount: float) -> Act:
    return new(SELL, 1, type=TRAILING, terms=OrderTerms(trail_amount=to_fixed(amount)))


case("BAD_TRAIL", _trails(99.99999999), _trails(100), before=hold(1))
case("BAD_TRAIL", _trails(0.00000001), _trails(0), "new, none", before=hold(1))


def _shows(shown: float) -> Act:
    return new(BUY, 5, type=LIMIT, limit_px=100, terms=OrderTerms(display_qty=to_fixed(shown)))


case("BAD_DISPLAY", _shows(5), _shows(6))
case("BAD_DISPLAY", _shows(1), _shows(0), "new, none")


def _guarded(stop: float) -> dict[str, Any]:
    return {"type": LIMIT, "limit_px": 100, "terms": OrderTerms(bracket=Bracket(stop_px=to_fixed(stop)))}


case("BAD_BRACKET", new(BUY, 1, **_guarded(99.99999999)), new(BUY, 1, **_guarded(100)))
case("BAD_BRACKET", rep(limit_px=95.01), rep(limit_px=95), "replace", before=has(**_guarded(95)))
case("BAD_BRACKET", new(SELL, 11, **_guarded(105)), new(SELL, 10, **_guarded(105)), "new, of what only closes",
     limits={"allow_short": True}, before=hold(10))  # fmt: skip
case("BAD_FIELD", new(BUY, 1, type=LIMIT, limit_px=99, terms=OrderTerms(post_only=True)),
     new(BUY, 1, terms=OrderTerms(post_only=True)))  # fmt: skip
case("DUPLICATE", new(BUY, 1, client_order_id="b"), new(BUY, 1, client_order_id="a"), before=has())
_signal = {"strategy": "s", "decision": 7}
case("DUPLICATE", then(later(SECOND), new(BUY, 1, **_signal)), then(later(SECOND - 1), new(BUY, 1, **_signal)),
     "new, in other words", limits={"duplicate_window_ns": SECOND}, before=new(BUY, 1, **_signal))  # fmt: skip
case("WOULD_FLIP", new(SELL, 10, tif=TimeInForce.FOK), new(SELL, 11, tif=TimeInForce.FOK),
     limits={"allow_short": True}, before=hold(10))  # fmt: skip
case("WOULD_FLIP", rep(10), rep(11), "replace", limits={"allow_short": True}, before=then(hold(10), has(SELL)))
case("DELISTED", new(BUY, 1, symbol=1), new(BUY, 1),
     before=lambda w: w.process(CorporateAction(w.clock.now(), w.session.date, 0, "delist", -1)))  # fmt: skip
case("TERMINAL_ORDER", rep(2), then(put(CancelOrder("a", "test")), rep(2)), "replace", before=has())
case("UNKNOWN_ORDER", rep(2), lambda w: w.replace("b", 2), "replace", before=has())

# -- state ---------------------------------------------------------------------------------------------------------

_resume = then(put(Unlatch("seen", "anna")), put(Resume("seen", "anna")))
moments("REDUCING", then(put(Reduce("look", "anna")), put(Resume("seen", "anna"))), put(Reduce("look", "anna")))
_exit = then(hold(10), has(SELL, 4))
case("REDUCING", rep(10), rep(11), "replace, of an exit", before=then(_exit, put(Reduce("look", "anna"))))
case("HALTED", then(_resume, new(BUY, 1)), new(BUY, 1), before=put(Halt("look", "anna")))
case("HALTED", rep(10), rep(11), "replace", before=then(_exit, put(Halt("look", "anna"))))
case("KILLED", then(_resume, new(BUY, 1)), new(BUY, 1), before=put(Kill("look", "anna")))
case("KILLED", then(_resume, new(SELL, 1)), new(SELL, 1), "new, an exit", before=then(hold(1), put(Kill("k", "anna"))))
moments("ENTRIES_BLOCKED", lambda w: w.mark(98_000.00000001), lambda w: w.mark(98_000),
        limits={"daily_loss_block": 0.02}, before=then(lambda w: w.close(), lambda w: w.open(),
                                                      lambda w: w.bar([100.0] * 3)))  # fmt: skip


def _locked(w: Any) -> None:
    w.state(EntriesLocked("main", 0, "cooldown", "a loss", w.clock.now() + MINUTE))


moments("COOLDOWN", then(_locked, later(MINUTE)), then(_locked, later(MINUTE - 1)))
_strategy = {"strategy": "s", "decision": 1}
_off = states(StrategyDisabled("s", "it raised", "predictor"))
_on = then(_off, states(StrategyEnabled("s", "fixed", "anna")))
case("STRATEGY_DISABLED", then(_on, new(BUY, 1, **_strategy)), then(_off, new(BUY, 1, **_strategy)))
case("STRATEGY_DISABLED", then(_on, rep(2)), then(_off, rep(2)), "replace", before=has(**_strategy))
_listed = states(RestrictionChanged(0, True, "insider", "anna"))
moments("RESTRICTED", then(_listed, states(RestrictionChanged(0, False, "over", "anna"))), _listed)


def _status(state: str) -> Act:
    return lambda w: w.process(TradingStatus(w.clock.now(), 0, state))


moments("SYMBOL_HALTED", then(_status("halted"), _status("trading")), _status("halted"))
case("NO_REF_PRICE", then(lambda w: w.bar([0.01, None, None]), new(BUY, 1)), then(lambda w: w.bar([None, 1, None]),
     new(BUY, 1)), limits={"require_reference": True}, price=None)  # fmt: skip


def _requires(w: Any) -> None:
    asked = msgspec.structs.replace(w.risk.limits, require_reference=True)
    w.process(SetLimits(asked, (("require_reference", "False", "True"),), "test", "anna"))


case("NO_REF_PRICE", then(lambda w: w.bar([1, None, None]), rep(2)), rep(2), "replace", price=None,
     before=then(has(), _requires))  # fmt: skip
# A minute's bar may be a minute old, and the five seconds behind that.
moments("STALE_PRICE", later(5 * SECOND + MINUTE), later(5 * SECOND + MINUTE + 1), limits={"stale_ns": 5 * SECOND})


def _before_close(ns: int) -> Act:
    return lambda w: w.clock.advance_to(w.session.close_ts - ns)


moments("NEAR_CLOSE", _before_close(MINUTE + 1), _before_close(MINUTE), limits={"no_entry_before_close_ns": MINUTE})


def _round_trips(count: int) -> Act:
    def act(w: Any) -> None:
        for n in range(count):
            for side in (BUY, SELL):
                assert w.submit(side, 1, symbol=1, client_order_id=f"t{n}{side}") == "ok"
                w.fill((f"t{n}{side}", 1, 100))

    return act


moments("PDT", _round_trips(2), _round_trips(3), limits={"pattern_day_trader": True}, account="margin", cash=24_999)

# -- rates: two at once, then one a second -------------------------------------------------------------------------

_two = then(has(), new(BUY, 1, symbol=0))
for _code, _limits in (
    ("ORDER_RATE", {"order_rate": 1.0, "order_burst": 2}),
    ("SYMBOL_ORDER_RATE", {"symbol_order_rate": 1.0, "symbol_order_burst": 2}),
    ("MESSAGE_RATE", {"message_rate": 1.0, "message_burst": 2}),
):
    case(_code, then(later(SECOND), new(BUY, 1)), then(later(SECOND - 1), new(BUY, 1)), limits=_limits, before=_two)
case("MESSAGE_RATE", then(later(SECOND), rep(2)), then(later(SECOND - 1), rep(2)), "replace",
     limits={"message_rate": 1.0, "message_burst": 2}, before=_two)  # fmt: skip

# -- size ----------------------------------------------------------------------------------------------------------

sizes("MAX_QTY", 50, 51, limits={"max_order_qty": 50 * SCALE})
sizes("MAX_QTY", 40, 41, limits={"max_order_qty": 50 * SCALE, "symbols": {"A": SymbolLimits(max_order_qty=40 * SCALE)}})


def _shares(units: int) -> Act:
    def act(w: Any) -> str:
        verdict: str = w.verdict(w.process(msgspec.structs.replace(w.order(BUY, 1), qty=units)))
        return verdict

    return act


case("MAX_QTY", _shares(FIXED_MAX - SCALE), _shares(FIXED_MAX - SCALE + 1), "new, of what can be counted",
     limits={"lot_size": 1}, before=hold(1, px=0.00000001), price=0.00000001)  # fmt: skip


def _volumes(w: Any) -> None:
    day(w, [100.0] * 3, [10_000.0] * 3)
    show(w, [100.0] * 3, [10_000.0] * 3)


sizes("MAX_ADV", 500, 501, _volumes, limits={"max_order_adv": 0.05})
_known, _unknown = 10_000.0, float("nan")
case("UNKNOWN_ADV", new(BUY, 1, symbol=0), new(BUY, 1, symbol=1), limits={"deny_unknown_adv": True},
     before=lambda w: day(w, [100.0] * 3, [_known, _unknown, _unknown]))  # fmt: skip


def _silent(sessions: int) -> Act:
    def act(w: Any) -> None:
        for _ in range(sessions):
            day(w, [100.0] * 3, [_unknown, _known, _known])

    return act


# An average is of the last twenty sessions; those without a volume are none of it.
case("UNKNOWN_ADV", then(_silent(19), rep(2)), then(_silent(20), rep(2)), "replace", limits={"deny_unknown_adv": True},
     before=then(lambda w: day(w, [100.0] * 3, [_known] * 3), has(tif=TimeInForce.GTC)))  # fmt: skip
case("MIN_NOTIONAL", new(BUY, 1), new(BUY, 0.99999999), limits={"min_order_value": 100 * SCALE, "lot_size": 1})
case("MIN_NOTIONAL", rep(1), rep(0.99999999), "replace", limits={"min_order_value": 100 * SCALE, "lot_size": 1},
     before=has(qty=2))  # fmt: skip
sizes("MAX_NOTIONAL", 200, 201, limits={"max_order_value": 20_000 * SCALE})
sizes("MAX_NOTIONAL", 300, 301, limits={"max_order_value": 20_000 * SCALE, "max_order_fraction": 0.3})


def _used_to(w: Any) -> None:
    for _ in range(5):
        assert w.submit(BUY, 1, symbol=1) == "ok"
    for name in list(w.venue.orders):
        w.process(CancelOrder(name, "test"))


sizes("UNUSUAL_SIZE", 3, 4, _used_to, limits={"unusual_size": 3.0, "unusual_size_orders": 5})

# -- price ---------------------------------------------------------------------------------------------------------

_collar = {"price_collar": 0.1}
case("PRICE_COLLAR", new(BUY, 1, type=LIMIT, limit_px=110), new(BUY, 1, type=LIMIT, limit_px=110.01), limits=_collar)
case("PRICE_COLLAR", rep(limit_px=90), rep(limit_px=89.99), "replace", limits=_collar, before=has())
case("PRICE_COLLAR", new(SELL, 1, type=LIMIT, limit_px=90), new(SELL, 1, type=LIMIT, limit_px=89.99), "new, an exit",
     limits=_collar, before=hold(1))  # fmt: skip
_walk = {"price_collar": 0.1, "collar_period_ns": 10 * SECOND}


def _walks(px: float) -> Act:
    return then(hold(1), lambda w: trade(w, 0, px, after=SECOND))


moments("COLLAR_PERIOD", _walks(110), _walks(110.01), limits=_walk)
_quoted: Act = lambda w: quote(w, 0, 99.0, 101.0)  # noqa: E731 - a name for what happens
case("NBBO", new(BUY, 1, type=LIMIT, limit_px=106.05), new(BUY, 1, type=LIMIT, limit_px=106.06),
     limits={"nbbo_tolerance": 0.05}, before=_quoted)  # fmt: skip
case("NBBO", rep(limit_px=106.05), rep(limit_px=106.06), "replace", limits={"nbbo_tolerance": 0.05},
     before=then(has(), _quoted))  # fmt: skip


def _spread(ask: float) -> Act:
    return lambda w: quote(w, 0, 100.0, ask)


# Twice the spread over the sum of both sides: 2 x 5.12 / 205.12 < 0.05 < 2 x 5.13 / 205.13.
case("WIDE_SPREAD", then(_spread(105.12), new(BUY, 1)), then(_spread(105.13), new(BUY, 1)),
     limits={"nbbo_tolerance": 0.05})  # fmt: skip
case("WIDE_SPREAD", then(_spread(105.12), rep(2)), then(_spread(105.13), rep(2)), "replace",
     limits={"nbbo_tolerance": 0.05}, before=has(type=OrderType.MARKET, limit_px=None))  # fmt: skip
_rests = then(hold(10), new(SELL, 10, type=LIMIT, limit_px=101))
_alone = {"self_match_prevention": True}
case("SELF_MATCH", new(BUY, 1, type=LIMIT, limit_px=100.99), new(BUY, 1, type=LIMIT, limit_px=101), limits=_alone,
     before=_rests)  # fmt: skip
case("SELF_MATCH", rep(limit_px=100.99), rep(limit_px=101), "replace", limits=_alone, before=then(_rests, has()))
_sure = {"min_confidence_buy": 0.65}
case("CONFIDENCE", new(BUY, 1, confidence=0.65), new(BUY, 1, confidence=0.6499999), limits=_sure)
case("CONFIDENCE", new(BUY, 1, confidence=None), new(BUY, 1, confidence=float("nan")), "new, none", limits=_sure)


def _surer(w: Any) -> None:
    asked = msgspec.structs.replace(w.risk.limits, min_confidence_buy=0.65)
    w.process(SetLimits(asked, (("min_confidence_buy", "0", "0.65"),), "test", "anna"))


case("CONFIDENCE", rep(2), lambda w: w.replace("b", 2), "replace",
     before=then(has(confidence=0.65), has(client_order_id="b", confidence=0.64), _surer))  # fmt: skip

# -- exposure ------------------------------------------------------------------------------------------------------

sizes("SHORT_NOT_ALLOWED", 10, 11, hold(10), side=SELL)
sizes("MAX_POSITION", 200, 201, limits={"max_position": 0.2})
sizes("MAX_POSITION", 190, 191, hold(10), limits={"max_position": 0.2})
case("MAX_POSITIONS", new(BUY, 1, symbol=1), new(BUY, 1, symbol=2), limits={"max_positions": 2},
     before=then(hold(1), new(BUY, 1, symbol=1)))  # fmt: skip
_sectors = ("Tech", "Oil", "Oil")
sizes("MAX_GROSS", 400, 401, hold(100, symbol=1), limits={"max_gross_value": 50_000 * SCALE})
sizes("MAX_LEVERAGE", 400, 401, hold(100, symbol=1), limits={"max_leverage": 0.5})
sizes("MAX_NET", 400, 401, hold(100, symbol=1), limits={"max_net": 0.5})
sizes("MAX_SECTOR", 300, 301, hold(300, symbol=1), limits={"max_sector": 0.3}, sectors=_sectors)
sizes("BOOK_GROSS", 400, 401, hold(100, symbol=1), limits={"book_max_gross_value": 50_000 * SCALE})
_both = ("main", "other")
sizes("BOOK_LEVERAGE", 900, 901, hold(100, symbol=1, portfolio="other"), limits={"book_max_leverage": 0.5},
      portfolios=_both)  # fmt: skip
sizes("BOOK_POSITION", 300, 301, hold(100, portfolio="other"), limits={"book_max_position": 0.2}, portfolios=_both)
sizes("RISK_PER_TRADE", 20, 21, limits={"risk_per_trade": 0.02})
sizes("MAX_HEAT", 100, 101, hold(100, symbol=1), limits={"max_heat": 0.2})
sizes("CASH", 1_000, 1_001)
sizes("BUYING_POWER", 2_000, 2_001, account="margin")

_SWINGS = (0.01, -0.01, 0.01, 0.02, -0.02, 0.01, -0.01, -0.01, 0.01, -0.01)


def _sessions(w: Any) -> None:
    """Thirteen sessions in which B does what A does, and C the opposite; all end at 100."""
    moves = (_SWINGS * 2)[:12]
    paths = [[100.0], [100.0], [100.0]]
    for move in reversed(moves):
        for path, sign in zip(paths, (1, 1, -1), strict=True):
            path.append(path[-1] / (1 + sign * move))
    for prices in zip(*(reversed(path) for path in paths), strict=True):
        day(w, list(prices))
    show(w, [100.0] * 3)


_alike = {"correlation_sessions": 12, "max_correlation": 0.8, "correlation_shrink": 0.7}
# The correlation of B is 1 with A and -1 with C: with nine parts of one and one of the other it is 0.8 in the mean.
case("CORRELATION", new(BUY, 1, symbol=1), then(hold(1), new(BUY, 1, symbol=1)), limits=_alike,
     before=then(_sessions, hold(8), hold(1, symbol=2)))  # fmt: skip
case("CORRELATION", rep(2), then(hold(1), rep(2)), "replace", limits=_alike,
     before=then(_sessions, hold(8), hold(1, symbol=2), has(symbol=1)))  # fmt: skip
_together = {"correlation_sessions": 12, "correlation_shrink": 0.7, "max_cluster": 0.3}
case("CLUSTER", new(BUY, 100, symbol=1), new(BUY, 101, symbol=1), limits=_together,
     before=then(_sessions, hold(200)))  # fmt: skip
case("CLUSTER", rep(100), rep(101), "replace", limits=_together,
     before=then(_sessions, hold(200), has(symbol=1)))  # fmt: skip


def _two_months(w: Any) -> None:
    """Sixty-one sessions that gain and lose 1 % in turn, the last of them at 100: a loss of 1 % is the 5 % quantile."""
    path = [100.0]
    for n in range(60):
        path.append(path[-1] / (1.01 if n % 2 else 0.99))
    for px in reversed(path):
        day(w, [px] * 3)
    show(w, [100.0] * 3)


# 1 % of 500 shares at 100 are 500, half a per cent of equity.
sizes("MAX_VAR", 500, 501, _two_months, limits={"max_var": 0.005, "var_sessions": 60})
# Without sessions the whole value is: 5 shares.
sizes("UNKNOWN_VAR", 5, 6, limits={"max_var": 0.005, "var_sessions": 60})
