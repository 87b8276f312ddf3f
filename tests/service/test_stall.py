"""The guard of the main loop: one stall is one line with a stack and one with a length."""

from __future__ import annotations

import threading

import pytest

from daemon.service.clock import SECOND_NS, Jump, Reading
from daemon.service.stall import StallDetector, StallGuard, stack_of
from tests.service.conftest import Hands, Lines


def test_a_loop_that_beats_in_time_has_no_stalls() -> None:
    """Also one whose beats come late by less than the limit."""
    detector = StallDetector(0.1, 0.0)
    now = 0.0
    for gap in (0.025, 0.025, 0.1, 0.12, 0.0):
        now += gap
        assert detector.look(now) is None
        assert detector.beat(now) is None
    assert detector.stalls == 0


def test_thirty_seconds_are_one_stall() -> None:
    """Reported once while it lasts, counted once when it is over, and the next one is reported again."""
    detector = StallDetector(0.1, 0.0)
    seen = [detector.look(n * 0.025) for n in range(1, 1_201)]
    reported = [age for age in seen if age is not None]
    assert reported == [pytest.approx(0.15, abs=0.026)]
    assert detector.stalled(30.0)
    assert detector.beat(30.0) == 30.0
    assert (detector.stalls, detector.longest_s, detector.last_s) == (1, 30.0, 30.0)
    assert detector.look(30.1) is None
    assert detector.look(30.2) == pytest.approx(0.2)
    assert detector.beat(30.3) == pytest.approx(0.3)
    assert (detector.stalls, detector.longest_s) == (2, 30.0)


def test_a_stall_that_nobody_could_look_at_is_still_counted() -> None:
    """One call kept the interpreter to itself: the guard's thread did not run either, the beat tells."""
    detector = StallDetector(0.1, 0.0)
    assert detector.beat(7.0) == 7.0
    assert detector.stalls == 1


def test_the_stack_names_where_a_thread_is() -> None:
    """File, line and function, outermost first; nothing for a thread that has ended."""
    inside, leave = threading.Event(), threading.Event()

    def lingering_call() -> None:
        inside.set()
        leave.wait(30)

    thread = threading.Thread(target=lingering_call)
    thread.start()
    assert inside.wait(30)
    found = stack_of(thread.ident or 0)
    leave.set()
    thread.join()
    assert "test_stall.py" in found
    assert "lingering_call" in found
    assert stack_of(-1) == ""


class Told(Lines):
    """A log whose lines a test can wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Semaphore(0)

    def warning(self, event: str, **fields: object) -> None:
        """Keep a line."""
        super().warning(event, **fields)
        self.arrived.release()


def test_the_guard_sees_a_real_loop_hang_and_go_on() -> None:
    """With a real thread and real time: stack first, duration after; the gauges agree."""
    told = Told()
    guard = StallGuard(0.02, log=told)
    guard.start()
    assert told.arrived.acquire(timeout=30)  # nothing beats: this thread waits here
    assert guard.gauges().stalled
    guard.beat()
    guard.stop()
    (_, first, stuck), (_, second, over) = told.lines[:2]
    assert (first, second) == ("main loop does not turn", "main loop turns again")
    assert "test_the_guard_sees_a_real_loop_hang_and_go_on" in str(stuck["stack"])
    gauges = guard.gauges()
    assert gauges.stalls == 1
    assert gauges.longest_s >= 0.02
    assert over["stalled_s"] == pytest.approx(gauges.longest_s, abs=0.001)


def test_what_was_before_the_guard_began_is_no_stall() -> None:
    """It is built early and started late; the start itself is not the loop's."""
    now = 0.0
    lines = Lines()
    guard = StallGuard(0.1, log=lines, clock=lambda: now)
    now = 7.0
    guard.start()
    guard.beat()
    guard.stop()
    assert (guard.gauges().stalls, lines.lines) == (0, [])


def test_the_guard_tells_a_step_of_the_clock(hands: Hands) -> None:
    """Log and callback get the jump; the guard's thread is the one that calls."""
    told, jumps, wall = Told(), [], [0]

    def clocks() -> Reading:
        ns = int(hands.now * SECOND_NS)
        return Reading(ns + wall[0], ns, ns)

    def on_jump(jump: Jump) -> None:
        jumps.append((jump, threading.current_thread().name))

    guard = StallGuard(0.02, on_jump=on_jump, log=told, clock=hands, clocks=clocks)
    guard._look_at_clocks()
    wall[0] = -5 * SECOND_NS
    guard.start()
    hands.now += 1.0
    assert told.arrived.acquire(timeout=30)
    guard.stop()
    assert jumps == [(Jump("step", -5 * SECOND_NS), "stall-guard")]
    assert told.lines[0][1] == "the wall clock was set back by 5.000 s"
    assert told.lines[0][2] == {"kind": "step", "amount_ms": -5_000}
