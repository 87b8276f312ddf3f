"""The three forms of a strategy, their windows, their schedule."""

from __future__ import annotations

import numpy as np
import pytest

from actors.api import Features, PanelWindow, Params, Scores, Signal, Struct, Window, strategy
from actors.messages.columns import unpack_f64, unpack_i32, unpack_i64
from actors.messages.inference import StrategyFailed
from actors.messages.portfolio import SignalsReady
from actors.predictor.registry import bind_spec
from daemon.kernel.errors import OperatorError


def spec(function):
    """Return a binding of a decorated function."""
    return bind_spec(function.__tradingd_strategy__)


def test_a_symbol_strategy_is_asked_once_per_symbol_with_its_own_bars(make_run, feeds) -> None:
    """Each window holds one symbol's last bars, oldest first, ending now."""
    seen = []

    @strategy(lookback=2)
    def s(w: Window, p: Params) -> Signal | None:
        seen.append((w.symbol, w.now == w.ts[-1], w.interval, w.close.tolist()))
        return None

    make_run([s], symbols=2).feed(feeds.daily(np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])))
    assert seen[-2:] == [("S0", True, "1d", [2.0, 3.0]), ("S1", True, "1d", [20.0, 30.0])]
    assert seen[0] == ("S0", True, "1d", [1.0])


def test_signals_carry_default_confidence_price_and_horizon(make_run, feeds) -> None:
    """Confidence defaults to the score's size; the price is the last known close in units of 1e-8."""

    @strategy(horizon=3)
    def s(w: Window, p: Params) -> Signal | None:
        return Signal(-0.25, reason="down") if w.symbol == "S1" else None

    event = make_run([s], symbols=2).feed(feeds.daily(np.array([[1.0, 10.5]]))).events(SignalsReady)[0]
    assert (event.strategy, event.model, event.decision, event.horizon) == ("s", "s", 1, "3d")
    assert unpack_i32(event.ids).tolist() == [1]
    assert unpack_f64(event.score).tolist() == [-0.25]
    assert unpack_f64(event.confidence).tolist() == [0.25]
    assert unpack_i64(event.price).tolist() == [1_050_000_000]
    assert (event.p_up, event.reasons, event.buy_and_hold) == (b"", ("down",), False)


def test_signals_with_different_horizons_become_one_event_each_of_the_same_decision(make_run, feeds) -> None:
    """A horizon belongs to the event; the decision's number is shared."""

    @strategy()
    def s(w: Window, p: Params) -> Signal:
        return Signal(0.5, horizon="1d" if w.symbol == "S0" else "5d", p_up=0.6 if w.symbol == "S2" else None)

    events = make_run([s]).feed(feeds.daily(np.ones((1, 3)))).events(SignalsReady)
    assert [(e.decision, e.horizon, unpack_i32(e.ids).tolist()) for e in events] == [(1, "1d", [0]), (1, "5d", [1, 2])]
    assert np.array_equal(unpack_f64(events[1].p_up), [np.nan, 0.6], equal_nan=True)


def test_gaps_are_dropped_from_a_symbols_window_and_a_stale_symbol_is_not_asked(make_run, feeds) -> None:
    """Nothing is filled forward: S0 lacks the second bar, S1 the last."""
    seen = {}

    @strategy(lookback=3)
    def s(w: Window, p: Params) -> None:
        seen.setdefault(w.symbol, []).append((len(w), w.close.tolist(), (w.ts[1:] > w.ts[:-1]).all()))

    closes = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    make_run([s], symbols=2).feed(feeds.daily(closes, present=[None, [1], [0]]))
    assert seen["S0"] == [(1, [1.0], True), (2, [1.0, 3.0], True)]
    assert seen["S1"] == [(1, [10.0], True), (2, [10.0, 20.0], True)]


def test_a_panel_strategy_sees_time_by_symbol_with_gaps_as_nan(make_run, feeds) -> None:
    """Rows are time; ``fresh`` says who may be predicted; NaN abstains; answers for stale symbols are ignored."""
    seen = []

    @strategy(lookback=2)
    def s(w: PanelWindow, p: Params) -> Scores:
        seen.append((w.close.copy(), w.fresh.tolist(), w.symbols))
        return Scores(np.array([0.5, 0.5, np.nan]))

    run = make_run([s]).feed(feeds.daily(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), present=[None, [0, 2]]))
    close, fresh, symbols = seen[1]
    assert np.array_equal(close, [[1.0, 2.0, 3.0], [4.0, np.nan, 6.0]], equal_nan=True)
    assert (fresh, symbols) == ([True, False, True], ("S0", "S1", "S2"))
    assert [unpack_i32(e.ids).tolist() for e in run.events(SignalsReady)] == [[0, 1], [0]]


def test_a_symbol_that_may_not_be_traded_is_seen_but_never_predicted(make_run, feeds) -> None:
    """An index in the universe is data, not a signal."""

    @strategy()
    def s(w: PanelWindow, p: Params) -> Scores:
        return Scores(np.ones(w.close.shape[1]))

    @strategy()
    def t(w: Window, p: Params) -> Signal:
        return Signal(1.0)

    run = make_run([s, t], tradable=(True, False, True)).feed(feeds.daily(np.ones((1, 3))))
    assert [unpack_i32(e.ids).tolist() for e in run.events(SignalsReady)] == [[0, 2], [0, 2]]


class Count(Struct):
    """State of the fold test."""

    n: int = 0


def test_a_fold_strategy_remembers_per_symbol(make_run, feeds) -> None:
    """State starts default-constructed and advances once per fresh bar of its symbol."""

    @strategy()
    def s(state: Count, w: Window, p: Params) -> tuple[Count, Signal | None]:
        return Count(state.n + 1), Signal((state.n + 1) / 10)

    run = make_run([s], symbols=2).feed(feeds.daily(np.ones((3, 2)), present=[None, [1], None]))
    last = run.events(SignalsReady)[-1]
    assert unpack_f64(last.score).tolist() == [0.2, 0.3]


class Bad(Struct):
    """State that no snapshot can hold."""

    f: object = print


def test_fold_state_that_cannot_be_kept_is_refused_at_the_start(make_run) -> None:
    """A restart would lose it."""

    @strategy()
    def s(state: Bad, w: Window, p: Params) -> tuple[Bad, None]:
        return state, None

    with pytest.raises(OperatorError, match="state Bad cannot be kept"):
        make_run([s])


def test_an_undeclared_field_says_what_to_write(make_run, feeds) -> None:
    """The failure's sentence names field and remedy."""

    @strategy()
    def s(w: PanelWindow, p: Params) -> Scores:
        return Scores(w.volume[-1])

    run = make_run([s]).feed(feeds.daily(np.ones((1, 3))))
    assert run.events(StrategyFailed)[0].error == "raised UndeclaredFieldError"
    assert "fields=(..., 'volume')" in run.actor.failures[0]


def test_declared_fields_are_there(make_run, feeds) -> None:
    """Open and volume reach a panel strategy that asks; a source without volume gives NaN."""
    seen = []

    @strategy(fields=("open", "volume"))
    def s(w: PanelWindow, p: Params) -> Scores:
        seen.append((w.open.tolist(), np.isnan(w.volume).all(), w.close.tolist()))
        return Scores(np.full(3, np.nan))

    make_run([s]).feed(feeds.daily(np.full((1, 3), 2.0), opens=np.full((1, 3), 1.5)))
    assert seen == [([[1.5] * 3], True, [[2.0] * 3])]


def test_a_quiet_decision_leaves_no_event_and_takes_no_number(make_run, feeds) -> None:
    """Abstaining everywhere is no record; the next decision that says something is number 1."""

    @strategy()
    def s(w: PanelWindow, p: Params) -> Scores:
        return Scores(np.where(w.close[-1] > 2, 1.0, np.nan))

    run = make_run([s]).feed(feeds.daily(np.array([[1.0] * 3, [2.0] * 3, [3.0] * 3, [4.0] * 3])))
    assert [e.decision for e in run.events(SignalsReady)] == [1, 2]


def test_a_daily_strategy_decides_only_in_sessions_with_bars(make_run, feeds) -> None:
    """A session without any data asks nobody."""

    @strategy()
    def s(w: Window, p: Params) -> Signal:
        return Signal(1.0)

    run = make_run([s]).feed(feeds.daily(np.ones((3, 3)), present=[None, [], None]))
    assert len(run.events(SignalsReady)) == 2


def schedule(make_run, inputs, bar, decision, interval="1m"):
    """Return when a strategy is asked: (minute of its last bar's end since its session's open, bars held)."""
    asked = []

    @strategy(bar=bar, lookback=50, horizon="5d")
    def s(w: Window, p: Params) -> None:
        if w.symbol == "S0":
            asked.append((int(w.ts[-1] // 60_000_000_000 % 1440 - 14 * 60), len(w)))

    make_run([s], interval=interval, decision=decision).feed(inputs)
    return asked


@pytest.mark.parametrize(
    ("bar", "decision", "expected"),
    [
        (None, "20m", [(20, 20), (40, 40), (60, 50)]),
        ("20m", None, [(20, 1), (40, 2), (60, 3)]),
        ("25m", None, [(25, 1), (50, 2), (60, 3)]),
        ("20m", "40m", [(40, 2)]),
        ("1d", None, [(60, 1)]),
        ("1d", "20m", [(60, 1)]),
        (None, "1d", [(60, 50)]),
    ],
)
def test_bars_and_decision_intervals_inside_a_session(make_run, feeds, bar, decision, expected) -> None:
    """Buckets start at the session's open; the last one ends with the session."""
    assert schedule(make_run, feeds.minute(np.ones((60, 3))), bar, decision) == expected


def test_a_missing_minute_delays_a_decision_to_the_next_panel(make_run, feeds) -> None:
    """Nobody waits for a bar that does not come, and nothing is skipped."""
    present = [None] * 60
    present[19] = []  # no panel at minute 20
    inputs = feeds.minute(np.ones((60, 3)), present)
    assert schedule(make_run, inputs, None, "20m") == [(21, 20), (40, 39), (60, 50)]
    assert schedule(make_run, inputs, "20m", None) == [(20, 1), (40, 2), (60, 3)]


def test_weekly_bars_from_daily_ones_close_with_their_last_session(make_run, feeds) -> None:
    """Five sessions make a bar; which five does not depend on where the run starts."""
    closes = np.arange(1.0, 31.0).reshape(10, 3)
    assert len(schedule(make_run, feeds.daily(closes), "5d", None, "1d")) == 2
    assert len(schedule(make_run, feeds.daily(closes, first=3), "5d", None, "1d")) == 2
    assert len(schedule(make_run, feeds.daily(closes), None, "5d", "1d")) == 2


@pytest.mark.parametrize(("bar", "run"), [("1m", "5m"), ("7m", "5m"), ("1m", "1d"), ("3d", "2d")])
def test_bars_finer_than_the_runs_or_no_multiple_are_refused(make_run, bar, run) -> None:
    """The sentence names the strategy and both intervals."""

    @strategy(bar=bar, horizon="12d")
    def s(w: Window, p: Params) -> None: ...

    with pytest.raises(OperatorError, match=f"strategy s wants {bar} bars.*the run's {run} bars"):
        make_run([s], interval=run)


@pytest.mark.parametrize(("horizon", "run"), [("30m", "1d"), ("1m", "5m")])
def test_a_horizon_the_bars_cannot_show_is_refused(make_run, horizon, run) -> None:
    """Minutes cannot mature on daily bars."""

    @strategy(horizon=horizon)
    def s(w: Window, p: Params) -> None: ...

    with pytest.raises(OperatorError, match="cannot show"):
        make_run([s], interval=run)


def test_a_number_as_horizon_counts_the_strategys_own_bars(make_run, feeds) -> None:
    """Three bars are 3d, 3m or 15m."""

    @strategy(horizon=3)
    def a(w: Window, p: Params) -> Signal:
        return Signal(1.0)

    @strategy(horizon=3, bar="5m")
    def b(w: Window, p: Params) -> Signal:
        return Signal(1.0)

    run = make_run([a, b], interval="1m").feed(feeds.minute(np.ones((5, 3))))
    assert {(e.strategy, e.horizon) for e in run.events(SignalsReady)} == {("a", "3m"), ("b", "15m")}


def test_two_strategies_under_one_name_are_refused(make_run) -> None:
    """An alias tells them apart."""

    @strategy()
    def s(w: Window, p: Params) -> None: ...

    with pytest.raises(OperatorError, match="s is there twice"):
        make_run([s, s])
    make_run([spec(s), bind_spec(s.__tradingd_strategy__, alias="other")])


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda: strategy(api=2)(lambda w, p: None), "written for API 2"),
        (lambda: strategy()(lambda w: None), "none of the three forms"),
        (lambda: strategy()(lambda s, w, p: None), "state is not a Struct"),
        (lambda: strategy(lookback=0)(lambda w, p: None), "lookback must be a whole number"),
        (lambda: strategy(fields=("closs",))(lambda w, p: None), "unknown field 'closs'"),
        (lambda: strategy(bar="1 minute")(lambda w, p: None), "bar: '1 minute' is not an interval"),
        (lambda: strategy(horizon=0)(lambda w, p: None), "horizon must be"),
        (lambda: strategy(budget_ms=0)(lambda w, p: None), "budget_ms must be positive"),
        (lambda: strategy(params=dict)(lambda w, p: None), "derived from Params"),
        (lambda: strategy(model="price_5d")(lambda w, p: None), "first argument must be w: PanelWindow"),
    ],
)
def test_the_decorator_refuses_nonsense_in_one_sentence(function, match) -> None:
    """What is wrong is said when the file is imported."""
    with pytest.raises(OperatorError, match=match):
        function()


def test_parameters_without_default_are_refused() -> None:
    """A strategy must run without configuration."""

    class P(Params):
        x: int

    with pytest.raises(OperatorError, match="parameter 'x' needs a default"):
        strategy(params=P)(lambda w, p: None)


def test_a_decorated_function_can_still_be_called() -> None:
    """Authors test it like any function."""

    @strategy()
    def s(w: Window, p: Params) -> Signal:
        return Signal(0.1)

    assert s(None, None) == Signal(0.1)  # type: ignore[arg-type]
    assert Features(np.zeros((1, 1))).rows.shape == (1, 1)
