"""What passes between the control thread and the rest of the daemon. Plain values; nothing here does I/O."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Protocol

import msgspec


class Role(IntEnum):
    """What a peer may do; each role includes those below it. Halting needs less authority than resuming."""

    NONE = 0
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end, as the kernel says (SO_PEERCRED), and its role by uid and groups."""

    uid: int
    gid: int
    pid: int
    role: Role

    @property
    def by(self) -> str:
        """The peer as it is written into the journal."""
        return f"uid {self.uid} pid {self.pid}"


class Call(msgspec.Struct, frozen=True):
    """A checked request: the method exists, the peer may use it, the parameters have the right names and types.

    Attributes:
        method: such as ``order.submit``.
        params: by name, without ``reason`` and ``request_id``.
        peer: who asks.
        reason: why, "" where none was given.
        request_id: the idempotency key, "" where none was given.
    """

    method: str
    params: dict[str, Any]
    peer: Peer
    reason: str = ""
    request_id: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """The answer: ``result``, or an error by code, sentence and what to do.

    ``code`` is the stable upper-case reason (``error.data.reason`` on the wire), "" for success.
    """

    result: dict[str, Any] | None = None
    code: str = ""
    message: str = ""
    field: str = ""
    remedy: str = ""


class Desk(Protocol):
    """What the control thread may ask of the daemon. Every method is safe to call from another thread."""

    def submit(self, call: Call, answer: Callable[[Outcome], None]) -> None:
        """Hand a call to the core; ``answer`` is called once, on any thread, when what it promises is durable."""
        ...

    def stands(self, call: Call, outcome: Outcome) -> bool:
        """Tell whether what a call was answered once holds still; where it does not, a repeated call is done anew."""
        ...

    def read(self, call: Call) -> Outcome:
        """Answer from what was last published or from the views; never waits for the core for more than a moment."""
        ...

    def subscribe(self, call: Call, push: Callable[[dict[str, Any]], bool]) -> Callable[[], None]:
        """Send committed events to ``push`` (False: the subscriber is too slow and was cut off); return the undo."""
        ...
