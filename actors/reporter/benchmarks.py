"""What the same money would have done without the strategy: buy and hold, the index, and random portfolios."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.reporter.analytics.basics import per_period
from actors.reporter.holdings import QUANTUM, RandomHoldings

F64 = npt.NDArray[np.float64]

RANDOM_PORTFOLIOS: Final = 1000
FAN: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
DISTINCT_MIN: Final = 20  # with fewer different outcomes no percentile could tell 95 % from 90 %

BUY_AND_HOLD_RULE: Final = (
    "Equal-weight buy and hold of the same symbols: decides after the same close as the strategy's first decision, buys"
    " whole shares at the next session's {price}, equal money each, and never trades again. It pays the same commission"
    " rate, slippage and half-spread as the strategy; size impact is left out, which favours it."
)
RANDOM_RULE: Final = (
    "{count:,} random portfolios with the strategy's own exposure session by session, its turnover (as many names are"
    " swapped as its traded value implies), its mean number of positions and its costs in money per equity; only the"
    " choice of names is random, equally weighted, with positions changed at the close. Beaten means at least the 95th"
    " percentile."
)


class CostRates(msgspec.Struct, frozen=True):
    """Costs as fractions of traded value; ``spread`` is the full spread."""

    commission_rate: float = 0.0
    slippage: float = 0.0
    spread: float = 0.0


class BenchmarkCurve(msgspec.Struct, frozen=True):
    """A benchmark over the strategy's sessions.

    Attributes:
        name: ``equal_weight`` or ``index``.
        label, rule: for people.
        equity: ``[n + 1]`` money, the base point first.
        total_return_basis: whether dividends are in it as they are in the strategy.
        costed: whether it pays costs.
    """

    name: str
    label: str
    rule: str
    equity: F64
    total_return_basis: bool
    costed: bool

    @property
    def returns(self) -> F64:
        """Simple session returns ``[n]``."""
        return self.equity[1:] / self.equity[:-1] - 1.0


class RandomPortfolios(msgspec.Struct, frozen=True):
    """Where the strategy stands among random choices.

    Percentiles are shares (0..1) of random portfolios that did worse, ties half; None where chance had too little to
    choose from: the strategy holds every symbol, or so few can be held that fewer than 20 outcomes are possible.

    Attributes:
        count: how many.
        positions: names held by each.
        return_percentile, sharpe_percentile: of the strategy.
        median_return, p95_return: total returns of the random portfolios.
        fan: ``[5, n + 1]`` growth of 1 at the quantiles of :data:`FAN`.
        rule: for people.
        reason: why there are no percentiles, "" where there are.
    """

    count: int
    positions: int
    return_percentile: float | None
    sharpe_percentile: float | None
    median_return: float | None
    p95_return: float | None
    fan: F64
    rule: str
    reason: str = ""


def equal_weight(
    opens: F64, closes: F64, first: int, cash: float, costs: CostRates, close_only: bool
) -> BenchmarkCurve | None:
    """Buy every symbol priced at the first decision, equal money each, and hold.

    Args:
        opens: ``[n, N]`` opening prices by session, NaN where a symbol has none.
        closes: the same of closing prices.
        first: row of the session after whose close the strategy first decided.
        cash: starting cash.
        costs: of the strategy.
        close_only: there are no opens; the buy is at the next close.

    Returns:
        The curve, or None where no symbol can be bought.
    """
    n = closes.shape[0]
    buy = first + 1
    if n == 0 or buy >= n:
        return None
    prices = closes[buy] if close_only else np.where(np.isfinite(opens[buy]), opens[buy], np.nan)
    chosen = np.isfinite(closes[first]) & np.isfinite(prices)
    if not chosen.any():
        return None
    paid = prices * (1.0 + costs.slippage + costs.spread / 2.0)
    each = cash / int(chosen.sum())
    shares = np.where(chosen, np.floor(each / np.where(chosen, paid * (1.0 + costs.commission_rate), 1.0)), 0.0)
    spent = float(np.sum(np.where(chosen, shares * paid, 0.0))) * (1.0 + costs.commission_rate)
    marks = _carry(closes[buy:])
    held = np.where(shares > 0, shares, 0.0)
    value = np.where(held > 0, marks, 0.0) @ held
    equity = np.full(n + 1, cash)
    equity[buy + 1 :] = cash - spent + value
    rule = BUY_AND_HOLD_RULE.format(price="close (this data has closes only)" if close_only else "open")
    return BenchmarkCurve("equal_weight", "Equal-weight buy and hold", rule, equity, True, True)


def index(closes: F64, cash: float, label: str, total_return: bool = False) -> BenchmarkCurve | None:
    """Scale an index to the starting cash: no costs, from the first session's close.

    Args:
        closes: ``[n]`` index closes by session, NaN where there is none.
        cash: starting cash.
        label: its name.
        total_return: whether dividends are in it; else it is labelled price-only.
    """
    known = np.flatnonzero(np.isfinite(closes) & (closes > 0))
    if known.size < 2:
        return None
    values = _carry(closes[known[0] :, None])[:, 0]
    equity = np.full(closes.size + 1, cash)
    equity[known[0] + 1 :] = cash * values / values[0]
    kind = "total return" if total_return else "price only"
    named = label if kind in label or label.endswith(" prices)") else f"{label} ({kind})"
    rule = f"{label}: {'with' if total_return else 'without'} dividends, no costs; it cannot be bought as such."
    return BenchmarkCurve("index", named, rule, equity, total_return, False)


def _carry(prices: F64) -> F64:
    """Carry the last known price forward for valuation only; a leading gap stays NaN -> 0 value."""
    known = np.isfinite(prices)
    rows = np.where(known, np.arange(prices.shape[0])[:, None], 0)
    np.maximum.accumulate(rows, axis=0, out=rows)
    out = prices[rows, np.arange(prices.shape[1])]
    return np.where(np.isfinite(out), out, 0.0)


def random_portfolios(
    closes: F64,
    exposure: F64,
    turnover: F64,
    cost_drag: F64,
    strategy_returns: F64,
    positions: int,
    seed: int,
    periods: float,
    rf: float,
    count: int = RANDOM_PORTFOLIOS,
) -> RandomPortfolios | None:
    """Let chance choose the names and keep everything else as the strategy had it.

    Each portfolio holds ``positions`` names in equal weights from the first close with exposure on. Its first names are
    a uniform choice without replacement among the tradable names with a known price at that close. Then the
    strategy's own traded value sets how many names are swapped at each close, the same number in every portfolio: those
    that leave are a uniform choice among those held, those that come one among the names known at that close and
    not held. Exposure and costs are the strategy's, session by session. Portfolios are independent of each other, and
    the result is a function of the arguments alone, to the last bit of every portfolio's session return.

    Args:
        closes: ``[n, N]`` closes by session of the tradable symbols, NaN where there is none.
        exposure: ``[n]`` net position value over equity at each close.
        turnover: ``[n]`` traded value over equity in each session.
        cost_drag: ``[n]`` costs over the previous close's equity in each session.
        strategy_returns: ``[n]``.
        positions: names held, the strategy's mean; at least 1.
        seed: of the run.
        periods: sessions a year, for Sharpe ratios.
        rf: annual risk-free rate, for Sharpe ratios.
        count: random portfolios.

    Returns:
        None where there are fewer than two sessions or symbols.
    """
    n, width = closes.shape
    if n < 2 or width < 2 or positions < 1:
        return None
    positions = min(positions, width)
    known = np.isfinite(closes) & (closes > 0)
    both = known[1:] & known[:-1]
    returns = np.zeros((n, width))
    np.divide(closes[1:], closes[:-1], out=returns[1:], where=both)
    returns[1:] = np.where(both, np.round((returns[1:] - 1.0) / QUANTUM) * QUANTUM, 0.0)
    paths = _paths(
        np.random.default_rng(seed), returns, known, exposure, _swaps(exposure, turnover, positions), positions, count
    )
    paths -= cost_drag[:, None]
    index_paths = np.vstack((np.ones((1, count)), np.cumprod(1.0 + paths, axis=0)))
    totals = index_paths[-1] - 1.0
    own = float(np.prod(1.0 + strategy_returns) - 1.0)
    reason = ""
    if positions >= width:
        reason = "the strategy holds every symbol, so random portfolios could not differ"
    elif np.unique(np.round(totals, 12)).size < DISTINCT_MIN:
        reason = f"too few symbols: chance has fewer than {DISTINCT_MIN} different outcomes here"
    free = not reason
    return RandomPortfolios(
        count=count,
        positions=positions,
        return_percentile=_percentile(totals, own) if free else None,
        sharpe_percentile=_sharpe_percentile(paths, strategy_returns, periods, rf) if free else None,
        median_return=float(np.median(totals)) if free else None,
        p95_return=float(np.quantile(totals, 0.95)) if free else None,
        fan=np.quantile(index_paths, FAN, axis=1),
        rule=RANDOM_RULE.format(count=count),
        reason=reason,
    )


def _paths(
    rng: np.random.Generator,
    returns: F64,
    known: npt.NDArray[np.bool_],
    exposure: F64,
    swaps: npt.NDArray[np.int64],
    positions: int,
    count: int,
) -> F64:
    """Return ``[n, count]`` session returns before costs; names are first drawn at the first close with exposure."""
    n, width = returns.shape
    paths = np.zeros((n, count))
    invested = np.flatnonzero(exposure)
    if not invested.size:
        return paths
    first = int(invested[0])
    holdings = RandomHoldings(rng, width, positions, count)
    holdings.swap(known[first], positions)
    for t in range(first + 1, n):
        if exposure[t - 1] != 0:
            paths[t] = exposure[t - 1] * holdings.sums(returns[t]) / np.maximum(holdings.filled, 1)
        if swaps[t]:
            holdings.swap(known[t], int(swaps[t]))
    return paths


def _swaps(exposure: F64, turnover: F64, positions: int) -> npt.NDArray[np.int64]:
    """Turn traded value into whole names to swap; a swap sells and buys, so it trades twice a name's weight."""
    scale = np.where(np.abs(exposure) > 1e-9, np.abs(exposure), np.inf)
    wanted = turnover / (2.0 * scale) * positions
    return np.minimum(np.diff(np.floor(np.cumsum(wanted) + 1e-9), prepend=0.0), positions).astype(np.int64)


def _percentile(values: F64, own: float) -> float:
    below, equal = int(np.count_nonzero(values < own)), int(np.count_nonzero(values == own))
    return (below + 0.5 * equal) / values.size


def _sharpe_percentile(paths: F64, own: F64, periods: float, rf: float) -> float | None:
    rate = per_period(rf, periods)
    deviation = paths.std(axis=0, ddof=1)
    own_deviation = float(own.std(ddof=1))
    if not own_deviation or not math.isfinite(own_deviation):
        return None
    ratios = np.divide(paths.mean(axis=0) - rate, deviation, out=np.full(deviation.size, -np.inf), where=deviation > 0)
    return _percentile(ratios, (float(own.mean()) - rate) / own_deviation)
