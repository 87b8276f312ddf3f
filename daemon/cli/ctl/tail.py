"""``tradingctl tail``: committed events, one line each; ``-f`` goes on as they happen, over restarts of the daemon."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from daemon.cli.ctl import client, options, places, wire
from daemon.cli.ctl.errors import ConnectionBrokenError, NotRunningError, UnreachableError
from daemon.cli.ctl.events import line
from daemon.cli.ctl.text import Paint

LAST: Final = 20
_SPAN: Final = 16  # sequence numbers looked at for each event wanted, at first
_SETTLE_S: Final = 0.2  # of silence, after which older events have all been sent
_ANSWER_S: Final = 10.0
_AGAIN_S: Final = 0.5
_SILENCE_S: Final = 20.0  # without the daemon's sign of life, which comes every 5 s

_EPILOG: Final = """\
example:
  tradingctl tail -f --type OrderFilled,OrderDenied

answers:
  one line an event: time, sequence number, type, what happened. With --json one object a line."""


def parser(name: str = "tail") -> options.Parser:
    """Return the command line."""
    made = options.Parser(
        prog=f"tradingctl {name}", description="The last committed events, one line each.", epilog=_EPILOG
    )
    if name == "tail":
        made.add_argument("-f", "--follow", action="store_true", help="go on as they happen, until Ctrl-C")
    made.add_argument("-n", "--lines", type=_count, metavar="N", help=f"how many older ones; {LAST} unless told")
    made.add_argument("--type", "--types", dest="types", action="append", metavar="T[,T]", help="only these types")
    made.add_argument("--symbol", metavar="TEXT", help="only events of this symbol")
    made.add_argument("--from-seq", type=_count, metavar="N", help="begin behind this sequence number")
    options.add_common(made)
    return made


def _count(typed: str) -> int:
    if not typed.isdecimal() or len(typed) > 18:
        raise argparse.ArgumentTypeError(f"{typed!r} is not a whole number from 0 on")
    return int(typed)


def run(arguments: list[str]) -> int:
    """Run ``tail``."""
    known = parser().parse_args(arguments)
    return Tail(known, follow=known.follow).run()


def follow(arguments: list[str]) -> int:
    """Run ``subscribe``: what happens from now on, or behind ``--from-seq``."""
    known = parser("subscribe").parse_args(arguments)
    if known.lines is None and known.from_seq is None:
        known.lines = 0
    return Tail(known, follow=True).run()


class Tail:
    """One command: what is wanted, and how far it has come."""

    def __init__(self, known: Any, *, follow: bool) -> None:
        """Read the command line."""
        self._path = places.find(places.candidates(known.socket, os.environ))
        self._follow = follow
        self._lines = LAST if known.lines is None else known.lines
        self._from_seq: int | None = known.from_seq
        self._timeout_s = known.timeout or _ANSWER_S
        self._json = known.json
        self._paint = Paint(on=options.is_fancy(sys.stdout) and not known.json)
        self._params: dict[str, Any] = {}
        types = [part.strip() for entry in known.types or () for part in entry.split(",") if part.strip()]
        if types:
            self._params["types"] = types
        if known.symbol:
            self._params["symbol"] = known.symbol
        self._seq = 0

    def run(self) -> int:
        """Show what was, then what comes."""
        if self._from_seq is None:
            events: Iterable[dict[str, Any]] = recent(self._path, self._params, self._lines, self._timeout_s)
        else:
            events = older(self._path, self._params, self._from_seq, self._timeout_s)
        for event in events:
            if not self._show(event):
                return 0
        if self._follow:
            self._go_on()
        return 0

    def _show(self, event: dict[str, Any]) -> bool:
        self._seq = max(self._seq, number(event.get("seq")))
        event = {name: value for name, value in event.items() if name != "subscription"}
        return options.say([wire.dumps(event) if self._json else line(event, self._paint)])

    def _go_on(self) -> None:
        """Follow until the reader goes away; a daemon that restarts is waited for and nothing is missed."""
        if not self._seq:
            self._seq = head(self._path, self._timeout_s)
        lost = False
        while True:
            try:
                with client.Connection(self._path, self._timeout_s) as connection:
                    params = {**self._params, "from_seq": wire.Number(str(self._seq))}
                    connection.call("subscribe", params, self._timeout_s)
                    if lost:
                        options.note("tradingctl: the daemon is back")
                    lost = False
                    for frame in connection.notifications(_SILENCE_S):
                        event = frame.get("params")
                        if frame["method"] == "end":
                            break
                        if frame["method"] == "event" and isinstance(event, dict) and not self._show(event):
                            return
            except client.RemoteError as error:
                if error.exit_code != UnreachableError.exit_code:
                    raise
            except (NotRunningError, UnreachableError):
                pass  # said below
            if not lost:
                options.note("tradingctl: the daemon hung up or is silent; waiting for it, Ctrl-C ends")
            lost = True
            time.sleep(_AGAIN_S)


def number(value: Any) -> int:
    """Return a whole number of an answer, 0 where it is none."""
    return int(value) if isinstance(value, str) and value.isdecimal() else 0


def head(path: Path, timeout_s: float) -> int:
    """Return the last committed sequence number."""
    answer = client.ask(path, "journal.head", {}, timeout_s)
    return number(answer.get("seq")) if isinstance(answer, dict) else 0


def recent(path: Path, params: dict[str, Any], wanted: int, timeout_s: float) -> list[dict[str, Any]]:
    """Return the last events, oldest first; looks further and further back until there are enough."""
    if not wanted:
        return []
    last, span = head(path, timeout_s), wanted * _SPAN
    while True:
        start = max(last - span, 0)
        found = deque(older(path, params, start, timeout_s), maxlen=wanted)
        if len(found) == wanted or not start:
            return list(found)
        span *= _SPAN


def older(path: Path, params: dict[str, Any], from_seq: int, timeout_s: float) -> Iterator[dict[str, Any]]:
    """Yield the events behind a sequence number that are there already.

    A second question on the same connection marks the end: what is older has been sent before its answer, and what is
    still under way arrives within a moment. A daemon that has more than it keeps for one subscriber cuts it off after
    those; the next subscription goes on behind the last.
    """
    cut = True
    while cut:
        cut, start = False, from_seq
        with client.Connection(path, timeout_s) as connection:
            connection.call("subscribe", {**params, "from_seq": wire.Number(str(from_seq))}, timeout_s)
            # Cut off already, perhaps: what was sent before that is read below.
            with contextlib.suppress(ConnectionBrokenError, client.RemoteError):
                connection.call("journal.head", {}, timeout_s)
            for frame in connection.notifications(_SETTLE_S):
                event = frame.get("params")
                if frame["method"] == "event" and isinstance(event, dict):
                    from_seq = max(from_seq, number(event.get("seq")))
                    yield event
                elif frame["method"] == "end":
                    cut = from_seq > start
                elif frame["method"] == "heartbeat":
                    break
