"""Encoding of messages: msgpack arrays, told apart by the tag of their class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Union

import msgspec

from daemon.kernel.message import CommandRejected, DeadLettered, Event, InputQuarantined, Message

KERNEL_EVENTS: tuple[type[Event], ...] = (CommandRejected, InputQuarantined, DeadLettered)


class Codec:
    """Encodes and decodes a fixed catalogue of message types."""

    def __init__(self, types: Iterable[type[Message]]) -> None:
        """Build for ``types`` and the kernel's own.

        Raises:
            ValueError: two types share a tag.
        """
        self.types: tuple[type[Message], ...] = tuple(dict.fromkeys((*KERNEL_EVENTS, *types)))
        by_tag: dict[object, type[Message]] = {}
        for t in self.types:
            tag = t.__struct_config__.tag
            if tag in by_tag:
                message = f"{t.__name__} and {by_tag[tag].__name__} share the tag {tag}"
                raise ValueError(message)
            by_tag[tag] = t
        self.by_name = {t.__name__: t for t in self.types}
        union: Any = Union[self.types]  # noqa: UP007 - built at run time from a tuple
        self._encoder = msgspec.msgpack.Encoder()
        self._one = msgspec.msgpack.Decoder(union)
        self._many = msgspec.msgpack.Decoder(list[union])

    def encode(self, message: Message) -> bytes:
        """Encode one message."""
        return self._encoder.encode(message)

    def encode_many(self, messages: list[Any]) -> bytes:
        """Encode messages as one array."""
        return self._encoder.encode(messages)

    def decode(self, data: bytes) -> Message:
        """Decode what :meth:`encode` gave."""
        decoded: Message = self._one.decode(data)
        return decoded

    def decode_many(self, data: bytes) -> list[Message]:
        """Decode what :meth:`encode_many` gave."""
        decoded: list[Message] = self._many.decode(data)
        return decoded
