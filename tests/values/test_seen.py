"""Ids used once are known for ever, and remembering them costs eight bytes each."""

from __future__ import annotations

from zlib import crc32

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from actors.values.seen import BATCH, RECENT, SeenIds

NAMES = st.lists(st.one_of(st.integers(0, 40).map(str), st.text(max_size=3)), max_size=80)


def through(seen: SeenIds, *shape: int) -> SeenIds:
    """Return a copy that went through a snapshot."""
    copy = SeenIds(*shape)
    copy.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(seen.snapshot())))
    return copy


@given(NAMES, NAMES, st.integers(0, 80))
def test_it_is_a_set_whatever_grew_old_and_whatever_was_restored(added: list[str], asked: list[str], cut: int) -> None:
    """A built-in set is the model; a restored one goes on to the same bytes."""
    seen, other = SeenIds(5, 3), SeenIds(5, 3)
    model: set[str] = set()
    for n, name in enumerate(added):
        if n == cut:
            other = through(other, 5, 3)
        assert (name in seen) is (name in other) is (name in model)
        seen.add(name)
        other.add(name)
        model.add(name)
        assert name in seen
    for name in [*asked, *added]:
        assert (name in seen) is (name in other) is (name in model)
    assert seen.snapshot() == other.snapshot()
    assert len(model) <= len(seen) <= len(added)


def test_the_newest_are_kept_as_they_are_and_the_older_as_eight_bytes() -> None:
    """Two hundred thousand orders: a snapshot of two megabytes, and not one of them is forgotten."""
    names = [f"momentum-AAPL-{n}-buy" for n in range(200_000)]
    seen = SeenIds()
    for name in names:
        seen.add(name)
    recent, old = seen.snapshot()
    assert RECENT <= len(recent) < RECENT + BATCH
    assert recent == names[-len(recent) :]
    assert len(old) == 8 * (len(names) - len(recent))
    assert len(seen) == len(names)
    assert len(msgspec.msgpack.encode(seen.snapshot())) < 2_500_000
    assert all(name in seen for name in names)
    assert not any(f"momentum-MSFT-{n}-buy" in seen for n in range(5_000))


def test_ids_that_share_a_checksum_are_not_taken_for_each_other() -> None:
    """The other half of the eight bytes tells them apart."""
    assert crc32(b"plumless") == crc32(b"buckeroo")
    seen = SeenIds(1, 1)
    for name in ("plumless", "other", "third"):
        seen.add(name)
    assert "plumless" in seen
    assert "buckeroo" not in seen


@given(st.text(max_size=9), st.binary(min_size=6, max_size=6), st.binary(min_size=6, max_size=6))
def test_ids_that_differ_within_six_bytes_are_never_taken_for_each_other(name: str, one: bytes, other: bytes) -> None:
    """As ids do that are counted up. Both checksums are linear, so it is enough that no such difference is lost."""
    assume(one != other)
    head, tail = name.encode(), name.encode()[::-1]
    assert _digest(head + one + tail) != _digest(head + other + tail)


def _digest(raw: bytes) -> tuple[int, int]:
    return crc32(raw), crc32(raw[::-1])


def test_a_client_that_resends_one_old_id_for_ever_costs_nothing() -> None:
    """The array holds it once."""
    seen = SeenIds(2, 2)
    for n in range(400):
        seen.add("again")
        seen.add(f"{n % 7}")
    assert len(seen.snapshot()[1]) <= 8 * 8
    assert len(seen) <= 12


def test_ids_that_are_no_valid_unicode_are_remembered_too() -> None:
    """A fold must not fail over what a client calls its order."""
    seen = SeenIds(1, 1)
    for name in ("\ud800", "grün", "x", "y"):
        seen.add(name)
    assert "\ud800" in seen
    assert "grün" in seen
