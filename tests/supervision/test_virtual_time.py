"""The loop on virtual time."""

from __future__ import annotations

import socket
import time

import anyio
import anyio.lowlevel
import pytest

from daemon.testing.virtual_time import LoopClock, VirtualDeadlockError, VirtualTimeLoop, run_virtual


def test_days_pass_in_a_moment_and_at_exact_instants() -> None:
    """Sleeping costs nothing, and instants carry no rounding; a wait of days is reached in the loop's own steps."""

    async def main() -> list[float]:
        seen = []
        for seconds in (0.1, 0.2, 86_400.0 * 3, 0.3):
            await anyio.sleep(seconds)
            seen.append(anyio.current_time())
        return seen

    began = time.perf_counter()
    assert run_virtual(main, start=1.0) == pytest.approx([1.1, 1.3, 259_201.3, 259_201.6], abs=1e-9)
    assert time.perf_counter() - began < 5.0


def test_timers_fire_in_order_and_shared_instants_are_equal() -> None:
    """Two tasks that sleep to the same instant by different steps meet there."""

    async def main() -> list[tuple[float, str]]:
        order: list[tuple[float, str]] = []

        async def steps(name: str, *naps: float) -> None:
            for nap in naps:
                await anyio.sleep(nap)
                order.append((anyio.current_time(), name))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(steps, "a", 1.0, 2.0)
            tasks.start_soon(steps, "b", 2.0, 2.0)
        return order

    assert run_virtual(main) == [(1.0, "a"), (2.0, "b"), (3.0, "a"), (4.0, "b")]


def test_the_clock_shows_the_loops_time() -> None:
    """Stamps agree with timers, to the nanosecond."""

    async def main() -> tuple[int, int]:
        import asyncio  # noqa: PLC0415

        clock = LoopClock(asyncio.get_running_loop(), epoch=1_700_000_000_000_000_000)
        first = clock.now()
        await anyio.sleep(0.25)
        return first, clock.now() - first

    assert run_virtual(main) == (1_700_000_000_000_000_000, 250_000_000)


def test_what_is_ready_on_a_socket_comes_before_a_timer() -> None:
    """Real input is served before time moves on."""

    async def main() -> tuple[bytes, float]:
        near, far = socket.socketpair()
        near.setblocking(False)
        with near, far:
            far.sendall(b"here")
            await anyio.wait_readable(near)
            return near.recv(4), anyio.current_time()

    assert run_virtual(main) == (b"here", 0.0)


def test_a_busy_thread_is_waited_for_where_there_is_no_timer() -> None:
    """Nothing to jump to: the loop sleeps until the thread calls back."""

    def busy() -> int:
        time.sleep(0.05)  # work that no clock of ours sees
        return 7

    assert run_virtual(lambda: anyio.to_thread.run_sync(busy)) == 7


def test_a_program_that_waits_for_nothing_is_given_up() -> None:
    """A deadlock is an error in a moment, not a test that never ends."""
    with pytest.raises(VirtualDeadlockError, match="every task waits without a timer"):
        run_virtual(anyio.sleep_forever, deadlock_s=0.01)


def test_time_goes_on_although_a_task_keeps_the_loop_busy() -> None:
    """A task that is woken again and again must not stop everybody's clock."""

    async def main() -> float:
        with anyio.move_on_after(5.0):
            while True:
                await anyio.lowlevel.checkpoint()
        return anyio.current_time()

    assert run_virtual(main, spin_limit=100) == 5.0


def test_a_busy_loop_without_timers_just_goes_on() -> None:
    """There is nothing to jump to."""

    async def main() -> float:
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        return anyio.current_time()

    assert run_virtual(main, spin_limit=10) == 0.0


def test_descriptors_can_be_changed_as_in_any_loop() -> None:
    """Register, modify and unregister reach the real selector."""
    loop = VirtualTimeLoop()
    try:
        near, far = socket.socketpair()
        with near, far:
            loop.add_reader(near, lambda: None)
            loop.add_writer(near, lambda: None)
            assert loop.remove_reader(near)
            assert loop.remove_writer(near)
    finally:
        loop.close()
