"""Driver of backtesting.py, for an environment that has it: one account per symbol, one run after the other."""

from __future__ import annotations

import warnings

import job
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy, __version__
from backtesting.lib import crossover


def mean_of(values: np.ndarray, length: int) -> np.ndarray:
    """Return the running mean, NaN before there are enough values."""
    return pd.Series(values).rolling(length).mean().to_numpy()


class Cross(Strategy):
    """Buy the account's worth when the fast mean crosses above the slow one; close when it crosses below."""

    def init(self) -> None:
        """Compute both means of the whole history, as this library does."""
        self.fast = self.I(mean_of, self.data.Close, job.FAST)
        self.slow = self.I(mean_of, self.data.Close, job.SLOW)

    def next(self) -> None:
        """Decide on one bar."""
        if crossover(self.fast, self.slow):
            if not self.position:
                self.buy(size=job.INVESTED)
        elif crossover(self.slow, self.fast):
            self.position.close()


def prepare(path: str) -> list[pd.DataFrame]:
    """Return one frame per symbol."""
    frame = pd.read_parquet(path)
    frame = frame.set_index("date" if "date" in frame.columns else "ts")
    frame.index = pd.to_datetime(frame.index)
    frame = frame.rename(columns=str.title)
    return [part.drop(columns="Symbol") for _, part in frame.groupby("Symbol", sort=True)]


def run(frames: list[pd.DataFrame]) -> int:
    """Trade every symbol; each trade has two fills."""
    fills = 0
    for frame in frames:
        test = Backtest(frame, Cross, cash=job.CASH_PER_SYMBOL, commission=0.0, finalize_trades=False)
        stats = test.run()
        fills += 2 * len(stats["_trades"]) + len(stats["_strategy"].trades)
    return fills


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="Some trades remain open")  # they are counted
    job.drive(prepare, run, {"backtesting.py": __version__})
