"""What the graph of a price model must be before onnxruntime sees it: the reader of text models looks at it, too."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from actors.predictor.models.manifest import ModelManifest
from actors.predictor.text.checks import check_tensor, names_of, opset_of, tensors_of
from actors.predictor.text.plain import refuse, shown
from actors.predictor.text.wire import WireError, read_graph

DOMAINS: Final = ("", "ai.onnx", "ai.onnx.ml")
CHANCE: Final = frozenset(
    ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
)


def check_price_model(data: bytes, manifest: ModelManifest, path: Path) -> None:
    """Refuse a file whose graph is not what its manifest says, or may not be loaded at all.

    Raises:
        OperatorError: ``MODEL_FORMAT``, ``MODEL_EXTERNAL``, ``MODEL_SIZE``, ``MODEL_WEIGHTS``, ``MODEL_OPSET``,
            ``MODEL_OPERATOR`` or ``MODEL_SCHEMA``.
    """
    try:
        graph = read_graph(data)
    except WireError as error:
        refuse(path, f"is no ONNX model that can be checked: {error}", "MODEL_FORMAT")
    for tensor in tensors_of(graph):
        check_tensor(tensor, path)
    learned = max((version for domain, version in graph.opsets if domain == "ai.onnx.ml"), default=0)
    if opset_of(graph) != manifest.opset or learned > manifest.opset_ml:
        said = f"opset and opset_ml of its manifest say {manifest.opset} and {manifest.opset_ml}"
        refuse(path, f"is written in opset {opset_of(graph)} and {learned}, but {said}", "MODEL_OPSET")
    for node in graph.nodes:
        if node.domain not in DOMAINS:
            foreign = f"{shown(node.op)} of the foreign domain {shown(node.domain)}"
            refuse(path, f"uses the operator {foreign}", "MODEL_OPERATOR")
        if node.op in CHANCE:
            refuse(path, f"uses the operator {node.op}: the same row would have another answer", "MODEL_OPERATOR")
        if np.isnan(node.numbers).any():
            refuse(path, f"has an attribute that is no number in the node {shown(node.name)}", "MODEL_WEIGHTS")
    if manifest.output not in {value.name for value in graph.outputs}:
        said = f"but output of its manifest says {shown(manifest.output)[1:-1]}"
        refuse(path, f"gives {names_of(graph.outputs)}, {said}", "MODEL_SCHEMA")
