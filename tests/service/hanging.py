"""A small service for the tests: watchdog, stall guard and logs on a real loop that hangs when it is told so."""

from __future__ import annotations

import os
import sys
import time

import anyio

from daemon.service.logging import Logs
from daemon.service.stall import StallGuard
from daemon.service.systemd import Notifier, take_watchdog_interval
from daemon.service.watchdog import Watchdog


def spinning_strategy(seconds: float) -> None:
    """Keep the loop to itself."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


async def main(seconds: float) -> None:
    """Serve until told to end."""
    notifier = Notifier.take(os.environ)
    guard = StallGuard(0.1)
    watchdog = Watchdog(notifier, take_watchdog_interval(os.environ), [], status=lambda: "well")
    guard.start()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watchdog.run)
        tasks.start_soon(guard.pulse)
        notifier.ready("well")
        while True:
            await anyio.wait_readable(0)
            command = os.read(0, 64)
            if command != b"hang\n":
                break
            spinning_strategy(seconds)
        tasks.cancel_scope.cancel()
    guard.stop()


if __name__ == "__main__":
    logs = Logs(form="json").start()
    anyio.run(main, float(sys.argv[1]), backend_options={"use_uvloop": sys.argv[2] == "uvloop"})
    logs.stop()
