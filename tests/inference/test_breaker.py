"""The breaker in front of the host: the whole table, and what it means for whoever asks."""

from __future__ import annotations

import itertools

import pytest

from actors.predictor.pool.breaker import BREAKER, Breaker, BreakerState, BreakerTrigger
from daemon.kernel.state_machine import InvalidTransitionError

CLOSED, OPEN, HALF = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
WANTED = {
    (CLOSED, BreakerTrigger.TRIP): OPEN,
    (OPEN, BreakerTrigger.LIFE): HALF,
    (HALF, BreakerTrigger.SUCCESS): CLOSED,
    (HALF, BreakerTrigger.FAILURE): OPEN,
    (HALF, BreakerTrigger.TRIP): OPEN,
}


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(BreakerState, BreakerTrigger)))
def test_the_table_is_complete(state: BreakerState, trigger: BreakerTrigger) -> None:
    """Every pair leads where it is written here a second time, or is refused."""
    if (state, trigger) in WANTED:
        assert BREAKER.next(state, trigger) is WANTED[state, trigger]
    else:
        with pytest.raises(InvalidTransitionError):
            BREAKER.next(state, trigger)


def closed() -> Breaker:
    """Return a breaker whose host is well."""
    breaker = Breaker()
    breaker.life()
    assert breaker.admit()
    breaker.success()
    assert breaker.state is CLOSED
    return breaker


def test_nobody_is_asked_before_the_host_was_heard_of() -> None:
    """It begins open."""
    breaker = Breaker()
    assert not breaker.admit()
    breaker.life()
    assert breaker.state is HALF


def test_three_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    """Two, a success, two: closed; the third of a row opens it and is the reason."""
    breaker = closed()
    for reason in ("1", "2"):
        breaker.failure(reason)
    breaker.success()
    for reason in ("3", "4"):
        breaker.failure(reason)
    assert breaker.state is CLOSED
    breaker.failure("5")
    assert (breaker.state, breaker.reason, breaker.opened, breaker.admit()) == (OPEN, "5", 1, False)


def test_half_open_lets_one_request_through_at_a_time() -> None:
    """Its success closes, its failure opens; signs of life open another trial."""
    breaker = closed()
    breaker.lost("gone")
    breaker.life()
    assert [breaker.admit(), breaker.admit()] == [True, False]
    breaker.failure("again")
    assert breaker.state is OPEN
    breaker.life()
    assert breaker.admit()
    breaker.success()
    assert breaker.state is CLOSED
    assert [breaker.admit(), breaker.admit()] == [True, True]


def test_a_lost_host_opens_it_at_once_and_the_latest_reason_is_told() -> None:
    """A connection that is gone needs no three failures."""
    breaker = closed()
    breaker.lost("it hung up")
    breaker.lost("nobody listens")
    assert (breaker.state, breaker.reason, breaker.opened) == (OPEN, "nobody listens", 1)
    breaker.success()  # an answer that was on its way
    breaker.failure("late")
    assert breaker.state is OPEN
