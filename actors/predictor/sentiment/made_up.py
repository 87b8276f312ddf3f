"""Made-up news for ``tradingd strategy check``: a strategy that reads them must be asked with some to read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from actors.api import Headline, PanelSentiment, Sentiment
from actors.predictor.bars import BarSeries
from actors.predictor.sentiment.aggregate import NAN, Item, less, read, within
from actors.predictor.sentiment.flags import FLAGS, joined
from actors.predictor.sentiment.panels import panel_of
from actors.predictor.sentiment.params import SentimentParams
from actors.values.time import DAY_NS

_PARAMS: Final = SentimentParams("made-up@0")
_OFTEN: Final = 150
_SCORED: Final = 220
"""So many of 256 days have a headline, and so many of 256 headlines a score."""


class MadeUpNews:
    """Headlines of each symbol by its name, up to one a day: the same in any order of symbols, and blind to prices."""

    def __init__(self, symbols: Sequence[str], series: BarSeries, begin: int, rows: int) -> None:
        """Make them up.

        Args:
            symbols: of the run, in its order.
            series: whose newest row is now: row ``session - 1``, so many days after ``begin``.
            begin: stamp of the first row, nanoseconds UTC.
            rows: days there are headlines for.
        """
        self._series = series
        self._begin = begin
        days = range(rows)
        self._items = [[item for day in days if (item := _item(name, day, begin + day * DAY_NS))] for name in symbols]

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


def _item(name: str, day: int, seen: int) -> Item | None:
    """Return a symbol's headline of a day, made of the digits of a hash; None where it has none."""
    often, scored, flag, *weights = hashlib.sha256(f"{name} {day}".encode()).digest()[:6]
    if often >= _OFTEN:
        return None
    total = sum(weights) + 3
    negative, neutral = round((weights[0] + 1) / total, 6), round((weights[1] + 1) / total, 6)
    p = (negative, neutral, round(1.0 - negative - neutral, 6)) if scored < _SCORED else None
    flags = FLAGS[flag % (2 * len(FLAGS)) :][:1]
    return Item(seen, f"{name}-{day}", "made up", f"{name} makes up its headline {day}", flags, p)
