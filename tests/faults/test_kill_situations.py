"""Kill while everything else is stuck: acknowledged, and no order or fill behind it, whatever holds the daemon up.

Each situation has orders under way: some being accepted, some waiting for a bar, some resting. The oracle holds each
kill against a tenth of a second (on a busy machine, against what that is worth there); ops/bench/kill.py measures many.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.faults.kill_oracle import (
    Kill,
    Witness,
    await_no_orders,
    await_state,
    judge,
    kill_by_socket,
    latch_says_killed,
    revive,
)
from tests.faults.killing import (
    Flood,
    Spinner,
    Traffic,
    foreign_lock,
    full_disk,
    idle_connections,
    settings,
)
from tests.live_support import Daemon, daemon


@contextmanager
def storm(d: Daemon, stack: ExitStack) -> Iterator[tuple[Traffic, Witness]]:
    """Start the daemon and send orders until some are accepted and filled."""
    d.start()
    witness = Witness(d.ledger)
    stack.callback(witness.close)
    with Traffic(d) as traffic:
        traffic.await_fill(d)
        traffic.await_accepted(10)
        yield traffic, witness


def stays_killed(d: Daemon, kills: list[Kill], traffic: Traffic) -> None:
    """Kill the process, start it again and end it in order: killed all along, every order gone, the record sound."""
    await_state(d, "killed")
    traffic.stop()
    d.kill()
    d.start()
    with d.client() as client:
        assert client.call("status")["trading_state"] == "killed"
        await_no_orders(client)
        denied = client.call("order.submit", symbol="S0", side="buy", qty=1, request_id="after")
        assert (denied["status"], denied["code"]) == ("denied", "KILLED")
    assert d.stop() == 0
    found = judge(d, kills, [traffic])
    assert found.accepted, "there was a storm"
    assert found.filled, "there were fills"
    assert found.open_at_kill, "there was something to cancel"


def test_ten_thousand_messages_a_second(tmp_path: Path) -> None:
    """F20: the core is busy with quotes and orders all the time; kill, go on, kill again."""
    toml = settings(tmp_path, seconds=60, speed=5, quotes_a_second=2000)
    with daemon(tmp_path, toml) as d, ExitStack() as stack, storm(d, stack) as (traffic, witness):
        before = witness.head()
        kills = [kill_by_socket(d, witness)]
        assert kills[0].at_ack > before - 1 > 100
        await_state(d, "killed")
        with d.client() as client:
            revive(client)
        traffic.await_accepted(5)
        kills.append(kill_by_socket(d, witness))
        stays_killed(d, kills, traffic)


@pytest.mark.parametrize("seconds", [1.5, pytest.param(30.0, marks=pytest.mark.long)])
def test_a_strategy_that_spins(tmp_path: Path, seconds: float) -> None:
    """The acknowledgement comes while the strategy still computes, and what it held up comes to nothing."""
    spinner = Spinner(tmp_path)
    toml = settings(tmp_path, strategies=[spinner.reference])
    with daemon(tmp_path, toml) as d, ExitStack() as stack, storm(d, stack) as (traffic, witness):
        stack.callback(spinner.close)
        spinner.do(f"loop {seconds}")
        kill = kill_by_socket(d, witness)
        with d.client() as client:
            assert client.call("status")["trading_state"] == "killed", "said before the core has come to it"
        assert spinner.ended(seconds + 20) > kill.acked
        stays_killed(d, [kill], traffic)


@pytest.mark.parametrize("seconds", [1.0, pytest.param(8.0, marks=pytest.mark.long)])
def test_another_process_holds_the_ledger(tmp_path: Path, seconds: float) -> None:
    """BEGIN IMMEDIATE of another process: the kill waits for nobody, and what waited for the lock is not ordered."""
    with daemon(tmp_path, settings(tmp_path)) as d, ExitStack() as stack, storm(d, stack) as (traffic, witness):
        with foreign_lock(d.ledger):
            asked = len(traffic.asked)
            kill = kill_by_socket(d, witness)
            assert kill.at_ack == kill.before, "nothing is durable that could not be written"
            _hold(d, seconds)
            assert witness.head() == kill.at_ack
            assert len(traffic.told) <= asked, "no order was promised meanwhile"
        stays_killed(d, [kill], traffic)


def _hold(d: Daemon, seconds: float) -> None:
    """Let time pass, hearing of the daemon's end if it ends."""
    assert d.process is not None
    with pytest.raises(subprocess.TimeoutExpired):
        d.process.wait(seconds)


@pytest.mark.parametrize("speed", [20, pytest.param("max", marks=pytest.mark.long)])
def test_queues_are_full(tmp_path: Path, speed: float | str) -> None:
    """Nothing is committed, more calls wait than may, the next are refused: a kill is still taken at once.

    At full speed the core is also as far ahead of the ledger as it may be, and the feed's queue is full.
    """
    toml = settings(tmp_path, seconds=60_000 if speed == "max" else 600, speed=speed)
    with daemon(tmp_path, toml) as d, ExitStack() as stack, storm(d, stack) as (traffic, witness):
        with foreign_lock(d.ledger):
            flood = stack.enter_context(Flood(d, connections=20, each=64))
            assert flood.receive().error == "BUSY"
            kill = kill_by_socket(d, witness)
            assert witness.head() == kill.at_ack
        flood.receive_all()
        denied = [told for told in flood.told.values() if told.answer is not None]
        assert len(denied) > 900, "they waited"
        assert {told.answer["code"] for told in denied if told.answer} == {"KILLED"}
        stays_killed(d, [kill], traffic)
        judge(d, [kill], [flood], verify=False)


@pytest.mark.long
def test_the_disk_is_full(tmp_path: Path) -> None:
    """No file may grow: the kill is durable all the same, and stands in the ledger as soon as there is room."""
    with daemon(tmp_path, settings(tmp_path)) as d, ExitStack() as stack, storm(d, stack) as (traffic, witness):
        with full_disk(d):
            traffic.await_told("LEDGER_FULL")
            kill = kill_by_socket(d, witness)
            with d.client() as client:
                assert client.call("status")["trading_state"] == "killed"
                assert client.call("positions")["rows"], "reads go on"
            assert witness.head() == kill.at_ack
        stays_killed(d, [kill], traffic)


def test_sigkill_while_the_disk_is_full(tmp_path: Path) -> None:
    """The kill stands in the latch alone when the process dies; the next start writes it down before anything else."""
    with daemon(tmp_path, settings(tmp_path)) as d, ExitStack() as stack, storm(d, stack) as (traffic, witness):
        with full_disk(d):
            traffic.await_told("LEDGER_FULL")
            kill = kill_by_socket(d, witness)
            d.kill()
        assert latch_says_killed(d)
        d.start()
        stays_killed(d, [kill], traffic)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 64 MiB where the state folder will be; skip where that is not allowed."""
    folder = tmp_path / "state"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tradingd-test", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount program")
    if done.returncode:
        pytest.skip(f"mounting a small file system takes root: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S607


def test_a_file_system_without_a_free_block(tmp_path: Path, small_disk: Path) -> None:
    """ENOSPC of a real file system, down to the last block."""
    with daemon(tmp_path, settings(tmp_path)) as d, ExitStack() as stack, storm(d, stack) as (traffic, witness):
        filler = small_disk / "filler"
        _fill(filler)
        traffic.await_told("LEDGER_FULL")
        kill = kill_by_socket(d, witness)
        assert latch_says_killed(d)
        assert witness.head() == kill.at_ack
        filler.unlink()
        stays_killed(d, [kill], traffic)


def _fill(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (1 << 16, 512):
            try:
                while True:
                    os.write(descriptor, bytes(size))
            except OSError:
                continue
    finally:
        os.close(descriptor)


def _lines_silent(d: Daemon) -> ExitStack:
    stack = ExitStack()
    stack.enter_context(idle_connections(d.socket, 100, hello=False))
    stack.enter_context(idle_connections(d.socket, 100))
    return stack


def _lines_greeted(d: Daemon) -> ExitStack:
    stack = ExitStack()
    stack.enter_context(idle_connections(d.socket, 200))
    return stack


@pytest.mark.parametrize(
    ("connections_max", "lines"),
    [
        (32, _lines_greeted),
        pytest.param(1000, _lines_silent, marks=pytest.mark.long),
        pytest.param(32, _lines_silent, marks=pytest.mark.long),
        pytest.param(1000, _lines_greeted, marks=pytest.mark.long),
    ],
)
def test_two_hundred_idle_connections(
    tmp_path: Path, connections_max: int, lines: Callable[[Daemon], ExitStack]
) -> None:
    """Whoever wants to kill gets a place, both where they have one and where they push somebody out."""
    toml = settings(tmp_path).replace("connections_max = 1000", f"connections_max = {connections_max}")
    with daemon(tmp_path, toml) as d, ExitStack() as stack, storm(d, stack) as (traffic, witness):
        with lines(d):
            kill = kill_by_socket(d, witness)
        stays_killed(d, [kill], traffic)
