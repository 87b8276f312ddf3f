"""How requests become calls: tables many rows together, texts a few, nobody's twice, nobody's after its time."""

from __future__ import annotations

import numpy as np

from actors.messages.columns import pack_f64, unpack_f64
from actors.messages.inference import PredictionUnavailable
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.pool.frames import Answered, Request
from daemon.inference.batching import ROWS, TEXTS, TOGETHER, Batcher, Job
from tests.inference.support import table


def nobody(answered: Answered) -> None:
    """Take an answer."""


def job(request: Request, deadline: float = 100.0) -> Job:
    """Return a job that came at 0."""
    return Job(1, request, 0.0, deadline, nobody)


def texts(n: int, name: str = "t") -> SentimentRequested:
    """Return a request to score ``n`` texts."""
    return SentimentRequested(
        name, "m@1", tuple(f"{name}{i}" for i in range(n)), tuple(f"text {i}" for i in range(n)), 0
    )


def sizes(batcher: Batcher) -> list[list[int]]:
    """Return the sizes of the parts of each call, until nothing waits."""
    found = []
    while call := batcher.take(1.0)[0]:
        found.append([len(p.request.ids) // 4 if hasattr(p.request, "ids") else len(p.request.texts) for p in call])
    return found


def test_small_tables_travel_together_until_there_are_a_hundred_rows() -> None:
    """20 + 20 + 20 + 20 + 20 = 100 rows are enough; what is more goes with the next worker."""
    batcher = Batcher()
    for _ in range(7):
        batcher.add(job(table(20)))
    assert sizes(batcher) == [[20] * 5, [20] * 2]
    assert ROWS == 100


def test_a_call_carries_so_many_requests_at_most() -> None:
    """However small they are."""
    batcher = Batcher()
    for _ in range(TOGETHER + 1):
        batcher.add(job(table(1)))
    assert [len(call) for call in sizes(batcher)] == [TOGETHER, 1]


def test_texts_are_cut_into_eights_and_put_together_to_eights() -> None:
    """20 texts are three parts; the last of them leaves room for four more, and not for five."""
    batcher = Batcher()
    for n in (20, 4, 5, 3):
        batcher.add(job(texts(n)))
    assert sizes(batcher) == [[8], [8], [4, 4], [5, 3]]
    assert TEXTS == 8


def test_tables_come_before_texts() -> None:
    """A decision waits for them."""
    batcher = Batcher()
    batcher.add(job(texts(8)))
    batcher.add(job(table(500)))
    assert sizes(batcher) == [[500], [8]]


def test_what_is_over_is_not_computed() -> None:
    """A job whose time is over comes back once, however many parts it has; one that was answered does not."""
    batcher = Batcher()
    late, answered, good = job(texts(20), deadline=0.5), job(texts(3)), job(texts(2))
    for one in (late, answered, good):
        batcher.add(one)
    answered.over = True
    call, stale = batcher.take(1.0)
    assert [part.job for part in call] == [good]
    assert stale == [late]
    assert len(batcher) == 0


def test_the_parts_of_an_answer_come_together_in_their_order() -> None:
    """Whoever finishes first; one refusal refuses all, once."""
    batcher = Batcher()
    whole, refused = job(texts(20)), job(texts(20))
    batcher.add(whole)
    p = np.arange(60.0) / 100
    for index, (start, stop) in reversed(list(enumerate([(0, 24), (24, 48), (48, 60)]))):
        request = batcher.take(1.0)[0][0].request
        assert isinstance(request, SentimentRequested)
        answer = whole.put(index, SentimentReady("t", "m@1", request.news_ids, pack_f64(p[start:stop])))
        assert (answer is None) == (index > 0)
    assert isinstance(answer, SentimentReady)
    assert answer.news_ids == texts(20).news_ids
    assert np.array_equal(unpack_f64(answer.p), p)
    batcher.add(refused)
    no = PredictionUnavailable("t", "m@1", "no")
    assert [refused.put(1, no), refused.put(2, no)] == [no, None]


def test_what_a_client_asked_is_forgotten_when_it_has_gone() -> None:
    """Nobody computes for nobody."""
    batcher = Batcher()

    def other(answered: Answered) -> None:
        """Take an answer."""

    batcher.add(job(table(5)))
    batcher.add(Job(2, table(6), 0.0, 100.0, other))
    batcher.forget(nobody)
    assert sizes(batcher) == [[6]]
