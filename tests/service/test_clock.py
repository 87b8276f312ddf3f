"""Steps, slews, sleeps and pauses, told apart from readings alone (F51, F56)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.service.clock import SECOND_NS, ClockWatch, Jump, Reading, read_clocks

ROOT = Path(__file__).resolve().parents[2]
HOUR = 3_600 * SECOND_NS
START = Reading(1_700_000_000 * SECOND_NS, 500 * SECOND_NS, 900 * SECOND_NS)


def later(last: Reading, *, ran_ns: int = SECOND_NS, slept_ns: int = 0, stepped_ns: int = 0) -> Reading:
    """Return a reading after some time, of which part was slept, with the wall clock set on the way."""
    passed = ran_ns + slept_ns
    return Reading(last.wall + passed + stepped_ns, last.monotonic + ran_ns, last.boot + passed)


@pytest.mark.parametrize(
    ("step_ns", "text"),
    [
        (HOUR, "the wall clock was set forward by 3,600.000 s"),
        (-HOUR, "the wall clock was set back by 3,600.000 s"),
        (24 * HOUR, "the wall clock was set forward by 86,400.000 s"),
        (SECOND_NS + 1, "the wall clock was set forward by 1.000 s"),
        (-(SECOND_NS + 1), "the wall clock was set back by 1.000 s"),
    ],
)
def test_f56_a_step_of_the_wall_clock_is_told_once(step_ns: int, text: str) -> None:
    """F56: +1 h, -1 h, +1 day and just beyond the bound; the reading after it is quiet again."""
    watch = ClockWatch(SECOND_NS)
    reading = START
    assert watch.look(reading) == ()
    for _ in range(3):
        reading = later(reading)
        assert watch.look(reading) == ()
    reading = later(reading, stepped_ns=step_ns)
    found = watch.look(reading)
    assert found == (Jump("step", step_ns),)
    assert found[0].text == text
    assert watch.look(later(reading)) == ()
    assert watch.drift_ns == step_ns


def test_f56_a_slew_is_no_step_however_long_it_lasts() -> None:
    """F56: NTP's half millisecond a second and chrony's 83, for an hour; the sum is a gauge."""
    for slew_ns in (500_000, 83_333_333, -83_333_333):
        watch, reading = ClockWatch(SECOND_NS), START
        for _ in range(3_600):
            reading = later(reading, stepped_ns=slew_ns)
            assert watch.look(reading) == ()
        assert watch.drift_ns == 3_599 * slew_ns


def test_f51_a_stopped_process_is_a_pause_and_no_step() -> None:
    """F51: SIGSTOP for a minute: all clocks went on, nobody read them."""
    watch, reading = ClockWatch(SECOND_NS), START
    watch.look(reading)
    reading = later(reading, ran_ns=60 * SECOND_NS)
    found = watch.look(reading)
    assert found == (Jump("pause", 60 * SECOND_NS),)
    assert found[0].text == "nothing of the process ran for 60.0 s"
    assert watch.look(later(reading)) == ()


def test_f51_a_machine_that_slept_is_told_from_a_clock_that_was_set() -> None:
    """F51: the wall went on with the boot clock, the monotonic one stood still; both at once are both told."""
    watch, reading = ClockWatch(SECOND_NS), START
    watch.look(reading)
    reading = later(reading, slept_ns=HOUR)
    found = watch.look(reading)
    assert found == (Jump("suspend", HOUR),)
    assert found[0].text == "the machine slept for 3,600.0 s"
    found = watch.look(later(reading, slept_ns=HOUR, stepped_ns=-2 * HOUR))
    assert [jump.kind for jump in found] == ["step", "suspend"]


def test_a_reader_that_is_a_little_late_is_nothing() -> None:
    """Scheduling on a loaded machine is no event."""
    watch = ClockWatch(SECOND_NS)
    watch.look(START)
    assert watch.look(later(START, ran_ns=6 * SECOND_NS)) == ()
    watch = ClockWatch(SECOND_NS)
    watch.look(START)
    assert watch.look(later(START, ran_ns=6 * SECOND_NS + 1)) == (Jump("pause", 6 * SECOND_NS + 1),)


def test_the_systems_clocks_are_read_together() -> None:
    """Two readings in a row show no jump."""
    watch = ClockWatch(SECOND_NS)
    assert watch.look(read_clocks()) == ()
    assert watch.look(read_clocks()) == ()


STOPPED = """
import sys
from daemon.service.clock import ClockWatch, read_clocks
watch = ClockWatch(10**9, period_ns=10**9, pause_ns=10**8)
watch.look(read_clocks())
print("begun", flush=True)
sys.stdin.readline()
print(*(f"{jump.kind} {jump.amount_ns}" for jump in watch.look(read_clocks())), flush=True)
"""


def test_f51_a_real_stopped_process_sees_the_pause(tmp_path: Path) -> None:
    """F51 with SIGSTOP and SIGCONT: what the process sees on waking is a pause of at least that length."""
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        os.kill(process.pid, signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        begin = read_clocks().monotonic
        while read_clocks().monotonic - begin < 1_300_000_000:  # the clock itself is what is waited for
            pass
        os.kill(process.pid, signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        kind, amount = process.stdout.readline().split()
        assert kind == "pause"
        assert int(amount) >= 1_300_000_000
