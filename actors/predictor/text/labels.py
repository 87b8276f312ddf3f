"""What the columns of a model mean: read from its own configuration, and tried with sentences nobody doubts.

Releases of the same model differ: ProsusAI's FinBERT says positive, negative, neutral; finbert-tone says neutral,
positive, negative. Who assumes one order computes the other's tone with the sign turned round, and nothing crashes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from actors.predictor.text.manifest import LABELS, Label
from daemon.kernel.errors import OperatorError

F64 = npt.NDArray[np.float64]

_MEANS: Final[Mapping[str, Label]] = {
    "negative": "negative",
    "neg": "negative",
    "bearish": "negative",
    "neutral": "neutral",
    "neu": "neutral",
    "positive": "positive",
    "pos": "positive",
    "bullish": "positive",
}

PROBES: Final[Mapping[Label, tuple[str, ...]]] = {
    "negative": (
        "The company reported a heavy loss and shares plunged 20 percent.",
        "Profit fell sharply as sales declined and the company cut its outlook.",
        "The firm warned of weak demand, and operating loss widened from a year earlier.",
        "Shares tumble after the retailer misses earnings estimates and slashes guidance.",
        "The bank was downgraded and the stock dropped to a record low.",
        "Net sales decreased by 30 percent and the company will lay off 500 workers.",
    ),
    "neutral": (
        "The annual general meeting will be held in Helsinki on 12 March.",
        "The company has its head office in Espoo and employs about 300 people.",
        "The report is available on the company's website.",
        "The board of directors consists of seven members.",
        "The value of the contract was not disclosed.",
        "The factory is located in the south of the country.",
    ),
    "positive": (
        "Operating profit rose to a record high and sales grew 25 percent.",
        "Shares surge after the company beats earnings estimates and raises guidance.",
        "Net profit increased sharply from a year earlier thanks to strong demand.",
        "The company won a major new contract and raised its full-year outlook.",
        "The stock was upgraded and jumped to an all-time high.",
        "Profitability improved significantly and the dividend was increased.",
    ),
}
"""Sentences of our own whose tone is not in doubt."""


def read_labels(config: Mapping[str, Any], where: str) -> tuple[Label, ...]:
    """Return what the columns mean, in their order, from a model's configuration (``id2label``).

    Args:
        config: a parsed ``config.json``; empty where there is none.
        where: what the sentence calls the file.

    Raises:
        OperatorError: ``MODEL_LABELS``, there is no ``id2label``, or it does not name each of the three tones once.
    """
    if not config:
        raise OperatorError(f"there is no {where} with an id2label, so nobody knows what the outputs mean", **_REFUSED)
    found = config.get("id2label")
    if not isinstance(found, dict) or not found:
        raise OperatorError(f"{where} has no id2label, so nobody knows what the outputs mean", **_REFUSED)
    try:
        by_column = {int(column): name for column, name in found.items()}
    except (TypeError, ValueError):
        raise OperatorError(f"{where}: id2label has a column that is no number", **_REFUSED) from None
    if sorted(by_column) != list(range(len(by_column))):
        raise OperatorError(f"{where}: id2label does not number its labels from 0", **_REFUSED)
    return parse_labels([by_column[i] for i in range(len(by_column))], f"{where}: id2label")


_REFUSED: Final = {
    "code": "MODEL_LABELS",
    "remedy": "say the order of its outputs with --labels, such as --labels positive,negative,neutral",
}


def parse_labels(names: Sequence[object], where: str) -> tuple[Label, ...]:
    """Return labels by their names.

    Raises:
        OperatorError: ``MODEL_LABELS``, they do not name negative, neutral and positive once each.
    """
    means = tuple(_MEANS.get(str(name).strip().lower()) for name in names)
    if None in means or sorted(cast("tuple[Label, ...]", means)) != sorted(LABELS):
        said = ", ".join(str(name)[:40] for name in names[:6])
        raise OperatorError(f"{where} says {said}, which are not negative, neutral and positive once each", **_REFUSED)
    return cast("tuple[Label, ...]", means)


def try_labels(score: Callable[[Sequence[str]], F64]) -> str:
    """Return what a model gets wrong about sentences whose tone is not in doubt, or nothing.

    For each tone the mean probability over its sentences must be highest for that tone, and of the negative and
    positive sentences at most one in six may be called the opposite. Exchanged labels fail whichever two they are.

    Args:
        score: gives ``[n, 3]`` in the order negative, neutral, positive.
    """
    for i, tone in enumerate(LABELS):
        rows = score(PROBES[tone])
        if not np.isfinite(rows).all():
            return f"the answer to a plainly {tone} sentence is no number"
        mean = rows.mean(axis=0)
        top = LABELS[int(mean.argmax())]
        if top != tone:
            return f"plainly {tone} sentences are called {top} (mean probability {mean.max():.2f})"
        wrong = int((rows[:, 2 - i] > rows[:, i]).sum()) if i != 1 else 0
        if 6 * wrong > len(rows):
            return f"{wrong} of {len(rows)} plainly {tone} sentences are called {LABELS[2 - i]}"
    return ""
