"""Token numbers: equal to those of transformers, from the same file, without importing it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tokenizers

from actors.predictor.text.cleaning import clean_text
from actors.predictor.text.labels import PROBES
from actors.predictor.text.tokenizer import Tokenizer
from actors.predictor.text.verify import ODD_TEXTS
from tests.text_support import tokenizer_json, words

ROOT = Path(__file__).resolve().parents[4]
TEXTS = [
    *(text for group in PROBES.values() for text in group),
    "Q3 EPS $1.23 vs. $1.10 est.; $AAPL +3.4%",
    "Nestlé's naïve coöperation in São Paulo",
    "state-of-the-art AT&T's \u201cguidance\u201d\u2014raised",
    "Sony ソニー profit 😀 up",
    "supercalifragilisticexpialidocious " * 20,
    "profit rose " * 200,
    *(clean for text in ODD_TEXTS if (clean := clean_text(text))),
]


def numbers(data: bytes, path: Path, max_tokens: int = 64) -> list[list[int] | None]:
    """Return our rows."""
    tokenizer = Tokenizer(data, path, max_tokens)
    rows = [tokenizer.row(text) for text in TEXTS]
    return [None if row is None else row[0].tolist() for row in rows]


@pytest.mark.parametrize("max_tokens", [8, 64])
def test_rows_are_those_of_transformers(tmp_path: Path, max_tokens: int) -> None:
    """Cut at the same place, with the same segments; where we give none, theirs holds nothing but unknown words."""
    transformers = pytest.importorskip("transformers")
    path = tmp_path / "tokenizer.json"
    path.write_bytes(tokenizer_json())
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path))
    for text, ours in zip(TEXTS, numbers(path.read_bytes(), path, max_tokens), strict=True):
        expected = theirs(text, truncation=True, max_length=max_tokens)["input_ids"]
        if ours is None:
            assert set(expected) <= {words().index("[UNK]"), words().index("[CLS]"), words().index("[SEP]")}
        else:
            assert ours == expected


def test_rows_of_a_real_vocabulary_are_those_of_transformers(reference: Path) -> None:
    """The thirty thousand words of BERT."""
    transformers = pytest.importorskip("transformers")
    path = reference / "tokenizer.json"
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path))
    ours = numbers(path.read_bytes(), path)
    assert sum(row is not None for row in ours) > 20
    for text, row in zip(TEXTS, ours, strict=True):
        if row is not None:
            found = theirs(text, truncation=True, max_length=64, padding=False)["input_ids"]
            assert row == found


def test_rows_of_byte_pairs_are_those_of_transformers(tmp_path: Path) -> None:
    """The tokenizers of RoBERTa's kind, learned here from the sentences themselves."""
    transformers = pytest.importorskip("transformers")
    learned = tokenizers.ByteLevelBPETokenizer(add_prefix_space=False)
    learned.train_from_iterator(TEXTS, vocab_size=400, special_tokens=["<s>", "<pad>", "</s>", "<unk>"])
    learned.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    path = tmp_path / "tokenizer.json"
    learned.save(str(path))
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path))
    for text, row in zip(TEXTS, numbers(path.read_bytes(), path), strict=True):
        assert row == theirs(text, truncation=True, max_length=64)["input_ids"]
        assert len(row) > 2


def test_scoring_imports_no_transformers(tiny: Path) -> None:
    """It would cost every host and worker 2.5 seconds and 70 MB."""
    code = (
        "import sys; from pathlib import Path; from actors.predictor.text.model import load_text_model\n"
        "load_text_model(Path(sys.argv[1])).score(['Profit rose sharply'])\n"
        "print(*sorted(set(sys.modules) & {'transformers', 'torch', 'onnx', 'ray', 'safetensors', 'httpx2'}))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_row_is_none_where_the_model_knows_no_word() -> None:
    """Unknown words only, or none."""
    tokenizer = Tokenizer(tokenizer_json(), Path("tokenizer.json"), 64)
    assert tokenizer.row("") is None
    assert tokenizer.row("ж ж") is None
    assert tokenizer.row("ж profit") is not None


def test_a_row_is_never_longer_than_was_asked_for() -> None:
    """Special tokens included."""
    row = Tokenizer(tokenizer_json(), Path("tokenizer.json"), 16).row("profit rose " * 100)
    assert row is not None
    assert [part.shape for part in row] == [(16,), (16,)]
    assert (row[0][0], row[0][-1]) == (words().index("[CLS]"), words().index("[SEP]"))


def test_its_size_is_one_more_than_the_largest_number_it_can_give(tmp_path: Path) -> None:
    """The graph is asked about that one when it is loaded; words that were added count."""
    raw = json.loads(tokenizer_json())
    path = tmp_path / "tokenizer.json"
    assert Tokenizer(json.dumps(raw).encode(), path, 64).size == len(raw["model"]["vocab"])
    count = len(raw["model"]["vocab"])
    added = dict(raw["added_tokens"][0], id=count, content="never seen before", special=False)
    more = raw | {"added_tokens": [*raw["added_tokens"], added]}
    assert Tokenizer(json.dumps(more).encode(), path, 64).size == count + 1
    raw["model"]["vocab"]["zzz"] = 5_000
    assert Tokenizer(json.dumps(raw).encode(), path, 64).size == 5_001
