"""What of a graph may depend on the words that are asked: its answers, and neither sizes, chance nor a trap.

A model is tried before it is used, but nobody can try every text. So what is tried must hold for all texts: how much
memory and time a graph takes may depend on the number of tokens, each of which is tried, and on nothing else of a text.
Else a word nobody has tried could make it ask for all memory there is, or end the process: the processor ends whoever
divides the smallest whole number by minus one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from actors.predictor.text.plain import shown
from actors.predictor.text.wire import INT64, Graph, Node, Tensor

CHOSEN: Final = frozenset({"input_ids", "token_type_ids"})
"""Inputs whose values a text chooses, with the tokenizer that came beside the graph; the mask is ones, one a token."""
_SIZES_AT: Final[Mapping[str, tuple[int, ...]]] = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Range": (0, 1, 2),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceMin": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "Unsqueeze": (1,),
}
"""Inputs that say how large an answer is, by operator."""
_MEASURES: Final = frozenset({"Shape", "Size"})
"""Their answers follow from sizes, not from values."""
_DIVISIONS: Final = frozenset({"Div", "Mod"})
_TRAINING_AT: Final = 2
"""Input of ``Dropout`` that turns it on."""

_WHOLE_TYPES: Final = frozenset({2, 3, 4, 5, 6, 7, 12, 13})
_MAKES_WHOLE: Final = frozenset({"Shape", "Size", "QuantizeLinear", "MatMulInteger", "QLinearMatMul"})
_REAL: Final = """
    Attention DequantizeLinear DynamicQuantizeLinear Equal Erf Exp Gelu Greater GreaterOrEqual IsInf IsNaN
    LayerNormalization Less LessOrEqual Log Not Or And Xor Reciprocal RMSNormalization Sigmoid Softmax Sqrt Tanh
"""
_MAKES_REAL: Final = frozenset(_REAL.split())
"""Answers in floating point, yes and no, or of eight bits, whose division is no trap."""
_COUNTING: Final = frozenset({"EmbedLayerNormalization", "QEmbedLayerNormalization"})
"""Fused operators whose second answer is a whole number: where a mask ends."""
_TYPE_FROM: Final[Mapping[str, int]] = {
    "CastLike": 1,
    "Clip": 0,
    "CumSum": 0,
    "Dropout": 0,
    "Expand": 0,
    "Gather": 0,
    "GatherElements": 0,
    "GatherND": 0,
    "Pow": 0,
    "ReduceMax": 0,
    "ReduceMean": 0,
    "ReduceMin": 0,
    "ReduceSum": 0,
    "Reshape": 0,
    "ScatterND": 0,
    "Slice": 0,
    "Split": 0,
    "Squeeze": 0,
    "Tile": 0,
    "Trilu": 0,
    "Unsqueeze": 0,
}
"""The input whose kind of number the answer has; of operators not named here any."""


def check_flow(graph: Graph) -> str:
    """Return what of a graph no trial could stand for, as the end of a sentence, or nothing."""
    constants = _constants(graph)
    asked = _reached(graph, set(CHOSEN), lambda node, _: node.op not in _MEASURES)
    whole = _whole(graph, constants)
    for node in graph.nodes:
        name = shown(node.name or node.op)
        for i in _SIZES_AT.get(node.op, ()):
            if i < len(node.inputs) and node.inputs[i] in asked:
                return f"lets the words of a text say how large the answer of the node {name} ({node.op}) is"
        if node.op in _DIVISIONS and _may_trap(node, asked, whole, constants):
            return f"lets the words of a text choose what whole numbers the node {name} ({node.op}) divides"
        if node.op == "Dropout" and len(node.inputs) > _TRAINING_AT and node.inputs[_TRAINING_AT]:
            training = constants.get(node.inputs[_TRAINING_AT])
            if training is None or bool(training.values().any()):
                return f"leaves out numbers by chance in the node {name} (Dropout with training_mode)"
    return ""


def _may_trap(node: Node, asked: set[str], whole: set[str], constants: Mapping[str, Tensor]) -> bool:
    """Whether a text might choose whole numbers whose division the processor refuses."""
    over, under = (*node.inputs, "", "")[:2]
    if under not in whole or not {over, under} & asked:
        return False
    known = constants.get(under)
    return known is None or bool((known.values().astype(np.int64) <= 0).any())


def _constants(graph: Graph) -> dict[str, Tensor]:
    """Return what is the same at every call, by name: initializers and the tensors of ``Constant``."""
    found = {tensor.name: tensor for tensor in graph.constants}
    for node in graph.nodes:
        if node.op == "Constant" and node.outputs and node.tensors:
            found[node.outputs[0]] = node.tensors[0]
    return found


def _whole(graph: Graph, constants: Mapping[str, Tensor]) -> set[str]:
    """Return the names of values that may be whole numbers."""
    begin = {name for name, tensor in constants.items() if tensor.type in _WHOLE_TYPES}
    begin |= {value.name for value in graph.inputs if value.type == INT64}
    for node in graph.nodes:
        said = {tensor.type for tensor in node.tensors}
        if (
            node.op in _MAKES_WHOLE
            or (node.op == "Cast" and not _WHOLE_TYPES.isdisjoint(node.told.get("to", ())))
            or (node.op == "Constant" and node.integers)
            or (node.op == "ConstantOfShape" and said & _WHOLE_TYPES)
        ):
            begin.update(node.outputs)
        elif node.op in _COUNTING:
            begin.update(node.outputs[1:2])
    return _reached(graph, begin, _keeps_kind)


def _keeps_kind(node: Node, i: int) -> bool:
    """Whether the answer of a node has the kind of number of its input ``i``."""
    if node.domain.startswith("com.") or node.op in _MAKES_REAL or node.op in {"Cast", "Constant", "ConstantOfShape"}:
        return False
    if node.op == "Where":
        return i > 0
    return _TYPE_FROM.get(node.op, i) == i


def _reached(graph: Graph, begin: set[str], passes: Callable[[Node, int], bool]) -> set[str]:
    """Return the names of all values to which something comes from those it begins with; each edge is gone once."""
    readers: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for at, node in enumerate(graph.nodes):
        for i, name in enumerate(node.inputs):
            readers[name].append((at, i))
    found, todo, told = set(begin), list(begin), set[int]()
    while todo:
        for at, i in readers.get(todo.pop(), ()):
            node = graph.nodes[at]
            if at not in told and passes(node, i):
                told.add(at)  # its answers are looked at once, however many of its inputs something comes to
                fresh = [output for output in node.outputs if output not in found]
                found.update(fresh)
                todo += fresh
    found.discard("")  # an input or output that is left out has no name
    return found
