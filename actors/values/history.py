"""Session closes of the universe and their returns: what correlations, volatility and value at risk are made of.

One row a session, also on intraday data: ratios of risk are of sessions (``facts/metrics.md`` section 2, rule 0). A
symbol without a price in a session has none in its row, and no return on either side of the hole: nothing is carried
forward, because a price that stands still would look like a market that is calm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from actors.values.fixed import SCALE
from actors.values.ring import PanelRing

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class Action(Protocol):
    """What a corporate action says (:class:`actors.messages.market.CorporateAction`)."""

    @property
    def symbol(self) -> int:
        """Whose it is."""
        ...

    @property
    def kind(self) -> str:
        """``split``, ``dividend``, ``rename`` or ``delist``."""
        ...

    @property
    def value(self) -> int:
        """Cash per share of a dividend, units of 1e-8."""
        ...

    @property
    def renamed_to(self) -> int | None:
        """The new symbol's id."""
        ...

    @property
    def numerator(self) -> int:
        """New shares of a split ..."""
        ...

    @property
    def denominator(self) -> int:
        """... for so many old ones."""
        ...


class SessionHistory:
    """The last closes of every symbol, oldest first; a fold of the tape.

    Attributes:
        sessions: returns kept at most.
        known: how many sessions of returns there are.
        version: grows with every change, so that what was computed from the history can be kept beside it.
    """

    __slots__ = ("_returns", "_returns_of", "_ring", "known", "sessions", "version")

    def __init__(self, n_symbols: int, sessions: int) -> None:
        """Begin without any close.

        Args:
            n_symbols: size of the universe.
            sessions: returns to keep, at least 1.
        """
        self.sessions = sessions
        self.known = 0
        self.version = 0
        self._ring = PanelRing(n_symbols, sessions + 1, ("close",))
        self._returns: F64 = np.empty((0, n_symbols))
        self._returns_of = 0

    def fold_close(self, closes: I64, fresh: npt.NDArray[np.bool_] | None = None) -> None:
        """End a session.

        Args:
            closes: last price of every symbol, units of 1e-8, 0 for none.
            fresh: which symbols had a price in this session; None for all with a price.
        """
        known = closes > 0 if fresh is None else fresh & (closes > 0)
        self._ring.push(None, {"close": np.where(known, closes / SCALE, np.nan)})
        self.known = max(0, self._ring.rows - 1)
        self.version += 1

    def closes(self) -> F64:
        """Return ``[T, N]`` closes in money, oldest first, NaN where there was none; read only."""
        return self._ring.view("close")

    def returns(self, sessions: int | None = None) -> F64:
        """Return the last ``[T, N]`` simple returns, oldest first, NaN where either close is missing; read only."""
        if self._returns_of != self.version:
            closes = self._ring.view("close")
            self._returns = closes[1:] / closes[:-1] - 1.0 if len(closes) > 1 else closes[:0]
            self._returns.flags.writeable = False
            self._returns_of = self.version
        return self._returns if sessions is None else self._returns[-sessions:] if sessions else self._returns[:0]

    def returns_of(self, symbols: Sequence[int], sessions: int) -> F64:
        """Return ``[T, len(symbols)]``: the last returns of some symbols alone, as :meth:`returns` has them."""
        closes = self._ring.view("close", sessions + 1)[:, list(symbols)]
        return closes[1:] / closes[:-1] - 1.0 if len(closes) > 1 else closes[:0]

    def scale(self, symbol: int, factor: float) -> None:
        """Say a symbol's closes in the units behind a split or a dividend."""
        self._ring.scale(symbol, "close", factor)
        self.version += 1

    def move(self, symbol: int, new: int) -> None:
        """Let another symbol go on where this one ends."""
        self._ring.move(symbol, new)
        self.version += 1

    def fold_action(self, action: Action, last: int) -> None:
        """Take over a corporate action; ``last`` is the symbol's last price before it, units of 1e-8.

        Behind a dividend the closes before it are smaller by its share of the price, so that it is part of the return.
        """
        if action.kind == "split" and action.numerator:
            self.scale(action.symbol, action.denominator / action.numerator)
        elif action.kind == "dividend" and 0 < action.value < last:
            self.scale(action.symbol, 1.0 - action.value / last)
        elif action.kind == "rename" and action.renamed_to is not None:
            self.move(action.symbol, action.renamed_to)

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        closes = self._ring.view("close")
        return [len(closes), closes.tobytes()]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave; of a longer history what fits."""
        rows, data = state
        self._ring = PanelRing(self._ring.n_symbols, self.sessions + 1, ("close",))
        for row in np.frombuffer(data, dtype=np.float64).reshape(rows, self._ring.n_symbols)[-self._ring.length :]:
            self._ring.push(None, {"close": row})
        self.known = max(0, self._ring.rows - 1)
        self.version += 1
