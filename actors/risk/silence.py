"""Silence of the whole market within a session, and feeds that are lost: measured by stamps, watched by timers.

A timer waits for the instant at which silence would be too long. When it comes and something was heard meanwhile, the
next one is set; so there is one timer in as long a time as silence may last, none between sessions, none on daily data.
What waits is part of the state, to the nanosecond: every timer that comes leaves :class:`RiskReviewed`.
"""

from __future__ import annotations

from bisect import insort
from typing import Any, Final

from actors.messages.limits import BreakerRule
from actors.messages.risk import ConnectionChanged, RiskReviewed

SECOND: Final = 1_000_000_000


class Silence:
    """When a price was heard last, by the stamp it came in with.

    Attributes:
        heard: stamp of the last price of the session, or of its opening; 0 between sessions.
        opened: stamp of the session's opening, 0 between sessions.
        on: whether anybody watches.
        waiting: when the timers that wait come, first to last; one, but for a while behind an opening or a reset.
        fresh: what the last fold that may set a timer has set, 0 where that was none.
    """

    __slots__ = ("_bar_ns", "_limit_ns", "fresh", "heard", "on", "opened", "waiting")

    def __init__(self) -> None:
        """Begin before the first session, with the breaker off."""
        self.heard = 0
        self.opened = 0
        self.on = False
        self.waiting: list[int] = []
        self.fresh = 0
        self._bar_ns = 0
        self._limit_ns = 0

    def adopt(self, rule: BreakerRule, *, daily: bool) -> None:
        """Watch this rule from now on; within a session see :meth:`fold_changed`."""
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

    def fold_opened(self, ts: int, first_bar_ns: int, *, watch: bool) -> None:
        """A session opened at the stamp ``ts``; its first bar may take so long. What has tripped is not watched."""
        self._bar_ns = max(self._bar_ns, first_bar_ns)
        self.heard = self.opened = ts
        self._set(self.next_due if watch else 0)

    def fold_closed(self) -> None:
        """A session ended: a timer that waits still will find nothing to do, or the next session."""
        self.heard = self.opened = 0

    def fold_heard(self, ts: int, bar_ns: int) -> None:
        """A price came in at the stamp ``ts``, of a bar of that length (0 for ticks)."""
        self.heard = ts
        if bar_ns and bar_ns != self._bar_ns:
            self._bar_ns = bar_ns

    def fold_armed(self, now: int) -> None:
        """The breaker, which was not watched while it had tripped, is armed again at the stamp ``now``."""
        due = self.next_due
        self._set(max(due, now + 1) if due else 0)

    def fold_changed(self, now: int, bar_ns: int, *, listened: bool, watch: bool) -> None:
        """Another rule was adopted: the timer that waits may be that of a longer limit.

        Args:
            now: nanoseconds UTC.
            bar_ns: length of the last bar: who has not listened so far has heard of none.
            listened: whether somebody watched by the old rule.
            watch: whether the breaker is armed.
        """
        if not listened:
            self._bar_ns = max(self._bar_ns, bar_ns)
            self.heard = now if self.opened else 0
        due = self.next_due if watch else 0
        self._set(max(due, now + 1) if due else 0)

    def after(self, now: int) -> int:
        """Return when to look again for a timer that has come at ``now``; 0 where another one does, or nobody."""
        due = self.next_due
        return due if due > now and not any(other <= due for other in self.waiting[1:]) else 0

    def fold_reviewed(self, event: RiskReviewed) -> None:
        """A timer has come, and another one may have been set."""
        if event.due_ts in self.waiting:
            self.waiting.remove(event.due_ts)
        if event.next_ts:
            insort(self.waiting, event.next_ts)

    def _set(self, due: int) -> None:
        """Let a timer wait, unless one comes no later: that one will look what is due then."""
        self.fresh = due if due and not any(other <= due for other in self.waiting) else 0
        if self.fresh:
            insort(self.waiting, due)

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [self.heard, self.opened, list(self.waiting), self._bar_ns]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave; [] of an older version: it watches from the next session."""
        if state:
            self.heard, self.opened, waiting, self._bar_ns = state
            self.waiting = list(waiting)


class Feeds:
    """Feeds that are lost, since when, and the timers that were set to look at them.

    Attributes:
        lost: feed -> stamp of the loss, nanoseconds UTC.
        waiting: (when it comes, feed) of the timers that wait, in the order in which they were set.
        fresh: those that the last change of the rule has set.
    """

    __slots__ = ("_limit_ns", "fresh", "lost", "waiting")

    def __init__(self) -> None:
        """Begin with every feed well, and the breaker off."""
        self.lost: dict[str, int] = {}
        self.waiting: list[tuple[int, str]] = []
        self.fresh: list[tuple[int, str]] = []
        self._limit_ns = 0

    def adopt(self, rule: BreakerRule) -> None:
        """Watch this rule from now on."""
        self._limit_ns = round(rule.limit * SECOND)

    def due(self, start: int) -> int:
        """Return when a feed that is away from ``start`` on is away too long; 0 where nobody watches."""
        return start + self._limit_ns + 1 if self._limit_ns else 0

    def fold(self, event: ConnectionChanged) -> None:
        """Take over what became of a feed."""
        if event.lost:
            self.lost.setdefault(event.feed, event.since)
            self._set(event.since, event.feed)
        else:
            self.lost.pop(event.feed, None)

    def fold_opened(self, now: int) -> None:
        """A session opened: what is lost is away from here on."""
        for feed in self.lost:
            self._set(now, feed)

    def fold_changed(self, now: int, opened: int) -> None:
        """Another rule was adopted at the stamp ``now``: what is lost is looked at when that one says.

        Args:
            now: nanoseconds UTC.
            opened: stamp of the session's opening, 0 between sessions, when nothing is away.
        """
        due = [(max(self.due(max(since, opened)), now + 1), feed) for feed, since in self.lost.items()]
        self.fresh = [timer for timer in due if opened and self._limit_ns and timer not in self.waiting]
        self.waiting += self.fresh

    def fold_reviewed(self, event: RiskReviewed) -> None:
        """A timer has come."""
        timer = event.due_ts, event.subject
        if timer in self.waiting:
            self.waiting.remove(timer)

    def first(self, feed: str) -> int:
        """Return which timer of a feed comes first, 0 where none waits."""
        return min((due for due, name in self.waiting if name == feed), default=0)

    def _set(self, start: int, feed: str) -> None:
        if self._limit_ns:
            self.waiting.append((self.due(start), feed))

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [[list(item) for item in self.lost.items()], [list(timer) for timer in self.waiting]]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave; [] of an older version, which knew no feeds."""
        lost, waiting = state or ([], [])
        self.lost = dict(lost)
        self.waiting = [(due, feed) for due, feed in waiting]
