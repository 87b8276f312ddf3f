"""The strict reader of ONNX files: it reads what others write, and refuses everything else without another error."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.predictor.text.graph import _bytes, _number, _varint
from actors.predictor.text.wire import NUMBERS_MAX, WireError, read_graph
from tests.text_support import model_onnx, weights

DATA = model_onnx(int8=False)


def of_tensor(*fields: bytes) -> bytes:
    """Return a model of one initializer with these fields."""
    return _bytes(7, _bytes(5, b"".join(fields)))


def only(data: bytes) -> np.ndarray:
    """Return the values of a model's only constant."""
    return read_graph(data).constants[0].values()


def test_it_reads_what_the_writer_wrote() -> None:
    """Names, sizes and numbers of every weight, inputs and outputs with their free sizes."""
    graph = read_graph(DATA)
    assert [(v.name, v.type, v.dims) for v in graph.inputs] == [
        (name, 7, (None, None)) for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    assert [(v.name, v.type, v.dims) for v in graph.outputs] == [("logits", 1, (None, 3))]
    assert graph.opsets == (("", 20),)
    found = {tensor.name: tensor for tensor in graph.constants}
    table = weights()["bert.embeddings.word_embeddings.weight"]
    assert found["bert.embeddings.word_embeddings.weight"].dims == table.shape
    np.testing.assert_array_equal(found["bert.embeddings.word_embeddings.weight"].values(), table.ravel())
    assert {node.op for node in graph.nodes} >= {"Gather", "MatMul", "Softmax", "Gelu", "LayerNormalization"}


def test_it_reads_what_onnx_and_onnxruntime_write(reference: Path) -> None:
    """A model quantised by onnxruntime: every tensor as the package onnx reads it."""
    onnx = pytest.importorskip("onnx")
    data = (reference / "model.onnx").read_bytes()
    theirs = onnx.load_from_string(data)
    ours = read_graph(data)
    assert [(n.op, n.domain, n.inputs, n.outputs) for n in ours.nodes] == [
        (n.op_type, n.domain, tuple(n.input), tuple(n.output)) for n in theirs.graph.node
    ]
    assert len(ours.constants) == len(theirs.graph.initializer) > 100
    for tensor, other in zip(ours.constants, theirs.graph.initializer, strict=True):
        assert (tensor.name, tensor.dims) == (other.name, tuple(other.dims))
        np.testing.assert_array_equal(tensor.values(), onnx.numpy_helper.to_array(other).ravel())


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([_number(1, 2), _number(2, 1), _bytes(4, np.array([1.5, -2], "<f4").tobytes())], [1.5, -2.0]),
        ([_number(1, 2), _number(2, 7), _number(7, 5), _number(7, -5)], [5, -5]),
        ([_number(1, 2), _number(2, 7), _number(7, 2**63 - 1), _number(7, -(2**63))], [2**63 - 1, -(2**63)]),
        ([_number(1, 2), _number(2, 7), _bytes(7, _varint(300) + _varint(-1))], [300, -1]),
        ([_bytes(1, _varint(2)), _number(2, 11), _bytes(10, np.array([1, 2], "<f8").tobytes())], [1.0, 2.0]),
        ([_number(1, 1), _number(2, 10), _number(5, 0x3C00)], [1.0]),  # float16 comes as its bits
        ([_number(1, 1), _number(2, 16), _bytes(9, b"\x80\x3f")], [1.0]),  # bfloat16: the upper half of a float32
        ([_number(1, 1), _number(2, 16), _number(5, 0x3F80)], [1.0]),
        ([_number(2, 1), _bytes(9, np.float32(7).tobytes())], [7.0]),  # no sizes: one number
        ([_bytes(1, b""), _number(2, 1), _bytes(9, np.float32(7).tobytes())], [7.0]),
        ([_number(1, 0), _number(2, 1)], []),
    ],
)
def test_numbers_come_in_every_form_of_the_standard(fields: list[bytes], expected: list[float]) -> None:
    """Raw, one by one, or as a run; worked out by hand from the encoding."""
    assert only(of_tensor(*fields)).tolist() == expected


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (1, "<f4"),
        (2, "u1"),
        (3, "i1"),
        (4, "<u2"),
        (5, "<i2"),
        (6, "<i4"),
        (7, "<i8"),
        (9, "?"),
        (10, "<f2"),
        (11, "<f8"),
    ],
)
def test_every_kind_of_number_comes_raw(kind: int, form: str) -> None:
    """As many bytes as it has, and neither one more nor one less."""
    values = np.array([1, 0, 1], form)
    fields = (_number(1, 3), _number(2, kind), _bytes(9, values.tobytes()))
    assert only(of_tensor(*fields)).tolist() == values.tolist()
    for data in (values.tobytes()[:-1], values.tobytes() + b"\0"):
        with pytest.raises(WireError, match="holds"):
            read_graph(of_tensor(*fields[:2], _bytes(9, data)))


@pytest.mark.parametrize("kind", [0, 8, 12, 13, 14, 15, 17, 18, 21, 22, 23, 99, 2**31])
def test_other_kinds_of_numbers_are_refused(kind: int) -> None:
    """Strings, complex numbers, and those of less than a byte."""
    with pytest.raises(WireError, match="elements of type"):
        read_graph(of_tensor(_number(1, 0), _number(2, kind)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no graph"),
        (_bytes(7, b"") * 2, "two graphs"),
        (_bytes(9, b""), "field 9"),
        (b"\x3a\xff\xff\xff\xff\x0f", "ends in the middle"),
        (b"\xff" * 20, "ends in the middle of a number"),
        (b"\x3b", "form 3"),  # a group, which ended with version 2 of the language
        (_number(7, 1), "form 0"),
        (_bytes(7, _bytes(15, b"")), "sparse"),
        (of_tensor(_number(1, -1), _number(2, 1)), "sizes"),
        (of_tensor(*[_number(1, 1)] * 9, _number(2, 1), _bytes(9, bytes(4))), "sizes"),
        (of_tensor(_number(2, 8), _bytes(6, b"x")), "strings"),
        (of_tensor(_number(2, 14), _bytes(9, bytes(8))), "complex64"),
        (of_tensor(_number(2, 1), _bytes(9, bytes(4)), _bytes(4, bytes(4))), "twice"),
        (of_tensor(_number(2, 1), _bytes(9, bytes(4)), _bytes(9, bytes(4))), "twice"),
        (of_tensor(_number(2, 1), _bytes(4, bytes(3))), "bytes of numbers"),
        (of_tensor(_number(1, 2), _number(2, 7), _number(7, 1)), "1 elements"),
        (of_tensor(_bytes(8, b"\xff")), "UTF-8"),
        (_bytes(7, _bytes(16, b"") * 2_000_001), "fields"),
    ],
)
def test_what_is_not_of_the_standard_is_refused(data: bytes, said: str) -> None:
    """One sentence each."""
    with pytest.raises(WireError, match=said):
        read_graph(data)


@pytest.mark.parametrize(
    ("fits", "said"),
    [
        (lambda n: of_tensor(*[_bytes(5, b"\1" * n)] * 2, _number(1, 2 * n), _number(2, 6)), ""),
        (lambda n: of_tensor(*[_bytes(1, b"\1" * n)] * 2), "has the sizes"),  # few enough, and no tensor's
        (lambda n: _bytes(7, _bytes(1, _bytes(5, _bytes(8, b"\1" * n))) * 2), ""),
        (lambda n: _bytes(7, _bytes(1, _bytes(5, _bytes(7, bytes(4 * n)))) * 2), ""),
    ],
)
def test_numbers_that_are_read_one_by_one_are_few(fits, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 512 MiB of them took minutes and ten times its size in memory before anything else was looked at."""
    assert NUMBERS_MAX == 8_000_000
    monkeypatch.setattr("actors.predictor.text.wire.NUMBERS_MAX", 1_000)
    with pytest.raises(WireError, match="1,000 bytes of packed numbers"):
        read_graph(fits(501))
    with pytest.raises(WireError, match=said) if said else nullcontext():
        read_graph(fits(500))


def test_a_run_of_numbers_is_refused_before_it_is_read() -> None:
    """By its length alone."""
    with pytest.raises(WireError, match="8,000,000 bytes of packed numbers"):
        read_graph(of_tensor(_bytes(5, b"\1" * 8_000_001)))


def test_a_name_is_repeated_in_part_and_as_text() -> None:
    """Five megabytes of it are no sentence, and nothing in it is for a terminal to obey."""
    name = b"\x1b[2J\n" + "\u202e\u00e9".encode() + b"n" * 5_000_000
    with pytest.raises(WireError) as caught:
        read_graph(of_tensor(_bytes(8, name), _number(1, 2), _number(2, 1)))
    message = str(caught.value)
    assert len(message) < 250
    assert message.isascii()
    assert message.isprintable()
    assert "'\\x1b[2J\\n\\u202e\\xe9nnn" in message


@given(st.integers(0, len(DATA) - 1))
@settings(max_examples=200, deadline=None)
def test_a_file_cut_anywhere_is_refused(end: int) -> None:
    """But where nothing but the opset behind the graph is missing, which the check of the opset finds."""
    try:
        graph = read_graph(DATA[:end])
    except WireError:
        return
    assert graph.opsets == ()


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_changed_bytes_raise_nothing_else(data: st.DataObject) -> None:
    """Whatever stands there: a graph or a refusal."""
    changed = bytearray(DATA)
    for _ in range(data.draw(st.integers(1, 8))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    with suppress(WireError):
        read_graph(bytes(changed))


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_noise_raises_nothing_else(noise: bytes) -> None:
    """As a whole file, and as a graph's content."""
    for data in (noise, _bytes(7, noise), of_tensor(noise)):
        with suppress(WireError):
            read_graph(data)
