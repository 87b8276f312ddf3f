"""Transaction cost analysis: what each order lost against trading at once, at the price it was decided on.

Implementation shortfall (Perold, "The Implementation Shortfall: Paper versus Reality", Journal of Portfolio Management
14(3), 1988; in four parts as Kissell expands it). With side s (+1 buy, -1 sell), ordered quantity Q, fills q_i at p_i,
F = sum q_i, the decision's price P_d, the market's price P_a when the order reached it, and the price P_end when what
was left of it ended:

    delay = s F (P_a - P_d)            execution = s sum q_i (p_i - P_a)
    opportunity = s (Q - F) (P_end - P_d)                fees = commission + regulatory fees

Their sum is the shortfall, exactly: it is what a paper portfolio that trades Q at P_d gains more than the real one.
Positive is a cost. Execution holds the half spread, slippage and impact that the fills name; the rest is ``timing``,
what the market did between arrival and fill. Everything is computed in whole units of 1e-16 (a price times a quantity)
and never rounded. Where a price is not known, what needs it is None and never 0; an order counts in sums only if all
four parts are known, so that sums add up, too.

Two kinds of orders are told apart:

* One that waits for a price of its own (stop, touch, trailing, take profit, exits of a bracket or lot) decides when
  that price is met: P_d = P_a = its stop, or its limit. What the market did before was the plan and no cost of trading;
  what it loses or gains against that price, as through a gap, is timing. Where the price never comes nothing is missed.
* One that ended because another did its work, or because nothing was left to do (:data:`EXCUSED`), misses nothing.

A replaced order keeps its decision and is measured by its last quantity. A split restates prices and quantities.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from actors.values.fixed import SCALE

FINE: Final = SCALE * SCALE
"""Units in one: prices times quantities."""

WAITING: Final = frozenset(
    ("stop", "stop_limit", "trailing_stop", "market_if_touched", "limit_if_touched", "take_profit")
)
"""Types of orders that wait for a price of their own."""

EXITS: Final = frozenset(("stop_loss", "take_profit"))
"""Reasons of orders that do, too."""

EXCUSED: Final = frozenset(
    ("OCO", "BRACKET_CLOSED", "POSITION_CLOSED", "LOT_CLOSED", "REDUCE_ONLY_FLAT", "NO_POSITION", "SPLIT")
)
"""Reasons of an end after which nothing is missed."""

REFUSED: Final = ("denied", "rejected")
"""Statuses of orders that never worked: they are counted and cost nothing."""

PARTS: Final = ("delay", "execution", "opportunity", "fees")
EXECUTION: Final = ("spread", "slippage", "impact", "timing")
BENCHMARKS: Final = ("arrival", "vwap", "close")
GROUPS: Final = ("strategy", "symbol", "hour", "type")
"""What sums are grouped by, as :meth:`Analysis.document` builds its keys."""


class ParentOrder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An order and what became of it. Prices, quantities and money in units of 1e-8, None where unknown.

    Attributes:
        order_id, client_order_id, portfolio, symbol, type, strategy, status: as in ``orders.csv``.
        ts: when it was accepted, nanoseconds UTC.
        hour: of that, on the exchange's clock, 0 to 23.
        side: +1 or -1.
        qty, filled: ordered and filled.
        value: sum of quantity x price of the fills, units of 1e-16.
        decision_px, arrival_px, end_px: the stamps of the module's text.
        fees: commission and regulatory.
        spread, slippage, impact: what the fills name of each.
        missed: whether what is not filled was wanted; see the module.
        expected, paid: estimate at acceptance, and what it turned out to be (without regulatory fees).
        vwap: average price of all trading between acceptance and last fill, weighted by volume, a float.
        close: last price of the session of the last fill.
    """

    order_id: str
    client_order_id: str
    ts: int
    symbol: str
    side: int
    type: str
    status: str
    qty: int
    hour: int = 0
    portfolio: str = ""
    strategy: str = ""
    filled: int = 0
    value: int = 0
    decision_px: int | None = None
    arrival_px: int | None = None
    end_px: int | None = None
    fees: int = 0
    spread: int | None = None
    slippage: int | None = None
    impact: int | None = None
    missed: bool = True
    expected: int | None = None
    paid: int | None = None
    vwap: float | None = None
    close: int | None = None

    @property
    def wanted(self) -> int:
        """What was to be traded in the end."""
        return self.qty if self.missed else self.filled

    def bps(self, total: int | None) -> float | None:
        """Return money in units of 1e-16 as basis points of what was wanted at the decision's price."""
        base = self.wanted * self.decision_px if self.decision_px is not None else 0
        return 10_000 * total / base if total is not None and base else None


class Shortfall(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The parts of one order's shortfall, units of 1e-16, None where unknown; positive is a cost.

    ``timing`` is what of the execution the known ones of spread, slippage and impact do not explain. ``arrival``,
    ``vwap`` (a float) and ``close`` are what the fills cost against those prices.
    """

    delay: int | None
    execution: int | None
    opportunity: int | None
    fees: int
    total: int | None
    spread: int | None
    slippage: int | None
    impact: int | None
    timing: int | None
    arrival: int | None
    vwap: float | None
    close: int | None

    @property
    def complete(self) -> bool:
        """Whether all four parts are known."""
        return self.delay is not None and self.execution is not None and self.opportunity is not None


def shortfall(order: ParentOrder) -> Shortfall:
    """Take an order's shortfall apart; of a refused order nothing is known."""
    if order.status in REFUSED:
        return _NOTHING
    side, filled, value = order.side, order.filled, order.value
    decision, arrival = order.decision_px, order.arrival_px
    missing = order.wanted - filled
    delay = execution = opportunity = total = None
    if not filled:
        delay = execution = 0
    elif arrival is not None:
        execution = side * (value - filled * arrival)
        if decision is not None:
            delay = side * filled * (arrival - decision)
    if not missing:
        opportunity = 0
    elif decision is not None and order.end_px is not None:
        opportunity = side * missing * (order.end_px - decision)
    fees = order.fees * SCALE
    if opportunity is not None and (decision is not None or not filled):
        total = (side * (value - filled * (decision or 0)) if filled else 0) + opportunity + fees
    named = [None if part is None else part * SCALE for part in (order.spread, order.slippage, order.impact)]
    timing = None if execution is None else execution - sum(part or 0 for part in named)
    return Shortfall(
        delay=delay,
        execution=execution,
        opportunity=opportunity,
        fees=fees,
        total=total,
        spread=named[0],
        slippage=named[1],
        impact=named[2],
        timing=timing,
        arrival=execution if filled else None,
        vwap=side * (value / FINE - filled / SCALE * order.vwap) if filled and order.vwap is not None else None,
        close=side * (value - filled * order.close) if filled and order.close is not None else None,
    )


_NOTHING: Final = Shortfall(
    delay=None,
    execution=None,
    opportunity=None,
    fees=0,
    total=None,
    spread=None,
    slippage=None,
    impact=None,
    timing=None,
    arrival=None,
    vwap=None,
    close=None,
)


class Analysis(msgspec.Struct, frozen=True):
    """Every order with its shortfall, in order of time."""

    rows: Sequence[tuple[ParentOrder, Shortfall]]

    @classmethod
    def of(cls, orders: Iterable[ParentOrder]) -> Analysis:
        """Analyse orders."""
        return cls([(order, shortfall(order)) for order in orders])

    def document(self) -> dict[str, Any]:
        """Return the sums as plain values: money, and bps weighted by value; None where nothing is known."""
        cells: dict[tuple[str, str, str, str], _Sums] = {}
        for order, parts in self.rows:
            key = order.strategy, order.symbol, f"{order.hour:02d}", order.type
            cell = cells.get(key)
            if cell is None:
                cell = cells[key] = _Sums()
            cell.add(order, parts)
        total = _Sums()
        by: dict[str, Any] = {}
        for i, name in enumerate(GROUPS):
            found: dict[str, _Sums] = {}
            for key, cell in cells.items():
                found.setdefault(key[i], _Sums()).merge(cell)
            by[name] = {label: sums.document() for label, sums in sorted(found.items())}
        for cell in cells.values():
            total.merge(cell)
        return total.document() | {
            "of_execution": _execution(self.rows),
            "benchmarks": {name: _against(self.rows, name) for name in BENCHMARKS},
            "expected": _expected(self.rows),
            "by": by,
        }


_COUNTED: Final = ("filled", "partially_filled", "canceled", "expired", "rejected", "denied")
_Rows = Sequence[tuple[ParentOrder, Shortfall]]


def _known(rows: _Rows) -> list[tuple[ParentOrder, Shortfall]]:
    """Return the orders whose parts are all known."""
    return [(o, p) for o, p in rows if p.complete]


class _Sums(msgspec.Struct, gc=False):
    """Counts of orders, and the parts of those whose parts are all known, added up; whole units, so in any order.

    ``ordered`` is the sum of Q x P_d, which the bps are of; of an order that misses nothing only F counts.
    """

    orders: int = 0
    value: int = 0
    known: int = 0
    delay: int = 0
    execution: int = 0
    opportunity: int = 0
    fees: int = 0
    ordered: int = 0
    statuses: dict[str, int] = msgspec.field(default_factory=dict)

    def add(self, order: ParentOrder, parts: Shortfall) -> None:
        """Count one order."""
        self.orders += 1
        statuses, status = self.statuses, order.status
        statuses[status] = statuses.get(status, 0) + 1
        self.value += order.value
        delay, execution, opportunity = parts.delay, parts.execution, parts.opportunity
        if delay is None or execution is None or opportunity is None:
            return
        self.known += 1
        self.delay += delay
        self.execution += execution
        self.opportunity += opportunity
        self.fees += parts.fees
        if order.decision_px is not None:
            self.ordered += order.wanted * order.decision_px

    def merge(self, other: _Sums) -> None:
        """Count what another has counted."""
        self.orders += other.orders
        self.value += other.value
        self.known += other.known
        self.delay += other.delay
        self.execution += other.execution
        self.opportunity += other.opportunity
        self.fees += other.fees
        self.ordered += other.ordered
        for status, count in other.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + count

    def document(self) -> dict[str, Any]:
        """Return counts and sums as plain values."""
        total = self.delay + self.execution + self.opportunity + self.fees
        sums = (self.delay, self.execution, self.opportunity, self.fees, total)
        return {
            "orders": self.orders,
            **{status: self.statuses.get(status, 0) for status in _COUNTED},
            "analysed": self.known,
            "value": self.value / FINE,
            "ordered": self.ordered / FINE,
            **{name: part / FINE if self.known else None for name, part in zip((*PARTS, "total"), sums, strict=True)},
            "bps": 10_000 * total / self.ordered if self.ordered else None,
        }


def _execution(rows: _Rows) -> dict[str, float | None]:
    known = _known(rows)
    out: dict[str, float | None] = {}
    for name in EXECUTION:
        values = [value for _, parts in known if (value := getattr(parts, name)) is not None]
        out[name] = sum(values) / FINE if values else None
    return out


def _against(rows: _Rows, name: str) -> dict[str, Any]:
    """Return what the fills cost against one benchmark, and in bps of the fills' value."""
    found = [(order, value) for order, parts in rows if (value := getattr(parts, name)) is not None]
    money = sum(value if name == "vwap" else value / FINE for _, value in found)
    traded = sum(order.value for order, _ in found) / FINE
    return {
        "orders": len(found),
        "money": money if found else None,
        "bps": 10_000 * money / traded if traded else None,
    }


def _expected(rows: _Rows) -> dict[str, Any]:
    """Compare what orders were expected to cost with what they did, over those that filled whole."""
    found = [
        (order.expected, order.paid, order.value)
        for order, _ in rows
        if order.expected is not None and order.paid is not None and order.filled == order.qty
    ]
    expected, paid = sum(e for e, _, _ in found), sum(p for _, p, _ in found)
    traded = sum(v for _, _, v in found)
    return {
        "orders": len(found),
        "expected": expected / SCALE if found else None,
        "paid": paid / SCALE if found else None,
        "expected_bps": 10_000 * expected * SCALE / traded if traded else None,
        "paid_bps": 10_000 * paid * SCALE / traded if traded else None,
    }
