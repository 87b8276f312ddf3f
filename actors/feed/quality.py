"""Quality: every row that cannot be a bar is rejected, counted by kind and symbol, and reported with its place.

Order matters: a row is counted under the first kind that applies, and a row is a duplicate only of a good one.
Rows that go back in time are no reject but an error: nobody can say which of the two orders was meant.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.feed.bars import I64, PRICES, QUOTES, Bool, RawBars
from actors.values.fixed import PRICE_MAX
from daemon.kernel.errors import OperatorError

Codes = npt.NDArray[np.uint8]

KINDS: Final = (
    "ok",
    "suspicious",
    "not_a_session",
    "outside_session",
    "non_finite",
    "not_positive",
    "too_large",
    "high_below_low",
    "outside_range",
    "bad_volume",
    "duplicate",
    "crossed_quote",
    "bad_quote",
    "empty_quote",
    "bad_size",
    "no_headline",
    "same_headline",
    "jump",
    "not_last",
)
"""Kinds of reject by code. ``crossed_quote`` and ``bad_quote`` cost a bar its quotes only; of a file of quotes they
cost the row."""

DESCRIPTIONS: Final = {
    "suspicious": "flagged suspicious by its source",
    "not_a_session": "dated on a day without a session",
    "outside_session": "outside the regular session",
    "non_finite": "a price that is missing, unreadable or not finite",
    "not_positive": "a price that is zero or negative",
    "too_large": f"a price above {PRICE_MAX:,.0f}",
    "high_below_low": "high below low",
    "outside_range": "open or close outside low..high",
    "bad_volume": "a volume that is negative, infinite or unreadable",
    "duplicate": "the same symbol and time as an earlier row",
    "crossed_quote": "bid above ask",
    "bad_quote": "a negative or infinite quote",
    "empty_quote": "neither a bid nor an ask",
    "bad_size": "a size that is missing, not positive or unreadable",
    "no_headline": "no headline",
    "same_headline": "a headline that came before: the same id or, without one, the same time, source and text",
    "jump": "a price too far from the one before to be believed, see feed.max_jump",
    "not_last": "prints that do not move the last price, by their condition",
}

_SMALLEST_PRICE: Final = 0.5e-8  # what still rounds to 1e-8


class Reject(msgspec.Struct, frozen=True):
    """How many rows of a symbol were rejected for one reason, and the first of them."""

    kind: str
    symbol: str
    count: int
    file: str
    unit: str
    line: int

    @property
    def where(self) -> str:
        """The first example's place: ``bars.csv line 17``."""
        return f"{self.file} {self.unit} {self.line}"


class QualityReport(msgspec.Struct, frozen=True):
    """What became of every row: ``rows_read = rows_used + rows_filtered + rows_rejected``, bars and quotes alike.

    Attributes:
        rows_read: rows found in the inputs.
        rows_filtered: rows of symbols or dates nobody asked for.
        rows_rejected: rows that could not be used.
        rows_used: rows that became bars or quotes of bars.
        rejects: by kind, then symbol.
    """

    rows_read: int
    rows_filtered: int
    rows_rejected: int
    rows_used: int
    rejects: tuple[Reject, ...] = ()

    def by_kind(self) -> dict[str, int]:
        """Return rejects counted by kind."""
        counts: dict[str, int] = {}
        for reject in self.rejects:
            counts[reject.kind] = counts.get(reject.kind, 0) + reject.count
        return counts

    def sentences(self) -> tuple[str, ...]:
        """Describe each kind in one line, with an example."""
        lines = []
        for kind, count in self.by_kind().items():
            example = min((r for r in self.rejects if r.kind == kind), key=lambda r: r.line)
            noun = "row" if count == 1 else "rows"
            lines.append(f"{count} {noun} rejected as {kind} ({DESCRIPTIONS[kind]}), such as {example.where}")
        return tuple(lines)


def refuse_unsorted(raw: RawBars) -> None:
    """Refuse an input in which a symbol's rows go back in time.

    Raises:
        OperatorError: naming file and line of the first such row.
    """
    stamps = raw.stamps
    files = raw.file
    back = stamps[1:] < stamps[:-1]
    if not (back & (files[1:] == files[:-1])).any():
        return
    # Stable sort by (file, symbol) keeps input order inside each group; small keys sort by radix.
    key = files.astype(np.int64) * len(raw.symbols) + raw.ids
    if int(key.max()) < 1 << 16:
        key = key.astype(np.uint16)
    order = np.argsort(key, kind="stable")
    sorted_key, sorted_stamps = key[order], stamps[order]
    bad = (sorted_key[1:] == sorted_key[:-1]) & (sorted_stamps[1:] < sorted_stamps[:-1])
    if not bad.any():
        return
    at = np.flatnonzero(bad)
    first = at[np.argmin(order[at + 1])]
    earlier, row = int(order[first]), int(order[first + 1])
    message = (
        f"{raw.where(row)}: {raw.symbols[raw.ids[row]]} at {raw.stamp_text(row)} comes after its row at "
        f"{raw.stamp_text(earlier)}"
    )
    raise OperatorError(message, code="UNSORTED_ROWS", remedy="sort the rows of each symbol by time, oldest first")


def judge(raw: RawBars, in_session: Bool) -> Codes:
    """Return for each row the code of the first kind that applies, 0 for good rows; duplicates are not looked for.

    Args:
        raw: rows with at least the four prices.
        in_session: [R] whether the row's time lies in a session it may be used in.
    """
    opened, high, low, close = (raw.cols[name] for name in PRICES)
    codes = np.zeros(len(raw), dtype=np.uint8)

    def mark(kind: str, rows: Bool) -> None:
        codes[rows & (codes == 0)] = KINDS.index(kind)

    if raw.suspicious is not None:
        mark("suspicious", raw.suspicious)
    mark("not_a_session" if raw.ts is None else "outside_session", ~in_session)
    with np.errstate(invalid="ignore"):
        smallest = np.minimum(np.minimum(opened, close), np.minimum(high, low))
        largest = np.maximum(np.maximum(opened, close), np.maximum(high, low))
        mark("non_finite", ~(np.isfinite(smallest) & np.isfinite(largest)))
        mark("not_positive", smallest <= _SMALLEST_PRICE)
        mark("too_large", largest > PRICE_MAX)
        mark("high_below_low", high < low)
        mark("outside_range", (largest > high) | (smallest < low))
        volume = raw.cols.get("volume")
        if volume is not None:
            mark("bad_volume", (volume < 0) | np.isinf(volume))
    return codes


def judge_quotes(raw: RawBars) -> Codes:
    """Return for each row whether its quotes are impossible: negative, infinite or crossed. Zero means unknown."""
    codes = np.zeros(len(raw), dtype=np.uint8)
    with np.errstate(invalid="ignore"):
        for name in QUOTES:
            column = raw.cols.get(name)
            if column is not None:
                codes[(codes == 0) & ((column < 0) | np.isinf(column))] = KINDS.index("bad_quote")
        for moment in ("open", "close"):
            bid, ask = raw.cols.get(f"bid_{moment}"), raw.cols.get(f"ask_{moment}")
            if bid is not None and ask is not None:
                codes[(codes == 0) & (ask > 0) & (bid > ask)] = KINDS.index("crossed_quote")
    return codes


def order_and_mark_repeats(keys: tuple[I64, ...], codes: Codes) -> I64:
    """Return the good rows sorted by keys, and mark every repeat in ``codes``; the first in input order stays.

    Args:
        keys: most significant first.
        codes: [R], changed in place.
    """
    rows = np.flatnonzero(codes == 0)
    parts = [key[rows] for key in keys]
    greater = np.zeros(max(len(rows) - 1, 0), dtype=np.bool_)
    equal = ~greater
    for part in parts:
        greater |= equal & (part[1:] > part[:-1])
        equal &= part[1:] == part[:-1]
    if not greater.all():  # not already strictly ascending
        order = np.lexsort(tuple(reversed(parts)))
        rows = rows[order]
        repeat = np.ones(max(len(rows) - 1, 0), dtype=np.bool_)
        for key in keys:
            sorted_key = key[rows]
            repeat &= sorted_key[1:] == sorted_key[:-1]
        twice = np.concatenate([[False], repeat]) if len(rows) else np.zeros(0, dtype=np.bool_)
        codes[rows[twice]] = KINDS.index("duplicate")
        rows = rows[~twice]
    return rows


def tally(raw: RawBars, codes: Codes) -> tuple[Reject, ...]:
    """Count the rejected rows by kind and symbol with their first example in input order."""
    rows = np.flatnonzero(codes)
    key = codes[rows].astype(np.int64) * len(raw.symbols) + raw.ids[rows]
    groups, first, counts = np.unique(key, return_index=True, return_counts=True)
    rejects = []
    for group, at, count in zip(groups.tolist(), rows[first].tolist(), counts.tolist(), strict=True):
        code, symbol = divmod(group, len(raw.symbols))
        source = raw.files[raw.file[at]]
        rejects.append(Reject(KINDS[code], raw.symbols[symbol], count, source.path, source.unit, int(raw.line[at])))
    return tuple(rejects)
