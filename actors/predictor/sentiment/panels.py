"""Figures of single symbols as the columns that a panel strategy sees."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from actors.api import PanelSentiment, Sentiment


def panel_of(found: Mapping[int, Sentiment], n_symbols: int) -> PanelSentiment:
    """Return what is known of some symbols as columns over all; read-only."""
    columns = {name: np.full(n_symbols, np.nan) for name in ("score", "change", "dispersion", "divergence")}
    columns |= {name: np.zeros(n_symbols) for name in ("n", "volume", "today")}
    unusual = np.zeros(n_symbols, dtype=np.bool_)
    flags: list[tuple[str, ...]] = [()] * n_symbols
    for symbol, sentiment in found.items():
        for name, column in columns.items():
            column[symbol] = getattr(sentiment, name)
        unusual[symbol] = sentiment.unusual
        flags[symbol] = sentiment.flags
    for column in (*columns.values(), unusual):
        column.setflags(write=False)
    return PanelSentiment(unusual=unusual, flags=tuple(flags), **columns)
