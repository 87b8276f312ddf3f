"""Random whole runs with random corporate actions in them: nothing is lost, doubled or forgotten on the way.

Market, strategies, operators and orders are those of :mod:`tests.parity.programs`; before the openings of sessions
symbols are split, pay dividends, are renamed and delisted. Prices go on as they were, so a split is as bad as news of
that size would be: exactness is of the books, not of the prices.
"""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.market import CorporateAction, Market, SessionOpened
from actors.messages.portfolio import DividendAccrued, DividendPaid, PositionAdjusted
from actors.portfolio.books import replay_books
from actors.values.fixed import SCALE
from daemon.system.invariants import check_core
from tests.parity.programs import Program, Step, advance, fresh, play, program, recover

SEEDS = st.integers(0, 10**9)
RATIOS = ((4, 1), (3, 2), (1, 10), (7, 3), (1, 3))
SYMBOLS = 4


def with_actions(seed: int) -> Program:
    """Return a random program with an action of about every other session, until few symbols are left."""
    made = program(seed, sessions=7)
    rng = random.Random(seed)  # noqa: S311 - a program is told by its seed
    gone: set[int] = set()
    steps: list[Step] = []
    for step in made.steps:
        if isinstance(step.body, SessionOpened):
            for _ in range(rng.choice((0, 1, 1, 2))):
                action = _action(rng, step.body, [s for s in range(SYMBOLS) if s not in gone])
                if action.kind in ("rename", "delist"):
                    if len(gone) >= 2:
                        continue
                    gone.add(action.symbol)
                steps.append(Step(action, step.source, step.at, step.ts_event))
        steps.append(step)
    return Program(made.spec, steps)


def _action(rng: random.Random, opened: SessionOpened, symbols: list[int]) -> CorporateAction:
    symbol = rng.choice(symbols)
    date, ts = opened.session.date, opened.ts
    kind = rng.choice(("split", "split", "dividend", "dividend", "rename", "delist"))
    if kind == "split":
        new, old = rng.choice(RATIOS)
        return CorporateAction(ts, date, symbol, kind, new * SCALE // old, numerator=new, denominator=old)
    if kind == "dividend":
        later = rng.choice((None, date, date + 1, date + 100))
        return CorporateAction(ts, date, symbol, kind, rng.choice((1, 3_333_333, SCALE // 5)), later)
    if kind == "rename":
        others = [other for other in symbols if other != symbol]
        return CorporateAction(ts, date, symbol, kind, 0, renamed_to=rng.choice(others))
    return CorporateAction(ts, date, symbol, kind, -1)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_rooms_agree_and_an_outsider_comes_to_the_same_books(seed: int) -> None:
    """Behind every action money, positions, lots and orders are the same in all rooms, and equity is what it was."""
    made = with_actions(seed)
    core, clock = fresh(made.spec)
    names = [p.name for p in made.spec.portfolios]
    events = []
    for step in made.steps:
        before = {name: core.portfolio.equity(name) for name in names}
        target = step.body.renamed_to if isinstance(step.body, CorporateAction) else None
        # Two symbols that traded at prices of their own cannot become one without a jump for those who hold both.
        jumps = [name for name in names if target is not None and core.portfolio.portfolio(name).qty(target)]
        row = advance(core, clock, step)
        if row is None:
            return
        events += row.events
        if isinstance(step.body, CorporateAction):
            assert check_core(core) == []
            for name in (name for name in names if name not in jumps):
                # The last price is rounded by at most half of 1e-8 for each share held, the quantity by half of 1e-8
                # shares at the price of one; so is what is paid in cash.
                held = core.portfolio.portfolio(name).positions.values()
                units = sum(abs(p.qty) for p in held) // SCALE + int(core.portfolio.marks.px.sum()) // SCALE + 4
                assert abs(core.portfolio.equity(name) - before[name]) <= units
    assert check_core(core) == []
    books = replay_books(events)
    assert [check for check in books.checks if not check.ok] == []


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(0, 10**9))
def test_a_core_that_folded_actions_is_the_core_that_decided_on_them(seed: int, place: int) -> None:
    """Restored from a snapshot and folded on, or folded from nothing, it equals the one that was never killed."""
    made = with_actions(seed)
    rng = random.Random(place)  # noqa: S311 - test data
    a, b = sorted((rng.randint(0, len(made.steps)), rng.randint(0, len(made.steps))))
    run = play(made, [a, b])
    if a not in run.snapshots or b not in run.snapshots:
        return
    for snapshot, begin in ((run.snapshots[a], a), (None, 0)):
        core, clock = recover(made.spec, run.kept, snapshot, begin, b)
        assert core.sequencer.snapshot() == run.snapshots[b]
        for step, row in zip(made.steps[b:], run.kept[b:], strict=True):
            assert advance(core, clock, step) == row


def test_the_random_runs_have_every_kind_of_action_in_them() -> None:
    """Otherwise equal books would prove little: splits that pay cash, moves, delistings, dividends paid and owed."""
    found: dict[str, int] = {}
    for seed in range(40):
        for row in play(with_actions(seed)).kept:
            assert isinstance(row.body, Market) or not any(isinstance(e, PositionAdjusted) for e in row.events)
            for event in row.events:
                if isinstance(event, PositionAdjusted):
                    kind = f"{event.kind} paid" if event.kind == "split" and event.paid else event.kind
                    found[kind] = found.get(kind, 0) + 1
                elif isinstance(event, DividendAccrued):
                    found["owed" if event.amount < 0 else "due"] = 1
                elif isinstance(event, DividendPaid):
                    found["paid"] = 1
    for kind in ("split", "split paid", "rename", "delist", "due", "owed", "paid"):
        assert found.get(kind), (kind, found)
