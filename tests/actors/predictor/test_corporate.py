"""History over corporate actions: no feature sees a split, predictions are scored in one unit, renames go on."""

from __future__ import annotations

import numpy as np
import pytest

from actors.api import Params, Signal, Struct, Window, strategy
from actors.messages.columns import unpack_f64
from actors.messages.inference import PredictionsScored
from actors.messages.market import BarPanel, CorporateAction, SessionOpened
from actors.messages.portfolio import SignalsReady
from actors.values.fixed import SCALE

RAW = np.array([[400.0, 9.0], [404.0, 9.0], [101.0, 9.0], [103.0, 9.0], [100.0, 9.0]])
EVEN = RAW / np.array([[4.0, 1.0], [4.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])


@strategy(lookback=3, horizon="2d")
def windowed(w: Window, p: Params) -> Signal | None:
    """Against the window's mean."""
    return Signal(float(np.tanh(w.close.mean() / w.close[-1] - 1))) if len(w) >= 2 else None


@strategy(lookback=2, bar="2d", horizon="2d")
def coarse(w: Window, p: Params) -> Signal | None:
    """On bars put together from two sessions each."""
    return Signal(float(np.tanh(w.close[-1] / w.close[0] - 1))) if len(w) == 2 else None


def over_a_split(feeds, closes=RAW, *, at: int = 2):
    """Return daily inputs with a split of four for one of the first symbol before a session."""
    inputs = feeds.daily(closes)
    place = [i for i, message in enumerate(inputs) if isinstance(message, SessionOpened)][at]
    opened = inputs[place]
    action = CorporateAction(opened.ts, opened.session.date, 0, "split", 4 * SCALE, numerator=4, denominator=1)
    return [*inputs[:place], action, *inputs[place:]]


def scores(run) -> list[list[float]]:
    """Return what each decision said, rounded beyond the noise of scaling."""
    return [np.round(unpack_f64(e.score), 9).tolist() for e in run.events(SignalsReady)]


def returns(run) -> list[list[float]]:
    """Return realized and tradable returns of what was scored."""
    found = []
    for e in run.events(PredictionsScored):
        found += [np.round(unpack_f64(column), 6).tolist() for column in (e.realized, e.realized_tradable)]
    return found


@pytest.mark.parametrize("form", [windowed, coarse])
def test_decisions_and_scores_over_a_split_are_those_of_even_prices(make_run, feeds, form) -> None:
    """A price of 404 that becomes 101 is no fall: not in a window, not in a coarser bar, not in what is scored."""
    raw = make_run([form], symbols=2).feed(over_a_split(feeds))
    even = make_run([form], symbols=2).feed(feeds.daily(EVEN))
    assert scores(raw) == scores(even)
    assert returns(raw) == returns(even)
    assert scores(raw)


@pytest.mark.parametrize("form", [windowed, coarse])
def test_a_restored_run_that_is_warmed_over_a_split_decides_the_same(make_run, feeds, form) -> None:
    """Cut behind every input: rings that are warmed again see the split once, whatever came from the snapshot."""
    inputs = over_a_split(feeds)
    whole = make_run([form], symbols=2).feed(inputs)
    for cut in range(1, len(inputs)):
        run = make_run([form], symbols=2).feed(inputs[:cut])
        again = run.split([form], inputs[:cut], symbols=2).feed(inputs[cut:])
        assert scores(again) == scores(whole), cut
        assert returns(again) == returns(whole), cut


class Memory(Struct):
    """What the fold keeps."""

    bars: int = 0


@strategy(horizon=1)
def counting(state: Memory, w: Window, p: Params) -> tuple[Memory, Signal]:
    """Say how many bars it has seen."""
    return Memory(state.bars + 1), Signal(min(1.0, (state.bars + 1) / 10))


def test_a_folded_state_begins_anew_at_a_split_and_moves_with_a_rename(make_run, feeds) -> None:
    """1, 2, split, 1, 2, 3 for the first symbol; the other goes on counting."""
    run = make_run([counting], symbols=2).feed(over_a_split(feeds))
    assert scores(run) == [[0.1, 0.1], [0.2, 0.2], [0.1, 0.3], [0.2, 0.4], [0.3, 0.5]]


def test_history_goes_on_under_a_new_name(make_run, feeds) -> None:
    """S0 is S1 from the third session on; decisions and scores are those of a symbol that always had one name."""
    present = [[0], [0], [1], [1], [1]]
    closes = np.column_stack([EVEN[:, 0], EVEN[:, 0]])
    inputs = feeds.daily(closes, present=[np.array(ids) for ids in present])
    place = [i for i, message in enumerate(inputs) if isinstance(message, SessionOpened)][2]
    opened = inputs[place]
    action = CorporateAction(opened.ts, opened.session.date, 0, "rename", 0, renamed_to=1)
    run = make_run([windowed], symbols=2).feed([*inputs[:place], action, *inputs[place:]])
    one = make_run([windowed], symbols=1).feed(feeds.daily(EVEN[:, :1]))
    assert scores(run) == scores(one)
    assert returns(run) == returns(one)
    assert not any(isinstance(message, BarPanel) and message.dense for message in inputs)
