"""A text model that can be asked: tokenizer and graph, on one thread, each text for itself.

A text's answer never depends on what else is asked with it. A batch of several rows cannot promise that: int8 graphs
scale their activations over the whole batch (``DynamicQuantizeLinear``), padding and neighbours included. So each text
is laid before the graph alone and unpadded, at its own length, which is a function of the text; that is also faster
than rows padded to the longest (``ops/models.md`` has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actors.predictor.text.manifest import TextManifest

F64 = npt.NDArray[np.float64]

DIGITS: Final = 6
"""Digits kept of a probability: a float32 graph has about seven."""


class TextModel:
    """Scores texts. Not for several threads at once: give each its own.

    Attributes:
        manifest: what it is.
        abstained: texts so far that were not scored: nothing in them to judge.
        non_finite: texts so far for which the graph's answer was no number.
    """

    def __init__(self, manifest: TextManifest, tokenizer: Any, session: Any) -> None:
        self.manifest = manifest
        self._tokenizer = tokenizer
        self._session = session
        self.abstained = 0
        self.non_finite = 0

    @property
    def model_id(self) -> str:
        """Name and version: ``name@`` and twelve digits."""
        return self.manifest.model_id

    def score(self, texts: Sequence[str]) -> F64:
        """Return ``[n, 3]`` probabilities in the order negative, neutral, positive, rounded to six digits.

        A row of NaN: the model abstains (nothing to judge in the text, or its answer was no number).

        Raises:
            OperatorError: ``MODEL_OUTPUT``, the graph's answer has not the shape it promised.
        """
        raise NotImplementedError


def load_text_model(folder: Path, *, probe: bool = True) -> TextModel:
    """Return the model of a folder (manifest.json, model.onnx, tokenizer.json), verified before anything parses it.

    Args:
        folder: of the model.
        probe: ask it sentences whose tone is not in doubt and refuse it where it gets them wrong. Only benchmarks of
            random weights turn this off; shape and finiteness are always looked at.

    Raises:
        OperatorError: one sentence that names the file and the field.
    """
    raise NotImplementedError
