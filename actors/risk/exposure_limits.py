"""How much may be held: of a portfolio, a sector, names that move together, and of all portfolios together.

Every limit is of the worst case: as if all that works on the order's side filled and the order itself, at the higher of
the last price and the order's own. A limit that needs a price that is not there denies; one that needs history
(correlations) says nothing until there is enough, and value at risk counts whole what it does not know.

*Correlation* is the value-weighted mean of the signed correlations of the entry with what is held (``semantics.md``
section 4): a short counts with the other sign on either side, the symbol itself is left out, and so are names whose
correlation is not known. *Cluster* is the value of the names whose signed correlation is ``correlation_shrink`` or
more, the entry's own included; where there is no such name, ``max_position`` is the limit. *Value at risk* is
historical, one session, 95 %, of everything held and the entry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from actors.messages.orders import BUY
from actors.risk.exposure import Exposure
from actors.risk.form import Denial, plain
from actors.risk.holdings import Book, Holding
from actors.risk.limits import NO_LIMIT, PortfolioTerms
from actors.risk.params import RiskLimits
from actors.risk.prices import Prices
from actors.risk.totals import Totals
from actors.risk.var import LEAST
from actors.risk.var_limit import VarLimit
from actors.values.correlation import correlations
from actors.values.fixed import SCALE, div_round, fmt, to_fixed
from actors.values.history import SessionHistory
from actors.values.plain import in_cents
from actors.values.universe import Universe, sector_numbers

_UNIT: Final = SCALE * SCALE
_DIGITS: Final = 9
_NAMED_MAX: Final = 3


class ExposureLimits:
    """The checks of what an entry may lead to beyond its own symbol, in their order; reads folded state only."""

    __slots__ = (
        "_alike_from",
        "_book_gross",
        "_book_leverage",
        "_book_position",
        "_books",
        "_calm",
        "_cluster",
        "_correlation",
        "_history",
        "_known",
        "_known_of",
        "_least",
        "_limits",
        "_n_sectors",
        "_prices",
        "_sector_names",
        "_sector_of",
        "_shrink",
        "_symbols",
        "_together",
        "_var",
        "_var_limit",
    )

    def __init__(
        self, universe: Universe, limits: RiskLimits, exposure: Exposure, prices: Prices, history: SessionHistory
    ) -> None:
        """Build over the actor's live state.

        Args:
            universe: names and sectors.
            limits: the limits.
            exposure: books and working orders.
            prices: last known prices.
            history: session returns.
        """
        self._symbols = universe.symbols
        self._books: Mapping[str, Book] = exposure.books
        self._prices = prices
        self._history = history
        self._sector_names, self._sector_of = sector_numbers(universe)
        self._n_sectors = len(self._sector_names)
        self._known: dict[int, dict[int, float]] = {}
        self._known_of = -1
        self._calm: dict[int, tuple[int, int, Totals]] = {}
        self._var_limit = VarLimit(history, limits)
        self.adopt(limits)

    def adopt(self, limits: RiskLimits) -> None:
        """Judge by these limits from now on."""
        self._limits = limits
        self._book_gross = limits.book_max_gross_value
        self._book_leverage = to_fixed(limits.book_max_leverage)
        self._book_position = to_fixed(limits.book_max_position)
        self._together = bool(self._book_gross or self._book_leverage or self._book_position)
        self._correlation = limits.max_correlation
        self._shrink = limits.correlation_shrink
        self._cluster = to_fixed(limits.max_cluster)
        alike = self._correlation or (self._cluster and self._shrink)
        self._least = -(-2 * limits.correlation_sessions // 3) if alike else NO_LIMIT  # 40 of 60
        self._var = to_fixed(limits.max_var)
        self._var_limit.adopt(limits)
        self._alike_from = min(limit for limit in (self._correlation, self._shrink, math.inf) if limit)
        self._known.clear()
        self._calm.clear()

    def is_on(self, terms: PortfolioTerms) -> bool:
        """Tell whether any of these limits binds a portfolio."""
        return bool(terms.whole or terms.sectors or self._least < NO_LIMIT or self._together or self._var)

    def refresh(self, book: Book) -> None:
        """Bring a book's sums up to date."""
        book.totals.refresh(book, self._prices, self._sector_of, self._n_sectors)

    def why(  # noqa: C901 - one condition per check
        self,
        terms: PortfolioTerms,
        book: Book,
        holding: Holding | None,
        symbol: int,
        side: int,
        worst: int,
        other: int,
        mark: int,
    ) -> Denial | None:
        """Return why an entry would lead to too much.

        Args:
            terms: the portfolio's limits.
            book: its book.
            holding: what it has in the symbol, or None.
            symbol: of the entry.
            side: of the entry.
            worst: shares in the symbol on the entry's side if it and all that works there fills.
            other: the same on the other side.
            mark: price of a share: the higher of the last one and the order's own.
        """
        totals = book.totals
        if book.touched or totals.version != self._prices.version:
            totals.refresh(book, self._prices, self._sector_of, self._n_sectors)
        if totals.unpriced and (len(totals.unpriced) > 1 or symbol not in totals.unpriced):
            return self._unpriced(symbol, totals.unpriced)
        value = worst * mark
        gross = value if worst >= other else other * mark
        before = holding.gross if holding is not None else 0
        equity = book.equity
        if terms.whole:
            total = totals.gross - before + gross
            if terms.gross or terms.net or total > terms.leverage * equity:
                net = (totals.up if side == BUY else -totals.down) + value
                if holding is not None:
                    net -= holding.up if side == BUY else -holding.down
                denial = _whole(terms, equity, total, net)
                if denial is not None:
                    return denial
        if terms.sectors:
            number = self._sector_of[symbol]
            share = terms.sectors[number]
            total = totals.sectors[number] - before + gross
            if share and total > share * equity:
                return self._sector(number, total, share, equity)
        if self._history.known >= self._least and totals.active:
            denial = self._alike(book, symbol, side, gross)
            if denial is not None:
                return denial
        if self._together:
            denial = self._of_all(symbol, side, worst, mark, gross - before, holding)
            if denial is not None:
                return denial
        return self._at_risk(book, symbol, side, value) if self._var else None

    def _unpriced(self, symbol: int, unpriced: Mapping[int, None]) -> Denial:
        names = ", ".join(self._symbols[other] for other in sorted(unpriced) if other != symbol)
        reason = f"{names} is held or being entered and has no price, so exposure is not known; wait for a price"
        return Denial("NO_REF_PRICE", reason)

    def _sector(self, number: int, total: int, share: int, equity: int) -> Denial:
        name = self._sector_names[number]
        what = f"the sector {name}" if name else "what has no sector"
        shown, cap = _money(total), _money(share * equity)
        said, most = in_cents(shown, cap)
        reason = (
            f"{what} could grow to {said}, more than {most}, which is {fmt(100 * share)} % of equity; "
            "order less, or close some of it"
        )
        return Denial("MAX_SECTOR", reason, shown, cap)

    # -- names that move together ----------------------------------------------------------------------------------

    def correlated(self, symbol: int, others: list[int]) -> list[float]:
        """Return correlations of session returns with others, NaN where unknown; kept until the next session."""
        history = self._history
        if self._known_of != history.version:
            self._known.clear()
            self._known_of = history.version
        known = self._known.setdefault(symbol, {})
        missing = [other for other in others if other not in known]
        if missing:
            returns = history.returns_of([symbol, *missing], self._limits.correlation_sessions)
            found = correlations(returns, 0, range(1, len(missing) + 1), self._least)
            known.update(zip(missing, found, strict=True))
        return [known[other] for other in others]

    def _alike(self, book: Book, symbol: int, side: int, gross: int) -> Denial | None:
        totals = book.totals
        active = totals.active
        stamp = self._history.version, totals.names, totals
        if self._calm.get(symbol) == stamp:
            return None
        others = sorted(other for other in active if other != symbol)
        weighted = weights = peak = 0.0
        cluster = gross
        names: list[str] = []
        for other, rho in zip(others, self.correlated(symbol, others), strict=True):
            if rho != rho:  # noqa: PLR0124 - NaN: not known
                continue
            holding = active[other]
            peak = max(peak, abs(rho))
            signed = rho * side if holding.up >= -holding.down else -rho * side
            size = holding.gross / _UNIT
            weighted += signed * size
            weights += size
            if self._shrink and signed >= self._shrink:
                cluster += holding.gross
                names.append(self._symbols[other])
        if peak < self._alike_from:
            # No sign and no value of these names brings it to a limit: not asked again before they are others.
            self._calm[symbol] = stamp
            return None
        mean = round(weighted / weights, _DIGITS) if weights else 0.0
        if self._correlation and mean >= self._correlation:
            limit = plain(self._correlation)
            reason = (
                f"{self._symbols[symbol]} is correlated {plain(mean)} with what is held, and below {limit} is allowed; "
                "choose another, or close what is like it"
            )
            return Denial("CORRELATION", reason, plain(mean), limit)
        if names and self._cluster and cluster > self._cluster * book.equity:
            shown, cap = _money(cluster), _money(self._cluster * book.equity)
            said, most = in_cents(shown, cap)
            reason = (
                f"{self._symbols[symbol]} and what moves with it ({', '.join(names)}) could grow to {said}, more than "
                f"{most}; order less, or close some of it"
            )
            return Denial("CLUSTER", reason, shown, cap)
        return None

    # -- all portfolios --------------------------------------------------------------------------------------------

    def _of_all(self, symbol: int, side: int, worst: int, mark: int, more: int, own: Holding | None) -> Denial | None:
        equity = total = position = 0
        for book in self._books.values():
            self.refresh(book)
            if book.totals.unpriced and (len(book.totals.unpriced) > 1 or symbol not in book.totals.unpriced):
                return self._unpriced(symbol, book.totals.unpriced)
            equity += book.equity
            total += book.totals.gross
            holding = book.holdings.get(symbol)
            if holding is not None and holding is not own:
                position += side * holding.qty + (holding.buys if side == BUY else holding.sells)
        total += more
        if self._book_gross and total > self._book_gross * SCALE:
            shown, cap = _money(total), fmt(self._book_gross)
            said, most = in_cents(shown, cap)
            reason = f"all portfolios together could hold {said}, more than {most}; order less, or close something"
            return Denial("BOOK_GROSS", reason, shown, cap)
        if self._book_leverage and total > self._book_leverage * equity:
            shown, cap = _money(total), _money(self._book_leverage * equity)
            said, most = in_cents(shown, cap)
            reason = (
                f"all portfolios together could hold {said}, more than {most}, which is {fmt(self._book_leverage)} "
                "times their equity; order less, or close something"
            )
            return Denial("BOOK_LEVERAGE", reason, shown, cap)
        if self._book_position and (position + worst) * mark > self._book_position * equity:
            shown, cap = _money((position + worst) * mark), _money(self._book_position * equity)
            said, most = in_cents(shown, cap)
            reason = (
                f"all portfolios together could hold {said} of {self._symbols[symbol]}, more than {most}; order less, "
                "or close some of it"
            )
            return Denial("BOOK_POSITION", reason, shown, cap)
        return None

    # -- value at risk ---------------------------------------------------------------------------------------------

    def _at_risk(self, book: Book, symbol: int, side: int, value: int) -> Denial | None:
        over = self._var_limit.over(book, symbol, side * value, self._var * book.equity / _UNIT)
        if over is None:
            return None
        shown, cap = plain(over.lost), _money(self._var * book.equity)
        said, most = in_cents(shown, cap)
        if over.unknown:
            names = ", ".join(self._symbols[other] for other in over.unknown[:_NAMED_MAX])
            more = len(over.unknown) - _NAMED_MAX
            reason = (
                f"the value at risk of {names}{f' and {more} more' if more > 0 else ''} is not known, too few sessions "
                f"of {LEAST}; counted whole a day's value at risk would be {said}, more than {most}, which is "
                f"{fmt(100 * self._var)} % of equity; order less, or wait for more sessions"
            )
            return Denial("UNKNOWN_VAR", reason, shown, cap)
        reason = (
            f"a day's value at risk (historical, 95 %) would be {said}, more than {most}, which is "
            f"{fmt(100 * self._var)} % of equity; order less, or close something"
        )
        return Denial("MAX_VAR", reason, shown, cap)


def _whole(terms: PortfolioTerms, equity: int, gross: int, net: int) -> Denial | None:
    """Compare a portfolio's sums (units of 1e-16) with its limits."""
    if terms.gross and gross > terms.gross * SCALE:
        shown, cap = _money(gross), fmt(terms.gross)
        said, most = in_cents(shown, cap)
        reason = f"all positions together could grow to {said}, more than {most}; order less, or close something"
        return Denial("MAX_GROSS", reason, shown, cap)
    if terms.leverage and gross > terms.leverage * equity:
        shown, cap = _money(gross), _money(terms.leverage * equity)
        said, most = in_cents(shown, cap)
        reason = (
            f"all positions together could grow to {said}, more than {most}, which is {fmt(terms.leverage)} times "
            "equity; order less, or close something"
        )
        return Denial("MAX_LEVERAGE", reason, shown, cap)
    if terms.net and net > terms.net * equity:
        shown, cap = _money(net), _money(terms.net * equity)
        said, most = in_cents(shown, cap)
        reason = (
            f"the net position could grow to {said}, more than {most}, which is {fmt(terms.net)} times equity; order "
            "less, or close something"
        )
        return Denial("MAX_NET", reason, shown, cap)
    return None


def _money(product: int) -> str:
    """Write a product of two fixed-point numbers as a plain decimal."""
    return fmt(div_round(product, SCALE))
