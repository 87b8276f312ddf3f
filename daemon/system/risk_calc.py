"""The calculations behind ``tradingd calc var|stress|correlation``: files in, JSON values out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actors.reporter.csvfiles import Wide, find_column, read_returns, read_rows, read_symbols, read_wide
from actors.risk.correlation import DIGITS, betas, deviations, matrix
from actors.risk.stress import NO_SECTOR, prepare, stress, unmatched
from actors.risk.var import (
    HISTORICAL,
    LEAST,
    METHODS,
    MONTECARLO,
    NORMAL_METHOD,
    Sample,
    Tail,
    factor_of,
    montecarlo,
    parts,
    scaling,
    tails_of_normal,
    tails_of_sorted,
)
from actors.values.tails import deviation
from daemon.kernel.errors import OperatorError, UsageError
from daemon.system.measure_rows import rounded
from daemon.system.scenarios import load_scenarios

F64 = npt.NDArray[np.float64]

HORIZON_MAX: Final = 252
DRAWS_MIN: Final = 1_000
DRAWS_MAX: Final = 10_000_000
BLOCK: Final = 1 << 22
"""Normals drawn at once: 32 MiB."""
LEAST_MIN: Final = 2
WEIGHT_MAX: Final = 100.0
"""Times equity that a position may be."""
SAMPLE: Final = "positive = loss, a fraction; mean included, ddof 1; n common sessions, fewer than 60 give null"
DEFINITIONS: Final = {
    HISTORICAL: "minus the linear (1 - level) quantile of weights x returns; es: mean loss of the worst (1 - level) n"
    " outcomes, the last in part (Rockafellar and Uryasev 2002)",
    NORMAL_METHOD: "z sd - mean, z the normal's level quantile; es: sd phi(z) / (1 - level) - mean",
    MONTECARLO: "quantile and shortfall, as for historical, of draws of a multivariate normal with the sample's mean"
    " and covariance (factor by eigenvalues, negative ones taken as 0)",
}


def calc_var(
    returns: Path,
    *,
    method: str = HISTORICAL,
    level: float = 0.95,
    horizon: int = 1,
    weights: Path | None = None,
    draws: int = 100_000,
    seed: int = 42,
) -> dict[str, Any]:
    """Return value at risk and expected shortfall of a series, or of weights on several.

    Raises:
        UsageError: an option out of range, or several series without weights.
        OperatorError: a file that cannot be read, or weights of symbols that have no series.
    """
    if method not in METHODS:
        message = f"--method {method} is none of {', '.join(METHODS)}"
        raise UsageError(message, code="METHOD")
    _check(level, horizon, draws)
    symbols, sample, held = _held(returns, weights)
    pnl = sample.returns @ held
    tail, error = _tail(sample, held, pnl, method, level, horizon, draws, seed)
    inputs: dict[str, Any] = {"method": method, "level": level, "horizon": horizon}
    if method == MONTECARLO:
        inputs |= {"draws": draws, "seed": seed}
    inputs |= {"symbols": symbols, "weights": held.tolist()} if weights is not None else {}
    return {
        "schema": "tradingd.var/1",
        "value": tail.var,
        "es": tail.es,
        "n": tail.n,
        "inputs": inputs,
        "definition": f"{DEFINITIONS[method]}; {SAMPLE}",
        "scaling": scaling(method, horizon),
        "standard_error": error,
        "components": _components(symbols, sample, held, pnl, method, level, horizon) if weights is not None else None,
    }


def _check(level: float, horizon: int, draws: int) -> None:
    if not 0.5 <= level < 1.0:
        message = f"--level {level} must be 0.5 or more and below 1, such as 0.95"
        raise UsageError(message)
    if not 1 <= horizon <= HORIZON_MAX:
        message = f"--horizon {horizon} must be a number of sessions, 1 to {HORIZON_MAX}"
        raise UsageError(message)
    if not DRAWS_MIN <= draws <= DRAWS_MAX:
        message = f"--draws {draws} must be {DRAWS_MIN:,} to {DRAWS_MAX:,}"
        raise UsageError(message)


def _held(returns: Path, weights: Path | None) -> tuple[list[str], Sample, F64]:
    """Return the symbols, their sample and their weights: all of one series where none are given."""
    if weights is None:
        wide = read_wide(returns, holes=True)
        if len(wide.names) > 1 and "return" not in wide.names:
            message = f"{returns} has {len(wide.names)} series, and no --weights FILE says how much of each is held"
            raise UsageError(message, remedy="give --weights FILE with the columns symbol,value")
        series = read_returns(returns)
        return list(series.names), Sample(series.values, np.array([0], dtype=np.intp)), np.ones(1)
    wide = _checked(read_wide(returns, holes=True), returns)
    given = {symbol: weight for symbol, weight in _fractions(weights).items() if weight}
    ids = [_place(symbol, wide.names, weights, returns) for symbol in given]
    if not ids:
        message = f"{weights} holds nothing: every value is 0"
        raise OperatorError(message, code="BAD_FILE", remedy="give a value over equity other than 0")
    return list(given), Sample(wide.values, np.array(ids, dtype=np.intp)), np.array(list(given.values()))


def _fractions(path: Path) -> dict[str, float]:
    """Return weights; amounts of money in their place are refused, they would be losses of thousands of times all."""
    found = read_symbols(path)
    for symbol, weight in found.items():
        if abs(weight) > WEIGHT_MAX:
            message = f"{path}: {symbol} = {weight:g} is no fraction of equity"
            raise OperatorError(message, code="BAD_FILE", remedy="divide values by equity: 0.1 is 10 %")
    return found


def _checked(wide: Wide, path: Path) -> Wide:
    """Refuse returns below a total loss."""
    low = np.flatnonzero((wide.values < -1.0).any(axis=0))
    if low.size:
        message = f"{path}, column {wide.names[int(low[0])]}: a loss of more than 100 %"
        raise OperatorError(message, code="BAD_FILE", remedy="write fractions: 0.0123 is 1.23 %")
    return wide


def _place(symbol: str, names: Sequence[str], weights: Path, returns: Path) -> int:
    if symbol not in names:
        message = f"{weights} names {symbol}, and {returns} has no such column"
        raise OperatorError(message, code="BAD_FILE", remedy=f"its columns are {', '.join(names[:8])}")
    return names.index(symbol)


def _tail(
    sample: Sample, held: F64, pnl: F64, method: str, level: float, horizon: int, draws: int, seed: int
) -> tuple[Tail, float | None]:
    """Return the tail, and for Monte Carlo the standard error of its quantile."""
    n = pnl.size
    if method == HISTORICAL:
        of_windows = sample.windows(horizon) @ held
        return tails_of_sorted(method, np.sort(of_windows), [level], horizon, of_windows.size)[0], None
    mean, sd = (float(pnl.mean()) if n else 0.0), deviation(pnl) or 0.0
    if method == NORMAL_METHOD:
        return tails_of_normal(mean, sd, [level], horizon, n)[0], None
    if n < LEAST:
        return Tail(method, level, horizon, None, None, n, scaling(method, horizon)), None
    moves = _simulated(sample, held, draws, np.random.default_rng(seed), horizon)
    return tails_of_sorted(method, moves, [level], horizon, n)[0], _quantile_error(moves, level)


def _simulated(sample: Sample, held: F64, draws: int, rng: np.random.Generator, horizon: int) -> F64:
    """Return profits, worst first; drawn in blocks so that any number of symbols fits."""
    if sample.ids.size <= sample.n:
        centred = sample.returns - sample.means()
        factor = factor_of(centred.T @ centred / (sample.n - 1))
    else:  # the returns themselves are the smaller factor
        factor = (sample.returns - sample.means()).T / math.sqrt(sample.n - 1)
    block = max(2, BLOCK // factor.shape[1])
    found = [
        montecarlo(sample.means(), factor, held, min(block, draws - start), rng, horizon)
        for start in range(0, draws, block)
    ]
    return np.sort(np.concatenate(found))


def _quantile_error(moves: F64, level: float) -> float:
    """Return the standard error of the quantile: the root of p (1 - p) / S over the density, read from the draws."""
    p, size = 1.0 - level, moves.size
    root = math.sqrt(p * level / size)
    high, low = np.quantile(moves, [min(p + root, 1.0), max(p - root, 0.0)])
    return float(high - low) / 2.0


def _components(
    symbols: Sequence[str], sample: Sample, held: F64, pnl: F64, method: str, level: float, horizon: int
) -> list[dict[str, Any]] | None:
    if method == MONTECARLO:
        return None
    found = parts(sample, held, method, level, horizon, pnl)
    if found is None:
        return None
    columns = (symbols, held.tolist(), found.var.tolist(), found.es.tolist(), found.marginal.tolist())
    names = ("symbol", "weight", "var", "es", "marginal")
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def calc_stress(
    weights: Path,
    *,
    returns: Path | None = None,
    benchmark: str = "",
    scenarios: Sequence[Path] = (),
    own_only: bool = False,
) -> dict[str, Any]:
    """Return what each scenario does to weights; the value is the largest loss.

    Args:
        weights: CSV ``symbol,value`` and optionally ``sector``.
        returns: wide CSV for betas and deviations; without it betas are taken as 1 and deviations are unknown.
        benchmark: column of it that is the market.
        scenarios: further files.
        own_only: leave the program's own scenarios out.

    Raises:
        UsageError: a benchmark without returns, or the other way round.
        OperatorError: a file that cannot be read, or a symbol without a column.
    """
    if benchmark and returns is None:
        message = "--benchmark names a column of --returns FILE, which is missing"
        raise UsageError(message)
    if own_only and not scenarios:
        message = "--own-only leaves nothing without --scenario FILE"
        raise UsageError(message)
    given = _fractions(weights)
    names, held = list(given), np.array(list(given.values()))
    slopes = spreads = np.full(len(names), np.nan)
    spread = None
    if returns is not None:
        wide = _checked(read_wide(returns, holes=True), returns)
        columns = np.array([_place(name, wide.names, weights, returns) for name in names], dtype=np.intp)
        of_held = wide.values[:, columns]
        spreads = deviations(of_held, LEAST)
        pnl = Sample(wide.values, columns[held != 0.0]).returns @ held[held != 0.0]
        spread = deviation(pnl) if pnl.size >= LEAST else None
        if benchmark:
            market = wide.values[:, _place(benchmark, wide.names, Path("--benchmark"), returns)]
            slopes = betas(of_held, market, LEAST)
    chosen, of = load_scenarios(scenarios, own_only=own_only), _sectors(weights, names)
    impacts = stress(prepare(names, of, slopes, spreads, chosen), held, spread)
    given_here = {path.stem for path in scenarios}
    known = [impact.loss for impact in impacts if impact.loss is not None]
    rows = [
        {
            "scenario": impact.scenario,
            "title": impact.title,
            "loss": impact.loss,
            "worst": impact.worst or None,
            "worst_loss": impact.worst_loss if impact.worst else None,
            "sector": impact.sector or None,
            "by_name": impact.by_name,
            "by_sector": impact.by_sector,
            "by_beta": impact.by_beta,
            "assumed_betas": impact.assumed,
            "note": impact.note or None,
            "unmatched": unmatched(scenario, names, of) if scenario.name in given_here else [],
            "source": scenario.source,
        }
        for impact, scenario in zip(impacts, chosen, strict=True)
    ]
    found: dict[str, Any] = {
        "schema": "tradingd.stress/1",
        "value": max(known, default=None),
        "inputs": {
            "weights": given,
            "betas": {name: _known(slope) for name, slope in zip(names, slopes.tolist(), strict=True)},
            "benchmark": benchmark or None,
        },
        "definition": "loss of each scenario over equity, positive = loss: a symbol's own shock, else its sector's,"
        " else beta x the market's (a beta that is not known is 1); nine digits; unmatched: what a file names and"
        " nothing held is; value: the largest",
        "rows": rows,
    }
    answer: dict[str, Any] = rounded(found)
    return answer


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _sectors(path: Path, names: Sequence[str]) -> list[str]:
    """Return the sector of each symbol where the file has a column of them."""
    header, rows = read_rows(path)
    if "sector" not in header:
        return [""] * len(names)
    symbol_at, sector_at = find_column(path, header, ("symbol",)), header.index("sector")
    found = {row[symbol_at].strip(): row[sector_at].strip() for _, row in rows if len(row) > max(symbol_at, sector_at)}
    return ["" if (sector := found.get(name, "")) == NO_SECTOR else sector for name in names]


def calc_correlation(returns: Path, *, least: int = 40) -> dict[str, Any]:
    """Return Pearson's correlations of all pairs of series, each over the sessions the two have in common.

    Raises:
        UsageError: ``least`` below 2.
        OperatorError: a file that cannot be read, or has one series.
    """
    if least < LEAST_MIN:
        message = f"--least {least} must be a number of common sessions, at least {LEAST_MIN}"
        raise UsageError(message)
    wide = _checked(read_wide(returns, holes=True), returns)
    if len(wide.names) < 2:
        message = f"{returns} has one series, and a correlation needs two"
        raise OperatorError(message, code="BAD_FILE", remedy="add a column per symbol")
    found = np.round(matrix(wide.values, least), DIGITS) + 0.0
    pairs = found[np.triu_indices(len(wide.names), 1)]
    known = pairs[np.isfinite(pairs)]
    return {
        "schema": "tradingd.correlation/1",
        "value": {
            name: {other: _known(rho) for other, rho in zip(wide.names, row, strict=True)}
            for name, row in zip(wide.names, found.tolist(), strict=True)
        },
        "mean": round(float(known.mean()), DIGITS) if known.size else None,
        "n": int(wide.values.shape[0]),
        "inputs": {"symbols": list(wide.names), "least": least},
        "definition": "Pearson over the sessions two series have in common, null below `least` of them or without"
        " dispersion, nine digits; mean: of all known pairs",
    }
