"""Two runs, one of them split by snapshot, restore and warm-up: equal digests."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.api import PanelWindow, Params, Scores, Signal, Struct, Window, strategy
from actors.messages.control import DisableStrategy, EnableStrategy
from actors.messages.inference import PredictionsScored, StrategyDisabled, StrategyFailed
from actors.messages.portfolio import SignalsReady
from actors.predictor.pool.inprocess import InProcessPool
from actors.predictor.registry import BUILT_IN, bind


@strategy(lookback=7, horizon=3)
def windowed(w: Window, p: Params) -> Signal | None:
    """Use a window with gaps."""
    if len(w) < 4:
        return None
    return Signal(float(np.tanh(20 * (w.close[-1] / w.close.mean() - 1))), p_up=0.5, reason=str(len(w)))


@strategy(lookback=4, bar="5m", horizon="1d", fields=("open", "high", "low", "volume"))
def coarse(w: PanelWindow, p: Params) -> Scores:
    """Use aggregated bars of every field."""
    inside = (w.close[-1] - w.low.min(axis=0)) / (w.high.max(axis=0) - w.low.min(axis=0) + 1e-9)
    tilt = np.where(np.isnan(w.volume[-1]), 0.0, np.tanh(w.open[-1] / w.close[0] - 1))
    return Scores(np.clip(inside * 2 - 1 + tilt, -1, 1))


@strategy(bar="1d", horizon=1)
def nightly(w: Window, p: Params) -> Signal:
    """Decide at the close on the session's bar."""
    return Signal(float(np.tanh(w.close[-1] / w.open[-1] - 1)))


class Memory(Struct):
    """What the fold keeps."""

    level: float = 0.0
    seen: dict[str, int] = msgspec.field(default_factory=dict)


@strategy(horizon="4m")
def remembering(state: Memory, w: Window, p: Params) -> tuple[Memory, Signal]:
    """Keep an exponential average and a count."""
    level = 0.8 * state.level + 0.2 * w.close[-1]
    count = state.seen.get(w.symbol, 0) + 1
    return Memory(level, {w.symbol: count}), Signal(float(np.tanh(w.close[-1] / level - 1)), reason=str(count))


@strategy(horizon=2)
def shaky(w: Window, p: Params) -> Signal | None:
    """Fail now and then."""
    if int(w.close[-1] * 100) % 3 == 0:
        raise RuntimeError
    return Signal(0.1)


BINDINGS = (windowed, coarse, nightly, remembering, shaky)


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    cuts=st.lists(st.integers(0, 95), min_size=1, max_size=3),
    decision=st.sampled_from([None, "3m", "1d"]),
    operated=st.integers(0, 95),
)
def test_a_split_run_tells_the_same_story(make_run, feeds, prices, data, cuts, decision, operated) -> None:
    """Anywhere between two inputs, more than once, with any pattern of missing bars and operators at work."""
    rows, n = 80, 3
    whole = st.just(list(range(n)))
    some = st.lists(st.sampled_from(range(n)), unique=True).map(sorted)
    pattern = data.draw(st.lists(st.one_of(whole, whole, some), min_size=7, max_size=7))
    present = [None if (p := pattern[row % 7]) == list(range(n)) else p for row in range(rows)]
    closes = prices(rows, n, seed=data.draw(st.integers(0, 5)))
    volume = np.where(closes > 50, 100.0, np.nan)
    inputs = list(feeds.minute(closes, present, opens=closes * 1.001, minutes=20, volume=volume))
    inputs.insert(min(operated, len(inputs)), DisableStrategy("windowed", "pause", "ann"))
    inputs.insert(min(operated + 9, len(inputs)), EnableStrategy("windowed", "go on", "ann"))
    options = {"symbols": n, "interval": "1m", "decision": decision}
    plain = make_run(BINDINGS, **options).feed(inputs)
    run, done = make_run(BINDINGS, **options), 0
    for cut in sorted(cuts):
        run = run.feed(inputs[done:cut]).split(BINDINGS, inputs[:cut], **options)
        done = max(done, cut)
    run.feed(inputs[done:])
    assert run.events() == plain.events()
    assert run.sequencer.digest == plain.sequencer.digest
    assert plain.events(SignalsReady)


def test_the_story_that_is_split_has_every_kind_of_event_in_it(make_run, feeds, prices) -> None:
    """Otherwise equal digests would prove little."""
    inputs = feeds.minute(prices(80, 3), minutes=20)
    run = make_run(BINDINGS, symbols=3, interval="1m").feed(inputs)
    assert {e.strategy for e in run.events(SignalsReady)} == {"windowed", "coarse", "nightly", "remembering", "shaky"}
    for kind in (PredictionsScored, StrategyFailed, StrategyDisabled):
        assert run.events(kind)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("cut", [1, 200, 301, 395])
def test_built_ins_survive_a_split(make_run, feeds, prices, name, cut) -> None:
    """Rings are warmed by the rows before the snapshot; a model's open question survives too."""
    inputs = feeds.daily(prices(140, 4))
    bindings = [bind(name)]
    pool = InProcessPool([bindings[0].model])
    plain = make_run(bindings, symbols=4, pool=pool).feed(inputs)
    run = make_run(bindings, symbols=4, pool=pool).feed(inputs[:cut])
    run = run.split(bindings, inputs[:cut], symbols=4).feed(inputs[cut:])
    assert run.sequencer.digest == plain.sequencer.digest
    assert plain.events(SignalsReady)


def test_two_runs_are_equal(make_run, feeds, prices) -> None:
    """Nothing but the inputs decides."""
    inputs = feeds.minute(prices(60, 3))
    digests = {make_run(BINDINGS, symbols=3, interval="1m").feed(inputs).sequencer.digest for _ in range(2)}
    assert len(digests) == 1


def test_a_duplicate_or_revised_panel_changes_nothing(make_run, feeds, prices) -> None:
    """Decisions stand on the first version; a latecomer's bar stays a gap."""
    inputs = feeds.minute(prices(30, 3))
    twice = [message for m in inputs for message in ([m, m] if hasattr(m, "close_fx") else [m])]
    one = make_run([windowed], interval="1m").feed(inputs)
    two = make_run([windowed], interval="1m").feed(twice)
    assert one.events(SignalsReady) == two.events(SignalsReady)
