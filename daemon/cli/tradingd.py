"""``tradingd``: the daemon and its offline jobs.

Importing this module must stay cheap (``tradingd --help`` answers at once), so it and its neighbours import typer and
the standard library; whatever a command needs beyond that is imported when the command runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from types import FrameType
from typing import Annotated, Final, NoReturn

import typer

from daemon.cli import (
    backup,
    calc,
    configuration,
    inference,
    install,
    models,
    parity,
    replay,
    run,
    sentiment,
    strategies,
)
from daemon.cli.options import AsJson
from daemon.cli.render import counting, note, one_line, say, say_json, table
from daemon.kernel.errors import OperatorError, TradingdError
from daemon.kernel.interrupt import InterruptError

DEBUG_FLAG = "--debug"
DEBUG_VARIABLE = "TRADINGD_DEBUG"
INTERRUPTED = 128 + signal.SIGINT
LEAVE_S: Final = 2.0
"""What threads that are not ours get to end once everything is done."""

app = typer.Typer(
    name="tradingd",
    help="Test trading predictions on real market data in a simulation one can believe.",
    epilog="Start with: tradingd demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", short_help="Run the main job on embedded data: 20 stocks, 2015 to 2022.")(replay.demo)
app.command("replay", short_help="Replay recorded market data; write a run folder.", epilog=replay.EXAMPLE)(
    replay.replay
)
app.command("run", short_help="Run the daemon: live loop, simulated broker, durable ledger.")(run.run)
app.command("inference", short_help="Compute models for the daemon in a process of its own.")(inference.inference)
app.command("parity", short_help="Decide a recorded session again and say what differs.")(parity.parity)
app.command("sentiment", short_help="Say how negative, neutral or positive texts are.", epilog=sentiment.EXAMPLE)(
    sentiment.sentiment
)
app.command("install-service", epilog=install.EXAMPLE, short_help="Write the systemd units of this installation.")(
    install.install_service
)

app.command("backup", short_help="Copy the state directory to one checked file.", epilog=backup.BACKUP_EXAMPLE)(
    backup.backup
)
app.command("restore", short_help="Put a backup in its place; the old one moves aside.", epilog=backup.RESTORE_EXAMPLE)(
    backup.restore
)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option(DEBUG_FLAG, help="Show tracebacks; TRADINGD_DEBUG=1 does the same.")] = False,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    del debug, show_version  # debug is taken from the arguments by main, so that it may stand anywhere


@app.command(short_help="Check a run folder or ledger; exit 0 only if everything holds.")
def verify(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Run folder or ledger.", show_default=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Check a run folder or ledger: integrity, hash chain, double entry, invariants. Exit 0 only if all hold."""
    from daemon.system.verify import verify_path

    with counting("verify") as progress:
        report = verify_path(path, progress)
    if as_json:
        checks = [{"name": c.name, "ok": c.ok, "detail": c.detail} for c in report.checks]
        say_json({"schema": "tradingd.verify/1", "path": str(path), "ok": report.ok, "checks": checks})
    else:
        say(table(["check", "holds", "found"], [[c.name, "yes" if c.ok else "NO", c.detail] for c in report.checks]))
    if not report.ok:
        broken = ", ".join(c.name for c in report.checks if not c.ok)
        message = f"{path} does not verify: {broken}"
        raise OperatorError(message, code="VERIFY", remedy="do not trust these files")


@app.command(short_help="Show which actor sends, decides and folds each message.")
def routes(*, as_json: AsJson = False) -> None:
    """Show which actor sends, decides and folds each message, in the order of the stages."""
    from daemon.system.composition import routes as rows

    columns = ("message", "kind", "sent_by", "observed_by", "decided_by", "folded_by", "sealed_by")
    found = rows()
    if as_json:
        say_json({"schema": "tradingd.routes/1", "rows": [{c: getattr(row, c) for c in columns} for row in found]})
        return
    cells = [[_cell(getattr(row, column)) for column in columns] for row in found]
    say(table([column.replace("_", " ") for column in columns], cells))


@app.command()
def version(*, as_json: AsJson = False) -> None:
    """Print the version."""
    from daemon.system.version import program_version

    text = program_version()
    if as_json:
        say_json({"schema": "tradingd.version/1", "version": text})
    else:
        say(f"tradingd {text}")


app.add_typer(calc.app, name="calc", short_help="Recompute the numbers of a report from files.")
app.add_typer(strategies.app, name="strategy")
app.add_typer(models.app, name="model")
app.add_typer(configuration.app, name="config")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (``contract.md`` section 1)."""
    _open_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = DEBUG_FLAG in arguments or os.environ.get(DEBUG_VARIABLE, "0") not in {"", "0"}
    arguments = [a for a in arguments if a != DEBUG_FLAG]
    stopped: list[int] = []
    try:
        with _orderly_signals(stopped):
            code = _run(arguments)
        if code != INTERRUPTED:  # what typer makes of an interrupt
            return code
    except BrokenPipeError:  # the reader of our pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        pass  # told below
    except Exception as error:  # noqa: BLE001 - the last handler: every error becomes one sentence and a code
        if debug:
            traceback.print_exc()
        return _explain(error, debug=debug)
    number = signal.Signals(stopped[0]) if stopped else signal.SIGINT
    what = "interrupted" if number is signal.SIGINT else f"stopped by {number.name}"
    note(f"tradingd: {what}; nothing half-written was left")
    return 128 + number


def program() -> NoReturn:
    """Be the program: run one command, and end, whatever a strategy or a library has left running."""
    code = main()
    threading.Thread(target=_end_anyway, args=(code,), name="end", daemon=True).start()
    sys.exit(code)


def _end_anyway(code: int) -> None:
    """End the process where a thread that nobody ends keeps the interpreter from it: everything is written by now."""
    sleep(LEAVE_S)
    ours = (threading.main_thread(), threading.current_thread())
    names = dict.fromkeys(t.name for t in threading.enumerate() if not t.daemon and t not in ours)
    who = ", ".join(list(names)[:3]) or "a thread"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    with contextlib.suppress(OSError, ValueError):  # nobody may be there to read it
        note(f"tradingd: left behind: {who}{more}, which a strategy or a library started and does not end")
        sys.stderr.flush()
    os._exit(code)


def _open_streams() -> None:
    """Give a process that was started without them standard streams, before a ledger gets their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


@contextmanager
def _orderly_signals(stopped: list[int]) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP unwind what runs; what was ignored (nohup) stays so.

    SIGINT, too, raises our own error: a strategy's plain ``KeyboardInterrupt`` is nobody at the keyboard.

    Args:
        stopped: takes the number of the signal that came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        stopped.append(number)
        raise InterruptError

    defaults = (signal.SIG_DFL, signal.default_int_handler)
    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    watched = {number: signal.signal(number, stop) for number in asked if signal.getsignal(number) in defaults}
    try:
        yield
    finally:
        for number, before in watched.items():
            signal.signal(number, before)


def _run(arguments: list[str]) -> int:
    try:
        result = app(arguments, prog_name="tradingd", standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    sys.stdout.flush()
    return result if isinstance(result, int) else 0


def _explain(error: Exception, *, debug: bool) -> int:
    """Print one sentence that says what to do, and return the exit code."""
    if isinstance(error, typer.TyperException):  # the command line itself
        if error.format_message().startswith("Usage:"):  # a group without a command shows its help
            note(error.format_message())
            return int(error.exit_code)
        message = one_line(error.format_message()).rstrip(".")
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "tradingd"
        note(f"tradingd: {message[:1].lower()}{message[1:]}; see {command} --help")
        return int(error.exit_code)
    if isinstance(error, TradingdError):
        note(f"tradingd: {one_line(str(error))}")
        return error.exit_code if isinstance(error, OperatorError) else 1
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        note(f"tradingd: {one_line(where + error.strerror[:1].lower() + error.strerror[1:])}")
        return 1
    text = one_line(str(error))
    hint = "" if debug else "; run it again with --debug and report what it shows"
    note(f"tradingd: a fault of the program, not yours: {type(error).__name__}: {text}{hint}")
    return 1


def _cell(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


if __name__ == "__main__":
    program()
