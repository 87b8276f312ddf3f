"""Graphs that behave until a certain word comes: refused by how values flow, since nobody can try every text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actors.predictor.text.checks import check_model
from actors.predictor.text.flow import check_flow
from actors.predictor.text.graph import Graph, _bytes
from actors.predictor.text.wire import read_graph
from daemon.kernel.errors import OperatorError
from tests.text_support import model_onnx

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def flow(build: Callable[[Graph], object]) -> str:
    """Return what is wrong with how values flow in a graph."""
    g = Graph()
    build(g)
    return check_flow(read_graph(g.write(INPUTS, "logits", 3, 20)))


def hit(g: Graph, word: int = 1234) -> str:
    """Return one where a text has a certain word, else zero."""
    same = g.op("Cast", g.op("Equal", "input_ids", g.const("word", np.array(word))), to=7)
    return g.op("ReduceMax", same, g.const("axes", np.array([0, 1])), keepdims=0)


def count(g: Graph) -> str:
    """Return how many tokens a text has."""
    return g.op("Shape", "input_ids", start=1, end=2)


# Each takes the operand that says a size; the others are of no account.
SIZES: dict[str, Callable[[Graph, str], str]] = {
    "ConstantOfShape": lambda g, n: g.op("ConstantOfShape", n),
    "Expand": lambda g, n: g.op("Expand", "one", n),
    "Range start": lambda g, n: g.op("Range", n, "limit", "step"),
    "Range end": lambda g, n: g.op("Range", "zero", n, "step"),
    "Range step": lambda g, n: g.op("Range", "zero", "limit", n),
    "Reshape": lambda g, n: g.op("Reshape", "one", n),
    "Tile": lambda g, n: g.op("Tile", "one", n),
    "Slice start": lambda g, n: g.op("Slice", "one", n, "limit"),
    "Slice end": lambda g, n: g.op("Slice", "one", "zero", n),
    "Slice axes": lambda g, n: g.op("Slice", "one", "zero", "limit", n),
    "Slice steps": lambda g, n: g.op("Slice", "one", "zero", "limit", "zero", n),
    "Split": lambda g, n: g.op("Split", "one", n),
    "Squeeze": lambda g, n: g.op("Squeeze", "one", n),
    "Unsqueeze": lambda g, n: g.op("Unsqueeze", "one", n),
    "ReduceSum": lambda g, n: g.op("ReduceSum", "one", n),
    "ReduceMean": lambda g, n: g.op("ReduceMean", "one", n),
    "ReduceMax": lambda g, n: g.op("ReduceMax", "one", n),
    "ReduceMin": lambda g, n: g.op("ReduceMin", "one", n),
}


@pytest.mark.parametrize("name", SIZES)
def test_no_word_decides_how_large_an_answer_is(name: str) -> None:
    """A headline nobody has tried would ask for all the memory there is; the number of tokens is another matter."""
    wrong = flow(lambda g: SIZES[name](g, hit(g)))
    assert "how large" in wrong
    assert f"({name.split(maxsplit=1)[0]})" in wrong
    assert flow(lambda g: SIZES[name](g, count(g))) == ""
    assert flow(lambda g: SIZES[name](g, g.const("fixed", np.array([3])))) == ""
    assert flow(lambda g: SIZES[name](g, g.op("Cast", "attention_mask", to=7))) == ""  # ones, as many as tokens
    assert "how large" in flow(lambda g: SIZES[name](g, g.op("Cast", "token_type_ids", to=7)))  # a tokenizer's choice


def test_a_word_may_come_a_long_way() -> None:
    """Through what keeps it a value; a size of it is none any more."""

    def far(g: Graph) -> str:
        x = g.op("Gather", g.const("table", np.arange(5.0, dtype=np.float32)), hit(g))
        for _ in range(50):
            x = g.op("Where", "yes", "one", g.op("Softmax", g.op("Add", "one", x)))
        return x

    assert "how large" in flow(lambda g: g.op("Expand", "one", g.op("Cast", far(g), to=7)))
    assert flow(lambda g: g.op("Expand", "one", g.op("Shape", far(g)))) == ""
    assert flow(lambda g: g.op("Expand", "one", g.op("Size", far(g)))) == ""


def test_nodes_may_stand_in_any_order() -> None:
    """What reads a value may come before what makes it."""

    def build(g: Graph) -> None:
        g.op("Expand", "one", "later")
        g.op("Neg", "input_ids", output="later")

    assert "how large" in flow(build)


def test_values_are_used_as_often_as_one_likes() -> None:
    """Words may be looked up, compared and added."""

    def build(g: Graph) -> None:
        x = g.op("Gather", g.const("table", np.ones((9, 4), np.float32)), "input_ids")
        g.op("Concat", x, g.op("CumSum", x, "zero"), axis=0)
        g.op("Div", x, g.op("Sqrt", x))

    assert flow(build) == ""


# Under each, whether the words choose what is divided, and whether it could be the smallest whole number by minus one.
DIVISORS: dict[str, tuple[Callable[[Graph, str], str], bool]] = {
    "by what a word says": (lambda g, op: g.op(op, "seven", g.op("Sub", "seven", hit(g))), True),
    "what a word says by minus one": (lambda g, op: g.op(op, hit(g), g.const("less", np.array(-1))), True),
    "what a word says by nothing": (lambda g, op: g.op(op, hit(g), g.const("none", np.array([3, 0]))), True),
    "what a word says by a computed number": (lambda g, op: g.op(op, hit(g), count(g)), True),
    "what a word says by a fixed number": (lambda g, op: g.op(op, hit(g), g.const("two", np.array([2, 1]))), False),
    "by what a word says, in small whole numbers": (
        lambda g, op: g.op(op, "seven", g.op("Cast", g.op("Cast", hit(g), to=1), to=6)),
        True,
    ),
    "by a word looked up in whole numbers": (
        lambda g, op: g.op(op, "seven", g.op("Gather", g.const("whole", np.arange(-3, 3)), hit(g))),
        True,
    ),
    "by a chosen whole number": (
        lambda g, op: g.op(op, "seven", g.op("Where", g.op("Cast", hit(g), to=9), g.const("a", np.array(-1)), "b")),
        True,
    ),
    "by a size": (lambda g, op: g.op(op, count(g), count(g)), False),
    "by what a word says, in floating point": (lambda g, op: g.op(op, "x", g.op("Cast", hit(g), to=1)), False),
    "by a root": (lambda g, op: g.op(op, "x", g.op("Sqrt", g.op("Cast", hit(g), to=1))), False),
    "by a word looked up in floating point": (
        lambda g, op: g.op(op, "x", g.op("Gather", g.const("real", np.ones(3, np.float32)), hit(g))),
        False,
    ),
    "by a floating number raised to a whole one": (
        lambda g, op: g.op(op, "x", g.op("Pow", g.op("Cast", hit(g), to=1), g.const("square", np.array(2)))),
        False,
    ),
    "by a floating number made like another": (
        lambda g, op: g.op(op, "x", g.op("CastLike", hit(g), g.const("like", np.array(1.0, np.float32)))),
        False,
    ),
    "by a whole number made like another": (
        lambda g, op: g.op(op, "x", g.op("CastLike", g.op("Cast", hit(g), to=1), g.const("like", np.array(1)))),
        True,
    ),
    "by numbers that were quantised": (
        lambda g, op: g.op(op, "x", g.op("QuantizeLinear", g.op("Cast", hit(g), to=1), "step")),
        True,
    ),
    "by numbers that are quantised no more": (
        lambda g, op: g.op(op, "x", g.op("DequantizeLinear", hit(g), "step")),
        False,
    ),
    "by quantised numbers": (lambda g, op: g.op(op, "x", g.op("MatMulInteger", hit(g), "w")), True),
}


@pytest.mark.parametrize("op", ["Div", "Mod"])
@pytest.mark.parametrize("name", DIVISORS)
def test_no_word_chooses_whole_numbers_that_end_the_process(op: str, name: str) -> None:
    """The processor ends whoever divides -2**63 by -1; by zero onnxruntime refuses, and the text is lost."""
    build, traps = DIVISORS[name]
    wrong = flow(lambda g: build(g, op))
    assert ("divides" in wrong, f"({op})" in wrong) == (traps, traps)


@pytest.mark.parametrize("op", ["EmbedLayerNormalization", "QEmbedLayerNormalization"])
def test_what_a_fused_operator_counts_is_a_whole_number(op: str) -> None:
    """The second answer of an embedding is where its mask ends, negated a divisor; the first is in floating point."""

    def embedded(g: Graph, answer: int) -> str:
        names = g.ops(op, 2, "input_ids", "", "words", "places", "", "scale", "shift", hit(g))
        g._nodes[-1] += _bytes(7, b"com.microsoft")
        return g.op("Div", "lowest", g.op("Neg", names[answer]))

    assert "divides" in flow(lambda g: embedded(g, 1))
    assert flow(lambda g: embedded(g, 0)) == ""


FIRST = """
    Clip CumSum Dropout Expand Gather GatherElements GatherND Pow ReduceMax ReduceMean ReduceMin ReduceSum Reshape
    ScatterND Slice Split Squeeze Tile Trilu Unsqueeze
"""
WHOLE = (2, 3, 4, 5, 6, 7, 12, 13)


@pytest.mark.parametrize("op", FIRST.split())
def test_an_answer_is_of_the_kind_of_what_it_is_made_of(op: str) -> None:
    """Whole numbers stay whole; what says where, how large or how often makes none of floating ones."""

    def whole(g: Graph) -> str:
        return g.op("Div", "seven", g.op(op, hit(g), g.const("fixed", np.array([1]))))

    def floating(g: Graph) -> str:
        real = g.op("Cast", hit(g), to=1)
        return g.op("Div", "seven", g.op(op, real, g.const("fixed", np.array([1])), g.const("more", np.array([1]))))

    assert "divides" in flow(whole)
    assert "divides" not in flow(floating)


@pytest.mark.parametrize("op", ["Add", "Concat", "Max", "Mul", "Neg", "Identity", "Transpose", "Abs", "Sub", "Sum"])
def test_of_other_operators_any_input_makes_whole_numbers(op: str) -> None:
    """What is not known is taken for the worse."""
    assert "divides" in flow(lambda g: g.op("Div", "seven", g.op(op, "x", hit(g))))
    assert "divides" in flow(lambda g: g.op("Div", "seven", g.op(op, hit(g))))
    assert flow(lambda g: g.op("Div", "x", g.op(op, "x", g.op("Cast", hit(g), to=1)))) == ""


@pytest.mark.parametrize(
    ("kind", "whole"),
    [
        (1, False),
        (9, False),
        (10, False),
        (11, False),
        (16, False),
        *((kind, True) for kind in (2, 3, 4, 5, 6, 7, 12, 13)),
    ],
)
def test_what_is_cast_is_of_that_kind(kind: int, whole: bool) -> None:
    """Floating numbers, yes and no, and whole ones of every width."""
    assert ("divides" in flow(lambda g: g.op("Div", "seven", g.op("Cast", hit(g), to=kind)))) == whole


@pytest.mark.parametrize(
    ("inputs", "chance"),
    [
        (("x",), False),
        (("x", "ratio"), False),
        (("x", "ratio", ""), False),
        (("x", "ratio", "off"), False),
        (("x", "ratio", "on"), True),
        (("x", "ratio", "computed"), True),
        (("x", "", "attention_mask"), True),
    ],
)
def test_nothing_is_left_out_by_chance(inputs: tuple[str, ...], chance: bool) -> None:
    """A text would have another answer each time, a little or not at all on the day it was tried."""

    def build(g: Graph) -> None:
        g.const("ratio", np.array(0.1, np.float32))
        g.const("off", np.array(0))
        g.const("on", np.array(1))
        g.op("Cast", "on", to=9, output="computed")
        g.op("Dropout", *inputs)

    assert ("by chance" in flow(build)) == chance


def test_a_graph_of_many_edges_is_looked_at_once() -> None:
    """A million readers of one value take a second, not a day."""

    def build(g: Graph) -> None:
        g.op("Gather", "x", *["input_ids"] * 300_000)
        g.op("Concat", *["x"] * 300_000, output="x")
        g.ops("Concat", 300_000, *["input_ids"] * 300_000)  # twenty minutes, when each looked at all that is answered

    assert flow(build) == ""


def test_it_is_asked_before_a_model_is_loaded() -> None:
    """With the file and the node in its sentence, bounded, whatever the node is called."""
    g = Graph()
    g.op("Expand", "one", hit(g), output="logits")
    data = g.write(INPUTS, "logits", 3, 20)
    with pytest.raises(OperatorError) as caught:
        check_model(data, Path("m/model.onnx"))
    assert caught.value.code == "MODEL_OPERATOR"
    assert caught.value.message.startswith("m/model.onnx lets the words")
    check_model(model_onnx(), Path("model.onnx"))
    check_model(model_onnx(int8=False), Path("model.onnx"))


def test_an_attribute_stands_once() -> None:
    """Else what is cast to, or how a constant looks, would be what the last reader takes."""
    to = _bytes(5, _bytes(1, b"to") + b"\x18\x07")
    node = _bytes(1, b"x") + _bytes(4, b"Cast") + to
    read_graph(_bytes(7, _bytes(1, node)))
    with pytest.raises(ValueError, match="'to' twice"):
        read_graph(_bytes(7, _bytes(1, node + to)))
