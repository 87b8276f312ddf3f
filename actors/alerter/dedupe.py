"""One condition, one alert: the same key within the same window raises the count of the alert that is there."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple


class Told(NamedTuple):
    """The alert that a key has in the present window: its id, and how often it was raised."""

    alert_id: str
    times: int


class Dedupe:
    """Remembers the alerts of one window, a session: an exchange date YYYYMMDD. Another window forgets them."""

    __slots__ = ("_told", "_window")

    def __init__(self) -> None:
        self._window = 0
        self._told: dict[str, Told] = {}

    def count(self, key: str, window: int, ts: int) -> Told:
        """Count one more of a key; the first of a window names the alert after its instant ``ts``."""
        if window != self._window:
            self._window = window
            self._told = {}
        found = self._told.get(key)
        told = Told(alert_id(key, ts), 1) if found is None else Told(found.alert_id, found.times + 1)
        self._told[key] = told
        return told

    @property
    def told(self) -> int:
        """How many conditions were told in this window."""
        return len(self._told)

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [self._window, [[key, *told] for key, told in self._told.items()]]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._window = state[0]
        self._told = {key: Told(*told) for key, *told in state[1]}


def alert_id(key: str, ts: int) -> str:
    """Name an alert after its condition and first instant: the same run gives the same name, a resend too."""
    return "A-" + hashlib.sha256(f"{key}/{ts}".encode()).hexdigest()[:12]
