"""The pool behind the socket of ``tradingd inference``; where that fails, the same models here; else no prediction.

Called from worker threads, several at once. A request costs at most ``deadline_ms`` and a little: the host says at once
that it has read it, or is taken for stopped; behind an open breaker nobody waits at all. Then the in-process pool
answers, on one thread of its own and only so long. A request during which a worker died or did not come back, or at
which its model failed, is not computed here, in the daemon, which must not die of it. Whatever is left is
``PredictionUnavailable``: hold.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import msgspec
import numpy as np

from actors.messages.columns import pack_f64, unpack_f64
from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.pool.breaker import Breaker, BreakerState
from actors.predictor.pool.frames import INNOCENT, Answer, Answered, Failed, FrameError, Request, Standing, short
from actors.predictor.pool.link import TAKEN_S, Link, LinkError
from actors.predictor.pool.texts import DIGITS, HeadlineCache, Row, are_scores
from daemon.kernel.errors import OperatorError

LEAST_S: Final = 0.045
"""What the in-process pool gets where the host has used the deadline up."""
AGAIN_S: Final = 0.01
"""How long a request whose connection was lost before the host had it waits for another one."""
GRACE_S: Final = 0.02
"""How much longer than the host's own deadline its word is waited for, so that it can say what became of it."""
KEPT: Final = 1_000
"""Latencies behind p50 and p99."""


class Pool(Protocol):
    """Answers requests on the caller's thread."""

    def predict(self, request: InferenceRequested) -> PredictionReady | PredictionUnavailable:
        """Return a price model's answer."""
        ...

    def sentiment(self, request: SentimentRequested) -> SentimentReady | PredictionUnavailable:
        """Return a text model's answer."""
        ...


class RefusedModel(msgspec.Struct, frozen=True):
    """A model the host is well enough to be asked for and does not compute, such as one it does not have.

    Attributes:
        model_id: which; reason: what the host said of the latest request.
        here: whether the daemon computed that one itself; else nobody did.
    """

    model_id: str
    reason: str
    here: bool


class PoolFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How a pool does; what ``tradingctl model`` shows of it.

    Attributes:
        pool: ``inprocess`` or ``host``.
        breaker: its state, "" without one; reason: why it opened last; opened: how often.
        answered, degraded, unavailable: requests by who answered: the host, the daemon itself, nobody.
        late: answers of the host that came when nobody waited any more.
        queue: requests that wait or are under way.
        p50_ms, p99_ms: of the latest answers, whoever gave them; 0 before the first.
        last_degraded_ms: what the latest answer that did not come from the host took; 0 before the first.
        cache_hits, cache_misses, cache_size: of the headlines asked about, how many were known, how many were not, and
            how many are remembered.
        standing: what the host last said of itself.
        refused: models it does not compute, by name, until it does.
    """

    pool: str
    breaker: str = ""
    reason: str = ""
    opened: int = 0
    answered: int = 0
    degraded: int = 0
    unavailable: int = 0
    late: int = 0
    queue: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    last_degraded_ms: float = 0.0
    cache_hits: int = 0
    cache_misses: int = 0
    cache_size: int = 0
    standing: Standing | None = None
    refused: tuple[RefusedModel, ...] = ()


class HostPool:
    """See the module."""

    parallel: Final = 8
    """Requests that may be under way at once."""

    def __init__(
        self,
        path: str,
        *,
        deadline_s: float,
        fallback: Pool | None,
        program: str = "tradingd",
        taken_s: float = TAKEN_S,
    ) -> None:
        """Prepare.

        Args:
            path: of the host's socket.
            deadline_s: how long the host may take for an answer.
            fallback: answers in its place; None: nobody does.
            program: who we are, for the host's log.
            taken_s: how long the host may take to say that it has read a request.
        """
        self._deadline_s = deadline_s
        self._breaker = Breaker()
        self._link = Link(path, self._breaker, program, taken_s=taken_s)
        self._fallback = None if fallback is None else _Fallback(fallback)
        self.cache = HeadlineCache()
        """Scores of headlines that were asked about before, whoever gave them."""
        self._lock = threading.Lock()
        self._latencies: deque[float] = deque(maxlen=KEPT)
        self._counts = {"answered": 0, "degraded": 0, "unavailable": 0}
        self._last_degraded_ms = 0.0
        self._refused: dict[str, RefusedModel] = {}

    def start(self, warm: Callable[[], None] | None = None) -> None:
        """Look for the host; ``warm`` loads what the fallback will need, on its thread."""
        self._link.start()
        if self._fallback is not None:
            self._fallback.start(warm)

    def close(self) -> None:
        """Hang up."""
        self._link.close()
        if self._fallback is not None:
            self._fallback.close()

    def facts(self) -> PoolFacts:
        """Return how it does; any thread."""
        with self._lock:
            latencies = sorted(self._latencies)
            counts, last = dict(self._counts), self._last_degraded_ms
            refused = tuple(self._refused[model_id] for model_id in sorted(self._refused))
        state = self._breaker.state  # once: it may be another the next moment
        return PoolFacts(
            pool="host",
            breaker=state.value,
            reason="" if state is BreakerState.CLOSED else self._breaker.reason,
            opened=self._breaker.opened,
            late=self._link.late,
            p50_ms=quantile(latencies, 0.5),
            p99_ms=quantile(latencies, 0.99),
            last_degraded_ms=round(last, 3),
            cache_hits=self.cache.hits,
            cache_misses=self.cache.misses,
            cache_size=len(self.cache),
            standing=self._link.standing,
            refused=refused,
            **counts,
        )

    # -- requests ----------------------------------------------------------------------------------------------------

    def predict(self, request: InferenceRequested) -> PredictionReady | PredictionUnavailable:
        """Return a price model's answer, or why there is none; never later than deadline and fallback allow."""
        answer = self._answer(request)
        return answer if isinstance(answer, PredictionReady) else _unavailable(request, answer)

    def sentiment(self, request: SentimentRequested) -> SentimentReady | PredictionUnavailable:
        """Return a text model's answer, or why there is none; as :meth:`predict`. What is remembered is not asked."""
        model_id = request.model_id
        with self._lock:
            rows = [self.cache.get(model_id, text) for text in request.texts]
        missing = dict(zip(request.texts, request.news_ids, strict=True))
        missing = {text: missing[text] for text, row in zip(request.texts, rows, strict=True) if row is None}
        found: dict[str, Row] = {}
        if missing:
            asked = msgspec.structs.replace(request, texts=tuple(missing), news_ids=tuple(missing.values()))
            answer = self._answer(asked)
            if not isinstance(answer, SentimentReady):
                return _unavailable(request, answer)
            p = unpack_f64(answer.p).reshape(-1, 3)
            found = {text: (row[0], row[1], row[2]) for text, row in zip(missing, p.tolist(), strict=True)}
            with self._lock:
                for text, row in found.items():
                    self.cache.put(model_id, text, row)
        whole = [found[text] if row is None else row for text, row in zip(request.texts, rows, strict=True)]
        packed = pack_f64(np.array(whole, dtype=np.float64).reshape(-1), DIGITS)
        return SentimentReady(request.request_id, model_id, request.news_ids, packed)

    def _answer(self, request: Request) -> Answer:
        began, refused = time.monotonic(), ""
        try:
            answer, who = self._ask(request, began)
        except _NoHostError as error:
            answer = _refusal(request, error.reason) if error.tried else self._degrade(request, error.reason, began)
            who = "unavailable" if isinstance(answer, PredictionUnavailable) else "degraded"
            refused = error.reason if error.refused else ""
        took_ms = (time.monotonic() - began) * 1e3
        with self._lock:
            if refused:
                self._refused[request.model_id] = RefusedModel(request.model_id, refused, who == "degraded")
            elif who == "answered":
                self._refused.pop(request.model_id, None)
            self._counts[who] += 1
            self._latencies.append(took_ms)
            if who != "answered":
                self._last_degraded_ms = took_ms
        return answer

    def _ask(self, request: Request, began: float) -> tuple[Answer, str]:
        """Return the host's answer, or a refusal where nobody should compute it, and who gave it.

        Raises:
            _NoHostError: the host has not computed it, and the fallback may where it was not tried.
        """
        if not self._breaker.admit():
            raise _NoHostError(self._breaker.reason)
        try:
            answered = self._exchange(request, began)
        except LinkError as error:
            self._breaker.failure(error.reason)
            if error.taken:
                return _refusal(request, f"{error.reason}; it may have died of this request"), "unavailable"
            raise _NoHostError(error.reason) from None
        except FrameError as error:
            self._breaker.unasked()  # the host is not to blame for a request that is too long
            return _refusal(request, str(error)), "unavailable"
        except BaseException:
            self._breaker.unasked()
            raise
        answer = answered.answer
        if answered.fault:
            said = short(answer.reason if isinstance(answer, PredictionUnavailable) else answered.fault)
            self._breaker.failure(said)
            if answered.fault not in INNOCENT:
                return _refusal(request, said), "unavailable"
            raise _NoHostError(said)
        self._breaker.success()
        if (answer.request_id, answer.model_id) != (request.request_id, request.model_id):
            said = f"the inference host answered {answer.request_id} of {answer.model_id}"
            return _refusal(request, short(said)), "unavailable"
        if isinstance(answer, PredictionUnavailable):
            # It may not have the model.
            raise _NoHostError(short(answer.reason), refused=True, tried=isinstance(answer, Failed))
        if not _fits(request, answer):
            return _refusal(request, "the inference host gave an answer that does not fit the question"), "unavailable"
        return answer, "answered"

    def _exchange(self, request: Request, began: float) -> Answered:
        """Ask; once more where the connection was lost before the host had the request.

        A decision waits for prices: those are computed here where no worker of the host begins. Words can wait.
        """
        begun = self._fallback is not None and isinstance(request, InferenceRequested)
        while True:
            left = self._deadline_s - (time.monotonic() - began)
            try:
                return self._link.ask(request, max(0.001, left), GRACE_S, begun=begun)
            except LinkError as error:
                patience = AGAIN_S - (time.monotonic() - began)
                if error.taken or not error.lost or patience <= 0 or not self._link.up.wait(patience):
                    raise

    def _degrade(self, request: Request, reason: str, began: float) -> Answer:
        if self._fallback is None:
            return _refusal(request, reason)
        left = self._deadline_s - (time.monotonic() - began)
        return self._fallback.answer(request, reason, max(LEAST_S, left))


class _NoHostError(Exception):
    """The host does not answer this request; ``refused``: it is well and says no; ``tried``: its model failed at it."""

    def __init__(self, reason: str, *, refused: bool = False, tried: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.refused = refused
        self.tried = tried


class _Fallback:
    """The in-process pool on one thread: nobody waits for it longer than he said, and nobody queues behind a hang."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._free = threading.Lock()
        self._under_way: queue.SimpleQueue[Answer] | None = None
        """Whose request the thread has; None where it has none."""
        self._given_up: queue.SimpleQueue[Answer] | None = None
        """Who has gone without an answer last: nothing to worry about where it came in the same moment."""
        self._asked: queue.SimpleQueue[tuple[Request, queue.SimpleQueue[Answer]] | None] = queue.SimpleQueue()
        self._closed = False

    def start(self, warm: Callable[[], None] | None) -> None:
        threading.Thread(target=self._run, args=(warm,), name="inference-fallback", daemon=True).start()

    def close(self) -> None:
        self._closed = True
        self._asked.put(None)

    def answer(self, request: Request, reason: str, within_s: float) -> Answer:
        """Return its answer, or a refusal that names both reasons."""
        deadline = time.monotonic() + within_s
        under_way = self._under_way
        hangs = under_way is not None and under_way is self._given_up
        if hangs or not self._free.acquire(timeout=within_s):
            return _refusal(request, f"{reason}; the daemon's own pool is busy")
        if self._closed:
            self._free.release()
            return _refusal(request, f"{reason}; the daemon's own pool was closed")
        mine: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._under_way = mine
        self._asked.put((request, mine))
        if self._closed:  # perhaps before this was put: then nobody is left to take it
            deadline = min(deadline, time.monotonic() + LEAST_S)
        try:
            answer = mine.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            self._given_up = mine  # nobody waits behind it until the thread comes back
            return _refusal(request, f"{reason}; the daemon's own pool gave no answer in time")
        if isinstance(answer, PredictionUnavailable):
            return _refusal(request, f"{reason}; here: {answer.reason}")
        return answer

    def _run(self, warm: Callable[[], None] | None) -> None:
        if warm is not None:
            with suppress(Exception):  # what keeps a model from being loaded is told to whoever asks for it
                warm()
        while (item := self._asked.get()) is not None:
            request, mine = item
            mine.put(self._computed(request))
            self._under_way = None
            self._free.release()

    def _computed(self, request: Request) -> Answer:
        try:
            if isinstance(request, InferenceRequested):
                return self._pool.predict(request)
            return self._pool.sentiment(request)
        except Exception as error:  # noqa: BLE001 - whatever a model raises: hold, never guess
            return _refusal(
                request, str(error) if isinstance(error, OperatorError) else f"{type(error).__name__}: {error}"
            )


def _refusal(request: Request, reason: str) -> PredictionUnavailable:
    return PredictionUnavailable(request.request_id, request.model_id, reason)


def _unavailable(request: Request, answer: Answer) -> PredictionUnavailable:
    if isinstance(answer, PredictionUnavailable):
        return answer
    return _refusal(request, "an answer that does not fit the question")


def _fits(request: Request, answer: Answer) -> bool:
    """Whether an answer is about what was asked. Scores of texts are kept, so they must be probabilities as well."""
    if isinstance(request, InferenceRequested):
        rows = 2 * len(request.ids)  # four bytes a symbol, eight a number
        return (
            isinstance(answer, PredictionReady)
            and answer.ids == request.ids
            and len(answer.p_up) == len(answer.score) == rows
        )
    return (
        isinstance(answer, SentimentReady)
        and answer.news_ids == request.news_ids
        and are_scores(answer.p, len(request.texts))
    )


def quantile(ordered: list[float], share: float) -> float:
    """Return the value below which ``share`` of ``ordered`` lies, rounded to microseconds; 0 of none."""
    if not ordered:
        return 0.0
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
