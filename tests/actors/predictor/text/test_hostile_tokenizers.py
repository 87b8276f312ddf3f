"""Tokenizers that end the library, or keep it busy, on a text nobody has tried: refused before one is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.predictor.text.parts import check_tokenizer
from actors.predictor.text.tokenizer import Tokenizer
from daemon.kernel.errors import OperatorError
from tests.text_support import tokenizer_json

PATH = Path("m/tokenizer.json")
TEXT = {"Sequence": {"id": "A", "type_id": 0}}
SPECIAL = {"SpecialToken": {"id": "[CLS]", "type_id": 0}}


def raw(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the tokenizer of the hand-written model, changed."""
    root = json.loads(tokenizer_json())
    change(root)
    return json.dumps(root).encode()


def refusal(data: bytes) -> str:
    """Return the sentence with which a tokenizer is refused; it is one line and names the file."""
    with pytest.raises(OperatorError) as caught:
        check_tokenizer(data, PATH)
    assert caught.value.code == "TOKENIZER"
    message = caught.value.message
    assert message.startswith(str(PATH))
    assert message.isprintable()
    assert len(message) < 300
    return message


def frames(*single: Any) -> Callable[[dict[str, Any]], object]:
    """Return what puts pieces around a text."""
    return lambda root: root["post_processor"].update(single=list(single))


@pytest.mark.parametrize(
    ("field", "part"),
    [
        ("normalizer", {"type": "Sequence", "normalizers": 5}),
        ("normalizer", {"type": "Sequence", "normalizers": True}),
        ("normalizer", {"type": "Sequence", "normalizers": {"type": "Lowercase"}}),
        ("pre_tokenizer", {"type": "Sequence", "pretokenizers": 1.5}),
        ("post_processor", {"type": "Sequence", "processors": "TemplateProcessing"}),
        ("normalizer", {"type": "Sequence", "normalizers": [5, None, [], "Lowercase"]}),
        ("normalizer", {"type": "Sequence", "normalizers": [None]}),
        ("normalizer", {"type": ["Lowercase"]}),
        ("normalizer", {"type": "\x1b[2J\nLowercase"}),
        ("normalizer", {"type": "L" * 1_000_000}),
        ("normalizer", False),
    ],
)
def test_parts_of_a_wrong_form_are_refused_by_their_field(field: str, part: object) -> None:
    """What should be a list and is a number raised TypeError; what it says is no text for a terminal."""
    assert field in refusal(raw(lambda root: root.update({field: part})))


@pytest.mark.parametrize(
    ("field", "key", "kind"),
    [
        ("normalizer", "normalizers", "NFKD"),
        ("pre_tokenizer", "pretokenizers", "WhitespaceSplit"),
        ("post_processor", "processors", "ByteLevel"),
    ],
)
def test_a_sequence_has_few_parts(field: str, key: str, kind: str) -> None:
    """Each goes over the whole text: 300,000 of them took minutes a headline. The sequence itself is one of 16."""
    many = [{"type": kind, "add_prefix_space": False, "trim_offsets": False, "use_regex": False}]
    assert "16 parts" in refusal(raw(lambda root: root.update({field: {"type": "Sequence", key: many * 16}})))
    check_tokenizer(raw(lambda root: root.update({field: {"type": "Sequence", key: many * 15}})), PATH)
    assert "16 parts" in refusal(raw(lambda root: root.update({field: {"type": "Sequence", key: many * 300_000}})))
    nested = [{"type": "Sequence", key: many * 8}] * 2
    assert "16 parts" in refusal(raw(lambda root: root.update({field: {"type": "Sequence", key: nested}})))


@pytest.mark.parametrize("key", ["continuing_subword_prefix", "end_of_word_suffix"])
def test_what_marks_a_piece_of_a_word_is_short(key: str) -> None:
    """It is copied for every piece tried: one of ten million characters took seconds a word."""
    assert key in refusal(raw(lambda root: root["model"].update({key: "#" * 17})))
    check_tokenizer(raw(lambda root: root["model"].update({key: "#" * 16})), PATH)


@pytest.mark.parametrize("longest", [1001, 10**30, "100", 1.5, None, [1]])
def test_a_word_is_of_bounded_length(longest: object) -> None:
    """Cutting a word into pieces takes quadratic time."""
    assert "max_input_chars_per_word" in refusal(raw(lambda r: r["model"].update(max_input_chars_per_word=longest)))
    check_tokenizer(raw(lambda r: r["model"].update(max_input_chars_per_word=1000)), PATH)


@pytest.mark.parametrize("unknown", ["[NOPE]", None, 5, ["[UNK]"], ""])
def test_the_word_for_unknown_words_is_known(unknown: object) -> None:
    """Else the first text with a word of no list ends the request it stands in."""
    assert "unk_token" in refusal(raw(lambda root: root["model"].update(unk_token=unknown)))


def test_byte_pairs_may_do_without_a_word_for_unknown_words() -> None:
    """They drop what they do not know; one that is named must be there all the same."""
    model = {"type": "BPE", "unk_token": None, "vocab": {"a": 0}, "merges": []}
    check_tokenizer(raw(lambda root: root.update(model=model)), PATH)
    assert "unk_token" in refusal(raw(lambda root: root.update(model=model | {"unk_token": "[UNK]"})))


@pytest.mark.parametrize(
    "single",
    [
        [],
        [SPECIAL],
        [TEXT, TEXT],
        [SPECIAL, TEXT, {"Sequence": {"id": "B", "type_id": 1}}],
        [{"Sequence": {"id": "B", "type_id": 1}}],
        [TEXT, {"Sequence": None}],
        [TEXT, 5],
        [TEXT, "Sequence"],
        "$A",
        None,
        {"A": TEXT},
    ],
)
def test_a_text_stands_once_between_its_special_tokens(single: object) -> None:
    """Without it nothing is asked; twice, rows are longer than the graph may be asked; a second text is a panic."""
    assert "single" in refusal(raw(lambda root: root["post_processor"].update(single=single)))
    check_tokenizer(raw(frames(TEXT)), PATH)
    check_tokenizer(raw(frames(SPECIAL, SPECIAL, TEXT, SPECIAL)), PATH)


def test_special_tokens_are_put_around_a_text_once() -> None:
    """The library ends in a panic where a second part puts some around those of the first."""
    frame = json.loads(tokenizer_json())["post_processor"]
    bert = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    for inner in ([frame, frame], [frame, bert], [bert, bytes_, bert]):
        sequence = {"type": "Sequence", "processors": inner}
        assert "post_processor" in refusal(raw(lambda root, told=sequence: root.update(post_processor=told)))
    for inner in ([frame], [bytes_, frame], [bert]):
        sequence = {"type": "Sequence", "processors": inner}
        check_tokenizer(raw(lambda root, told=sequence: root.update(post_processor=told)), PATH)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"normalizer": {', b'"normalizer": {"type": "Replace"}, "normalizer": {'),
        (b'"type": "BertPreTokenizer"', b'"type": "Split", "type": "BertPreTokenizer"'),
        (b'"vocab": {', b'"vocab": {"[PAD]": 7, '),
    ],
)
def test_a_key_stands_once(before: bytes, after: bytes) -> None:
    """Of two readers each may take another one: what is checked would not be what is used."""
    data = tokenizer_json().replace(before, after, 1)
    assert "twice" in refusal(data)


def test_a_row_longer_than_was_asked_for_is_an_error(tmp_path: Path) -> None:
    """A special token may stand for any number of tokens, and a graph be asked for all the memory there is."""

    def change(root: dict[str, Any]) -> None:
        root["post_processor"]["special_tokens"]["[CLS]"].update(ids=[2] * 500, tokens=["[CLS]"] * 500)

    with pytest.raises(OperatorError) as caught:
        Tokenizer(raw(change), tmp_path / "tokenizer.json", 64).row("profit")
    assert caught.value.code == "TOKENIZER"
    assert str(tmp_path / "tokenizer.json") in caught.value.message


class Broken:
    """A library that fails, or panics, on a text."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def encode(self, text: str) -> None:
        """Fail."""
        raise self._error


@pytest.mark.parametrize("error", [ValueError("lost"), type("PanicException", (BaseException,), {})("lost")])
def test_a_library_that_fails_on_a_text_is_told_in_a_sentence(error: BaseException) -> None:
    """A panic is no Exception: it would end the thread, or the process, that asked."""
    tokenizer = Tokenizer(tokenizer_json(), PATH, 64)
    tokenizer._rust = Broken(error)
    with pytest.raises(OperatorError, match="lost") as caught:
        tokenizer.row("profit")
    assert caught.value.code == "TOKENIZER"


def test_a_wish_to_stop_is_no_fault_of_a_tokenizer() -> None:
    """What is no panic passes through."""
    tokenizer = Tokenizer(tokenizer_json(), PATH, 64)
    tokenizer._rust = Broken(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        tokenizer.row("profit")
