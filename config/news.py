"""What is made of headlines: who judges their tone, how long they count, whose weigh more."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from config.fields import Bounds, Section

Weight = Annotated[Decimal, Bounds("0", "100", decimals=4)]
TextModelName = Annotated[str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9_.-]{0,63}(@[0-9a-f]{12})?)?$")]


class SentimentSettings(Section):
    """What is made of headlines; nothing where none are given. ops/sentiment.md has the formulas."""

    model: TextModelName = "sentiment"
    """Text model that judges their tone, a name of `tradingd model list`; `lexicon` for a list of words; empty: off."""
    fallback: Literal["lexicon", ""] = "lexicon"
    """What judges where that model is not installed; told in the notices. Empty: refuse to start."""
    half_life_hours: Annotated[Decimal, Bounds("0.1", "8760", decimals=4)] = Decimal(24)
    """Age at which a headline counts half."""
    window_hours: Annotated[Decimal, Bounds("1", "8760", decimals=4)] = Decimal(120)
    """Age from which it does not count at all."""
    min_items: Annotated[int, Bounds("1", "200", decimals=0)] = 1
    """Scored headlines below which a symbol has no score."""
    source_weights: dict[str, Weight] = Field(default_factory=dict)
    """What headlines of a source weigh, [predictor.sentiment.source_weights]; the others weigh 1. "": of no source."""

    @model_validator(mode="after")
    def _each_source_once(self) -> Self:
        named: dict[str, str] = {}
        for name in self.source_weights:
            other = named.setdefault(name.strip().lower(), name)
            if other != name:
                raise ValueError(f"source_weights names one source twice: {other!r} and {name!r}")
        return self
