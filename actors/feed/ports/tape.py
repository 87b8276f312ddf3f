"""Bars from a tape: what a daemon recorded of a trading day, for replaying it.

Only what was played comes back: warm-up history on the tape was observed, not traded on, and stands in the tapes of
its own days. Quotes laid beside bars come along; panels of quotes or trades alone are counted in a notice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from actors.feed.bars import F64, I64, MEASURES, RawBars, SourceFile
from actors.feed.interval import interval_of
from actors.feed.session import date_to_day
from actors.messages.catalogue import MARKET
from actors.messages.market import BarPanel, QuotePanel, TradePanel
from actors.values.time import SECOND_NS, Interval
from actors.values.universe import Universe
from daemon.journal.batch import TapeRow
from daemon.journal.market_codec import MarketCodec
from daemon.journal.tape_format import MAGIC, TapeError, TapeReader, tape_days, tape_path
from daemon.kernel.errors import OperatorError

MARK: Final = MAGIC[:4]
"""The first bytes of a tape."""


class TapeBars(msgspec.Struct, eq=False):
    """One tape, read.

    Attributes:
        raw: bars of the symbols asked for, in the order in which they were played; none where the day had none.
            ``symbols`` are the universe's.
        universe: as it was recorded.
        interval: of the bars, or None where no bar says (session bars alone).
        rows_read: bars on the tape, those of other symbols included.
        notices: what the operator should know.
        warm: panels of warm-up history, which were left out.
    """

    raw: RawBars
    universe: Universe
    interval: Interval | None
    rows_read: int
    notices: tuple[str, ...]
    warm: int


def tapes_of(path: str) -> tuple[str, ...]:
    """Return the tapes in a folder, the oldest first; of a file the file itself.

    Raises:
        OperatorError: the folder has no tapes.
    """
    folder = Path(path)
    if not folder.is_dir():
        return (path,)
    days = tape_days(folder)
    if not days:
        below = next((name for name in ("tape", "archive") if tape_days(folder / name)), "")
        remedy = f"its folder {below} has: name {folder / below}" if below else "name a file, or a folder of tapes"
        raise OperatorError(f"{path} is a folder without tapes", code="UNREADABLE_FILE", remedy=remedy)
    return tuple(str(tape_path(folder, day)) for day in days)


def read_tape_bars(path: str, *, keep: tuple[str, ...]) -> TapeBars:
    """Read the bars of one tape.

    Args:
        path: of the file.
        keep: symbols wanted; empty for all.

    Raises:
        OperatorError: the tape is damaged or of a newer program; the sentence names file and place.
    """
    codec = MarketCodec(MARKET)
    panels: list[BarPanel] = []
    warm = others = 0
    notices: list[str] = []
    with TapeReader(Path(path)) as reader:
        universe = _universe(path, reader.header.universe)
        try:
            for block in reader.blocks():
                for row in reader.rows(block, codec):
                    if isinstance(row.body, BarPanel):
                        panels += [row.body] * (row.seq > 0)
                        warm += row.seq == 0
                    others += _counts(row)
        except TapeError as error:
            if error.code != "TAPE_TORN":
                raise
            notices.append(f"{path} ends within a block, as a daemon that was killed leaves it: read up to there")
    if not (panels or warm):
        notices.append(f"{path} has no bars")
    if others:
        notices.append(f"{path}: left out {others} panels of quotes or trades; only its bars are replayed")
    raw = _raw(path, panels, universe) if panels else _nothing(path)
    count = len(raw)
    if keep and count:
        wanted = np.array([symbol in keep for symbol in universe.symbols])
        raw = raw.take(wanted[raw.ids])
    return TapeBars(raw, universe, _interval(panels), count, tuple(notices), warm)


def _counts(row: TapeRow) -> bool:
    return row.seq > 0 and isinstance(row.body, QuotePanel | TradePanel)


def _universe(path: str, recorded: dict[str, Any]) -> Universe:
    try:
        return msgspec.convert(recorded, Universe)
    except (msgspec.ValidationError, ValueError) as error:
        message = f"{path} names no universe: {error}"
        raise OperatorError(message, code="BAD_TAPE", remedy="give a tape that tradingd wrote") from error


def _raw(path: str, panels: list[BarPanel], universe: Universe) -> RawBars:
    """Put panels back into rows."""
    daily = panels[0].daily
    first = panels[0]
    for panel in panels:
        if panel.daily != daily:
            message = f"{path} has daily bars and bars with times of day"
            raise OperatorError(message, code="MIXED_INTERVALS", remedy="give tapes of one run")
    lengths = [len(panel.ids) for panel in panels]
    ids = np.concatenate([panel.ids for panel in panels])
    if len(ids) and (int(ids.min()) < 0 or int(ids.max()) >= len(universe)):
        message = f"{path} has a bar of symbol number {int(ids.max())}, but {len(universe)} symbols"
        raise OperatorError(message, code="BAD_TAPE", remedy="give a tape that tradingd wrote")
    count = len(ids)
    days: I64 = np.array([date_to_day(panel.session) for panel in panels], dtype=np.int64)
    starts: I64 = np.array([panel.start_ts for panel in panels], dtype=np.int64)
    cols: dict[str, F64] = {}
    for name in MEASURES:
        column = _column(panels, name)
        if column is not None:
            cols[name] = column
    order = np.argsort(np.array(universe.symbols))  # files give their symbols in alphabetical order
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    source = SourceFile(path, "bar", all(panel.close_only for panel in panels), first.volume is not None)
    return RawBars(
        files=(source,),
        symbols=tuple(universe.symbols[i] for i in order),
        ids=rank[ids],
        file=np.zeros(count, dtype=np.int16),
        line=np.arange(1, count + 1),
        day=np.repeat(days, lengths),
        ts=None if daily else np.repeat(starts, lengths),
        cols=cols,
    )


def _nothing(path: str) -> RawBars:
    none = np.zeros(0, dtype=np.int64)
    return RawBars((SourceFile(path),), (), none.astype(np.int32), none.astype(np.int16), none, none, None, {})


def _column(panels: list[BarPanel], name: str) -> F64 | None:
    """Return one measure of all panels, NaN where a panel lacks it, or None where all do."""
    parts = [getattr(panel, name) for panel in panels]
    if all(part is None for part in parts):
        return None
    return np.concatenate(
        [np.full(len(panel.ids), np.nan) if part is None else part for panel, part in zip(panels, parts, strict=True)]
    )


def _interval(panels: list[BarPanel]) -> Interval | None:
    """Return the interval bars were played at; the last of a session may be cut short, none is too long."""
    if not panels or panels[0].daily:
        return None
    longest = max(panel.ts - panel.start_ts for panel in panels)
    return interval_of(longest) if longest > 0 and longest % SECOND_NS == 0 else None
