"""Requests to models and what comes back. A prediction enters the core as an input, like a bar."""

from __future__ import annotations

from daemon.kernel.message import Command, Event


class InferenceRequested(Event, tag=20, frozen=True):
    """A strategy wants a model's answer; the pool outside hears of it once the frame is committed.

    Attributes:
        request_id: unique in the run.
        model_id: name and version of the model.
        strategy: who asks.
        decision: the strategy's decision number.
        ids: int32 column of symbol ids, one per row.
        features: float64 column, row-major, ``len(ids) x n_features``.
        deadline: stamp after which the answer is of no use.
    """

    request_id: str
    model_id: str
    strategy: str
    decision: int
    ids: bytes
    features: bytes
    deadline: int


class PredictionReady(Command, tag=21, frozen=True):
    """A model's answer (an input). Columns have one entry per id; scores are already rounded.

    ``latency_ns`` is what the answer took by the latency model in replay, as measured live.
    """

    request_id: str
    model_id: str
    horizon: str
    ids: bytes
    score: bytes
    p_up: bytes
    sigma: bytes = b""
    latency_ns: int = 0


class PredictionUnavailable(Command, tag=22, frozen=True):
    """No answer will come (an input): hold, never guess."""

    request_id: str
    model_id: str
    reason: str


class ModelActivated(Event, tag=23, frozen=True):
    """A model version is now the one in use."""

    model_id: str
    digest: str
    trained_from: int
    trained_to: int


class DriftDetected(Event, tag=24, frozen=True):
    """A model's inputs or hit rate left the range seen in training."""

    model_id: str
    measure: str
    value: float
    limit: float


class PredictionsScored(Event, tag=25, frozen=True):
    """Predictions whose horizon has matured, with what really happened.

    Attributes:
        model: the strategy or model that predicted.
        decision: its decision number, as in ``SignalsReady``.
        horizon: such as ``1d`` or ``30m``.
        ids: int32 column of symbol ids.
        realized: float64 column, simple return from the decision price.
        realized_tradable: float64 column, simple return from the first tradable price; NaN where there was none.
        strategy: the strategy, which with ``decision`` and ``horizon`` names the ``SignalsReady`` it scores.
    """

    model: str
    decision: int
    horizon: str
    ids: bytes
    realized: bytes
    realized_tradable: bytes
    strategy: str = ""


class StrategyDisabled(Event, tag=26, frozen=True):
    """A strategy was switched off (errors, overruns or an operator)."""

    strategy: str
    reason: str
    by: str


class StrategyEnabled(Event, tag=27, frozen=True):
    """A strategy was switched on again."""

    strategy: str
    reason: str
    by: str


class StrategyFailed(Event, tag=28, frozen=True):
    """A strategy's call failed or answered nonsense; it abstained for this decision.

    ``error`` names the kind of failure, ``symbol`` the symbol id (-1: the whole call).
    """

    strategy: str
    decision: int
    symbol: int
    error: str
