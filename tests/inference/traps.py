"""A price model that can be told, by its features, to answer, to work for minutes, or to want all memory there is."""

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
_INT64: Final = 7
SIDE: Final = 4_400
"""Of the matrices whose products take minutes; the side of those that do a share of it is that times its sixth root."""
PRODUCTS: Final = 256


def _model() -> bytes:
    """P(up) = sigmoid(third feature); the first is the share of the most work it can do, the second MiB of memory.

    The work is a chain of products of square matrices of zeros: time grows with the cube of their side, memory with its
    square, so that minutes fit into 250 MB.
    """
    g = Graph()
    most = g.op("Relu", g.op("ReduceMax", "x", axes=[0], keepdims=0))
    work, memory, _ = g.ops("Split", 3, most, g.const("ones", np.ones(3, np.int64)), axis=0)
    root = g.op("Pow", work, g.const("sixth", np.array([1 / 6], np.float32)))
    side = g.op("Cast", g.op("Mul", root, g.const("side", np.array([SIDE], np.float32))), to=_INT64)
    zeros = g.op("ConstantOfShape", g.op("Concat", side, side, axis=0))
    product = zeros
    for _ in range(PRODUCTS):
        product = g.op("MatMul", product, zeros)
    worked = g.op("ReduceSum", product, keepdims=1)
    mib = g.const("mib", np.array([(1 << 20) / 4], np.float32))
    size = g.op("Cast", g.op("Mul", memory, mib), to=_INT64)
    remembered = g.op("ReduceSum", g.op("ConstantOfShape", size), keepdims=1)
    *_, last = g.ops("Split", 3, "x", g.const("each", np.ones(3, np.int64)), axis=1)
    p = g.op("Add", g.op("Sigmoid", last), worked)
    g.op("Add", p, remembered, output="probabilities")
    parts = [_bytes(1, node) for node in g._nodes] + [_bytes(2, b"trap")]
    parts += [_bytes(5, head + bytes(data)) for head, data in g._constants.values()]
    parts += [_bytes(11, _value("x", "float32", ["n", 3])), _bytes(12, _value("probabilities", "float32", ["n", 1]))]
    return _number(1, _IR) + _bytes(7, b"".join(parts)) + _bytes(8, _bytes(1, b"") + _number(2, OPSET))


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
        features=("work", "memory", "x"),
        calibration=(1.0, 0.0),
    )
    (folder / "trap.json").write_bytes(msgspec.json.encode(manifest))
    return manifest


def ask(
    manifest: ModelManifest, number: int, *, work: float = 0.0, mib: float = 0.0, x: float = 0.0
) -> InferenceRequested:
    """Return a request of one row; ``work`` is a share of several minutes' work, ``mib`` of memory."""
    return InferenceRequested(f"t-{number}", manifest.model_id, "t", number, pack_i32([0]), pack_f64([work, mib, x]), 0)
