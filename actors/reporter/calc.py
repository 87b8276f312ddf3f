"""Pure calculations behind ``tradingd calc metrics|psr|dsr|mintrl``: files or moments in, JSON values out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from actors.reporter.analytics import sharpe
from actors.reporter.analytics.metrics import MetricInputs, compute
from actors.reporter.csvfiles import EquityFile, Wide, read_equity, read_returns, read_trades, read_wide
from actors.reporter.scoreboard import plain, scoreboard
from actors.values.time import DAY_NS, format_ts
from daemon.kernel.errors import OperatorError, UsageError

F64 = npt.NDArray[np.float64]

SCHEMA = "tradingd.metrics/1"
COUNT_MAX = 1_000_000_000
PERIODS_MAX = 100_000_000


class Moments(msgspec.Struct, frozen=True):
    """A per-period Sharpe ratio with what its error depends on; ``kurt`` is raw (3 for a normal)."""

    sr: float
    n: int
    skew: float = 0.0
    kurt: float = 3.0


def calc_metrics(
    equity: Path | None = None,
    returns: Path | None = None,
    benchmark: Path | None = None,
    trades: Path | None = None,
    periods: float = 252.0,
    rf: float = 0.0,
    seed: int = 42,
) -> dict[str, Any]:
    """Return the contents of ``metrics.json`` for an equity curve or a return series.

    With ``returns`` the base point has no time of its own: calendar measures count from the first row's.

    Raises:
        UsageError: not exactly one of ``equity`` and ``returns``, or nonsense in ``periods`` or ``rf``.
        OperatorError: a file that cannot be read; one sentence with file, line and column.
    """
    if (equity is None) == (returns is None):
        message = "metrics needs exactly one of --equity FILE and --returns FILE"
        raise UsageError(message)
    _check_rates(periods, rf)
    curve = read_equity(equity) if equity is not None else None
    series = read_returns(returns) if returns is not None else None
    stamps, values = _series(curve, series)
    bench = read_returns(benchmark) if benchmark is not None else None
    aligned = _align(bench, stamps[1:], benchmark) if bench is not None else None
    columns = read_trades(trades) if trades is not None else None
    inputs = MetricInputs(
        returns=values,
        periods=periods,
        rf=rf,
        stamps=stamps,
        benchmark=aligned,
        trades=columns,
        gross=curve.gross if curve is not None else None,
        net=curve.net if curve is not None else None,
    )
    with np.errstate(all="ignore"):  # what overflows becomes null
        metrics = compute(inputs)
    pair = (str(benchmark.name), aligned) if benchmark is not None and aligned is not None else None
    period: dict[str, Any] = {
        "start": format_ts(int(stamps[0])),
        "end": format_ts(int(stamps[-1])),
        "sessions": int(values.size),
        "periods": periods,
        "rf": rf,
    }
    if curve is not None:
        period |= {"start_equity": float(curve.equity[0]), "end_equity": float(curve.equity[-1])}
    return {
        "schema": SCHEMA,
        "period": period,
        "metrics": metrics,
        "scoreboard": plain(scoreboard(metrics, values, columns, pair, seed=seed)),
        "predictions": {},
        "costs": {},
    }


def _series(curve: EquityFile | None, series: Wide | None) -> tuple[npt.NDArray[np.int64], F64]:
    if curve is not None:
        return curve.stamps, curve.equity[1:] / curve.equity[:-1] - 1.0
    if series is None:
        message = "there is neither an equity curve nor a return series"
        raise UsageError(message)
    return np.concatenate((series.stamps[:1], series.stamps)), series.values[:, 0]


def _align(bench: Wide, stamps: npt.NDArray[np.int64], path: Path | None) -> F64:
    by_day = dict(zip((bench.stamps // DAY_NS).tolist(), bench.values[:, 0].tolist(), strict=True))
    aligned = np.array([by_day.get(day, math.nan) for day in (stamps // DAY_NS).tolist()])
    if not np.isfinite(aligned).any():
        message = f"{path} has no date in common with the series it is compared with"
        raise OperatorError(message, code="BAD_FILE", remedy="give a benchmark of the same period")
    return aligned


def _check_rates(periods: float, rf: float) -> None:
    if not 0.01 <= periods <= PERIODS_MAX:
        message = f"--periods {periods} must be a number of returns a year, 0.01 to {PERIODS_MAX:,}, such as 252"
        raise UsageError(message)
    if not (math.isfinite(rf) and rf > -1):
        message = f"--rf {rf} must be an annual rate above -1 as a fraction: 0.02 is 2 %"
        raise UsageError(message)


def _moments(returns: Path | None, moments: Moments | None) -> Moments:
    if (returns is None) == (moments is None):
        message = "give either --returns FILE or the moments --sr --n --skew --kurt"
        raise UsageError(message)
    if moments is not None:
        return _checked(moments)
    if returns is None:
        message = "there is no file of returns"
        raise UsageError(message)
    return _from_series(read_returns(returns).values[:, 0], returns)


def _from_series(series: F64, path: Path) -> Moments:
    with np.errstate(all="ignore"):  # of what overflows there are no moments
        found = sharpe.moments(series)
    if found is None:
        message = f"{path} has {series.size} returns without dispersion, so there is no Sharpe ratio"
        raise OperatorError(message, code="NO_DISPERSION", remedy="give at least two different returns")
    return Moments(*found)


def _checked(m: Moments) -> Moments:
    if not all(math.isfinite(v) for v in (m.sr, m.skew, m.kurt)):
        message = "--sr, --skew and --kurt must be finite numbers"
        raise UsageError(message)
    if not 2 <= m.n <= COUNT_MAX:
        message = f"--n {m.n} must be at least 2 observations, and at most {COUNT_MAX:,}"
        raise UsageError(message)
    if m.kurt < 1.0 + m.skew * m.skew - 1e-9:
        message = f"--kurt {m.kurt} with --skew {m.skew} is impossible: raw kurtosis is at least 1 + skew squared"
        raise UsageError(message, remedy="give raw kurtosis, which is 3 for a normal, not excess kurtosis")
    return m


def _check_benchmark(benchmark_sr: float) -> None:
    if not math.isfinite(benchmark_sr):
        message = f"--benchmark-sr {benchmark_sr} must be a finite number"
        raise UsageError(message, remedy="give a Sharpe ratio per period, such as 0.05")


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        message = f"--level {level} must be between 0 and 1, such as 0.95"
        raise UsageError(message)


def _answer(thing: str, value: float | None, inputs: dict[str, Any], definition: str) -> dict[str, Any]:
    return {"schema": f"tradingd.{thing}/1", "value": value, "inputs": inputs, "definition": definition}


def calc_psr(returns: Path | None = None, moments: Moments | None = None, benchmark_sr: float = 0.0) -> dict[str, Any]:
    """Return the probabilistic Sharpe ratio against ``benchmark_sr`` (per period).

    Raises:
        UsageError: neither or both of file and moments, or impossible moments.
        OperatorError: a file that cannot be read or has no dispersion.
    """
    _check_benchmark(benchmark_sr)
    m = _moments(returns, moments)
    value = sharpe.psr(m.sr, m.n, m.skew, m.kurt, benchmark_sr)
    inputs = msgspec.to_builtins(m) | {"benchmark_sr": benchmark_sr}
    formula = "Phi((sr - benchmark_sr) * sqrt(n - 1) / sqrt(1 - skew sr + (kurt - 1)/4 sr^2)), per period, raw kurtosis"
    return _answer("psr", value, inputs, formula)


def calc_mintrl(
    returns: Path | None = None, moments: Moments | None = None, benchmark_sr: float = 0.0, level: float = 0.95
) -> dict[str, Any]:
    """Return the minimum track record in observations; null unless the Sharpe ratio exceeds ``benchmark_sr``.

    Raises:
        UsageError: as :func:`calc_psr`, or ``level`` outside (0, 1).
        OperatorError: as :func:`calc_psr`.
    """
    _check_level(level)
    _check_benchmark(benchmark_sr)
    m = _moments(returns, moments)
    value = sharpe.min_track_record(m.sr, m.skew, m.kurt, benchmark_sr, level)
    inputs = msgspec.to_builtins(m) | {"benchmark_sr": benchmark_sr, "level": level}
    formula = "1 + (1 - skew * sr + (kurt - 1) / 4 * sr^2) * (z_level / (sr - benchmark_sr))^2, observations"
    return _answer("mintrl", value, inputs, formula)


def calc_dsr(
    returns: Path | None = None,
    moments: Moments | None = None,
    trials: int | None = None,
    trials_variance: float | None = None,
) -> dict[str, Any]:
    """Return the deflated Sharpe ratio.

    A wide file of returns holds all trials: the best of them is judged, and number and variance (ddof 1) of the
    per-period Sharpe ratios follow from the file unless given.

    Raises:
        UsageError: as :func:`calc_psr`; trials or their variance missing or out of range.
        OperatorError: as :func:`calc_psr`.
    """
    if returns is not None and moments is None:
        wide = read_wide(returns)
        if len(wide.names) > 1:
            found = [_from_series(wide.values[:, i], returns) for i in range(len(wide.names))]
            ratios = np.array([m.sr for m in found])
            m = found[int(np.argmax(ratios))]
            trials = len(found) if trials is None else trials
            trials_variance = float(ratios.var(ddof=1)) if trials_variance is None else trials_variance
        else:
            m = _moments(returns, None)
    else:
        m = _moments(returns, moments)
    if trials is None or not 1 <= trials <= COUNT_MAX:
        message = f"dsr needs --trials N, how many were tried, 1 to {COUNT_MAX:,}"
        raise UsageError(message)
    if trials_variance is None or not (math.isfinite(trials_variance) and trials_variance >= 0):
        message = "dsr needs --trials-variance V, the variance of the trials' per-period Sharpe ratios, at least 0"
        raise UsageError(message)
    benchmark_sr = sharpe.deflated_benchmark(trials, trials_variance)
    value = sharpe.psr(m.sr, m.n, m.skew, m.kurt, benchmark_sr)
    inputs = msgspec.to_builtins(m) | {
        "trials": trials,
        "trials_variance": trials_variance,
        "benchmark_sr": benchmark_sr,
    }
    formula = (
        "PSR against sqrt(trials_variance) * E[max of N standard normals], N trials; exact below 5 trials, else"
        " (1 - gamma) * Phi^-1(1 - 1/N) + gamma * Phi^-1(1 - 1/(N e))"
    )
    return _answer("dsr", value, inputs, formula)
