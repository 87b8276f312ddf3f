"""The sentiment network as an ONNX graph, in float32 or in eight bits, and its tokenizer with fewer words.

The graph is written operator by operator from the standard set alone: no exporter decides its shape, no custom
operator is needed, nothing lies outside the file, and the same weights give the same bytes.

Eight bits: weights are int8 with a scale for each output column, activations are quantised while the graph runs, with
a scale for each *token*. A scale for the whole tensor, as ``onnxruntime.quantization`` writes it, would make a text's
answer depend on the texts beside it in a batch. Weights use seven of the eight bits: on processors without VNNI the
sum of two products of eight bits can exceed the 16 bits it is held in, and the answer would depend on the machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]

OPSET: Final = 20
"""The first with an operator for GELU."""
IR_VERSION: Final = 9
WEIGHT_MAX: Final = 63
ACTIVATION_MAX: Final = 127
SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Graph:
    """Nodes and weights of a graph under construction; names count up, so that the same calls give the same bytes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output; return the output's name."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node; return the names of its outputs."""
        names = [f"{kind.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=f"{kind}_{len(self.nodes)}", **attributes))
        return names

    def const(self, name: str, value: Array) -> str:
        """Hold a weight or constant; return its name."""
        if name in self.weights:
            same = self.weights[name].dtype == value.dtype and np.array_equal(self.weights[name], value)
            assert same, name  # noqa: S101 - a name stands for one value
        self.weights[name] = value
        return name


def quantise(matrix: Array) -> tuple[Array, Array]:
    """Return int8 values and the float32 scale of each column: ``matrix ~ values * scale``, symmetric."""
    scale = np.maximum(np.abs(matrix).max(axis=0), 1e-12) / WEIGHT_MAX
    return np.rint(matrix / scale).astype(np.int8), scale.astype(np.float32)


class Linear:
    """``x @ matrix + bias`` in float32 or eight bits."""

    def __init__(self, graph: Graph, *, int8: bool) -> None:
        self._graph = graph
        self._int8 = int8

    def take(self, x: str) -> tuple[str, str]:
        """Return ``x [tokens, width]`` ready for any number of products: uint8 around 128, and its scales."""
        g = self._graph
        if not self._int8:
            return x, ""
        largest = g.op("ReduceMax", g.op("Abs", x), g.const("last", np.array([-1])), keepdims=0)
        tiny = g.const("tiny", np.array(1e-9, np.float32))
        scale = g.op("Mul", g.op("Max", largest, tiny), g.const("per_step", np.array(1.0 / ACTIVATION_MAX, np.float32)))
        zeros = g.op("Expand", g.const("middle", np.array(128, np.uint8)), g.op("Shape", scale))
        return g.op("QuantizeLinear", x, scale, zeros, axis=0), g.op(
            "Unsqueeze", scale, g.const("last", np.array([-1]))
        )

    def __call__(self, taken: tuple[str, str], name: str, matrix: Array, bias: Array) -> str:
        """Return the product [tokens, columns] with what ``take`` returned."""
        g = self._graph
        x, scale = taken
        b = g.const(f"{name}.bias", bias.astype(np.float32))
        if not self._int8:
            return g.op("Add", g.op("MatMul", x, g.const(f"{name}.weight", matrix.astype(np.float32))), b)
        values, columns = quantise(matrix)
        whole = g.op("MatMulInteger", x, g.const(f"{name}.weight", values), g.const("middle", np.array(128, np.uint8)))
        scaled = g.op("Mul", g.op("Cast", whole, to=TensorProto.FLOAT), scale)
        return g.op("Add", g.op("Mul", scaled, g.const(f"{name}.scale", columns)), b)


def build(state: Mapping[str, Array], *, heads: int, epsilon: float, temperature: float, int8: bool) -> bytes:
    """Return the graph: int64 ``input_ids`` and ``attention_mask`` [n, tokens] in, float32 ``logits`` [n, labels] out.

    Args:
        state: the network's weights by torch's names (``sentiment_net.Net``).
        heads: attention heads.
        epsilon: of the layer norms.
        temperature: logits are divided by it, so that what the softmax gives is calibrated.
        int8: eight bits, else float32.
    """
    g = Graph()
    width = state["words.weight"].shape[1]
    linear = Linear(g, int8=int8)
    last, flat = g.const("last", np.array([-1])), g.const("flat", np.array([-1, width]))

    def norm(x: str, name: str) -> str:
        weight, bias = (g.const(f"{name}.{kind}", state[f"{name}.{kind}"]) for kind in ("weight", "bias"))
        return g.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=epsilon)

    keep = g.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    away = g.op("Mul", g.op("Sub", keep, g.const("one", np.array(1.0, np.float32))), g.const("far", _f32(1e4)))
    bias = g.op("Unsqueeze", away, g.const("middle_axes", np.array([1, 2])))
    n, tokens = g.op("Shape", "input_ids", start=0, end=1), g.op("Shape", "input_ids", start=1, end=2)
    x = norm(g.op("Reshape", _embed(g, state, tokens, int8=int8), flat), "norm")
    to_heads = g.op("Concat", n, tokens, g.const("heads", np.array([3 * heads, width // heads])), axis=0)
    count = sum(1 for name in state if name.endswith(".qkv.weight"))
    for i in range(count):
        at = f"layers.{i}"
        matrix, offset = state[f"{at}.qkv.weight"].T.copy(), state[f"{at}.qkv.bias"].copy()
        # The scores' division by the root of a head's width goes into the queries.
        matrix[:, :width] /= np.sqrt(width // heads)
        offset[:width] /= np.sqrt(width // heads)
        qkv = g.op("Reshape", linear(linear.take(x), f"{at}.qkv", matrix, offset), to_heads)
        parts = g.ops("Split", 3, g.op("Transpose", qkv, perm=[0, 2, 1, 3]), axis=1, num_outputs=3)
        scores = g.op("Add", g.op("MatMul", parts[0], g.op("Transpose", parts[1], perm=[0, 1, 3, 2])), bias)
        mixed = g.op("MatMul", g.op("Softmax", scores, axis=-1), parts[2])
        rows = g.op("Reshape", g.op("Transpose", mixed, perm=[0, 2, 1, 3]), flat)
        x = norm(g.op("Add", x, _dense(linear, rows, f"{at}.out", state)), f"{at}.norm_1")
        inner = g.op("Gelu", _dense(linear, x, f"{at}.up", state))
        x = norm(g.op("Add", x, _dense(linear, inner, f"{at}.down", state)), f"{at}.norm_2")
    shape = g.op("Concat", n, tokens, g.const("width", np.array([width])), axis=0)
    kept = g.op("Unsqueeze", keep, last)
    axis = g.const("tokens_axis", np.array([1]))
    total = g.op("ReduceSum", g.op("Mul", g.op("Reshape", x, shape), kept), axis, keepdims=0)
    pooled = g.op("Div", total, g.op("ReduceSum", kept, axis, keepdims=0))
    head, offset = (_f32(state[f"head.{kind}"]) / np.float32(temperature) for kind in ("weight", "bias"))
    g.nodes.append(
        helper.make_node(
            "Gemm", [pooled, g.const("head.weight", head), g.const("head.bias", offset)], ["logits"], "head", transB=1
        )
    )
    return _serialise(g, labels=len(offset))


def _f32(value: Any) -> Array:
    return np.asarray(value, np.float32)


def _dense(linear: Linear, x: str, name: str, state: Mapping[str, Array]) -> str:
    return linear(linear.take(x), name, state[f"{name}.weight"].T, state[f"{name}.bias"])


def _embed(g: Graph, state: Mapping[str, Array], tokens: str, *, int8: bool) -> str:
    """Return the sum of word and position embeddings [n, tokens, width]; words have a scale for each row."""
    table = _f32(state["words.weight"])
    if int8:
        scale = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12) / 127.0
        values = g.op("Gather", g.const("words.weight", np.rint(table / scale).astype(np.int8)), "input_ids")
        scales = g.op("Gather", g.const("words.scale", _f32(scale)), "input_ids")
        words = g.op("Mul", g.op("Cast", values, to=TensorProto.FLOAT), scales)
    else:
        words = g.op("Gather", g.const("words.weight", table), "input_ids")
    first = g.const("zero", np.array([0]))
    positions = g.op("Slice", g.const("positions.weight", _f32(state["positions.weight"])), first, tokens, first)
    return g.op("Add", words, positions)


def _serialise(g: Graph, labels: int) -> bytes:
    tokens = ["n", "tokens"]
    graph = helper.make_graph(
        g.nodes,
        "sentiment",
        [helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", labels])],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in g.weights.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="tradingd"
    )
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def keep_words(tokenizer: Mapping[str, Any], seen: Iterable[int], whole: int) -> list[int]:
    """Return the rows of the vocabulary to keep, ascending.

    Kept are the special tokens, every single character and every word piece (so that whatever had tokens before has
    tokens after), the tokens ``seen`` in training, and the first ``whole`` words in the vocabulary's own order, which
    is that of their frequency in English. The words that go are spelt in pieces. Unused rows go.
    """
    vocabulary: Mapping[str, int] = tokenizer["model"]["vocab"]
    keep = {vocabulary[token] for token in SPECIAL} | set(seen)
    words = 0
    for token, row in sorted(vocabulary.items(), key=lambda item: item[1]):
        if token.startswith("[") and len(token) > 1:
            continue
        if token.startswith("##") or len(token) == 1:
            keep.add(row)
        elif words < whole:
            words += 1
            keep.add(row)
    return sorted(keep)


def trim(tokenizer: Mapping[str, Any], kept: Sequence[int], tokens_max: int) -> dict[str, Any]:
    """Return a tokenizer of the kept rows, renumbered in their order, that cuts at ``tokens_max`` and does not pad."""
    new = {row: i for i, row in enumerate(kept)}
    vocabulary = {token: new[row] for token, row in tokenizer["model"]["vocab"].items() if row in new}
    specials = {
        name: {**entry, "ids": [vocabulary[token] for token in entry["tokens"]]}
        for name, entry in tokenizer["post_processor"]["special_tokens"].items()
    }
    return {
        **tokenizer,
        "truncation": {"max_length": tokens_max, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": None,
        "added_tokens": [{**entry, "id": vocabulary[entry["content"]]} for entry in tokenizer["added_tokens"]],
        "post_processor": {**tokenizer["post_processor"], "special_tokens": specials},
        "model": {
            **tokenizer["model"],
            "vocab": dict(sorted(vocabulary.items(), key=lambda item: item[1])),
        },
    }


def tokenizer_json(tokenizer: Mapping[str, Any]) -> bytes:
    """Return the bytes of a tokenizer file, one token a line."""
    return (json.dumps(tokenizer, ensure_ascii=False, indent=1) + "\n").encode()
