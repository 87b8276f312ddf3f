"""A price model that can be told, by its features, to answer, to spin for ever, or to want all the memory there is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from actors.messages.columns import pack_f64, pack_i32
from actors.messages.inference import InferenceRequested
from actors.predictor.models.manifest import ModelManifest
from actors.predictor.text.graph import Graph, _bytes, _number, _value
from tests.inference.support import MODEL

OPSET: Final = 17
_IR: Final = 8
_FLOAT, _INT64, _BOOL = 1, 7, 9
_GRAPH: Final = 5
"""The type of an attribute that is a graph."""


class _Part(Graph):
    """A graph that can be a loop's body, and a model of one float32 input."""

    def turn(self, body: bytes, *inputs: str) -> str:
        """Add a loop; return the name of what it carries."""
        name = self.op("Loop", *inputs)
        attribute = _bytes(1, b"body") + _bytes(6, body) + _number(20, _GRAPH)
        self._nodes[-1] += _bytes(5, attribute)
        return name

    def graph(self, *values: tuple[int, bytes]) -> bytes:
        """Return the graph with its inputs (field 11) and outputs (field 12)."""
        parts = [_bytes(1, node) for node in self._nodes] + [_bytes(2, b"trap")]
        parts += [_bytes(5, head + bytes(data)) for head, data in self._constants.values()]
        return b"".join(parts + [_bytes(field, value) for field, value in values])


def _body() -> bytes:
    """Return a loop's body: it goes on, and adds one to what it carries."""
    part = _Part()
    part.op("Identity", "go", output="go_on")
    part.op("Add", "count", part.const("one", np.ones(1, np.float32)), output="next")
    one = _bytes(1, _number(1, 1))  # a dimension of size one
    taken = [("turn", _INT64, b""), ("go", _BOOL, b""), ("count", _FLOAT, one)]
    given = [("go_on", _BOOL, b""), ("next", _FLOAT, one)]
    return part.graph(
        *((11, _typed(name, kind, shape)) for name, kind, shape in taken),
        *((12, _typed(name, kind, shape)) for name, kind, shape in given),
    )


def _typed(name: str, kind: int, shape: bytes) -> bytes:
    """Return what a graph says of a value of its own."""
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, shape)))


def _model() -> bytes:
    """P(up) = sigmoid(third feature); the first feature times 1e12 are turns of a loop, the second MiB of memory."""
    g = _Part()
    most = g.op("ReduceMax", "x", axes=[0], keepdims=0)
    units = g.const("units", np.array([1e12, (1 << 20) / 4, 0.0], np.float32))
    whole = g.op("Cast", g.op("Mul", g.op("Relu", most), units), to=_INT64)
    ones = g.const("ones", np.ones(3, np.int64))
    turns, size, _ = g.ops("Split", 3, whole, ones, axis=0)
    zero = g.const("zero", np.zeros(1, np.float32))
    go = g.op("Cast", g.const("yes", np.array(1, np.int64)), to=_BOOL)
    scalar = g.op("Squeeze", turns, g.const("axis", np.zeros(1, np.int64)))
    counted = g.turn(_body(), scalar, go, zero)
    memory = g.op("ReduceSum", g.op("ConstantOfShape", size), keepdims=1)
    *_, last = g.ops("Split", 3, "x", ones, axis=1)
    p = g.op("Add", g.op("Sigmoid", last), g.op("Mul", counted, zero))
    g.op("Add", p, memory, output="probabilities")
    graph = g.graph((11, _value("x", "float32", ["n", 3])), (12, _value("probabilities", "float32", ["n", 1])))
    return _number(1, _IR) + _bytes(7, graph) + _bytes(8, _bytes(1, b"") + _number(2, OPSET))


def lay_trap(folder: Path) -> ModelManifest:
    """Write the model and its manifest into a folder; return the manifest."""
    data = _model()
    (folder / "trap.onnx").write_bytes(data)
    manifest = msgspec.structs.replace(
        MODEL,
        name="trap",
        sha256=hashlib.sha256(data).hexdigest(),
        opset=OPSET,
        input="x",
        output="probabilities",
        features=("turns", "memory", "x"),
        calibration=(1.0, 0.0),
    )
    (folder / "trap.json").write_bytes(msgspec.json.encode(manifest))
    return manifest


def ask(
    manifest: ModelManifest, number: int, *, turns: float = 0.0, mib: float = 0.0, x: float = 0.0
) -> InferenceRequested:
    """Return a request of one row; ``turns`` in 1e12, ``mib`` of memory."""
    return InferenceRequested(
        f"t-{number}", manifest.model_id, "t", number, pack_i32([0]), pack_f64([turns, mib, x]), 0
    )
