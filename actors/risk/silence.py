"""Silence of the whole market within a session, and feeds that are lost: measured by stamps, watched by timers.

One timer waits for the instant at which silence would be too long. When it comes and something was heard meanwhile, the
next one is set; so there is one timer in as long a time as silence may last, none between sessions, none on daily data.
A timer leaves no fact of its own, but stamps tell: one that was due before the newest panel has fired, and the next was
set by what had been heard until then.
"""

from __future__ import annotations

from typing import Any, Final

from actors.messages.limits import BreakerRule
from actors.messages.risk import ConnectionChanged

SECOND: Final = 1_000_000_000


class Silence:
    """When a price was heard last, by the stamp it came in with.

    Attributes:
        heard: stamp of the last price of the session, or of its opening; 0 between sessions.
        opened: stamp of the session's opening, 0 between sessions.
        due: when the timer that waits comes, 0 where none does.
        on: whether anybody watches.
    """

    __slots__ = ("_bar_ns", "_limit_ns", "due", "heard", "on", "opened")

    def __init__(self) -> None:
        """Begin before the first session, with the breaker off."""
        self.heard = 0
        self.opened = 0
        self.due = 0
        self.on = False
        self._bar_ns = 0
        self._limit_ns = 0

    def adopt(self, rule: BreakerRule, now: int, *, daily: bool) -> None:
        """Watch this rule from the stamp ``now`` on; one that is switched on begins to count with the next session."""
        if self.due and now > self.due:
            self.due = self.next_due  # it came by the rule that was in force; where none was, nothing was set anew
        self._limit_ns = 0 if daily else round(rule.limit * SECOND)
        self.on = self._limit_ns > 0

    @property
    def limit_ns(self) -> int:
        """How long silence may last, a bar's length included."""
        return self._limit_ns + self._bar_ns

    @property
    def next_due(self) -> int:
        """When silence will have been too long if nothing more is heard; 0 where nobody watches."""
        return self.heard + self.limit_ns + 1 if self._limit_ns and self.opened else 0

    def fold_opened(self, ts: int, first_bar_ns: int) -> None:
        """A session opened at the stamp ``ts``; its first bar may take so long."""
        self._bar_ns = max(self._bar_ns, first_bar_ns)
        self.heard = self.opened = ts
        self.due = self.next_due

    def fold_closed(self) -> None:
        """A session ended: a timer that waits still will find nothing to do."""
        self.heard = self.opened = 0

    def fold_heard(self, ts: int, bar_ns: int) -> None:
        """A price came in at the stamp ``ts``, of a bar of that length (0 for ticks)."""
        if self.due and ts > self.due:  # at one instant prices come before timers
            self.due = self.next_due  # the timer came before this, and the next one was set
        self.heard = ts
        if bar_ns and bar_ns != self._bar_ns:
            self._bar_ns = bar_ns

    def soon(self, now: int) -> int:
        """Return when to look again for one that is armed at the stamp ``now``; 0 where nobody watches."""
        return max(self.next_due, now + 1) if self.next_due else 0

    def fold_watch(self, now: int, *, on: bool) -> None:
        """The breaker tripped, and no timer waits; or it is armed again at the stamp ``now``, and one does."""
        self.due = self.soon(now) if on else 0

    def waiting(self, now: int) -> int:
        """Return when the timer that waits at ``now`` comes, 0 where none does."""
        if not self.due:
            return 0
        due = self.due if self.due > now else self.next_due
        return due if due > now else 0

    def snapshot(self) -> list[int]:
        """Return plain values."""
        return [self.heard, self.opened, self.due, self._bar_ns]

    def restore(self, state: list[int]) -> None:
        """Take over what :meth:`snapshot` gave; [] of an older version: it watches from the next session."""
        if state:
            self.heard, self.opened, self.due, self._bar_ns = state


class Feeds:
    """Feeds that are lost, since when, and the timers that were set to look at them.

    Attributes:
        lost: feed -> stamp of the loss, nanoseconds UTC.
        timers: (when it comes, feed) in the order in which they were set; what has come is taken away with the next.
    """

    __slots__ = ("_limit_ns", "lost", "timers")

    def __init__(self) -> None:
        """Begin with every feed well, and the breaker off."""
        self.lost: dict[str, int] = {}
        self.timers: list[tuple[int, str]] = []
        self._limit_ns = 0

    def adopt(self, rule: BreakerRule) -> None:
        """Watch this rule from now on."""
        self._limit_ns = round(rule.limit * SECOND)

    def due(self, start: int) -> int:
        """Return when a feed that is away from ``start`` on is away too long; 0 where nobody watches."""
        return start + self._limit_ns + 1 if self._limit_ns else 0

    def fold(self, event: ConnectionChanged, now: int) -> None:
        """Take over what became of a feed at the stamp ``now``."""
        if event.lost:
            self.lost.setdefault(event.feed, event.since)
            self._set(event.since, event.feed, now)
        else:
            self.lost.pop(event.feed, None)

    def fold_opened(self, now: int) -> None:
        """A session opened: what is lost is away from here on."""
        for feed in self.lost:
            self._set(now, feed, now)

    def _set(self, start: int, feed: str, now: int) -> None:
        self.timers = [timer for timer in self.timers if timer[0] > now]
        if self._limit_ns:
            self.timers.append((self.due(start), feed))

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [[list(item) for item in self.lost.items()], [list(timer) for timer in self.timers]]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave; [] of an older version, which knew no feeds."""
        lost, timers = state or ([], [])
        self.lost = dict(lost)
        self.timers = [(due, feed) for due, feed in timers]
