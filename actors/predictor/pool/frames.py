"""The language of the inference host: length-prefixed msgpack frames on a stream. Pure: bytes in, frames out.

Four bytes of length, most significant first, then one msgpack value of a closed set of types. Nothing in it names code:
what cannot be decoded as one of these types is refused, and so is what is longer than :data:`FRAME_BYTES_MAX`, before
memory is taken for it. The first frame of a client is :class:`Hello`, and the host answers it with :class:`Welcome` or
:class:`Refused`; anything else first is a stranger.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.messages.sentiment import SentimentReady, SentimentRequested
from daemon.kernel.errors import VenueError

VERSION: Final = 1
"""Of this language. A host and a client that have none in common part with a sentence."""
FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
"""A request for 10,000 symbols of 64 features is 5 MB."""
CHUNK_BYTES: Final = 1 << 18
"""How much is read of a connection at a time."""
SAID_MAX: Final = 300
"""Characters of a sentence of the other end that are kept."""
_LENGTH: Final = struct.Struct(">I")


class Failed(PredictionUnavailable, tag=1022, frozen=True):
    """A model was asked, and failed: whoever asks it again may die of what it wants. It stays between pool and host."""


Request = InferenceRequested | SentimentRequested
Answer = PredictionReady | SentimentReady | PredictionUnavailable | Failed


class FrameError(VenueError):
    """The other end does not speak our language, or no longer."""


class Frame(msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="tag"):
    """Root of all frames: arrays with a small number in front."""


class Hello(Frame, tag=1, frozen=True):
    """A client says which versions it speaks and who it is."""

    versions: tuple[int, ...]
    program: str


class Welcome(Frame, tag=2, frozen=True):
    """The host takes a client; ``backend`` is ``threads`` or ``ray``."""

    version: int
    program: str
    backend: str
    workers: int
    pid: int


class Refused(Frame, tag=3, frozen=True):
    """The host does not take a client, in one sentence; the stream ends behind it."""

    code: str
    reason: str


class Ask(Frame, tag=4, frozen=True):
    """A request; ``number`` is the client's own, ``budget_ms`` how long an answer is of use from now on."""

    number: int
    budget_ms: int
    request: Request


class Taken(Frame, tag=5, frozen=True):
    """The host has read a request and is alive: said at once, long before the answer."""

    number: int


class Begun(Frame, tag=11, frozen=True):
    """A worker has begun a request, or it waits behind others that are computed: it is in good hands."""

    number: int


class Answered(Frame, tag=6, frozen=True):
    """An answer.

    Attributes:
        number: of the request.
        answer: what the model says, or why there is nothing.
        fault: why there is no answer where the machine is to blame, one of :data:`FAULTS`; "" else.
        host_ns: from reading the request to this answer.
    """

    number: int
    answer: Answer
    fault: str = ""
    host_ns: int = 0


class Look(Frame, tag=7, frozen=True):
    """A client asks how the host is."""

    number: int


class ModelFact(Frame, tag=20, frozen=True):
    """A model the host has loaded; ``kind`` is ``table`` or ``text``."""

    model_id: str
    kind: str
    served: int


class Standing(Frame, tag=8, frozen=True):
    """How the host is.

    Attributes:
        number: of the question.
        backend: ``threads`` or ``ray``; state: ``up``, ``starting`` or ``down``, with detail.
        workers: how many there are; busy: how many compute.
        queue: requests (or parts of them) that wait.
        served, failed, late: answers so far; without an answer for a fault; given up because their time was over.
        restarts: workers, or whole backends, that were started again.
        p50_ms, p99_ms: of the latest answers, from reading a request to answering it; 0 before the first.
        models: loaded so far.
    """

    number: int
    backend: str
    state: str
    detail: str
    workers: int
    busy: int
    queue: int
    served: int
    failed: int
    late: int
    restarts: int
    p50_ms: float
    p99_ms: float
    models: tuple[ModelFact, ...] = ()


class Call(Frame, tag=9, frozen=True):
    """The host's own, to the process that holds its workers: requests for one worker."""

    number: int
    budget_ms: int
    requests: tuple[Request, ...]


class Called(Frame, tag=10, frozen=True):
    """What became of a :class:`Call`: an answer to each request, or one fault for all of them."""

    number: int
    answers: tuple[Answer, ...]
    fault: str = ""
    reason: str = ""


BUSY: Final = "busy"
"""Too much waits already."""
DOWN: Final = "down"
"""There is no worker."""
QUEUED: Final = "queued"
"""Its time was over before a worker was free."""
OVERDUE: Final = "overdue"
"""Its time was over while a worker computed it."""
OVERDUE_SAID: Final = "the model did not come back with an answer in time"
DIED: Final = "died"
"""A worker died over it."""
FAULTS: Final = (BUSY, DOWN, QUEUED, OVERDUE, DIED)
INNOCENT: Final = (BUSY, DOWN, QUEUED)
"""Faults that the request cannot have caused: nobody has begun with it. Any other is not computed in the daemon, which
must not die of it."""

Any = Hello | Welcome | Refused | Ask | Taken | Begun | Answered | Look | Standing | Call | Called

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Any)


def pack(frame: Frame) -> bytes:
    """Return a frame as it travels.

    Raises:
        FrameError: too long.
    """
    body = _encoder.encode(frame)
    if len(body) > FRAME_BYTES_MAX:
        raise FrameError(
            f"a {type(frame).__name__} of {len(body):,} bytes is longer than {FRAME_BYTES_MAX:,}", code="FRAME_SIZE"
        )
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Takes a stream apart. After an error it is of no use: nobody knows where the next frame begins."""

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        """Begin a stream; ``bytes_max`` bounds one frame."""
        self._bytes_max = bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take bytes and yield the frames they complete.

        Raises:
            FrameError: a frame too long, or none of ours.
        """
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._buffer, at)
                if length > self._bytes_max:
                    raise FrameError(
                        f"a frame of {length:,} bytes is longer than {self._bytes_max:,}", code="FRAME_SIZE"
                    )
                end = at + _LENGTH.size + length
                if len(self._buffer) < end:
                    break
                body = bytes(self._buffer[at + _LENGTH.size : end])
                at = end
                try:
                    frame = _decoder.decode(body)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    raise FrameError(f"a frame that is none of ours: {error}", code="FRAME") from None
                yield frame
        finally:
            del self._buffer[:at]


def short(said: str) -> str:
    """Return what the other end said as one line of bounded length: it stands in the ledger, in alerts and in logs."""
    line = " ".join("".join(c if c.isprintable() else " " for c in said[: 2 * SAID_MAX]).split())
    return line if len(said) <= SAID_MAX else f"{line[:SAID_MAX]} …"
