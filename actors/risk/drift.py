"""Hit rate of a strategy's last predictions that came due: how often the sign of the score was that of the return.

A score of 0 and a return of 0 have no direction, and a return that is not known says nothing; none of them counts.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import numpy as np

from actors.messages.columns import unpack_f64
from actors.messages.inference import PredictionsScored
from actors.messages.limits import BreakerRule
from actors.messages.portfolio import SignalsReady
from actors.risk.breaker_rows import OFF

PENDING_MAX: Final = 4_096
"""Decisions of a strategy whose predictions are remembered until they come due; of more the newest."""


class Drift:
    """Directions that were predicted and not scored yet, and the last hits and misses, by strategy."""

    __slots__ = ("_hits", "_pending", "_rule")

    def __init__(self) -> None:
        """Begin with the breaker off."""
        self._rule = OFF
        self._pending: dict[str, dict[tuple[int, str], tuple[bytes, bytes]]] = {}
        self._hits: dict[str, deque[bool]] = {}

    def adopt(self, rule: BreakerRule) -> None:
        """Watch this rule from now on; what was counted before is kept as far as it fits."""
        if rule.limit <= 0:
            self._pending = {}
            self._hits = {}
        elif rule.min_count != self._rule.min_count:
            self._hits = {name: deque(hits, maxlen=rule.min_count) for name, hits in self._hits.items()}
        self._rule = rule

    def fold_signals(self, event: SignalsReady) -> None:
        """Remember what a strategy predicts."""
        if self._rule.limit <= 0:
            return
        pending = self._pending.setdefault(event.strategy, {})
        pending[event.decision, event.horizon] = event.ids, event.score
        if len(pending) > PENDING_MAX:
            del pending[next(iter(pending))]

    def fold_scored(self, event: PredictionsScored) -> None:
        """Predictions came due: count hits and misses."""
        found = self._pending.get(event.strategy, {}).pop((event.decision, event.horizon), None)
        if found is None or found[0] != event.ids:
            return
        signs, moves = np.sign(unpack_f64(found[1])), np.sign(unpack_f64(event.realized))
        told = (signs != 0) & (moves != 0) & np.isfinite(signs) & np.isfinite(moves)
        hits = self._hits.setdefault(event.strategy, deque(maxlen=self._rule.min_count))
        hits.extend((signs[told] == moves[told]).tolist())

    def fold_reset(self, strategy: str) -> None:
        """The breaker is armed again: count anew."""
        self._hits.pop(strategy, None)

    def rate(self, strategy: str) -> float | None:
        """Return the hit rate of the last ``min_count`` predictions; None with fewer."""
        hits = self._hits.get(strategy)
        if hits is None or not hits or len(hits) < self._rule.min_count:
            return None
        return round(sum(hits) / len(hits), 9)

    def trips(self, strategy: str) -> bool:
        """Whether that rate is below the limit."""
        rate = self.rate(strategy)
        return rate is not None and rate < self._rule.limit

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        pending = [
            [name, [[decision, horizon, ids, score] for (decision, horizon), (ids, score) in decisions.items()]]
            for name, decisions in self._pending.items()
        ]
        return [pending, [[name, bytes(hits)] for name, hits in self._hits.items()]]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave; the rule is adopted before; [] of an older version."""
        pending, hits = state or ([], [])
        self._pending = {
            name: {(decision, horizon): (ids, score) for decision, horizon, ids, score in rows}
            for name, rows in pending
        }
        self._hits = {name: deque(map(bool, data), maxlen=self._rule.min_count) for name, data in hits}
