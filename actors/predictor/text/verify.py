"""Whether a text model is what its manifest says: each promise looked at again, and told one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from actors.predictor.text.checks import check_model, check_schema, read_verified
from actors.predictor.text.labels import PROBES, try_labels
from actors.predictor.text.manifest import MODEL, TOKENIZER, TextManifest, read_text_manifest
from actors.predictor.text.model import TextModel, build_text_model
from actors.predictor.text.parity import FULL, PARITY, compare
from actors.predictor.text.trial import try_model
from daemon.kernel.errors import OperatorError

T = TypeVar("T")


class Check(NamedTuple):
    """One promise: whether it holds, and what was found."""

    name: str
    ok: bool
    detail: str


ODD_TEXTS: tuple[str, ...] = (
    "",
    " \t\n",
    "\x00\x07\x1b[31m",
    "<p></p>",
    "%",
    "\ud800",
    "決算は増収増益",
    "x" * 100_000,
    "profit " * 20_000,
    "<" * 50_000,
    "&amp;" * 20_000,
    "e" + "\u0301" * 50_000,
)
"""Texts that feeds deliver by mistake: each is scored or not, and nothing breaks."""


def verify_text_model(folder: Path) -> list[Check]:
    """Return the checks of a model folder, up to the first that makes those behind it impossible."""
    checks: list[Check] = []
    run = _Runner(checks)
    manifest = run.step("manifest", lambda: read_text_manifest(folder), lambda m: m.model_id)
    if manifest is None:
        return checks
    files = run.step("digests", lambda: _files(folder, manifest), _sizes)
    if files is None:
        return checks
    path = folder / MODEL

    def structure() -> str:
        graph = check_model(files[MODEL], path)
        check_schema(graph, manifest, path)
        return f"opset {manifest.opset}, {len(graph.nodes)} nodes, every weight a number, nothing outside the file"

    if run.step("structure", structure, str) is None:
        return checks
    if run.step("trial", lambda: _tried(folder), str) is None:
        return checks
    model = run.step(
        "load", lambda: build_text_model(manifest, files[MODEL], files[TOKENIZER], folder, probe=False), _loaded
    )
    if model is None:
        return checks
    run.step("labels", lambda: _labels(model), str)
    run.step("odd texts", lambda: _odd(model), str)
    run.step("independence", lambda: _independent(model), str)
    if FULL in manifest.files:
        run.step("parity", lambda: compare(folder, model)[PARITY], _parity)
    return checks


class _Runner:
    def __init__(self, checks: list[Check]) -> None:
        self._checks = checks

    def step(self, name: str, what: Callable[[], T], told: Callable[[T], str]) -> T | None:
        """Do a check; None where it fails."""
        try:
            found = what()
        except OperatorError as error:
            self._checks.append(Check(name, ok=False, detail=error.message))
            return None
        self._checks.append(Check(name, ok=True, detail=told(found)))
        return found


def _files(folder: Path, manifest: TextManifest) -> dict[str, bytes]:
    return {name: read_verified(folder, name, digest) for name, digest in manifest.files.items()}


def _sizes(files: dict[str, bytes]) -> str:
    return ", ".join(f"{name} {len(data):,} bytes" for name, data in files.items())


def _loaded(model: TextModel) -> str:
    return f"answers float32 [1, 3] as {model.manifest.output}, finite"


def _labels(model: TextModel) -> str:
    wrong = try_labels(model.ask)
    if wrong:
        raise OperatorError(wrong, code="MODEL_LABELS")
    count = sum(len(texts) for texts in PROBES.values())
    return f"{', '.join(model.manifest.labels)}: as {count} sentences whose tone is not in doubt have it"


def _odd(model: TextModel) -> str:
    rows = model.score(ODD_TEXTS)
    scored = int(np.isfinite(rows).all(axis=1).sum())
    return f"{len(ODD_TEXTS)} texts of feeds' mistakes: {scored} scored, {len(ODD_TEXTS) - scored} abstained from"


def _tried(folder: Path) -> str:
    try_model(folder, judge=False)
    return "loaded in a process of its own and asked about rows of every length, within its memory and time"


def _independent(model: TextModel) -> str:
    return f"{model.check_independence()} texts together and alone, in another order: equal bytes"


def _parity(found: dict[str, float]) -> str:
    return (
        f"eight bits and float32 agree on {found['same_label']:.0%} of {found['n']:.0f} texts, "
        f"{found['mean_difference']:.4f} apart on average, {found['max_difference']:.4f} at most"
    )
