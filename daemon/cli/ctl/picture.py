"""What the screen of ``tradingctl top`` shows: a frame as a function of what was last heard."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from daemon.cli.ctl import events, risk, show, status, text
from daemon.cli.ctl.text import Paint

_EVENTS_MAX: Final = 200
_EVENTS_LEAST: Final = 3
_NOTICES_MAX: Final = 3
_AIRY_ROWS: Final = 30  # below this a frame has no blank lines
_OLD_S: Final = 3.0
_ABOVE: Final = {"EquityMarked"}  # every minute, and what it says stands on top anyway
_ORDER: Final = [
    "ts",
    "symbol",
    "side",
    "qty",
    "type",
    "limit_px",
    "stop_px",
    "status",
    "cum_qty",
    "order_id",
    "strategy",
    "reason",
    "trail",
]


class Picture:
    """What was last heard, and when.

    Attributes:
        status, positions, orders: the daemon's answers.
        events: the last ones, oldest first.
        heard_at: monotonic seconds of the last answer, None before the first.
        trouble: why there is no newer one, "" while there is.
        deaf: why no events come, "" where nothing is known to be in their way.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.status: dict[str, Any] = {}
        self.positions: list[Any] = []
        self.orders: list[Any] = []
        self.events: deque[dict[str, Any]] = deque(maxlen=_EVENTS_MAX)
        self.heard_at: float | None = None
        self.trouble = ""
        self.deaf = ""

    def lines(self, paint: Paint, columns: int, rows: int, now: float) -> list[str]:
        """Return a frame of at most so many columns and rows; ``now`` is monotonic seconds."""
        gap = [""] if rows >= _AIRY_ROWS else []
        head, machine = self._head(paint, columns, now), self._machine(paint)
        left = rows - len(head) - len(machine) - 5 * len(gap)
        room = max(left - 1 - max(_EVENTS_LEAST, left // 3), 2)
        first, second = shared(room, _needed(self.positions), _needed(self.orders))
        lines = [*head, *gap, *table("positions", self.positions, paint, columns, first), *gap]
        orders = [{name: order.get(name) for name in _ORDER} for order in _objects(self.orders)]
        lines += [*table("orders", orders, paint, columns, second), *gap, *machine, *gap]
        lines += self._events(paint, rows - len(lines))
        return [text.fit(line, columns) for line in lines][:rows]

    def _head(self, paint: Paint, columns: int, now: float) -> list[str]:
        if not self.status:
            return [paint("bold", "tradingctl top"), text.clean(self.trouble) or "waiting for the daemon"]
        silent = 0.0 if self.heard_at is None else max(now - self.heard_at, 0.0)
        right = f"heard {text.age(silent)} ago · q quits" if silent > _OLD_S else "q quits"
        banner = status.banner(self.status, paint)
        blanks = " " * max(columns - text.width(banner) - len(right), 2)
        line = paint("dim", status.origin(self.status))
        if self.trouble:
            line = paint("bold red", f"what follows is old: {text.clean(self.trouble)}")
        return [banner + blanks + paint("dim", right), line, *status.figures(self.status, paint)]

    def _machine(self, paint: Paint) -> list[str]:
        """Return breakers, feeds, actors and the journal, one line each: what is well needs few words."""
        if not self.status:
            return []
        items = [
            ("breakers", _breakers(self.status.get("breakers"), paint)),
            *([("limits", limits)] if (limits := risk.uses(self.status.get("limits"), paint)) else []),
            ("feeds", [_feed(row, paint) for row in _objects(self.status.get("feeds"))]),
            ("actors", status.actors(self.status, paint)),
            *([("models", [paint("yellow", told)])] if (told := status.host(self.status)) else []),
            ("journal", [status.journal(self.status)]),
        ]
        lines = [
            f"{paint('bold', text.pad(name, 9))} {'   '.join(parts) or paint('dim', 'none')}" for name, parts in items
        ]
        notices = status.notices(self.status)
        shown = notices if len(notices) <= _NOTICES_MAX else notices[: _NOTICES_MAX - 1]
        lines += [paint("yellow", f"! {notice}") for notice in shown]
        if len(shown) < len(notices):
            lines.append(paint("yellow", f"! and {len(notices) - len(shown)} more: tradingctl status"))
        return lines

    def _events(self, paint: Paint, rows: int) -> list[str]:
        told = [event for event in self.events if event.get("type") not in _ABOVE]
        newest = told[-(rows - 1) :] if rows > 1 else []
        title = paint("bold", "events")
        if self.deaf:
            title += "    " + paint("yellow", f"none come: {text.clean(self.deaf)}")
        elif not newest:
            title += f"    {paint('dim', 'none yet')}"
        return [title, *(f"  {events.line(event, paint, brief=True)}" for event in newest)]


def table(name: str, items: list[Any], paint: Paint, columns: int, room: int) -> list[str]:
    """Return a titled table in at most so many lines; what does not fit is counted."""
    if not items:
        return [f"{paint('bold', text.pad(name, 9))} {paint('dim', 'none')}"]
    title = f"{paint('bold', text.pad(name, 9))} {len(items):,}"
    fitting = max(room - 2, 0)
    if fitting >= len(items):
        return [title, *show.rows(name, items, paint, room=columns, indent="  ")]
    title += paint("dim", f", {fitting or 'none'} shown: tradingctl {name}")
    return [title, *show.rows(name, items, paint, room=columns, indent="  ")[: fitting + 1]] if fitting else [title]


def shared(room: int, first: int, second: int) -> tuple[int, int]:
    """Share lines between two tables: neither takes what the other needs and it does not."""
    if first + second <= room:
        return first, second
    half = room // 2
    if first <= half:
        return first, room - first
    return (room - second, second) if second <= half else (room - half, half)


def _needed(items: list[Any]) -> int:
    return len(items) + 2 if items else 1


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _breakers(value: Any, paint: Paint) -> list[str]:
    """Return a phrase for each breaker of losses and each that is not armed; of several portfolios only the latter."""
    rows = _objects(value)
    several = len(dict.fromkeys(str(row["portfolio"]) for row in rows if row.get("portfolio"))) > 1
    told = [row for row in rows if row.get("state") != "armed"] if several else risk.notable(rows)
    calm = f"{len(rows) - len(told)} {'' if several else 'others '}armed" if len(told) < len(rows) else ""
    said = [risk.phrase(row, paint, owned=several) for row in told]
    return [paint("green", calm), *said] if several and calm else [*said, *([paint("green", calm)] if calm else [])]


def _feed(row: dict[str, Any], paint: Paint) -> str:
    state = text.clean(row.get("state", "?"))
    heard = text.age(row["last_event_age_s"]) if row.get("last_event_age_s") is not None else ""
    return f"{text.clean(row.get('name', '?'))} {paint(show.colour(state), state)} {heard}".rstrip()
