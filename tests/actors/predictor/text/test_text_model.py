"""A text model that is asked: what it says, what it does not judge, and that nothing else changes its answer."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.predictor.text.bert import BertConfig, random_weights, write_bert
from actors.predictor.text.labels import PROBES
from actors.predictor.text.manifest import LABELS
from actors.predictor.text.model import load_text_model
from actors.predictor.text.verify import ODD_TEXTS, verify_text_model
from daemon.kernel.errors import OperatorError
from tests.text_support import ORDER, config, network, weights, words, write_model

ROOT = Path(__file__).resolve().parents[4]
TEXTS = [text for group in PROBES.values() for text in group]


@pytest.fixture(scope="module")
def model(tiny):
    """Return the hand-written model, loaded."""
    return load_text_model(tiny)


def test_probabilities_come_in_one_order_whatever_the_graphs(tmp_path: Path, model) -> None:
    """A graph whose outputs are exchanged, with labels exchanged alike, gives the same bytes."""
    order = [2, 0, 1]  # neutral, positive, negative: the order of finbert-tone
    turned = weights()
    turned["classifier.weight"] = turned["classifier.weight"][order]
    turned["classifier.bias"] = turned["classifier.bias"][order]
    graph = write_bert(turned, network(config()), 3, "test", int8=True)
    folder = write_model(tmp_path / "m", graph, labels=[ORDER[i] for i in order])
    other = load_text_model(folder)
    assert other.score(TEXTS).tobytes() == model.score(TEXTS).tobytes()
    assert other.model_id != model.model_id


def test_what_it_says_is_a_distribution_of_six_digits(model) -> None:
    """Rows add up to one but for rounding, and the plain sentences get their tone."""
    for i, tone in enumerate(LABELS):
        rows = model.score(PROBES[tone])
        assert rows.shape == (len(PROBES[tone]), 3)
        assert rows.dtype == np.float64
        np.testing.assert_allclose(rows.sum(axis=1), 1.0, atol=2e-6)
        assert (rows == rows.round(6)).all()
        assert (rows.argmax(axis=1) == i).all()


def test_an_empty_request_has_an_empty_answer(model) -> None:
    """Zero rows of three."""
    assert model.score([]).shape == (0, 3)


@pytest.mark.parametrize(
    "text", ["", " \t\r\n", "\x00\x01\x1b", "<br/>", "12.5 %", "😀😀", "\ud800\udfff", "決算は増収", "Прибыль"]
)
def test_where_there_is_nothing_to_judge_it_abstains(model, text: str) -> None:
    """No letters, or letters of a script it does not read: NaN, counted, and the texts beside it are judged."""
    before = model.abstained
    rows = model.score(["Profit rose sharply", text, "Profit rose sharply"])
    assert np.isnan(rows[1]).all()
    assert np.isfinite(rows[[0, 2]]).all()
    assert model.abstained == before + 1


@pytest.mark.parametrize("i", range(len(ODD_TEXTS)))
def test_the_mistakes_of_feeds_are_judged_or_not_and_break_nothing(model, i: int) -> None:
    """A row is either three shares or three times NaN."""
    row = model.score([ODD_TEXTS[i]])[0]
    assert np.isnan(row).all() or row.sum() == pytest.approx(1.0, abs=2e-6)


@given(st.text(max_size=300))
@settings(max_examples=150, deadline=None)
def test_no_text_breaks_it(model, text: str) -> None:
    """Whatever Unicode allows, half surrogates among it."""
    row = model.score([text])[0]
    assert np.isnan(row).all() or row.sum() == pytest.approx(1.0, abs=2e-6)


def test_a_hundred_thousand_characters_are_cut_to_the_tokens_a_model_reads(model) -> None:
    """What stands behind the first 64 tokens changes nothing."""
    start = "shares fell " * 40
    long, short = start + "profit rose " * 8_000, start
    assert len(long) > 96_000
    assert model.score([long]).tobytes() == model.score([short]).tobytes()


@given(st.permutations(range(len(TEXTS))), st.integers(1, len(TEXTS)))
@settings(max_examples=25, deadline=None)
def test_a_texts_answer_does_not_depend_on_what_is_asked_with_it(model, order: list[int], size: int) -> None:
    """Alone, in any order, in batches of any size: the same bytes."""
    alone = model.score(TEXTS)
    chunks = [order[i : i + size] for i in range(0, len(order), size)]
    together = np.concatenate([model.score([TEXTS[i] for i in chunk]) for chunk in chunks])
    assert together.tobytes() == alone[order].tobytes()


def test_another_process_says_the_same_bytes(tiny: Path, model) -> None:
    """No seed of hashing, no address, no thread plays a part."""
    code = (
        "import sys, hashlib; from pathlib import Path\n"
        "from actors.predictor.text.model import load_text_model\n"
        "from actors.predictor.text.labels import PROBES\n"
        "texts = [text for group in PROBES.values() for text in group]\n"
        "print(hashlib.sha256(load_text_model(Path(sys.argv[1])).score(texts).tobytes()).hexdigest())"
    )
    expected = hashlib.sha256(model.score(TEXTS).tobytes()).hexdigest()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tiny)],
            env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


def test_two_layers_of_random_weights_keep_their_shape(tmp_path: Path) -> None:
    """They mean nothing, so the sentences nobody doubts are left out; shape and finiteness are not."""
    raw = config(layers=2)
    graph = write_bert(random_weights(network(raw), 3, seed=5), network(raw), 3, "test", int8=True)
    rows = load_text_model(write_model(tmp_path / "m", graph), probe=False).score([*TEXTS, ""])
    assert rows.shape == (len(TEXTS) + 1, 3)
    assert np.isfinite(rows[:-1]).all()
    assert np.isnan(rows[-1]).all()


class Fickle:
    """A session whose answers drift a little with each call: no operator that is let in does that."""

    def __init__(self, session) -> None:
        self._session = session
        self._calls = 0

    def run(self, *arguments):
        """Answer, and remember that one was asked."""
        self._calls += 1
        return [
            found + np.float32(1e-3 * self._calls) * np.float32([1, 0, 0]) for found in self._session.run(*arguments)
        ]


def test_a_model_that_answers_otherwise_the_second_time_is_found_out(tiny: Path) -> None:
    """By what it says together and alone; else a replay would not be what was traded."""
    model = load_text_model(tiny)
    assert model.check_independence() == 18
    model._session = Fickle(model._session)
    with pytest.raises(OperatorError, match="in another way") as caught:
        model.check_independence()
    assert caught.value.code == "MODEL_OUTPUT"


def test_every_length_is_asked_about(tiny: Path) -> None:
    """From one token to the longest row of the manifest."""
    asked = []

    class Counting:
        def run(self, _names, feed):
            asked.append(feed["input_ids"].shape)
            return [np.zeros((1, 3), np.float32)]

    model = load_text_model(tiny)
    model._session = Counting()
    model.check_lengths()
    assert asked == [(1, length) for length in range(1, 65)]


def test_a_text_whose_answer_is_no_number_is_abstained_from(tmp_path: Path) -> None:
    """One embedding so large that it overflows: every check holds, and one text in a thousand meets it."""
    loud = weights()
    loud["bert.embeddings.word_embeddings.weight"][words().index("~")] = [3e38] * 15 + [-3e38]
    graph = write_bert(loud, network(config()), 3, "test", int8=False)
    model = load_text_model(write_model(tmp_path / "m", graph))
    rows = model.score(["Profit rose", "~ profit rose", "Profit rose"])
    assert np.isnan(rows[1]).all()
    assert np.isfinite(rows[[0, 2]]).all()
    assert rows[0].tobytes() == rows[2].tobytes()
    assert (model.non_finite, model.abstained) == (1, 0)


class Choosy:
    """A session that fails where a text has one word, or at every text."""

    def __init__(self, session, word: int | None) -> None:
        self._session = session
        self._word = word

    def run(self, names, feed):
        """Answer, or fail as onnxruntime does where a text is looked up beyond a table."""
        if self._word is None or (feed["input_ids"] == self._word).any():
            raise RuntimeError("indices element out of data bounds")
        return self._session.run(names, feed)


@pytest.mark.parametrize("texts", [["~ profit rose"], ["Profit rose", "~ profit rose", "Shares fell"]])
def test_a_text_that_a_graph_fails_at_is_abstained_from(tiny: Path, texts: list[str]) -> None:
    """Alone as with others, and they have the answers they have without it."""
    model = load_text_model(tiny)
    plain = model.score(texts)
    model._session = Choosy(model._session, words().index("~"))
    rows = model.score(texts)
    failed = [text.startswith("~") for text in texts]
    assert (np.isnan(rows).all(axis=1) == failed).all()
    assert rows[~np.array(failed)].tobytes() == plain[~np.array(failed)].tobytes()
    assert (model.failed, model.non_finite, model.abstained) == (1, 0, 0)


def test_a_text_that_a_tokenizer_fails_at_is_abstained_from(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a graph does; a wish to stop is no failure."""
    model = load_text_model(tiny)
    row = model._tokenizer.row
    raised: BaseException = OperatorError("panicked", code="TOKENIZER")

    def fails(text: str):
        if "~" in text:
            raise raised
        return row(text)

    monkeypatch.setattr(model._tokenizer, "row", fails)
    assert np.isnan(model.score(["Profit rose", "~ rose"])).all(axis=1).tolist() == [False, True]
    raised = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        model.score(["~ rose"])


def test_a_session_that_fails_at_every_text_is_a_fault(tiny: Path) -> None:
    """Nobody could judge; that is no word about the texts, and none is put down as abstained from."""
    model = load_text_model(tiny)
    model._session = Choosy(model._session, None)
    with pytest.raises(OperatorError, match="out of data bounds") as caught:
        model.score(["Profit rose", "Shares fell"])
    assert caught.value.code == "MODEL_OUTPUT"
    assert model.failed == 0
    assert np.isnan(model.score([""])).all()  # it needs nobody's judgement


def test_a_model_that_fails_at_a_plain_sentence_is_refused(tiny: Path) -> None:
    """Whoever loads it hears of the failure, not of an answer that is no number."""
    model = load_text_model(tiny)
    model._session = Choosy(model._session, words().index("plunged"))
    for check in (model.check_independence, lambda: model.ask(TEXTS)):
        with pytest.raises(OperatorError, match="out of data bounds"):
            check()


@pytest.mark.long
def test_bert_base_of_random_weights_keeps_its_shape(tmp_path: Path) -> None:
    """Twelve layers of 768, eight bits: 110 MB, checked, loaded, asked, equal alone and together."""
    network = BertConfig("bert", 768, 12, 12, 3072, 512, len(words()))
    graph = write_bert(random_weights(network, 3, seed=6), network, 3, "test", int8=True)
    assert 80e6 < len(graph) < 100e6  # 85 million weights of the layers; the vocabulary here is a small one
    model = load_text_model(write_model(tmp_path / "m", graph), probe=False)
    rows = model.score(TEXTS)
    assert np.isfinite(rows).all()
    assert model.score(TEXTS[3:4]).tobytes() == rows[3:4].tobytes()


def test_a_real_model_means_what_it_says(reference: Path) -> None:
    """MiniLM trained on PhraseBank: every check holds, label order among them."""
    checks = verify_text_model(reference)
    assert {check.name: check.ok for check in checks} == dict.fromkeys(
        ("manifest", "digests", "structure", "trial", "load", "labels", "odd texts", "independence"), True
    )
    model = load_text_model(reference)
    said = model.score(["Net loss widened and the company filed for bankruptcy.", "Operating profit doubled."])
    assert [LABELS[i] for i in said.argmax(axis=1)] == ["negative", "positive"]


def test_verify_names_what_does_not_hold(tmp_path: Path, tiny: Path) -> None:
    """And stops where what comes next has nothing to stand on."""
    assert all(check.ok for check in verify_text_model(tiny))
    swapped = verify_text_model(write_model(tmp_path / "m", labels=["negative", "positive", "neutral"]))
    assert [check.name for check in swapped if not check.ok] == ["labels"]
    (tmp_path / "m" / "model.onnx").write_bytes(b"")
    broken = verify_text_model(tmp_path / "m")
    assert [(check.name, check.ok) for check in broken] == [("manifest", True), ("digests", False)]
