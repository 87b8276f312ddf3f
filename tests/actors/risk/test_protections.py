"""Protections: what rests after a loss or after stops, until when, and what the denial says."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages.orders import BUY, SELL
from actors.messages.risk import EntriesLocked
from actors.risk.blocks import EVERY, Block, Blocks
from tests.actors.risk.test_watchers import trade

SECOND = 10**9
MINUTE = 60 * SECOND


@pytest.fixture
def protected(world, wide):
    """Return a builder of worlds with these protections and nothing else."""

    def build(*, portfolios=("main",), **limits):
        return world(msgspec.structs.replace(wide, **limits), portfolios=portfolios)

    return build


def locks(events):
    """Return the locks among events."""
    return [e for e in events if isinstance(e, EntriesLocked)]


# -- cooldown --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pnl", "locked"), [(-0.00000001, True), (0, False), (1, False)])
def test_a_symbol_rests_after_a_loss_until_the_time_the_denial_names(protected, pnl, locked):
    """Ten minutes: entries in the symbol wait, everything else passes."""
    w = protected(cooldown_ns=10 * MINUTE)
    now = w.clock.now()
    found = locks(w.state(trade(pnl, symbol=1)))
    if not locked:
        assert found == []
        assert w.submit(BUY, 1, symbol=1) == "ok"
        return
    reason = "B was closed at a loss of 0.00000001 and rests"
    assert found == [EntriesLocked("main", 1, "cooldown", reason, until_ts=now + 10 * MINUTE)]
    denial = w.denial(BUY, 1, symbol=1)
    assert denial.code == "COOLDOWN"
    assert denial.reason == f"{reason}; enter after 1970-01-02T14:41:00.000Z"
    assert w.submit(BUY, 1, symbol=0) == "ok"
    w.clock.advance_to(now + 10 * MINUTE - 1)
    assert w.submit(BUY, 1, symbol=1) == "COOLDOWN"
    w.clock.advance_to(now + 10 * MINUTE)
    assert w.submit(BUY, 1, symbol=1) == "ok"


def test_sessions_of_rest_end_with_an_opening_and_survive_everything(protected):
    """Two sessions: this one and the next; through a restore, a refold and the closes between."""
    w = protected(cooldown_sessions=2)
    w.state(trade(-1))
    assert w.denial(BUY, 1).reason.endswith("enter once 2 more sessions have opened")
    w.close()
    w.split()
    assert w.submit(BUY, 1) == "COOLDOWN"
    w.open()
    assert w.denial(BUY, 1).reason.endswith("enter once the next session has opened")
    w.close()
    w.refold()
    assert w.submit(BUY, 1) == "COOLDOWN"
    w.open()
    assert not w.risk.blocks.any
    assert w.submit(BUY, 1) == "ok"


def test_time_and_sessions_must_both_be_over(protected):
    """A session and twenty-five hours: the next opening is an hour too early."""
    w = protected(cooldown_sessions=1, cooldown_ns=25 * 60 * MINUTE)
    w.state(trade(-1))
    reason = w.denial(BUY, 1).reason
    assert reason.endswith("enter after 1970-01-03T15:31:00.000Z and once the next session has opened")
    w.close()
    w.open()
    assert w.submit(BUY, 1) == "COOLDOWN"
    w.clock.advance_to(w.clock.now() + 61 * MINUTE)
    assert w.submit(BUY, 1) == "ok"


def test_a_part_sold_at_a_loss_is_no_exit_and_a_flip_is_one(protected):
    """As long as something is held on that side nothing rests; the other side's is another position."""
    w = protected(cooldown_sessions=1)
    w.hold(10)
    assert locks(w.state(trade(-1))) == []
    assert len(locks(w.state(trade(-1, side=-1)))) == 1


def test_exits_pass_while_a_symbol_rests(protected):
    """Only entries are locked."""
    w = protected(cooldown_sessions=1)
    w.state(trade(-1))
    w.hold(10)
    assert w.submit(SELL, 10) == "ok"


def test_the_other_portfolio_may_enter(protected):
    """A rest is of the portfolio that lost."""
    w = protected(cooldown_sessions=1, portfolios=("main", "other"))
    w.state(trade(-1))
    assert w.submit(BUY, 1, portfolio="other") == "ok"


# -- stop guard ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stops", "locked"),
    [
        (["stop_loss", "stop_loss"], False),
        (["stop_loss", "stop_loss", "signal"], False),
        (["stop_loss", "take_profit", "stop_loss", "trailing_stop"], True),
        (["stop_loss", "stop_loss", "stop_loss"], True),
    ],
)
def test_three_stops_lock_the_portfolio(protected, stops, locked):
    """Of whatever symbols; a stop that gained is a stop as well."""
    w = protected(stop_guard=3, stop_guard_sessions=5, stop_guard_lock_sessions=2)
    found = []
    for n, reason in enumerate(stops):
        found += locks(w.state(trade(1 if n else -1, lot=f"l{n}", reason=reason, symbol=n % 3)))
    assert bool(found) is locked
    if locked:
        reason = "3 stops within 5 sessions lock the entries of main"
        assert found == [EntriesLocked("main", EVERY, "stop_guard", reason, until_session=3)]
        assert w.denial(BUY, 1, symbol=2).code == "COOLDOWN"
        w.close()
        w.open()
        w.split()
        assert w.submit(BUY, 1) == "COOLDOWN"
        w.close()
        w.open()
        assert w.submit(BUY, 1) == "ok"


@pytest.mark.parametrize(("sessions", "locked"), [(2, True), (1, False)])
def test_only_stops_within_the_sessions_looked_back_on_count(protected, sessions, locked):
    """Two in one session, one in the next: within two sessions that is three, within one it is not."""
    w = protected(stop_guard=3, stop_guard_sessions=sessions)
    w.state(trade(-1, lot="a", reason="stop_loss"), trade(-1, lot="b", reason="stop_loss"))
    w.close()
    w.open()
    assert bool(locks(w.state(trade(-1, lot="c", reason="stop_loss")))) is locked


def test_a_guard_that_is_off_locks_nobody_and_one_that_has_locked_is_not_asked_again_by_other_exits(protected):
    """Off beside a cooldown, a stop rests its symbol alone; behind two of two stops a target locks nothing anew."""
    w = protected(cooldown_sessions=1)
    found = locks(w.state(trade(-1, reason="stop_loss")))
    assert [(e.rule, e.symbol) for e in found] == [("cooldown", 0)]
    assert w.submit(BUY, 1, symbol=1) == "ok"
    w = protected(stop_guard=2, stop_guard_sessions=5)
    assert locks(w.state(trade(-1, reason="stop_loss", lot="a"))) == []
    assert [e.rule for e in locks(w.state(trade(-1, reason="stop_loss", lot="b")))] == ["stop_guard"]
    for reason in ("take_profit", "signal"):
        assert locks(w.state(trade(-1, reason=reason, lot=reason))) == []


def test_pieces_of_one_lot_are_one_stop_and_a_lock_counts_anew(protected):
    """A stop filled in three parts is one; behind a lock three more are needed."""
    w = protected(stop_guard=2)
    assert locks(w.state(*(trade(-1, lot="a", reason="stop_loss") for _ in range(3)))) == []
    assert len(locks(w.state(trade(-1, lot="b", reason="stop_loss")))) == 1
    assert locks(w.state(trade(-1, lot="c", reason="stop_loss"))) == []
    assert len(locks(w.state(trade(-1, lot="d", reason="stop_loss")))) == 1


# -- blocks ----------------------------------------------------------------------------------------------------------


def lock(*, rule="cooldown", symbol=0, until_ts=0, until_session=0):
    """Return a lock of main."""
    return EntriesLocked("main", symbol, rule, "why", until_ts, until_session)


def why(blocks, *, portfolio="main", symbol=0, strategy="", now=0, session=0):
    """Return the code of what stands against an entry."""
    found = blocks.why(portfolio, symbol, strategy, now, session)
    return None if found is None else found.code


def test_nothing_in_the_way_is_one_flag():
    """And a lock that has ended is nothing once the next session opened."""
    blocks = Blocks()
    assert not blocks.any
    blocks.fold_locked(lock(until_ts=10))
    assert (blocks.any, why(blocks, now=9), why(blocks, now=10)) == (True, "COOLDOWN", None)
    blocks.fold_opened(11, 1)
    assert not blocks.any


@pytest.mark.parametrize("order", [(10, 20), (20, 10)])
def test_a_second_lock_never_shortens_the_first(order):
    """Whichever comes first: until 20."""
    blocks = Blocks()
    for until in order:
        blocks.fold_locked(lock(until_ts=until))
        blocks.fold_locked(lock(until_session=until))
    assert why(blocks, now=19, session=30) == "COOLDOWN"
    assert why(blocks, now=30, session=19) == "COOLDOWN"
    assert why(blocks, now=20, session=20) is None


@pytest.mark.parametrize(
    ("block", "asked", "code"),
    [
        (Block("", EVERY, "", "x"), {}, "ENTRIES_BLOCKED"),
        (Block("main", EVERY, "", "x"), {"portfolio": "other"}, None),
        (Block("main", 1, "", "x"), {"symbol": 1}, "ENTRIES_BLOCKED"),
        (Block("main", 1, "", "x"), {"symbol": 2}, None),
        (Block("", EVERY, "s", "x"), {"strategy": "s"}, "ENTRIES_BLOCKED"),
        (Block("", EVERY, "s", "x"), {"strategy": "t"}, None),
        (Block("", EVERY, "s", "x"), {}, None),
    ],
)
def test_a_block_concerns_what_it_names(block, asked, code):
    """Portfolio, symbol, strategy; what it does not name is everything."""
    blocks, again = Blocks(), Blocks()
    blocks.block(("", "b", ""), block)
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(blocks.snapshot())))
    for one in (blocks, again):
        assert why(one, **asked) == code
        one.unblock(("", "b", ""))
        assert not one.any
        assert why(one, **asked) is None


def test_an_older_snapshot_has_nothing_in_the_way():
    """It knew no blocks."""
    blocks = Blocks()
    blocks.fold_locked(lock(until_ts=10))
    blocks.restore([])
    assert not blocks.any
    assert blocks.locks() == []
