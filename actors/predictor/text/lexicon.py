"""A list of words in the place of a model: what is left where no model is, and named as such in every answer.

The list is our own, written for headlines about companies. Each word counts for itself, a negation turns round the
words behind it, and things of which less is good (losses, debt) turn round the verb they stand with. It knows no
irony, no comparison and no context: ``ops/models.md`` says how often it is wrong.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from actors.predictor.text.cleaning import clean_text, says_something
from actors.predictor.text.manifest import LABELS

F64 = npt.NDArray[np.float64]

NAME: Final = "lexicon"
DIGITS: Final = 6

# Stems with weights: a word counts where a stem and a usual ending make it up.
_STEMS: Final = """
2 surge soar skyrocket outperform upgrade upbeat breakthrough record-high all-time-high bullish rally
1 rise rose risen gain grow grew grown growth climb jump increase improve improvement beat exceed top expand expansion
1 strong strength strengthen boost boom profit profitable profitability win won award approve approval raise lift
1 rebound recover recovery advance success successful positive optimistic optimism accelerate robust solid higher up
1 buyback attractive opportunity favorable efficient outpace momentum best better well good great benefit surpass double
1 triple dividend record upside buy overweight partnership secure upturn pop spike breakout rallies innovation leading
-2 plunge plummet tumble crash collapse bankrupt bankruptcy fraud default downgrade bearish insolvent insolvency slump
-2 nosedive scandal delist liquidation sink
-1 fall fell fallen drop decline decrease lose lost loss slide slip miss cut slash weak weaken weakness warn warning
-1 negative lower down layoff fire strike lawsuit sue probe investigation investigate fine penalty recall halt suspend
-1 shut closure shutter disappoint worry concern fear risk threat delay reject downturn recession debt impairment
-1 write-off writedown shrink deteriorate poor worse worst bad hurt pressure struggle trouble crisis
-1 sell-off selloff underperform underweight sell short-seller dilution deficit breach hack
-1 outage resign oust ban tariff sanction caution cautious volatile shortfall headwind retreat erode dip dive
"""
_ENDINGS: Final = ("", "s", "es", "d", "ed", "ing", "ped", "ping", "ly", "er", "ers")
_PHRASES: Final[Mapping[str, float]] = {
    "record high": 2.0,
    "all time high": 2.0,
    "record low": -2.0,
    "all time low": -2.0,
    "price target raised": 1.0,
    "price target cut": -1.0,
    "going concern": -2.0,
    "chapter 11": -3.0,
    "job cuts": -1.0,
    "profit warning": -3.0,
    "better than expected": 1.0,
    "worse than expected": -1.0,
}
_WORDS: Final = {
    "negation": """not no never without cannot can't won't don't doesn't didn't isn't wasn't fails failed""",
    "less is good": "loss losses debt cost costs expenses unemployment deficit claims",
    "down": """fell fall falls fallen drop drops dropped decline declines declined decrease decreased narrow narrowed
        narrows shrank shrink shrinks reduce reduced reduces cut cuts lower""",
    "up": "rise rises rose risen grow grew grows increase increased increases widen widened widens higher",
}
_NEGATIONS: Final = frozenset(_WORDS["negation"].split())
_LESS_IS_GOOD: Final = frozenset(_WORDS["less is good"].split())
_DOWN: Final = frozenset(_WORDS["down"].split())
_UP: Final = frozenset(_WORDS["up"].split())
_REACH: Final = 3
"""Words a negation turns round."""
_TONE_MAX: Final = 2.0
"""Words behind which more of them make a text no surer."""
_EDGE: Final = 1.0
"""How far the probabilities of a text with one plain word lie from those of a text with none."""
_WORD: Final = re.compile(r"[a-z][a-z'-]*|\d+")


def _read_stems() -> dict[str, float]:
    weights: dict[str, float] = {}
    for line in _STEMS.strip().splitlines():
        weight, *stems = line.split()
        for stem in stems:
            bare = stem.removesuffix("e")
            for ending in _ENDINGS:
                weights.setdefault(stem + ending, float(weight))
            weights.setdefault(bare + "ing", float(weight))
            if stem.endswith("y"):
                weights.setdefault(f"{stem[:-1]}ies", float(weight))
                weights.setdefault(f"{stem[:-1]}ied", float(weight))
    return weights


class Lexicon:
    """Scores texts by a list of words; the interface of a text model.

    Attributes:
        model_id: ``lexicon@`` and twelve digits of the list's hash.
        abstained: texts so far that were not scored.
    """

    def __init__(self) -> None:
        """Read the list."""
        self._weights = _read_stems()
        said = repr((sorted(self._weights.items()), sorted(_PHRASES.items()), _WORDS, _REACH, _EDGE, _TONE_MAX))
        self.model_id = f"{NAME}@{hashlib.sha256(said.encode()).hexdigest()[:12]}"
        self.abstained = 0

    def score(self, texts: Sequence[str]) -> F64:
        """Return ``[n, 3]`` in the order negative, neutral, positive, rounded; NaN where it abstains.

        They add up to one, but are no probabilities anybody has calibrated.
        """
        answer = np.full((len(texts), len(LABELS)), np.nan)
        for i, text in enumerate(texts):
            cleaned = clean_text(text)
            if says_something(cleaned):
                answer[i] = _spread(self.tone(cleaned))
            else:
                self.abstained += 1
        return answer

    def tone(self, cleaned: str) -> float:
        """Return the sum of what the words of a cleaned text say; above zero is good."""
        words = _WORD.findall(cleaned.lower())
        told = " ".join(words)
        total = sum(weight for phrase, weight in _PHRASES.items() if phrase in told)
        for i, word in enumerate(words):
            weight = self._weights.get(word, 0.0)
            if word in _DOWN or word in _UP:
                near = words[max(0, i - _REACH) : i] + words[i + 1 : i + 1 + _REACH]
                if any(other in _LESS_IS_GOOD for other in near):
                    weight = 1.0 if word in _DOWN else -1.0
            elif word in _LESS_IS_GOOD:
                near = words[max(0, i - _REACH) : i] + words[i + 1 : i + 1 + _REACH]
                if any(other in _DOWN or other in _UP for other in near):
                    weight = 0.0  # the verb says it
            if weight and any(other in _NEGATIONS for other in words[max(0, i - _REACH) : i]):
                weight = -weight
            total += weight
        return total


def _spread(tone: float) -> list[float]:
    """Return a tone as three shares: neutral where nothing speaks, the sign's side where it does."""
    tone = max(-_TONE_MAX, min(tone, _TONE_MAX))
    logits = (-_EDGE * tone, 0.5, _EDGE * tone)
    top = max(logits)
    weights = [math.exp(logit - top) for logit in logits]
    return [round(weight / sum(weights), DIGITS) for weight in weights]
