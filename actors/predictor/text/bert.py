"""BERT classifiers from their weights to ONNX, in float32 or eight bits, with numpy alone.

FinBERT is published as weights (``model.safetensors``) with a description of the network (``config.json``). The network
is the one of Devlin et al. (2019), so the graph is written here, operator by operator from the standard set: no torch,
no exporter whose version decides the result, and the same weights give the same bytes.

Eight bits: weights are int8 with a scale for each output column, activations are quantised while the graph runs, with a
scale for each token. Weights use seven of the eight bits: on processors without VNNI the sum of two products of eight
bits can exceed the 16 bits it is held in, and the answer would depend on the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.predictor.text.graph import Graph
from daemon.kernel.errors import OperatorError

Array = npt.NDArray[Any]
Weights = Mapping[str, Array]

OPSET: Final = 20
"""The first with an operator for GELU."""
INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
OUTPUT: Final = "logits"
WEIGHT_MAX: Final = 63
ACTIVATION_MAX: Final = 127
_FAR: Final = 1e4
"""What is taken from the score of a masked token; after the softmax nothing is left of it."""


class BertConfig(msgspec.Struct, frozen=True):
    """What ``config.json`` says of the network; other fields are of no account to the answer."""

    model_type: str
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    vocab_size: int
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    position_embedding_type: str = "absolute"
    type_vocab_size: int = 2


def read_config(raw: Mapping[str, Any], where: str) -> BertConfig:
    """Return the network a ``config.json`` describes.

    Raises:
        OperatorError: ``MODEL_CONFIG``, a field is missing, or it is not the network written here.
    """
    try:
        config = msgspec.convert(raw, BertConfig)
    except msgspec.ValidationError as error:
        raise OperatorError(f"{where} cannot be used: {error}", code="MODEL_CONFIG", remedy=_EXPORT) from None
    expected = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for field, value in expected.items():
        if (said := getattr(config, field)) != value:
            raise OperatorError(
                f"{where} says {field} {str(said)[:40]!r}; only {value!r} is converted here",
                code="MODEL_CONFIG",
                remedy=_EXPORT,
            )
    sizes = (config.hidden_size, config.num_hidden_layers, config.num_attention_heads, config.intermediate_size)
    if min(sizes) < 1 or config.hidden_size % config.num_attention_heads or max(sizes) > 16_384:
        raise OperatorError(f"{where} says sizes that fit no network: {sizes}", code="MODEL_CONFIG")
    if not 0.0 < config.layer_norm_eps < 1.0:
        raise OperatorError(
            f"{where} says layer_norm_eps {config.layer_norm_eps}, not a little above 0", code="MODEL_CONFIG"
        )
    return config


_EXPORT: Final = "export the model to ONNX where it was trained, and import that"


class _Writer:
    """Writes the parts of a network into a graph."""

    def __init__(self, weights: Weights, config: BertConfig, where: str, *, int8: bool) -> None:
        self.g = Graph()
        self.config = config
        self._weights = weights
        self._where = where
        self._int8 = int8

    def take(self, name: str, *shape: int) -> Array:
        """Return a weight as float32 once its shape is right."""
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        found = self._weights.get(name, self._weights.get(old))
        if found is None:
            raise OperatorError(f"{self._where} has no tensor {name}", code="MODEL_WEIGHTS", remedy=_EXPORT)
        if found.shape != shape:
            raise OperatorError(
                f"{self._where}: the tensor {name} is {list(found.shape)}, but config.json says {list(shape)}",
                code="MODEL_WEIGHTS",
            )
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            value = found.astype(np.float32, copy=False)
        if not np.isfinite(value).all():
            raise OperatorError(f"{self._where}: the tensor {name} holds what is no number", code="MODEL_WEIGHTS")
        return value

    def norm(self, x: str, name: str) -> str:
        """Return ``x`` normalised over its last axis."""
        width = self.config.hidden_size
        weight = self.g.const(f"{name}.weight", self.take(f"{name}.weight", width))
        bias = self.g.const(f"{name}.bias", self.take(f"{name}.bias", width))
        return self.g.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=self.config.layer_norm_eps)

    def table(self, name: str, rows: int, indices: str) -> str:
        """Return the rows of an embedding table; in eight bits with a scale for each row."""
        g, width = self.g, self.config.hidden_size
        table = self.take(name, rows, width)
        if not self._int8:
            return g.op("Gather", g.const(name, table), indices)
        scale = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12).astype(np.float32) / np.float32(127.0)
        values = g.op("Gather", g.const(name, np.rint(table / scale).astype(np.int8)), indices)
        scales = g.op("Gather", g.const(f"{name}.scale", scale), indices)
        return g.op("Mul", g.op("Cast", values, to=1), scales)

    def linear(self, x: str, name: str, columns: int, rows: int) -> str:
        """Return ``x [tokens, rows]`` times a weight plus its bias."""
        return self.product(x, name, self.take(f"{name}.weight", columns, rows).T, self.take(f"{name}.bias", columns))

    def product(self, x: str, name: str, matrix: Array, bias: Array) -> str:
        """Return ``x @ matrix + bias``."""
        g = self.g
        offset = g.const(f"{name}.bias", bias)
        if not self._int8:
            return g.op("Add", g.op("MatMul", x, g.const(f"{name}.weight", matrix)), offset)
        values, scale = quantise(matrix)
        rows, steps = self._quantised(x)
        middle = g.const("middle", np.array(128, np.uint8))
        whole = g.op("MatMulInteger", rows, g.const(f"{name}.weight", values), middle)
        scaled = g.op("Mul", g.op("Mul", g.op("Cast", whole, to=1), steps), g.const(f"{name}.scale", scale))
        return g.op("Add", scaled, offset)

    def _quantised(self, x: str) -> tuple[str, str]:
        """Return ``x [tokens, width]`` as uint8 around 128, and the step of each token ``[tokens, 1]``."""
        g, last = self.g, self.g.const("last", np.array([-1]))
        largest = g.op("ReduceMax", g.op("Abs", x), last, keepdims=0)
        tiny = g.const("tiny", np.array(1e-9, np.float32))
        step = g.op("Mul", g.op("Max", largest, tiny), g.const("per_step", np.array(1.0 / ACTIVATION_MAX, np.float32)))
        zeros = g.op("Expand", g.const("middle", np.array(128, np.uint8)), g.op("Shape", step))
        return g.op("QuantizeLinear", x, step, zeros, axis=0), g.op("Unsqueeze", step, last)


def quantise(matrix: Array) -> tuple[Array, Array]:
    """Return int8 values and the float32 step of each column: ``matrix ~ values * step``, symmetric."""
    step = np.maximum(np.abs(matrix).max(axis=0), 1e-12) / WEIGHT_MAX
    return np.rint(matrix / step).astype(np.int8), step.astype(np.float32)


def write_bert(
    weights: Weights, config: BertConfig, labels: int, where: str, *, int8: bool, mean: bool = False
) -> bytes:
    """Return the graph of a BERT classifier: three ``int64 [n, tokens]`` inputs, ``float32 [n, labels]`` logits.

    Args:
        weights: by the names of ``transformers``' BertForSequenceClassification.
        config: the network.
        labels: columns of the answer.
        where: what a sentence calls the weights.
        int8: eight bits, else float32.
        mean: the classifier reads the mean over the tokens (``bert.pooler`` is not needed), not the pooled first one.

    Raises:
        OperatorError: ``MODEL_WEIGHTS``, a tensor is missing, of another shape, or holds what is no number.
    """
    w = _Writer(weights, config, where, int8=int8)
    g, width, heads = w.g, config.hidden_size, config.num_attention_heads
    flat = g.const("flat", np.array([-1, width]))
    n, tokens = (g.op("Shape", "input_ids", start=i, end=i + 1) for i in range(2))
    keep = g.op("Cast", "attention_mask", to=1)
    away = g.op("Sub", keep, g.const("one", np.array(1.0, np.float32)))
    far = g.op("Mul", away, g.const("far", np.array(_FAR, np.float32)))
    mask = g.op("Unsqueeze", far, g.const("middle_axes", np.array([1, 2])))
    x = g.op("Reshape", _embeddings(w, tokens), flat)
    x = w.norm(x, "bert.embeddings.LayerNorm")
    to_heads = g.op("Concat", n, tokens, g.const("heads", np.array([3 * heads, width // heads])), axis=0)
    for i in range(config.num_hidden_layers):
        x = _layer(w, x, f"bert.encoder.layer.{i}", mask, to_heads, flat)
    whole = g.op("Reshape", x, g.op("Concat", n, tokens, g.const("width", np.array([width])), axis=0))
    pooled = _mean(g, whole, keep) if mean else _first(w, whole)
    # The last product stays in float32: it is small, and its errors would go into the answer undiminished.
    matrix = g.const("classifier.weight", w.take("classifier.weight", labels, width))
    g.op("Gemm", pooled, matrix, g.const("classifier.bias", w.take("classifier.bias", labels)), output=OUTPUT, transB=1)
    return g.write(INPUTS, OUTPUT, labels, OPSET)


def _first(w: _Writer, whole: str) -> str:
    """Return the first token of ``[n, tokens, width]`` through the pooler."""
    g, width = w.g, w.config.hidden_size
    first = g.op("Gather", whole, g.const("first", np.array(0)), axis=1)
    return g.op("Tanh", w.linear(first, "bert.pooler.dense", width, width))


def _mean(g: Graph, whole: str, keep: str) -> str:
    """Return the mean over the tokens of ``[n, tokens, width]`` that are no padding."""
    counted = g.op("Unsqueeze", keep, g.const("last", np.array([-1])))
    axis = g.const("tokens_axis", np.array([1]))
    total = g.op("ReduceSum", g.op("Mul", whole, counted), axis, keepdims=0)
    return g.op("Div", total, g.op("ReduceSum", counted, axis, keepdims=0))


def _embeddings(w: _Writer, tokens: str) -> str:
    g, config, at = w.g, w.config, "bert.embeddings"
    words = w.table(f"{at}.word_embeddings.weight", config.vocab_size, "input_ids")
    places = w.take(f"{at}.position_embeddings.weight", config.max_position_embeddings, config.hidden_size)
    zero = g.const("zero", np.array([0]))
    positions = g.op("Slice", g.const(f"{at}.position_embeddings.weight", places), zero, tokens, zero)
    kinds = w.take(f"{at}.token_type_embeddings.weight", config.type_vocab_size, config.hidden_size)
    segments = g.op("Gather", g.const(f"{at}.token_type_embeddings.weight", kinds), "token_type_ids")
    return g.op("Add", g.op("Add", words, segments), positions)


def _layer(w: _Writer, x: str, at: str, mask: str, to_heads: str, flat: str) -> str:
    """Return what one layer makes of ``x [n * tokens, width]``."""
    g, config = w.g, w.config
    width, inner = config.hidden_size, config.intermediate_size
    names = [f"{at}.attention.self.{part}" for part in ("query", "key", "value")]
    matrix = np.concatenate([w.take(f"{name}.weight", width, width).T for name in names], axis=1)
    bias = np.concatenate([w.take(f"{name}.bias", width) for name in names])
    # The scores' division by the root of a head's width goes into the queries.
    root = np.float32(np.sqrt(width // config.num_attention_heads))
    matrix[:, :width] /= root
    bias[:width] /= root
    qkv = g.op("Reshape", w.product(x, f"{at}.attention.self.qkv", matrix, bias), to_heads)
    query, key, value = g.ops("Split", 3, g.op("Transpose", qkv, perm=[0, 2, 1, 3]), axis=1, num_outputs=3)
    scores = g.op("Add", g.op("MatMul", query, g.op("Transpose", key, perm=[0, 1, 3, 2])), mask)
    mixed = g.op("MatMul", g.op("Softmax", scores, axis=-1), value)
    rows = g.op("Reshape", g.op("Transpose", mixed, perm=[0, 2, 1, 3]), flat)
    out = w.linear(rows, f"{at}.attention.output.dense", width, width)
    x = w.norm(g.op("Add", x, out), f"{at}.attention.output.LayerNorm")
    middle = g.op("Gelu", w.linear(x, f"{at}.intermediate.dense", inner, width))
    down = w.linear(middle, f"{at}.output.dense", width, inner)
    return w.norm(g.op("Add", x, down), f"{at}.output.LayerNorm")


def random_weights(config: BertConfig, labels: int, seed: int) -> dict[str, Array]:
    """Return weights as a fresh network has them (normal, 0.02): for shapes and speed, not for meaning."""
    rng = np.random.default_rng(seed)
    width, inner = config.hidden_size, config.intermediate_size
    found: dict[str, Array] = {}

    def add(name: str, *shape: int) -> None:
        found[f"{name}.weight"] = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)

    def dense(name: str, columns: int, rows: int) -> None:
        add(name, columns, rows)
        found[f"{name}.bias"] = np.zeros(columns, np.float32)

    def norm(name: str) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = np.ones(width, np.float32), np.zeros(width, np.float32)

    add("bert.embeddings.word_embeddings", config.vocab_size, width)
    add("bert.embeddings.position_embeddings", config.max_position_embeddings, width)
    add("bert.embeddings.token_type_embeddings", config.type_vocab_size, width)
    norm("bert.embeddings.LayerNorm")
    for i in range(config.num_hidden_layers):
        at = f"bert.encoder.layer.{i}"
        for part in ("query", "key", "value"):
            dense(f"{at}.attention.self.{part}", width, width)
        dense(f"{at}.attention.output.dense", width, width)
        norm(f"{at}.attention.output.LayerNorm")
        dense(f"{at}.intermediate.dense", inner, width)
        dense(f"{at}.output.dense", width, inner)
        norm(f"{at}.output.LayerNorm")
    dense("bert.pooler.dense", width, width)
    dense("classifier", labels, width)
    return found
