"""Everything that is measured of a portfolio's risk, from folded state: for people to look at, decided on by nobody.

Two steps, because they change at two speeds. A :class:`Basis` is what depends on the session closes and on which
symbols are held: it is renewed once a session and when the holdings change. :func:`measure` is what depends on prices
and sizes: a handful of products of a matrix and a vector, at most every 100 ms. What cannot be computed is None, never
zero: a position without a price, an equity that is not positive, a history that is too short.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.risk.correlation import betas, deviations, matrix
from actors.risk.limits import PortfolioTerms
from actors.risk.params import RiskLimits
from actors.risk.stress import NO_SECTOR, Impact, Scenario, stress
from actors.risk.stress import Prepared as PreparedStress
from actors.risk.stress import prepare as prepare_stress
from actors.risk.track import SESSIONS, Day
from actors.risk.var import HISTORICAL, LEAST, LEVELS, Sample, Tail, normal_parts, parts, tails
from actors.values.fixed import SCALE
from actors.values.tails import deviation, finite
from actors.values.universe import Universe, sector_numbers

F64 = npt.NDArray[np.float64]
Ids = npt.NDArray[np.intp]

TOP: Final = 5
"""Positions whose part of the value at risk is told."""
CORRELATED_MAX: Final = 100
"""Positions whose pairs are looked at, the largest; all pairs of thousands would be gigabytes."""
COMMON: Final = 2.0 / 3.0
"""Part of the sessions of a correlation that two symbols must have in common."""
PERIODS: Final = 252.0
LEVEL: Final = LEVELS[0]
UNIVERSE: Final = "universe"
"""What betas are to where there is no benchmark: the mean return of all symbols."""


class Facts(msgspec.Struct, frozen=True):
    """What is known of one portfolio.

    Attributes:
        portfolio: its name.
        equity, peak: money; the peak is that of session closes, 0 where there is none.
        ids, values: ``[H]`` symbols held, ascending, and the signed value of each in money, NaN without a price.
        places: symbols held or being entered.
        returns: of its last sessions, oldest first.
        day: its orders and fills of the day.
        heat: loss down to the stops over equity, None where not known.
    """

    portfolio: str
    equity: float
    peak: float
    ids: Ids
    values: F64
    places: int
    returns: Sequence[float]
    day: Day
    heat: float | None = None


class Basis(msgspec.Struct, frozen=True):
    """What measures need of the symbols held that does not depend on prices or sizes.

    Attributes:
        symbols: names, in the order of the sample's columns.
        sample: their returns over common sessions.
        market: what the betas are to: the benchmark's symbol, or :data:`UNIVERSE`.
        betas: ``[H]`` to it, NaN where not known.
        stress: shocks by scenario.
        correlation: mean of all pairs of the largest positions, None where no pair is known.
        closest: the pair that is correlated most, with its correlation; None likewise.
        sectors: number of each of the stress' sectors among those of the universe; () where none has one.
        half: ``[S, n]`` draws for Monte Carlo, None to leave it out.
    """

    symbols: tuple[str, ...]
    sample: Sample
    market: str
    betas: F64
    stress: PreparedStress
    correlation: float | None
    closest: tuple[str, str, float] | None
    sectors: tuple[int, ...]
    half: F64 | None


class SectorWeight(msgspec.Struct, frozen=True):
    """A sector's gross and net value over equity; "none" for symbols without one."""

    sector: str
    gross: float
    net: float


class Component(msgspec.Struct, frozen=True):
    """What a position contributes; fractions of equity, positive = loss.

    Attributes:
        symbol, weight: which, and its signed value over equity.
        var, es: historical, 95 %, one session.
        marginal: change of that value at risk for a change of the weight by 1.
        var_normal: the same part of the normal value at risk.
    """

    symbol: str
    weight: float
    var: float
    es: float
    marginal: float
    var_normal: float


class Use(msgspec.Struct, frozen=True):
    """How much of a limit is used: ``used`` is value over bound; ``warn`` from ``utilization_warn`` on."""

    limit: str
    subject: str
    value: float
    bound: float
    used: float
    warn: bool


class Measures(msgspec.Struct, frozen=True):
    """Everything measured of one portfolio; fractions of equity, positive = loss where it is a loss.

    Attributes:
        portfolio: its name.
        leverage, gross, net: exposures over equity; leverage is gross over equity.
        sectors: weights, the largest first.
        tails: value at risk and expected shortfall by method, horizon and level.
        components: the positions that contribute most to the historical value at risk.
        beta: to ``market``.
        market: the benchmark's symbol, or "universe" for the mean return of all symbols where there is none.
        correlation, closest: of the largest positions (:class:`Basis`).
        drawdown: equity over its peak less 1, 0 or below.
        sharpe_30: of the last 30 sessions, a year; None before there are as many.
        heat: loss down to the stops.
        slippage, fill_rate: of the day (:class:`actors.risk.track.Day`).
        limits: how much of each is used, the most used first.
        stress: what each scenario would do.
        sessions: common ones behind the tails.
    """

    portfolio: str
    gross: float | None
    net: float | None
    leverage: float | None
    sectors: tuple[SectorWeight, ...]
    tails: tuple[Tail, ...]
    components: tuple[Component, ...]
    beta: float | None
    market: str
    correlation: float | None
    closest: tuple[str, str, float] | None
    drawdown: float | None
    sharpe_30: float | None
    heat: float | None
    slippage: float | None
    fill_rate: float | None
    limits: tuple[Use, ...]
    stress: tuple[Impact, ...]
    sessions: int

    def tail(self, method: str, level: float, horizon: int = 1) -> Tail | None:
        """Return one of the tails."""
        return next((t for t in self.tails if (t.method, t.level, t.horizon) == (method, level, horizon)), None)


def basis(
    returns: F64,
    ids: Ids,
    values: F64,
    universe: Universe,
    limits: RiskLimits,
    scenarios: Sequence[Scenario],
    draws: Callable[[int], F64] | None = None,
) -> Basis:
    """Return what measures need of the symbols held.

    Args:
        returns: ``[T, N]`` simple returns of sessions, oldest first, NaN where there is none.
        ids: ``[H]`` columns held.
        values: ``[H]`` values now, which only say which positions are the largest.
        universe: names, sectors, benchmark.
        limits: how many sessions are looked at.
        scenarios: for stress.
        draws: gives ``[S, n]`` independent normals for so many sessions, the same ones each time; None leaves Monte
            Carlo out.
    """
    window = returns[-limits.var_sessions :]
    sample = Sample(window, ids)
    names = tuple(universe.symbols[i] for i in ids.tolist())
    of_held = window[:, ids]
    market, benchmark = _market(window, universe)
    slopes, spreads = betas(of_held, benchmark, LEAST), deviations(of_held, LEAST)
    correlation, closest = _pairs(returns[-limits.correlation_sessions :], ids, values, names, limits)
    sectors = [universe.sector(i) for i in ids.tolist()]
    prepared = prepare_stress(names, sectors, slopes, spreads, scenarios)
    all_sectors, _ = sector_numbers(universe)
    return Basis(
        symbols=names,
        sample=sample,
        market=market,
        betas=slopes,
        stress=prepared,
        correlation=correlation,
        closest=closest,
        sectors=tuple(all_sectors.index(name) for name in prepared.sector_names) if all_sectors else (),
        # Below that nothing is drawn: the method is told, and its value is unknown.
        half=None if draws is None else draws(sample.n) if sample.n >= LEAST else np.empty((0, sample.n)),
    )


def _market(returns: F64, universe: Universe) -> tuple[str, F64]:
    """Return what betas are to: the benchmark where it is among the symbols, else the mean return of all of them."""
    if universe.benchmark is not None and universe.benchmark in universe.symbols:
        return universe.benchmark, returns[:, universe.symbols.index(universe.benchmark)]
    known = np.isfinite(returns)
    count = np.count_nonzero(known, axis=1)
    sums = np.where(known, returns, 0.0).sum(axis=1)
    return UNIVERSE, np.divide(sums, count, out=np.full(len(returns), np.nan), where=count > 0)


def _pairs(
    returns: F64, ids: Ids, values: F64, names: Sequence[str], limits: RiskLimits
) -> tuple[float | None, tuple[str, str, float] | None]:
    if ids.size < 2 or not len(returns):
        return None, None
    places = np.arange(ids.size)
    if ids.size > CORRELATED_MAX:
        places = np.sort(np.argsort(-np.abs(np.nan_to_num(values)), kind="stable")[:CORRELATED_MAX])
    found = matrix(returns[:, ids[places]], math.ceil(COMMON * limits.correlation_sessions))
    first, second = np.triu_indices(places.size, 1)
    pairs = found[first, second]
    known = np.isfinite(pairs)
    if not known.any():
        return None, None
    top = int(np.where(known, pairs, -np.inf).argmax())
    pair = names[int(places[first[top]])], names[int(places[second[top]])], float(pairs[top])
    return float(pairs[known].mean()), pair


def measure(facts: Facts, held: Basis, limits: RiskLimits, terms: PortfolioTerms, rf: float = 0.0) -> Measures:
    """Return everything measured of a portfolio.

    Args:
        facts: what is known of it.
        held: of the same symbols as ``facts.ids``.
        limits: of the run.
        terms: those of the portfolio, compiled.
        rf: annual risk-free rate of the Sharpe ratio.
    """
    equity, sample = facts.equity, held.sample
    has_equity = math.isfinite(equity) and equity > 0
    weights = facts.values / equity if has_equity else np.full(facts.values.size, np.nan)
    is_known = has_equity and bool(np.isfinite(weights).all())
    gross = net = None
    found: list[Tail] = []
    pieces: tuple[Component, ...] = ()
    spread: float | None = None
    if is_known:
        gross, net = float(np.abs(weights).sum()), float(weights.sum())
        pnl = sample.returns @ weights
        found = tails(sample, weights, half=held.half, pnl=pnl)
        pieces = _components(held, weights, pnl)
        spread = deviation(pnl) if pnl.size >= LEAST else None
    sectors = _sectors(held, weights) if is_known else ()
    slope = float(weights @ held.betas) if facts.ids.size else 0.0
    daily = next((t.var for t in found if (t.method, t.level, t.horizon) == (HISTORICAL, LEVEL, 1)), None)
    return Measures(
        portfolio=facts.portfolio,
        gross=gross,
        net=net,
        leverage=gross,
        sectors=sectors,
        tails=tuple(found),
        components=pieces,
        beta=finite(slope) if is_known else None,
        market=held.market,
        correlation=held.correlation,
        closest=held.closest,
        drawdown=min(0.0, equity / facts.peak - 1.0) if facts.peak > 0 and math.isfinite(equity) else None,
        sharpe_30=rolling_sharpe(facts.returns, rf),
        heat=facts.heat,
        slippage=facts.day.slippage,
        fill_rate=facts.day.fill_rate,
        limits=_used(facts, held, weights, limits, terms, daily) if is_known else (),
        stress=tuple(stress(held.stress, weights, spread)),
        sessions=sample.n,
    )


def rolling_sharpe(returns: Sequence[float], rf: float = 0.0, sessions: int = SESSIONS) -> float | None:
    """Return mean over deviation (ddof 1) of the last returns in excess of the rate, a year; None before there are all.

    Args:
        returns: of sessions, oldest first.
        rf: annual risk-free rate.
        sessions: how many.
    """
    if len(returns) < sessions:
        return None
    r = np.array(list(returns)[-sessions:]) - ((1.0 + rf) ** (1.0 / PERIODS) - 1.0)
    sd = deviation(r)
    return finite(float(r.mean()) / sd * math.sqrt(PERIODS)) if sd else None


def _components(held: Basis, weights: F64, pnl: F64) -> tuple[Component, ...]:
    historical = parts(held.sample, weights, HISTORICAL, LEVEL, pnl=pnl)
    if historical is None or not weights.size:
        return ()
    size = weights.size
    top = np.arange(size) if size <= TOP else np.argpartition(-historical.var, TOP)[:TOP]
    top = np.array(sorted(top.tolist(), key=lambda i: (-historical.var[i], held.symbols[i])))
    sample = held.sample
    normal = normal_parts(sample.returns[:, top], sample.means()[top], weights[top], LEVEL, 1, pnl)
    if normal is None:
        return ()
    found = historical.var[top], historical.es[top], historical.marginal[top], normal.var
    rows = zip(top.tolist(), weights[top].tolist(), *(column.tolist() for column in found), strict=True)
    return tuple([Component(held.symbols[i], *numbers) for i, *numbers in rows])


def _sectors(held: Basis, weights: F64) -> tuple[SectorWeight, ...]:
    names, of = held.stress.sector_names, held.stress.sector_of
    gross = np.bincount(of, np.abs(weights), len(names)).tolist()
    net = np.bincount(of, weights, len(names)).tolist()
    found = [SectorWeight(n or NO_SECTOR, g, v) for n, g, v in zip(names, gross, net, strict=True) if g]
    return tuple(sorted(found, key=lambda s: (-s.gross, s.sector)))


def _used(
    facts: Facts, held: Basis, weights: F64, limits: RiskLimits, terms: PortfolioTerms, var: float | None
) -> tuple[Use, ...]:
    """Return the use of every limit that is on and whose measure is known; of several subjects the one nearest."""
    sizes = np.abs(weights)
    gross, net = float(sizes.sum()), abs(float(weights.sum()))
    rows: list[tuple[str, str, float | None, float]] = [
        ("max_positions", "", float(facts.places), float(terms.positions)),
        ("max_gross_value", "", gross * facts.equity, terms.gross / SCALE),
        ("max_leverage", "", gross, terms.leverage / SCALE),
        ("max_net", "", net, terms.net / SCALE),
        ("max_heat", "", facts.heat, limits.max_heat),
        ("max_var", "", None if var is None else max(var, 0.0), limits.max_var),
        _nearest_position(facts, held, sizes, terms),
    ]
    if terms.sectors:
        names = held.stress.sector_names
        sector_sizes = np.bincount(held.stress.sector_of, sizes, len(names)).tolist()
        bounds = [terms.sectors[number] / SCALE for number in held.sectors]
        shares = [
            (size / bound, name, size, bound)
            for name, size, bound in zip(names, sector_sizes, bounds, strict=True)
            if bound > 0
        ]
        if shares:
            _, name, size, bound = max(shares)
            rows.append(("max_sector", name or NO_SECTOR, size, bound))
    found = [
        Use(name, subject, value, bound, value / bound, 0 < limits.utilization_warn <= value / bound)
        for name, subject, value, bound in rows
        if value is not None and bound > 0
    ]
    return tuple(sorted(found, key=lambda use: (-use.used, use.limit)))


def _nearest_position(
    facts: Facts, held: Basis, sizes: F64, terms: PortfolioTerms
) -> tuple[str, str, float | None, float]:
    """Return the position that is nearest to its own limit."""
    if not sizes.size:
        return "max_position", "", 0.0, terms.general.position / SCALE
    bounds = np.full(sizes.size, terms.general.position / SCALE)
    for i, symbol in enumerate(facts.ids.tolist()) if terms.named else ():
        if symbol in terms.named:
            bounds[i] = terms.named[symbol].position / SCALE
    used = np.divide(sizes, bounds, out=np.full(sizes.size, -1.0), where=bounds > 0)
    at = int(used.argmax())
    return "max_position", held.symbols[at], float(sizes[at]), float(bounds[at])
