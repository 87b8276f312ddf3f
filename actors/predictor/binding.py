"""A strategy with its parameters, as a run uses it; and what a run's interval makes of its bars and horizons."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from actors.api import StrategySpec
from actors.predictor.bars import divides
from actors.predictor.models.manifest import ModelManifest
from actors.values.time import HOUR_NS, MINUTE_NS, SECOND_NS, Interval, parse_interval
from daemon.kernel.errors import OperatorError


class StrategyBinding(Struct, frozen=True):
    """A strategy, its parameters and the name it goes by in this run.

    Attributes:
        spec: what ``@strategy`` learned of the function.
        params: validated parameters.
        name: in signals, orders and reports; unique in a run.
        origin: where the strategy came from: ``built-in``, a file, or an entry point.
        model: of the model behind a model-form strategy.
    """

    spec: StrategySpec
    params: Struct
    name: str
    origin: str = "built-in"
    model: ModelManifest | None = None


@lru_cache(maxsize=256)
def horizon_of(text: str) -> Interval | None:
    """Return the horizon, None where the text is none."""
    try:
        return parse_interval(text)
    except ValueError:
        return None


def bar_of(binding: StrategyBinding, run: Interval) -> Interval:
    """Return the interval of the strategy's bars in a run.

    Raises:
        OperatorError: finer than the run's bars, or not a multiple of them.
    """
    if binding.spec.bar is None:
        return run
    bar = parse_interval(binding.spec.bar)
    if divides(run, bar):
        return bar
    finer = bar.ns < run.ns if not (bar.is_daily or run.is_daily) else run.is_daily
    what = "finer than" if finer else "no multiple of"
    raise OperatorError(
        f"strategy {binding.name} wants {bar.text} bars, which is {what} the run's {run.text} bars",
        code="BAD_INTERVAL",
        remedy=f"run with --interval {bar.text} on data that fine, or change bar= in @strategy",
    )


def default_horizon(binding: StrategyBinding, bar: Interval, run: Interval) -> str:
    """Return the strategy's default horizon as text; a number counts the strategy's own bars.

    Raises:
        OperatorError: shorter than the run's bars can show.
    """
    horizon = binding.spec.horizon
    if binding.model is not None:
        horizon = binding.model.horizon
    text = _times(bar, horizon) if isinstance(horizon, int) else horizon
    found = horizon_of(text)
    if found is None or not horizon_fits(found, run):
        raise OperatorError(
            f"strategy {binding.name} predicts {text} ahead, which the run's {run.text} bars cannot show",
            code="BAD_HORIZON",
            remedy="choose a horizon of at least one bar",
        )
    return text


def horizon_fits(horizon: Interval, run: Interval) -> bool:
    """Whether a horizon can mature on a run's bars: minutes need intraday bars no longer than it."""
    return horizon.is_daily or (not run.is_daily and horizon.ns >= run.ns)


def _times(bar: Interval, count: int) -> str:
    if bar.is_daily:
        return f"{bar.sessions * count}d"
    ns = bar.ns * count
    for unit, size in (("m", MINUTE_NS), ("h", HOUR_NS)):
        if ns % size == 0 and ns // size < 100_000:
            return f"{ns // size}{unit}"
    return f"{ns // SECOND_NS}s"
