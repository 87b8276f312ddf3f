"""Statistics of closed round trips."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.reporter.analytics.basics import wilson

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_DRAWS: Final = 1 << 16  # of a bootstrap that are held at a time


class TradeColumns(msgspec.Struct, frozen=True):
    """Closed round trips in order of exit.

    Attributes:
        pnl: net profit in money, ``[n]``.
        ret: net profit over entry value, ``[n]``, or None where unknown.
        entry_ts, exit_ts: nanoseconds UTC, ``[n]``, or None where unknown.
    """

    pnl: F64
    ret: F64 | None = None
    entry_ts: I64 | None = None
    exit_ts: I64 | None = None


class TradeStats(msgspec.Struct, frozen=True):
    """What the trades add up to; money in account currency. None where there is nothing to divide by."""

    num_trades: int
    wins: int
    losses: int
    win_rate: float | None
    win_rate_low: float | None
    win_rate_high: float | None
    profit_factor: float | None
    payoff_ratio: float | None
    expectancy: float | None
    expectancy_return: float | None
    avg_win: float | None
    avg_loss: float | None
    avg_trade: float | None
    largest_win: float | None
    largest_loss: float | None
    max_consecutive_wins: int
    max_consecutive_losses: int


def longest_run(flags: npt.NDArray[np.bool_]) -> int:
    """Return the length of the longest run of true values."""
    edges = np.diff(np.concatenate(([False], flags, [False])).astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return int((ends - starts).max()) if starts.size else 0


def trade_stats(trades: TradeColumns) -> TradeStats:
    """Compute the statistics; a trade with zero profit is neither a win nor a loss but counts as a trade."""
    pnl = trades.pnl
    n = int(pnl.size)
    won, lost = pnl[pnl > 0], pnl[pnl < 0]
    gains, losses = math.fsum(won.tolist()), math.fsum(lost.tolist())
    interval = wilson(int(won.size), n)
    avg_win = gains / won.size if won.size else None
    avg_loss = losses / lost.size if lost.size else None
    win_rate = won.size / n if n else None
    expectancy = None
    if win_rate is not None:
        expectancy = win_rate * (avg_win or 0.0) + lost.size / n * (avg_loss or 0.0)
    return TradeStats(
        num_trades=n,
        wins=int(won.size),
        losses=int(lost.size),
        win_rate=win_rate,
        win_rate_low=interval[0] if interval else None,
        win_rate_high=interval[1] if interval else None,
        profit_factor=gains / -losses if lost.size else None,
        payoff_ratio=avg_win / -avg_loss if avg_win is not None and avg_loss is not None else None,
        expectancy=expectancy,
        expectancy_return=math.fsum(trades.ret.tolist()) / n if n and trades.ret is not None else None,
        avg_win=avg_win,
        avg_loss=avg_loss,
        avg_trade=math.fsum(pnl.tolist()) / n if n else None,
        largest_win=float(won.max()) if won.size else None,
        largest_loss=float(lost.min()) if lost.size else None,
        max_consecutive_wins=longest_run(pnl > 0),
        max_consecutive_losses=longest_run(pnl < 0),
    )


def holding_sessions(trades: TradeColumns, closes: I64) -> float | None:
    """Return the mean number of session closes after the entry up to the exit; ``closes`` are ascending stamps."""
    if trades.entry_ts is None or trades.exit_ts is None or not trades.pnl.size or not closes.size:
        return None
    entered = np.searchsorted(closes, trades.entry_ts, side="right")
    left = np.searchsorted(closes, trades.exit_ts, side="right")
    return float(np.mean(left - entered))


def profit_factor_interval(
    pnl: F64, seed: int, replicates: int = 2000, level: float = 0.95
) -> tuple[float, float] | None:
    """Return a bootstrap interval of the profit factor over trades (percentile method, seeded).

    A replicate without losses counts as infinitely good. None for fewer than two trades.
    """
    n = int(pnl.size)
    if n < 2:
        return None
    rng = np.random.default_rng(seed)
    won, lost = np.where(pnl > 0, pnl, 0.0), np.where(pnl < 0, pnl, 0.0)
    gains, losses = np.empty(replicates), np.empty(replicates)
    block = max(1, _DRAWS // n)  # the same draws as all at once, where the processor has them near
    for first in range(0, replicates, block):
        rows = slice(first, min(first + block, replicates))
        drawn = rng.integers(0, n, size=(rows.stop - first, n))
        gains[rows], losses[rows] = won.take(drawn).sum(axis=1), -lost.take(drawn).sum(axis=1)
    factors = np.sort(np.divide(gains, losses, out=np.full(replicates, np.inf), where=losses > 0))
    tail = (1.0 - level) / 2.0
    low, high = factors[math.floor(tail * replicates)], factors[math.ceil((1.0 - tail) * replicates) - 1]
    return float(low), float(high)
