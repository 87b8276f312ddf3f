"""``tradingctl kill``: the least machinery between a person and a stop.

One write on the socket; where no answer comes within two seconds, a file that the daemon's signal thread looks for
every 25 ms and at every start. No table of methods, no prompt, no rendering stands in the way. What is not confirmed is
said to be unconfirmed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import time
from typing import Any, Final, NamedTuple

from daemon.cli.ctl import options, places
from daemon.cli.ctl.errors import NotRunningError, UnreachableError
from daemon.kernel.errors import OperatorError, RefusedError

ANSWER_S: Final = 2.0
CONFIRM_S: Final = 1.0
FILE: Final = "KILL"
_ANSWER_BYTES_MAX: Final = 1 << 20
_FORBIDDEN: Final = -32001


class Killed(NamedTuple):
    """What came of it.

    Attributes:
        confirmed: the daemon said that it is killed.
        result: its answer, {} where there was none.
        took_s: until the answer.
        file: the file that was written, None where none was.
        told: what went wrong on the way, "" where nothing did.
    """

    confirmed: bool
    result: dict[str, Any]
    took_s: float
    file: str | None
    told: str


def kill(
    paths: list[str], reason: str, request_id: str, *, answer_s: float = ANSWER_S, file_only: bool = False
) -> Killed:
    """Stop all trading: by the socket, else by the file.

    Args:
        paths: where the socket may be.
        reason: for the journal.
        request_id: the idempotency key.
        answer_s: how long the socket is waited for.
        file_only: write the file at once.

    Raises:
        RefusedError: this user may not.
        NotRunningError: there is neither a socket nor a folder to put the file into.
    """
    started = time.monotonic()
    told = ""
    with contextlib.ExitStack() as links:
        link: socket.socket | None = None
        if not file_only:
            try:
                link = links.enter_context(places.connect(places.find(paths), answer_s))
                link.sendall(_frames("kill", {"reason": reason, "request_id": request_id}))
                answer = _answer(link, 1, started + answer_s)
                if answer is not None:
                    return Killed(True, answer, time.monotonic() - started, None, "")
                told = f"the daemon did not answer within {answer_s:g} s"
            except RefusedError:
                raise
            except (OperatorError, OSError) as error:
                link, told = None, str(error)  # it has said its last word
        file = _written(paths, reason)
        answer = _confirmation(link, paths)
    return Killed(answer is not None, answer or {}, time.monotonic() - started, file, told)


def _frames(method: str, params: dict[str, Any]) -> bytes:
    hello = {"jsonrpc": "2.0", "id": 0, "method": "hello", "params": {"api": 1, "client": "tradingctl"}}
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return f"{json.dumps(hello)}\n{json.dumps(call)}\n".encode()


def _answer(link: socket.socket, number: int, deadline: float) -> dict[str, Any] | None:
    """Return the result, None where none comes in time; the time is checked for every byte a dripping server sends.

    Raises:
        RefusedError: the daemon says that this user may not.
        UnreachableError: it says something else, or hangs up.
    """
    read = b""
    while (left := deadline - time.monotonic()) > 0 and len(read) < _ANSWER_BYTES_MAX:
        link.settimeout(left)
        try:
            chunk = link.recv(1 << 16)
        except TimeoutError:
            break
        if not chunk:
            raise UnreachableError("the daemon hung up before it answered")
        *lines, read = (read + chunk).split(b"\n")
        for line in lines:
            found = _read(line, number)
            if found is not None:
                return found
    return None


def _read(line: bytes, number: int) -> dict[str, Any] | None:
    try:
        frame = json.loads(line)
    except (ValueError, RecursionError):
        raise UnreachableError("what listens on the socket does not speak JSON") from None
    if not isinstance(frame, dict):
        raise UnreachableError("what listens on the socket is not the daemon")
    error = frame.get("error")
    if isinstance(error, dict):
        data = error.get("data")
        data = data if isinstance(data, dict) else {}
        reason, message = str(data.get("reason", "")), str(error.get("message", "no sentence"))
        if error.get("code") == _FORBIDDEN:
            raise RefusedError(message, code=reason, remedy=str(data.get("remedy", "")))
        raise UnreachableError(f"the daemon answered: {message}", code=reason)
    if frame.get("id") != number:
        return None
    result = frame.get("result")
    return result if isinstance(result, dict) else {}


def _written(paths: list[str], reason: str) -> str:
    """Write the file beside the socket, or where the daemon would put its socket.

    Its existence is the switch; the text inside is a courtesy and may fail, on a full disk for one.
    """
    problems = []
    folders = list(dict.fromkeys(path.rpartition("/")[0] or "." for path in [*_found(paths), *paths]))
    for folder in folders:
        file = f"{folder}/{FILE}"
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        except OSError as error:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                problems.append(f"{file}: {error.strerror}")
            continue
        try:
            os.write(descriptor, f"{reason}\nuid {os.getuid()} pid {os.getpid()}\n".encode())
        except OSError:
            return file
        finally:
            os.close(descriptor)
        return file
    if problems:
        raise RefusedError(
            f"no kill was confirmed, and its file could not be written ({'; '.join(problems)})",
            remedy="run this as root or as the daemon's user, or send the process SIGUSR1",
        )
    raise NotRunningError(
        f"the daemon is not running: none of {', '.join(folders)} exists, so nothing was written",
        remedy="if a daemon runs all the same, send it SIGUSR1",
    )


def _found(paths: list[str]) -> list[str]:
    try:
        return [places.find(paths)]
    except OperatorError:
        return []


def _confirmation(link: socket.socket | None, paths: list[str]) -> dict[str, Any] | None:
    """Return the late answer, or a status that says killed; None where the daemon stays silent for a second."""
    deadline = time.monotonic() + CONFIRM_S
    if link is not None:
        try:
            return _answer(link, 1, deadline)
        except (OperatorError, OSError):
            pass  # what was asked there is lost, but whoever comes back will have read the file: ask again below
    while time.monotonic() < deadline:
        try:
            with places.connect(places.find(paths), deadline - time.monotonic()) as other:
                other.sendall(_frames("status", {}))
                status = _answer(other, 1, deadline)
        except (OperatorError, OSError):
            status = None  # nobody is there, or not yet
        if status is not None and status.get("trading_state") == "killed":
            return status
        time.sleep(0.03)  # the file is looked for every 25 ms
    return None


# ---------------------------------------------------------------------------------------------------- the command line

_DESCRIPTION: Final = """\
Stop all trading at once and stay stopped: every working order is cancelled, nothing is closed, and no order or fill
comes after the acknowledgement. It holds over restarts until `tradingctl unlatch`. No confirmation is asked for.

Where the daemon does not answer within 2 s, the file KILL is written beside its socket; the daemon looks for it every
25 ms and at every start. A misspelt option does not stop a kill: it is named and ignored."""

_EPILOG: Final = """\
example:
  tradingctl kill --reason "prices look wrong"

answers:
  that the kill is on disk, and after how long. Exit code 0 confirmed, 4 not confirmed (the file was written), 5 this
  user may not, 3 nothing runs and there is no place to put the file."""


def parser() -> options.Parser:
    """Return the verb's own command line; it needs no table."""
    parser = options.Parser(prog="tradingctl kill", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; it is journaled with who asked")
    parser.add_argument("--request-id", default="", metavar="TEXT", help="idempotency key; a random one unless told")
    parser.add_argument("--file-only", action="store_true", help="write the file KILL and do not ask the socket")
    options.add_common(parser, timeout="2 unless told, then the file is written")
    return parser


def run(arguments: list[str]) -> int:
    """Run the verb and return its exit code."""
    known, others = parser().parse_known_args(arguments)
    if others:
        options.note(
            f"tradingctl: ignored {' '.join(map(repr, others))}, because what is misspelt must not go on trading"
        )
    paths = places.candidates(known.socket, os.environ)
    answer_s = known.timeout or ANSWER_S
    done = kill(
        paths, known.reason, known.request_id or options.request_id(), answer_s=answer_s, file_only=known.file_only
    )
    try:
        _tell(done, known)
    except options.UnwritableError as error:
        options.note(f"tradingctl: {error}")  # the kill counts, not the words about it
    return 0 if done.confirmed else UnreachableError.exit_code


def _tell(done: Killed, known: argparse.Namespace) -> None:
    ignored = done.result.get("ignored")
    if isinstance(ignored, list) and ignored:
        options.note(f"tradingctl: the daemon ignored {_printable(', '.join(map(str, ignored)))}")
    if done.told:
        options.note(f"tradingctl: {_printable(done.told)}; wrote {done.file}")
    if known.json:
        told = {"schema": "tradingd.kill/1", "confirmed": done.confirmed, "file": done.file}
        options.say([json.dumps(done.result if done.confirmed and not done.file else told | {"result": done.result})])
    elif done.confirmed:
        late = f" by the file {done.file}" if done.file else ""
        options.say(
            [
                f"killed{late}, confirmed after {done.took_s * 1000:,.0f} ms: nothing is ordered or filled any more",
                "positions stay as they are; `tradingctl unlatch --yes` makes it halted",
            ]
        )
    else:
        options.note(
            f"tradingctl: the kill is not confirmed: {done.file} is written; a daemon that runs looks for it every"
            " 25 ms, one that starts looks first; see `tradingctl status`, or stop the process"
            " (systemctl kill -s SIGUSR1 tradingd, then -s SIGKILL)"
        )


def _printable(sentence: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in sentence)
