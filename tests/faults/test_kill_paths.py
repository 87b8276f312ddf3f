"""Three ways to kill, each while the other two are gone and the main thread computes; and kill at the edges of a life.

A thread of the same process cannot beat a C call that keeps the interpreter: what each way does then is tested, too.
"""

from __future__ import annotations

import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from actors.messages.control import LatchObserved
from actors.messages.risk import TradingState, TradingStateChanged
from tests.faults.kill_oracle import (
    HELLO,
    KILL,
    Kill,
    Witness,
    await_latch,
    await_state,
    judge,
    kill_by_socket,
    latch_says_killed,
)
from tests.faults.killing import (
    Spinner,
    Traffic,
    foreign_lock,
    settings,
)
from tests.live_support import CallError, Client, Daemon, DaemonFailedError, daemon

SPIN_S = 1.5


def begin(d: Daemon, stack: ExitStack, spinner: Spinner) -> tuple[Traffic, Witness]:
    """Start with orders under way."""
    stack.callback(spinner.close)
    d.start()
    witness = Witness(d.ledger)
    stack.callback(witness.close)
    traffic = stack.enter_context(Traffic(d))
    traffic.await_fill(d)
    return traffic, witness


def stays_killed(d: Daemon, kill: Kill, traffic: Traffic, reason: str, *, restart: bool = False) -> None:
    """The ledger says killed and why, and nothing came behind it; where it is asked for, so does the next start."""
    await_in_ledger(d, TradingState.KILLED)
    d.kill()
    if restart:
        (d.runtime / "KILL").unlink(missing_ok=True)
        d.start()
        with d.client() as client:
            status = client.call("status")
            assert status["trading_state"] == "killed"
            assert reason in status["state_reason"]
        assert d.stop() == 0
    assert reason in d.events(TradingStateChanged)[-1].reason
    assert judge(d, [kill], [traffic]).accepted


def await_in_ledger(d: Daemon, state: TradingState, seconds: float = 30.0) -> None:
    """Wait for a state in the ledger without the socket: it may be gone. Each look waits for the process to end."""
    assert d.process is not None
    for _ in range(int(seconds / 0.05)):
        if any(event.new == state for event in d.events(TradingStateChanged)):
            return
        try:
            d.process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        raise DaemonFailedError(f"the daemon ended:\n{d.tail()}")
    raise AssertionError(f"the ledger says {state}")


# ---------------------------------------------------------------------------------------- independent of each other


def test_the_socket_alone(tmp_path: Path) -> None:
    """Signals are not heard and the file is not looked for: the socket kills while the main thread computes."""
    spinner = Spinner(tmp_path)
    with daemon(tmp_path, settings(tmp_path, strategies=[spinner.reference])) as d, ExitStack() as stack:
        traffic, witness = begin(d, stack, spinner)
        spinner.do("deafen signals", "deafen file", f"loop {SPIN_S}")
        d.signal(signal.SIGUSR1)
        (d.runtime / "KILL").touch()
        _still_trades(d)
        kill = kill_by_socket(d, witness)
        assert spinner.ended(20) > kill.acked
        stays_killed(d, kill, traffic, "test")


def test_sigusr1_alone(tmp_path: Path) -> None:
    """The control thread has died and there is no runtime folder: the signal kills while the main thread computes."""
    spinner = Spinner(tmp_path)
    with daemon(tmp_path, settings(tmp_path, strategies=[spinner.reference])) as d, ExitStack() as stack:
        traffic, witness = begin(d, stack, spinner)
        spinner.do("lose control", f"loop {SPIN_S}")
        elsewhere = d.runtime.rename(f"{d.runtime}-gone")
        kill = await_latch(d, witness, lambda: d.signal(signal.SIGUSR1))
        assert spinner.ended(20) > kill.acked
        elsewhere.rename(d.runtime)
        stays_killed(d, kill, traffic, "signal USR1")


def test_the_file_alone(tmp_path: Path) -> None:
    """The control thread has died and signals are not heard: the file kills while the main thread computes."""
    spinner = Spinner(tmp_path)
    with daemon(tmp_path, settings(tmp_path, strategies=[spinner.reference])) as d, ExitStack() as stack:
        traffic, witness = begin(d, stack, spinner)
        spinner.do("lose control", "deafen signals", f"loop {SPIN_S}")
        d.signal(signal.SIGUSR1)
        _still_trades(d)
        kill = await_latch(d, witness, (d.runtime / "KILL").touch)
        assert spinner.ended(20) > kill.acked
        stays_killed(d, kill, traffic, "KILL is there")


def _still_trades(d: Daemon) -> None:
    """The way that was cut did not kill, although it had time to."""
    assert d.process is not None
    with pytest.raises(subprocess.TimeoutExpired):
        d.process.wait(0.2)
    assert not latch_says_killed(d)


def test_when_the_control_thread_has_died(tmp_path: Path) -> None:
    """Trading is reduced, because nobody can ask for a stop there; tradingctl kill falls back on the file."""
    spinner = Spinner(tmp_path)
    with daemon(tmp_path, settings(tmp_path, strategies=[spinner.reference])) as d, ExitStack() as stack:
        traffic, witness = begin(d, stack, spinner)
        spinner.do("lose control")
        spinner.ended(20)
        await_in_ledger(d, TradingState.REDUCING)
        before = witness.head()
        done = d.ctl("kill", "--reason", "nobody answers")
        assert (done.returncode, (d.runtime / "KILL").exists()) == (4, True), done.stderr
        assert "KILL is written" in done.stderr
        kill = await_latch(d, witness, lambda: None)
        kill.before = before
        stays_killed(d, kill, traffic, "KILL is there")


# -------------------------------------------------------------------------------------------- held in one C call


@pytest.mark.long
def test_a_c_call_that_keeps_the_interpreter(tmp_path: Path) -> None:
    """Nobody in the process can run: the answer waits for the end of the call, and nothing is ordered before it."""
    spinner = Spinner(tmp_path)
    with daemon(tmp_path, settings(tmp_path, strategies=[spinner.reference])) as d, ExitStack() as stack:
        traffic, witness = begin(d, stack, spinner)
        spinner.do("hold 1.0")
        kill = kill_by_socket(d, witness, prompt=False)
        ended = spinner.ended(20)
        assert kill.acked > ended - 0.05, "a thread of the same process cannot beat it"
        stays_killed(d, kill, traffic, "test")


def test_a_file_outlives_a_c_call_that_never_ends(tmp_path: Path) -> None:
    """The file KILL, then SIGKILL: what a service manager's watchdog does. The next start is killed before READY."""
    spinner = Spinner(tmp_path)
    with daemon(tmp_path, settings(tmp_path, strategies=[spinner.reference])) as d, ExitStack() as stack:
        traffic, witness = begin(d, stack, spinner)
        spinner.do("hold 60")
        done = d.ctl("--timeout", "0.5", "kill", "--reason", "it hangs")
        assert done.returncode == 4, done.stderr
        assert not latch_says_killed(d)
        d.kill()
        at_death = witness.head()
        d.start()
        stays_killed(d, Kill(0.0, 0.0, at_death, at_death), traffic, "KILL is there", restart=True)


@pytest.mark.long
def test_sigusr1_that_comes_during_a_c_call(tmp_path: Path) -> None:
    """It waits with the kernel and is taken when the call ends, before anything is decided."""
    spinner = Spinner(tmp_path)
    with daemon(tmp_path, settings(tmp_path, strategies=[spinner.reference])) as d, ExitStack() as stack:
        traffic, witness = begin(d, stack, spinner)
        spinner.do("hold 0.7")
        kill = await_latch(d, witness, lambda: d.signal(signal.SIGUSR1))
        spinner.ended(20)
        stays_killed(d, kill, traffic, "signal USR1")


# ------------------------------------------------------------------------------------------------- the edges of a life


def heard(d: Daemon, key: str, beginning: str, seconds: float = 30.0) -> None:
    """Wait until the daemon has told its manager something."""
    for _ in range(int(seconds / 0.2)):
        message = d.manager.listen(0.2)
        if message is not None and message.get(key, "").startswith(beginning):
            return
    raise DaemonFailedError(f"the daemon did not say {key}={beginning}:\n{d.tail()}")


def killed_from_birth(d: Daemon) -> None:
    """READY, killed, no order passes, and nothing of it is lost over the next start."""
    d.await_ready()
    for again in (True, False):
        with d.client() as client:
            assert client.call("status")["trading_state"] == "killed"
            denied = client.call("order.submit", symbol="S0", side="buy", qty=1, request_id=f"x{again}")
            assert denied["code"] == "KILLED"
        d.kill() if again else d.stop()
        if again:
            d.start()
    assert judge(d, []).accepted == 0


@pytest.mark.parametrize("way", ["socket", *(pytest.param(way, marks=pytest.mark.long) for way in ("signal", "file"))])
def test_a_kill_before_ready(tmp_path: Path, way: str) -> None:
    """Acknowledged while the data are still being read, on a ledger that has nothing in it yet."""
    toml = settings(tmp_path, seconds=30, quotes_a_second=1000)
    with daemon(tmp_path, toml) as d:
        d.spawn()
        heard(d, "STATUS", "starting: data")
        if way == "socket":
            with Client(d.socket) as client:
                assert client.call("kill", reason="too early")["durable"]
                with pytest.raises(CallError, match="not ready"):
                    client.call("order.submit", symbol="S0", side="buy", qty=1)
        elif way == "signal":
            d.signal(signal.SIGUSR1)
        else:
            (d.runtime / "KILL").touch()
        killed_from_birth(d)


def test_a_file_from_before_the_start(tmp_path: Path) -> None:
    """It lies there while nothing runs: the first thing a start does is to be killed."""
    with daemon(tmp_path, settings(tmp_path, seconds=30)) as d:
        (d.runtime / "KILL").touch()
        d.spawn()
        killed_from_birth(d)
        assert isinstance(d.frames()[0].input, LatchObserved), "nothing stands before it"


def test_a_kill_during_recovery(tmp_path: Path) -> None:
    """Orders rest from the last run: a kill while they are being recovered cancels them before anything else."""
    toml = settings(tmp_path, seconds=100, quotes_a_second=500)
    with daemon(tmp_path, toml) as d, ExitStack() as stack:
        d.start()
        witness = Witness(d.ledger)
        stack.callback(witness.close)
        traffic = stack.enter_context(Traffic(d))
        traffic.await_fill(d)
        traffic.await_accepted(20)
        d.kill()
        d.spawn()
        heard(d, "STATUS", "starting: data")
        kill = kill_by_socket(d, witness)
        d.await_ready()
        await_state(d, "killed")
        assert d.stop() == 0
        found = judge(d, [kill], [traffic])
        assert found.gaps == [0], "it is the first input of the new run"
        assert found.open_at_kill > 3


@pytest.mark.parametrize(
    "stage", ["core", *(pytest.param(stage, marks=pytest.mark.long) for stage in ("intake", "outreach", "ledger"))]
)
def test_a_kill_during_shutdown(tmp_path: Path, stage: str) -> None:
    """Acknowledged means killed, also when the process ends a moment later: the next start knows."""
    with daemon(tmp_path, settings(tmp_path)) as d, ExitStack() as stack:
        d.start()
        witness = Witness(d.ledger)
        stack.callback(witness.close)
        traffic = stack.enter_context(Traffic(d))
        traffic.await_fill(d)
        link = Client(d.socket)
        stack.callback(link.close)
        lock = stack.enter_context(ExitStack())
        if stage == "core":  # held up, so that the kill comes into the middle of it
            lock.enter_context(foreign_lock(d.ledger))
        d.signal(signal.SIGTERM)
        heard(d, "STATUS", f"stopping: {stage}")
        before = witness.head()
        acknowledged = False
        try:
            acknowledged = link.call("kill", reason="while it ends")["durable"]
        except (CallError, OSError):
            assert stage == "ledger", "until the very last stage a kill is taken"
        at_ack = witness.head()
        lock.close()
        assert d.wait(40) == 0
        if not acknowledged:
            return
        assert latch_says_killed(d)
        d.start()
        await_state(d, "killed")
        assert d.stop() == 0
        judge(d, [Kill(0.0, 0.0, before, at_ack)], [traffic])


def test_kill_in_one_write(tmp_path: Path) -> None:
    """What tradingctl sends is one write: hello and kill together are understood, and the connection may close."""
    with daemon(tmp_path, settings(tmp_path, seconds=30)) as d:
        d.start()
        client = Client(d.socket)
        client.socket.sendall(HELLO + KILL)
        client.close()
        await_state(d, "killed")
        assert d.socket.exists()
