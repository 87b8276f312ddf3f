"""Whatever is ordered, prices do and where a run is cut: no account spends what it does not have, and nothing is lost.

An auditor with books of his own, in exact fractions, reads the record of random runs (:mod:`simulation.accounts`).
"""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.market import SessionOpened
from actors.messages.orders import SubmitOrder
from actors.messages.portfolio import EquityMarked, FinancingCharged
from actors.messages.risk import MarginCalled
from actors.portfolio.books import replay_books
from actors.values.settlement import settlement_sessions
from daemon.kernel.message import Event
from daemon.system.invariants import check_core
from simulation.accounts import SHARE, Auditor, Fill, least_to_keep, least_to_open, program
from tests.parity.programs import Run, advance, fresh, play, recover

SEEDS = st.integers(0, 10**9)
ACCOUNTS = ("cash", "cash_strict", "margin")


class MarginAuditor(Auditor):
    """Every fill that adds to a position leaves the initial requirement covered, to a unit of rounding a position."""

    def check(self, event: Fill) -> None:
        """Compare equity with half of everything, at the market price of the fill."""
        after = self.held[event.symbol]
        before = after - event.side * Fraction(event.last_qty, SHARE)
        if before * event.side < 0 and abs(after) <= abs(before) and after * before >= 0:
            return
        need = sum(least_to_open(qty, self.price(symbol)) for symbol, qty in enumerate(self.held))
        assert self.equity() >= need - Fraction(len(self.held), SHARE)


class StrictAuditor(Auditor):
    """No purchase is paid with the proceeds of a sale that has not settled.

    Attributes:
        coming: (number of the session in which it may be spent, proceeds).
    """

    def __init__(self) -> None:
        super().__init__()
        self.session = -1
        self.date = 0
        self.coming: list[tuple[int, Fraction]] = []

    def opened(self, panel: SessionOpened) -> None:
        """Begin a session: what is due by now may be spent."""
        self.session, self.date = panel.session.number, panel.session.date
        self.coming = [entry for entry in self.coming if entry[0] > self.session]

    def check(self, event: Fill) -> None:
        """A sale's proceeds come after so many sessions; a purchase leaves no debt to them."""
        fees = Fraction(event.commission + event.regulatory, SHARE)
        value = Fraction(event.last_qty, SHARE) * Fraction(event.last_px, SHARE)
        if event.side < 0:
            due = self.session + settlement_sessions(self.date)
            self.coming.append((due, value - fees))
        else:
            assert self.cash - sum(amount for _, amount in self.coming if amount > 0) >= 0


def audited(run: Run, auditor: Auditor) -> list[Event]:
    """Let an auditor read a whole run; his cash is the account's at every mark. Return the events."""
    events = []
    for row in run.kept:
        if isinstance(auditor, StrictAuditor) and isinstance(row.body, SessionOpened):
            auditor.opened(row.body)
        auditor.read(row)
        for event in row.events:
            if isinstance(event, EquityMarked):
                assert Fraction(event.cash, SHARE) == auditor.cash
                assert Fraction(event.equity, SHARE) == auditor.equity()
        events += row.events
    return events


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_buying_power_is_never_exceeded_at_any_fill(seed: int) -> None:
    """Nor is there a margin call where there is enough, or none where it liquidates and there is not."""
    run = play(program(seed, "margin"))
    auditor = MarginAuditor()
    events = audited(run, auditor)
    for event in events:
        if isinstance(event, MarginCalled):
            assert event.equity < event.requirement
            assert event.excess == event.equity - event.requirement


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_a_called_account_has_orders_that_restore_it_at_the_last_prices(seed: int) -> None:
    """Where positions are reduced, what is left after the orders of a call needs no more than the equity."""
    run = play(program(seed, "margin"))
    auditor = Auditor()
    working: dict[str, SubmitOrder] = {}
    for row in run.kept:
        auditor.read(row)
        for event in row.events:
            name = getattr(event, "client_order_id", "")
            if type(event).__name__ == "OrderAccepted":
                working[event.order.client_order_id] = event.order  # type: ignore[attr-defined]
            elif type(event).__name__ in ("OrderFilled", "OrderCanceled", "OrderExpired"):
                working.pop(name, None)
        called = [event for event in row.events if isinstance(event, MarginCalled) and event.action == "liquidate"]
        if not called:
            continue
        left = list(auditor.held)
        for order in working.values():
            if order.type == "market" and left[order.symbol] * order.side < 0:
                change = min(Fraction(order.qty, SHARE), abs(left[order.symbol]))
                left[order.symbol] += order.side * change
        need = sum(least_to_keep(qty, auditor.closes[symbol]) for symbol, qty in enumerate(left))
        assert need <= max(Fraction(called[-1].equity, SHARE), Fraction(0))


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_unsettled_proceeds_are_never_spent(seed: int) -> None:
    """Account ``cash_strict``: T+2 in March 2024."""
    audited(play(program(seed, "cash_strict")), StrictAuditor())


@pytest.mark.parametrize("account", ACCOUNTS)
@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_cash_and_postings_conserve_exactly(account: str, seed: int) -> None:
    """Books recomputed by an outsider, and the rooms among themselves, agree to the last unit after every input."""
    made = program(seed, account)
    core, clock = fresh(made.spec)
    events: list[Event] = []
    for step in made.steps:
        row = advance(core, clock, step)
        assert row is not None
        events += row.events
        assert check_core(core) == []
    books = replay_books(events)
    assert [check for check in books.checks if not check.ok] == []


@pytest.mark.parametrize("account", ACCOUNTS)
@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_a_run_cut_anywhere_goes_on_as_if_it_was_not(account: str, seed: int) -> None:
    """From a snapshot behind one input and the record up to another, or from the record alone."""
    made = program(seed, account)
    rng = random.Random(seed)  # noqa: S311 - cuts are told by the seed
    a, b = sorted(rng.randrange(len(made.steps)) for _ in range(2))
    run = play(made, (a, b))
    for begin, snapshot in ((a, run.snapshots[a]), (0, None)):
        core, clock = recover(made.spec, run.kept, snapshot, begin, b)
        assert core.sequencer.snapshot() == run.snapshots[b]
        for step, row in zip(made.steps[b:], run.kept[b:], strict=True):
            assert advance(core, clock, step) == row
        assert core.sequencer.snapshot() == run.snapshots[len(run.kept)]


def test_the_random_runs_have_everything_in_them() -> None:
    """Calls of both kinds, borrow fees and interest, fills cut to margin, denials: else they would prove little."""
    found: dict[str, int] = {}
    for seed in range(60):
        for row in play(program(seed, "margin")).kept:
            for event in row.events:
                kinds = [type(event).__name__]
                if isinstance(event, MarginCalled):
                    kinds = [f"called {event.action}"]
                elif isinstance(event, FinancingCharged):
                    kinds = [event.kind]
                kinds += [f"{kinds[0]} {text}" for text in (getattr(event, "reason", ""), getattr(event, "code", ""))]
                for kind in kinds:
                    found[kind] = found.get(kind, 0) + 1
    for kind in (
        "called liquidate",
        "called warn",
        "borrow",
        "interest",
        "OrderCanceled INSUFFICIENT_MARGIN",
        "OrderDenied BUYING_POWER",
        "OrderRejected NO_LOCATE",
        "OrderFilled margin_call",
    ):
        assert found.get(kind, 0) >= 3, kind
