"""Model folders that the tests of text models share."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tests.text_support import write_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """Return the folder of the hand-written model; not to be changed."""
    return write_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def reference(test_data: Path, tmp_path_factory) -> Path:
    """Return the folder of a real small model that may not ship; skip where it is absent."""
    source = test_data / "models" / "minilm_l6_phrasebank"
    if not source.is_dir():
        pytest.skip("the reference model is not among the real test data")
    folder = tmp_path_factory.mktemp("minilm")
    shutil.copy(source / "model_int8.onnx", folder / "model.onnx")
    shutil.copy(source / "tokenizer.json", folder / "tokenizer.json")
    files = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.onnx", "tokenizer.json")
    }
    manifest = {
        "name": "minilm",
        "kind": "sentiment",
        "files": files,
        "opset": 17,
        "inputs": ["input_ids", "attention_mask"],
        "output": "logits",
        "labels": json.loads((source / "meta.json").read_text("utf-8"))["labels"],
        "base": "all-MiniLM-L6-v2",
        "licence": "non-commercial",
        "data": "PhraseBank",
        "metrics": {},
        "honesty": "A reference to measure against.",
        "regenerate": "",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
