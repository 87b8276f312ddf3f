"""A run that is interrupted anywhere ends like one that was not: the seed of crash recovery.

The whole core, real actors, real data: run to some input, take a snapshot, build everything anew, restore, show the
market rows before the split again to whoever keeps windows, and go on. Digest and books must be those of the run that
was never interrupted.
"""

from __future__ import annotations

from itertools import islice

import pytest

from actors.feed.history import HistorySpec, open_history
from actors.messages.market import BarPanel
from actors.messages.portfolio import DepositCash
from actors.predictor.pool.inprocess import InProcessPool
from actors.predictor.registry import bind
from config.params import broker_params, portfolio_specs
from config.risk_params import risk_limits
from config.sources import load_settings
from daemon.journal.memory import MemoryJournal
from daemon.kernel.clock import VirtualClock
from daemon.kernel.message import Market
from daemon.system.composition import CoreSpec, build_core
from daemon.system.engine import ReplayEngine

STRATEGIES = ("momentum", "mean_reversion", "multi_factor", "buy_and_hold", "price_model")
HISTORY = open_history(HistorySpec(source="sp500", from_date=20180601, to_date=20190601))
INPUTS = list(HISTORY.inputs())


def spec() -> CoreSpec:
    """Return a core with every built-in strategy in one portfolio."""
    flags = {("predictor", "strategies"): (list(STRATEGIES), "test")}
    sets = ["risk.replay_resume_sessions=5", "risk.max_drawdown=0.05", "risk.daily_loss_halt=0.03"]
    settings = load_settings(file=None, profile="plan", sets=sets, environ={}, flags=flags).settings
    return CoreSpec(
        universe=HISTORY.universe,
        interval=HISTORY.interval,
        bindings=tuple(bind(name) for name in STRATEGIES),
        decision_interval=None,
        broker=broker_params(settings),
        limits=risk_limits(settings, replay=True),
        portfolios=portfolio_specs(settings),
        seed=42,
    )


def run(
    inputs: list[Market], journal: MemoryJournal, snapshot: bytes = b"", before: list[Market] | None = None
) -> bytes:
    """Run a fresh or a restored core over inputs; return its snapshot."""
    core_spec = spec()
    clock = VirtualClock()
    core = build_core(core_spec, clock=clock, sink=journal)
    if snapshot:
        core.sequencer.restore(snapshot)
        rows = max(actor.warmup_rows() for actor in core.sequencer.routing.actors)
        panels = [m for m in before or [] if isinstance(m, BarPanel)]
        core.sequencer.rewarm(panels[-rows:] if rows else [])
        clock.advance_to(core.sequencer.last_ts)
    engine = ReplayEngine(
        core.sequencer,
        clock,
        deposits=[DepositCash(p.name, p.cash, "opening deposit") for p in core_spec.portfolios],
        pool=InProcessPool(b.model for b in core_spec.bindings),
    )
    engine.run(iter(inputs))
    return core.sequencer.snapshot()


@pytest.fixture(scope="module")
def unsplit() -> tuple[bytes, MemoryJournal]:
    """The run that is never interrupted: its last snapshot and its frames."""
    journal = MemoryJournal()
    return run(INPUTS, journal), journal


def instants() -> list[int]:
    """Return the numbers of inputs after which an instant is complete."""
    return [i + 1 for i in range(len(INPUTS) - 1) if INPUTS[i].ts < INPUTS[i + 1].ts]


@pytest.mark.parametrize("share", [0.01, 0.2, 0.37, 0.5, 0.61, 0.83, 0.99])
def test_a_split_run_ends_like_an_unsplit_one(unsplit: tuple[bytes, MemoryJournal], share: float) -> None:
    """Equal frames, equal digest, equal state to the last byte."""
    whole, frames = unsplit
    places = instants()
    place = places[int(share * (len(places) - 1))]
    journal = MemoryJournal()
    middle = run(INPUTS[:place], journal)
    end = run(INPUTS[place:], journal, middle, INPUTS[:place])
    for mine, expected in zip(journal.frames(), frames.frames(), strict=True):
        assert mine == expected
    assert end == whole


def test_a_run_split_at_every_twentieth_instant(unsplit: tuple[bytes, MemoryJournal]) -> None:
    """Interrupted again and again, the end is the same."""
    whole, _ = unsplit
    snapshot = b""
    start = 0
    journal = MemoryJournal()
    for place in [*islice(instants(), 19, None, 20), len(INPUTS)]:
        snapshot = run(INPUTS[start:place], journal, snapshot, INPUTS[:start])
        start = place
    assert snapshot == whole


def test_two_runs_are_equal(unsplit: tuple[bytes, MemoryJournal]) -> None:
    """The same inputs, another process's worth of fresh objects."""
    assert run(INPUTS, MemoryJournal()) == unsplit[0]
