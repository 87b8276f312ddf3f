"""The stream between daemon and host: what is not one of our frames is refused before it costs anything."""

from __future__ import annotations

import pickle
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.messages.inference import PredictionReady, PredictionUnavailable
from actors.predictor.pool.frames import (
    FRAME_BYTES_MAX,
    Answered,
    Ask,
    Frame,
    FrameError,
    Hello,
    Look,
    ModelFact,
    Refused,
    Standing,
    Taken,
    Unpacker,
    Welcome,
    pack,
)
from tests.inference.support import table

FRAMES = [
    Hello((1, 2), "tradingd 1"),
    Welcome(1, "tradingd 1", "ray", 4, 77),
    Refused("BUSY", "too many"),
    Ask(7, 1000, table(3)),
    Taken(7),
    Answered(7, PredictionReady("a-0", "m@1", "5d", b"1234", b"8" * 8, b"9" * 8), "", 5),
    Answered(8, PredictionUnavailable("a-0", "m@1", "no"), "died", 5),
    Look(9),
    Standing(9, "ray", "up", "", 4, 1, 2, 3, 4, 5, 6, 0.5, 9.5, (ModelFact("m@1", "table", 3),)),
]


@given(st.data())
def test_a_stream_comes_back_however_it_is_cut(data: st.DataObject) -> None:
    """Frames do not care where the kernel cuts the stream."""
    stream = b"".join(map(pack, FRAMES))
    unpacker, found = Unpacker(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += unpacker.feed(stream[:size])
        stream = stream[size:]
    assert found == FRAMES


def test_a_length_beyond_the_bound_is_refused_before_its_body_comes() -> None:
    """Four bytes are all that a stranger can make us keep."""
    with pytest.raises(FrameError, match="longer than") as refused:
        list(Unpacker().feed(struct.pack(">I", FRAME_BYTES_MAX + 1)))
    assert refused.value.code == "FRAME_SIZE"


def test_a_frame_too_long_is_not_sent() -> None:
    """The sender is told, not the other end."""
    with pytest.raises(FrameError, match="is longer than"):
        pack(Refused("X", "a" * FRAME_BYTES_MAX))


class Unlike(Frame, tag=99, frozen=True):
    """A frame of some later version."""

    number: int


STRANGE = {
    "a pickle": pickle.dumps({"a": 1}),
    "JSON": b'{"jsonrpc": "2.0"}',
    "a map": msgspec.msgpack.encode({"tag": 1}),
    "a number": msgspec.msgpack.encode(5),
    "nothing": b"",
    "an unknown tag": msgspec.msgpack.encode(Unlike(1)),
    "a wrong type": msgspec.msgpack.encode([5, "seven"]),
    "a request of no known kind": msgspec.msgpack.encode([4, 7, 1000, [9999, "x"]]),
    "too few fields": msgspec.msgpack.encode([4, 7]),
    "bytes that are no text": msgspec.msgpack.encode([3, 1, 2])[:1] + b"\x03\xa1\xff\xa1\xff",
    "a deep nest": b"\x91" * 100_000,
    "a length of its own that lies": b"\xdd\xff\xff\xff\xff\x05",
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_none_of_ours_is_refused(name: str) -> None:
    """With a sentence; nothing of it is looked at again."""
    body = STRANGE[name]
    with pytest.raises(FrameError):
        list(Unpacker().feed(struct.pack(">I", len(body)) + body))


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    """Never another error."""
    try:
        frames = list(Unpacker().feed(data))
    except FrameError:
        return
    assert all(isinstance(frame, Frame) for frame in frames)
