"""Recovery is two folds: a core that folded what was recorded is, to the last byte, the core that decided it.

Random whole runs are cut at random places: restore the snapshot behind A, warm the rings, fold A+1 to B; the snapshot
then equals that of the run that was never interrupted, and so does everything it decides behind B. The same from the
very first input, with no snapshot at all.
"""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from actors.alerter.actor import AlerterActor
from actors.alerter.params import AlertParams
from actors.messages.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderTerms,
    OrderType,
    TimeInForce,
)
from actors.messages.portfolio import DepositCash
from actors.predictor.pool.inprocess import InProcessPool
from daemon.kernel.message import CommandRejected, Envelope, Event, InputQuarantined, Market, Message
from daemon.system.engine import ReplayEngine
from tests.parity import test_split as split
from tests.parity.programs import Kept, Program, Run, Step, advance, again, fresh, play, program, recover

SEEDS = st.integers(0, 10**9)


def check(made: Program, run: Run, a: int, b: int, *, blank: bool) -> None:
    """Recover behind input ``b`` from the snapshot behind ``a``, or from nothing, and go on to the end."""
    begin = 0 if blank else a
    core, clock = recover(made.spec, run.kept, None if blank else run.snapshots[a], begin, b)
    assert core.sequencer.snapshot() == run.snapshots[b]
    for step, row in zip(made.steps[b:], run.kept[b:], strict=True):
        assert advance(core, clock, step) == row
    assert core.sequencer.snapshot() == run.snapshots[len(run.kept)]


def _cuts(seed: int, length: int, pairs: int) -> list[tuple[int, int]]:
    rng = random.Random(seed)  # noqa: S311 - a program is told by its seed
    found = []
    for _ in range(pairs):
        a, b = sorted((rng.randint(0, length), rng.randint(0, length)))
        found.append((a, b))
    return found


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_a_core_that_folded_the_record_is_the_core_that_decided(seed: int) -> None:
    """Orders of every kind, ticks, halts, actions, kills, gaps: wherever the run is cut, both go on equally."""
    made = program(seed, sessions=5, actions=seed % 2 == 0)
    cuts = _cuts(seed, len(made.steps), 4)
    run = play(made, [place for cut in cuts for place in cut])
    for n, (a, b) in enumerate(cuts):
        if b in run.snapshots and a in run.snapshots:
            check(made, run, a, b, blank=n == 0)
    kinds = {type(e).__name__ for row in run.kept for e in row.events}
    for kind in sorted(kinds):
        event(kind)


@pytest.mark.parametrize("interval", ["1d", "1m"])
def test_the_random_runs_have_everything_in_them(interval: str) -> None:
    """Otherwise equal snapshots would prove little."""
    kinds: dict[str, int] = {}
    for seed in range(60):  # breakers halt many of them: half as many have no filled market-if-touched on daily bars
        types: dict[str, str] = {}
        made = program(seed, sessions=24 if interval == "1d" else 5, interval=interval, actions=seed % 2 == 0)
        for row in play(made).kept:
            for fact in row.events:
                for name in _names(fact, types):
                    kinds[name] = kinds.get(name, 0) + 1
    for kind in (
        *("OrderAccepted", "OrderFilled", "OrderPartiallyFilled", "OrderCanceled", "OrderExpired", "OrderDenied"),
        *("OrderReplaced", "OrderRejected", "OrderTriggered", "OrderCancelRejected", "PositionChanged", "TradeClosed"),
        *("EquityMarked", "SessionRolled", "CashFlowed", "SignalsReady", "PredictionsScored", "TargetsProposed"),
        *("StrategyFailed", "StrategyDisabled", "StrategyEnabled", "TradingStateChanged", "BreakerTripped"),
        *(
            "BreakerReset",
            "LimitBreached",
            "LimitsChanged",
            "FlattenStarted",
            "FlattenEnded",
            CommandRejected.__name__,
            InputQuarantined.__name__,
        ),
        *("OrderCancelRequested", "OrderReplaceRequested", "OrderRestated", "SymbolFrozen", "SymbolReleased"),
        *("PositionAdjusted", "DividendAccrued", "DividendPaid", "FinancingCharged", "BarRevised"),
        *(f"filled {kind}" for kind in OrderType),
        *(f"accepted {tif}" for tif in TimeInForce),
        *(f"accepted {term}" for term in ("oco_group", "bracket", "bracket_of", "display_qty", "post_only", "locate")),
        *(f"at {source}" for source in ("open", "close", "intrabar", "quote", "trade")),
        *(f"because {reason}" for reason in ("OCO", "POSITION_CLOSED", "IOC", "FOK", "opg")),
    ):
        assert kinds.get(kind, 0) > 0, (kind, kinds)


def _names(fact: Event, types: dict[str, str]) -> list[str]:
    """Return what a fact counts as: its kind, and for an order's what it says of it; ``types`` by order id grows."""
    found = [type(fact).__name__]
    if isinstance(fact, OrderAccepted):
        types[fact.order_id] = fact.order.type
        found += [f"accepted {fact.order.tif}"]
        if fact.order.terms is not None:
            found += [f"accepted {name}" for name in OrderTerms.__struct_fields__ if getattr(fact.order.terms, name)]
    elif isinstance(fact, OrderFilled):
        found += [f"filled {types[fact.order_id]}", f"at {fact.px_source}"]
    elif isinstance(fact, OrderCanceled | OrderExpired):
        found += [f"because {fact.reason}"]
    return found


# -- alerts ------------------------------------------------------------------------------------------------------------


def show(alerter: AlerterActor, rows: list[Kept]) -> AlerterActor:
    """Show recorded inputs to an alerter as the shell does, frame first, then the panel."""
    for row in rows:
        if row.events or not isinstance(row.body, Market):
            alerter.consume(Envelope(row.seq, row.ts_event, row.ts, row.source, row.body), row.events)
        if isinstance(row.body, Market):
            alerter.observe(row.body)
    return alerter


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.booleans())
def test_an_alerter_that_was_shown_the_record_is_the_one_that_spoke(seed: int, daemon: bool) -> None:
    """Counts, windows, milestones and moves: its snapshot is a fold of frames and panels too."""
    made = program(seed, sessions=5)
    run = play(made)
    universe, params = made.spec.universe, AlertParams(large_move=0.01, milestone_step=0.001)
    a, b = _cuts(seed, len(run.kept), 1)[0]
    whole = show(AlerterActor(universe, params, daemon=daemon), run.kept[:a])
    again = AlerterActor(universe, params, daemon=daemon)
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(whole.snapshot())))
    for alerter in (whole, again):
        show(alerter, run.kept[a:b])
    assert msgspec.msgpack.encode(again.snapshot()) == msgspec.msgpack.encode(whole.snapshot())
    assert show(again, run.kept[b:]).raised == show(whole, run.kept[b:]).raised


# -- real data, every built-in strategy --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> tuple[Program, Run]:
    """A year of 20 stocks with every built-in strategy, as its engine fed it; snapshots behind every 25th input."""
    core_spec = split.spec()
    core, clock = fresh(core_spec)
    sequencer = core.sequencer
    process = sequencer.process
    steps: list[Step] = []
    kept: list[Kept] = []
    snapshots = {0: sequencer.snapshot()}

    def recorded(body: Message, source: str, *, ts_event: int | None = None) -> list[Event]:
        steps.append(Step(body, source, clock.now(), ts_event))
        events = process(body, source, ts_event=ts_event)
        ts = sequencer.last_ts
        kept.append(Kept(sequencer.seq, ts, ts if ts_event is None else ts_event, source, body, again(events)))
        if len(kept) % 25 == 0:
            snapshots[len(kept)] = sequencer.snapshot()
        return events

    sequencer.process = recorded  # type: ignore[method-assign, assignment]
    ReplayEngine(
        sequencer,
        clock,
        deposits=[DepositCash(p.name, p.cash, "opening deposit") for p in core_spec.portfolios],
        pool=InProcessPool(b.model for b in core_spec.bindings),
    ).run(iter(split.INPUTS))
    snapshots[len(kept)] = sequencer.snapshot()
    return Program(core_spec, steps), Run(core, kept, snapshots)


@pytest.mark.parametrize("share", [0.03, 0.3, 0.55, 0.8, 0.97])
@pytest.mark.parametrize("blank", [False, True])
def test_real_data_and_built_in_strategies_fold_to_the_same_core(
    real: tuple[Program, Run], share: float, blank: bool
) -> None:
    """From a snapshot far behind, from one close by, and from nothing."""
    made, run = real
    places = sorted(run.snapshots)[1:-1]
    b = places[int(share * (len(places) - 1))]
    for a in (places[0], places[max(0, places.index(b) - 2)]):
        check(made, run, min(a, b), b, blank=blank)
