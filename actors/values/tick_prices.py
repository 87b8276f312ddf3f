"""What ticks say about the last price: the last print of a session, without prints the middle of the last quote.

A quote that is crossed, lacks a side or is no price says nothing. Shared by the rooms that keep last prices, so that
the gate's reference and a portfolio's mark are the same price. Prices are ``int`` in units of 1e-8.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from actors.values.fixed import PRICE_MAX, SCALE

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]


class TickPrices:
    """Which of N symbols had a print in the session under way."""

    __slots__ = ("_any", "_printed")

    def __init__(self, n_symbols: int) -> None:
        self._printed = np.zeros(n_symbols, dtype=np.bool_)
        self._any = False

    def begin(self) -> None:
        """A session begins: nothing has printed in it."""
        if self._any:
            self._printed.fill(False)
            self._any = False

    def quoted(self, symbol: int, bid: float, ask: float) -> int:
        """Return the last price of a symbol behind a quote, 0 where the quote changes nothing."""
        if not 0 < bid <= ask <= PRICE_MAX or (self._any and self._printed.item(symbol)):  # the first is false for NaN
            return 0
        return (round(bid * SCALE) + round(ask * SCALE)) // 2

    def printed(self, symbol: int, price: float) -> int:
        """Return the last price of a symbol behind a print."""
        self._any = True
        self._printed[symbol] = True
        return round(price * SCALE)

    def many_quoted(self, ids: I32, bid: F64, ask: F64) -> tuple[I32, I64]:
        """Return the symbols to which quotes give a last price, and those prices; ``ids`` without repeats."""
        whole = (bid > 0) & (bid <= ask) & (ask <= PRICE_MAX) & ~self._printed[ids]
        low: I64 = np.rint(bid[whole] * SCALE).astype(np.int64)
        high: I64 = np.rint(ask[whole] * SCALE).astype(np.int64)
        return ids[whole], (low + high) // 2

    def many_printed(self, ids: I32, price: F64) -> I64:
        """Return the prices of prints in their order; of several of one symbol the last is its last price."""
        self._any = True
        self._printed[ids] = True
        px: I64 = np.rint(price * SCALE).astype(np.int64)
        return px

    def snapshot(self) -> bytes:
        """Return plain values."""
        return self._printed.tobytes()

    def restore(self, state: bytes) -> None:
        """Take over what :meth:`snapshot` gave; b"" where an older version kept nothing."""
        if state:
            self._printed = np.frombuffer(state, dtype=np.bool_).copy()
        self._any = bool(self._printed.any())
