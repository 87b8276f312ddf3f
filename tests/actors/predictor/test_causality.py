"""The look-ahead probe: what happens after t does not change the answer at t; every built-in, the real actor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.api import PanelWindow, Params, Scores, Signal, Struct, Window, strategy
from actors.messages.columns import unpack_f64, unpack_i32
from actors.messages.inference import PredictionsScored
from actors.messages.portfolio import SignalsReady
from actors.predictor.pool.inprocess import InProcessPool
from actors.predictor.registry import BUILT_IN, bind

ROWS = 150
SMALL = {
    "momentum": {"lookback": 20, "skip": 3},
    "multi_factor": {"momentum": 30, "reversal": 5, "volatility": 20},
}


def run_of(make_run, name, symbols):
    """Return a run of a built-in with small windows."""
    binding = bind(name, SMALL.get(name))
    return make_run([binding], symbols=symbols, pool=InProcessPool([binding.model]))


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("cut", [70, 110, 149])
def test_prices_after_t_do_not_change_the_answer_at_t(make_run, feeds, prices, name, cut) -> None:
    """Two futures, one past: everything said up to t is equal; and after t something differs, so the probe can see."""
    past = prices(ROWS, 5)
    other = past.copy()
    other[cut:] = prices(ROWS, 5, seed=2)[cut:] * 1.7
    said = []
    for closes in (past, other):
        frames = run_of(make_run, name, 5).feed(feeds.daily(closes, close_only=True)).frames
        events = [(f.envelope.ts_init, f.events) for f in frames if f.events]
        said.append(events)
    stamp = feeds.session(cut).open_ts
    before = [[(ts, events) for ts, events in run if ts < stamp] for run in said]
    assert before[0] == before[1]
    assert before[0]
    assert said[0] != said[1]


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_strategy_knows_no_more_than_its_lookback(make_run, feeds, prices, name) -> None:
    """Prices before the window do not change the answer either: what it says it needs is all that it uses."""
    binding = bind(name, SMALL.get(name))
    rows = binding.spec.rows(binding.params)
    closes = prices(rows + 40, 5)
    other = closes.copy()
    other[:-rows] = prices(rows + 40, 5, seed=3)[:-rows] * 0.3
    last = [run_of(make_run, name, 5).feed(feeds.daily(path)).events(SignalsReady)[-1] for path in (closes, other)]
    assert (last[0].score, last[0].confidence, last[0].ids) == (last[1].score, last[1].confidence, last[1].ids)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_price_level_does_not_matter(make_run, feeds, prices, name) -> None:
    """Share prices of total-adjusted data are synthetic: scores must not depend on the scale of any symbol."""
    closes = prices(ROWS, 5)
    scale = np.array([0.01, 0.5, 1.0, 7.0, 300.0])
    scores = [
        unpack_f64(run_of(make_run, name, 5).feed(feeds.daily(path)).events(SignalsReady)[-1].score)
        for path in (closes, closes * scale)
    ]
    assert np.allclose(scores[0], scores[1], atol=1e-6)


@pytest.mark.parametrize("name", BUILT_IN)
@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(5)))
def test_the_order_of_symbols_does_not_matter(make_run, feeds, prices, name, order) -> None:
    """The same symbols under other ids get the same scores."""
    closes = prices(ROWS, 5)
    binding = bind(name, SMALL.get(name))
    names = tuple("ABCDE")
    said = []
    for pick in (list(range(5)), list(order)):
        universe = tuple(names[i] for i in pick)
        run = make_run([binding], symbols=universe, pool=InProcessPool([binding.model]))
        event = run.feed(feeds.daily(closes[:, pick])).events(SignalsReady)[-1]
        said.append({universe[i]: s for i, s in zip(unpack_i32(event.ids), unpack_f64(event.score), strict=True)})
    assert said[0].keys() == said[1].keys()
    assert all(abs(said[0][s] - said[1][s]) < 1e-8 for s in said[0])


def test_a_window_holds_nothing_of_the_future_not_even_behind_its_views(make_run, feeds) -> None:
    """Through ``.base`` an author reaches the ring, and the ring has not met tomorrow."""
    reach = []

    @strategy(lookback=3)
    def s(w: PanelWindow, p: Params) -> Scores:
        everything = w.close
        while isinstance(everything.base, np.ndarray):
            everything = everything.base
        reach.append(np.nanmax(everything) <= w.close[-1].max())
        return Scores(np.full(3, np.nan))

    make_run([s]).feed(feeds.daily(np.arange(1.0, 31.0).reshape(10, 3)))
    assert reach == [True] * 10


def test_a_cheat_that_remembers_is_still_blind_to_the_future(make_run, feeds, prices) -> None:
    """Module state can break determinism, never causality: there is nothing to peek at when a decision is made."""

    def play(path):
        hoard = []

        @strategy(lookback=1)
        def s(w: Window, p: Params) -> Signal:
            hoard.append(w.close)
            return Signal(1.0 if max(float(c[-1]) for c in hoard) > 60 else -1.0)

        return make_run([s]).feed(feeds.daily(path)).events(SignalsReady)

    past = prices(40, 3)
    other = past.copy()
    other[20:] += 100
    assert play(past)[:20] == play(other)[:20]


class Level(Struct):
    """State of the fold in this file."""

    x: float = 0.0


def test_fold_and_symbol_forms_pass_the_probe_on_minutes(make_run, feeds, prices) -> None:
    """The same for intraday decisions and for remembered state."""

    @strategy(lookback=5)
    def a(w: Window, p: Params) -> Signal:
        return Signal(float(np.tanh(w.close[-1] / w.close[0] - 1)))

    @strategy()
    def b(state: Level, w: Window, p: Params) -> tuple[Level, Signal]:
        x = 0.9 * state.x + 0.1 * w.close[-1]
        return Level(x), Signal(float(np.tanh(w.close[-1] / x - 1)))

    past = prices(60, 3)
    other = past.copy()
    other[30:] *= 2
    runs = [make_run([a, b], interval="1m").feed(feeds.minute(path)) for path in (past, other)]
    cut = feeds.session(0).open_ts + 31 * 60_000_000_000
    before = [[(f.envelope.ts_init, f.events) for f in run.frames if f.envelope.ts_init < cut] for run in runs]
    assert before[0] == before[1]
    assert len(before[0]) == 30
    assert runs[0].events(PredictionsScored)
