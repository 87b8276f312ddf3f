"""One condition, one alert: the same key within the same window raises the count of the alert that is there."""

from __future__ import annotations

import hashlib


class Dedupe:
    """Remembers which alert of which window a key has. The window is a session: an exchange date YYYYMMDD."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}

    def find(self, key: str, window: int) -> int | None:
        """Return the position of the key's alert in this window, or None where it has none yet."""
        found = self._last.get(key)
        return found[1] if found is not None and found[0] == window else None

    def keep(self, key: str, window: int, position: int) -> None:
        """Remember where the key's alert of this window stands."""
        self._last[key] = (window, position)


def alert_id(key: str, ts: int) -> str:
    """Name an alert after its condition and first instant: the same run gives the same name, a resend too."""
    return "A-" + hashlib.sha256(f"{key}/{ts}".encode()).hexdigest()[:12]
