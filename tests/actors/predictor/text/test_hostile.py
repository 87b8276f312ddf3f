"""Hostile and broken model files: each is refused before anything acts on it, by a sentence naming file and field."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.predictor.text.checks import check_model
from actors.predictor.text.graph import Graph, _bytes, _number
from actors.predictor.text.labels import PROBES
from actors.predictor.text.manifest import LABELS
from actors.predictor.text.model import load_text_model
from actors.predictor.text.parts import check_tokenizer
from actors.predictor.text.plain import read_plain
from daemon.kernel.errors import OperatorError
from tests.text_support import ORDER, config, model_onnx, network, tokenizer_json, weights, write_bert, write_model

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def refused(folder: Path) -> OperatorError:
    """Load a model that must be refused; return how."""
    with pytest.raises(OperatorError) as caught:
        load_text_model(folder)
    assert "\n" not in caught.value.message
    return caught.value


def answering(build: Callable[[Graph], str], opset: int = 20) -> bytes:
    """Return a graph whose logits [n, 3] are what ``build`` makes."""
    g = Graph()
    build(g)
    return g.write(INPUTS, "logits", 3, opset)


def tensor_of_file(location: str) -> bytes:
    """Return a TensorProto that says its numbers lie in another file."""
    entries = b"".join(
        _bytes(13, _bytes(1, key) + _bytes(2, value))
        for key, value in ((b"location", location.encode()), (b"offset", b"0"), (b"length", b"12"))
    )
    return _number(1, 3) + _number(2, 1) + _bytes(8, b"stolen") + entries + _number(14, 1)


def graph_with(tensor: bytes) -> bytes:
    """Return a model file whose graph holds one initializer."""
    return _number(1, 9) + _bytes(7, _bytes(5, tensor)) + _bytes(8, _number(2, 20))


# ------------------------------------------------------------------------------------------------ what it is not


def test_a_pickle_called_onnx_is_not_unpickled(tmp_path: Path) -> None:
    """It would run what it says; the digest may even be right."""
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(ran),))

    error = refused(write_model(tmp_path / "m", pickle.dumps(Trap())))
    assert error.code == "MODEL_FORMAT"
    assert "model.onnx is a pickle" in error.message
    assert not ran.exists()


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A gigabyte of zeros in a megabyte: nothing here unpacks anything."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("data.pkl", "w") as member:
        for _ in range(64):
            member.write(bytes(1 << 20))
    error = refused(write_model(tmp_path / "m", packed.getvalue()))
    assert error.code == "MODEL_FORMAT"
    assert "zip archive" in error.message


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b"<!doctype html><html>not found</html>", "web page"),
        (b'{"error": "gated"}', "JSON"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (bytes(1000), "checked"),
    ],
)
def test_what_a_download_may_leave_is_named(tmp_path: Path, data: bytes, what: str) -> None:
    """A person who sees what came instead knows what to do."""
    error = refused(write_model(tmp_path / "m", data))
    assert error.code == "MODEL_FORMAT"
    assert what in error.message


# ------------------------------------------------------------------------------------------------------ the files


def test_a_changed_byte_is_found_before_the_file_is_parsed(tmp_path: Path) -> None:
    """The digest comes first: the changed file here could not even be parsed."""
    folder = write_model(tmp_path / "m")
    (folder / "model.onnx").write_bytes(b"\x80" + (folder / "model.onnx").read_bytes()[1:])
    error = refused(folder)
    assert error.code == "MODEL_DIGEST"
    assert "model.onnx" in error.message
    assert "files of its manifest" in error.message


def test_a_changed_tokenizer_is_found_too(tmp_path: Path) -> None:
    """Other words to the same graph are another model."""
    folder = write_model(tmp_path / "m")
    (folder / "tokenizer.json").write_bytes(tokenizer_json() + b" ")
    assert refused(folder).code == "MODEL_DIGEST"


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "tokenizer.json"])
def test_a_link_in_a_model_folder_is_refused(tmp_path: Path, name: str) -> None:
    """Even where what it leads to has the right digest: it may be another file a moment later."""
    folder = write_model(tmp_path / "m")
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    error = refused(folder)
    assert error.code == "MODEL_LINK"
    assert f"{name} is a link" in error.message


def test_a_pipe_or_folder_in_the_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    """Opening a pipe nobody writes to would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OperatorError) as caught:
            read_plain(tmp_path / name, 10)
        assert caught.value.code == "MODEL_LINK"


def test_files_are_of_bounded_size(tmp_path: Path) -> None:
    """Not one byte more than the limit, and not none."""
    (tmp_path / "f").write_bytes(b"12345678901")
    (tmp_path / "empty").touch()
    for name in ("f", "empty"):
        with pytest.raises(OperatorError) as caught:
            read_plain(tmp_path / name, 10)
        assert caught.value.code == "MODEL_SIZE"
    assert read_plain(tmp_path / "f", 11) == b"12345678901"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("labels", ["positive", "positive", "neutral"], "labels"),
        ("labels", ["LABEL_0", "LABEL_1", "LABEL_2"], "labels"),
        ("labels", ["positive", "negative"], "labels"),
        ("inputs", ["input_ids", "prompt"], "inputs"),
        ("inputs", [], "inputs"),
        ("inputs", ["input_ids", "input_ids"], "inputs"),
        ("inputs", ["attention_mask"], "inputs"),
        ("files", {"model.onnx": "0" * 64}, "tokenizer.json"),
        ("files", {"model.onnx": "0" * 64, "tokenizer.json": "abc"}, "SHA-256"),
        ("files", {"model.onnx": "0" * 64, "tokenizer.json": "0" * 64, "../../etc/passwd": "0" * 64}, "passwd"),
        ("files", {"model.onnx": "0" * 64, "tokenizer.json": "0" * 64, "/etc/passwd": "0" * 64}, "passwd"),
        ("max_tokens", 1_000_000, "max_tokens"),
        ("name", "../up", "name"),
        ("kind", "price", "kind"),
        ("surprise", 1, "surprise"),
        ("opset", "twenty", "opset"),
        ("output", "", "output"),
        ("output", "logits\n\x1b[2J", "output"),
        ("output", "l" * 201, "output"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused_by_its_field(
    tmp_path: Path, field: str, value: object, said: str
) -> None:
    """Before any other file is opened."""
    error = refused(write_model(tmp_path / "m", **{field: value}))
    assert error.code == "BAD_MANIFEST"
    assert "manifest.json" in error.message
    assert said in error.message


@pytest.mark.parametrize("changes", [{"a b " * 40_000: 1}, {"kind": "a b " * 40_000}, {"\n" * 9_000 + "a": 1}])
def test_what_a_manifest_calls_its_fields_makes_no_sentence_long(tmp_path: Path, changes: dict[str, object]) -> None:
    """A quarter of a megabyte of it went to the terminal."""
    error = refused(write_model(tmp_path / "m", **changes))
    assert error.code == "BAD_MANIFEST"
    assert len(error.message) < 600
    assert "manifest.json" in error.message
    assert "\n" not in error.message


def test_a_manifest_that_is_no_json_or_endless_is_refused(tmp_path: Path) -> None:
    """Neither nesting nor size gets anywhere."""
    folder = write_model(tmp_path / "m")
    for data in (b"", b"[" * 100_000, b"\xff\xfe", b" " * 300_000):
        (folder / "manifest.json").write_bytes(data)
        assert refused(folder).code == "BAD_MANIFEST"
    (folder / "manifest.json").unlink()
    assert refused(folder).code == "NO_MODEL"


# ---------------------------------------------------------------------------------------------- inside the graph


@pytest.mark.parametrize("location", ["../../secret", "/etc/passwd", "weights.bin"])
def test_external_data_is_refused_wherever_it_lies(tmp_path: Path, location: str) -> None:
    """Above the folder, absolute, or a file (or link) beside the model: nothing is read but the file itself."""
    folder = write_model(tmp_path / "m", graph_with(tensor_of_file(location)))
    (folder / "weights.bin").symlink_to("/etc/passwd")
    error = refused(folder)
    assert error.code == "MODEL_EXTERNAL"
    assert "'stolen'" in error.message
    assert "external_data" in error.message


def test_external_data_of_a_constant_is_refused_as_well(tmp_path: Path) -> None:
    """A tensor may stand in an attribute of a node instead."""
    attribute = _bytes(1, b"value") + _bytes(5, tensor_of_file("/etc/passwd")) + _number(20, 4)
    node = _bytes(2, b"x") + _bytes(4, b"Constant") + _bytes(5, attribute)
    data = _number(1, 9) + _bytes(7, _bytes(1, node)) + _bytes(8, _number(2, 20))
    assert refused(write_model(tmp_path / "m", data)).code == "MODEL_EXTERNAL"


def test_a_tensor_that_says_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    """Sizes of four terabytes with twelve bytes behind them."""
    tensor = _number(1, 1_000_000) + _number(1, 1_000_000) + _number(2, 1) + _bytes(8, b"huge") + _bytes(9, bytes(12))
    error = refused(write_model(tmp_path / "m", graph_with(tensor)))
    assert error.code == "MODEL_FORMAT"
    assert "'huge'" in error.message


def test_sizes_said_in_an_attribute_are_looked_at_too(tmp_path: Path) -> None:
    """A constant may be a list of integers of its node."""
    g = Graph()
    g.op("ConstantOfShape", g.op("Constant", value_ints=[1_000_000, 1_000_000]), output="logits")
    error = refused(write_model(tmp_path / "m", g.write(INPUTS, "logits", 3, 20)))
    assert error.code == "MODEL_SIZE"


@pytest.mark.parametrize("op", ["ConstantOfShape", "Expand", "Tile"])
def test_a_huge_tensor_out_of_nothing_is_refused(tmp_path: Path, op: str) -> None:
    """Two numbers can ask for terabytes; onnxruntime would try while it loads."""

    def build(g: Graph) -> None:
        shape = g.const("shape", np.array([1_000_000, 1_000_000]))
        inputs = [shape] if op == "ConstantOfShape" else [g.const("one", np.ones((1, 1), np.float32)), shape]
        g.op(op, *inputs, output="logits")

    error = refused(write_model(tmp_path / "m", answering(build)))
    assert error.code == "MODEL_SIZE"
    assert "[1000000, 1000000]" in error.message


def test_graphs_of_too_many_nodes_or_declared_sizes_are_refused() -> None:
    """Ten thousand layers, or a value of a trillion numbers."""
    g = Graph()
    x = "input_ids"
    for _ in range(20_001):
        x = g.op("Neg", x)
    shape = b"".join(_bytes(1, _number(1, 1_000_000)) for _ in range(2))
    value = _bytes(1, b"wide") + _bytes(2, _bytes(1, _number(1, 1) + _bytes(2, shape)))
    declared = _number(1, 9) + _bytes(7, _bytes(13, value)) + _bytes(8, _number(2, 20))
    for data, said in ((g.write(INPUTS, "logits", 3, 20), "20,001 nodes"), (declared, "wide float32")):
        with pytest.raises(OperatorError) as caught:
            check_model(data, Path("model.onnx"))
        assert caught.value.code == "MODEL_SIZE"
        assert said in caught.value.message


@pytest.mark.parametrize(
    "size",
    [
        _bytes(5, _bytes(1, b"value_int") + _number(3, 10**12) + _number(20, 2)),
        _bytes(5, _bytes(1, b"value_ints") + _number(8, 10**6) + _number(8, 10**6) + _number(20, 7)),
        _bytes(5, _bytes(1, b"value") + _bytes(5, _number(1, 1) + _number(2, 7) + _number(7, 10**12)) + _number(20, 4)),
    ],
)
def test_a_size_may_stand_in_every_form_of_a_constant(size: bytes) -> None:
    """An integer, several, or a tensor."""
    constant = _bytes(1, _bytes(2, b"size") + _bytes(4, b"Constant") + size)
    expand = _bytes(1, _bytes(1, b"x") + _bytes(1, b"size") + _bytes(2, b"y") + _bytes(4, b"Expand"))
    with pytest.raises(OperatorError) as caught:
        check_model(_number(1, 9) + _bytes(7, constant + expand) + _bytes(8, _number(2, 20)), Path("model.onnx"))
    assert caught.value.code == "MODEL_SIZE"
    assert "Expand" in caught.value.message


def test_declared_sizes_are_no_less_than_nothing_and_told_in_part() -> None:
    """A size below zero is none; ten thousand of them are no sentence, and neither a tensor."""
    for dims in ((-1,), (5, -(2**63)), (2**62, 2**62), (0, 2**40), (1000,) * 10_000, (1,) * 17):
        shape = b"".join(_bytes(1, _number(1, size)) for size in dims)
        value = _bytes(1, b"odd") + _bytes(2, _bytes(1, _number(1, 1) + _bytes(2, shape)))
        with pytest.raises(OperatorError) as caught:
            check_model(_number(1, 9) + _bytes(7, _bytes(13, value)) + _bytes(8, _number(2, 20)), Path("model.onnx"))
        assert caught.value.code == "MODEL_SIZE"
        assert "odd float32" in caught.value.message
        assert len(caught.value.message) < 200


LONG = "\x1b[2J\n" + "n" * 1_000_000


@pytest.mark.parametrize(
    "changed",
    [
        lambda g: g.op("NaN" + LONG, "x", output="logits"),
        lambda g: g.op("Tile", g.const(LONG, np.array([10**12])), LONG, output=LONG),
        lambda g: g.op("Identity", g.const(LONG, np.array([np.nan, 1], np.float32)), output="logits"),
    ],
)
def test_what_a_file_calls_its_parts_makes_no_sentence_long(changed: Callable[[Graph], str]) -> None:
    """A name of a megabyte went to the terminal, the log and the ledger whole."""
    with pytest.raises(OperatorError) as caught:
        check_model(answering(changed), Path("model.onnx"))
    assert len(caught.value.message) < 300
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_what_a_graph_takes_and_gives_makes_no_sentence_long(tmp_path: Path, side: str) -> None:
    """Neither one name without end nor a thousand names."""
    for names in ([LONG], [f"x{i}" for i in range(1_000)]):
        g = Graph()
        g.op("Identity", "x", output="logits")
        data = g.write(names if side == "inputs" else INPUTS, "logits" if side == "inputs" else names[0], 3, 20)
        error = refused(write_model(tmp_path / side, data))
        assert error.code == "MODEL_SCHEMA"
        assert len(error.message) < 500 + len(str(tmp_path))
        assert error.message.isprintable()
        if side == "inputs" and len(names) > 1:
            assert "x7 and 992 more" in error.message


def test_an_attribute_that_is_no_number_is_refused() -> None:
    """An epsilon of NaN makes every answer one."""
    g = Graph()
    g.op("LayerNormalization", "x", "y", epsilon=float("nan"), output="logits")
    with pytest.raises(OperatorError) as caught:
        check_model(g.write(INPUTS, "logits", 3, 20), Path("model.onnx"))
    assert caught.value.code == "MODEL_WEIGHTS"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    """The tensor is named."""
    broken = weights()
    graph = write_bert(broken, network(config()), 3, "test", int8=False)
    at = graph.index(np.ones(16, np.float32).tobytes())  # a norm's weights
    graph = graph[:at] + np.float32(value).tobytes() + graph[at + 4 :]
    error = refused(write_model(tmp_path / "m", graph))
    assert error.code == "MODEL_WEIGHTS"
    assert "LayerNorm.weight" in error.message


def test_a_graph_that_computes_no_number_is_refused(tmp_path: Path) -> None:
    """Every weight is a number, and yet one over zero is none."""

    def build(g: Graph) -> None:
        text = g.op("Cast", g.op("ReduceMin", "input_ids", g.const("axis", np.array([1])), keepdims=1), to=1)
        three = g.op("Mul", text, g.const("three", np.zeros((1, 3), np.float32)))
        g.op("Div", three, g.const("zero", np.zeros((1, 3), np.float32)), output="logits")

    error = refused(write_model(tmp_path / "m", answering(build)))
    assert error.code == "MODEL_OUTPUT"
    assert "logits" in error.message


@pytest.mark.parametrize("order", [order for order in permutations(ORDER) if order != ORDER])
def test_exchanged_labels_are_refused(tmp_path: Path, order: tuple[str, ...]) -> None:
    """Whichever are exchanged: sentences whose tone is not in doubt come out wrong."""
    error = refused(write_model(tmp_path / "m", labels=list(order)))
    assert error.code == "MODEL_LABELS"
    assert "labels" in error.message
    assert "plainly" in error.message


def test_a_graph_that_does_not_look_at_the_text_is_refused(tmp_path: Path) -> None:
    """It says neutral of everything."""

    def build(g: Graph) -> None:
        text = g.op("Cast", g.op("ReduceMin", "input_ids", g.const("axis", np.array([1])), keepdims=1), to=1)
        none = g.op("Mul", text, g.const("none", np.zeros((1, 3), np.float32)))
        g.op("Add", none, g.const("neutral", np.array([[0, 0, 5]], np.float32)), output="logits")

    error = refused(write_model(tmp_path / "m", answering(build)))
    assert error.code == "MODEL_LABELS"
    assert "plainly negative sentences are called neutral" in error.message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"opset": 19}, "opset"),
        ({"inputs": ["input_ids", "attention_mask"]}, "inputs"),
        ({"output": "answer"}, "output"),
    ],
)
def test_another_schema_than_the_manifest_says_is_refused(tmp_path: Path, changes: dict, said: str) -> None:
    """The field of the manifest is named."""
    error = refused(write_model(tmp_path / "m", **changes))
    assert error.code in {"MODEL_SCHEMA", "MODEL_OPSET"}
    assert f"{said} of its manifest" in error.message


@pytest.mark.parametrize("opset", [7, 99])
def test_an_opset_nobody_tested_is_refused(tmp_path: Path, opset: int) -> None:
    """Too old and too new."""
    error = refused(write_model(tmp_path / "m", answering(lambda g: g.op("Abs", "input_ids"), opset), opset=opset))
    assert error.code == "MODEL_OPSET"
    assert str(opset) in error.message


@pytest.mark.parametrize(("opset", "known"), [(10, False), (11, True), (23, True), (24, False)])
def test_opsets_are_known_from_11_to_23(opset: int, known: bool) -> None:
    """As the page says."""
    data = answering(lambda g: g.op("Abs", "input_ids"), opset)
    if known:
        check_model(data, Path("model.onnx"))
    else:
        with pytest.raises(OperatorError, match=f"opset {opset}; 11 to 23"):
            check_model(data, Path("model.onnx"))


def test_outputs_of_another_shape_are_refused(tmp_path: Path) -> None:
    """Two labels, or one number a token."""
    g = Graph()
    g.op("Abs", "input_ids", output="logits")
    error = refused(write_model(tmp_path / "m", g.write(INPUTS, "logits", 2, 20)))
    assert error.code == "MODEL_SCHEMA"
    assert "float32 [n, 3]" in error.message


def test_a_graph_that_declares_one_shape_and_answers_another_is_refused(tmp_path: Path) -> None:
    """What is declared is not believed."""

    def build(g: Graph) -> None:
        g.op("Cast", "input_ids", output="logits", to=1)

    error = refused(write_model(tmp_path / "m", answering(build)))
    assert error.code in {"MODEL_OUTPUT", "MODEL_FORMAT"}
    assert "model.onnx" in error.message


@pytest.mark.parametrize(
    ("op", "domain"), [("Loop", ""), ("If", ""), ("RandomNormal", ""), ("PyOp", "ai.onnx.contrib"), ("Read", "evil")]
)
def test_operators_that_no_text_model_needs_are_refused(op: str, domain: str) -> None:
    """Loops, chance, and whatever a library of somebody's brings along."""
    node = _bytes(2, b"x") + _bytes(4, op.encode()) + _bytes(7, domain.encode())
    data = _number(1, 9) + _bytes(7, _bytes(1, node)) + _bytes(8, _number(2, 20))
    with pytest.raises(OperatorError) as caught:
        check_model(data, Path("m/model.onnx"))
    assert caught.value.code == "MODEL_OPERATOR"
    assert op in caught.value.message


def test_a_graph_within_a_node_is_refused() -> None:
    """Nothing may hide one level down."""
    attribute = _bytes(1, b"body") + _bytes(6, _bytes(2, b"inner")) + _number(20, 5)
    node = _bytes(2, b"x") + _bytes(4, b"Abs") + _bytes(5, attribute)
    with pytest.raises(OperatorError, match="a graph of its own") as caught:
        check_model(_number(1, 9) + _bytes(7, _bytes(1, node)) + _bytes(8, _number(2, 20)), Path("model.onnx"))
    assert caught.value.code == "MODEL_FORMAT"


def test_functions_training_and_unknown_fields_are_refused() -> None:
    """Onnxruntime might read in them what these checks have not."""
    for field in (20, 25, 26, 99):
        with pytest.raises(OperatorError) as caught:
            check_model(model_onnx() + _bytes(field, b""), Path("model.onnx"))
        assert caught.value.code == "MODEL_FORMAT"


# ----------------------------------------------------------------------------------------------------- tokenizers


@pytest.mark.parametrize(
    ("field", "part"),
    [
        ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Removed", "invert": False}),
        ("normalizer", {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}),
        ("normalizer", {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "a"}}]}),
        (
            "normalizer",
            {"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": [{"type": "Replace"}]}]},
        ),
        ("pre_tokenizer", {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "(a+)+"}}]}),
        ("model", {"type": "BPE", "dropout": 0.5, "vocab": {}, "merges": []}),
        ("model", {"type": "Unigram", "vocab": []}),
        ("normalizer", "Lowercase"),
    ],
)
def test_tokenizers_with_patterns_of_their_own_are_refused(tmp_path: Path, field: str, part: object) -> None:
    """A pattern can take exponential time on a headline made for it."""
    raw = json.loads(tokenizer_json()) | {field: part}
    with pytest.raises(OperatorError) as caught:
        check_tokenizer(json.dumps(raw).encode(), Path("m/tokenizer.json"))
    assert caught.value.code == "TOKENIZER"
    assert "tokenizer.json" in caught.value.message
    assert field in caught.value.message


def with_tokenizer(folder: Path, raw: dict[str, Any]) -> Path:
    """Write a model whose manifest vouches for this tokenizer."""
    data = json.dumps(raw).encode()
    write_model(folder)
    (folder / "tokenizer.json").write_bytes(data)
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    manifest["files"]["tokenizer.json"] = hashlib.sha256(data).hexdigest()
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    return folder


def test_a_tokenizer_of_more_words_than_the_graph_knows_is_refused(tmp_path: Path) -> None:
    """Else one headline in a thousand would fail."""
    raw = json.loads(tokenizer_json())
    raw["model"]["vocab"]["zzzz"] = 100_000
    folder = with_tokenizer(tmp_path / "m", raw)
    assert refused(folder).code == "MODEL_OUTPUT"


def test_a_tokenizer_that_knows_no_word_is_refused(tmp_path: Path) -> None:
    """As an exporter writes it that was given no words: every text is unknown words, every answer none."""
    raw = json.loads(tokenizer_json())
    raw["model"]["vocab"] = {word: i for word, i in raw["model"]["vocab"].items() if word.startswith("[")}
    folder = with_tokenizer(tmp_path / "m", raw)
    error = refused(folder)
    assert (error.code, error.message) == (
        "TOKENIZER",
        f"the tokenizer of {folder} knows no word of {PROBES['neutral'][0]!r}",
    )


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"[" * 100_000, b'{"model": 1}', b'{"model": {"type": "WordPiece"}}']
)
def test_a_tokenizer_that_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    """One sentence, whatever it is."""
    folder = write_model(tmp_path / "m")
    (folder / "tokenizer.json").write_bytes(data)
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    manifest["files"]["tokenizer.json"] = hashlib.sha256(data).hexdigest()
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    assert refused(folder).code in {"TOKENIZER", "MODEL_SIZE"}


def test_the_model_these_are_made_of_loads(tiny: Path) -> None:
    """Without it every refusal above might have another reason."""
    assert load_text_model(tiny).score(["Profit rose sharply"]).argmax() == LABELS.index("positive")
