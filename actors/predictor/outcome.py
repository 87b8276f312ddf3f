"""What a strategy call needs and what comes of it: scopes, batches, outcomes, failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from actors.api import Headline, PanelSentiment, Sentiment
from actors.predictor.bars import BarSeries
from actors.predictor.binding import StrategyBinding
from actors.predictor.states import StateStore
from actors.values.time import Interval

F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

WHOLE_CALL: Final = -1
"""Stands for the symbol where a whole call failed."""


class UndeclaredFieldError(AttributeError):
    """A strategy read a field of its window that it did not declare."""


class RefusalError(Exception):
    """An answer that breaks the contract; never leaves this module."""

    def __init__(self, error: str, what: str, symbol: int = WHOLE_CALL) -> None:
        super().__init__(what)
        self.error = error
        self.what = what
        self.symbol = symbol


class Undeclared:
    """Stands where an undeclared field would be; any use says what to write."""

    __slots__ = ("_field", "_strategy")

    def __init__(self, field: str, strategy: str) -> None:
        self._field = field
        self._strategy = strategy

    def _refuse(self, *_: object, **__: object) -> Any:
        raise UndeclaredFieldError(
            f"strategy {self._strategy} reads w.{self._field} without declaring it; "
            f"write fields=(..., {self._field!r}) in @strategy"
        )

    __len__ = __iter__ = __getitem__ = __array__ = __add__ = __radd__ = __sub__ = __rsub__ = _refuse
    __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __lt__ = __le__ = __gt__ = __ge__ = __neg__ = _refuse

    def __getattr__(self, name: str) -> Any:
        """Refuse ``mean()``, ``shape`` and whatever else an array has."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self._refuse()


class Failure(Struct, frozen=True):
    """A call that failed: ``error`` goes into the event, ``sentence`` to people."""

    symbol: int
    error: str
    sentence: str


class Batch(Struct, frozen=True, gc=False):
    """Signals of one decision with one horizon; columns are parallel.

    ``ids`` None means every symbol of the universe, in order.
    """

    horizon: str
    ids: I32 | None
    score: F64
    confidence: F64
    p_up: F64 | None = None
    expected_bps: F64 | None = None
    reasons: tuple[str, ...] = ()


class Outcome(Struct, frozen=True, gc=False):
    """What one decision gave. ``features`` is (ids, rows) of a model-form strategy."""

    batches: Sequence[Batch] = ()
    failures: Sequence[Failure] = ()
    features: tuple[I32, F64] | None = None


NOTHING: Final = Outcome()


class Answerable(Protocol):
    """A strategy's place in a run: what the calls need to know."""

    binding: StrategyBinding
    series: BarSeries
    lookback: int
    horizon: str
    run: Interval
    bar_text: str
    undeclared: dict[str, Undeclared]
    states: StateStore | None


class NewsSource(Protocol):
    """What strategies may see of the news, as of the frame under way."""

    def headlines(self, symbol: int) -> tuple[Headline, ...]:
        """Return a symbol's headlines, oldest first."""
        ...

    def sentiment(self, symbol: int) -> Sentiment:
        """Return what they say."""
        ...

    def panel(self, n_symbols: int) -> PanelSentiment:
        """Return what they say of all symbols."""
        ...


class Scope(Struct, frozen=True):
    """What is fixed for a run: the universe's names, which of them may be traded, and who knows the news, if any."""

    symbols: tuple[str, ...]
    tradable: Bools
    all_tradable: bool
    news: NewsSource | None = None
