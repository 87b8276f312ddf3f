"""What a shell sees of the room from outside: how long each decision took, and how the room is."""

from __future__ import annotations

import pytest

from actors.api import PanelWindow, Params, Scores, Signal, Struct, Window, strategy
from actors.messages.control import DisableStrategy
from actors.messages.portfolio import SignalsReady
from daemon.kernel.actor import Health


class Level(Struct):
    """A state."""

    n: int = 0


@strategy(lookback=1, horizon=1)
def by_panel(w: PanelWindow, p: Params) -> Scores:
    """Score everybody."""
    return Scores(w.close[-1] * 0.0 + 0.5)


@strategy(horizon=1)
def by_fold(state: Level, w: Window, p: Params) -> tuple[Level, Signal]:
    """Remember."""
    return Level(state.n + 1), Signal(0.5)


@strategy(horizon=1)
def broken(w: Window, p: Params) -> Signal:
    """Fail."""
    raise RuntimeError


FORMS = (by_panel, by_fold, broken)


def test_a_shell_may_measure_every_decision_and_nothing_depends_on_it(make_run, feeds, prices) -> None:
    """Once for each strategy and bar, whatever its form and however it ends; the clock is the shell's."""
    inputs = feeds.daily(prices(3, 2))
    plain = make_run(FORMS, symbols=2).feed(inputs)
    run = make_run(FORMS, symbols=2)
    ticks = iter(range(0, 10_000, 7))
    calls: list[tuple[str, int]] = []
    run.actor.clock = lambda: next(ticks)
    run.actor.on_call = lambda name, ns: calls.append((name, ns))
    run.feed(inputs)
    assert sorted(calls) == sorted((name, 7) for name in ("by_panel", "by_fold", "broken") for _ in range(3))
    assert run.sequencer.digest == plain.sequencer.digest
    assert run.events(SignalsReady)


@pytest.mark.parametrize("missing", ["clock", "on_call"])
def test_half_a_hook_measures_nothing(make_run, feeds, prices, missing) -> None:
    """Both are the shell's to give."""
    run = make_run([by_panel], symbols=2)
    run.actor.clock = lambda: 0
    run.actor.on_call = lambda name, ns: pytest.fail("called")
    setattr(run.actor, missing, None)
    run.feed(feeds.daily(prices(2, 2)))
    assert run.events(SignalsReady)


def test_the_room_says_how_many_strategies_run_and_which_failed_last(make_run, feeds, prices) -> None:
    """Cheap, and without a word about prices."""
    run = make_run(FORMS, symbols=2)
    assert run.actor.health() == Health(detail="3 of 3 strategies on; 0 predictions wait to be scored")
    inputs = feeds.daily(prices(4, 2))
    run.feed(inputs[:3])
    waiting = "2 predictions wait to be scored"
    assert run.actor.health() == Health(ok=False, detail=f"3 of 3 strategies on; failed last: broken; {waiting}")
    run.feed([DisableStrategy("by_fold", "pause", "ann"), *inputs[3:9]])
    detail = "1 of 3 strategies on; off: by_fold (by ann), broken (by predictor); 1 predictions wait to be scored"
    assert run.actor.health() == Health(detail=detail)
