"""Sizes of entries below what the gate would deny: by likeness, by what stops leave at risk, and by the room there is.

*Correlation* (``semantics.md`` section 4): the value-weighted mean of the signed correlations of an entry with what is
held or being entered, itself left out, over the sessions in common, of which there must be two thirds (40 of 60). Up to
``correlation_shrink`` the size is whole; from there it falls linearly, to nothing at ``max_correlation``. The size is
that of the position aimed at, so that deciding again does not fill up what was left out, and nothing is ever trimmed.

*Heat*: what an entry loses down to the stop it will have is at most ``risk_per_trade`` of equity, and all that is held,
being entered and decided on at most ``max_heat``: where less is left, every entry shrinks by the same fraction.

Both are measured as the gate measures them (``actors/risk/exposure_limits.py``, ``heat.py``): in the order of sending,
because an order that was sent counts for the next one.

*Room* under the limits on what is held is :mod:`actors.portfolio.room`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from actors.messages.columns import I64
from actors.messages.orders import BUY
from actors.portfolio.entry import Entry
from actors.portfolio.params import OFF, PortfolioSpec
from actors.portfolio.room import Room
from actors.portfolio.state import PortfolioState, Working
from actors.values.correlation import correlations
from actors.values.fixed import SCALE, mul, mul_ratio
from actors.values.history import SessionHistory
from actors.values.universe import Universe

_DIGITS: Final = 9
_UNIT: Final = float(SCALE) * SCALE
_HUNDRED_PERCENT: Final = 100 * SCALE

NOTHING: Final[Mapping[int, int]] = MappingProxyType({})

Distance = Callable[[PortfolioState, int, int], int]
"""Gives how far the automatic stop of an entry (symbol, price) will rest from its price, 0 for ``stop_loss``."""


class Cutback:
    """Cuts entries back; keeps correlations until the next session."""

    __slots__ = ("_distance", "_history", "_known", "_known_of", "_room")

    def __init__(self, universe: Universe, history: SessionHistory, distance: Distance) -> None:
        """Build over names and sectors, session returns, and over where stops of entries will rest."""
        self._room = Room(universe, self._correlated)
        self._history = history
        self._distance = distance
        self._known: dict[tuple[int, int], dict[int, float]] = {}
        self._known_of = -1

    def cut(
        self,
        pf: PortfolioState,
        entries: list[Entry],
        marks: I64,
        equity: int,
        gone: Mapping[str, object],
        closing: Mapping[int, int] = NOTHING,
    ) -> None:
        """Cut entries of one decision back, in place.

        Args:
            pf: the portfolio.
            entries: in the order in which they are sent.
            marks: last prices by symbol, units of 1e-8.
            equity: at those prices.
            gone: client order ids of working orders that this decision cancels.
            closing: shares by symbol that it closes before it opens anything.
        """
        spec = pf.spec
        works = [w for w in pf.entries.values() if not w.reduce_only and w.client_order_id not in gone]
        if spec.correlation_shrink and spec.max_correlation:
            self._cut_alike(pf, entries, works, marks)
        if equity > 0 and (spec.risk_per_trade or spec.max_heat):
            self._cut_heat(pf, entries, works, marks, equity)
        if equity > 0 and spec.room != OFF:
            self._room.fit(pf, entries, works, marks, equity, closing)

    # -- correlation -----------------------------------------------------------------------------------------------

    def _cut_alike(self, pf: PortfolioState, entries: list[Entry], works: list[Working], marks: I64) -> None:
        spec = pf.spec
        if self._history.known < _least(spec):
            return
        buys, sells = _open_by_symbol(works)
        symbols = sorted(dict.fromkeys((*pf.held(), *buys, *sells)))
        values: dict[int, float] = {}
        for symbol in symbols:
            values[symbol] = _worst(pf.qty(symbol), buys.get(symbol, 0), sells.get(symbol, 0), marks.item(symbol))
        for entry in entries:
            mean = self._likeness(spec, entry, values)
            if mean > spec.correlation_shrink:
                span = spec.max_correlation - spec.correlation_shrink
                part = max(0.0, (spec.max_correlation - mean) / span) if span else 0.0
                whole = entry.base + entry.qty
                entry.less_alike = entry.cut(mul(whole, round(part * SCALE)) - entry.base, spec.lot_size)
            if entry.qty:
                value = entry.side * (entry.base + entry.qty) * entry.px / _UNIT
                values[entry.symbol] = max(values.get(entry.symbol, 0.0), value, key=abs)

    def _likeness(self, spec: PortfolioSpec, entry: Entry, values: Mapping[int, float]) -> float:
        """Return an entry's mean signed correlation with what is held, 0 where it is not known."""
        others = sorted(symbol for symbol in values if symbol != entry.symbol)
        weighted = weights = 0.0
        for other, rho in zip(others, self._correlated(spec, entry.symbol, others), strict=True):
            if rho == rho:  # noqa: PLR0124 - NaN, not known, differs from itself
                weighted += rho * entry.side * values[other]
                weights += abs(values[other])
        return round(weighted / weights, _DIGITS) if weights else 0.0

    def _correlated(self, spec: PortfolioSpec, symbol: int, others: list[int]) -> list[float]:
        """Return correlations with others, NaN where one is not known; none at all where too few sessions are."""
        least = _least(spec)
        if self._history.known < least:
            return []
        if self._known_of != self._history.version:
            self._known.clear()
            self._known_of = self._history.version
        known = self._known.setdefault((symbol, spec.correlation_sessions), {})
        missing = [other for other in others if other not in known]
        if missing:
            returns = self._history.returns_of([symbol, *missing], spec.correlation_sessions)
            found = correlations(returns, 0, range(1, len(missing) + 1), least)
            known.update(zip(missing, found, strict=True))
        return [known[other] for other in others]

    # -- heat ------------------------------------------------------------------------------------------------------

    def _cut_heat(
        self, pf: PortfolioState, entries: list[Entry], works: list[Working], marks: I64, equity: int
    ) -> None:
        spec = pf.spec
        losses = [self._loss(pf, e.symbol, e.px, exempt=e.exempt) for e in entries]
        before = [e.qty for e in entries]
        if spec.risk_per_trade:
            most = round(spec.risk_per_trade * SCALE) * equity
            for entry, loss in zip(entries, losses, strict=True):
                if loss:
                    entry.cut(most // loss, spec.lot_size)
        if spec.max_heat:
            sides = self._sides(pf, works, marks)
            left = max(0, round(spec.max_heat * SCALE) * equity - sum(map(max, sides.values())))
            # What a flip opens is there once what it closes is gone: only what it risks beyond that adds anything.
            gone = [_along(sides, e) if pf.qty(e.symbol) * e.side < 0 else 0 for e in entries]
            needs = [loss * e.qty for e, loss in zip(entries, losses, strict=True)]
            _shrink(entries, needs, gone, left, spec.lot_size)
        for entry, was in zip(entries, before, strict=True):
            whole = entry.base + was
            entry.less_heat = (was - entry.qty) / whole if whole else 0.0

    def _sides(self, pf: PortfolioState, works: Iterable[Working], marks: I64) -> dict[int, tuple[int, int]]:
        """Return by symbol what is held and being entered loses down to its stops, units of 1e-16.

        On the side of the position, and on the other one by what opens behind its end: never both at once.
        """
        stops: dict[int, list[Working]] = {}
        cuts: dict[int, int] = {}
        for working in pf.working():
            _add_stop(stops, working)
            if working.market and working.reduce_only:
                cuts[working.symbol] = cuts.get(working.symbol, 0) + working.leaves
        sides: dict[int, tuple[int, int]] = {}
        left: dict[int, int] = {}
        for symbol in pf.held():
            sides[symbol] = _position_risk(pf.qty(symbol), marks.item(symbol), stops.get(symbol, ())), 0
            left[symbol] = abs(pf.qty(symbol)) - cuts.get(symbol, 0)
        for working in works:
            symbol, opens = working.symbol, working.leaves
            along, against = sides.get(symbol, (0, 0))
            loss = self._loss(pf, symbol, marks.item(symbol), exempt=working.exempt or not working.strategy)
            if pf.qty(symbol) * working.side >= 0:
                sides[symbol] = along + loss * opens, against
            else:
                closes = max(0, min(opens, left[symbol]))
                left[symbol] -= closes
                sides[symbol] = along, against + loss * (opens - closes)
        return sides

    def _loss(self, pf: PortfolioState, symbol: int, px: int, *, exempt: bool) -> int:
        """Return what a share entered at ``px`` loses down to the stop it will have; all of it without one."""
        if exempt:
            return px
        away = self._distance(pf, symbol, px) or mul(px, round(pf.spec.stop_loss * SCALE))
        return min(px, away) or px


def _least(spec: PortfolioSpec) -> int:
    """Return the sessions without which no correlation is known: two thirds, 40 of 60."""
    return -(-2 * spec.correlation_sessions // 3)


def _along(sides: Mapping[int, tuple[int, int]], entry: Entry) -> int:
    """Return by how much what is held in a flip's symbol risks more than what opens there already."""
    along, against = sides.get(entry.symbol, (0, 0))
    return max(0, along - against)


def _shrink(entries: list[Entry], needs: list[int], gone: list[int], left: int, lot_size: int) -> None:
    """Cut entries by one fraction so that together they need no more than is left.

    Args:
        entries: in the order of ``needs``.
        needs: what each needs whole.
        gone: the part of it that is free, as it takes the place of something.
        left: for all of them.
        lot_size: of what is cut.
    """
    counted = [(need, free) for need, free in zip(needs, gone, strict=True) if need > free]
    if sum(need - free for need, free in counted) <= left:
        return
    while True:
        total = sum(need for need, _ in counted)
        most = left + sum(free for _, free in counted)
        fewer = [(need, free) for need, free in counted if need * most >= free * total]
        if len(fewer) == len(counted):
            break
        counted = fewer
    for entry in entries:
        entry.cut(entry.qty * most // total, lot_size)


def _open_by_symbol(works: Iterable[Working]) -> tuple[dict[int, int], dict[int, int]]:
    buys: dict[int, int] = {}
    sells: dict[int, int] = {}
    for working in works:
        side = buys if working.side == BUY else sells
        side[working.symbol] = side.get(working.symbol, 0) + working.leaves
    return buys, sells


def _worst(qty: int, buys: int, sells: int, px: int) -> float:
    """Return the value of a position as if all buys or all sales filled, whichever is larger; signed, in money."""
    up, down = qty + buys, qty - sells
    return (up if up >= -down else down) * px / _UNIT


def _add_stop(stops: dict[int, list[Working]], working: Working) -> None:
    if working.stop_px or working.trail_amount or working.trail_percent:
        stops.setdefault(working.symbol, []).append(working)


def _position_risk(qty: int, px: int, stops: Iterable[Working]) -> int:
    """Return what a position loses from ``px`` to its stops, the nearest first; what none covers loses all."""
    side = 1 if qty > 0 else -1
    left = abs(qty)
    total = 0
    for loss, leaves in sorted((_stop_loss(w, px, side), w.leaves) for w in stops if w.side == -side):
        covered = min(leaves, left)
        total += loss * covered
        left -= covered
    return total + left * px


def _stop_loss(working: Working, px: int, side: int) -> int:
    if working.stop_px:
        return max(0, side * (px - working.stop_px))
    return working.trail_amount or mul_ratio(px, working.trail_percent, _HUNDRED_PERCENT)
