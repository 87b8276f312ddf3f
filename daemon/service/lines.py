"""One log line in its three forms, and how many of one kind may be written. Pure: texts in, texts out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from daemon.service.journald import encode, field_name

IDENTIFIER: Final = "tradingd"
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # of syslog(3)
KINDS_MAX: Final = 1_000
WINDOW_S: Final = 60.0
_COLOURS: Final = {"debug": "2", "info": "36", "warning": "33", "error": "31", "critical": "1;31"}
_MOVED: Final = ("ts", "level", "event", "exception", "detail")
_QUIET: Final = ("logger", "event_type")
"""What people need not read: it stands in JSON, and in the fields of the journal."""
_IN_DETAIL: Final = (
    "symbol", "side", "qty", "price", "type", "limit_px", "stop_px", "limit", "value", "bound", "breaker", "portfolio",
    "action",
)  # fmt: skip
"""What a line's ``detail`` says in words where there is one."""
_BLOCK: Final = {"ready": ("playing", "state_dir", "socket", "next")}
"""Event -> fields that have a line of their own on a terminal."""

Fields = Mapping[str, Any]
"""A cleaned line: ``ts`` in seconds UTC, ``level``, ``event``, whatever else was logged, maybe ``exception``."""


def json_line(fields: Fields) -> str:
    """Return a line as one JSON object, time first."""
    head = {"ts": _stamp(fields["ts"]), "level": fields["level"], "event": fields["event"]}
    rest = {name: value for name, value in fields.items() if name not in head}
    return json.dumps(head | rest, ensure_ascii=False, default=str)


def human_line(fields: Fields, *, colour: bool) -> str:
    """Return a line for a terminal: what could steer it is shown instead of sent."""
    level = str(fields["level"])
    shown = f"{level:<8}"
    if colour:
        shown = f"\x1b[{_COLOURS.get(level, '0')}m{shown}\x1b[0m"
    block = _BLOCK.get(str(fields["event"]), ())
    text = f"{_stamp(fields['ts'])[11:23]} {shown} {_said(fields, block)}"
    own = [f"{name.removesuffix('_dir'):<9} {_visible(_text(fields[name]))}" for name in block if name in fields]
    trace = [_visible(line) for line in str(fields.get("exception") or "").splitlines()]
    return "\n".join([text, *(f"  {line}" for line in (*own, *trace))])


def journal_entry(fields: Fields) -> bytes:
    """Return a line as journald takes it; order id, actor, seq and the like are fields of the entry."""
    level = str(fields["level"])
    entry = {
        "MESSAGE": _said(fields),
        "PRIORITY": str(PRIORITIES.get(level, 5)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
    }
    for name, value in fields.items():
        if name not in {"ts", "level"}:
            entry.setdefault(field_name(name), _text(value))
    return encode(entry.items())


def _stamp(ts: float) -> str:
    return datetime.fromtimestamp(ts, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _said(fields: Fields, elsewhere: tuple[str, ...] = ()) -> str:
    """Return what happened in one line: in words where it has some, then what else is known."""
    named = "detail" if fields.get("detail") else "title"  # an alert's title is its sentence
    detail = fields.get(named)
    told = f"{_visible(str(fields['event']))}" + (f": {_visible(_text(detail))}" if detail else "")
    left = (*_MOVED, *_QUIET, *elsewhere, *((named, *_IN_DETAIL) if detail else ()))
    return told + "".join(f" {name}={_word(value)}" for name, value in fields.items() if name not in left)


def _word(value: Any) -> str:
    text = _visible(_text(value))
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "=') else text


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _visible(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class RepeatLimit:
    """Lets a number of lines of one kind pass in a minute and counts the rest. Pure: times are given.

    A kind is a level and an event's text, which is constant where the program logs well; where it is not, the number of
    kinds is bounded too, and what comes beyond it shares one.

    Args:
        per_minute: lines of a kind; 0 for no bound.
    """

    def __init__(self, per_minute: int) -> None:
        """Begin with nothing counted."""
        self.per_minute = per_minute
        self._windows: dict[tuple[str, str], list[float]] = {}  # kind -> when it began, passed, held back

    def admit(self, kind: tuple[str, str], now: float) -> bool:
        """Whether a line may be written; ``now`` in seconds of a monotonic clock."""
        if not self.per_minute:
            return True
        if kind not in self._windows and len(self._windows) >= KINDS_MAX:
            kind = ("", "other lines")
        window = self._windows.setdefault(kind, [now, 0, 0])
        if window[1] < self.per_minute:
            window[1] += 1
            return True
        window[2] += 1
        return False

    def expired(self, now: float) -> list[tuple[str, str, int]]:
        """Return (level, event, lines held back) of windows that are over, and forget them."""
        over = [kind for kind, window in self._windows.items() if now - window[0] >= WINDOW_S]
        windows = [(kind, self._windows.pop(kind)) for kind in over]
        return [(level, event, int(window[2])) for (level, event), window in windows if window[2]]


Render = Callable[[Fields], bytes]


def renderer(form: str, *, colour: bool) -> Render:
    """Return what turns a line into bytes: ``human``, ``json`` or ``journald``."""
    if form == "journald":
        return journal_entry
    if form == "human":
        return lambda fields: f"{human_line(fields, colour=colour)}\n".encode("utf-8", "backslashreplace")
    return lambda fields: f"{json_line(fields)}\n".encode("utf-8", "backslashreplace")
