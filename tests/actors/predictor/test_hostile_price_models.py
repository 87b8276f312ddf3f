"""Price models that are not what they say, or answer what they may not: refused, and no figure is made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.messages.columns import pack_f64, pack_i32, unpack_f64
from actors.messages.inference import InferenceRequested, PredictionReady
from actors.predictor.models.manifest import SHIPPED, ModelManifest, load_manifest
from actors.predictor.pool.inprocess import InProcessPool
from daemon.kernel.errors import OperatorError

onnx = pytest.importorskip("onnx")
NAME, NINE = "price_5d", 9
Nodes = list[tuple[Any, ...]]


def graph(nodes: Nodes, constants: dict[str, Any] | None = None, output: str = "probabilities", opset: int = 17) -> Any:
    """Return a model of (operator, inputs, output, attributes): ``features [n, 9]`` in, ``probabilities`` out."""
    helper = onnx.helper
    made = [
        helper.make_node(op, inputs, [name], domain="", **(told[0] if told else {}))
        for op, inputs, name, *told in nodes
    ]
    body = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info("features", 1, [None, NINE])],
        [helper.make_tensor_value_info(output, 1, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def write(folder: Path, model: Any, **changes: Any) -> ModelManifest:
    """Write a graph beside a manifest that fits it; ``changes`` are of the manifest."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    (folder / f"{NAME}.onnx").write_bytes(data)
    told = msgspec.json.decode((SHIPPED / f"{NAME}.json").read_bytes())
    told |= {"sha256": hashlib.sha256(data).hexdigest(), "opset": 17} | changes
    (folder / f"{NAME}.json").write_bytes(msgspec.json.encode(told))
    return load_manifest(NAME, folder)


def ask(folder: Path, manifest: ModelManifest) -> Any:
    """Ask a model about three rows."""
    rows = np.full((3, NINE), 0.1)
    request = InferenceRequested("r", manifest.model_id, "price_model", 1, pack_i32(range(3)), pack_f64(rows), 0)
    return InProcessPool([manifest], folder).predict(request)


def refused(folder: Path, manifest: ModelManifest) -> OperatorError:
    """Return how a model is refused."""
    with pytest.raises(OperatorError) as caught:
        ask(folder, manifest)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 600
    return caught.value


GOOD: Nodes = [("Sigmoid", ["features"], "probabilities")]


def test_a_plain_graph_is_answered(tmp_path: Path) -> None:
    """Without it every refusal below might have another reason."""
    assert isinstance(ask(tmp_path, write(tmp_path, graph(GOOD))), PredictionReady)


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([("ReduceMean", ["features"], "probabilities", {"axes": [1], "keepdims": 0})], {}),
        ([("ReduceMean", ["features"], "probabilities", {"keepdims": 0})], {}),
        ([("ReduceMean", ["features"], "probabilities", {"axes": [0]})], {}),  # one row, which was taken for all
        ([("Slice", ["features", "at", "at"], "probabilities")], {"at": np.array([0])}),
        ([("Slice", ["features", "at", "end", "axis"], "probabilities")], {"at": [0], "end": [0], "axis": [1]}),
        ([("Unsqueeze", ["features", "axis"], "probabilities")], {"axis": np.array([1])}),
        ([("Cast", ["features"], "probabilities", {"to": 7})], {}),
        ([("Cast", ["features"], "probabilities", {"to": 8})], {}),
        ([("Cast", ["features"], "probabilities", {"to": 11})], {}),
        ([("Mul", ["features", "much"], "probabilities")], {"much": np.float32(1e9)}),
        ([("Neg", ["features"], "probabilities")], {}),
        ([("Reshape", ["features", "odd"], "probabilities")], {"odd": np.array([7, 7])}),
    ],
)
def test_what_is_no_probability_for_each_row_is_refused(tmp_path: Path, nodes: Nodes, constants: dict) -> None:
    """Other shapes raised whatever numpy raises; a billion was cut to .999999 and bought."""
    model = graph(nodes, constants)
    if nodes[0][0] == "Cast":
        model.graph.output[0].type.tensor_type.elem_type = nodes[0][3]["to"]
    error = refused(tmp_path, write(tmp_path, model))
    assert error.code == "MODEL_OUTPUT"
    assert NAME in error.message


def test_a_row_it_cannot_answer_stays_unanswered(tmp_path: Path) -> None:
    """NaN is no probability, and no reason to refuse the other rows."""
    nodes = [("Neg", ["features"], "less"), ("Sqrt", ["less"], "probabilities")]
    answer = ask(tmp_path, write(tmp_path, graph(nodes)))
    assert np.isnan(unpack_f64(answer.p_up)).all()


def outside(model: Any) -> Any:
    """Return a model whose constant lies in another file."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret"
    return model


@pytest.mark.parametrize(
    ("model", "changes", "code"),
    [
        (lambda: b"\x80\x04N.", {}, "MODEL_FORMAT"),
        (lambda: graph(GOOD).SerializeToString()[:-20], {}, "MODEL_FORMAT"),
        (lambda: outside(graph(GOOD, {"w": np.ones(3, np.float32)})), {}, "MODEL_EXTERNAL"),
        (lambda: graph(GOOD, {"w": np.array([1, np.nan], np.float32)}), {}, "MODEL_WEIGHTS"),
        (lambda: graph([("Elu", ["features"], "probabilities", {"alpha": float("nan")})]), {}, "MODEL_WEIGHTS"),
        (lambda: graph(GOOD), {"opset": 18}, "MODEL_OPSET"),
        (lambda: graph(GOOD, opset=16), {}, "MODEL_OPSET"),
        (lambda: graph([("RandomUniformLike", ["features"], "probabilities")]), {}, "MODEL_OPERATOR"),
        (lambda: graph(GOOD, output="other\x1b[2J"), {}, "MODEL_SCHEMA"),
        (lambda: graph(GOOD), {"output": "other\n" + "x" * 5000}, "MODEL_SCHEMA"),
        (lambda: graph(GOOD), {"input": "other"}, "MODEL_SCHEMA"),
    ],
)
def test_a_graph_that_is_not_what_its_manifest_says_is_refused(
    tmp_path: Path, model: Callable[[], Any], changes: dict, code: str
) -> None:
    """Before onnxruntime has seen it."""
    error = refused(tmp_path, write(tmp_path, model(), **changes))
    assert error.code == code
    assert NAME in error.message


@pytest.mark.parametrize(("version", "fits"), [(1, True), (3, True), (4, False)])
def test_learned_operators_are_of_a_version_the_manifest_allows(tmp_path: Path, version: int, fits: bool) -> None:
    """The shipped manifest says 3, and its graph needs no more than 1 of it."""
    model = graph(GOOD)
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", version))
    manifest = write(tmp_path, model, opset_ml=3)
    if fits:
        ask(tmp_path, manifest)
    else:
        assert refused(tmp_path, manifest).code == "MODEL_OPSET"


def test_operators_of_foreign_domains_are_refused(tmp_path: Path) -> None:
    """They need a library of somebody's."""
    model = graph(GOOD)
    model.graph.node[0].domain = "com.stranger"
    model.opset_import.append(onnx.helper.make_opsetid("com.stranger", 1))
    assert refused(tmp_path, write(tmp_path, model)).code == "MODEL_OPERATOR"


@pytest.mark.parametrize("name", ["../price_5d", "/etc/passwd", "a\0b", "x" * 5_000, "..", "", "other"])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    """Neither that of who asks nor that in a manifest."""
    (tmp_path / "m").mkdir()
    write(tmp_path, graph(GOOD))
    write(tmp_path / "m", graph(GOOD))
    with pytest.raises(OperatorError) as caught:
        load_manifest(name, tmp_path / "m")
    assert caught.value.code == "NO_MODEL"
    assert len(caught.value.message) < 100
    with pytest.raises(OperatorError, match="it says name") as caught:
        write(tmp_path / "m", graph(GOOD), name=name)
    assert caught.value.code == "BAD_MANIFEST"
