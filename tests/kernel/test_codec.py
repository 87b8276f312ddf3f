"""The codec: tags tell messages apart, and fields may be appended."""

from __future__ import annotations

import msgspec
import pytest

from daemon.kernel.codec import KERNEL_EVENTS, Codec
from daemon.kernel.message import Command, DeadLettered, Event


class Old(Command, frozen=True, tag=930):
    """A message as an older version knew it."""

    a: int


class New(Command, frozen=True, tag=930):
    """The same with a field appended."""

    a: int
    b: str = "default"


class Other(Event, frozen=True, tag=931):
    """Another message."""

    a: int


def test_messages_come_back_as_the_class_that_was_encoded() -> None:
    """Alone and many at once, the kernel's own included; as arrays that begin with the tag."""
    codec = Codec((Old, Other))
    messages = [Old(1), Other(1), DeadLettered("X")]
    assert [codec.decode(codec.encode(message)) for message in messages] == messages
    assert codec.decode_many(codec.encode_many(messages)) == messages
    assert msgspec.msgpack.decode(codec.encode(Old(1))) == [930, 1]


def test_two_types_with_one_tag_are_refused() -> None:
    """They could not be told apart on the way back."""
    with pytest.raises(ValueError, match="New and Old share the tag 930"):
        Codec((Old, New))
    assert Codec((Old, Old, *KERNEL_EVENTS)).types == (*KERNEL_EVENTS, Old)


def test_a_field_may_be_appended() -> None:
    """What an older version wrote decodes with the default; what a newer one wrote decodes without the rest."""
    old, new = Codec((Old,)), Codec((New,))
    assert new.decode(old.encode(Old(1))) == New(1, "default")
    assert old.decode(new.encode(New(1, "x"))) == Old(1)


def test_what_is_no_message_of_the_catalogue_does_not_decode() -> None:
    """An unknown tag, a wrong type and a torn row are errors, never a guess."""
    codec = Codec((Old,))
    for data in (codec.encode(Other(1)), msgspec.msgpack.encode([930, "x"]), codec.encode(Old(1))[:-1]):
        with pytest.raises(msgspec.DecodeError):
            codec.decode(data)
    assert codec.by_name["Old"] is Old
