"""A price model that can be told, by its features, to answer, to spin for ever, or to want all the memory there is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from actors.messages.columns import pack_f64, pack_i32
from actors.messages.inference import InferenceRequested
from actors.predictor.models.manifest import ModelManifest
from tests.inference.support import MODEL

OPSET: Final = 17


def _constant(name: str, value: object, kind: type) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, dtype=kind), name)


def _graph() -> onnx.GraphProto:
    """P(up) = sigmoid(third feature); the first feature times 1e12 are turns of a loop, the second MiB of memory."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["count", "one"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("count", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [1]),
        ],
        [_constant("one", [1.0], np.float32)],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], axes=[0], keepdims=0),
        helper.make_node("Relu", ["most"], ["wanted"]),
        helper.make_node("Mul", ["wanted", "units"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Split", ["whole", "ones"], ["turns_1", "size", "rest"], axis=0),
        helper.make_node("Squeeze", ["turns_1", "zero_axis"], ["turns"]),
        helper.make_node("Loop", ["turns", "true", "zero"], ["counted"], body=body),
        helper.make_node("ConstantOfShape", ["size"], ["memory"]),
        helper.make_node("ReduceSum", ["memory"], ["nothing"], keepdims=1),
        helper.make_node("Mul", ["counted", "zero"], ["nought"]),
        helper.make_node("Split", ["x", "ones"], ["x0", "x1", "x2"], axis=1),
        helper.make_node("Sigmoid", ["x2"], ["p"]),
        helper.make_node("Add", ["p", "nought"], ["p_1"]),
        helper.make_node("Add", ["p_1", "nothing"], ["probabilities"]),
    ]
    return helper.make_graph(
        nodes,
        "trap",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 1])],
        [
            _constant("units", [1e12, (1 << 20) / 4, 0.0], np.float32),
            _constant("ones", [1, 1, 1], np.int64),
            _constant("zero_axis", [0], np.int64),
            _constant("true", True, np.bool_),
            _constant("zero", [0.0], np.float32),
        ],
    )


def lay_trap(folder: Path) -> ModelManifest:
    """Write the model and its manifest into a folder; return the manifest."""
    model = helper.make_model(_graph(), opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
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
