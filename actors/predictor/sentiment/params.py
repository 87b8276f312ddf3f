"""What a run makes of headlines: who scores them, how long they count, and whose weigh more."""

from __future__ import annotations

from typing import Final

import msgspec

from actors.values.time import HOUR_NS, MINUTE_NS

DEADLINE_NS: Final = 5 * MINUTE_NS


class SentimentParams(msgspec.Struct, frozen=True):
    """See the module; ``ops/sentiment.md`` has the formulas.

    Attributes:
        model_id: name and version of the text model that is asked.
        half_life_ns: the age at which a headline counts half.
        window_ns: the age from which it does not count at all.
        min_items: scored headlines below which a symbol has no score.
        weights: (name in lower case, weight) of sources that do not weigh 1.
        deadline_ns: how long an answer may take.
    """

    model_id: str
    half_life_ns: int = 24 * HOUR_NS
    window_ns: int = 120 * HOUR_NS
    min_items: int = 1
    weights: tuple[tuple[str, float], ...] = ()
    deadline_ns: int = DEADLINE_NS

    def weight(self, source: str) -> float:
        """Return what the headlines of a source weigh."""
        name = source.strip().lower()
        return next((weight for known, weight in self.weights if known == name), 1.0)
