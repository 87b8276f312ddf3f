"""The control server: a thread and a loop of its own, so that it answers while the main loop hangs and the core spins.

It knows nothing of the core. Reads and kills are answered here; every other call goes to the desk, and its answer comes
back from whichever thread has it. One connection's fault closes that connection; the end of the thread itself is
reported, because a daemon that cannot be stopped must not go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from daemon.control.calls import Call, Desk, Outcome, Peer, Role
from daemon.control.connection import Connection
from daemon.control.dispatch import STOPPING, Audit, Dispatcher
from daemon.control.flights import Flights
from daemon.control.latch import KillLatch
from daemon.control.limits import ServerLimits
from daemon.control.listening import BACKLOG, listen, remove
from daemon.control.protocol import API, Code, Hello, Refusal, Request, error_line, result_line
from daemon.control.roles import Groups, peer_of
from daemon.journal.batch import KeptReply
from daemon.kernel.errors import InvariantError, OperatorError

HELLO_SCHEMA: Final = "tradingd.hello/1"
_SWEEPS_PER_LIMIT: Final = 10
_SWEEP_S_MAX: Final = 0.25
_BIND_AGAIN_S: Final = 1.0
"""How often a socket that was taken away is made again, where that does not succeed."""
_STARTED_S: Final = 30.0
_TURNS_BEFORE_LEAVING: Final = 8
"""A crowd that fills all places needs so many turns to push out somebody who came with it: time to be read."""


class ControlServer:
    """Listens on the control socket. :meth:`start` and :meth:`stop` belong to the thread that owns the daemon."""

    def __init__(
        self,
        path: Path,
        *,
        latch: KillLatch,
        groups: Groups,
        version: str,
        lookup: Callable[[str], KeptReply | None],
        digest: Callable[[Call], str],
        audit: Audit,
        on_problem: Callable[[str], None],
        on_lost: Callable[[BaseException | None], None],
        limits: ServerLimits | None = None,
        on_gone: Callable[[str, bool], None] | None = None,
        make_folder: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; nothing is made before :meth:`start`.

        Args:
            path: of the socket.
            latch: that a kill sets.
            groups: who may what; the socket belongs to the widest of them.
            version: of the program.
            lookup: finds the reply that the ledger kept under ``uid:request_id``.
            digest: of a call's method and parameters, as it is kept with the reply.
            audit: notes every mutating or refused call; see :data:`daemon.control.dispatch.Audit`.
            on_problem: takes a sentence about a fault of our own; any thread.
            on_lost: the thread has ended without being stopped.
            limits: bounds; defaults are meant for a daemon.
            on_gone: takes a sentence, and whether the socket is back, when somebody has taken it away; on the control
                thread. Otherwise it is a problem as any other.
            make_folder: makes the socket's folder again where that is gone, or raises OSError.
        """
        self.limits = limits or ServerLimits()
        self._path = path
        self._groups = groups
        self._version = version
        self._on_problem = on_problem
        self._on_lost = on_lost
        self._on_gone = on_gone or (lambda sentence, _: on_problem(sentence))
        self._make_folder = make_folder
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: dict[Connection, None] = {}
        self._leaving: dict[Connection, None] = {}
        self._listener: Any = None
        self._inode = 0
        self._server: asyncio.Server | None = None
        self._stopping = False
        self._stop_by = 0.0
        self._moving: asyncio.Task[None] | None = None
        self._missed = False
        self._bind_at = 0.0
        self._beat_at = 0.0
        self._ready = threading.Event()
        self._dispatcher = Dispatcher(
            latch,
            Flights(self.limits.calls_max, lookup, digest),
            self.limits,
            audit=audit,
            problem=self.problem,
            loop=self._the_loop,
        )
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    # -- for the owner -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the socket and serve it. Only a kill is answered until :meth:`attach`.

        Raises:
            OperatorError: the socket cannot be made, or another daemon has it.
        """
        self._listener = listen(self._path, self._groups.widest)
        self._inode = self._path.lstat().st_ino
        self._thread.start()
        if not self._ready.wait(_STARTED_S):
            raise InvariantError(f"the control thread did not start within {_STARTED_S:g} s")

    def attach(self, desk: Desk) -> None:
        """From now on calls go to this desk; any thread."""
        self._dispatcher.desk = desk

    def detach(self, why: Outcome = STOPPING) -> None:
        """From now on calls are refused with ``why``; those under way are still answered, and a kill still works."""
        self._dispatcher.absent = why
        self._dispatcher.desk = None

    def stop(self, budget_s: float = 1.0) -> bool:
        """Take no more connections, let answers go out for as long as the budget lasts, end the thread.

        Returns:
            whether the thread has ended.
        """
        self.detach()
        loop = self._loop
        if loop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it ended by itself in this moment
                loop.call_soon_threadsafe(self._begin_stop, budget_s)
            self._thread.join(budget_s + _STARTED_S)
        elif self._listener is not None and not self._thread.is_alive():
            self._listener.close()
            remove(self._path, self._inode)
        return not self._thread.is_alive()

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        lost: BaseException | None = None
        try:
            loop = asyncio.new_event_loop()
            self._loop = loop
            loop.set_exception_handler(self._fault)
            try:
                loop.run_until_complete(self._serve())
                loop.call_soon(self._sweep)
                loop.call_soon(self._ready.set)
                loop.run_forever()
            finally:
                self._end(loop)
        except BaseException as error:  # noqa: BLE001 - whatever ends this thread must be heard of
            lost = error
        finally:
            self._ready.set()
            if not self._stopping:
                self._on_lost(lost)

    async def _serve(self) -> None:
        """Take connections from the listener, and none any more from the one before."""
        accepts = max(1, self.limits.connections_max // _TURNS_BEFORE_LEAVING)  # in one turn of the loop
        before = self._server
        self._server = await self._the_loop().create_unix_server(
            lambda: Connection(self), sock=self._listener, backlog=accepts
        )
        self._listener.listen(BACKLOG)  # the loop takes its own number for both
        if before is not None:
            before.close()
        if self._stopping:
            self._server.close()

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._server is not None:
            self._server.close()
        remove(self._path, self._inode)
        for connection in [*self._connections, *self._leaving]:
            connection.abort()
        loop.run_until_complete(_turns())
        loop.close()

    def _begin_stop(self, budget_s: float) -> None:
        self._stopping = True
        self._stop_by = self.now() + budget_s
        if self._server is not None:
            self._server.close()
        remove(self._path, self._inode)
        self._stop_when_quiet()

    def _stop_when_quiet(self) -> None:
        for connection in list(self._connections):
            if connection.subscription is not None:
                connection.subscription.end("STOPPING", "the daemon is stopping")
            elif not connection.waiting:
                connection.dismiss("STOPPING", "the daemon is stopping", "try again once it is back")
        if self.now() >= self._stop_by or not (self._connections or self._leaving):
            self._the_loop().stop()
        else:
            self._the_loop().call_later(0.005, self._stop_when_quiet)

    def _fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        self.problem(f"a fault in the control thread: {context.get('message')}: {context.get('exception')!r}")

    def _the_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the control thread has no loop before it is started")
        return self._loop

    # -- what connections ask for ------------------------------------------------------------------------------------

    def now(self) -> float:
        """Return the loop's monotonic seconds."""
        return self._the_loop().time()

    def soon(self, callback: Any, *arguments: Any) -> None:
        """Have something called on the control thread, from there."""
        self._the_loop().call_soon(callback, *arguments)

    def problem(self, sentence: str) -> None:
        """Report a fault of our own."""
        self._on_problem(sentence)

    def admit(self, connection: Connection) -> Peer | None:
        """Let a peer in that has a role; close another one where there is no room."""
        try:
            peer = peer_of(connection.socket, self._groups)
        except OSError as error:
            self.problem(f"the kernel does not say who connected: {error.strerror}")
            connection.abort()
            return None
        if peer.role is Role.NONE:
            text = f"uid {peer.uid} has no role here"
            remedy = "join one of the groups of [control]"
            connection.send(error_line(None, Code.FORBIDDEN, "FORBIDDEN", text, remedy=remedy))
            connection.finish()
            self._leaving[connection] = None
            self._dispatcher.note_refusal(peer, "connect", "FORBIDDEN")
            return None
        connection.peer = peer
        while len(self._connections) >= self.limits.connections_max:
            victim = self._victim()
            victim.dismiss("TOO_MANY_CONNECTIONS", "another connection needed the place", "connect again")
            self._leave(victim)
        self._connections[connection] = None
        return peer

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""
        self._connections.pop(connection, None)
        self._leaving.pop(connection, None)
        self._dispatcher.unsubscribe(connection)

    def hear(self, connection: Connection, said: Hello | Request | Refusal) -> None:
        """Act on what a connection said."""
        if isinstance(said, Request):
            self._dispatcher.take(connection, said)
        elif isinstance(said, Hello):
            connection.greeted = True
            connection.heard_at = self.now()
            result = {
                "schema": HELLO_SCHEMA,
                "version": self._version,
                "api": API,
                "role": connection.peer.role.name.lower(),
                "limits": self.limits.told(),
            }
            connection.send(result_line(said.id, result))
        else:
            self._dispatcher.refuse_line(connection, said.line, said.method, said.reason)

    def _victim(self) -> Connection:
        """Return who must go for a newcomer: of the uid that has most connections, the least useful one.

        First whoever has not even said hello, the oldest of them; then the longest idle; then whoever waits for an
        answer; a subscriber last. Nobody can push another user out while holding more places themselves.
        """
        held = Counter(connection.peer.uid for connection in self._connections)
        most = max(held.values())

        def rank(connection: Connection) -> tuple[int, float]:
            if not connection.greeted:
                return 0, connection.opened_at
            if connection.subscription is not None:
                return 3, connection.opened_at
            return (2 if connection.waiting else 1), connection.heard_at

        return min((c for c in self._connections if held[c.peer.uid] == most), key=rank)

    def _leave(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self._leaving[connection] = None

    # -- the clock ---------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Look after everybody's time limits, a few times a second."""
        limits = self.limits
        shortest = min(limits.hello_s, limits.line_s, limits.linger_s, limits.idle_s, limits.heartbeat_s)
        self._the_loop().call_later(min(_SWEEP_S_MAX, shortest / _SWEEPS_PER_LIMIT), self._sweep)
        now = self.now()
        for connection in list(self._connections):
            if connection.closing:
                self._leave(connection)
                continue
            connection.leave_if_gone()
            late = connection.overdue(now)
            if late is not None:
                connection.dismiss(*late)
                self._leave(connection)
                self._dispatcher.note_refusal(connection.peer, "connection", late[0])
        for connection in list(self._leaving):
            if now - connection.closing_at > limits.linger_s:
                connection.abort()
                self._leaving.pop(connection)
        if now >= self._beat_at:
            self._beat_at = now + limits.heartbeat_s
            at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            for connection in self._connections:
                if connection.subscription is not None:
                    connection.subscription.beat(at)
        self._look_for_socket()

    def _look_for_socket(self) -> None:
        """Make the socket again where somebody has taken it away: else nobody could reach this thread any more."""
        now = self.now()
        if self._stopping or now < self._bind_at:
            return
        try:
            if self._path.lstat().st_ino == self._inode:
                self._missed = False
                return
        except OSError:
            pass  # it is not there, or nobody can say
        self._bind_at = now + _BIND_AGAIN_S
        try:
            if not self._path.parent.exists():
                self._make_folder()
            listener = listen(self._path, self._groups.widest)
            self._inode = self._path.lstat().st_ino
        except (OSError, OperatorError) as error:
            if not self._missed:
                self._on_gone(
                    f"the control socket {self._path} is gone and cannot be made again ({error}); tradingctl reaches"
                    " nobody; signals still work, and so does the file KILL where its folder stands",
                    False,
                )
            self._missed = True
            return
        self._listener = listener
        self._moving = self._the_loop().create_task(self._serve())
        self._missed = False
        self._on_gone(
            f"the control socket {self._path} was taken away; it was made again, and until then only signals worked,"
            " and the file KILL where its folder stood",
            True,
        )


async def _turns() -> None:
    """Let connections that were just aborted, or just accepted, hear of it."""
    for _ in range(10):
        await asyncio.sleep(0)
