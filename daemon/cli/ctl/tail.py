"""``tradingctl tail``: committed events, one line each; ``-f`` goes on as they happen, over restarts of the daemon."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from typing import Any, Final

from daemon.cli.ctl import client, options, places, wire
from daemon.cli.ctl.errors import ConnectionBrokenError, NotRunningError, UnreachableError
from daemon.cli.ctl.events import line
from daemon.cli.ctl.text import Paint
from daemon.kernel.errors import RefusedError

LAST: Final = 20
_SPAN_MAX: Final = 9_000  # sequence numbers looked back at most: the daemon sends 10,000, and some come meanwhile
_TOO_SLOW: Final = "TOO_SLOW"  # the daemon's word for: more events than are kept for one subscriber
_TOO_FAR_BACK: Final = "TOO_FAR_BACK"  # and for: more than are looked up for one
_SETTLE_S: Final = 0.1  # of silence, after which older events have all been sent
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
            events = recent(self._path, self._params, self._lines, self._timeout_s)
        elif self._follow:
            events, self._seq = [], self._from_seq  # the subscription itself begins there
        else:
            events = self._behind(self._from_seq)
        for event in events:
            if not self._show(event):
                return 0
        if self._follow:
            self._go_on()
        return 0

    def _behind(self, seq: int) -> list[dict[str, Any]]:
        events, cut = behind(self._path, self._params, seq, self._timeout_s)
        if cut:
            raise RefusedError(
                f"more events lie behind {seq:,} than the daemon sends at once",
                remedy="name a later sequence number, or fewer --type",
            )
        return events

    def _show(self, event: dict[str, Any]) -> bool:
        self._seq = max(self._seq, number(event.get("seq")))
        event = {name: value for name, value in event.items() if name != "subscription"}
        return options.say([wire.dumps(event) if self._json else line(event, self._paint)])

    def _go_on(self) -> None:
        """Follow until the reader goes away; a daemon that restarts is waited for, and what came meanwhile is shown."""
        if not self._seq:
            self._seq = head(self._path, self._timeout_s)
        lost = False
        while True:
            began = self._seq
            try:
                with client.Connection(self._path, self._timeout_s) as connection:
                    params = {**self._params, "from_seq": wire.Number(str(self._seq))}
                    sent = subscribed(connection, params, self._timeout_s)
                    if lost:
                        options.note("tradingctl: the daemon is back")
                    lost = False
                    ended = self._listen(connection) if sent else _TOO_SLOW
                if ended is None:
                    return
                if ended == _TOO_SLOW:
                    self._skip(began)
                    continue
            except client.RemoteError as error:
                if error.exit_code != UnreachableError.exit_code:
                    raise
            except (NotRunningError, UnreachableError) as error:
                if not lost:
                    options.note(f"tradingctl: {error.message}")
            if not lost:
                options.note("tradingctl: waiting for the daemon; Ctrl-C ends")
            lost = True
            time.sleep(_AGAIN_S)

    def _listen(self, connection: client.Connection) -> str | None:
        """Show events until the daemon ends them; return why ("" for no word), None where our reader went away."""
        for frame in connection.notifications(_SILENCE_S):
            told = frame.get("params")
            told = told if isinstance(told, dict) else {}
            if frame["method"] == "end":
                return str(told.get("reason", ""))
            if frame["method"] == "event" and not self._show(told):
                return None
        return ""

    def _skip(self, began: int) -> None:
        """Go on from now where the daemon has more events than it sends at once, and say so."""
        if self._seq == began:
            self._seq = head(self._path, self._timeout_s)
            options.note(f"tradingctl: too many events behind {began:,} to be shown; going on from {self._seq:,}")


def number(value: Any) -> int:
    """Return a whole number of an answer, 0 where it is none."""
    return int(value) if isinstance(value, str) and value.isdecimal() else 0


def head(path: str, timeout_s: float) -> int:
    """Return the last committed sequence number."""
    answer = client.ask(path, "journal.head", {}, timeout_s)
    return number(answer.get("seq")) if isinstance(answer, dict) else 0


def subscribed(connection: client.Connection, params: dict[str, Any], timeout_s: float) -> bool:
    """Subscribe; return False where more lies behind the beginning that is asked for than the daemon looks up."""
    try:
        connection.call("subscribe", params, timeout_s)
    except client.RemoteError as error:
        if error.code != _TOO_FAR_BACK:
            raise
        return False
    return True


def recent(path: str, params: dict[str, Any], wanted: int, timeout_s: float) -> list[dict[str, Any]]:
    """Return the last events, oldest first; looks further back until there are enough, as far as the daemon sends."""
    found: list[dict[str, Any]] = []
    if not wanted:
        return found
    last = head(path, timeout_s)
    for span in (2 * wanted, 16 * wanted, 128 * wanted, _SPAN_MAX):
        start = max(last - min(span, _SPAN_MAX), 0)
        more, cut = behind(path, params, start, timeout_s, until=last)
        if cut:
            break
        found = more[-wanted:]
        if len(found) == wanted or not start or span >= _SPAN_MAX:
            break
    return found


def behind(
    path: str, params: dict[str, Any], seq: int, timeout_s: float, *, until: int | None = None
) -> tuple[list[dict[str, Any]], bool]:
    """Return the events behind a sequence number that are there already, and whether the daemon had too many to send.

    A second question on the same connection marks the end: older events are sent before its answer or right after, so
    a moment of silence, a sign of life or an event behind ``until`` means that these were all.
    """
    found: list[dict[str, Any]] = []
    with client.Connection(path, timeout_s) as connection:
        if not subscribed(connection, {**params, "from_seq": wire.Number(str(seq))}, timeout_s):
            return found, True
        with contextlib.suppress(
            ConnectionBrokenError, client.RemoteError
        ):  # told it had too many, perhaps: read below
            connection.call("journal.head", {}, timeout_s)
        for frame in connection.notifications(_SETTLE_S):
            event = frame.get("params")
            event = event if isinstance(event, dict) else {}
            if frame["method"] == "end":
                return found, event.get("reason") == _TOO_SLOW
            if frame["method"] == "heartbeat" or (until is not None and number(event.get("seq")) > until):
                break
            if frame["method"] == "event":
                found.append(event)
    return found, False
