"""Poison: inputs that make a handler fail. A few are set aside; the same kind again and again stops the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from daemon.kernel.message import Envelope

POISON_MAX: Final = 3
POISON_WINDOW_NS: Final = 60 * 1_000_000_000


class PoisonRecord(msgspec.Struct, frozen=True):
    """What the quarantine keeps of a poisoned input; the traceback is for people and never an event."""

    envelope: Envelope
    actor: str
    error: str
    traceback: str


class PoisonWindow:
    """The poisonings of the last minute, as (stamp, name of the input's type)."""

    __slots__ = ("recent",)

    def __init__(self, recent: Iterable[tuple[int, str]] = ()) -> None:
        self.recent = deque(recent)

    def note(self, ts: int, type_name: str) -> None:
        """Count one more and forget what lies behind the window."""
        recent = self.recent
        recent.append((ts, type_name))
        while recent[0][0] <= ts - POISON_WINDOW_NS:
            recent.popleft()

    def is_storm(self, ts: int, type_name: str) -> bool:
        """Count one more; tell whether its type has now failed :data:`POISON_MAX` times within the window."""
        self.note(ts, type_name)
        return sum(name == type_name for _, name in self.recent) >= POISON_MAX
