"""Committed events for ``subscribe`` and ``tail``: one plain object each, named as in ``events.jsonl``."""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from actors.messages.catalogue import EVENTS, codec
from actors.reporter.events import EventWriter
from actors.values.time import format_ts
from actors.values.universe import Universe
from daemon.journal.journal import StoredFrame
from daemon.journal.sqlite import open_readonly
from daemon.kernel.actor import Frame
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Event, Message
from daemon.system.order_form import FieldError

OLDER_MAX: Final = 10_000
"""Frames of the past that one subscriber is given."""
TOO_FAR_BACK: Final = "TOO_FAR_BACK"


def wanted_lines(types: Iterable[str], symbol: str) -> Callable[[dict[str, Any]], bool]:
    """Return what picks the lines of these types and this symbol; empty is all of them.

    Raises:
        FieldError: there is no event of such a type: who waits for it would wait for ever.
    """
    chosen = set(types)
    known = sorted(event.__name__ for event in EVENTS)
    for name in sorted(chosen.difference(known)):
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]}?" if near else "such as OrderFilled, OrderDenied, TradingStateChanged"
        raise FieldError(f"there is no event {name!r}", field="types", code="BAD_PARAM", remedy=remedy)

    def wanted(line: dict[str, Any]) -> bool:
        if chosen and line.get("type") not in chosen:
            return False
        order = line.get("order")  # what is asked for or refused stands in the order
        names = line.get("symbol"), line.get("new_symbol"), order.get("symbol") if isinstance(order, dict) else None
        return not symbol or symbol in names

    return wanted


class EventLines:
    """Turns frames into lines: ``seq n ts type`` and the event's own fields, symbols by name, amounts as decimals.

    A frame whose input is itself a fact (an acknowledged alert) begins with that fact, ``n`` is then -1.
    """

    def __init__(self, universe: Universe) -> None:
        """Build for a universe."""
        self._writer = EventWriter(universe)

    def __call__(self, frame: Frame | StoredFrame) -> list[dict[str, Any]]:
        """Return a frame's lines; encode them with msgspec."""
        if isinstance(frame, Frame):
            seq, ts, body = frame.envelope.seq, frame.envelope.ts_init, frame.envelope.body
        else:
            seq, ts, body = frame.seq, frame.ts, cast("Message", frame.input)
        lines = []
        values = self._writer.values
        stamp = format_ts(ts)
        if isinstance(body, Event):
            lines.append({"seq": seq, "n": -1, "ts": stamp, "type": type(body).__name__} | values(body))
        for n, event in enumerate(frame.events):
            lines.append({"seq": seq, "n": n, "ts": stamp, "type": type(event).__name__} | values(event))
        return lines


class PastEvents:
    """Lines of frames that are in the ledger already, for subscribers that begin in the past."""

    def __init__(self, ledger: Path, universe: Universe) -> None:
        """Prepare; the ledger is opened for each question and closed again, so that no reader holds its WAL."""
        self._ledger = ledger
        self._lines = EventLines(universe)
        self._codec = codec()

    def since(self, from_seq: int, limit: int = OLDER_MAX) -> tuple[list[dict[str, Any]], int]:
        """Return the lines of all frames behind ``from_seq``, and the seq up to which the past is known by them.

        That is the last frame's, or ``from_seq``, but never one that the ledger does not reach yet: whoever knows it
        from another ledger (a backup was put back) hears what comes in this one.

        Raises:
            OperatorError: the ledger cannot be read; or there are more than ``limit`` frames: what comes next would
                follow behind a gap that nobody sees.
        """
        rows, newest = self._rows(from_seq, limit + 1)
        if len(rows) > limit:
            raise FieldError(
                f"more than {limit:,} inputs with events lie behind {from_seq:,}, and no more are sent at once",
                field="from_seq",
                code=TOO_FAR_BACK,
                remedy="name a later one",
            )
        lines = [line for frame in self._frames(rows) for line in self._lines(frame)]
        return lines, rows[-1][0] if rows else min(from_seq, newest)

    def _rows(self, after: int, limit: int) -> tuple[list[Any], int]:
        """Return the rows behind a seq and the newest seq there is, 0 where there is none."""
        db = open_readonly(self._ledger)
        try:
            newest: int | None = db.execute("SELECT max(seq) FROM frame").fetchone()[0]
            rows = db.execute(
                "SELECT seq, ts, ts_event, source, input, body FROM frame WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            ).fetchall()
        except sqlite3.Error as error:
            message = f"the ledger cannot be read at the moment: {error}"
            raise OperatorError(message, code="LEDGER_UNREADABLE", remedy="ask again in a moment") from error
        finally:
            db.close()
        return rows, newest or 0

    def _frames(self, rows: Iterable[Any]) -> Iterable[StoredFrame]:
        try:
            for seq, ts, ts_event, source, data, body in rows:
                events = cast("list[Event]", self._codec.decode_many(body))
                yield StoredFrame(
                    seq=seq,
                    ts=ts,
                    ts_event=ts_event,
                    source=source,
                    input=None if data is None else self._codec.decode(data),
                    events=events,
                    causes=[-1] * len(events),
                )
        except msgspec.MsgspecError as error:
            message = f"the ledger holds a frame that cannot be read: {error}"
            raise OperatorError(message, code="LEDGER_UNREADABLE", remedy="run tradingd verify") from error
