"""Signals and the file KILL, in a real process whose main thread is busy."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.control.latch import KillLatch
from daemon.control.signals import ENDING, HANDLED, SignalThread
from tests.control.parts import DEADLINE_S, until

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import os, signal, subprocess, sys, threading
from pathlib import Path
from daemon.control.latch import KillLatch
from daemon.control.signals import SignalThread, block_signals, unblock_signals
block_signals()
sys.setswitchinterval(0.001)
folder = Path(sys.argv[1])

def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

latch = KillLatch.open(folder / "kill.latch", fresh=True)
latch.wake = lambda: say("killed", latch.is_set, "|", latch.by, "|", latch.reason)

def reload():
    broken = (folder / "broken").exists()
    say("reload")
    if broken:
        raise ZeroDivisionError("on purpose")

thread = SignalThread(
    latch, folder,
    on_shutdown=lambda name: say("shutdown", name),
    on_reload=reload,
    on_hurry=lambda: say("hurry"),
    on_problem=lambda text: say("problem", text),
    on_lost=lambda error: say("lost", repr(error)),
)
"""
SPIN = """
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
thread.start()
say("ready")
spins = 0
while not ended.is_set():
    spins += 1
say("stopped", thread.stop())
"""


class Child:
    """The program and what it says."""

    def __init__(self, folder: Path, body: str) -> None:
        """Start it."""
        environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-c", PROGRAM + textwrap.dedent(body), str(folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """Return the next line it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def end(self) -> str:
        """Let it end and return the rest of what it says."""
        return self.process.communicate("", timeout=DEADLINE_S)[0]


@contextlib.contextmanager
def child(folder: Path, body: str = SPIN) -> Iterator[Child]:
    """Run the program beside the test."""
    found = Child(folder, body)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.communicate()


def test_usr1_kills_while_the_main_thread_spins(folder: Path) -> None:
    """Without the main thread, with who sent it, on disk when it is told."""
    with child(folder) as program:
        assert program.line() == "ready"
        program.process.send_signal(signal.SIGUSR1)
        assert program.line() == f"killed True | uid {os.getuid()} pid {os.getpid()} | signal USR1"
        program.process.send_signal(signal.SIGUSR1)
        assert program.end() == f"killed True | uid {os.getuid()} pid {os.getpid()} | signal USR1\nstopped True\n"
    latch = KillLatch.open(folder / "kill.latch", fresh=False)
    assert (latch.is_set, latch.reason) == (True, "signal USR1")
    latch.close()


@pytest.mark.parametrize("form", ["file", "folder", "link to nothing", "pipe", "unreadable"])
def test_the_file_kills_in_any_form(folder: Path, form: str) -> None:
    """It is never opened, so nothing it could be can hold the thread up."""
    with child(folder) as program:
        assert program.line() == "ready"
        _put(folder / "KILL", form)
        assert program.line() == f"killed True | uid {os.getuid()} | the file {folder}/KILL is there"
        assert program.end() == "stopped True\n"


@pytest.mark.parametrize("form", ["file", "link to nothing"])
def test_a_file_from_before_kills_before_anything_starts(folder: Path, form: str) -> None:
    """It is looked for on the caller's thread, so nothing can slip in before."""
    _put(folder / "KILL", form)
    with child(folder) as program:
        assert program.line().startswith("killed True")
        assert program.line() == "ready"


def _put(path: Path, form: str) -> None:
    if form == "folder":
        path.mkdir()
    elif form == "link to nothing":
        path.symlink_to("nowhere")
    elif form == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("please")
        path.chmod(0 if form == "unreadable" else 0o600)


def test_a_file_that_stays_kills_again_after_the_latch_is_cleared(folder: Path) -> None:
    """Whoever wants to go on must take the file away first."""
    body = """
    thread.start()
    say("ready")
    sys.stdin.readline()
    latch.clear("test", kills=latch.kills)
    sys.stdin.readline()
    say("stopped", thread.stop())
    """
    with child(folder, body) as program:
        assert program.line() == "ready"
        (folder / "KILL").touch()
        assert program.line().startswith("killed True")
        assert program.process.stdin is not None
        program.process.stdin.write("\n")
        program.process.stdin.flush()
        assert program.line().startswith("killed True")


def test_terminating_asks_once_and_hurries_from_then_on(folder: Path) -> None:
    """The first TERM or INT begins a shutdown, every other one hurries it; a kill still works in between."""
    with child(folder) as program:
        assert program.line() == "ready"
        program.process.send_signal(signal.SIGTERM)
        assert program.line() == "shutdown SIGTERM"
        program.process.send_signal(signal.SIGINT)
        assert program.line() == "hurry"
        program.process.send_signal(signal.SIGUSR1)
        assert program.line().startswith("killed True")
        program.process.send_signal(signal.SIGTERM)
        assert program.line() == "hurry"


@pytest.mark.parametrize("number", sorted(ENDING))
def test_whatever_ends_a_process_in_the_course_of_things_asks_for_an_orderly_end(folder: Path, number: int) -> None:
    """Power that fails and a limit of CPU time, too: the default would end it in the middle of anything."""
    with child(folder) as program:
        assert program.line() == "ready"
        program.process.send_signal(number)
        assert program.line() == f"shutdown {signal.Signals(number).name}"


def test_signals_that_mean_nothing_do_nothing(folder: Path) -> None:
    """They end nobody; a use that somebody makes of one stays; programs started from here find the default."""
    body = """
    from daemon.control.signals import UNUSED, mind_unused_signals
    signal.signal(signal.SIGALRM, lambda *_: say("alarm"))
    mind_unused_signals()
    thread.start()
    for number in sorted(UNUSED):
        os.kill(os.getpid(), number)
    code = f"import signal; print({{signal.getsignal(n) for n in {sorted(map(int, UNUSED))}}})"
    say(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE).stdout.decode().strip())
    say("stopped", thread.stop())
    """
    with child(folder, body) as program:
        assert program.end() == "alarm\n{<Handlers.SIG_DFL: 0>}\nstopped True\n"
        assert program.process.returncode == 0


def test_hangup_reloads_and_a_callback_that_fails_is_told(folder: Path) -> None:
    """A failing reload does not take the kill path with it."""
    with child(folder) as program:
        assert program.line() == "ready"
        program.process.send_signal(signal.SIGHUP)
        assert program.line() == "reload"
        (folder / "broken").touch()
        program.process.send_signal(signal.SIGHUP)
        assert program.line() == "reload"
        assert program.line() == "problem a callback of the signal thread failed: ZeroDivisionError: on purpose"
        program.process.send_signal(signal.SIGUSR1)
        assert program.line().startswith("killed True")


def test_a_kill_that_the_disk_refused_is_told_and_written_when_it_is_well(folder: Path) -> None:
    """Told once at once, then tried again every second."""
    body = """
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    thread.start()
    say("ready")
    sys.stdin.readline()
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    while not latch.durable:
        pass
    say("durable")
    """
    with child(folder, body) as program:
        assert program.line() == "ready"
        program.process.send_signal(signal.SIGUSR1)
        assert program.line().startswith("killed True")
        assert program.line().startswith("problem killed, but not durable: ")
        assert program.process.stdin is not None
        program.process.stdin.write("\n")
        program.process.stdin.flush()
        while (line := program.line()).startswith("problem "):
            pass
        assert line == "durable"
    latch = KillLatch.open(folder / "kill.latch", fresh=False)
    assert latch.is_set
    latch.close()


def test_a_child_process_gets_its_signals_back(folder: Path) -> None:
    """A mask is inherited: without the helper a child could not be terminated."""
    body = """
    code = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
    for helper in (None, unblock_signals):
        say(subprocess.run([sys.executable, "-c", code], preexec_fn=helper, stdout=subprocess.PIPE).stdout.decode())
    """
    with child(folder, body) as program:
        said = program.end().split("\n\n")
    assert str(sorted(HANDLED)) in said[0]
    assert said[1].startswith("[]")


def test_a_thread_that_is_lost_is_reported(folder: Path) -> None:
    """A bug in the kill path must end the process, not go unnoticed."""
    body = """
    thread._take = None
    thread.start()
    say("ready")
    sys.stdin.readline()
    """
    with child(folder, body) as program:
        assert program.line() == "ready"
        program.process.send_signal(signal.SIGUSR1)
        assert program.line().startswith("lost TypeError")


def quiet(folder: Path, **more: Any) -> SignalThread:
    """Return a thread whose callbacks do nothing."""
    latch = KillLatch.open(folder / "kill.latch", fresh=True)
    nothing: dict[str, Any] = dict.fromkeys(
        ("on_shutdown", "on_reload", "on_hurry", "on_problem", "on_lost"), lambda *_: None
    )
    return SignalThread(latch, more.pop("runtime_dir", folder), **(nothing | more))


def test_it_does_not_start_where_signals_are_not_blocked(folder: Path) -> None:
    """Otherwise the first TERM would end the process without a word."""
    with pytest.raises(RuntimeError, match="SIGHUP, SIGINT, SIGPWR, SIGTERM, SIGUSR1, SIGXCPU must be blocked"):
        quiet(folder).start()


@pytest.fixture
def blocked() -> Iterator[None]:
    """Block the signals in this thread for one test; none is sent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.usefixtures("blocked")
def test_a_runtime_folder_that_is_gone_is_no_kill(folder: Path) -> None:
    """Somebody cleaned up; the socket and the signals are still there."""
    (folder / "plain").touch()
    for place in (folder / "absent", folder / "plain"):
        thread = quiet(folder, runtime_dir=place)
        thread.start()
        assert not thread._latch.is_set
        assert thread.stop()
        thread._latch.close()


@pytest.mark.usefixtures("blocked")
def test_a_file_that_cannot_be_looked_for_is_a_kill(folder: Path) -> None:
    """Unknown means no: a name that the file system refuses stands for whatever refuses."""
    thread = quiet(folder, runtime_dir=folder / ("x" * 300))
    thread.start()
    assert thread._latch.is_set
    assert "cannot be looked for" in thread._latch.reason
    assert thread.stop()
    thread._latch.close()


@pytest.mark.usefixtures("blocked")
def test_a_file_is_seen_by_a_running_thread(folder: Path) -> None:
    """In process, for the branches that children take."""
    thread = quiet(folder)
    thread.start()
    assert not thread._latch.is_set
    (folder / "KILL").touch()
    until(lambda: thread._latch.durable, "the file KILL was not seen")
    assert thread.stop()
    assert not thread._thread.is_alive()
    thread._latch.close()


@pytest.mark.usefixtures("blocked")
def test_each_signal_has_its_callback(folder: Path) -> None:
    """Sent to the thread itself, so that nothing else in this process can take them."""
    said: list[str] = []
    told = threading.Event()

    def fail() -> None:
        said.append("reload")
        message = "on purpose"
        raise KeyError(message)

    thread = quiet(
        folder,
        on_shutdown=said.append,
        on_reload=fail,
        on_hurry=lambda: said.append("hurry"),
        on_problem=lambda text: (said.append(text), told.set()),
    )
    thread.start()
    assert thread._thread.ident is not None
    steps = [(signal.SIGINT, "SIGINT"), (signal.SIGTERM, "hurry"), (signal.SIGHUP, "reload")]
    for number, expected in steps:
        signal.pthread_kill(thread._thread.ident, number)
        until(lambda expected=expected: expected in said, f"{expected} was not said")
    assert told.wait(DEADLINE_S)
    assert said == ["SIGINT", "hurry", "reload", "a callback of the signal thread failed: KeyError: 'on purpose'"]
    signal.pthread_kill(thread._thread.ident, signal.SIGUSR1)
    until(lambda: thread._latch.durable, "the kill did not come")
    assert thread._latch.reason == "signal USR1"
    assert thread.stop()
    thread._latch.close()


@pytest.mark.usefixtures("blocked")
def test_a_refused_kill_is_written_again_after_a_while(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In process: refused, told, refused again, told again, written."""
    monkeypatch.setattr("daemon.control.signals.RETRY_S", 0.01)
    problems: list[str] = []
    thread = quiet(folder, on_problem=problems.append)
    with monkeypatch.context() as broken:
        broken.setattr("daemon.control.latch._overwrite", _full)
        thread.start()
        (folder / "KILL").touch()
        until(lambda: len(problems) >= 3, "it was not tried again")
        assert thread._latch.is_set
        assert not thread._latch.durable
    until(lambda: thread._latch.durable, "it was not written")
    assert thread.stop()
    assert set(problems) == {problems[0]}
    assert "not durable" in problems[0]
    thread._latch.close()


def _full(descriptor: int, record: bytes) -> None:
    """Refuse as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_stopping_what_was_never_started_is_nothing(folder: Path) -> None:
    """A start that failed half way stops what there is."""
    thread = quiet(folder)
    assert thread.stop()
    thread._latch.close()
