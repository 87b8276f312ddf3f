"""What a trading status means: when a symbol, or the whole market, may not trade.

``halted``, ``luld`` without bands (a pause) and every state that is not known stop trading. A halt is lifted by
``trading`` alone; a pause of LULD by ``trading`` or by new bands. A halt of the whole market and one of a symbol stand
beside each other: lifting the one does not lift the other. Silence lifts nothing.
"""

from __future__ import annotations

from typing import Any, Final

TRADING: Final = "trading"
HALTED: Final = "halted"
LULD: Final = "luld"
SSR: Final = "ssr"
STATES: Final = (TRADING, HALTED, LULD, SSR)
"""What a status may say; anything else means halted."""
MARKET: Final = -1
"""Stands for every symbol."""


class Halts:
    """Who may not trade, and why: a fold of statuses.

    Attributes:
        stopped: symbol id (:data:`MARKET` for all) -> (state, reason) of those that may not trade.
    """

    __slots__ = ("stopped",)

    def __init__(self) -> None:
        """Begin with everything trading."""
        self.stopped: dict[int, tuple[str, str]] = {}

    def fold(self, symbol: int, state: str, reason: str, *, banded: bool) -> None:
        """Take over a status; ``banded`` where it names a price band."""
        if state == SSR:
            return
        if state == TRADING:
            self.stopped.pop(symbol, None)
        elif state == LULD and banded:
            if symbol in self.stopped and self.stopped[symbol][0] == LULD:
                del self.stopped[symbol]
        elif state == LULD and symbol in self.stopped:
            return  # what is halted already is no less so for a pause
        else:
            self.stopped[symbol] = (state, reason)

    def move(self, symbol: int, new: int) -> None:
        """Let another symbol be halted as this one is, which is renamed to it."""
        if symbol in self.stopped:
            self.stopped[new] = self.stopped.pop(symbol)

    def why(self, symbol: int) -> tuple[str, str] | None:
        """Return (state, reason) of what keeps a symbol from trading, its own before the market's, or None."""
        if not self.stopped:
            return None
        return self.stopped.get(symbol) or self.stopped.get(MARKET)

    def snapshot(self) -> list[list[Any]]:
        """Return plain values, equal for equal states."""
        return [[symbol, *self.stopped[symbol]] for symbol in sorted(self.stopped)]

    def restore(self, rows: list[list[Any]]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.stopped = {symbol: (state, reason) for symbol, state, reason in rows}
