"""The models a worker has at hand: found by name and version, verified, loaded when they are first asked for.

One shelf belongs to one worker. What it answers are the bytes that the in-process pool would answer: it is one.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from actors.messages.inference import InferenceRequested, PredictionUnavailable
from actors.predictor.models.manifest import list_models, load_manifest
from actors.predictor.pool.frames import Answer, Failed, ModelFact, Request
from actors.predictor.pool.inprocess import InProcessPool
from actors.predictor.pool.texts import HeadlineCache
from actors.predictor.text.model import TextModel, load_text_model
from actors.predictor.text.store import ModelStore
from daemon.kernel.errors import OperatorError

TABLE, TEXT = "table", "text"
TRIED_MAX = 1_000
"""Names of models remembered as asked for."""


def kind_of(request: Request) -> str:
    """Return which kind of model a request is for."""
    return TABLE if isinstance(request, InferenceRequested) else TEXT


class Shelf:
    """See the module."""

    def __init__(self, tables: Path, state_dir: Path, *, probe: bool = True) -> None:
        """Remember where models lie: price models, and the state folder with installed text models; nothing is read.

        ``probe`` is of :func:`load_text_model`.
        """
        self._tables = tables
        self._store = ModelStore(state_dir)
        self._probe = probe
        self._pools: dict[tuple[str, str], InProcessPool] = {}
        self._served: dict[tuple[str, str], int] = {}
        self._tried: dict[tuple[str, str], None] = {}

    def missing(self, requests: Iterable[Request]) -> tuple[Request, ...]:
        """Return one request for each model that is not loaded yet, nor known to be none."""
        asked = {_key(request): request for request in requests}
        return tuple(request for key, request in asked.items() if key not in self._tried)

    def load(self, requests: Iterable[Request]) -> None:
        """Load the models of requests; what keeps one from it is told to whoever asks for it."""
        for request in requests:
            with suppress(Exception):
                self._pool(request).warm()
            if len(self._tried) >= TRIED_MAX:  # somebody asks for models that nobody has
                self._tried.clear()
            self._tried[_key(request)] = None

    def answer(self, requests: Iterable[Request]) -> tuple[Answer, ...]:
        """Answer each request; one that cannot be answered does not touch the others."""
        return tuple(self._answer(request) for request in requests)

    def facts(self) -> tuple[ModelFact, ...]:
        """Return the models loaded so far, and how many requests each has answered."""
        return tuple(ModelFact(model_id, kind, n) for (model_id, kind), n in sorted(dict(self._served).items()))

    def _answer(self, request: Request) -> Answer:
        try:
            pool = self._pool(request)
            if isinstance(request, InferenceRequested):
                answer: Answer = pool.predict(request)
            else:
                answer = pool.sentiment(request)
        except Exception as error:  # noqa: BLE001 - whatever a model raises is told: hold, never guess
            said = str(error) if isinstance(error, OperatorError) else f"{type(error).__name__}: {error}"
            return _no(error)(request.request_id, request.model_id, said)
        if not isinstance(answer, PredictionUnavailable):
            self._served[_key(request)] = self._served.get(_key(request), 0) + 1
        return answer

    def _pool(self, request: Request) -> InProcessPool:
        key = model_id, kind = _key(request)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._table(model_id) if kind == TABLE else self._text(model_id)
        return pool

    def _table(self, model_id: str) -> InProcessPool:
        name = model_id.partition("@")[0]
        if name not in list_models(self._tables):  # and so no path either
            raise OperatorError(f"the inference host has no model {name!r}", code="NO_MODEL")
        manifest = load_manifest(name, self._tables)
        if manifest.model_id != model_id:
            raise OperatorError(f"the inference host has {manifest.model_id}, not {model_id}", code="MODEL_VERSION")
        return InProcessPool([manifest], self._tables)

    def _text(self, model_id: str) -> InProcessPool:
        if model_id.partition("@")[0] == "lexicon":
            from actors.predictor.text.lexicon import Lexicon  # noqa: PLC0415 - only who has news needs it

            if model_id != (mine := Lexicon().model_id):
                raise OperatorError(f"the inference host has {mine}, no text model {model_id!r}", code="MODEL_VERSION")
            return InProcessPool([], texts={model_id: Lexicon}, cache=HeadlineCache(0))
        if "/" in model_id or "@" not in model_id:  # a folder of the host's disk is nobody else's business
            raise OperatorError(f"the inference host has no text model {model_id!r}", code="NO_MODEL")
        folder = self._store.find(model_id)

        def load() -> TextModel:
            return load_text_model(folder, probe=self._probe)

        # What was asked before is remembered where it is asked, in the daemon.
        return InProcessPool([], texts={model_id: load}, cache=HeadlineCache(0))


def _no(error: Exception) -> type[PredictionUnavailable]:
    """Return what an error is told as: a model that cannot be had may be asked elsewhere, one that failed may not."""
    fails = error.code == "MODEL_OUTPUT" if isinstance(error, OperatorError) else isinstance(error, MemoryError)
    return Failed if fails else PredictionUnavailable


def _key(request: Request) -> tuple[str, str]:
    return request.model_id, kind_of(request)
