"""Text models behind a pool: loaded when they are first asked, and a memory of headlines that were scored before.

The same headline comes again and again: of several symbols, of several vendors, in every replay of a session. A text's
scores depend on the text and the model alone, so they are kept by both.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from actors.messages.columns import pack_f64, unpack_f64
from actors.messages.inference import PredictionUnavailable
from actors.messages.sentiment import SUM_OFF, SentimentReady, SentimentRequested
from daemon.kernel.errors import OperatorError

F64 = npt.NDArray[np.float64]
Row = tuple[float, float, float]

CACHE_MAX: Final = 50_000
"""Headlines remembered, some 200 bytes each; the one that was not asked for the longest time goes first."""
DIGITS: Final = 6
"""Digits kept of a probability."""
_KEY_BYTES: Final = 16


class Scorer(Protocol):
    """What a text model, and the list of words in its place, can do."""

    model_id: str

    def score(self, texts: Sequence[str]) -> F64:
        """Return ``[n, 3]`` negative, neutral, positive; a row of NaN where it abstains."""
        ...


Load = Callable[[], Scorer]
"""Loads and verifies a model; raises OperatorError where it does not hold."""


class HeadlineCache:
    """Scores by model and text, the least recently asked forgotten first.

    Attributes:
        hits, misses: texts asked for so far that were known, and that were not.
    """

    def __init__(self, size: int = CACHE_MAX) -> None:
        """Remember nothing yet."""
        self._rows: OrderedDict[tuple[str, bytes], Row] = OrderedDict()
        self._size = size
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._rows)

    @property
    def hit_rate(self) -> float:
        """Share of texts that were known, in [0, 1]; 0 before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0

    def get(self, model_id: str, text: str) -> Row | None:
        """Return what is remembered of a text, and count whether there is anything."""
        key = _key(model_id, text)
        row = self._rows.get(key)
        if row is None:
            self.misses += 1
        else:
            self.hits += 1
            self._rows.move_to_end(key)
        return row

    def put(self, model_id: str, text: str, row: Row) -> None:
        """Remember a text's scores."""
        self._rows[_key(model_id, text)] = row
        if len(self._rows) > self._size:
            self._rows.popitem(last=False)


class TextPool:
    """Answers what headlines say; not for several threads at once.

    Attributes:
        cache: of headlines.
    """

    def __init__(self, models: Mapping[str, Load], cache: HeadlineCache | None = None) -> None:
        """Take the text models of a run by their ids; nothing is loaded before it is asked."""
        self._models = dict(models)
        self._loaded: dict[str, Scorer] = {}
        self._refused: dict[str, OperatorError] = {}
        self.cache = HeadlineCache() if cache is None else cache

    def warm(self) -> None:
        """Load the text models now; raises as :meth:`sentiment`."""
        for model_id, load in self._models.items():
            if model_id not in self._loaded:
                self._loaded[model_id] = load()

    def sentiment(self, request: SentimentRequested) -> SentimentReady | PredictionUnavailable:
        """Return scores of a request's headlines, or why there are none; NaN for a text the model abstains from.

        Raises:
            OperatorError: the model cannot be loaded, or answers what it may not.
        """
        model_id = request.model_id
        load = self._models.get(model_id)
        if load is None:
            return PredictionUnavailable(request.request_id, model_id, "no such text model in this run")
        rows = [self.cache.get(model_id, text) for text in request.texts]
        missing = list(dict.fromkeys(t for t, row in zip(request.texts, rows, strict=True) if row is None))
        if missing:
            model = self._model(model_id, load)
            if model.model_id != model_id:
                reason = f"what was loaded is {model.model_id}"
                return PredictionUnavailable(request.request_id, model_id, reason)
            found = dict(zip(missing, model.score(missing).tolist(), strict=True))
            for text, (negative, neutral, positive) in found.items():
                self.cache.put(model_id, text, (negative, neutral, positive))
            rows = [found[t] if row is None else row for t, row in zip(request.texts, rows, strict=True)]
        p = pack_f64(np.array(rows, dtype=np.float64).reshape(-1), DIGITS)
        return SentimentReady(request.request_id, model_id, request.news_ids, p)

    def _model(self, model_id: str, load: Load) -> Scorer:
        """Return a model; one that was refused stays so: reading it takes long, and headlines come by the hundred."""
        refused = self._refused.get(model_id)
        if refused is not None:
            raise refused
        model = self._loaded.get(model_id)
        if model is None:
            try:
                model = self._loaded[model_id] = load()
            except OperatorError as error:
                self._refused[model_id] = error
                raise
        return model


def _key(model_id: str, text: str) -> tuple[str, bytes]:
    return model_id, hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_KEY_BYTES]


def are_scores(p: bytes, n: int) -> bool:
    """Whether a column is ``[n, 3]`` probabilities, each row adding up to 1 or, where the model abstained, all NaN."""
    if len(p) != 24 * n:
        return False
    rows = unpack_f64(p).reshape(-1, 3)
    given = rows[~np.isnan(rows).all(axis=1)]
    return bool(((given >= 0.0) & (given <= 1.0)).all() and (np.abs(given.sum(axis=1) - 1.0) <= SUM_OFF).all())
