"""Every message of the catalogue survives the journal, exactly."""

from __future__ import annotations

import enum
import types
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.catalogue import COMMANDS, EVENTS, MARKET, codec
from daemon.kernel.codec import KERNEL_EVENTS
from daemon.kernel.message import Message

CODEC = codec()
JOURNALED = (*KERNEL_EVENTS, *COMMANDS, *EVENTS)
ATOMS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    str: st.text(max_size=20),
    bytes: st.binary(max_size=40),
    bool: st.booleans(),
    type(None): st.none(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one return per kind of type
    """Return values of a field's type."""
    if hint in ATOMS:
        return ATOMS[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, typing.Union}:
        return st.one_of(*map(values, arguments))
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=2)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    assert issubclass(hint, msgspec.Struct), f"no values for {hint}"
    return messages(hint)


def messages(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Return messages of a type with every field drawn from its whole range."""
    return st.builds(kind, **{field.name: values(field.type) for field in msgspec.structs.fields(kind)})


def test_every_kind_is_in_the_catalogue_once() -> None:
    """No tag and no name is used twice, panels and kernel events included; tags are numbers."""
    everything = (*JOURNALED, *MARKET)
    tags = [kind.__struct_config__.tag for kind in everything]
    names = [kind.__name__ for kind in everything]
    assert len(set(tags)) == len(set(names)) == len(everything) > 60
    assert all(isinstance(tag, int) for tag in tags)
    assert CODEC.types == JOURNALED


def test_panels_are_not_in_the_codec() -> None:
    """They are on the tape; a panel among a frame's events would be a mistake."""
    assert not set(CODEC.types) & set(MARKET)


@pytest.mark.parametrize("kind", [*JOURNALED, *MARKET], ids=lambda kind: kind.__name__)
def test_every_message_is_frozen_and_a_positional_array(kind: type[Message]) -> None:
    """Safe to hand to anyone, and a third of the bytes of a keyed map."""
    config = kind.__struct_config__
    assert (config.frozen, config.array_like, config.gc) == (True, True, False)
    assert kind.__doc__


@pytest.mark.parametrize("kind", JOURNALED, ids=lambda kind: kind.__name__)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_message_round_trips(kind: type[Message], data: st.DataObject) -> None:
    """Value, type and bytes; alone and beside another in one frame."""
    message = data.draw(messages(kind))
    encoded = CODEC.encode(message)
    decoded = CODEC.decode(encoded)
    assert type(decoded) is kind
    assert decoded == message
    assert CODEC.encode(decoded) == encoded
    assert CODEC.decode_many(CODEC.encode_many([message, message])) == [message, message]


@pytest.mark.parametrize("kind", JOURNALED, ids=lambda kind: kind.__name__)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_a_message_written_before_a_field_was_appended_still_decodes(kind: type[Message], data: st.DataObject) -> None:
    """Each trailing field that has a default may be missing, one after the other from the end."""
    message = data.draw(messages(kind))
    row: list[Any] = msgspec.msgpack.decode(CODEC.encode(message))
    values_given = {field.name: getattr(message, field.name) for field in msgspec.structs.fields(kind)}
    for field in reversed(msgspec.structs.fields(kind)):
        if field.required:
            break
        row.pop()
        del values_given[field.name]
        assert CODEC.decode(msgspec.msgpack.encode(row)) == kind(**values_given)
