"""What the columns of a model mean: read, not assumed, and tried."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from actors.predictor.text.labels import PROBES, parse_labels, read_labels, try_labels
from actors.predictor.text.manifest import LABELS
from daemon.kernel.errors import OperatorError


@pytest.mark.parametrize(
    ("id2label", "expected"),
    [
        ({"0": "positive", "1": "negative", "2": "neutral"}, ("positive", "negative", "neutral")),  # ProsusAI
        ({"0": "Neutral", "1": "Positive", "2": "Negative"}, ("neutral", "positive", "negative")),  # finbert-tone
        ({"2": "positive", "0": "negative", "1": "neutral"}, ("negative", "neutral", "positive")),
        ({0: "Bearish", 1: "Bullish", 2: "Neutral"}, ("negative", "positive", "neutral")),
    ],
)
def test_the_order_is_read_from_the_models_own_configuration(id2label: dict, expected: tuple[str, ...]) -> None:
    """Releases of the same model differ in it."""
    assert read_labels({"id2label": id2label}, "config.json") == expected


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"id2label": {}},
        {"id2label": ["positive", "negative", "neutral"]},
        {"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}},
        {"id2label": {"0": "positive", "1": "negative"}},
        {"id2label": {"0": "positive", "1": "negative", "2": "neutral", "3": "mixed"}},
        {"id2label": {"0": "positive", "1": "negative", "3": "neutral"}},
        {"id2label": {"a": "positive", "b": "negative", "c": "neutral"}},
        {"id2label": {"0": "positive", "1": "pos", "2": "neutral"}},
        {"id2label": {"0": None, "1": 1, "2": []}},
    ],
)
def test_labels_that_do_not_say_it_are_refused(config: dict) -> None:
    """By file and field, with a way out."""
    with pytest.raises(OperatorError) as caught:
        read_labels(config, "m/config.json")
    assert caught.value.code == "MODEL_LABELS"
    assert "m/config.json" in caught.value.message
    assert "id2label" in caught.value.message
    assert "--labels" in caught.value.remedy


def test_a_model_without_a_configuration_is_told_as_that() -> None:
    """There is no field to look for where there is no file."""
    with pytest.raises(OperatorError, match=r"there is no m/config\.json") as caught:
        read_labels({}, "m/config.json")
    assert "--labels" in caught.value.remedy


def test_labels_may_be_said_by_hand() -> None:
    """In any case, each once."""
    assert parse_labels(["POS", " neg", "Neutral"], "--labels") == ("positive", "negative", "neutral")


def knowing(order: tuple[int, ...]):
    """Return a scorer that knows every tone and gives its columns in another order."""
    tones = {text: i for i, tone in enumerate(LABELS) for text in PROBES[tone]}

    def score(texts):
        rows = np.full((len(texts), 3), 0.1)
        for row, text in zip(rows, texts, strict=True):
            row[tones[text]] = 0.8
        return rows[:, order]

    return score


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_only_the_right_order_passes(order: tuple[int, ...]) -> None:
    """Of six orders five are found out."""
    assert (try_labels(knowing(order)) == "") is (order == (0, 1, 2))


@pytest.mark.parametrize(
    ("tone", "opposite", "row"),
    [("positive", "negative", (0.5, 0.1, 0.4)), ("negative", "positive", (0.4, 0.1, 0.5))],
)
def test_one_sentence_in_six_may_be_missed_but_not_two(tone: str, opposite: str, row: tuple[float, ...]) -> None:
    """A small model is not perfect; its labels are not exchanged for that."""
    assert try_labels(missing(tone, 1, row)) == ""
    assert try_labels(missing(tone, 2, row)) == f"2 of 6 plainly {tone} sentences are called {opposite}"


def test_neutral_or_undecided_is_not_the_opposite() -> None:
    """Half of the plain sentences may look neutral, or as much one as the other, while the mean is right."""
    for row in ((0.1, 0.8, 0.1), (0.4, 0.2, 0.4)):
        assert try_labels(missing("positive", 2, row)) == ""
        assert try_labels(missing("negative", 2, row)) == ""


def test_neutral_sentences_may_lean() -> None:
    """To either side, as long as the mean is right."""
    assert try_labels(missing("neutral", 2, (0.6, 0.3, 0.1))) == ""


def missing(tone: str, count: int, row: tuple[float, ...]):
    """Return a scorer that answers some plain sentences of a tone with a row of its own."""
    right, missed = knowing((0, 1, 2)), PROBES[tone][:count]

    def score(texts):
        rows = right(texts)
        for found, text in zip(rows, texts, strict=True):
            if text in missed:
                found[:] = row
        return rows

    return score


def test_an_answer_that_is_no_number_does_not_pass() -> None:
    """Not even for one sentence."""
    assert "no number" in try_labels(lambda texts: np.full((len(texts), 3), np.nan))
