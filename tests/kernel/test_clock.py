"""Clocks that never go back, and timers in order."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.kernel.clock import SystemClock, TimerHeap, VirtualClock
from daemon.kernel.errors import InvariantError
from daemon.kernel.message import Command


class Ring(Command, frozen=True, tag=911):
    """What a timer brings; a field that cannot be ordered, since the heap must never compare commands."""

    n: int
    facts: tuple[dict[str, int], ...] = ({},)


def test_the_virtual_clock_moves_only_when_told_and_never_back() -> None:
    """Standing still is allowed: several inputs share an instant."""
    clock = VirtualClock(10)
    assert clock.now() == clock.now() == 10
    clock.advance_to(10)
    clock.advance_to(25)
    with pytest.raises(InvariantError, match="go back from 25 to 24") as caught:
        clock.advance_to(24)
    assert caught.value.code == "CLOCK_BACKWARD"
    assert clock.now() == 25


def test_the_system_clock_holds_time_while_the_machine_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading during the step is counted; afterwards time goes on."""
    machine = iter([100, 110, 90, 109, 110, 130])
    monkeypatch.setattr(time, "time_ns", lambda: next(machine))
    clock = SystemClock()
    assert [clock.now() for _ in range(5)] == [110, 110, 110, 110, 130]
    assert clock.regressions == 2


def test_the_system_clock_reads_the_machines_time() -> None:
    """Between two readings of the same source."""
    clock = SystemClock()
    before = time.time_ns()
    assert before <= clock.now()


TIMERS = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)))


@given(TIMERS)
def test_timers_come_out_by_due_then_by_stage_then_by_order_of_setting(timers: list[tuple[int, int]]) -> None:
    """A stable sort is the model."""
    heap = TimerHeap()
    for n, (due, stage) in enumerate(timers):
        heap.push(due, Ring(n), stage)
    expected = [(due, n) for n, (due, _) in sorted(enumerate(timers), key=lambda timer: timer[1])]
    assert heap.next_due() == (expected[0][0] if expected else None)
    assert [(due, command.n) for due, command in (heap.pop() for _ in timers)] == expected  # type: ignore[attr-defined]
    assert len(heap) == 0


@given(TIMERS, st.integers(-3, 3), st.integers(0, 2))
def test_a_discarded_timer_is_the_first_of_its_kind_and_no_other_moves(
    timers: list[tuple[int, int]], due: int, n: int
) -> None:
    """Several may bring equal commands at one instant; where there is none, nothing changes."""
    heap, model = TimerHeap(), []
    for order, (at, stage) in enumerate(timers):
        heap.push(at, Ring(order % 3), stage)
        model.append((at, stage, order, order % 3))
    model.sort()
    found = [entry for entry in model if (entry[0], entry[3]) == (due, n)]
    heap.discard(due, Ring(n))
    if found:
        model.remove(found[0])
    assert [(at, command.n) for at, _, _, command in heap.entries()] == [(at, k) for at, _, _, k in model]  # type: ignore[attr-defined]


@given(st.lists(st.integers(0, 3), min_size=1), st.lists(st.integers(0, 3)), st.data())
def test_a_heap_restored_from_its_entries_goes_on_like_the_original(
    first: list[int], later: list[int], data: st.DataObject
) -> None:
    """Also when some have fired and more are set afterwards; equal heaps give equal entries."""
    heap, restored = TimerHeap(), TimerHeap()
    for n, due in enumerate(first):
        heap.push(due, Ring(n))
    for _ in range(data.draw(st.integers(0, len(first)))):
        heap.pop()
    restored.push(99, Ring(-1))
    restored.restore(heap.entries())
    for n, due in enumerate(later):
        heap.push(due, Ring(1_000 + n))
        restored.push(due, Ring(1_000 + n))
    assert restored.entries() == heap.entries()
    assert [restored.pop() for _ in range(len(restored))] == [heap.pop() for _ in range(len(heap))]
