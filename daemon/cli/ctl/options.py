"""What every command takes, and how a command line is cut into them, the verb and the rest."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import Any, Final

from daemon.kernel.errors import OperatorError, UsageError

PROGRAM: Final = "tradingctl"
_WITH_VALUE: Final = {"--socket", "--timeout"}
TIMEOUT_S_MAX: Final = 86_400.0


class UnwritableError(OperatorError):
    """Our own output has no room."""


class Parser(argparse.ArgumentParser):
    """argparse, with errors as our one sentence, without abbreviations that change meaning when a flag is added."""

    def __init__(self, **options: Any) -> None:
        """See :class:`argparse.ArgumentParser`."""
        options.setdefault("allow_abbrev", False)
        options.setdefault("formatter_class", _help_formatter)
        super().__init__(**options)

    def error(self, message: str) -> Any:
        """Raise instead of printing a usage of many lines.

        Raises:
            UsageError: always.
        """
        raise UsageError(message, remedy=f"see {self.prog} --help")


def _help_formatter(prog: str) -> argparse.HelpFormatter:
    """Return a formatter for the terminal's width; without one argparse imports shutil to find it out, every time."""
    try:
        columns = os.get_terminal_size(1).columns
    except OSError:
        columns = 100
    return argparse.RawDescriptionHelpFormatter(prog, width=max(min(columns, 120) - 2, 40))


def split(argv: list[str]) -> tuple[list[str], list[str]]:
    """Return the options before the verb, and the words from the verb on."""
    place = 0
    while place < len(argv) and argv[place].startswith("-"):
        place += 2 if argv[place] in _WITH_VALUE else 1
    return argv[:place], argv[place:]


def add_common(parser: argparse.ArgumentParser, *, timeout: str = "10 unless told") -> None:
    """Add what every verb takes, before or after it."""
    group = parser.add_argument_group("common options")
    group.add_argument("--socket", metavar="PATH", help="the daemon's control socket; default: where it runs")
    group.add_argument("--json", action="store_true", help="the daemon's answer as JSON on one line")
    group.add_argument("--timeout", metavar="S", type=seconds, help=f"seconds to wait for an answer; {timeout}")
    group.add_argument("--debug", action="store_true", help="a traceback where something fails")


def seconds(typed: str) -> float:
    """Return a span of time that can be waited for.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        value = float(typed)
    except ValueError:
        value = -1.0
    if not 0 < value <= TIMEOUT_S_MAX:
        raise argparse.ArgumentTypeError(f"{typed!r} is no span of seconds above 0")
    return value


def request_id() -> str:
    """Return a new idempotency key: 16 random bytes, hex."""
    return os.urandom(16).hex()


def is_fancy(stream: Any) -> bool:
    """Tell whether a stream is a terminal that shows colour; a closed one is not."""
    try:
        tty = stream is not None and stream.isatty()
    except ValueError:
        return False
    return bool(tty) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(lines: list[str]) -> bool:
    """Print an answer; False where its reader has gone away.

    That (``tradingctl orders | head``) changes nothing about what was done, so it is no error.

    Raises:
        UnwritableError: the answer cannot be written for another reason, such as a full disk.
    """
    if sys.stdout is None:
        return False
    try:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would raise once more at exit; there it has nobody to go to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise UnwritableError(f"the daemon answered, but the answer could not be written: {error.strerror}") from None
    return True


def note(line: str) -> None:
    """Print talk on stderr; where that is closed or full there is nobody left to tell, and the outcome stands."""
    if sys.stderr is None:
        return
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
