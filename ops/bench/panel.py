"""The bare mechanism: the same job as a plain loop over numpy panels, without events, checks, orders or a ledger.

What is left is what any panel engine has to do at least: means, crossings, fills at the next open, marks.
"""

from __future__ import annotations

import job
import numpy as np
import polars as pl
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def prepare(path: str) -> tuple[F64, F64]:
    """Return opens and closes, ``[T, N]``."""
    frame = pl.read_parquet(path)
    n = frame["symbol"].n_unique()
    return frame["open"].to_numpy().reshape(-1, n), frame["close"].to_numpy().reshape(-1, n)


def run(data: tuple[F64, F64]) -> int:
    """Trade it; return the number of fills."""
    opens, closes = data
    n = closes.shape[1]
    cash = float(job.CASH_PER_SYMBOL * n)
    held = np.zeros(n)
    wanted = np.zeros(n, dtype=np.int8)
    fast = np.zeros(n)
    slow = np.zeros(n)
    above = np.zeros(n, dtype=bool)
    share = job.INVESTED / n
    equity = np.empty(len(closes))
    pending = False
    fills = 0
    mark = cash
    for i in range(len(closes)):
        close = closes[i]
        if pending:
            px = opens[i]
            rows = wanted.nonzero()[0]
            goal = np.where(wanted[rows] > 0, np.floor(mark * share / px[rows]), 0.0)
            moved = goal - held[rows]
            cash -= float(moved @ px[rows])
            held[rows] = goal
            fills += int(np.count_nonzero(moved))
            pending = False
        mark = equity[i] = cash + float(held @ close)
        fast += close
        slow += close
        if i >= job.FAST:
            fast -= closes[i - job.FAST]
        if i >= job.SLOW:
            slow -= closes[i - job.SLOW]
        if i >= job.SLOW - 1:
            now = fast * (job.SLOW / job.FAST) > slow
            if i >= job.SLOW:
                crossed = now != above
                if crossed.any():
                    wanted = np.where(crossed, np.where(now, 1, -1), 0).astype(np.int8)
                    pending = True
            above = now
    return fills


if __name__ == "__main__":
    job.drive(prepare, run, {"numpy": np.__version__})
