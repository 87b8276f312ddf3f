"""The truthful watchdog: the manager gets its ping only while everything that must make progress does.

A ping from a thread or timer of its own would prove that the process exists, which was never in doubt. Here it is sent
from the main loop (a loop that hangs sends none), and only if the core answered, commits are sane and every permanent
child is fresh. Which check failed stands in the status and in the log, so that the restart explains itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import anyio
import structlog

from daemon.service.systemd import Notifier

TURNS_PER_INTERVAL: Final = 4  # three turns may fail, or come late, before the manager acts
UNWATCHED_INTERVAL_S: Final = 10.0  # without a manager the checks still run, for log and status


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold: ``complaint`` returns "" while it does, else what is wrong, for people."""

    name: str
    complaint: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a turn found: the first check that failed and why, or two empty texts."""

    failed: str = ""
    reason: str = ""

    @property
    def healthy(self) -> bool:
        """Whether every check passed."""
        return not self.failed


def judge(checks: Sequence[Check]) -> Verdict:
    """Ask every check in order, and stop at the first that fails. One that raises has failed."""
    for check in checks:
        try:
            reason = check.complaint()
        except Exception as error:  # noqa: BLE001 - a check that cannot answer does not vouch for anything
            reason = f"{type(error).__name__}: {error}"
        if reason:
            return Verdict(check.name, reason)
    return Verdict()


class Backlog:
    """A check by progress: while something waits, something must get done at least every ``limit_s`` seconds.

    Counted from the look at which it was first seen to wait: what has just come in behind an hour of peace is not late.

    Args:
        what: of what there is none, such as "no commit".
        limit_s: how long there may be none.
        waiting: whether anything waits.
        done: how much was done so far.
    """

    def __init__(
        self,
        what: str,
        limit_s: float,
        waiting: Callable[[], bool],
        done: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing seen to wait."""
        self._what = what
        self._limit_s = limit_s
        self._waiting = waiting
        self._done = done
        self._clock = clock
        self._since: tuple[int, float] | None = None

    def complaint(self) -> str:
        """Return "" while nothing waits, or has not for too long."""
        now, done = self._clock(), self._done()
        if not self._waiting():
            self._since = None
        elif self._since is None or self._since[0] != done:
            self._since = (done, now)
        elif now - self._since[1] > self._limit_s:
            return f"{self._what} for {now - self._since[1]:.1f} s"
        return ""


class CorePing:
    """A check by question: what is put into the core's lane of commands must come back through the sequencer.

    Args:
        ask: hands a number to the core; called from the main loop.
        limit_s: how long an answer may take.
    """

    def __init__(self, ask: Callable[[int], None], limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing asked."""
        self._ask = ask
        self._limit_s = limit_s
        self._clock = clock
        self._number = 0
        self._asked: float | None = None

    def answered(self, number: int) -> None:
        """Take an answer; an old one counts for nothing."""
        if number == self._number:
            self._asked = None

    def complaint(self) -> str:
        """Ask again where the last question was answered; return "" while an answer may still come."""
        now = self._clock()
        if self._asked is None:
            self._number += 1
            self._asked = now
            self._ask(self._number)
            return ""
        age = now - self._asked
        return "" if age <= self._limit_s else f"no answer for {age:.1f} s"


class Log(Protocol):
    """The part of a logger that the guards use."""

    def warning(self, event: str, **fields: object) -> object:
        """Log one line."""
        ...

    def error(self, event: str, **fields: object) -> object:
        """Log one line."""
        ...


class Watchdog:
    """Feeds the manager's watchdog from the main loop.

    Args:
        notifier: where pings and the status go.
        interval_s: the manager's; None where it does not watch.
        checks: in the order in which they are asked.
        status: the line shown while all is well.
    """

    def __init__(
        self,
        notifier: Notifier,
        interval_s: float | None,
        checks: Sequence[Check],
        *,
        status: Callable[[], str],
        log: Log | None = None,
    ) -> None:
        """Begin healthy."""
        self.verdict = Verdict()
        self.period_s = (interval_s or UNWATCHED_INTERVAL_S) / TURNS_PER_INTERVAL
        self._notifier = notifier
        self._watched = interval_s is not None
        self._checks = tuple(checks)
        self._status = status
        self._log: Log = log if log is not None else structlog.get_logger("watchdog")

    def turn(self) -> Verdict:
        """Ask every check once; ping if all passed; tell what changed."""
        verdict = judge(self._checks)
        if verdict.healthy:
            if self._watched:
                self._notifier.watchdog_ping()
            if not self.verdict.healthy:
                self._log.warning("watchdog fed again", check=self.verdict.failed)
            self._notifier.status(self._status())
        else:
            if verdict.failed != self.verdict.failed:
                self._log.error("watchdog not fed", check=verdict.failed, reason=verdict.reason)
            self._notifier.status(f"not healthy: {verdict.failed}: {verdict.reason}")
        self.verdict = verdict
        return verdict

    async def run(self) -> None:
        """Turn for ever. To be run on the main loop, as a permanent child."""
        while True:
            self.turn()
            await anyio.sleep(self.period_s)
