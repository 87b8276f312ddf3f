"""Who answers where the host does not, how long it may take, and what is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actors.messages.columns import pack_f64, unpack_f64
from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.pool import link as link_module
from actors.predictor.pool.breaker import Breaker
from actors.predictor.pool.frames import BUSY, Answered, Ask, Frame, Look, Taken, pack
from actors.predictor.pool.host import HostPool, RefusedModel
from actors.predictor.pool.link import Link
from actors.predictor.text.lexicon import Lexicon
from tests.inference.support import Elsewhere, asking, reachable, running, table, until
from tests.inference.test_link import WELCOME, Pretender, answered, pretending, silent

NEWS = SentimentRequested("s", "m@1", ("a", "b"), ("one", "two"), 0)
AWAY = "the inference host has not been reached yet"


class Here(Elsewhere):
    """The daemon's own models: some it does not have, some break, some take their time."""

    def predict(self, request: InferenceRequested) -> PredictionReady | PredictionUnavailable:
        """Answer as the model's name says."""
        name = request.model_id.partition("@")[0]
        if name == "none":
            return PredictionUnavailable(request.request_id, request.model_id, "no such model in this run")
        if name == "broken":
            raise ZeroDivisionError("division by nothing")
        if name == "slow":
            time.sleep(0.3)
        return super().predict(request)


def degraded(folder: Path, request: InferenceRequested) -> PredictionReady | PredictionUnavailable:
    """Return what the daemon answers where no host is, within 20 s."""
    pool = HostPool(str(folder / "nobody"), deadline_s=20.0, fallback=Here())
    pool._fallback.start(None)  # type: ignore[union-attr] # without the link: the reason stays the first
    try:
        return pool.predict(request)
    finally:
        pool.close()


def test_what_the_daemon_cannot_compute_either_is_told_with_both_reasons(tmp_path: Path) -> None:
    """Why the host was not asked, and what is wrong here."""
    none = degraded(tmp_path, table(1, model_id="none@1"))
    assert none == PredictionUnavailable("a-0", "none@1", f"{AWAY}; here: no such model in this run")
    broken = degraded(tmp_path, table(1, model_id="broken@1"))
    said = f"{AWAY}; here: ZeroDivisionError: division by nothing"
    assert broken == PredictionUnavailable("a-0", "broken@1", said)


def test_the_daemon_may_take_what_the_host_has_left_of_the_deadline(tmp_path: Path) -> None:
    """0.3 s of 20, which is more than the 45 ms that it gets where nothing is left."""
    assert isinstance(degraded(tmp_path, table(1, model_id="slow@1")), PredictionReady)


def test_who_asks_a_pool_that_was_closed_does_not_wait_for_its_deadline(tmp_path: Path) -> None:
    """The daemon stops: what is asked at that moment would keep its thread, and the daemon, for up to a minute."""
    pool = HostPool(str(tmp_path / "nobody"), deadline_s=60.0, fallback=Elsewhere())
    pool._fallback.start(None)  # type: ignore[union-attr]
    assert isinstance(pool.predict(table(1)), PredictionReady)
    pool.close()
    began = time.monotonic()
    for number in range(3):
        answer = pool.predict(table(1, number))
        assert isinstance(answer, PredictionUnavailable)
        assert answer.reason.startswith(AWAY)
    assert time.monotonic() - began < 20


def test_headlines_are_scored_by_the_daemon_as_well_and_remembered(tmp_path: Path) -> None:
    """Neutral, as the stand-in says; asked again nobody computes; its thread ends with the pool."""
    elsewhere = Elsewhere()
    with pretending(tmp_path, pack(WELCOME), silent, fallback=elsewhere, taken_s=0.05) as (_, pool):
        for _ in range(2):
            answer = pool.sentiment(NEWS)
            assert isinstance(answer, SentimentReady)
            assert unpack_f64(answer.p).tolist() == [0.0, 1.0, 0.0] * 2
        assert elsewhere.asked == ["s"]
        facts = pool.facts()
        assert (facts.degraded, facts.answered, facts.unavailable) == (1, 0, 0)
        assert (facts.cache_hits, facts.cache_misses, facts.cache_size) == (2, 2, 2)
        assert any(t.name == "inference-fallback" for t in threading.enumerate())
    until(lambda: not any(t.name == "inference-fallback" for t in threading.enumerate()), "the thread's end", 20)


def test_only_headlines_that_are_not_known_are_asked_about(tmp_path: Path) -> None:
    """Each once, under its own id, and the answer is in the order of the question."""
    asked: list[SentimentRequested] = []
    p = {"one": [1.0, 0.0, 0.0], "two": [0.0, 1.0, 0.0], "three": [0.0, 0.0, 1.0]}

    def reply(ask: Ask) -> list[Frame]:
        assert isinstance(ask.request, SentimentRequested)
        asked.append(ask.request)
        rows = pack_f64([x for text in ask.request.texts for x in p[text]])
        return [Answered(ask.number, SentimentReady("s", "m@1", ask.request.news_ids, rows))]

    with pretending(tmp_path, pack(WELCOME), reply, deadline_s=20.0) as (_, pool):
        reachable(pool)
        assert isinstance(pool.sentiment(NEWS), SentimentReady)
        texts = ("three", "two", "three", "one")
        again = pool.sentiment(SentimentRequested("s", "m@1", ("c", "d", "e", "f"), texts, 0))
        assert isinstance(again, SentimentReady)
        assert again.news_ids == ("c", "d", "e", "f")
        assert unpack_f64(again.p).tolist() == [x for text in texts for x in p[text]]
        assert [request.texts for request in asked] == [("one", "two"), ("three",)]
        assert asked[1].news_ids == ("e",)  # the last of those that ask the same
        other = pool.sentiment(SentimentRequested("s", "m@2", ("a",), ("one",), 0))  # another model, another memory
        assert isinstance(other, PredictionUnavailable)
        assert "answered s of m@1" in other.reason


def no(ask: Ask, fault: str) -> list[Frame]:
    """Return a refusal."""
    return [
        Taken(ask.number),
        Answered(ask.number, PredictionUnavailable(ask.request.request_id, ask.request.model_id, "no room"), fault),
    ]


def test_a_host_that_is_full_three_times_is_left_alone(tmp_path: Path) -> None:
    """It is to blame, no model is; each time the daemon computed. What did not come from the host is timed apart."""
    elsewhere = Elsewhere()

    def reply(ask: Ask) -> list[Frame]:
        return no(ask, BUSY) if ask.request.request_id != "a-0" else [Answered(ask.number, answered(ask))]

    with pretending(tmp_path, pack(WELCOME), reply, fallback=elsewhere, deadline_s=20.0) as (_, pool):
        reachable(pool)
        assert isinstance(pool.predict(table(1, 0)), PredictionReady)
        facts = pool.facts()
        assert (facts.breaker, facts.reason, facts.last_degraded_ms, facts.opened) == ("closed", "", 0.0, 0)
        assert facts.p50_ms == facts.p99_ms > 0.0
        for number in (1, 2, 3):
            assert pool.facts().breaker == "closed"
            assert isinstance(pool.predict(table(1, number)), PredictionReady)
        facts = pool.facts()
        assert (facts.opened, facts.refused, facts.degraded) == (1, (), 3)
        assert facts.last_degraded_ms > 0.0
        assert elsewhere.asked == ["a-1", "a-2", "a-3"]


def test_a_model_the_host_does_not_have_is_named_until_it_has_it(tmp_path: Path) -> None:
    """With who computed it; the host is well."""
    has: list[str] = []

    def reply(ask: Ask) -> list[Frame]:
        return [Answered(ask.number, answered(ask))] if has else no(ask, "")

    model_id = table(1).model_id
    with pretending(tmp_path, pack(WELCOME), reply, fallback=Elsewhere(), deadline_s=20.0) as (_, pool):
        reachable(pool)
        assert isinstance(pool.predict(table(1)), PredictionReady)
        assert pool.facts().refused == (RefusedModel(model_id, "no room", True),)
        assert pool.facts().breaker == "closed"
        has.append(model_id)
        assert isinstance(pool.predict(table(1)), PredictionReady)
        assert (pool.facts().refused, pool.facts().answered) == ((), 1)


# -- how often a host is looked for ------------------------------------------------------------------------------------


def test_a_host_that_is_away_is_looked_for_ten_times_a_second(tmp_path: Path) -> None:
    """Five times take at least four pauses."""
    lost: list[str] = []

    class Counting(Breaker):
        def lost(self, reason: str) -> None:
            lost.append(reason)
            super().lost(reason)

    link = Link(str(tmp_path / "nobody"), Counting(), "a test")
    began = time.monotonic()
    link.start()
    try:
        until(lambda: len(lost) >= 5, "five looks", 20)
        assert time.monotonic() - began >= 0.4
        assert "No such file" in lost[0]
    finally:
        link.close()


@pytest.mark.parametrize(("closed", "least"), [(True, 1.6), (False, 0.0)])
def test_a_host_that_is_well_is_asked_after_its_health_once_in_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: bool, least: float
) -> None:
    """Every 0.4 s here where the breaker is closed; before that at every knock, so that it need not wait for it."""
    monkeypatch.setattr(link_module, "LOOK_S", 0.4)
    monkeypatch.setattr(link_module, "KNOCK_S", 0.02)
    looks: list[float] = []

    def reply(ask: Ask) -> list[Frame]:
        return [Answered(ask.number, answered(ask))]

    host = Counted(tmp_path / "s", pack(WELCOME), reply, looks)
    pool = HostPool(str(tmp_path / "s"), deadline_s=20.0, fallback=None, taken_s=20.0)
    pool.start()
    try:
        reachable(pool)
        if closed:
            assert isinstance(pool.predict(table(1)), PredictionReady)
            until(lambda: len(looks) >= 2, "a look after it was closed", 20)
        first = len(looks)
        until(lambda: len(looks) >= first + 5, "five looks", 20)
        took = looks[first + 4] - looks[first]
        assert took >= least
        assert closed or took < 1.6
    finally:
        pool.close()
        host.close()


class Counted(Pretender):
    """Notes when it is asked after its health."""

    def __init__(self, path: Path, first: bytes, reply: Callable[[Ask], list[Frame]], looks: list[float]) -> None:
        """Listen."""
        self.looks = looks
        super().__init__(path, first, reply)

    def looked(self, frame: Look) -> None:
        """Note the time."""
        self.looks.append(time.monotonic())


def test_the_words_of_a_real_host_are_remembered_as_the_models(tmp_path: Path) -> None:
    """NaN rows, where a model abstains, are remembered like others."""
    request = SentimentRequested("s", Lexicon().model_id, ("a", "b"), ("", "Shares plunge"), 0)
    with running("inference.workers=1") as host, asking(host) as pool:
        reachable(pool)
        first, second = pool.sentiment(request), pool.sentiment(request)
        assert first == second
        assert isinstance(first, SentimentReady)
        rows = unpack_f64(first.p).reshape(-1, 3)
        assert np.isnan(rows[0]).all()
        assert np.isclose(rows[1].sum(), 1.0)
        assert (pool.facts().answered, pool.facts().cache_hits) == (1, 2)
