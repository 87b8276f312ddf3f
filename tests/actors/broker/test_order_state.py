"""The order table, its whole cross product, and the races in which a fill wins."""

from __future__ import annotations

import itertools

import pytest

from actors.broker.order_state import ORDER, TERMINAL, OrderState, OrderTrigger, WorkingOrder, public_status
from actors.messages.orders import OrderStatus, OrderTerms, OrderType, SubmitOrder
from daemon.kernel.state_machine import InvalidTransitionError

S, T = OrderState, OrderTrigger


def in_words() -> dict[tuple[OrderState, OrderTrigger], OrderState]:
    """Say in words what the table says in rows."""
    said = {
        (S.INITIALIZED, T.DENY): S.DENIED,
        (S.INITIALIZED, T.ROUTE): S.PENDING_NEW,
        (S.PENDING_NEW, T.REJECT): S.REJECTED,
        (S.PENDING_NEW, T.ACCEPT): S.NEW,
    }
    partly = {"": S.PARTIALLY_FILLED, "cancel": S.PARTIAL_PENDING_CANCEL, "replace": S.PARTIAL_PENDING_REPLACE}
    fresh = {"": S.NEW, "cancel": S.NEW_PENDING_CANCEL, "replace": S.NEW_PENDING_REPLACE}
    for states in (fresh, partly):
        for pending, state in states.items():
            # Whatever is on its way, an order that works can fill, trigger, end.
            said |= {(state, T.FILL): S.FILLED, (state, T.CANCEL): S.CANCELED, (state, T.EXPIRE): S.EXPIRED}
            said |= {(state, T.TRIGGER): state, (state, T.PARTIAL_FILL): partly[pending]}
            if pending:  # a refused request leaves the order as it was
                said[state, T.REFUSE_REQUEST] = states[""]
            if pending != "cancel":  # a cancel is asked for once, also over a replace
                said |= {(state, T.REQUEST_CANCEL): states["cancel"], (state, T.REPLACE): states[""]}
            else:  # the venue may change the order meanwhile; the cancel stays on its way
                said[state, T.REPLACE] = state
            if not pending:
                said[state, T.REQUEST_REPLACE] = states["replace"]
            if pending == "replace":
                said[state, T.REPLACED_BY] = S.REPLACED
    return said


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(OrderState, OrderTrigger)))
def test_every_pair_of_state_and_trigger_does_what_the_words_say(state, trigger):
    """Full cross product: a listed transition or a refusal, nothing by accident."""
    wanted = in_words().get((state, trigger))
    if wanted is None:
        assert not ORDER.allows(state, trigger)
        with pytest.raises(InvalidTransitionError):
            ORDER.next(state, trigger)
    else:
        assert ORDER.next(state, trigger) is wanted


def test_nothing_leaves_a_terminal_state():
    """The table's own dead ends are the terminal states, all of them."""
    assert sorted(ORDER.terminal()) == sorted(TERMINAL)


@pytest.mark.parametrize("request_", [T.REQUEST_CANCEL, T.REQUEST_REPLACE])
def test_a_complete_fill_wins_against_a_request_on_its_way(request_):
    """Request, then fill: filled, and the late acknowledgement is impossible."""
    state = ORDER.next(ORDER.next(S.NEW, request_), T.FILL)
    assert state is S.FILLED
    assert not ORDER.allows(state, T.CANCEL)
    assert not ORDER.allows(state, T.REPLACE)


def test_a_partial_fill_is_kept_while_a_cancel_is_on_its_way():
    """New, cancel requested, partly filled: still pending; refused it goes on partly filled, granted it ends."""
    state = ORDER.next(ORDER.next(S.NEW, T.REQUEST_CANCEL), T.PARTIAL_FILL)
    assert public_status(state) is OrderStatus.PARTIALLY_FILLED
    assert ORDER.next(state, T.REFUSE_REQUEST) is S.PARTIALLY_FILLED
    assert ORDER.next(state, T.CANCEL) is S.CANCELED


def test_people_see_only_the_statuses_of_the_contract():
    """Every state has a public status, and every public status is shown by some state."""
    assert {public_status(state) for state in OrderState} == set(OrderStatus)


def test_equal_terms_are_the_same_row_whoever_decoded_them():
    """A rename restates an order with the terms it has: decided or read back from a ledger, the snapshot is one."""
    order = SubmitOrder("a", "main", 0, 1, 10**8, OrderType.LIMIT, limit_px=10**8, terms=OrderTerms(locate=True))
    decided, folded = (WorkingOrder(1, order, 0, 0) for _ in range(2))
    folded.terms = OrderTerms(locate=True)
    assert folded.terms is not decided.terms
    assert folded.to_row() == decided.to_row()
    assert WorkingOrder.from_row(folded.to_row()).terms == order.terms
