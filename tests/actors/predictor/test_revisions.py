"""F38: a late bar corrects what strategies see next and no decision that was made."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from actors.api import Params, Signal, Window, strategy
from actors.messages.market import BarPanel
from actors.messages.portfolio import SignalsReady


def late(bar: BarPanel, closes: dict[int, float], ts: int) -> BarPanel:
    """Return a correction of a bar for some symbols, known at ``ts``."""
    ids = np.array(sorted(closes), dtype=np.int32)
    px = np.array([closes[i] for i in sorted(closes)])
    changed = {"ids": ids, "dense": False, "open": px, "high": px, "low": px, "close": px, "volume": None}
    return msgspec.structs.replace(bar, ts=ts, revision=1, close_fx=np.rint(px * 1e8).astype(np.int64), **changed)


@pytest.mark.parametrize("restarts", [False, True])
def test_f38_the_newest_row_is_corrected_and_nothing_is_decided_on_it(make_run, feeds, restarts: bool) -> None:
    """The minute's close of 30 is 31 after all, and of the minute before nothing changes any more.

    Two symbols, minutes that close at 10, 20, 30, 40 (the second at ten times that). Behind the third comes its
    correction and one of the second; the window of the fourth has 10, 20, 31, 40 and 100, 200, 300, 400.
    """
    seen: list[tuple[str, list[float]]] = []

    @strategy(lookback=4)
    def s(w: Window, p: Params) -> Signal:
        seen.append((w.symbol, w.close.tolist()))
        return Signal(0.5)

    closes = np.array([[10.0, 100.0], [20.0, 200.0], [30.0, 300.0], [40.0, 400.0]])
    inputs = feeds.minute(closes)
    bars = [message for message in inputs if isinstance(message, BarPanel)]
    third = inputs.index(bars[2]) + 1
    run = make_run([s], symbols=2, interval="1m").feed(inputs[:third])
    decided, looked = len(run.events(SignalsReady)), len(seen)
    corrections = [late(bars[2], {0: 31.0}, bars[2].ts + 5), late(bars[1], {0: 21.0, 1: 210.0}, bars[2].ts + 6)]
    run.feed(corrections)
    assert (len(run.events(SignalsReady)), len(seen)) == (decided, looked)
    if restarts:
        run = run.split([s], [*inputs[:third], *corrections], symbols=2, interval="1m")
    run.feed(inputs[third:])
    assert seen[looked:] == [("S0", [10, 20, 31, 40]), ("S1", [100, 200, 300, 400])]
