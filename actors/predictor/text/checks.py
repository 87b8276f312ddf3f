"""What a model file must be before onnxruntime sees it, and before anybody believes an answer of it.

In order: plain files of bounded size, their digests, the file's own structure (``wire``), operators, sizes, weights,
inputs and outputs. Each refusal is one sentence that names the file and the field.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from actors.predictor.text.flow import check_flow
from actors.predictor.text.manifest import MODEL, TOKENIZER, TextManifest
from actors.predictor.text.plain import read_plain, refuse, shown
from actors.predictor.text.wire import FLOAT, INT64, TYPE_NAMES, Graph, Tensor, Value, WireError, read_graph
from daemon.kernel.errors import OperatorError

MIB: Final = 1024 * 1024
SIZES_MAX: Final[Mapping[str, int]] = {MODEL: 512 * MIB, TOKENIZER: 16 * MIB}
"""BERT-base in float32 has 418 MiB; a tokenizer of 30,000 words 0.5 MiB."""
OTHER_MAX: Final = 512 * MIB
OPSETS: Final = (11, 23)
"""First and last version of the standard operators that is let in: what onnxruntime 1.23 and later run."""
NODES_MAX: Final = 20_000
ELEMENTS_MAX: Final = 256 * 1024 * 1024
"""Of one tensor, or of what a constant says a tensor shall be."""

_STANDARD: Final = """
    Abs Add And Attention Cast CastLike Ceil Clip Concat Constant ConstantOfShape CumSum DequantizeLinear Div Dropout
    DynamicQuantizeLinear Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm Greater
    GreaterOrEqual Identity IsInf IsNaN LayerNormalization Less LessOrEqual Log MatMul MatMulInteger Max Min Mod Mul Neg
    Not Or Pow QLinearMatMul QuantizeLinear Range Reciprocal ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape
    RMSNormalization Round ScatterND Shape Sigmoid Sign Size Slice Softmax Split Sqrt Squeeze Sub Sum Tanh Tile
    Transpose Trilu Unsqueeze Where Xor
"""
_MICROSOFT: Final = """
    Attention BiasGelu DynamicQuantizeMatMul EmbedLayerNormalization FastGelu FusedMatMul Gelu MatMulIntegerToFloat
    MultiHeadAttention QAttention QEmbedLayerNormalization QuickGelu SkipLayerNormalization
"""
OPERATORS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset(_STANDARD.split()),
    "ai.onnx": frozenset(_STANDARD.split()),
    "com.microsoft": frozenset(_MICROSOFT.split()),
}
"""By domain: what encoders are written in, and onnxruntime's own fused forms of it. No loops, branches or random
numbers; nothing that reads, and no domain that needs a library of somebody's."""

_FORMATS: Final = {
    b"\x80": "a pickle",
    b"PK": "a zip archive (a PyTorch file is one)",
    b"\x1f\x8b": "gzip",
    b"\x89HDF": "HDF5",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself",
    b"<": "a web page",
    b"{": "JSON",
}


def read_verified(folder: Path, name: str, digest: str) -> bytes:
    """Return a file's bytes once they are what the manifest says; nothing has parsed them.

    Raises:
        OperatorError: missing, a link or no plain file, too large, or another digest.
    """
    data = read_plain(folder / name, SIZES_MAX.get(name, OTHER_MAX))
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise OperatorError(
            f"{folder / name} has the SHA-256 {found[:12]}… but files of its manifest says {digest[:12]}…",
            code="MODEL_DIGEST",
            remedy="import or fetch it again; a file that is not what it was tested as is never loaded",
        )
    return data


def check_model(data: bytes, path: Path) -> Graph:
    """Return what a model file says, if it may be loaded at all.

    Raises:
        OperatorError: ``MODEL_FORMAT``, ``MODEL_EXTERNAL``, ``MODEL_OPSET``, ``MODEL_OPERATOR``, ``MODEL_SIZE`` or
            ``MODEL_WEIGHTS``.
    """
    try:
        graph = read_graph(data)
    except WireError as error:
        for start, what in _FORMATS.items():
            if data.startswith(start):
                refuse(path, f"is {what}, no ONNX model", "MODEL_FORMAT", "only ONNX and safetensors are read")
        refuse(path, f"is no ONNX model that can be checked: {error}", "MODEL_FORMAT")
    for tensor in tensors_of(graph):
        check_tensor(tensor, path)
    _check_operators(graph, path)
    _check_sizes(graph, path)
    wrong = check_flow(graph)
    if wrong:
        refuse(path, wrong, "MODEL_OPERATOR")
    return graph


def check_schema(graph: Graph, manifest: TextManifest, path: Path) -> None:
    """Refuse a graph that does not take and give what the manifest says.

    Raises:
        OperatorError: ``MODEL_OPSET`` or ``MODEL_SCHEMA``.
    """
    opset = opset_of(graph)
    if opset != manifest.opset:
        refuse(path, f"is written in opset {opset}, but opset of its manifest says {manifest.opset}", "MODEL_OPSET")
    inputs = inputs_of(graph)
    if sorted(value.name for value in inputs) != sorted(manifest.inputs):
        refuse(
            path,
            f"takes {names_of(inputs)}, but inputs of its manifest says {', '.join(manifest.inputs)}",
            "MODEL_SCHEMA",
        )
    for value in inputs:
        check_input(value, path)
    found = [value for value in graph.outputs if value.name == manifest.output]
    if not found:
        said = f"but output of its manifest says {manifest.output}"
        refuse(path, f"gives {names_of(graph.outputs)}, {said}", "MODEL_SCHEMA")
    check_output(found[0], path)


def check_input(value: Value, path: Path) -> None:
    """Refuse an input that is not ``int64 [n, tokens]`` with both sizes free."""
    if value.type != INT64 or value.dims != (None, None):
        refuse(path, f"takes {_shown(value)}, not int64 [n, tokens] with both sizes free", "MODEL_SCHEMA")


def check_output(value: Value, path: Path) -> None:
    """Refuse an output that is not ``float32 [n, 3]``."""
    if value.type != FLOAT or len(value.dims) != 2 or value.dims[0] is not None or value.dims[1] not in {None, 3}:
        refuse(path, f"gives {_shown(value)}, not float32 [n, 3]: one logit for each of three tones", "MODEL_SCHEMA")


def inputs_of(graph: Graph) -> list[Value]:
    """Return what must be fed: inputs that are no constants (old files list those, too)."""
    constant = {tensor.name for tensor in graph.constants}
    return [value for value in graph.inputs if value.name not in constant]


def names_of(values: Iterable[Value]) -> str:
    """Return what values are called, as a sentence says it."""
    names = [shown(value.name)[1:-1] for value in values]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "") or "nothing"


_NAMED: Final = 8


def opset_of(graph: Graph) -> int:
    """Return the version of the standard operators."""
    return max((version for domain, version in graph.opsets if domain in {"", "ai.onnx"}), default=0)


def tensors_of(graph: Graph) -> list[Tensor]:
    """Return every constant of a graph, those within nodes included."""
    return [*graph.constants, *(tensor for node in graph.nodes for tensor in node.tensors)]


def check_tensor(tensor: Tensor, path: Path) -> None:
    """Refuse a constant that lies in another file, is huge, or holds what is no number."""
    if tensor.external:
        refuse(
            path,
            f"keeps the tensor {shown(tensor.name)} in a file of its own (external_data)",
            "MODEL_EXTERNAL",
            "export it as one file",
        )
    if tensor.size > ELEMENTS_MAX:
        refuse(path, f"has the tensor {shown(tensor.name)} of {tensor.size:,} elements", "MODEL_SIZE")
    values = tensor.values()
    if values.dtype.kind != "f":
        return
    # A mask may be one constant of minus infinity; in a table of weights infinity is as broken as NaN.
    fine = np.isfinite(values).all() if values.size > 1 else not np.isnan(values).any()
    if not fine:
        refuse(path, f"has weights that are no numbers in the tensor {shown(tensor.name)}", "MODEL_WEIGHTS")


def _check_operators(graph: Graph, path: Path) -> None:
    opset = opset_of(graph)
    if not OPSETS[0] <= opset <= OPSETS[1]:
        refuse(path, f"is written in opset {opset}; {OPSETS[0]} to {OPSETS[1]} are known", "MODEL_OPSET")
    if len(graph.nodes) > NODES_MAX:
        refuse(path, f"has {len(graph.nodes):,} nodes; at most {NODES_MAX:,}", "MODEL_SIZE")
    for node in graph.nodes:
        known = OPERATORS.get(node.domain)
        if known is None:
            refuse(
                path, f"uses the operator {shown(node.op)} of the foreign domain {shown(node.domain)}", "MODEL_OPERATOR"
            )
        if node.op not in known:
            refuse(path, f"uses the operator {shown(node.op)}, which no text model needs", "MODEL_OPERATOR")
        if np.isnan(node.numbers).any():
            refuse(path, f"has an attribute that is no number in the node {shown(node.name)}", "MODEL_WEIGHTS")


def _check_sizes(graph: Graph, path: Path) -> None:
    """Refuse constants that tell an operator to make something huge out of nothing."""
    constant = {tensor.name: _integers(tensor) for tensor in graph.constants}
    for node in graph.nodes:
        if node.op == "Constant" and node.outputs:
            told = [number for tensor in node.tensors for number in _integers(tensor)]
            constant[node.outputs[0]] = told or list(node.integers[:_RANK])
    for node in graph.nodes:
        for name in node.inputs[_SHAPE_AT.get(node.op, len(node.inputs)) :]:
            sizes = constant.get(name, [])
            if math.prod(max(abs(size), 1) for size in sizes) > ELEMENTS_MAX:
                refuse(path, f"tells the node {shown(node.name or node.op)} to make {sizes}", "MODEL_SIZE")
    for value in (*graph.inputs, *graph.outputs, *graph.values):
        sizes = [size for size in value.dims if size is not None]
        if (
            len(value.dims) > _RANK
            or min(sizes, default=0) < 0
            or math.prod(size or 1 for size in sizes) > ELEMENTS_MAX
        ):
            refuse(path, f"declares {_shown(value)}", "MODEL_SIZE")


_RANK: Final = 16
"""Most sizes a tensor has; longer lists of integers are none."""
_SHAPE_AT: Final = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1, "Range": 0}


def _integers(tensor: Tensor) -> list[int]:
    """Return the numbers of a constant that may say sizes."""
    return [int(size) for size in tensor.values()] if tensor.type == INT64 and tensor.size <= _RANK else []


def _shown(value: Value) -> str:
    sizes = ", ".join("free" if size is None else str(size) for size in value.dims[:_NAMED])
    return f"{shown(value.name)[1:-1]} {TYPE_NAMES.get(value.type, 'no tensor')} [{sizes}]"
