"""Made-up news for ``tradingd strategy check``: a strategy that reads them must be asked with some to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from actors.api import Headline, PanelSentiment, Sentiment
from actors.predictor.bars import BarSeries
from actors.predictor.sentiment.aggregate import NAN, Item, less, read, within
from actors.predictor.sentiment.flags import FLAGS, joined
from actors.predictor.sentiment.panels import panel_of
from actors.predictor.sentiment.params import SentimentParams
from actors.values.time import DAY_NS

_PARAMS: Final = SentimentParams("made-up@0")
_OFTEN: Final = 0.6
_SEED: Final = 13


class MadeUpNews:
    """Headlines of each symbol by its name, up to one a day: the same in any order of symbols, and blind to prices."""

    def __init__(self, symbols: Sequence[str], known: Sequence[str], series: BarSeries, begin: int, rows: int) -> None:
        """Make them up.

        Args:
            symbols: of the run, in its order.
            known: all there are, in an order that never changes.
            series: whose newest row is now: row ``session - 1``, so many days after ``begin``.
            begin: stamp of the first row, nanoseconds UTC.
            rows: days there are headlines for.
        """
        rng = np.random.default_rng(_SEED)
        there = rng.random((rows, len(known))) < _OFTEN
        p = rng.dirichlet((1.0, 1.0, 1.0), (rows, len(known))).round(6)
        scored = rng.random((rows, len(known))) < 1 - _OFTEN / 4
        flagged = rng.integers(0, 2 * len(FLAGS), (rows, len(known)))
        self._series = series
        self._begin = begin
        self._items: list[list[Item]] = []
        for name in symbols:
            column = known.index(name)
            self._items.append(
                [
                    Item(
                        begin + row * DAY_NS,
                        f"{name}-{row}",
                        "made up",
                        f"{name} makes up its {row}th headline",
                        FLAGS[flagged[row, column] : flagged[row, column] + 1],
                        (p[row, column, 0], p[row, column, 1], p[row, column, 2]) if scored[row, column] else None,
                    )
                    for row in np.flatnonzero(there[:, column]).tolist()
                ]
            )

    @property
    def _now(self) -> int:
        return self._begin + (self._series.session - 1) * DAY_NS

    def headlines(self, symbol: int) -> tuple[Headline, ...]:
        """Return a symbol's headlines, oldest first."""
        return tuple(
            Headline(item.seen, item.text, item.source, item.flags, *(item.p or (NAN, NAN, NAN)))
            for item in within(self._items[symbol], self._now, _PARAMS.window_ns)
        )

    def sentiment(self, symbol: int) -> Sentiment:
        """Return what they say; without a norm, and with a move of nothing."""
        items, now = self._items[symbol], self._now
        found, before = read(items, now, _PARAMS), read(items, now - DAY_NS, _PARAMS)
        counted = within(items, now, _PARAMS.window_ns)
        return Sentiment(
            score=found.score,
            change=less(found.score, before.score),
            dispersion=found.dispersion,
            divergence=found.score,
            n=found.n,
            volume=found.volume,
            today=sum(item.seen == now for item in counted),
            flags=joined([item.flags for item in counted]),
        )

    def panel(self, n_symbols: int) -> PanelSentiment:
        """Return what they say of all symbols."""
        return panel_of({symbol: self.sentiment(symbol) for symbol in range(n_symbols)}, n_symbols)
