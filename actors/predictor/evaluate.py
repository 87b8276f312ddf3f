"""Calling strategies: windows cut from rings, answers checked, mistakes contained.

Whatever an author's function does, what leaves this module is an :class:`Outcome`: valid columns and the list of what
went wrong. The core folds it, checks and tests use the same path.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actors.api import (
    FIELDS,
    NEWS_FIELDS,
    NO_SENTIMENT,
    Features,
    Headline,
    PanelSentiment,
    PanelWindow,
    Scores,
    Sentiment,
    Signal,
    Window,
    no_panel_sentiment,
)
from actors.predictor.bars import BarSeries
from actors.predictor.binding import horizon_fits, horizon_of
from actors.predictor.outcome import (
    NOTHING,
    WHOLE_CALL,
    Answerable,
    Batch,
    Failure,
    Outcome,
    RefusalError,
    Scope,
)
from actors.values.time import format_ts
from daemon.kernel.interrupt import InterruptError

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

REASON_CHARS_MAX: Final = 200
_NUMBERS: Final = (float, int, np.floating, np.integer)


def evaluate(runner: Answerable, scope: Scope, now: int) -> Outcome:
    """Ask a strategy at an instant; fold-form states in ``runner.states`` are advanced.

    Never raises, whatever the author's function raises, answers or writes to.
    """
    if not runner.series.ring.rows:
        return NOTHING
    return _FORMS[runner.binding.spec.form](runner, scope, now)


# -- panel and model -------------------------------------------------------------------------------------------------


def _panel_window(runner: Answerable, scope: Scope, now: int, fresh: Bools) -> PanelWindow:
    series = runner.series
    view = series.ring.view
    rows = runner.lookback
    undeclared = runner.undeclared
    columns: list[Any] = [undeclared[f] if f in undeclared else view(f, rows) for f in FIELDS]
    columns += [undeclared[f] if f in undeclared else _PANEL_NEWS[f](scope) for f in NEWS_FIELDS]
    return PanelWindow(scope.symbols, now, runner.bar_text, series.stamps(rows), fresh, *columns)


def _panel_sentiment(scope: Scope) -> PanelSentiment:
    n = len(scope.symbols)
    return no_panel_sentiment(n) if scope.news is None else scope.news.panel(n)


def _panel_headlines(scope: Scope) -> tuple[tuple[Headline, ...], ...]:
    news = scope.news
    return tuple(() if news is None else news.headlines(i) for i in range(len(scope.symbols)))


_PANEL_NEWS: Final[dict[str, Callable[[Scope], Any]]] = {"sentiment": _panel_sentiment, "news": _panel_headlines}


def _fresh(series: BarSeries, scope: Scope) -> tuple[Bools, bool]:
    """Return the mask of symbols that may be predicted now, and whether that is all of them."""
    if series.fresh_ids is None:
        return scope.tradable, scope.all_tradable
    mask = np.zeros(len(scope.symbols), dtype=np.bool_)
    mask[series.fresh_ids] = True
    mask &= scope.tradable
    mask.setflags(write=False)
    return mask, False


def _ask_panel(runner: Answerable, scope: Scope, now: int) -> Outcome:
    fresh, everyone = _fresh(runner.series, scope)
    try:
        scores = runner.binding.spec.function(_panel_window(runner, scope, now, fresh), runner.binding.params)
    except InterruptError:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever an author's function raises
        return Outcome(failures=(_raised(runner, scope, now, WHOLE_CALL, error),))
    try:
        batch = _panel_batch(runner, scores, len(scope.symbols), None if everyone else fresh)
    except RefusalError as refusal:
        return _refused(runner, scope, now, refusal)
    return NOTHING if batch is None else Outcome((batch,))


def _panel_batch(runner: Answerable, scores: Any, n: int, fresh: Bools | None) -> Batch | None:
    """Return the valid columns of the symbols that did not abstain; ``fresh`` None means that all may be predicted.

    Raises:
        RefusalError: the answer breaks the contract of ``Scores``.
    """
    if type(scores) is not Scores:
        raise RefusalError("not_scores", f"returned {type(scores).__name__} instead of Scores")
    score = _column("score", scores.score, n)
    if scores.horizon is not None and not _good_horizon(runner, scores.horizon):
        raise RefusalError("bad_horizon", f"returned the horizon {scores.horizon!r}")
    size = np.abs(score)
    peak = np.fmax.reduce(size)
    if peak != peak:  # noqa: PLR0124 - NaN: everybody abstains
        return None
    if peak > 1.0:
        _refuse_beyond(score, fresh)
    inside = size <= 1.0  # false for NaN, which abstains
    keep = fresh
    if np.count_nonzero(inside) != n:
        keep = inside if fresh is None else inside & fresh
    ids: I32 | None = None
    if keep is not None and np.count_nonzero(keep) != n:
        ids = keep.nonzero()[0].astype(np.int32)
        if not len(ids):
            return None
        score, size = score[ids], size[ids]
    confidence = _optional("confidence", scores.confidence, n, ids)
    p_up = _optional("p_up", scores.p_up, n, ids)
    expected = _optional("expected_bps", scores.expected_bps, n, ids)
    if confidence is None:
        confidence = size
    elif not ((confidence >= 0.0) & (confidence <= 1.0)).all():
        raise RefusalError("confidence_out_of_range", "returned a confidence outside [0, 1]")
    if p_up is not None and ((p_up < 0.0) | (p_up > 1.0)).any():
        raise RefusalError("p_up_out_of_range", "returned a p_up outside [0, 1]")
    if expected is not None and np.isinf(expected).any():
        raise RefusalError("expected_bps_not_finite", "returned an infinite expected_bps")
    return Batch(scores.horizon or runner.horizon, ids, score, confidence, p_up, expected)


def _refuse_beyond(score: F64, fresh: Bools | None) -> None:
    beyond = np.abs(score) > 1.0 if fresh is None else (np.abs(score) > 1.0) & fresh
    if np.count_nonzero(beyond):
        first = int(np.flatnonzero(beyond)[0])
        raise RefusalError("score_out_of_range", f"returned the score {float(score[first])!r}", first)


def _column(name: str, column: Any, n: int) -> F64:
    if type(column) is not np.ndarray or column.dtype != np.float64 or column.shape != (n,):
        given = f"{type(column).__name__} {getattr(column, 'dtype', '')} {getattr(column, 'shape', '')}"
        raise RefusalError("bad_shape", f"returned {name} as {given}; it must be float64 of shape ({n},)")
    return column


def _optional(name: str, column: Any, n: int, ids: I32 | None) -> F64 | None:
    if column is None:
        return None
    whole = _column(name, column, n)
    return whole if ids is None else whole[ids]


def _ask_model(runner: Answerable, scope: Scope, now: int) -> Outcome:
    fresh, _ = _fresh(runner.series, scope)
    model = runner.binding.model
    assert model is not None  # noqa: S101 - bound with its manifest
    try:
        answer = runner.binding.spec.function(_panel_window(runner, scope, now, fresh), runner.binding.params)
    except InterruptError:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever an author's function raises
        return Outcome(failures=(_raised(runner, scope, now, WHOLE_CALL, error),))
    shape = (len(scope.symbols), len(model.features))
    rows = answer.rows if type(answer) is Features else None
    if type(rows) is not np.ndarray or rows.dtype != np.float64 or rows.shape != shape:
        what = f"must return Features with float64 rows of shape {shape}"
        return _refused(runner, scope, now, RefusalError("bad_shape", what))
    keep = fresh & ~np.isnan(rows).any(axis=1)
    ids = np.flatnonzero(keep).astype(np.int32)
    if not len(ids):
        return NOTHING
    chosen = rows[ids]
    if np.isinf(chosen).any():
        return _refused(runner, scope, now, RefusalError("features_not_finite", "returned an infinite feature"))
    return Outcome(features=(ids, chosen))


# -- one symbol at a time --------------------------------------------------------------------------------------------


def _symbol_sentiment(scope: Scope, symbol: int) -> Sentiment:
    return NO_SENTIMENT if scope.news is None else scope.news.sentiment(symbol)


def _symbol_headlines(scope: Scope, symbol: int) -> tuple[Headline, ...]:
    return () if scope.news is None else scope.news.headlines(symbol)


_NEWS: Final[dict[str, Callable[[Scope, int], Any]]] = {"sentiment": _symbol_sentiment, "news": _symbol_headlines}


def _ask_symbols(runner: Answerable, scope: Scope, now: int) -> Outcome:
    function = runner.binding.spec.function
    params = runner.binding.params
    return _each_symbol(runner, scope, now, lambda _, window: function(window, params))


def _ask_fold(runner: Answerable, scope: Scope, now: int) -> Outcome:
    function = runner.binding.spec.function
    params = runner.binding.params
    states = runner.states
    assert states is not None  # noqa: S101 - the form has them

    def ask(symbol: int, window: Window) -> Any:
        answer = function(states.take(symbol), window, params)
        pair: Any = answer if type(answer) is tuple and len(answer) == 2 else (None, None)
        states.put(symbol, pair[0])
        return pair[1]

    return _each_symbol(runner, scope, now, ask)


def _each_symbol(runner: Answerable, scope: Scope, now: int, ask: Callable[[int, Window], Any]) -> Outcome:
    series = runner.series
    rows = runner.lookback
    stamps = series.stamps(rows)
    undeclared = runner.undeclared
    blocks = [None if f in undeclared else series.ring.view(f, rows) for f in FIELDS]
    missing: list[Any] = [undeclared.get(f) for f in FIELDS]
    close = series.ring.view("close", rows)
    gaps: Any = np.isnan(close).any(axis=0).tolist()
    symbols = scope.symbols
    tradable = scope.tradable
    bar = runner.bar_text
    signals: dict[str, list[tuple[int, Signal]]] = {}
    failures: list[Failure] = []
    ids = range(len(symbols)) if series.fresh_ids is None else series.fresh_ids.tolist()
    of_news: Any = [undeclared.get(f) for f in NEWS_FIELDS]
    asks_news = bool(runner.binding.spec.news)
    for i in ids:
        if not tradable[i]:
            continue
        if asks_news:
            of_news = [undeclared[f] if f in undeclared else _NEWS[f](scope, i) for f in NEWS_FIELDS]
        if gaps[i]:
            kept = ~np.isnan(close[:, i])
            columns: list[Any] = [m if b is None else _own(b[kept, i]) for b, m in zip(blocks, missing, strict=True)]
            window = Window(symbols[i], now, bar, _own(stamps[kept]), *columns, *of_news)
        else:
            columns = [m if b is None else b[:, i] for b, m in zip(blocks, missing, strict=True)]
            window = Window(symbols[i], now, bar, stamps, *columns, *of_news)
        try:
            signal = ask(i, window)
        except InterruptError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever an author's function raises
            failures.append(_raised(runner, scope, now, i, error))
            continue
        if signal is None:
            continue
        error_kind = signal_error(signal, runner)
        if error_kind:
            what = f"returned {signal!r}"[:REASON_CHARS_MAX]
            failures.append(Failure(i, error_kind, _sentence(runner, scope, now, i, error_kind, what)))
            continue
        horizon = signal.horizon or runner.horizon
        group = signals.get(horizon)
        if group is None:
            signals[horizon] = [(i, signal)]
        else:
            group.append((i, signal))
    return Outcome([_batch(h, group, len(symbols)) for h, group in signals.items()], failures)


def signal_error(signal: Any, runner: Answerable) -> str:
    """Return what is wrong with a signal, "" where nothing is."""
    if type(signal) is not Signal:
        return "not_a_signal"
    for value, low, high, error in (
        (signal.score, -1.0, 1.0, "score_out_of_range"),
        (signal.confidence, 0.0, 1.0, "confidence_out_of_range"),
        (signal.p_up, 0.0, 1.0, "p_up_out_of_range"),
        (signal.expected_bps, -1e6, 1e6, "expected_bps_not_finite"),
    ):
        if value is None and error != "score_out_of_range":
            continue
        if not isinstance(value, _NUMBERS):
            return "not_a_number"
        if not low <= value <= high:
            return "score_not_finite" if error == "score_out_of_range" and np.isnan(value) else error
    if signal.horizon is not None and not _good_horizon(runner, signal.horizon):
        return "bad_horizon"
    return "" if type(signal.reason) is str and _is_unicode(signal.reason) else "reason_not_text"


def _is_unicode(text: str) -> bool:
    """Whether the journal can keep it: half of a surrogate pair it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _batch(horizon: str, group: list[tuple[int, Signal]], n: int) -> Batch:
    signals = [signal for _, signal in group]
    nan = float("nan")
    reasons = tuple(s.reason[:REASON_CHARS_MAX] for s in signals) if any(s.reason for s in signals) else ()
    return Batch(
        horizon,
        None if len(group) == n else np.array([i for i, _ in group], dtype=np.int32),
        np.array([s.score for s in signals], dtype=np.float64),
        np.array([abs(s.score) if s.confidence is None else s.confidence for s in signals], dtype=np.float64),
        None
        if all(s.p_up is None for s in signals)
        else np.array([nan if s.p_up is None else s.p_up for s in signals], dtype=np.float64),
        None
        if all(s.expected_bps is None for s in signals)
        else np.array([nan if s.expected_bps is None else s.expected_bps for s in signals], dtype=np.float64),
        reasons,
    )


def _good_horizon(runner: Answerable, text: Any) -> bool:
    if type(text) is not str:
        return False
    found = horizon_of(text)
    return found is not None and horizon_fits(found, runner.run)


def _own(array: Any) -> Any:
    """Return a copy the author may not write to by accident; no one else ever sees it."""
    array.setflags(write=False)
    return array


# -- what went wrong -------------------------------------------------------------------------------------------------


def _refused(runner: Answerable, scope: Scope, now: int, refusal: RefusalError) -> Outcome:
    sentence = _sentence(runner, scope, now, refusal.symbol, refusal.error, refusal.what)
    return Outcome(failures=(Failure(refusal.symbol, refusal.error, sentence),))


def _raised(runner: Answerable, scope: Scope, now: int, symbol: int, error: BaseException) -> Failure:
    kind = f"raised {type(error).__name__}"
    code = runner.binding.spec.function.__code__
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == code.co_filename]
    sentence = _sentence(runner, scope, now, symbol, kind, str(error), lines[-1] if lines else None)
    return Failure(symbol, kind, sentence)


def _sentence(
    runner: Answerable,
    scope: Scope,
    now: int,
    symbol: int,
    error: str,
    what: str,
    line: int | None = None,
) -> str:
    code = runner.binding.spec.function.__code__
    where = f"{code.co_filename}:{code.co_firstlineno if line is None else line}"
    whom = "" if symbol == WHOLE_CALL else f" for {scope.symbols[symbol]}"
    return f"{where}: strategy {runner.binding.name}{whom} at {format_ts(now)}: {error}: {what}"


_FORMS: Final[dict[str, Callable[[Any, Scope, int], Outcome]]] = {
    "panel": _ask_panel,
    "model": _ask_model,
    "symbol": _ask_symbols,
    "fold": _ask_fold,
}
