"""How far eight bits change what a model says: the same texts, asked of both."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from actors.predictor.text.checks import read_verified
from actors.predictor.text.labels import PROBES
from actors.predictor.text.manifest import MODEL, TOKENIZER
from actors.predictor.text.model import TextModel, build_text_model
from daemon.kernel.errors import OperatorError

FULL: Final = "model_fp32.onnx"
"""The same graph in float32, kept beside ``model.onnx`` where somebody asked for it."""
PARITY: Final = "int8_vs_fp32"
SAME_MIN: Final = 0.9
"""Least share of texts that get the same label."""
DIFFERENCE_MAX: Final = 0.05
"""Most that probabilities may differ on average."""


def compare(folder: Path, model: TextModel) -> dict[str, dict[str, float]]:
    """Return how far a model differs from its float32 form in the same folder, by the name of the measure.

    Measured on the sentences nobody doubts, and on each joined to the next, where tones mix.

    Raises:
        OperatorError: ``MODEL_PARITY``, they differ too much; or what loading the float32 form says.
    """
    manifest = model.manifest
    data = read_verified(folder, FULL, manifest.files[FULL])
    tokenizer = read_verified(folder, TOKENIZER, manifest.files[TOKENIZER])
    full = build_text_model(
        msgspec.structs.replace(manifest, files={MODEL: manifest.files[FULL], TOKENIZER: manifest.files[TOKENIZER]}),
        data,
        tokenizer,
        folder,
        file=FULL,
    )
    plain = [text for texts in PROBES.values() for text in texts]
    texts = [*plain, *(f"{a} {b}" for a, b in pairwise(plain))]
    ours, theirs = model.ask(texts), full.ask(texts)
    apart = np.abs(ours - theirs)
    same = float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean())
    found = {
        "n": float(len(texts)),
        "same_label": round(same, 4),
        "mean_difference": round(float(apart.mean()), 6),
        "max_difference": round(float(apart.max()), 6),
    }
    if not (same >= SAME_MIN and apart.mean() <= DIFFERENCE_MAX):
        raise OperatorError(
            f"{folder / MODEL} and {FULL} differ: the same label for {same:.0%} of {len(texts)} texts, probabilities "
            f"{apart.mean():.3f} apart on average",
            code="MODEL_PARITY",
            remedy="import it with --fp32",
        )
    return {PARITY: found}
