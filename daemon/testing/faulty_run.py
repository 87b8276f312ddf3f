"""The daemon with faults at chosen places: ``python -m daemon.testing.faulty_run --config FILE --at ...``.

It is ``tradingd run`` and nothing else, but for a plan that says what happens at the n-th visit of a site: the process
dies as by SIGKILL, waits, or an input/output error is raised. The feed may be made to stutter, seeded.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio

from daemon.control.signals import block_signals
from daemon.kernel.errors import OperatorError

ACTIONS = ("crash", "eio", "enospc", "sleep")


class FaultPlan:
    """What happens at which visit of which site; thread-safe, for sites lie on several threads."""

    def __init__(self, entries: Sequence[str], *, sleep_s: float = 1.0) -> None:
        """Read ``PLACE:N:ACTION`` texts, such as ``before:commit:17:crash``; N counts from 1.

        Raises:
            ValueError: an entry that is none.
        """
        self._lock = threading.Lock()
        self._visits: dict[str, int] = {}
        self._plan: dict[tuple[str, int], str] = {}
        self._sleep_s = sleep_s
        for entry in entries:
            place, _, rest = entry.rpartition(":")
            where, _, number = place.rpartition(":")
            if rest not in ACTIONS or not number.isdigit() or not where:
                message = f"{entry!r} is no fault: write PLACE:N:ACTION with an action of {', '.join(ACTIONS)}"
                raise ValueError(message)
            self._plan[where, int(number)] = rest

    def __call__(self, place: str) -> None:
        """Visit a site."""
        with self._lock:
            visit = self._visits[place] = self._visits.get(place, 0) + 1
        action = self._plan.get((place, visit))
        if action == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # the signal is on its way
        elif action == "eio":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        elif action == "enospc":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        elif action == "sleep":
            time.sleep(self._sleep_s)


def stutter(seed: int, longest_s: float) -> Callable[[], Awaitable[None]]:
    """Return what delays each input of the feed by a seeded amount: mostly nothing, sometimes long."""
    generator = random.Random(seed)  # noqa: S311 - test timing

    async def wait() -> None:
        draw = generator.random()
        if draw > 0.97:
            await anyio.sleep(generator.random() * longest_s)
        elif draw > 0.5:
            await anyio.lowlevel.checkpoint()

    return wait


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; return its exit code."""
    parser = argparse.ArgumentParser(prog="faulty_run", description="tradingd run, with faults.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--set", dest="sets", action="append", default=[])
    parser.add_argument("--at", action="append", default=[], help="PLACE:N:ACTION")
    parser.add_argument("--sleep-s", type=float, default=1.0)
    parser.add_argument("--stutter", type=int, default=None, help="seed of a stuttering feed")
    parser.add_argument("--stutter-s", type=float, default=0.02)
    parser.add_argument("--until-end", action="store_true")
    arguments = parser.parse_args(argv)
    block_signals()  # before any library starts a thread that would take them
    from config.sources import load_settings  # noqa: PLC0415
    from daemon.system.live import RunOptions, run_daemon  # noqa: PLC0415

    jitter = None if arguments.stutter is None else stutter(arguments.stutter, arguments.stutter_s)
    options = RunOptions(
        until_end=arguments.until_end,
        faults=FaultPlan(arguments.at, sleep_s=arguments.sleep_s),
        jitter=jitter,
    )
    try:
        loaded = load_settings(file=arguments.config, profile=None, sets=tuple(arguments.sets), environ=os.environ)
        return run_daemon(loaded, options)
    except OperatorError as error:
        sys.stderr.write(f"tradingd: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
