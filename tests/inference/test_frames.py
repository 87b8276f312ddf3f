"""The stream between daemon and host: what is not one of our frames is refused before it costs anything."""

from __future__ import annotations

import pickle
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.predictor.pool.frames import (
    FRAME_BYTES_MAX,
    VERSION,
    Answered,
    Ask,
    Begun,
    Call,
    Called,
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
    Begun(7),
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


HALF_AND_NONE = "cb 3f e0 00 00 00 00 00 00 cb 00 00 00 00 00 00 00 00 "
WRITTEN = {
    "hello": (Hello((1, 2), "x"), "93 01 92 01 02 a1 78"),
    "welcome": (Welcome(1, "x", "ray", 4, 77), "96 02 01 a1 78 a3 72 61 79 04 4d"),
    "refused": (Refused("B", "n"), "93 03 a1 42 a1 6e"),
    "ask": (Ask(7, 9, InferenceRequested("r", "m", "s", 2, b"i", b"f", 3)),
            "94 04 07 09 98 14 a1 72 a1 6d a1 73 02 c4 01 69 c4 01 66 03"),
    "taken": (Taken(7), "92 05 07"),
    "answered": (Answered(7, PredictionUnavailable("r", "m", "n"), "died", 5),
                 "95 06 07 94 16 a1 72 a1 6d a1 6e a4 64 69 65 64 05"),
    "look": (Look(9), "92 07 09"),
    "standing": (Standing(9, "b", "u", "", 1, 2, 3, 4, 5, 6, 7, 0.5, 0.0, (ModelFact("m", "k", 3),)),
                 "9f 08 09 a1 62 a1 75 a0 01 02 03 04 05 06 07 " + HALF_AND_NONE + "91 94 14 a1 6d a1 6b 03"),
    "call": (Call(7, 9, ()), "94 09 07 09 90"),
    "called": (Called(7, (), "died", "n"), "95 0a 07 90 a4 64 69 65 64 a1 6e"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_the_language_is_what_another_version_of_the_program_speaks(name: str) -> None:
    """Msgpack by hand, an array (9n) of the frame's number and its fields: another one needs another ``VERSION``."""
    frame, text = WRITTEN[name]
    body = bytes.fromhex(text)
    assert pack(frame) == struct.pack(">I", len(body)) + body
    assert list(Unpacker().feed(pack(frame))) == [frame]
    assert VERSION == 1


def test_a_frame_as_long_as_one_may_be_is_sent_and_read() -> None:
    """16 MiB with array, number, code and the reason's own head: 1 + 1 + 2 + 5 bytes."""
    frame = Refused("X", "a" * (FRAME_BYTES_MAX - 9))
    data = pack(frame)
    assert len(data) == 4 + FRAME_BYTES_MAX
    assert list(Unpacker().feed(data)) == [frame]
    with pytest.raises(FrameError):
        pack(Refused("X", "a" * (FRAME_BYTES_MAX - 8)))


def test_frames_are_values() -> None:
    """Nobody changes one on its way."""
    with pytest.raises(AttributeError):
        FRAMES[0].program = "another"  # type: ignore[attr-defined, misc]
