"""The list of words that stands in for a model: what it says, and that it says who it is."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from actors.predictor.text.labels import try_labels
from actors.predictor.text.lexicon import Lexicon
from actors.predictor.text.manifest import LABELS
from actors.predictor.text.verify import ODD_TEXTS


@pytest.fixture
def lexicon():
    """Return the list."""
    return Lexicon()


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Shares surge after earnings beat", "positive"),
        ("Shares plunge after profit warning", "negative"),
        ("The meeting is on Tuesday", "neutral"),
        ("Operating loss narrowed", "positive"),
        ("Net loss widened", "negative"),
        ("Debt fell", "positive"),
        ("Sales fell", "negative"),
        ("Sales did not grow", "negative"),
        ("Company files for Chapter 11", "negative"),
        ("No growth", "negative"),
    ],
)
def test_words_are_judged_with_those_around_them(lexicon, text: str, label: str) -> None:
    """Negations turn words round; less of a loss is good."""
    assert LABELS[lexicon.score([text])[0].argmax()] == label


def test_it_names_itself(lexicon) -> None:
    """Nobody shall take it for a model."""
    assert re.fullmatch(r"lexicon@[0-9a-f]{12}", lexicon.model_id)
    assert Lexicon().model_id == lexicon.model_id


def test_it_abstains_where_a_model_would(lexicon) -> None:
    """NaN, counted; the mistakes of feeds break nothing."""
    rows = lexicon.score(["", "12 %", *ODD_TEXTS, "profit"])
    assert np.isnan(rows[:2]).all()
    assert np.isfinite(rows[-1]).all()
    judged = rows[~np.isnan(rows[:, 0])]
    np.testing.assert_allclose(judged.sum(axis=1), 1.0, atol=2e-6)
    assert lexicon.abstained == len(rows) - len(judged)


def test_it_is_never_surer_than_two_words_make_it(lexicon) -> None:
    """Twenty words of praise are not twenty times as true."""
    one, two, many = lexicon.score(["surge", "surge and soar", "surge soar rally jump gain " * 20])
    assert one.tobytes() == two.tobytes() == many.tobytes()
    assert many.max() < 0.85


def test_plain_sentences_have_their_tone(lexicon) -> None:
    """The same that models are tried with."""
    assert try_labels(lexicon.score) == ""


@pytest.mark.parametrize(
    ("file", "column", "least"),
    [("phrasebank_train.csv.gz", "sentence", 0.70), ("twitter_financial_train.csv.gz", "text", 0.66)],
)
def test_how_often_it_is_right_is_what_the_page_says(lexicon, test_data: Path, file, column, least) -> None:
    """``ops/models.md`` names .706 of PhraseBank; of all tweets .661, where the largest class alone gives .647."""
    rows = pl.read_csv(test_data / file)
    said = lexicon.score(rows[column].to_list())
    labels = np.where(np.isnan(said[:, 0]), 1, np.nan_to_num(said).argmax(axis=1))
    right = [LABELS[i] == label for i, label in zip(labels, rows["label"].to_list(), strict=True)]
    assert least < np.mean(right) < least + 0.02
