"""Coarser bars from finer ones, within a session and aligned to its open."""

from __future__ import annotations

import msgspec
import numpy as np

from actors.feed.bars import F64, I32, I64
from actors.values.time import Interval


class Bars(msgspec.Struct, eq=False):
    """Good bars sorted by (start, id); R rows, no repeats.

    Attributes:
        ids: [R] symbol ids.
        start, end: [R] nanoseconds UTC; all bars of one start have one end.
        session: [R] row of the session table.
        cols: measures by name, each [R].
    """

    ids: I32
    start: I64
    end: I64
    session: I64
    cols: dict[str, F64]

    def __len__(self) -> int:
        """Return the number of bars."""
        return len(self.ids)


def bar_ends(start: I64, opens: I64, closes: I64, interval: Interval) -> I64:
    """Return when bars become known: start + interval, but no later than the close of the session they started in."""
    if interval.is_daily:
        return closes.copy()
    end = start + interval.ns
    regular = (start >= opens) & (start < closes)
    return np.where(regular, np.minimum(end, closes), end)


def bucket_starts(start: I64, opens: I64, closes: I64, interval: Interval) -> I64:
    """Return the start of the coarser bar each bar belongs to.

    Bars before the open and in the session count from the open, bars after the close from the close, so that no
    bucket holds both regular and extended trading.
    """
    if interval.is_daily:
        return opens.copy()
    anchor = np.where(start >= closes, closes, opens)
    return anchor + (start - anchor) // interval.ns * interval.ns


def aggregate(bars: Bars, opens: I64, closes: I64, interval: Interval) -> Bars:
    """Put bars together: first open, highest high, lowest low, last close, summed volume.

    An unknown volume adds nothing; a bar of unknown volumes only stays unknown. The vwap is weighted by volume over
    the bars that have both. Quotes are those of the first bar's open and of the last bar's close.

    Args:
        bars: finer bars.
        opens: [R] open of each bar's session.
        closes: [R] close of each bar's session.
        interval: of the coarser bars.
    """
    bucket = bucket_starts(bars.start, opens, closes, interval)
    order = np.lexsort((bars.start, bars.ids, bucket))
    bucket, ids = bucket[order], bars.ids[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (bucket[1:] != bucket[:-1]) | (ids[1:] != ids[:-1])
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(order)) - 1
    old = {name: column[order] for name, column in bars.cols.items()}
    cols = {
        "open": old["open"][first],
        "high": np.maximum.reduceat(old["high"], first),
        "low": np.minimum.reduceat(old["low"], first),
        "close": old["close"][last],
    }
    volume = old.get("volume")
    if volume is not None:
        cols["volume"] = _sum_known(volume, first)
    vwap = old.get("vwap")
    if vwap is not None:
        weight = np.full(len(vwap), np.nan) if volume is None else volume
        cols["vwap"] = _weighted(vwap, weight, first)
    for name, at in (("bid_open", first), ("ask_open", first), ("bid_close", last), ("ask_close", last)):
        if name in old:
            cols[name] = old[name][at]
    rows = order[first]
    start = bucket[first]
    return Bars(
        ids=ids[first],
        start=start,
        end=bar_ends(start, opens[rows], closes[rows], interval),
        session=bars.session[rows],
        cols=cols,
    )


def _sum_known(values: F64, first: I64) -> F64:
    known = ~np.isnan(values)
    total = np.add.reduceat(np.where(known, values, 0.0), first)
    return np.where(np.logical_or.reduceat(known, first), total, np.nan)


def _weighted(values: F64, weights: F64, first: I64) -> F64:
    known = ~np.isnan(values) & (weights > 0)
    total = np.add.reduceat(np.where(known, weights, 0.0), first)
    product = np.add.reduceat(np.where(known, values * weights, 0.0), first)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, product / total, np.nan)
