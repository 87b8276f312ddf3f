"""What onnxruntime says when it fails, as people read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.messages.inference import PredictionReady
from actors.predictor.models.manifest import load_manifest
from actors.predictor.pool.frames import Failed
from actors.predictor.pool.session import SAID_MAX, said_by
from actors.predictor.text.model import load_text_model
from actors.predictor.text.store import ModelStore
from daemon.inference.shelf import Shelf
from daemon.kernel.errors import OperatorError
from tests.inference.traps import ask, lay_trap

SAID = {
    "": "ValueError",
    "\n": "",
    "no such input": "no such input",
    "first\nsecond": "first",
    "a" * 250: "a" * 250,
    "a" * 200 + "b" * 125: "a" * 125 + " … " + "b" * 125,
}


@pytest.mark.parametrize("said", SAID)
def test_one_line_with_its_beginning_and_its_end(said: str) -> None:
    """Of 250 characters."""
    assert said_by(ValueError(said)) == SAID[said]
    assert SAID_MAX == 250


def test_a_model_that_wants_too_much_memory_says_so(tmp_path: Path) -> None:
    """64 TiB: named are the node, and that memory was what it failed of; the next request is answered."""
    trap = lay_trap(tmp_path)
    assert load_manifest("trap", tmp_path).model_id == trap.model_id
    shelf = Shelf(tmp_path, tmp_path)
    (answer,) = shelf.answer((ask(trap, 1, mib=1 << 26),))
    assert isinstance(answer, Failed)
    assert f"the model {trap.model_id} fails: " in answer.reason
    assert "ConstantOfShape" in answer.reason
    assert "Failed to allocate memory" in answer.reason
    assert isinstance(shelf.answer((ask(trap, 2, x=0.5),))[0], PredictionReady)


def test_a_text_model_that_fails_says_of_what(tmp_path: Path) -> None:
    """A token beyond its vocabulary: the bounds stand at the end of what onnxruntime says."""
    model = load_text_model(ModelStore(tmp_path).find("sentiment"))
    with pytest.raises(OperatorError, match=r"idx=1000000 must be within the inclusive range \[-\d+,\d+\]"):
        model._run(np.array([1_000_000]), np.array([0]))
