"""A host that lies, hangs up on everybody or talks for ever: no prediction of it is used, and nothing of it stays."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from actors.messages.columns import pack_f64, unpack_f64
from actors.messages.inference import PredictionReady, PredictionUnavailable
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.pool import host as pool_module
from actors.predictor.pool.breaker import Breaker, BreakerState
from actors.predictor.pool.frames import (
    BUSY,
    DIED,
    DOWN,
    OVERDUE,
    QUEUED,
    SAID_MAX,
    Answered,
    Ask,
    Failed,
    Frame,
    Refused,
    Taken,
    pack,
    short,
)
from actors.predictor.pool.link import KNOCK_S, Link, LinkError
from actors.predictor.pool.texts import are_scores
from tests.inference.support import Elsewhere, reachable, table, until
from tests.inference.test_link import WELCOME, Pretender, answered, pretending, silent

NEWS = SentimentRequested("s", "m@1", ("a", "b"), ("one", "two"), 0)


def scores(ask: Ask, p: bytes) -> Frame:
    """Return an answer to a question about headlines."""
    assert isinstance(ask.request, SentimentRequested)
    return Answered(ask.number, SentimentReady("s", "m@1", ask.request.news_ids, p))


# -- the connection ----------------------------------------------------------------------------------------------------


def test_a_host_that_hangs_up_on_everybody_is_called_no_more_often_than_one_that_is_away(tmp_path: Path) -> None:
    """It greets and closes: each try waits for the next knock, or the daemon would do nothing else."""

    class Moody(Pretender):
        def _serve(self, link: socket.socket) -> None:
            link.recv(65536)
            link.sendall(pack(WELCOME))
            link.shutdown(socket.SHUT_RDWR)

    host = Moody(tmp_path / "s", b"", silent)
    link = Link(str(tmp_path / "s"), Breaker(), "a test")
    began = time.monotonic()
    link.start()
    try:
        until(lambda: host.connected >= 6, "six connections", 20)
        assert time.monotonic() - began >= 5 * KNOCK_S
    finally:
        link.close()
        host.close()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_a_folder_into_which_others_may_write_is_not_looked_into(tmp_path: Path, mode: int) -> None:
    """Whoever could put a socket there would say what is traded; once the folder is its owner's, the host is used."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pretending(folder, pack(WELCOME), silent) as (host, pool):
        until(lambda: "others may write into" in pool.facts().reason, "the reason", 20)
        assert host.connected == 0
        folder.chmod(0o750)
        reachable(pool)


@contextmanager
def many_open() -> Iterator[None]:
    """Have more than 1,024 descriptors open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2_048:
        pytest.skip("this process may not open so many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2_048), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1_100):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield


def test_a_daemon_with_a_thousand_files_open_asks_all_the_same(tmp_path: Path) -> None:
    """``select`` knows no descriptor above 1,023; the unit allows 4,096."""
    with (
        many_open(),
        pretending(tmp_path, pack(WELCOME), lambda ask: [Answered(ask.number, answered(ask))]) as (_, pool),
    ):
        reachable(pool)
        assert isinstance(pool.predict(table(2)), PredictionReady)


def test_who_cannot_write_because_another_is_writing_waits_no_longer_than_for_the_host(tmp_path: Path) -> None:
    """Eight askers of a host that does not read wait side by side, not one behind the other."""
    link = Link(str(tmp_path / "s"), Breaker(), "a test", taken_s=0.05)
    with link._sending:
        began = time.monotonic()
        with pytest.raises(LinkError, match="does not read"):
            link.ask(table(1), 5.0)
        assert 0.05 <= time.monotonic() - began < 4.0


def test_a_path_no_socket_can_have_is_said(tmp_path: Path) -> None:
    """Not only that it was an OSError."""
    breaker = Breaker()
    link = Link(str(tmp_path / ("x" * 200)), breaker, "a test")
    link.start()
    try:
        until(lambda: "too long" in breaker.reason, "the reason", 20)
    finally:
        link.close()


class Dropping(Pretender):
    """Hangs up on the first request, after ``before``; answers the second."""

    def __init__(self, path: Path, before: Callable[[Ask], list[Frame]]) -> None:
        """Listen."""
        self.heard: list[Ask] = []
        self._before = before
        super().__init__(path, pack(WELCOME), silent)

    def _serve(self, link: socket.socket) -> None:
        def reply(ask: Ask) -> list[Frame]:
            self.heard.append(ask)
            if len(self.heard) > 1:
                return [Taken(ask.number), Answered(ask.number, answered(ask))]
            for frame in self._before(ask):
                link.sendall(pack(frame))
            link.shutdown(socket.SHUT_RDWR)
            return []

        self._reply = reply
        super()._serve(link)


@contextmanager
def dropping(
    folder: Path, before: Callable[[Ask], list[Frame]], fallback: Elsewhere
) -> Iterator[tuple[Dropping, pool_module.HostPool]]:
    """Run a host that drops the first request, and a client of it."""
    host = Dropping(folder / "s", before)
    pool = pool_module.HostPool(str(folder / "s"), deadline_s=20.0, fallback=fallback, taken_s=20.0)
    pool.start()
    try:
        reachable(pool)
        yield host, pool
    finally:
        pool.close()
        host.close()


def test_a_request_that_was_lost_before_it_was_read_is_sent_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is a connection again in time, here five seconds; under another number."""
    monkeypatch.setattr(pool_module, "AGAIN_S", 5.0)
    elsewhere = Elsewhere()
    with dropping(tmp_path, lambda _: [], elsewhere) as (host, pool):
        assert isinstance(pool.predict(table(2)), PredictionReady)
        first, second = host.heard
        assert first.request == second.request
        assert first.number != second.number
        assert 0 < second.budget_ms <= first.budget_ms <= 20_000
        assert (pool.facts().answered, elsewhere.asked) == (1, [])


def test_a_request_that_was_read_before_the_connection_was_lost_is_sent_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host may have died of it."""
    monkeypatch.setattr(pool_module, "AGAIN_S", 5.0)
    elsewhere = Elsewhere()
    with dropping(tmp_path, lambda ask: [Taken(ask.number)], elsewhere) as (host, pool):
        answer = pool.predict(table(2))
        assert isinstance(answer, PredictionUnavailable)
        assert "may have died of this request" in answer.reason
        assert (len(host.heard), elsewhere.asked) == (1, [])


def test_a_request_that_was_lost_for_longer_is_computed_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no connection within the time: nobody has read it, so nobody is to blame."""
    monkeypatch.setattr(pool_module, "AGAIN_S", 0.0)
    elsewhere = Elsewhere()
    with dropping(tmp_path, lambda _: [], elsewhere) as (host, pool):
        assert isinstance(pool.predict(table(2)), PredictionReady)
        assert (len(host.heard), elsewhere.asked) == (1, ["a-0"])


# -- what it says of itself --------------------------------------------------------------------------------------------

ENDLESS = "\x1b[2J\nno " + "words " * 200_000


def test_an_endless_refusal_is_a_line_of_bounded_length(tmp_path: Path) -> None:
    """It stands in the ledger with every decision, in alerts and on people's terminals."""
    with pretending(tmp_path, pack(Refused("X", ENDLESS)), silent) as (_, pool):
        until(lambda: "refuses" in pool.facts().reason, "the refusal", 20)
        answer = pool.predict(table(1))
        assert isinstance(answer, PredictionUnavailable)
        for said in (pool.facts().reason, answer.reason):
            assert len(said) <= SAID_MAX + 200
            assert said.isprintable()
            assert "[2J no words words" in said


@pytest.mark.parametrize("fault", ["", BUSY, DIED])
def test_an_endless_reason_is_a_line_of_bounded_length(tmp_path: Path, fault: str) -> None:
    """Of a request, whether the host is to blame or not."""

    def reply(ask: Ask) -> list[Frame]:
        no = PredictionUnavailable(ask.request.request_id, ask.request.model_id, ENDLESS)
        return [Answered(ask.number, no, fault)]

    with pretending(tmp_path, pack(WELCOME), reply) as (_, pool):
        reachable(pool)
        answer = pool.predict(table(1))
        assert isinstance(answer, PredictionUnavailable)
        assert len(answer.reason) <= SAID_MAX + 200
        assert answer.reason.isprintable()
        assert "no words words" in answer.reason


SAID = {
    "": "",
    "all is well": "all is well",
    "two\nlines\tand  more": "two lines and more",
    "a" * 300: "a" * 300,
    "b" * 301: "b" * 300 + " …",
    "\x00\x1b\u202e": "",
}


@pytest.mark.parametrize("said", SAID)
def test_what_the_other_end_says_is_one_line(said: str) -> None:
    """300 characters of it; what a terminal would act on is a space."""
    assert short(said) == SAID[said]


# -- answers -----------------------------------------------------------------------------------------------------------


def asked(reply: Callable[[Ask], list[Frame]], folder: Path, fallback: Elsewhere | None = None) -> object:
    """Return what comes of a request for two symbols."""
    with pretending(folder, pack(WELCOME), reply, fallback=fallback) as (_, pool):
        reachable(pool)
        answer = pool.predict(table(2))
        facts = pool.facts()
        assert (facts.answered, facts.degraded, facts.unavailable) == (0, 0, 1)
        return answer


def test_a_refusal_of_another_request_refuses_this_one(tmp_path: Path) -> None:
    """The question that is open is the one that gets an answer."""
    no = PredictionUnavailable("b-9", "other@1", "died of it")
    answer = asked(lambda ask: [Answered(ask.number, no, DIED)], tmp_path)
    assert isinstance(answer, PredictionUnavailable)
    assert (answer.request_id, answer.model_id) == ("a-0", table(2).model_id)


@pytest.mark.parametrize("fault", [OVERDUE, DIED, "of a later version"])
def test_an_answer_beside_a_fault_is_none(tmp_path: Path, fault: str) -> None:
    """A fault that may be the request's own, or that nobody here knows: it is not computed in the daemon either."""
    elsewhere = Elsewhere()
    answer = asked(lambda ask: [Answered(ask.number, answered(ask), fault)], tmp_path, elsewhere)
    assert isinstance(answer, PredictionUnavailable)
    assert elsewhere.asked == []


def test_what_a_model_of_the_host_failed_at_is_computed_by_nobody(tmp_path: Path) -> None:
    """It may want all memory there is: its worker was not given it, the daemon would take it. The model is named."""
    elsewhere = Elsewhere()

    def reply(ask: Ask) -> list[Frame]:
        return [Answered(ask.number, Failed(ask.request.request_id, ask.request.model_id, "it wants 8 GiB"))]

    with pretending(tmp_path, pack(WELCOME), reply, fallback=elsewhere) as (_, pool):
        reachable(pool)
        for _ in range(4):
            assert pool.predict(table(2)) == PredictionUnavailable("a-0", table(2).model_id, "it wants 8 GiB")
        assert elsewhere.asked == []
        facts = pool.facts()
        assert (facts.breaker, facts.unavailable, facts.degraded) == (BreakerState.CLOSED, 4, 0)
        assert facts.refused == (pool_module.RefusedModel(table(2).model_id, "it wants 8 GiB", here=False),)


@pytest.mark.parametrize(
    "changes", [{"ids": b"\0" * 12}, {"p_up": b"\0" * 8}, {"p_up": b"\0" * 13}, {"score": b""}, {"score": b"\0" * 24}]
)
def test_an_answer_that_does_not_fit_is_not_counted_as_one(tmp_path: Path, changes: dict[str, bytes]) -> None:
    """For three symbols where two were asked, or columns of another length: nobody answered.

    The core would take the strategy for broken, and switch it off after three of them.
    """
    answer = asked(lambda ask: [Answered(ask.number, answered(ask, **changes))], tmp_path)
    assert isinstance(answer, PredictionUnavailable)
    assert "does not fit" in answer.reason


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("fault", [BUSY, DOWN, QUEUED])
def test_a_host_that_says_at_its_deadline_that_nobody_was_free_is_believed(
    tmp_path: Path, fault: str, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to answer within the deadline, and heard a little longer: the request is innocent, and computed here.

    A deadline of 0.3 s, a word that comes 0.3 s after the host has read the request, and five seconds of grace.
    """
    monkeypatch.setattr(pool_module, "GRACE_S", 5.0)
    elsewhere, budgets = Elsewhere(), []

    def reply(ask: Ask) -> list[Frame]:
        budgets.append(ask.budget_ms)
        time.sleep(ask.budget_ms / 1000)
        no = PredictionUnavailable(ask.request.request_id, ask.request.model_id, "no worker was free in time")
        return [Answered(ask.number, no, fault)]

    class Prompt(Pretender):
        """Says at once that it has read a request."""

        def _serve(self, link: socket.socket) -> None:
            self._reply = lambda ask: (link.sendall(pack(Taken(ask.number))), reply(ask))[1]
            super()._serve(link)

    host = Prompt(tmp_path / "s", pack(WELCOME), silent)
    pool = pool_module.HostPool(str(tmp_path / "s"), deadline_s=0.3, fallback=elsewhere if here else None, taken_s=5.0)
    pool.start()
    try:
        reachable(pool)
        answer = pool.predict(table(2))
        if here:
            assert isinstance(answer, PredictionReady)
            assert elsewhere.asked == ["a-0"]
        else:
            assert isinstance(answer, PredictionUnavailable)
            assert answer.reason == "no worker was free in time"
        assert 0 < budgets[0] <= 300
        assert pool.facts().late == 0
    finally:
        pool.close()
        host.close()


BAD_SCORES = {
    "more than one": [0.5, 0.5, 0.5, 0.2, 0.3, 0.5],
    "below none": [-0.1, 0.6, 0.5, 0.2, 0.3, 0.5],
    "above one": [1.1, -0.05, -0.05, 0.2, 0.3, 0.5],
    "endless": [np.inf, 0.0, 0.0, 0.2, 0.3, 0.5],
    "half abstained": [np.nan, 0.5, 0.5, 0.2, 0.3, 0.5],
    "half a number": [0.2, 0.3, 0.5],
}


@pytest.mark.parametrize("name", BAD_SCORES)
def test_scores_that_are_no_probabilities_are_not_remembered(tmp_path: Path, name: str) -> None:
    """A host that is mended is asked again, and its answer stands: nobody has to start the daemon anew."""
    bad = pack_f64(BAD_SCORES[name]) + (b"\0" * 21 if name == "half a number" else b"")
    good = [0.1, 0.2, 0.7, np.nan, np.nan, np.nan]
    answers = iter([bad, pack_f64(good)])
    with pretending(tmp_path, pack(WELCOME), lambda ask: [scores(ask, next(answers))]) as (_, pool):
        reachable(pool)
        first = pool.sentiment(NEWS)
        assert isinstance(first, PredictionUnavailable)
        assert "does not fit" in first.reason
        assert (pool.facts().cache_size, pool.facts().answered, pool.facts().unavailable) == (0, 0, 1)
        second = pool.sentiment(NEWS)
        assert isinstance(second, SentimentReady)
        assert np.array_equal(unpack_f64(second.p), np.array(good), equal_nan=True)
        assert pool.facts().cache_size == 2


SCORES = {
    "certain": ([1.0, 0.0, 0.0, 0.0, 0.0, 1.0], True),
    "a thousandth too much": ([0.2, 0.3, 0.501, 0.2, 0.3, 0.4991], True),
    "two thousandths too much": ([0.2, 0.3, 0.502, 0.2, 0.3, 0.5], False),
    "two thousandths too little": ([0.2, 0.3, 0.5, 0.2, 0.3, 0.498], False),
    "abstained": ([np.nan] * 6, True),
    "of one text": ([0.2, 0.3, 0.5], False),
    "of three texts": ([0.2, 0.3, 0.5] * 3, False),
    "of none": ([], False),
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_probabilities_within_a_thousandth(name: str) -> None:
    """Of two texts: the bounds are those by which the predictor judges them."""
    values, holds = SCORES[name]
    assert are_scores(np.array(values).tobytes(), 2) is holds


# -- the request on trial ----------------------------------------------------------------------------------------------


def test_a_request_that_cannot_be_written_does_not_use_the_trial_up(tmp_path: Path) -> None:
    """Half of a surrogate pair is no text, 18 MB are no frame: the host is neither well nor ill, and is asked next."""
    half = SentimentRequested("s", "m@1", ("a",), ("\ud800",), 0)

    def reply(ask: Ask) -> list[Frame]:
        return [Answered(ask.number, answered(ask))]

    with pretending(tmp_path, pack(WELCOME), reply) as (_, pool):
        until(lambda: pool.facts().breaker == BreakerState.HALF_OPEN, "a host that lives", 20)
        with pytest.raises(UnicodeEncodeError):
            pool.sentiment(half)
        assert pool.facts().breaker == BreakerState.HALF_OPEN
        huge = pool.predict(table(250_000))
        assert isinstance(huge, PredictionUnavailable)
        assert "longer than" in huge.reason
        assert pool.facts().breaker == BreakerState.HALF_OPEN
        assert isinstance(pool.predict(table(2)), PredictionReady)
        assert pool.facts().breaker == BreakerState.CLOSED
