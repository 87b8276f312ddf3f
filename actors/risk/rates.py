"""How often orders pass the gate, and how many are refused: windows of stamps, folded from orders' own events."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Final

from actors.messages.limits import BreakerRule
from actors.risk.breaker_rows import OFF

OUTCOMES_MAX: Final = 65_536
"""Outcomes kept of a window; of more the newest."""


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
    """Outcomes of orders within the window, and how many of them were refusals."""

    __slots__ = ("_bad", "_outcomes", "_rule")

    def __init__(self) -> None:
        """Begin with the breaker off."""
        self._rule = OFF
        self._outcomes: deque[tuple[int, bool]] = deque(maxlen=OUTCOMES_MAX)
        self._bad = 0

    def adopt(self, rule: BreakerRule) -> None:
        """Watch this rule from now on."""
        self._rule = rule
        if not self.on:
            self.clear()

    @property
    def on(self) -> bool:
        """Whether it counts."""
        return self._rule.limit > 0 and self._rule.window_ns > 0

    def clear(self) -> None:
        """Begin to count anew."""
        self._outcomes.clear()
        self._bad = 0

    def fold(self, ts: int, *, bad: bool) -> None:
        """An order was taken, or refused (``bad``), at ``ts``."""
        outcomes = self._outcomes
        since = ts - self._rule.window_ns
        while outcomes and (outcomes[0][0] <= since or len(outcomes) == OUTCOMES_MAX):
            self._bad -= outcomes.popleft()[1]
        outcomes.append((ts, bad))
        self._bad += bad

    def share(self) -> float | None:
        """Return the share refused of the window that ends with the last outcome; None with too few to say."""
        total = len(self._outcomes)
        return round(self._bad / total, 9) if total and total >= self._rule.min_count else None

    def trips(self) -> bool:
        """Whether that share has reached the limit."""
        share = self.share()
        return share is not None and share >= self._rule.limit

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [list(outcome) for outcome in self._outcomes]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._outcomes = deque(((ts, bad) for ts, bad in state), maxlen=OUTCOMES_MAX)
        self._bad = sum(bad for _, bad in self._outcomes)
