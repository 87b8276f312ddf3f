"""Sizes of entries within the room that the gate's limits on what is held leave.

Position, names, gross value, leverage, net, sector and cluster are measured as the gate measures them
(``actors/risk/exposure_limits.py``): what is held and works counts as if all of it filled, on the side that is larger;
what only reduces makes nothing smaller before it has traded. What is held already comes first and is never trimmed; the
room that it leaves goes to the entries in order of their strength, of equal ones to the lower symbol first. An entry
that fits in part is cut to that part, in whole lots, and dropped where the part is too small to trade.

*Cluster* is counted for the entry and for those that got their room before it, in whichever order they are sent: so
each passes. Symbols without a sector are one sector together, and where no symbol has one none is limited; a cluster
is limited once two thirds of the sessions of correlations are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from actors.messages.columns import I64
from actors.messages.orders import BUY
from actors.portfolio.entry import Entry
from actors.portfolio.params import PortfolioSpec, RoomLimits, tighter
from actors.portfolio.state import PortfolioState, Working
from actors.values.fixed import SCALE, mul, to_fixed
from actors.values.universe import Universe, sector_numbers

Correlated = Callable[[PortfolioSpec, int, list[int]], list[float]]
"""Gives correlations of a symbol with others, NaN where one is not known; an empty list where none can be."""

_NO_LIMIT: Final = 1 << 200


class _Terms:
    """A portfolio's limits by number, units of 1e-8; 0 for off."""

    __slots__ = ("cluster", "gross", "leverage", "named", "names", "net", "of", "position", "sectors")

    def __init__(self, of: RoomLimits, index: Mapping[str, int], sectors: Sequence[str]) -> None:
        self.of = of
        self.position = to_fixed(of.max_position)
        self.named = {index[name]: to_fixed(share) for name, share in of.symbols.items() if name in index}
        self.names = of.max_positions
        self.gross = of.max_gross_value
        self.leverage = to_fixed(of.max_leverage)
        self.net = to_fixed(of.max_net)
        self.cluster = to_fixed(of.max_cluster)
        shares = tuple(to_fixed(tighter(of.max_sector, of.sectors.get(name, 0.0))) for name in sectors)
        self.sectors = shares if any(shares) else ()


class _Holding(msgspec.Struct):
    """One symbol with what works in it: signed shares if all buys fill, and if all sales do; values in 1e-16."""

    up: int
    down: int
    px: int
    counted: bool = False

    @property
    def gross(self) -> int:
        """Value of the larger side."""
        return max(self.up, -self.down) * self.px


class _Sums:
    """What is held, works, and has got its room so far."""

    __slots__ = ("down", "gross", "holdings", "names", "placed", "sectors", "up")

    def __init__(self, n_sectors: int) -> None:
        self.holdings: dict[int, _Holding] = {}
        self.gross = self.up = self.down = self.names = 0
        self.sectors = [0] * n_sectors
        self.placed: list[Entry] = []
        """Entries that have their room."""

    def add(self, symbol: int, holding: _Holding, sector: int) -> None:
        """Count a symbol."""
        self.holdings[symbol] = holding
        self._shift(holding, 1, sector)

    def take(self, symbol: int, sector: int, *, up: int, down: int) -> None:
        """Let a symbol be more."""
        holding = self.holdings[symbol]
        self._shift(holding, -1, sector)
        holding.up, holding.down = up, down
        self._shift(holding, 1, sector)

    def _shift(self, holding: _Holding, sign: int, sector: int) -> None:
        gross = sign * holding.gross
        self.gross += gross
        self.up += sign * holding.up * holding.px
        self.down += sign * holding.down * holding.px
        if self.sectors:
            self.sectors[sector] += gross


class Room:
    """Fits entries into the room that is left; reads folded state only."""

    __slots__ = ("_correlated", "_index", "_sector_names", "_sector_of", "_terms")

    def __init__(self, universe: Universe, correlated: Correlated) -> None:
        """Build over the names and sectors of a run, and over its correlations."""
        self._correlated = correlated
        self._index = universe.index()
        self._sector_names, self._sector_of = sector_numbers(universe)
        self._terms: dict[str, _Terms] = {}

    def fit(
        self,
        pf: PortfolioState,
        entries: Sequence[Entry],
        works: Sequence[Working],
        marks: I64,
        equity: int,
        closing: Mapping[int, int],
    ) -> None:
        """Cut entries of one decision to the room there is, in place.

        Args:
            pf: the portfolio.
            entries: of the decision.
            works: orders that work and may make a position larger.
            marks: last prices by symbol, units of 1e-8.
            equity: at those prices, above 0.
            closing: shares by symbol that the decision closes before it opens anything.
        """
        terms = self._compiled(pf)
        sums = self._sums(pf, entries, works, marks, closing)
        for entry in sorted(entries, key=lambda e: (-e.strength, e.symbol)):
            if not entry.qty:
                continue
            worth, bound = self._worth(pf.spec, terms, sums, entry, equity)
            holding = sums.holdings[entry.symbol]
            there = max(0, holding.up if entry.side == BUY else -holding.down)
            most = max(0, worth // entry.px - there)
            if most < entry.qty:
                most -= most % pf.spec.lot_size
                if mul(entry.px, most) < pf.spec.min_order_value:
                    most = 0
                entry.less_room = entry.cut(most, pf.spec.lot_size)
                entry.bound = bound
            if entry.qty:
                self._take(sums, entry, there)

    def _compiled(self, pf: PortfolioState) -> _Terms:
        terms = self._terms.get(pf.name)
        if terms is None or terms.of is not pf.spec.room:
            terms = self._terms[pf.name] = _Terms(pf.spec.room, self._index, self._sector_names)
        return terms

    def _sector(self, symbol: int) -> int:
        return self._sector_of[symbol] if self._sector_of else 0

    # -- what there is ---------------------------------------------------------------------------------------------

    def _sums(
        self,
        pf: PortfolioState,
        entries: Sequence[Entry],
        works: Sequence[Working],
        marks: I64,
        closing: Mapping[int, int],
    ) -> _Sums:
        buys: dict[int, int] = {}
        sells: dict[int, int] = {}
        for working in works:
            side = buys if working.side == BUY else sells
            side[working.symbol] = side.get(working.symbol, 0) + working.leaves
        exits = _exits(pf, works, closing)
        sums = _Sums(len(self._sector_names))
        for symbol in sorted(dict.fromkeys((*pf.held(), *buys, *sells, *(e.symbol for e in entries)))):
            qty, bought, sold = pf.qty(symbol), buys.get(symbol, 0), sells.get(symbol, 0)
            holding = _Holding(qty + bought, qty - sold, max(0, marks.item(symbol)))
            left, cuts = exits.get(symbol, (0, 0))
            holding.counted = left < abs(qty)
            holding.counted |= bool((bought and bought > -qty - cuts) or (sold and sold > qty - cuts))
            sums.names += holding.counted
            sums.add(symbol, holding, self._sector(symbol))
        return sums

    # -- how much of a symbol there may be -------------------------------------------------------------------------

    def _worth(self, spec: PortfolioSpec, terms: _Terms, sums: _Sums, entry: Entry, equity: int) -> tuple[int, str]:
        """Return what may be held in an entry's symbol on its side, units of 1e-16, and the limit that says so."""
        symbol = entry.symbol
        holding = sums.holdings[symbol]
        if terms.names and not holding.counted and sums.names >= terms.names:
            return 0, "max_positions"
        own, beside = holding.gross, -holding.down if entry.side == BUY else holding.up
        least, bound = _NO_LIMIT, ""
        position = min(terms.position or _NO_LIMIT, terms.named.get(symbol, 0) or _NO_LIMIT)
        found = [("max_position", position * equity)] if position < _NO_LIMIT else []
        if terms.net:
            others = sums.up - holding.up * entry.px if entry.side == BUY else holding.down * entry.px - sums.down
            found.append(("max_net", terms.net * equity - others))
        whole = []
        if terms.gross:
            whole.append(("max_gross_value", terms.gross * SCALE - sums.gross + own))
        if terms.leverage:
            whole.append(("max_leverage", terms.leverage * equity - sums.gross + own))
        if terms.sectors and (share := terms.sectors[self._sector(symbol)]):
            whole.append(("max_sector", share * equity - sums.sectors[self._sector(symbol)] + own))
        if terms.cluster:
            whole.append(("max_cluster", self._beside_cluster(spec, terms, sums, entry, equity)))
        # What the larger side of a symbol is limited to leaves no room where its other side is larger still.
        found += [(name, worth if worth >= beside * entry.px else 0) for name, worth in whole]
        for name, worth in found:
            if worth < least:
                least, bound = worth, name
        return max(0, least), bound

    def _beside_cluster(self, spec: PortfolioSpec, terms: _Terms, sums: _Sums, entry: Entry, equity: int) -> int:
        """Return what clusters leave for an entry's symbol: its own, and those of the entries before it."""
        most = terms.cluster * equity
        worth = _NO_LIMIT
        alike = self._alike(spec, sums, entry)
        if alike:
            worth = most - sum(sums.holdings[other].gross for other in alike)
        for before in sums.placed:
            if before.symbol != entry.symbol and self._moves_with(spec, before, entry):
                cluster = [before.symbol, *self._alike(spec, sums, before)]
                worth = min(worth, most - sum(sums.holdings[s].gross for s in cluster if s != entry.symbol))
        return worth

    def _alike(self, spec: PortfolioSpec, sums: _Sums, entry: Entry) -> list[int]:
        """Return what is held or has its room and moves with an entry."""
        others = [s for s, h in sums.holdings.items() if s != entry.symbol and h.gross]
        alike = []
        for other, rho in zip(others, self._correlated(spec, entry.symbol, others), strict=False):  # none: not known
            holding = sums.holdings[other]
            leaning = 1 if holding.up >= -holding.down else -1
            if rho * entry.side * leaning >= spec.correlation_shrink:
                alike.append(other)
        return alike

    def _moves_with(self, spec: PortfolioSpec, entry: Entry, other: Entry) -> bool:
        found = self._correlated(spec, entry.symbol, [other.symbol])
        return bool(found) and found[0] * entry.side * other.side >= spec.correlation_shrink

    def _take(self, sums: _Sums, entry: Entry, there: int) -> None:
        """Count an entry that has its room."""
        symbol = entry.symbol
        holding = sums.holdings[symbol]
        up = there + entry.qty if entry.side == BUY else holding.up
        down = -there - entry.qty if entry.side != BUY else holding.down
        sums.take(symbol, self._sector(symbol), up=up, down=down)
        sums.names += not holding.counted
        holding.counted = True
        sums.placed.append(entry)


def _exits(pf: PortfolioState, works: Sequence[Working], closing: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """Return by symbol what market orders close of a position, and the part of it that is in reduce-only ones."""
    found = {symbol: (qty, qty) for symbol, qty in closing.items()}
    automatic = (working for group in pf.exits.values() for working in group.values())
    reducing = (working for working in pf.entries.values() if working.reduce_only)
    for working in (*works, *reducing, *automatic):
        if working.market and (working.reduce_only or pf.qty(working.symbol) * working.side < 0):
            left, cuts = found.get(working.symbol, (0, 0))
            cut = working.leaves if working.reduce_only else 0
            found[working.symbol] = left + working.leaves, cuts + cut
    return found
