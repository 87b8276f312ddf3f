"""What happens at once or while nobody looks: who is late by a hair, who was stopped, who does not read."""

from __future__ import annotations

import queue
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.pool import host
from tests.inference.support import Elsewhere, table

WAIT_S = 20.0


class Late:
    """A pool whose first answer comes when it is told to."""

    def __init__(self) -> None:
        """Wait."""
        self._pool = Elsewhere()
        self.go = threading.Event()

    def predict(self, request: InferenceRequested) -> PredictionReady | PredictionUnavailable:
        """Answer, once told to."""
        assert self.go.wait(WAIT_S)
        return self._pool.predict(request)

    def sentiment(self, request: SentimentRequested) -> SentimentReady | PredictionUnavailable:
        """Answer at once."""
        return self._pool.sentiment(request)


def test_who_gives_up_in_the_moment_of_the_answer_leaves_a_pool_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's own pool has answered before the asker got round to saying that it hangs: it does not hang."""
    pool = Late()
    fallback = host._Fallback(pool)
    fallback.start(None)

    class Interrupted(queue.SimpleQueue[Any]):
        """Whose reader is not run between the end of its time and what it does about it."""

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            try:
                return super().get(block, timeout)
            except queue.Empty:
                pool.go.set()
                assert fallback._free.acquire(timeout=WAIT_S)  # the pool's thread has done everything it does
                fallback._free.release()
                raise

    monkeypatch.setattr(host, "queue", SimpleNamespace(SimpleQueue=Interrupted, Empty=queue.Empty))
    late = fallback.answer(table(1, 1), "away", 0.01)
    monkeypatch.undo()
    assert isinstance(late, PredictionUnavailable)
    assert "gave no answer in time" in late.reason
    for number in (2, 3):
        assert isinstance(fallback.answer(table(1, number), "away", WAIT_S), PredictionReady)
    fallback.close()
