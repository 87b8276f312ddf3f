"""How often orders pass the gate, and how many are refused: windows of stamps, folded from orders' own events."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from actors.messages.limits import BreakerRule
from actors.risk.breaker_rows import OFF

STAMPS_MAX: Final = 65_536
"""Stamps kept of a window; of more the newest."""


class OrderRate:
    """The last orders that passed the gate, as many as trip the breaker less one."""

    __slots__ = ("_stamps", "_window")

    def __init__(self) -> None:
        """Begin with the breaker off."""
        self._stamps: deque[int] | None = None
        self._window = 0

    def adopt(self, rule: BreakerRule) -> None:
        """Watch this rule from now on."""
        count = math.ceil(rule.limit)
        self._window = rule.window_ns
        if count > 0 and rule.window_ns > 0:
            self._stamps = deque(self._stamps or (), maxlen=count - 1)
        else:
            self._stamps = None

    @property
    def on(self) -> bool:
        """Whether it counts."""
        return self._stamps is not None

    def trips(self, now: int) -> bool:
        """Whether one more order at ``now`` makes as many within the window as the limit says."""
        stamps = self._stamps
        if stamps is None or len(stamps) != stamps.maxlen:
            return False
        return not stamps or now - stamps[0] < self._window

    def fold(self, ts: int) -> None:
        """An order passed at ``ts``."""
        if self._stamps is not None:
            self._stamps.append(ts)

    def snapshot(self) -> list[int]:
        """Return plain values."""
        return list(self._stamps or ())

    def restore(self, state: list[int]) -> None:
        """Take over what :meth:`snapshot` gave; the rule is adopted before."""
        if self._stamps is not None:
            self._stamps = deque(state, maxlen=self._stamps.maxlen)


class RejectRate:
    """Outcomes of orders within the window, and how many of them were refusals; those of one stamp are one entry.

    What has left the window is forgotten while an outcome is folded, never by a question: who looks changes nothing.
    """

    __slots__ = ("_bad", "_good", "_last", "_rule", "_stamps")

    def __init__(self) -> None:
        """Begin with the breaker off."""
        self._rule = OFF
        self.clear()

    def adopt(self, rule: BreakerRule) -> None:
        """Watch this rule from now on."""
        self._rule = rule
        if not self.on:
            self.clear()
        self._forget()

    @property
    def on(self) -> bool:
        """Whether it counts."""
        return self._rule.limit > 0 and self._rule.window_ns > 0

    def clear(self) -> None:
        """Begin to count anew."""
        self._last: list[int] = [-1, 0, 0]
        self._stamps: deque[list[int]] = deque()
        self._good = self._bad = 0

    def fold_taken(self, ts: int) -> None:
        """An order was taken at ``ts``."""
        self._good += 1
        if self._last[0] == ts:
            self._last[1] += 1
        else:
            self._begin([ts, 1, 0])

    def fold_refused(self, ts: int) -> None:
        """An order was refused at ``ts``."""
        self._bad += 1
        if self._last[0] == ts:
            self._last[2] += 1
        else:
            self._begin([ts, 0, 1])

    def _begin(self, entry: list[int]) -> None:
        self._last = entry
        self._stamps.append(entry)
        if len(self._stamps) > STAMPS_MAX:
            self._drop()
        self._forget()

    def _forget(self) -> None:
        since = self._last[0] - self._rule.window_ns
        while self._stamps and self._stamps[0][0] <= since:
            self._drop()

    def _drop(self) -> None:
        _, good, bad = self._stamps.popleft()
        self._good -= good
        self._bad -= bad

    def share(self) -> float | None:
        """Return the share refused of the window that ends with the last outcome; None with too few to say."""
        total = self._good + self._bad
        return round(self._bad / total, 9) if total and total >= self._rule.min_count else None

    def trips(self) -> bool:
        """Whether that share has reached the limit."""
        share = self.share()
        return share is not None and share >= self._rule.limit

    def snapshot(self) -> list[list[int]]:
        """Return plain values."""
        return [list(entry) for entry in self._stamps]

    def restore(self, state: list[list[int]]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.clear()
        for ts, good, bad in state:
            self._good += good
            self._bad += bad
            self._begin([ts, good, bad])
