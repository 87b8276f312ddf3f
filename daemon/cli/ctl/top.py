"""``tradingctl top``: the house on one screen, refreshed; quits on q or Ctrl-C.

What a frame looks like stands in :mod:`daemon.cli.ctl.picture`; here is who asks, who listens and who waits.
"""

from __future__ import annotations

import math
import os
import sys
import time
from typing import Any, Final

from daemon.cli.ctl import client, options, places, tail, wire
from daemon.cli.ctl.errors import ConnectionBrokenError
from daemon.cli.ctl.picture import Picture
from daemon.cli.ctl.text import Paint
from daemon.kernel.errors import OperatorError, UsageError

REFRESH_S: Final = 1.0
_ANSWER_S: Final = 2.0
_FRAME_S: Final = 0.1  # between two frames, at least
_PAST: Final = 64  # sequence numbers of the past whose events are shown at first

_EPILOG: Final = """\
example:
  tradingctl top --refresh 0.5

answers:
  state, money, positions, orders, breakers, feeds, actors, journal and the last events on one screen.
  Quits on q or Ctrl-C; --once prints one frame and ends, which also works without a terminal."""


class Watch:
    """Keeps a picture up to date: one connection to ask, one to hear events."""

    def __init__(self, path: str, picture: Picture) -> None:
        """Prepare; nothing is connected yet."""
        self._path = path
        self._picture = picture
        self._asking: client.Connection | None = None
        self._hearing: client.Connection | None = None
        self._seq = 0
        self._cut = False

    def close(self) -> None:
        """Hang up."""
        for connection in (self._asking, self._hearing):
            if connection is not None:
                connection.close()
        self._asking = self._hearing = None

    @property
    def descriptors(self) -> list[int]:
        """Return what can be waited for."""
        return [self._hearing.fileno()] if self._hearing is not None else []

    def ask(self) -> None:
        """Ask everything once; what fails is kept as the picture's trouble and asked again the next time."""
        picture = self._picture
        try:
            if self._asking is None:
                self._asking = client.Connection(self._path, _ANSWER_S)
            answer = self._asking.call("status", {}, _ANSWER_S)
            picture.status = answer if isinstance(answer, dict) else {}
            picture.positions = _rows(self._asking.call("positions", {}, _ANSWER_S))
            picture.orders = _rows(self._asking.call("orders", {}, _ANSWER_S))
            picture.heard_at, picture.trouble = time.monotonic(), ""
            if self._hearing is None:
                self._listen()
        except client.RemoteError as error:
            picture.trouble = error.message  # it is there and will not: too many questions, or not ready yet
        except OperatorError as error:
            self.close()
            picture.trouble = error.message

    def _listen(self) -> None:
        """Subscribe behind the last event shown, or a little before now; from now on where that is too much."""
        journal = self._picture.status.get("journal")
        last = tail.number(journal.get("seq")) if isinstance(journal, dict) else 0
        start = max(last - _PAST, self._seq, 0)
        params = {} if self._cut else {"from_seq": wire.Number(str(start))}
        connection = client.Connection(self._path, _ANSWER_S)
        try:
            connection.call("subscribe", params, _ANSWER_S)
        except OperatorError as error:
            connection.close()  # whoever was refused hears nothing on it, and asks again
            if not isinstance(error, client.RemoteError):
                raise
            self._picture.deaf = error.message  # all else was answered a moment ago
            return
        self._hearing, self._cut, self._picture.deaf = connection, False, ""

    def hear(self) -> None:
        """Take the events that have come."""
        if self._hearing is None:
            return
        try:
            for frame in self._hearing.at_hand():
                event = frame.get("params")
                if frame.get("method") == "event" and isinstance(event, dict):
                    self._picture.events.append(event)
                    self._seq = max(self._seq, tail.number(event.get("seq")))
                elif frame.get("method") == "end":
                    self._cut = True
        except ConnectionBrokenError:
            self._hearing.close()
            self._hearing = None
        except OperatorError as error:
            self.close()
            self._picture.trouble = error.message


def _rows(answer: Any) -> list[Any]:
    rows = answer.get("rows") if isinstance(answer, dict) else None
    return rows if isinstance(rows, list) else []


def run(arguments: list[str]) -> int:
    """Run ``top``."""
    parser = options.Parser(prog="tradingctl top", description="The house on one screen.", epilog=_EPILOG)
    parser.add_argument(
        "--refresh", type=options.seconds, default=REFRESH_S, metavar="S", help="seconds; 1 unless told"
    )
    parser.add_argument("--once", action="store_true", help="print one frame and end")
    options.add_common(parser, timeout="2 unless told")
    known = parser.parse_args(arguments)
    if known.json:
        raise UsageError("top is for people", remedy="tradingctl status --json")
    path = places.find(places.candidates(known.socket, os.environ))
    if known.once:
        return _once(path)
    if not (sys.stdin and sys.stdout and sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("top needs a terminal", remedy="use --once, or tradingctl status")
    return _loop(path, known.refresh)


def _once(path: str) -> int:
    picture = Picture()
    watch = Watch(path, picture)
    try:
        watch.ask()
    finally:
        watch.close()
    if picture.heard_at is None:
        places.connect(path, _ANSWER_S).close()  # says why in its own words, if it still is so
        raise ConnectionBrokenError(picture.trouble)
    from daemon.cli.ctl.program import room

    picture.events.extend(tail.recent(path, {}, 10, _ANSWER_S))
    paint = Paint(on=options.is_fancy(sys.stdout))
    options.say(picture.lines(paint, room() or 160, 200, time.monotonic()))
    return 0


def _loop(path: str, refresh_s: float) -> int:
    from daemon.cli.ctl.terminal import Quit, Screen

    picture = Picture()
    watch = Watch(path, picture)
    paint = Paint(on=options.is_fancy(sys.stdout))
    try:
        with Screen() as screen:
            due = draw_at = 0.0
            while True:
                now = time.monotonic()
                if now >= due:
                    watch.ask()
                    now = time.monotonic()
                    due, draw_at = now + refresh_s, now
                if now >= draw_at:
                    columns, rows = screen.size
                    screen.draw(picture.lines(paint, columns, rows - 1, now))
                    draw_at = math.inf
                key, ready = screen.wait(min(due, draw_at) - now, *watch.descriptors)
                if key[:1] in {"q", "Q", "\x03", "\x04"}:
                    return 0
                if ready:
                    watch.hear()  # a burst of events is one frame, not one each
                    draw_at = min(draw_at, now + _FRAME_S)
                elif not key:
                    draw_at = 0.0  # a new size, or it is time
    except (KeyboardInterrupt, Quit):
        return 0
    finally:
        watch.close()
