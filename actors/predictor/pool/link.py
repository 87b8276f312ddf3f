"""The connection to the inference host: kept by a thread of its own, used by any number of others.

The thread connects, says hello, reads, and looks after the host's health; whoever asks writes its own frame and waits
for what the thread puts into its slot. Nobody waits for a host that is away, stopped or silent longer than it said.
"""

from __future__ import annotations

import itertools
import queue
import select
import socket
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from actors.predictor.pool.breaker import Breaker, BreakerState
from actors.predictor.pool.frames import (
    CHUNK_BYTES,
    VERSION,
    Answered,
    Ask,
    Begun,
    Frame,
    FrameError,
    Hello,
    Look,
    Refused,
    Request,
    Standing,
    Taken,
    Unpacker,
    Welcome,
    pack,
    short,
)

TAKEN_S: Final = 0.03
"""How long the host may take to say that it has read a request: what a stopped host costs whoever finds it out."""
CONNECT_S: Final = 1.0
"""How long a connection and its greeting may take; nobody but the link's own thread waits for it."""
KNOCK_S: Final = 0.1
"""How often a host that is away or silent is looked for."""
LOOK_S: Final = 1.0
"""How often a host that is well is asked how it is."""
SILENT_S: Final = 2.0
"""A question after its health that has waited so long opens the breaker, without a request having had to."""
DEAD_S: Final = 15.0
"""A connection on which nothing has come for so long while something was due is made anew."""


class LinkError(Exception):
    """The host did not answer; ``taken`` tells whether it had the request by then, and may have died of it."""

    def __init__(self, reason: str, *, taken: bool = False, lost: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.taken = taken
        self.lost = lost


class _Slot:
    """Where a waiting request hears of its fate."""

    __slots__ = ("heard", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.heard: queue.SimpleQueue[Taken | Begun | Answered | None] = queue.SimpleQueue()
        """None: the connection is lost."""


class Link:
    """See the module.

    Attributes:
        welcome: what the host said of itself, None while there is none.
        standing: its latest answer to how it is, None before the first.
        late: answers that came when nobody waited for them any more.
        connected: how often a connection was made.
    """

    def __init__(self, path: str, breaker: Breaker, program: str, *, taken_s: float = TAKEN_S) -> None:
        """Prepare; nothing is tried before :meth:`start`."""
        self._path = path
        self._breaker = breaker
        self._program = program
        self._taken_s = taken_s
        self._numbers = itertools.count(1)
        self._slots: dict[int, _Slot] = {}
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._look: tuple[int, float] | None = None
        self._looked_at = -LOOK_S
        self._asked = False
        self.up = threading.Event()
        """Set while there is a connection."""
        self.welcome: Welcome | None = None
        self.standing: Standing | None = None
        self.late = 0
        self.connected = 0

    def start(self) -> None:
        """Begin to look for the host."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="inference-link", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End; whoever waits hears that the connection is lost."""
        self._stop.set()
        self._drop()
        if self._thread is not None:
            self._thread.join(3 * KNOCK_S)

    # -- asking (any thread) -----------------------------------------------------------------------------------------

    def ask(self, request: Request, budget_s: float, grace_s: float = 0.0, *, begun: bool = False) -> Answered:
        """Return the host's answer.

        Args:
            request: what is asked.
            budget_s: how long the host may take, as it is told.
            grace_s: how much longer its word is waited for.
            begun: wait only where a worker begins it at once, or it is next: somebody else can compute it.

        Raises:
            LinkError: there is none by then, or not even a sign that the request was read, or begun.
        """
        slot = _Slot(next(self._numbers))
        began = time.monotonic()
        deadline, patience = began + budget_s + grace_s, began + min(self._taken_s, budget_s + grace_s)
        with self._lock:
            self._slots[slot.number] = slot
        try:
            self._send(Ask(slot.number, max(1, int(budget_s * 1000)), request), min(self._taken_s, budget_s))
            return self._await(slot, deadline, patience, begun=begun)
        finally:
            with self._lock:
                self._slots.pop(slot.number, None)

    def _await(self, slot: _Slot, deadline: float, patience: float, *, begun: bool) -> Answered:
        """Wait for an answer, and for signs that there will be one no longer than ``patience``."""
        taken, hopes = False, False
        while True:
            try:
                heard = slot.heard.get(timeout=max(0.0, (deadline if hopes else patience) - time.monotonic()))
            except queue.Empty:
                if hopes:
                    raise LinkError("the inference host gave no answer in time", taken=True) from None
                reason = "has no worker that begins" if taken else "does not react"
                raise LinkError(f"the inference host {reason}") from None
            if isinstance(heard, Answered):
                return heard
            if heard is None:
                raise LinkError("the connection to the inference host was lost", taken=taken, lost=True)
            taken = True
            hopes = hopes or not begun or isinstance(heard, Begun)

    def _send(self, frame: Frame, within_s: float) -> None:
        data = memoryview(pack(frame))
        deadline = time.monotonic() + within_s
        if not self._sending.acquire(timeout=within_s):  # whoever is writing waits for the host himself
            raise LinkError("the inference host does not read")
        try:
            link = self._socket
            if link is None:
                raise LinkError("there is no connection to the inference host", lost=True)
            sent = 0
            try:
                while sent < len(data):
                    if not _ready(link, select.POLLOUT, max(0.0, deadline - time.monotonic())):
                        break
                    with suppress(BlockingIOError):
                        sent += link.send(data[sent:])
            except (OSError, ValueError):  # ValueError: closed meanwhile, by the link's own thread
                self._drop()
                raise LinkError("the connection to the inference host was lost", lost=True) from None
            if sent < len(data):
                if sent:  # half a frame: what follows could not be understood
                    self._drop()
                raise LinkError("the inference host does not read")
        finally:
            self._sending.release()

    # -- the link's own thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                link = self._connect()
            except (OSError, FrameError, LinkError) as error:
                self._breaker.lost(f"no inference host at {self._path}: {why(error)}")
                self._stop.wait(KNOCK_S)
                continue
            since = time.monotonic()
            reason = "it hung up"
            try:
                self._serve(link)
            except (OSError, ValueError):
                reason = "the connection broke"
            except FrameError as error:
                reason = str(error)
            self._drop()
            self._breaker.lost(f"the inference host was lost: {reason}")
            self._stop.wait(max(0.0, since + KNOCK_S - time.monotonic()))  # one that hangs up on everybody is no host

    def _connect(self) -> socket.socket:
        _check_place(self._path)
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            link.settimeout(CONNECT_S)
            link.connect(self._path)
            first = self._greet(link)
            link.setblocking(False)
        except BaseException:
            link.close()
            raise
        with self._sending:
            if self._stop.is_set():
                link.close()
                raise LinkError("ended")
            self.welcome = first
            self._look = None
            self._looked_at = -LOOK_S
            self._heard_at = time.monotonic()
            self.connected += 1
            self._socket = link
            self.up.set()
        return link

    def _greet(self, link: socket.socket) -> Welcome:
        """Say hello; return the answer, which must be the first frame."""
        link.sendall(pack(Hello((VERSION,), self._program)))
        self._unpacker = Unpacker()
        frames: list[Frame] = []
        deadline = time.monotonic() + CONNECT_S
        while not frames:
            link.settimeout(max(0.001, deadline - time.monotonic()))
            data = link.recv(CHUNK_BYTES)
            if not data:
                raise LinkError("it hung up before it greeted")
            frames += self._unpacker.feed(data)
        first = frames[0]
        if isinstance(first, Refused):
            raise LinkError(f"it refuses: {short(first.reason)}")
        if not isinstance(first, Welcome) or first.version != VERSION:
            raise LinkError("it does not speak our language")
        return first

    def _serve(self, link: socket.socket) -> None:
        """Read until the other end hangs up."""
        while not self._stop.is_set():
            self._look_after(link)
            if not _ready(link, select.POLLIN, KNOCK_S):
                continue
            try:
                data = link.recv(CHUNK_BYTES)
            except BlockingIOError:
                continue
            if not data:
                return
            self._heard_at = time.monotonic()
            for frame in self._unpacker.feed(data):
                self._heard(frame)

    def _look_after(self, link: socket.socket) -> None:
        """Ask how the host is, often while the breaker is not closed; notice that it does not answer."""
        now = time.monotonic()
        if self._look is None:
            every = LOOK_S if self._breaker.state is BreakerState.CLOSED else KNOCK_S
            if now < self._looked_at + every:
                return
            self._look = (next(self._numbers), now)
            self._looked_at = now
            self._asked = False
        if not self._asked:  # again where the host did not read: what was never written is never answered
            with suppress(LinkError):
                self._send(Look(self._look[0]), self._taken_s)
                self._asked = True
        waited = now - self._look[1]
        if waited > SILENT_S and _ready(link, select.POLLIN, 0.0):
            return  # we were stopped ourselves: what it has said meanwhile comes first
        if waited > SILENT_S:
            self._breaker.lost("the inference host is silent")
        if waited > DEAD_S and now - self._heard_at > DEAD_S:
            raise OSError("nothing comes any more")

    def _heard(self, frame: Frame) -> None:
        if isinstance(frame, Answered | Taken | Begun):
            with self._lock:
                slot = self._slots.get(frame.number)
            if slot is not None:
                slot.heard.put(frame)
            elif isinstance(frame, Answered):
                self.late += 1
        elif isinstance(frame, Standing):
            self._look = None
            self.standing = frame
            if frame.state == "up":
                self._breaker.life()
            else:
                self._breaker.lost(f"the inference host is {short(frame.state)}: {short(frame.detail)}")
        elif isinstance(frame, Refused):
            raise FrameError(short(frame.reason), code="REFUSED")
        else:
            raise FrameError(f"a {type(frame).__name__} is nothing that a host says", code="FRAME")

    def _drop(self) -> None:
        """Close the connection and let everybody who waits know."""
        link, self._socket = self._socket, None
        self.welcome = None
        self.up.clear()
        if link is not None:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()
        with self._lock:
            slots = list(self._slots.values())
        for slot in slots:
            slot.heard.put(None)


def _check_place(path: str) -> None:
    """Refuse a folder in which somebody else could put a socket of his own: what answers there decides what is traded.

    Raises:
        LinkError: others than its owner may write there.
        OSError: it is not there.
    """
    folder = Path(path).parent
    if folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LinkError(f"others may write into {folder}, and could put their own socket there")


def _ready(link: socket.socket, what: int, within_s: float) -> bool:
    """Wait until there is something to do for a connection; not by select, which knows no descriptor above 1,023.

    Raises:
        ValueError: it was closed meanwhile, by another thread.
    """
    waiting = select.poll()
    waiting.register(link, what)
    return bool(waiting.poll(within_s * 1000))


def why(error: Exception) -> str:
    """Return why there is no connection, with what to do where it is not plain."""
    said = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    if isinstance(error, PermissionError):
        said += " for this user; [inference] group of the host names who may"
    return said
