"""Mailboxes at their bound, and lanes."""

from __future__ import annotations

from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.kernel.mailbox import LANE_SPECS, Lane, LaneQueue, Mailbox, MailboxSpec, Offer, Overflow
from daemon.kernel.message import Command


class Item(Command, frozen=True, tag=910):
    """A message with an identity and a version."""

    key: str | None
    n: int = 0


def by_key(item: Item) -> Hashable:
    """Return the identity."""
    return item.key


def filled(overflow: Overflow, capacity: int = 2) -> Mailbox:
    """Return a full mailbox holding items 0 and 1."""
    mailbox = Mailbox(MailboxSpec(capacity, overflow))
    assert [mailbox.offer(Item("x", n)) for n in range(capacity)] == [Offer.QUEUED] * capacity
    return mailbox


def test_block_leaves_a_full_mailbox_as_it_is_and_tells_the_sender_to_wait() -> None:
    """Nothing is lost or counted; once there is room the same message is taken."""
    mailbox = filled(Overflow.BLOCK)
    assert mailbox.offer(Item("x", 2)) is Offer.FULL
    assert (mailbox.dropped, mailbox.rejected, mailbox.conflated) == (0, 0, 0)
    assert mailbox.take() == Item("x", 0)
    assert mailbox.offer(Item("x", 2)) is Offer.QUEUED
    assert mailbox.drain(9) == [Item("x", 1), Item("x", 2)]


def test_reject_refuses_and_counts() -> None:
    """The sender hears of it; what is queued stays."""
    mailbox = filled(Overflow.REJECT)
    assert mailbox.offer(Item("x", 2)) is Offer.REJECTED
    assert mailbox.rejected == 1
    assert mailbox.drain(9) == [Item("x", 0), Item("x", 1)]


def test_drop_oldest_makes_room_and_counts() -> None:
    """The newest always gets in."""
    mailbox = filled(Overflow.DROP_OLDEST)
    assert mailbox.offer(Item("x", 2)) is Offer.DROPPED_OLDEST
    assert mailbox.dropped == 1
    assert mailbox.drain(9) == [Item("x", 1), Item("x", 2)]


def test_conflate_replaces_in_place_even_when_full() -> None:
    """The newer version takes the older one's turn; only a new key at the bound drops the oldest."""
    mailbox = Mailbox(MailboxSpec(2, Overflow.CONFLATE, by_key))
    offers = [mailbox.offer(Item(key, n)) for n, key in enumerate(["a", "b", "a", "c", "a"])]
    queued, conflated, dropped = Offer.QUEUED, Offer.CONFLATED, Offer.DROPPED_OLDEST
    assert offers == [queued, queued, conflated, dropped, dropped]
    assert (mailbox.conflated, mailbox.dropped) == (1, 2)
    assert mailbox.drain(9) == [Item("c", 3), Item("a", 4)]


def test_a_conflated_message_is_delivered_in_its_newest_version() -> None:
    """In the first one's turn, and with the versions in between gone."""
    mailbox = Mailbox(MailboxSpec(5, Overflow.CONFLATE, by_key))
    for n, key in enumerate(["a", "b", "a", "a", "b", "c"]):
        mailbox.offer(Item(key, n))
    assert mailbox.drain(9) == [Item("a", 3), Item("b", 4), Item("c", 5)]
    assert (mailbox.conflated, mailbox.dropped) == (3, 0)


def test_a_message_whose_key_is_none_is_conflated_like_any_other() -> None:
    """None is an identity too: after it was taken, the next one must be queued and not vanish into the taken one."""
    mailbox = Mailbox(MailboxSpec(2, Overflow.CONFLATE, by_key))
    for n in range(3):
        assert mailbox.offer(Item(None, n)) is Offer.QUEUED
        assert mailbox.take() == Item(None, n)
    assert mailbox.take() is None


def test_drain_takes_at_most_the_limit() -> None:
    """Batches are bounded."""
    mailbox = filled(Overflow.BLOCK, capacity=5)
    assert [item.n for item in mailbox.drain(3)] == [0, 1, 2]
    assert len(mailbox) == 2
    assert mailbox.drain(0) == []


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (MailboxSpec(0), "capacity of at least 1"),
        (MailboxSpec(1, Overflow.CONFLATE), "a key is needed"),
        (MailboxSpec(1, Overflow.BLOCK, by_key), "for that policy only"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(spec: MailboxSpec, complaint: str) -> None:
    """When the mailbox is built, not when it is full."""
    with pytest.raises(ValueError, match=complaint):
        Mailbox(spec)


class Model:
    """A mailbox as a plain list."""

    def __init__(self, capacity: int, overflow: Overflow) -> None:
        self.capacity = capacity
        self.overflow = overflow
        self.items: list[Item] = []
        self.lost = 0

    def offer(self, item: Item) -> Offer:
        """Do what the policy says, the slow way."""
        if self.overflow is Overflow.CONFLATE:
            for i, queued in enumerate(self.items):
                if queued.key == item.key:
                    self.items[i] = item
                    return Offer.CONFLATED
        if len(self.items) < self.capacity:
            self.items.append(item)
            return Offer.QUEUED
        if self.overflow is Overflow.BLOCK:
            return Offer.FULL
        if self.overflow is Overflow.REJECT:
            return Offer.REJECTED
        self.lost += 1
        self.items = [*self.items[1:], item]
        return Offer.DROPPED_OLDEST


ACTIONS = st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 3)), max_size=60)


@given(st.integers(1, 4), st.sampled_from(Overflow), ACTIONS)
def test_every_policy_behaves_like_a_plain_list(
    capacity: int, overflow: Overflow, actions: list[str | int | None]
) -> None:
    """None takes one, a number drains so many, a letter offers the next version of that key."""
    mailbox = Mailbox(MailboxSpec(capacity, overflow, by_key if overflow is Overflow.CONFLATE else None))
    model = Model(capacity, overflow)
    for n, action in enumerate(actions):
        if isinstance(action, str):
            assert mailbox.offer(Item(action, n)) is model.offer(Item(action, n))
        elif action is None:
            assert mailbox.take() == (model.items.pop(0) if model.items else None)
        else:
            taken, model.items = model.items[:action], model.items[action:]
            assert mailbox.drain(action) == taken
        assert len(mailbox) == len(model.items) <= capacity
    assert mailbox.dropped == model.lost
    assert mailbox.drain(99) == model.items


@given(st.lists(st.tuples(st.sampled_from(Lane), st.integers(0, 99)), max_size=40))
def test_lanes_are_served_control_first_and_each_in_order(offers: list[tuple[Lane, int]]) -> None:
    """A kill never waits behind market data; within a lane first come is first served."""
    lanes = LaneQueue()
    for lane, n in offers:
        assert lanes.offer(lane, Item(lane.name, n)) is Offer.QUEUED
    assert len(lanes) == len(offers)
    served = [lanes.take() for _ in offers]
    assert served == [Item(lane.name, n) for lane, n in sorted(offers, key=lambda offer: offer[0])]
    assert lanes.take() is None
    assert len(lanes) == 0


def test_a_lane_at_its_bound_does_not_disturb_the_others() -> None:
    """Each lane has its own bound and policy; control and commands refuse, data block."""
    small = {lane: MailboxSpec(1, spec.overflow) for lane, spec in LANE_SPECS.items()}
    lanes = LaneQueue(small)
    first = [lanes.offer(lane, Item("first")) for lane in Lane]
    second = [lanes.offer(lane, Item("second")) for lane in Lane]
    assert first == [Offer.QUEUED] * 4
    assert second == [Offer.REJECTED, Offer.FULL, Offer.REJECTED, Offer.FULL]
    assert len(lanes) == 4
