"""The inference benchmark measures what it says: a model that is asked and answers, on a host that computes it.

How fast it was, it prints; nothing here measures time.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from actors.predictor.text.model import load_text_model
from actors.predictor.text.store import ModelStore
from tests.conftest import ROOT

BENCH = ROOT / "ops" / "bench"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The script as a module, found as the script itself finds its own: beside it."""
    before = set(sys.modules)
    sys.path.insert(0, str(BENCH))
    try:
        yield importlib.import_module("inference")
    finally:
        sys.path.remove(str(BENCH))
        for name in {"inference", "table"} - before:
            sys.modules.pop(name, None)


def test_its_texts_are_all_different(bench: ModuleType) -> None:
    """Otherwise somebody's memory would be measured."""
    texts = bench.Texts()
    given = [text for _ in range(50) for text in texts.take(8)]
    assert len(set(given)) == len(given) == 400
    assert all(9 <= len(text.split()) <= 41 for text in given)


def test_its_bert_is_bert_base_with_fewer_layers_where_it_is_quick(bench: ModuleType, tmp_path: Path) -> None:
    """It can be loaded, and answers probabilities; with its tone it has nothing to do."""
    model_id, said = bench.lay_bert(ModelStore(tmp_path), 1)
    assert (said["hidden_size"], said["intermediate_size"], said["num_hidden_layers"]) == (768, 3072, 1)
    model = load_text_model(ModelStore(tmp_path).find(model_id), probe=False)
    p = model.score(bench.headlines(3, 1))
    assert p.shape == (3, 3)
    assert np.allclose(p.sum(axis=1), 1.0, atol=1e-5)


def test_a_pipeline_that_cannot_be_had_is_said(bench: ModuleType, tmp_path: Path) -> None:
    """Without an interpreter, and with one that has no torch."""
    assert "no torch" in bench.measure_pipeline("", {}, tmp_path, 1.0)["problem"]
    found = bench.measure_pipeline(sys.executable, {}, tmp_path, 1.0)
    if importlib.util.find_spec("torch") is None:
        assert "torch" in found["problem"]


def test_the_core_that_it_times_steps(bench: ModuleType) -> None:
    """Half a second: some steps, each with a time."""
    command = [sys.executable, str(BENCH / "inference_core.py"), "0.5"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = json.loads(answer.stdout)
    assert found["steps"] > 5
    assert 0 < found["step_us"]["p50"] <= found["step_us"]["p99"] <= found["step_us"]["max"]


@pytest.mark.long
def test_it_runs(bench: ModuleType) -> None:
    """All of it, quickly: every contender has a row."""
    command = [sys.executable, str(BENCH / "inference.py"), "--quick", "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    found = json.loads(answer.stdout)
    whos = {(row["model"], row["who"].split(",")[0]) for row in found["texts"]}
    assert whos == {(model, who) for model in ("bert-base", "sentiment") for who in ("in process", "host")}
    assert {row["who"].split(", ")[1] for row in found["texts"]} == {"1 thread", "threads", "ray"}
    assert all(row["per_s"] > 0 for row in found["texts"] + found["tables"])
    assert set(found["core"]) == {"idle", "host saturated"}
