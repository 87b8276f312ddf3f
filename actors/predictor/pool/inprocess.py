"""The in-process pool: onnxruntime on one thread, for replays and as the fallback of the inference host.

Outside the core. The same request always gets the same answer: one thread, fixed batch shapes (a row's answer must not
depend on how many others were asked with it), rounded outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actors.messages.columns import pack_f64, unpack_f64, unpack_i32
from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.models.checks import check_price_model
from actors.predictor.models.manifest import SHIPPED, ModelManifest, read_model
from actors.predictor.pool.session import open_session, said_by
from actors.predictor.pool.texts import HeadlineCache, Load, TextPool
from daemon.kernel.errors import OperatorError

F64 = npt.NDArray[np.float64]

BATCH: Final = 64
DIGITS: Final = 6
"""Digits kept of a probability: a float32 graph has about seven."""
_CLIP: Final = 1e-6


class InProcessPool:
    """Answers inference requests at once."""

    def __init__(
        self,
        models: Iterable[ModelManifest | None],
        folder: Path = SHIPPED,
        texts: Mapping[str, Load] | None = None,
        cache: HeadlineCache | None = None,
    ) -> None:
        """Take the models of a run; nothing is loaded before it is asked.

        Args:
            models: manifests of the run's strategies; None (a strategy without a model) is skipped.
            folder: where the model files lie.
            texts: text models by their ids.
            cache: of headlines; None: one of its own.
        """
        self._texts = TextPool({} if texts is None else texts, cache)
        self._folder = folder
        self._manifests = {m.model_id: m for m in models if m is not None}
        self._sessions: dict[str, Any] = {}

    @property
    def cache(self) -> HeadlineCache:
        """Scores of headlines that were asked about before."""
        return self._texts.cache

    def sentiment(self, request: SentimentRequested) -> SentimentReady | PredictionUnavailable:
        """Return a text model's scores, or why there are none; as :meth:`TextPool.sentiment`."""
        return self._texts.sentiment(request)

    def warm(self) -> None:
        """Load the models now, so that the first answer does not have to wait for it.

        Raises:
            OperatorError: as :func:`load_session`.
        """
        for model_id, manifest in self._manifests.items():
            if model_id not in self._sessions:
                self._sessions[model_id] = load_session(manifest, self._folder)
        self._texts.warm()

    def predict(self, request: InferenceRequested) -> PredictionReady | PredictionUnavailable:
        """Return calibrated probabilities, or why there are none; NaN for a row the model cannot answer."""
        manifest = self._manifests.get(request.model_id)
        if manifest is None:
            return PredictionUnavailable(request.request_id, request.model_id, "no such model in this run")
        n = len(unpack_i32(request.ids))
        features = unpack_f64(request.features)
        if features.size != n * len(manifest.features):
            reason = f"{features.size} features for {n} rows of {len(manifest.features)}"
            return PredictionUnavailable(request.request_id, request.model_id, reason)
        session = self._sessions.get(request.model_id)
        if session is None:
            session = self._sessions[request.model_id] = load_session(manifest, self._folder)
        p_up = run_model(session, manifest, features.reshape(n, -1))
        return PredictionReady(
            request_id=request.request_id,
            model_id=request.model_id,
            horizon=manifest.horizon,
            ids=request.ids,
            score=pack_f64(2.0 * p_up - 1.0, DIGITS),
            p_up=pack_f64(p_up, DIGITS),
        )


def load_session(manifest: ModelManifest, folder: Path = SHIPPED) -> Any:
    """Return an onnxruntime session of a verified file: one thread, sequential, deterministic.

    Raises:
        OperatorError: the file is not what the manifest says, or does not take the features it names.
    """
    data = read_model(manifest, folder)
    path = folder / f"{manifest.name}.onnx"
    check_price_model(data, manifest, path)
    session = open_session(data, path)
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].name != manifest.input or inputs[0].shape[-1] != len(manifest.features):
        raise OperatorError(
            f"the model {manifest.model_id} takes {[(i.name, i.shape) for i in inputs]}, "
            f"not {manifest.input} with {len(manifest.features)} features",
            code="MODEL_SCHEMA",
        )
    return session


def run_model(session: Any, manifest: ModelManifest, rows: F64) -> F64:
    """Return the calibrated ``P(up)`` of float64 ``[n, features]`` rows, rounded to six digits.

    Raises:
        OperatorError: ``MODEL_OUTPUT``, the graph fails, or answers what is no probability for each row.
    """
    n = len(rows)
    raw = np.empty(n)
    batch = np.zeros((BATCH, rows.shape[1]), dtype=np.float32)
    for start in range(0, n, BATCH):
        chunk = rows[start : start + BATCH]
        batch[: len(chunk)] = chunk
        batch[len(chunk) :] = 0.0
        raw[start : start + len(chunk)] = _answer(session, manifest, batch)[: len(chunk)]
    slope, intercept = manifest.calibration
    p = np.clip(raw, _CLIP, 1.0 - _CLIP)  # NaN stays NaN
    calibrated: F64 = np.round(1.0 / (1.0 + np.exp(-(slope * np.log(p / (1.0 - p)) + intercept))), DIGITS)
    return calibrated


def _answer(session: Any, manifest: ModelManifest, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return ``P(up)`` of a batch before its calibration; NaN where the graph cannot say."""
    try:
        found = session.run([manifest.output], {manifest.input: batch})[0]
    except Exception as error:  # noqa: BLE001 - onnxruntime raises a dozen kinds that share no parent
        raise OperatorError(f"the model {manifest.model_id} fails: {said_by(error)}", code="MODEL_OUTPUT") from None
    shape, kind = np.shape(found), getattr(found, "dtype", type(found).__name__)
    if len(shape) != 2 or shape[0] != len(batch) or not shape[1] or kind != np.float32:
        raise OperatorError(
            f"the model {manifest.model_id} answers {kind} {list(shape)} as {manifest.output}, "
            f"not float32 [{len(batch)}, n] with P(up) in the last column",
            code="MODEL_OUTPUT",
        )
    p: npt.NDArray[np.float32] = found[:, -1]
    if ((p < -_CLIP) | (p > 1.0 + _CLIP)).any():
        raise OperatorError(
            f"the model {manifest.model_id} answers {np.nanmin(p):g} to {np.nanmax(p):g} as {manifest.output}, "
            "which are no probabilities",
            code="MODEL_OUTPUT",
        )
    return p
