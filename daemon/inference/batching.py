"""Requests cut into parts, and parts put together into calls of the right size for a worker. Pure.

A call costs Ray 0.6 ms whatever is in it, so tables travel many rows at a time; texts cost milliseconds each, so a long
list of them is cut into parts that several workers compute at once. Price models come first: a decision waits for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from actors.messages.inference import InferenceRequested, PredictionUnavailable
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.pool.frames import Answer, Answered, Begun, Request

TEXTS: Final = 8
"""Texts of a call at most."""
ROWS: Final = 100
"""Rows of a call at least, where so many wait."""
TOGETHER: Final = 64
"""Requests of a call at most."""


Tell = Callable[[Begun | Answered], None]
"""Takes what there is to say of a request, for the client that asked: that it is in good hands, and its answer."""


class Job(msgspec.Struct, eq=False):
    """A request on its way.

    Attributes:
        number: the client's own; tell: takes the answer.
        began, deadline: when it came and until when it is of use, seconds of a monotonic clock.
        answers: to its parts so far; missing: how many are not there yet.
        started: a worker has a part of it; over: its client has been told.
        begun: its client knows that it is in good hands.
    """

    number: int
    request: Request
    began: float
    deadline: float
    tell: Tell
    answers: list[Answer | None] = []
    missing: int = 0
    started: bool = False
    over: bool = False
    begun: bool = False

    def begin(self) -> None:
        """Say, once, that it is computed, or waits behind others that are."""
        if not self.begun and not self.over:
            self.begun = True
            self.tell(Begun(self.number))

    def put(self, index: int, answer: Answer) -> Answer | None:
        """Take the answer to a part; return the whole answer once it is there: one refusal refuses all."""
        if self.over:
            return None
        if isinstance(answer, PredictionUnavailable):
            self.over = True
            return answer
        self.answers[index] = answer
        self.missing -= 1
        if self.missing:
            return None
        self.over = True
        return _joined(self.request, self.answers)


class Part(msgspec.Struct, frozen=True, eq=False):
    """A piece of a job that one worker computes."""

    job: Job
    index: int
    request: Request


class Batcher:
    """What waits."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._tables: deque[Part] = deque()
        self._texts: deque[Part] = deque()

    def __len__(self) -> int:
        """Return how many parts wait."""
        return len(self._tables) + len(self._texts)

    def add(self, job: Job) -> None:
        """Queue a job's parts."""
        requests = parts_of(job.request)
        job.answers = [None] * len(requests)
        job.missing = len(requests)
        waiting = self._tables if isinstance(job.request, InferenceRequested) else self._texts
        waiting.extend(Part(job, index, request) for index, request in enumerate(requests))

    def take(self, now: float) -> tuple[list[Part], list[Job]]:
        """Return the parts of the next call, and jobs whose time was over before anybody computed them."""
        stale: list[Job] = []
        call: list[Part] = []
        size = 0
        for waiting, enough in ((self._tables, ROWS), (self._texts, TEXTS)):
            while waiting and size < enough and len(call) < TOGETHER:
                part = waiting[0]
                if part.job.over or now >= part.job.deadline:
                    if not part.job.over:
                        part.job.over = True
                        stale.append(part.job)
                    waiting.popleft()
                    continue
                if isinstance(part.request, SentimentRequested) and call and size + _size(part.request) > enough:
                    break
                part.job.started = True
                call.append(waiting.popleft())
                size += _size(part.request)
            if call:
                break
        return call, stale

    def forget(self, tell: Tell) -> None:
        """Drop what nobody waits for any more."""
        for name in ("_tables", "_texts"):
            kept = [part for part in getattr(self, name) if part.job.tell is not tell]
            setattr(self, name, deque(kept))


def parts_of(request: Request) -> list[Request]:
    """Cut a long list of texts; a table is computed as a whole."""
    if isinstance(request, InferenceRequested) or len(request.texts) <= TEXTS:
        return [request]
    return [
        msgspec.structs.replace(request, news_ids=request.news_ids[i : i + TEXTS], texts=request.texts[i : i + TEXTS])
        for i in range(0, len(request.texts), TEXTS)
    ]


def parts_in(request: Request) -> int:
    """Return how many parts a request would be cut into."""
    return 1 if isinstance(request, InferenceRequested) else max(1, -(-len(request.texts) // TEXTS))


def _size(request: Request) -> int:
    return len(request.ids) // 4 if isinstance(request, InferenceRequested) else len(request.texts)


def _joined(request: Request, answers: list[Answer | None]) -> Answer:
    """Put the answers to a job's parts together, in their order."""
    whole = answers[0]
    if len(answers) == 1 and whole is not None:
        return whole
    p = [answer.p for answer in answers if isinstance(answer, SentimentReady)]
    if isinstance(request, InferenceRequested) or len(p) != len(answers):
        reason = "a part was answered with something else"
        return PredictionUnavailable(request.request_id, request.model_id, reason)
    return SentimentReady(request.request_id, request.model_id, request.news_ids, b"".join(p))
