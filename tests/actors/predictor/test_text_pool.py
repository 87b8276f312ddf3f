"""The pool's side of headlines: models loaded when they are asked, texts remembered by model and content."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.columns import unpack_f64
from actors.messages.inference import PredictionUnavailable
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.pool.inprocess import InProcessPool
from actors.predictor.pool.texts import HeadlineCache, TextPool
from actors.predictor.text.lexicon import Lexicon
from daemon.kernel.errors import OperatorError
from tests.actors.predictor.newsroom import MODEL, Said

LEXICON = Lexicon().model_id


def request(*texts: str, model_id: str = LEXICON) -> SentimentRequested:
    """Ask about texts."""
    return SentimentRequested("news-1", model_id, tuple(f"n{i}" for i in range(len(texts))), texts, 0)


def rows(answer: SentimentReady | PredictionUnavailable) -> np.ndarray:
    """Return ``[n, 3]`` of an answer."""
    assert isinstance(answer, SentimentReady)
    return unpack_f64(answer.p).reshape(-1, 3)


def test_the_pool_answers_what_the_model_says() -> None:
    """In the order of the texts, with the ids of the headlines; abstentions are rows of NaN."""
    pool = InProcessPool([], texts={LEXICON: Lexicon})
    texts = ("Shares plunge after profit warning", "", "Profit rises strongly", "Shares plunge after profit warning")
    answer = pool.sentiment(request(*texts))
    assert isinstance(answer, SentimentReady)
    assert (answer.request_id, answer.model_id, answer.news_ids) == ("news-1", LEXICON, ("n0", "n1", "n2", "n3"))
    found, said = rows(answer), Lexicon().score(list(texts))
    assert np.array_equal(found, said, equal_nan=True)
    assert found[0, 0] > found[0, 2]
    assert found[2, 2] > found[2, 0]
    assert np.isnan(found[1]).all()


def test_a_model_is_loaded_when_it_is_first_asked_and_never_again() -> None:
    """Not at all where nobody asks."""
    loads = []

    def load() -> Said:
        loads.append(1)
        return Said()

    pool = TextPool({MODEL: load})
    assert loads == []
    pool.sentiment(request("a 0 0 1", model_id=MODEL))
    pool.sentiment(request("b 0 0 1", model_id=MODEL))
    assert loads == [1]


def test_a_text_is_computed_once() -> None:
    """Within a request, and over requests; hits and misses are counted by text."""
    said = Said()
    pool = TextPool({MODEL: lambda: said})
    first = rows(pool.sentiment(request("a 0 0 1", "b 1 0 0", "a 0 0 1", "", model_id=MODEL)))
    again = rows(pool.sentiment(request("", "b 1 0 0", "c 0 1 0", model_id=MODEL)))
    assert said.asked == ["a 0 0 1", "b 1 0 0", "", "c 0 1 0"]
    assert first[0].tolist() == first[2].tolist() == [0, 0, 1]
    assert again[1:].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert np.isnan(again[0]).all()
    assert (pool.cache.hits, pool.cache.misses, len(pool.cache)) == (2, 5, 4)
    assert pool.cache.hit_rate == pytest.approx(2 / 7)


def test_what_was_asked_for_the_longest_time_ago_is_forgotten_first() -> None:
    """The memory is bounded."""
    cache = HeadlineCache(2)
    assert cache.hit_rate == 0.0
    for text in "ab":
        cache.put("m", text, (0.0, 0.0, 1.0))
    assert cache.get("m", "a") is not None
    cache.put("m", "c", (1.0, 0.0, 0.0))
    assert [cache.get("m", text) is not None for text in "abc"] == [True, False, True]
    assert cache.get("other", "a") is None  # another model knows nothing of it


def test_a_model_that_is_not_there_is_unavailable() -> None:
    """Or is another one than its name says: never a score of something else."""
    assert InProcessPool([]).sentiment(request("x")) == PredictionUnavailable(
        "news-1", LEXICON, "no such text model in this run"
    )
    wrong = TextPool({MODEL: Lexicon})
    assert wrong.sentiment(request("x", model_id=MODEL)) == PredictionUnavailable(
        "news-1", MODEL, f"what was loaded is {LEXICON}"
    )


def test_a_model_that_cannot_be_loaded_says_so_each_time() -> None:
    """Its own sentence reaches whoever asked; it is read but once, for that takes long."""
    loads = []

    def load() -> Said:
        loads.append(1)
        raise OperatorError("model.onnx is not what the manifest says", code="MODEL_DIGEST")

    pool = TextPool({MODEL: load})
    for _ in range(2):
        with pytest.raises(OperatorError, match="not what the manifest says"):
            pool.sentiment(request("x", model_id=MODEL))
    assert loads == [1]


@settings(deadline=None)
@given(st.lists(st.text(max_size=30), max_size=8), st.lists(st.text(max_size=30), max_size=8))
def test_what_was_asked_before_changes_no_answer(before: list[str], texts: list[str]) -> None:
    """With whatever memory, and in whatever company, a text's scores are its own, to the bit."""
    warm = TextPool({LEXICON: Lexicon}, HeadlineCache(3))
    warm.sentiment(request(*before))
    cold = TextPool({LEXICON: Lexicon})
    one, other = warm.sentiment(request(*texts)), cold.sentiment(request(*texts))
    assert one == other
