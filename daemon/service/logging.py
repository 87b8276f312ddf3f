"""Logs of the daemon: structlog in front, a bounded queue, one thread that writes.

A terminal gets lines for people, a pipe JSON lines, journald its own protocol with the fields of the line as fields of
the entry. Who logs is never delayed: a full queue drops the line and counts it, a kind of line that repeats is held
back and counted, and both counts are told. Secrets are taken out of every field before anything is written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import select
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, NamedTuple

import structlog
from structlog.typing import EventDict, WrappedLogger

from daemon.service.journald import SOCKET, JournalSocket, journal_is_there, stream_is_journal
from daemon.service.lines import LEVELS, Render, RepeatLimit, json_line, renderer
from daemon.service.redact import Redactor

QUEUE_LINES_MAX: Final = 10_000
KIND_CHARS_MAX: Final = 200
SWEEP_S: Final = 1.0
WRITE_WAIT_S: Final = 2.0
STDERR: Final = 2
LIBRARY_LEVEL: Final = logging.WARNING  # what libraries say through the standard library's logging


class LogGauges(NamedTuple):
    """Counts since the start: lines written, dropped (queue full), held back (repeats), failed (nobody took them)."""

    written: int
    dropped: int
    held_back: int
    failed: int


class Logs:
    """The logging of this process; one at a time. ``start`` it first of all, ``stop`` it last of all.

    Args:
        level: least level written.
        form: ``auto``, ``human``, ``json`` or ``journald`` (JSON where none listens).
        repeats_per_minute: of one kind of line; 0 for no bound.
        redactor: knows the secrets.
        environ: of this process, for ``JOURNAL_STREAM``, ``NO_COLOR`` and ``TERM``.
        descriptor: where lines go that do not go to journald.
        journal: journald's socket.
    """

    def __init__(
        self,
        *,
        level: str = "info",
        form: str = "auto",
        repeats_per_minute: int = 60,
        redactor: Redactor | None = None,
        environ: Mapping[str, str] | None = None,
        descriptor: int = STDERR,
        journal: str = SOCKET,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is written before ``start``."""
        self.redactor = redactor if redactor is not None else Redactor()
        self._environ = os.environ if environ is None else environ
        self._descriptor = descriptor
        self._journal_path = journal
        self._journal: JournalSocket | None = None
        self._clock = clock
        self._queue: queue.Queue[EventDict | threading.Event] = queue.Queue(QUEUE_LINES_MAX)
        self._repeats = RepeatLimit(repeats_per_minute)
        self._lock = threading.Lock()
        self._written = self._dropped = self._held_back = self._failed = 0
        self._dropped_told = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="log-writer", daemon=True)
        self._library = _LibraryHandler(self)
        self._threshold = LEVELS[level]
        self.form = ""
        self._render: Render = renderer("json", colour=False)
        self.apply(level=level, form=form, repeats_per_minute=repeats_per_minute)

    def start(self) -> Logs:
        """Take over structlog and the standard library's logging."""
        structlog.configure(
            processors=[structlog.contextvars.merge_contextvars, self._take],
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS["debug"]),
            context_class=dict,
            logger_factory=_named,
            cache_logger_on_first_use=False,
        )
        logging.getLogger().addHandler(self._library)
        logging.getLogger().setLevel(LIBRARY_LEVEL)
        self._thread.start()
        return self

    def stop(self, wait_s: float = 5.0) -> None:
        """Write what waits, then let go of structlog and the standard library's logging."""
        logging.getLogger().removeHandler(self._library)
        self.flush(wait_s)
        self._stop.set()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(threading.Event())
        if self._thread.is_alive():
            self._thread.join(wait_s)
        structlog.reset_defaults()
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def apply(self, *, level: str, form: str, repeats_per_minute: int) -> None:
        """Take over what a reload says; safe from any thread."""
        chosen = self._form(form)
        if chosen == "journald" and self._journal is None:
            self._journal = JournalSocket(self._journal_path)
        self._threshold = LEVELS[level]
        self._render = renderer(chosen, colour=self._colour())
        self.form = chosen
        with self._lock:
            self._repeats.per_minute = repeats_per_minute

    def set_level(self, level: str) -> None:
        """Change the least level written; safe from any thread."""
        self._threshold = LEVELS[level]

    def flush(self, wait_s: float = 5.0) -> bool:
        """Wait until everything logged so far is written; whether it was in time."""
        done = threading.Event()
        try:
            self._queue.put(done, timeout=wait_s)
        except queue.Full:
            return False
        return self._thread.is_alive() and done.wait(wait_s)

    def gauges(self) -> LogGauges:
        """Return the counts."""
        return LogGauges(self._written, self._dropped, self._held_back, self._failed)

    # ------------------------------------------------------------------------------------------- who logs

    def _take(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Queue a line and be done: the last of structlog's processors."""
        level = {"warn": "warning", "exception": "error", "fatal": "critical"}.get(method, method)
        if LEVELS.get(level, LEVELS["info"]) >= self._threshold:
            name = getattr(logger, "name", "")
            self.put(level, dict(event) | ({"logger": name} if name else {}))
        raise structlog.DropEvent

    def put(self, level: str, event: MutableMapping[str, Any]) -> None:
        """Queue a line; never waits."""
        kind = (level, str(event.get("event", ""))[:KIND_CHARS_MAX])
        with self._lock:
            admitted = self._repeats.admit(kind, self._clock())
            self._held_back += not admitted
        if not admitted:
            return
        for name in ("ts", "level"):  # ours; somebody's stamp of the same name is kept beside it
            if name in event:
                event[f"field_{name}"] = event.pop(name)
        failure = event.pop("exc_info", None)
        if failure:
            _add_failure(event, failure)
        try:
            self._queue.put_nowait({"event": "", **event, "ts": time.time(), "level": level})
        except queue.Full:
            with self._lock:
                self._dropped += 1

    # ------------------------------------------------------------------------------------ who writes

    def _write_all(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=SWEEP_S)
            except queue.Empty:
                item = None
            if isinstance(item, threading.Event):
                self._tell_counts()
                item.set()
                if self._stop.is_set():
                    return
            elif item is not None:
                self._write(item)
            if item is None or self._queue.empty():
                self._tell_counts()
            if item is None and self._stop.is_set():
                return

    def _tell_counts(self) -> None:
        with self._lock:
            over = self._repeats.expired(self._clock())
            lost, self._dropped_told = self._dropped - self._dropped_told, self._dropped
        for level, event, count in over:
            self._write({"ts": time.time(), "level": level or "info", "event": "repeated", "of": event, "count": count})
        if lost:
            self._write({"ts": time.time(), "level": "warning", "event": "log lines dropped", "count": lost})

    def _write(self, event: EventDict) -> None:
        try:
            fields = self.redactor.value(event)
            fields |= {"ts": event["ts"], "level": event["level"]}
            self._send(fields)
        except Exception:  # noqa: BLE001 - no line may end the thread that writes all others
            self._failed += 1
        else:
            self._written += 1

    def _send(self, fields: Mapping[str, Any]) -> None:
        data = self._render(fields)
        if self.form != "journald" or self._journal is None:
            _write_fully(self._descriptor, data)
            return
        try:
            self._journal.send(data)
        except OSError:  # journald is restarting, or gone: its stream, or whatever stderr is, still takes lines
            _write_fully(self._descriptor, f"{json_line(fields)}\n".encode("utf-8", "backslashreplace"))

    def _form(self, form: str) -> str:
        if form == "journald" and not journal_is_there(self._journal_path):
            return "json"
        if form != "auto":
            return form
        if stream_is_journal(self._environ, self._descriptor) and journal_is_there(self._journal_path):
            return "journald"
        return "human" if os.isatty(self._descriptor) else "json"

    def _colour(self) -> bool:
        plain = "NO_COLOR" in self._environ or self._environ.get("TERM") == "dumb"
        return os.isatty(self._descriptor) and not plain


class _Named:
    """What structlog wraps: only a name; lines end in :meth:`Logs._take`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def msg(self, **event: Any) -> None:
        """Never called: every line was dropped from structlog's chain once it was queued."""
        raise AssertionError(event)

    debug = info = warning = error = critical = msg


def _named(*names: str) -> _Named:
    return _Named(names[0] if names else "")


class _LibraryHandler(logging.Handler):
    """Takes what libraries log."""

    def __init__(self, logs: Logs) -> None:
        super().__init__(LIBRARY_LEVEL)
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one record."""
        try:
            text = record.getMessage()
        except Exception as error:  # noqa: BLE001 - a library's wrong format must not reach the caller
            text = f"{record.msg} ({type(error).__name__} while formatting)"
        level = record.levelname.lower()
        event: dict[str, Any] = {"event": text, "logger": record.name, "exc_info": record.exc_info}
        self._logs.put(level if level in LEVELS else "warning", event)


def _add_failure(event: MutableMapping[str, Any], failure: object) -> None:
    """Put an exception into a line: a short ``error`` and the traceback as ``exception``."""
    if failure is True:
        failure = sys.exc_info()
    error = failure[1] if isinstance(failure, tuple) else failure
    if isinstance(error, BaseException):
        event.setdefault("error", f"{type(error).__name__}: {error}")
        event["exception"] = "".join(traceback.format_exception(error)).rstrip("\n")


def _write_fully(descriptor: int, data: bytes) -> None:
    """Write all of it; waits a moment where the stream was set not to block and its reader is slow."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            if not select.select([], [descriptor], [], WRITE_WAIT_S)[1]:
                raise
