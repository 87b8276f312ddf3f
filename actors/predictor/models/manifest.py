"""Model manifests: what a model is, what it was trained on, how good it was on data it had not seen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from daemon.kernel.errors import OperatorError

SHIPPED: Final = Path(__file__).parent / "shipped"
MODEL_BYTES_MAX: Final = 16 * 1024 * 1024


class Metrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Quality on data the model had not seen.

    Attributes:
        date_from, date_to: first and last decision date, ``YYYYMMDD``.
        n: predictions; ``n_independent``: the same without overlapping horizons.
        base_rate: share of rises. A model that knows nothing predicts this.
        hit_rate: share of predictions on the right side of one half; ``hit_rate_base`` of "always up".
        auc, brier, brier_base, log_loss, log_loss_base: as usual; ``_base`` for the constant calibration base rate.
        ic: Spearman rank correlation of ``p_up`` and return over all predictions; ``ic_daily`` the mean of the
            correlations across symbols per non-overlapping date, with its standard error ``ic_daily_se``.
    """

    date_from: int
    date_to: int
    n: int
    n_independent: int
    base_rate: float
    hit_rate: float
    hit_rate_base: float
    auc: float
    brier: float
    brier_base: float
    log_loss: float
    log_loss_base: float
    ic: float
    ic_daily: float
    ic_daily_se: float


class ModelManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ``.json`` beside an ``.onnx``.

    Attributes:
        name: file name without suffix.
        kind: what the model is, in words.
        sha256: of the ONNX file, checked before anything parses it.
        opset, opset_ml: operator sets of the graph.
        input, output: names of the graph's input ``float32 [n, features]`` and of the output with ``P(up)`` in its last
            column.
        features: names in order.
        lookback: closes the features need.
        bar: interval of the bars it was trained on.
        horizon: of the label: rise of the close over it.
        train_from, train_to, calibrate_from, calibrate_to, test_from, test_to: decision dates ``YYYYMMDD``.
        blocked_from, blocked_to: decisions on these dates (inclusive) are refused: the model, its calibration or its
            reported metrics have seen them or the embargo covers them.
        embargo_sessions: sessions left out between the parts on top of the label horizon.
        calibration: (a, b): ``p_up = sigmoid(a * logit(p) + b)``.
        confidence: 101 quantiles of ``abs(p_up - 0.5)`` in the calibration period: a prediction's confidence is the
            share of those it exceeds.
        metrics: out of sample, after calibration.
        selection: how the model class was chosen, with the figures.
        data: source of the data; adjustment: what its prices contain; survivorship: what that means.
        honesty: one paragraph for people.
        regenerate: the command.
    """

    name: str
    kind: str
    sha256: str
    opset: int
    opset_ml: int
    input: str
    output: str
    features: tuple[str, ...]
    lookback: int
    bar: str
    horizon: str
    train_from: int
    train_to: int
    calibrate_from: int
    calibrate_to: int
    test_from: int
    test_to: int
    blocked_from: int
    blocked_to: int
    embargo_sessions: int
    calibration: tuple[float, float]
    confidence: tuple[float, ...]
    metrics: Metrics
    selection: dict[str, float]
    data: str
    adjustment: str
    survivorship: str
    honesty: str
    regenerate: str

    @property
    def model_id(self) -> str:
        """Name and version: ``name@`` and the first twelve digits of the file's hash."""
        return f"{self.name}@{self.sha256[:12]}"

    def blocks(self, date: int) -> bool:
        """Whether a decision on the exchange date ``YYYYMMDD`` is one the model has already seen."""
        return self.blocked_from <= date <= self.blocked_to


def list_models(folder: Path = SHIPPED) -> list[str]:
    """Return the names of the models in a folder."""
    return sorted(path.stem for path in folder.glob("*.json"))


def load_manifest(name: str, folder: Path = SHIPPED) -> ModelManifest:
    """Read a manifest and verify the model file against it.

    Raises:
        OperatorError: no such model, an unreadable manifest, or a file whose hash differs.
    """
    path = folder / f"{name}.json"
    known = list_models(folder)
    try:
        raw = path.read_bytes() if name in known else None  # a name of this folder, and no path to another
    except OSError:
        raw = None
    if raw is None:
        told = f"there is no model {name[:60]!r}"
        raise OperatorError(told, code="NO_MODEL", remedy=f"known are: {', '.join(known) or 'none'}")
    try:
        manifest = msgspec.json.decode(raw, type=ModelManifest)
    except msgspec.DecodeError as error:
        raise OperatorError(f"the manifest {path.name} cannot be used: {error}", code="BAD_MANIFEST") from None
    if manifest.name != name:
        message = f"the manifest {path.name} cannot be used: it says name {manifest.name[:60]!r}"
        raise OperatorError(message, code="BAD_MANIFEST")
    read_model(manifest, folder)
    return manifest


def read_model(manifest: ModelManifest, folder: Path = SHIPPED) -> bytes:
    """Return the model file's bytes, verified; nothing has parsed them yet.

    Raises:
        OperatorError: missing, too large, or with another hash than the manifest says.
    """
    path = folder / f"{manifest.name}.onnx"
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MODEL_BYTES_MAX else b""
    except OSError as error:
        raise OperatorError(
            f"the model file {path.name} cannot be read: {error.strerror}", code="NO_MODEL", remedy="install it again"
        ) from None
    if not data:
        raise OperatorError(f"the model file {path.name} is empty or larger than 16 MiB", code="MODEL_SIZE")
    found = hashlib.sha256(data).hexdigest()
    if found != manifest.sha256:
        raise OperatorError(
            f"the model file {path.name} has the SHA-256 {found[:12]}… but its manifest says {manifest.sha256[:12]}…",
            code="MODEL_DIGEST",
            remedy="install it again or train it anew; a file that is not what it was tested as is never loaded",
        )
    return data


def refuse_seen_period(models: Iterable[ModelManifest | None], date_from: int, date_to: int) -> None:
    """Refuse a run in which a model could not make a single honest prediction.

    Args:
        models: of the run's strategies; None where there is none.
        date_from: first exchange date of the run, ``YYYYMMDD``.
        date_to: last one.

    Raises:
        OperatorError: the whole run lies inside what a model was trained, calibrated or tested on.
    """
    for model in models:
        if model is not None and model.blocks(date_from) and model.blocks(date_to):
            seen = f"{date_text(model.blocked_from)}..{date_text(model.blocked_to)}"
            raise OperatorError(
                f"the run {date_text(date_from)}..{date_text(date_to)} lies wholly inside the period {seen} "
                f"that the model {model.model_id} has seen",
                code="TRAINING_WINDOW",
                remedy=f"start after {date_text(model.blocked_to)}, or choose a strategy without this model",
            )


def date_text(date: int) -> str:
    """Return ``YYYY-MM-DD`` for ``YYYYMMDD``."""
    text = str(date)
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"
