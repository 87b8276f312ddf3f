"""How much of a limit is used: told once when it reaches the share that the configuration names.

Told again only where clearly less was used for a while (:data:`AGAIN`, :data:`CALM_SESSIONS`): a portfolio that holds
as many names as it may, or one less, says so once and not every few days. Looked at where a session closes, and the
number of names also where an order passes; never with a panel.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

from actors.messages.limits import PortfolioLimits
from actors.messages.risk import LimitBreached
from actors.risk.baselines import Period
from actors.risk.breaker_rows import OFF
from actors.risk.breakers import Guard
from actors.risk.holdings import Book
from actors.risk.params import RiskLimits
from actors.risk.prices import Prices
from actors.values.fixed import mul
from actors.values.universe import Universe

WARN: Final = "warn"
POSITIONS: Final = "max_positions"
LEVERAGE: Final = "max_leverage"
SECTOR: Final = "max_sector"
AGAIN: Final = 8 / 9
"""Part of the level below which a use that was told is over: told at 90 % of a limit, it may be told again behind less
than 80 %. Without a distance between the two, whatever hovers at the level would be told every few days."""
LOSSES: Final = ("daily_loss_halt", "max_drawdown", "weekly_loss", "monthly_loss")
CALM_SESSIONS: Final = 5
"""Sessions in a row with clearly less before the use of a limit is told again; each loss is told at once."""
_NONE: Final = PortfolioLimits()


def _tighter(*limits: float) -> float:
    """Return the smallest limit that is on, 0 where none is."""
    return min((limit for limit in limits if limit), default=0.0)


class Utilization:
    """What was told and is still so: a fold of ``LimitBreached`` and of the sessions."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._told: dict[tuple[str, str], int] = {}
        """(portfolio, limit) -> sessions in a row that have ended with clearly less."""

    def fold(self, event: LimitBreached) -> None:
        """A use was told."""
        self._told[event.portfolio, event.limit] = 0

    @property
    def any(self) -> bool:
        """Whether anything was told that may be so no more."""
        return bool(self._told)

    def fold_opened(self, used: Iterable[LimitBreached]) -> None:
        """A session opened: what has not been ``used`` so far for long enough may be told again."""
        still = {(event.portfolio, event.limit) for event in used}
        calm = {key: 0 if key in still else n + 1 for key, n in self._told.items()}
        self._told = {key: n for key, n in calm.items() if n < (1 if key[1] in LOSSES else CALM_SESSIONS)}

    def was_told(self, portfolio: str, limit: str) -> bool:
        """Whether a limit's use was told."""
        return (portfolio, limit) in self._told

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [[*key, n] for key, n in self._told.items()]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave; an older version counted no sessions."""
        self._told = {(portfolio, limit): n[0] if n else 0 for portfolio, limit, *n in state}


def names_from(portfolio: str, limits: RiskLimits, part: float | None = None) -> int:
    """Return the number of names from which on their limit's use is told; beyond any where it never is.

    ``part`` of the limit, by default that of the configuration.
    """
    own = limits.portfolios.get(portfolio, _NONE)
    most = _tighter(limits.max_positions, own.max_positions)
    part = limits.utilization_warn if part is None else part
    return math.ceil(round(part * most, 9)) if most and part else sys.maxsize


def names_used(portfolio: str, book: Book, limits: RiskLimits, part: float | None = None) -> LimitBreached | None:
    """Return the warning that the number of names calls for, from this ``part`` of the limit on."""
    own = limits.portfolios.get(portfolio, _NONE)
    most = _tighter(limits.max_positions, own.max_positions)
    if names_from(portfolio, limits, part) <= book.names:
        return LimitBreached(portfolio, POSITIONS, float(book.names), float(most), WARN)
    return None


def at_close(
    guard: Guard, book: Book, limits: RiskLimits, prices: Prices, universe: Universe, *, told: bool = False
) -> Iterator[LimitBreached]:
    """Yield the warnings that a session's close calls for; a use that cannot be computed is not told.

    Args:
        guard: baselines of the portfolio, the close folded.
        book: its positions.
        limits: in force.
        prices: last prices.
        universe: sectors of the symbols.
        told: yield what goes on where it was told: what is used of it has to fall clearly below to be over.
    """
    part = limits.utilization_warn * (AGAIN if told else 1.0)
    if not part:
        return
    own = limits.portfolios.get(guard.name, _NONE)
    found = names_used(guard.name, book, limits, part)
    if found is not None:
        yield found
    uses = [
        (
            LOSSES[0],
            _loss(guard.equity, guard.prior_base),
            _tighter(limits.daily_loss_halt, own.daily_loss_halt),
        ),
        (LOSSES[1], _loss(guard.equity, guard.mark), _tighter(limits.max_drawdown, own.max_drawdown)),
        *((period.breaker, _period(period, guard.equity), _limit(period, limits)) for period in guard.periods),
        *_exposures(guard, book, limits, prices, universe),
    ]
    for name, value, limit in uses:
        if value is not None and limit and round(value, 9) >= round(part * limit, 9):
            yield LimitBreached(guard.name, name, round(value, 9), limit, WARN)


def _loss(equity: int, base: int) -> float | None:
    return 1.0 - equity / base if base > 0 else None


def _period(period: Period, equity: int) -> float | None:
    return _loss(equity, period.base) if period.known else None


def _limit(period: Period, limits: RiskLimits) -> float:
    return limits.breakers.get(period.breaker, OFF).limit


def _exposures(
    guard: Guard, book: Book, limits: RiskLimits, prices: Prices, universe: Universe
) -> Iterator[tuple[str, float | None, float]]:
    """Yield leverage and what each sector takes of the equity."""
    if guard.equity <= 0:
        return
    own = limits.portfolios.get(guard.name, _NONE)
    gross, sectors = 0, dict[str, int]()
    for symbol, holding in book.holdings.items():
        if holding.qty:
            value = mul(abs(holding.qty), prices.last(symbol))
            gross += value
            name = universe.sector(symbol)
            sectors[name] = sectors.get(name, 0) + value
    yield LEVERAGE, gross / guard.equity, _tighter(limits.max_leverage, own.max_leverage)
    for name, value in sectors.items() if any(universe.sectors) else ():
        most = _tighter(limits.max_sector, own.max_sector, limits.sectors.get(name, 0.0))
        yield f"{SECTOR}:{name or 'none'}", value / guard.equity, most
