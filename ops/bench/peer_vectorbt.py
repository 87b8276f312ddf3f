"""Driver of vectorbt, for an environment that has it: whole arrays at once, compiled on first use."""

from __future__ import annotations

import job
import pandas as pd
import vectorbt as vbt


def prepare(path: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return opens and closes, rows are time, columns are symbols."""
    frame = pd.read_parquet(path)
    stamp = "date" if "date" in frame.columns else "ts"
    frame[stamp] = pd.to_datetime(frame[stamp])
    wide = frame.set_index([stamp, "symbol"])[["open", "close"]].unstack()  # noqa: PD010 - nothing to aggregate
    return wide["open"], wide["close"]


def run(data: tuple[pd.DataFrame, pd.DataFrame]) -> int:
    """Trade with one shared account; return the number of fills after marking it at every bar."""
    opens, closes = data
    fast = vbt.MA.run(closes, job.FAST)
    slow = vbt.MA.run(closes, job.SLOW)
    entries = fast.ma_crossed_above(slow).vbt.fshift(1)
    exits = fast.ma_crossed_below(slow).vbt.fshift(1)
    entries.columns = exits.columns = closes.columns
    portfolio = vbt.Portfolio.from_signals(
        closes,
        entries,
        exits,
        price=opens,
        size=job.INVESTED * job.CASH_PER_SYMBOL,
        size_type="value",
        size_granularity=1.0,
        init_cash=float(job.CASH_PER_SYMBOL * closes.shape[1]),
        group_by=True,
        cash_sharing=True,
        fees=0.0,
        freq="1D",
    )
    portfolio.value()
    return int(portfolio.orders.count())


if __name__ == "__main__":
    job.drive(prepare, run, {"vectorbt": vbt.__version__}, warm=True)
