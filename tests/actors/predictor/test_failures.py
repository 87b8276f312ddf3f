"""Whatever an author's code does wrong costs that strategy a decision and nobody else anything."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from actors.api import PanelWindow, Params, Scores, Signal, Struct, Window, strategy
from actors.messages.columns import unpack_i32
from actors.messages.control import DisableStrategy, EnableStrategy
from actors.messages.inference import StrategyDisabled, StrategyEnabled, StrategyFailed
from actors.messages.portfolio import SignalsReady
from daemon.kernel.message import CommandRejected


@strategy()
def steady(w: Window, p: Params) -> Signal:
    """Do what one should."""
    return Signal(0.5)


def write_to_window(w):
    """Write where it is forbidden."""
    w.close[0] = 1.0
    return Signal(0.5)


def unlock_window(w):
    """Try to lift the write protection first."""
    w.close.setflags(write=True)
    w.close[0] = 1.0
    return Signal(0.5)


def leave(_):
    """End the process."""
    sys.exit(3)


def interrupt(_):
    """Raise what a person at the keyboard would cause."""
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (lambda w: 1 / 0, "raised ZeroDivisionError"),
        (leave, "raised SystemExit"),
        (interrupt, "raised KeyboardInterrupt"),
        (write_to_window, "raised ValueError"),
        (unlock_window, "raised ValueError"),
        (lambda w: Signal(float("nan")), "score_not_finite"),
        (lambda w: Signal(float("inf")), "score_out_of_range"),
        (lambda w: Signal(1.01), "score_out_of_range"),
        (lambda w: Signal("0.5"), "not_a_number"),
        (lambda w: Signal(w.close), "not_a_number"),
        (lambda w: Signal(0.5, confidence=1.2), "confidence_out_of_range"),
        (lambda w: Signal(0.5, confidence=float("nan")), "confidence_out_of_range"),
        (lambda w: Signal(0.5, p_up=-0.1), "p_up_out_of_range"),
        (lambda w: Signal(0.5, expected_bps=float("inf")), "expected_bps_not_finite"),
        (lambda w: Signal(0.5, horizon="soon"), "bad_horizon"),
        (lambda w: Signal(0.5, horizon="30m"), "bad_horizon"),
        (lambda w: Signal(0.5, horizon=5), "bad_horizon"),
        (lambda w: Signal(0.5, reason=7), "reason_not_text"),
        (lambda w: 0.5, "not_a_signal"),
        (lambda w: (0.5, 1), "not_a_signal"),
    ],
)
def test_a_symbol_call_that_goes_wrong_abstains_and_is_recorded(make_run, feeds, body, error) -> None:
    """The failed symbol abstains, the others and other strategies go on."""

    @strategy(lookback=2)
    def s(w: Window, p: Params) -> Signal:
        return body(w) if w.symbol == "S1" else Signal(0.5)

    run = make_run([s, steady]).feed(feeds.daily(np.ones((2, 3))))
    failed = run.events(StrategyFailed)
    assert [(e.strategy, e.decision, e.symbol, e.error) for e in failed] == [("s", 1, 1, error), ("s", 2, 1, error)]
    by = [(e.strategy, e.decision, unpack_i32(e.ids).tolist()) for e in run.events(SignalsReady)]
    assert by == [("s", 1, [0, 2]), ("steady", 1, [0, 1, 2]), ("s", 2, [0, 2]), ("steady", 2, [0, 1, 2])]


@pytest.mark.parametrize(
    ("body", "error", "symbol"),
    [
        (lambda w: 1 / 0, "raised ZeroDivisionError", -1),
        (lambda w: np.ones(3), "not_scores", -1),
        (lambda w: Scores(np.ones(2)), "bad_shape", -1),
        (lambda w: Scores([1.0, 1.0, 1.0]), "bad_shape", -1),
        (lambda w: Scores(np.ones(3, dtype=np.float32)), "bad_shape", -1),
        (lambda w: Scores(np.array([0.0, 2.0, np.nan])), "score_out_of_range", 1),
        (lambda w: Scores(np.array([0.0, np.nan, -np.inf])), "score_out_of_range", 2),
        (lambda w: Scores(np.ones(3), confidence=np.array([0.5, np.nan, 0.5])), "confidence_out_of_range", -1),
        (lambda w: Scores(np.ones(3), confidence=np.ones(4)), "bad_shape", -1),
        (lambda w: Scores(np.ones(3), p_up=np.array([0.5, 1.5, 0.5])), "p_up_out_of_range", -1),
        (lambda w: Scores(np.ones(3), expected_bps=np.full(3, np.inf)), "expected_bps_not_finite", -1),
        (lambda w: Scores(np.ones(3), horizon="5 days"), "bad_horizon", -1),
        (lambda w: w.close.__setitem__(0, 1.0), "raised ValueError", -1),
        (lambda w: w.fresh.setflags(write=True), "raised ValueError", -1),
    ],
)
def test_a_panel_call_that_goes_wrong_abstains_as_a_whole(make_run, feeds, body, error, symbol) -> None:
    """One event names the kind and, where there is one, the first symbol at fault."""

    @strategy()
    def s(w: PanelWindow, p: Params) -> Scores:
        return body(w)

    run = make_run([s]).feed(feeds.daily(np.ones((1, 3))))
    assert [(e.symbol, e.error) for e in run.events(StrategyFailed)] == [(symbol, error)]
    assert run.events(SignalsReady) == []


def test_the_sentence_for_people_names_file_and_line(make_run, feeds) -> None:
    """The line is the author's own, not ours; the event stays free of paths."""

    @strategy()
    def s(w: Window, p: Params) -> Signal:
        return Signal(1 / (w.close[0] - w.close[0]).item())  # this line

    run = make_run([s], symbols=("AAPL",)).feed(feeds.daily(np.ones((1, 1))))
    with open(__file__, encoding="utf-8") as file:  # noqa: PTH123 - __file__ is text
        line = next(n for n, text in enumerate(file, 1) if "# this line" in text)
    assert run.actor.failures[0].startswith(f"{__file__}:{line}: strategy s for AAPL at ")
    assert __file__ not in str(run.events())


def failing(rows):
    """Return a strategy that fails in the sessions whose close is in ``rows``."""

    @strategy(name="shaky")
    def s(w: Window, p: Params) -> Signal | None:
        if w.close[-1] in rows:
            raise RuntimeError
        return None

    return s


def numbered(n):
    """Return closes 1, 2, ... n for one symbol."""
    return np.arange(1.0, n + 1).reshape(-1, 1)


def test_three_failed_decisions_in_a_row_switch_a_strategy_off(make_run, feeds) -> None:
    """The event is recorded, so that a replay sees the same; afterwards nobody asks it."""
    run = make_run([failing({2, 3, 4, 5, 6})], symbols=1).feed(feeds.daily(numbered(8)))
    assert len(run.events(StrategyFailed)) == 3
    (off,) = run.events(StrategyDisabled)
    assert (off.strategy, off.by) == ("shaky", "predictor")
    assert off.reason == "3 failed decisions in a row, the last: raised RuntimeError"


def test_a_decision_that_goes_well_starts_the_count_anew_even_when_it_abstains(make_run, feeds) -> None:
    """Two failures, a quiet success, two failures: still on."""
    run = make_run([failing({1, 2, 4, 5})], symbols=1).feed(feeds.daily(numbered(7)))
    assert (len(run.events(StrategyFailed)), run.events(StrategyDisabled)) == (4, [])


def test_many_symbols_failing_at_once_are_one_failed_decision(make_run, feeds) -> None:
    """The count is of decisions, not of symbols."""
    run = make_run([failing({1, 2})], symbols=5).feed(feeds.daily(np.repeat(numbered(3), 5, axis=1)))
    assert (len(run.events(StrategyFailed)), run.events(StrategyDisabled)) == (10, [])


def test_operators_switch_strategies_off_and_on(make_run, feeds) -> None:
    """An enabled strategy has a clean record; nonsense is refused with a sentence."""
    run = make_run([steady], symbols=1)
    first, second, third = (feeds.daily(np.ones((1, 1)), first=i) for i in range(3))
    run.feed(first).feed([DisableStrategy("steady", "maintenance", "ann"), DisableStrategy("steady", "again", "ann")])
    run.feed(second).feed([EnableStrategy("steady", "done", "ann"), EnableStrategy("steady", "again", "ann")])
    run.feed(third).feed([DisableStrategy("staedy", "typo", "ann")])
    assert [e.decision for e in run.events(SignalsReady)] == [1, 2]
    assert run.events(StrategyDisabled) == [StrategyDisabled("steady", "maintenance", "ann")]
    assert run.events(StrategyEnabled) == [StrategyEnabled("steady", "done", "ann")]
    codes = [(e.code, e.reason) for e in run.events(CommandRejected)]
    assert [code for code, _ in codes] == ["STRATEGY_OFF", "STRATEGY_ON", "NO_STRATEGY"]
    assert "it has: steady" in codes[2][1]


def test_an_enabled_strategy_gets_three_new_chances(make_run, feeds) -> None:
    """The streak starts over."""
    run = make_run([failing(set(range(1, 20)))], symbols=1)
    run.feed(feeds.daily(numbered(4))).feed([EnableStrategy("shaky", "try again", "ann")])
    run.feed(feeds.daily(numbered(6)[4:], first=4))
    assert (len(run.events(StrategyFailed)), len(run.events(StrategyDisabled))) == (5, 1)
    run.feed(feeds.daily(numbered(8)[6:], first=6))
    assert (len(run.events(StrategyFailed)), len(run.events(StrategyDisabled))) == (6, 2)


class Total(Struct):
    """State of the failing fold."""

    x: float = 0.0


def test_a_fold_that_answers_nonsense_keeps_its_old_state(make_run, feeds) -> None:
    """Neither a raise nor a wrong pair advances it."""

    @strategy()
    def s(state: Total, w: Window, p: Params) -> tuple[Total, Signal | None]:
        if w.close[-1] == 2:
            return Signal(0.5)  # type: ignore[return-value]
        if w.close[-1] == 3:
            raise RuntimeError
        total = state.x + w.close[-1] / 100
        return Total(total), Signal(total)

    run = make_run([s], symbols=1).feed(feeds.daily(numbered(4)))
    assert [e.error for e in run.events(StrategyFailed)] == ["raised TypeError", "raised RuntimeError"]
    assert np.frombuffer(run.events(SignalsReady)[-1].score).tolist() == [0.05]


def test_numpy_warnings_inside_a_strategy_stay_inside(make_run, feeds) -> None:
    """0/0 on an array is NaN, and NaN abstains."""

    @strategy()
    def s(w: PanelWindow, p: Params) -> Scores:
        zero = w.close[-1] - w.close[-1]
        return Scores(zero / zero)

    assert make_run([s]).feed(feeds.daily(np.ones((1, 3)))).events() == []


@strategy()
def counting(state: Total, w: Window, p: Params) -> tuple[Total, Signal]:
    """Change the state in place, then fail in the second bar; keep a numpy number."""
    state.x += 1
    if w.close[-1] == 2:
        raise RuntimeError
    return state, Signal(state.x / 10)


def test_a_failed_call_leaves_no_trace_in_the_state_it_changed(make_run, feeds) -> None:
    """What the author did to the object in place before raising is gone."""
    run = make_run([counting], symbols=1).feed(feeds.daily(numbered(3)))
    assert [np.frombuffer(e.score)[0] for e in run.events(SignalsReady)] == [0.1, 0.2]


@strategy()
def hoarding(state: Total, w: Window, p: Params) -> tuple[Total, Signal]:
    """Keep a numpy number, and in the second bar a window."""
    assert type(state.x) is float
    return Total(w.close if w.close[-1] == 2 else w.close[-1]), Signal(0.5)


def test_numpy_numbers_in_a_state_become_plain_and_arrays_are_refused(make_run, feeds) -> None:
    """Found by splitting a run: a state that no snapshot can hold must fail when it is made, not at the snapshot."""
    run = make_run([hoarding], symbols=1).feed(feeds.daily(numbered(3)))
    assert [(e.decision, e.error) for e in run.events(StrategyFailed)] == [(2, "raised TypeError")]
    assert "ndarray cannot be kept in a state" in run.actor.failures[0]
    run.sequencer.snapshot()
