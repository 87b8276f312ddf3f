"""What becomes of a request: refused, answered here, handed to the core, or a kill.

The order of the checks is the order of what they cost and of what they protect: a kill first (role, latch, answer, and
nothing else), then the rate, the method, the role, the parameters, and only then, a little at a time, anything that
works.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from daemon.control.calls import Call, Desk, Outcome, Peer, Role
from daemon.control.connection import Connection
from daemon.control.flights import Flight, Flights
from daemon.control.latch import KillLatch, NotDurableError
from daemon.control.limits import Audits, Budgets, ServerLimits
from daemon.control.methods import METHODS, Method
from daemon.control.params import Checked, Problem, check_params, find_method, printable, read_leniently
from daemon.control.protocol import Code, Id, Request, error_line, result_line
from daemon.control.subscription import Subscription
from daemon.kernel.errors import OperatorError

Audit = Callable[[str, Peer, str, str], None]
"""Takes kind (``call``, ``kill`` or ``refused``), peer, method and outcome (``ok`` or a code); any thread, quick."""

KILL_SCHEMA: Final = "tradingd.kill/1"
SLICE_S: Final = 0.002
"""How long calls are handed over, or answered, before it is the turn of whatever has come in meanwhile."""
_SAFE: Final = frozenset(name for name, method in METHODS.items() if method.lane == 0)
_CODES: Final = {
    "UNKNOWN_METHOD": Code.UNKNOWN_METHOD,
    "UNKNOWN_PARAM": Code.INVALID_PARAMS,
    "MISSING_PARAM": Code.INVALID_PARAMS,
    "BAD_PARAM": Code.INVALID_PARAMS,
    "FORBIDDEN": Code.FORBIDDEN,
    "BUSY": Code.BUSY,
    "RATE_LIMITED": Code.BUSY,
    "UNKNOWN": Code.UNKNOWN_OUTCOME,
    "NOT_DURABLE": Code.NOT_DURABLE,
    "NOT_READY": Code.NOT_READY,
    "STARTING": Code.NOT_READY,
    "STOPPING": Code.NOT_READY,
    "INTERNAL": Code.INTERNAL,
}
_STARTING: Final = Outcome(
    code="STARTING", message="the daemon is not ready yet; it can be killed already", remedy="try again in a moment"
)
STOPPING: Final = Outcome(
    code="STOPPING", message="the daemon is stopping; it can still be killed", remedy="try again once it is back"
)


class Dispatcher:
    """Acts on requests, on the control thread only."""

    def __init__(
        self,
        latch: KillLatch,
        flights: Flights,
        limits: ServerLimits,
        *,
        audit: Audit,
        problem: Callable[[str], None],
        loop: Callable[[], asyncio.AbstractEventLoop],
    ) -> None:
        """Begin without a desk: only a kill is answered until there is one.

        Args:
            latch: that a kill sets.
            flights: calls on their way.
            limits: see :class:`ServerLimits`.
            audit: see :data:`Audit`.
            problem: takes a sentence about a fault of our own.
            loop: returns the control thread's loop.
        """
        self.desk: Desk | None = None
        self.absent = _STARTING
        self.subscribers = 0
        self._latch = latch
        self._flights = flights
        self._limits = limits
        self._audit = audit
        self._problem = problem
        self._loop = loop
        self._budget = Budgets(limits.requests_per_s, limits.requests_burst)
        self._safe_budget = Budgets(limits.safe_per_s, limits.safe_burst)
        self._audits = Audits(limits.audits_per_s)
        self._reads: deque[tuple[Connection, Id, Call]] = deque()
        self._reading = False
        self._work: tuple[deque[Callable[[], None]], deque[Callable[[], None]]] = (deque(), deque())
        self._working = False
        self._subscriptions = 0

    def take(self, connection: Connection, request: Request) -> None:
        """Act on one request."""
        if request.method == "kill":
            self._kill(connection, request)
            return
        outcome = self._act(connection, request)
        if outcome is not None:
            self.refuse(connection, request.id, request.method, outcome)

    def refuse(self, connection: Connection, request_id: Id, method: str, outcome: Outcome) -> None:
        """Answer with an error that cost nothing, note it, and end a conversation that is nothing but errors."""
        self.refuse_line(connection, _error(request_id, outcome), method, outcome.code)

    def refuse_line(self, connection: Connection, line: bytes, method: str, code: str) -> None:
        """Do the same with a line that the protocol wrote."""
        connection.send(line)
        self.note_refusal(connection.peer, method, code)
        connection.refusals += 1
        if connection.refusals >= self._limits.refusals_max:
            text = f"{connection.refusals} requests in a row were refused"
            connection.dismiss("TOO_MANY_REFUSALS", text, "read the answers before you ask again")

    def note_refusal(self, peer: Peer, method: str, code: str) -> None:
        """Have a refusal journaled, unless there are too many of them."""
        outcome = self._audits.thin(peer.uid, code, self._loop().time())
        if outcome is not None:
            self._note("refused", peer, printable(method), outcome)

    def _note(self, kind: str, peer: Peer, method: str, outcome: str) -> None:
        try:
            self._audit(kind, peer, method, outcome)
        except Exception as error:  # noqa: BLE001 - what was done is done; that it was not noted is told
            self._problem(f"{kind} {method} by {peer.by} ({outcome}) was not noted: {type(error).__name__}: {error}")

    # -- the kill ----------------------------------------------------------------------------------------------------

    def _kill(self, connection: Connection, request: Request) -> None:
        """Set the latch and say so; touch nothing else before."""
        peer = connection.peer
        if peer.role < Role.OPERATOR:
            text = f"kill needs the role operator; you are {peer.role.name.lower()}"
            outcome = Outcome(code="FORBIDDEN", message=text, remedy="ask somebody in the groups of [control]")
            self.refuse(connection, request.id, "kill", outcome)
            return
        again = self._latch.is_set and self._latch.durable
        understood = read_leniently(METHODS["kill"], request.params)
        try:
            self._latch.set(understood.reason or "kill by an operator", peer.by)
        except NotDurableError as error:
            connection.send(error_line(request.id, Code.NOT_DURABLE, "NOT_DURABLE", error.message, remedy=error.remedy))
            self._note("kill", peer, "kill", "NOT_DURABLE")
            return
        result = {
            "schema": KILL_SCHEMA,
            "trading_state": "killed",
            "durable": True,
            "changed": not again,
            "ignored": list(understood.ignored),
        }
        connection.send(result_line(request.id, result))
        connection.refusals = 0
        connection.heard_at = self._loop().time()
        if not again:
            self._note("kill", peer, "kill", "ok")

    # -- everything else -------------------------------------------------------------------------------------------

    def _act(self, connection: Connection, request: Request) -> Outcome | None:
        """Return why a request is refused, or None where it is under way."""
        found = self._checked(connection, request)
        if isinstance(found, Outcome):
            return found
        method, call = found
        if self.desk is None:
            return self.absent
        if connection.waiting >= self._limits.pipeline_max and method.lane != 0:
            text = f"{connection.waiting} requests of this connection wait for their answers"
            return Outcome(code="BUSY", message=text, remedy="read the answers before you ask again")
        connection.heard_at = self._loop().time()
        if method.name == "subscribe":
            return self._subscribe(connection, request.id, call, self.desk)
        connection.waiting += 1
        if method.mutating:
            hand_over = partial(self._hand_over, connection, request.id, method, call, self.desk)
            self._later(hand_over, safe=method.lane == 0)
        else:
            self._reads.append((connection, request.id, call))
            self._read_soon()
        return None

    def _checked(self, connection: Connection, request: Request) -> tuple[Method, Call] | Outcome:
        peer, safe = connection.peer, request.method in _SAFE
        budget = self._safe_budget if safe else self._budget
        if not budget.take(peer.uid, self._loop().time()):
            text = "too many requests a second"
            return Outcome(
                code="RATE_LIMITED", message=text, remedy="wait a moment; halt and kill have room of their own"
            )
        method = find_method(request.method)
        if isinstance(method, Problem):
            return _refused(method)
        if peer.role < Role[method.role.upper()]:
            text = f"{method.name} needs the role {method.role}; you are {peer.role.name.lower()}"
            return Outcome(code="FORBIDDEN", message=text, remedy="ask somebody in the groups of [control]")
        checked = check_params(method, request.params)
        if isinstance(checked, Problem):
            return _refused(checked)
        return method, _call(method, checked, peer)

    def _hand_over(self, connection: Connection, request_id: Id, method: Method, call: Call, desk: Desk) -> None:
        """Give a call to the core; answer when it does, or say that it did not."""
        loop = self._loop()
        limit = method.timeout_s or self._limits.call_s
        answered = False

        def answer(outcome: Outcome) -> None:
            nonlocal answered
            if answered:
                return
            answered = True
            clock.cancel()
            self._answer(connection, request_id, call, outcome)

        def late() -> None:
            text = f"{method.name} was not answered within {limit:g} s; whether it was done is not known"
            remedy = "ask again with the same request_id" if call.request_id else "look before you ask again"
            answer(Outcome(code="UNKNOWN", message=text, remedy=remedy))

        clock = loop.call_later(limit, late)
        call, flight = self._boarded(call, answer, desk)
        if isinstance(flight, Outcome):
            answer(flight)
        elif flight is not None:
            self._submit(flight, call, desk, loop)

    def _boarded(
        self, call: Call, answer: Callable[[Outcome], None], desk: Desk
    ) -> tuple[Call, Flight | Outcome | None]:
        """Return what becomes of a call (:meth:`Flights.board`), and the call as it is handed over."""
        safe = call.method in _SAFE
        try:
            return call, self._flights.board(call, answer, desk.stands, safe=safe)
        except OperatorError as error:  # what was answered under its key cannot be read
            if not safe:
                return call, self._fault(call.method, error)
            # Rather stopped twice than not at all; without a key there is no answer whose place it could take.
            call = msgspec.structs.replace(call, request_id="")
            return call, self._flights.board(call, answer, desk.stands, safe=safe)
        except Exception as error:  # noqa: BLE001 - a fault of one call must not end the control of the daemon
            return call, self._fault(call.method, error)

    def _submit(self, flight: Flight, call: Call, desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        def answer(outcome: Outcome) -> None:
            _soon(loop, self._later, partial(self._flights.land, flight, outcome), flight.safe)

        try:
            desk.submit(call, answer)
        except Exception as error:  # noqa: BLE001 - a fault of one call must not end the control of the daemon
            self._flights.land(flight, self._fault(call.method, error))

    def _answer(self, connection: Connection, request_id: Id, call: Call, outcome: Outcome) -> None:
        self._reply(connection, request_id, outcome)
        self._note("call", call.peer, call.method, outcome.code or "ok")
        connection.answered()

    def _reply(self, connection: Connection, request_id: Id, outcome: Outcome) -> None:
        if outcome.code:
            connection.send(_error(request_id, outcome))
            return
        connection.refusals = 0
        try:
            line = result_line(request_id, outcome.result if outcome.result is not None else {})
        except Exception as error:  # noqa: BLE001 - what cannot be written as JSON is a fault of ours, and is told as one
            line = _error(request_id, self._fault("an answer", error))
        if len(line) > self._limits.answer_bytes_max:
            text = f"the answer has {len(line)} bytes, {self._limits.answer_bytes_max} are sent at most"
            line = _error(request_id, Outcome(code="ANSWER_TOO_LARGE", message=text, remedy="ask with limit or since"))
        connection.send(line)

    def _fault(self, what: str, error: Exception) -> Outcome:
        if isinstance(error, OperatorError):
            field = str(getattr(error, "field", ""))
            return Outcome(code=error.code or "REFUSED", message=error.message, field=field, remedy=error.remedy)
        self._problem(f"{what} failed in the control thread: {type(error).__name__}: {error}")
        text = f"{what} failed: a fault of the daemon ({type(error).__name__})"
        return Outcome(code="INTERNAL", message=text, remedy="it is in the log")

    # -- work that a kill overtakes ------------------------------------------------------------------------------------

    def _later(self, work: Callable[[], None], safe: bool = False) -> None:
        """Hand a call over, or an answer, in its turn: lane 0 first, and a few at a time.

        A thousand orders that come in together, or are answered by one commit, cost a tenth of a second and more; a
        kill that comes meanwhile waits for one slice of it.
        """
        self._work[0 if safe else 1].append(work)
        self._work_soon()

    def _work_soon(self) -> None:
        if not self._working and any(self._work):
            self._working = True
            self._loop().call_soon(self._do_some)

    def _do_some(self) -> None:
        self._working = False
        now = self._loop().time
        until = now() + SLICE_S
        first, others = self._work
        try:
            while first or others:
                (first or others).popleft()()
                if now() >= until:
                    break
        finally:
            self._work_soon()

    # -- reads -------------------------------------------------------------------------------------------------------

    def _read_soon(self) -> None:
        if not self._reading and self._reads:
            self._reading = True
            self._loop().call_soon(self._read_one)

    def _read_one(self) -> None:
        """Answer one read, then let whatever has come in the meantime go first: a kill never waits for two reads."""
        self._reading = False
        connection, request_id, call = self._reads.popleft()
        try:
            if not connection.closing:
                desk = self.desk
                outcome = self.absent if desk is None else self._asked(desk, call)
                self._reply(connection, request_id, outcome)
        finally:
            connection.answered()
            self._read_soon()

    def _asked(self, desk: Desk, call: Call) -> Outcome:
        try:
            return desk.read(call)
        except Exception as error:  # noqa: BLE001 - a fault of one call must not end the control of the daemon
            return self._fault(call.method, error)

    def _subscribe(self, connection: Connection, request_id: Id, call: Call, desk: Desk) -> Outcome | None:
        if connection.subscription is not None:
            text = "this connection is subscribed already"
            return Outcome(code="SUBSCRIBED_ALREADY", message=text, remedy="open another connection")
        if self.subscribers >= self._limits.subscribers_max:
            text = f"{self.subscribers} subscribers are connected, which is the limit"
            return Outcome(code="BUSY", message=text, remedy="close one of them")
        loop = self._loop()
        self._subscriptions += 1
        subscription = Subscription(
            self._subscriptions,
            self._limits.events_max,
            send=connection.send,
            finish=connection.finish,
            soon=lambda callback: _soon(loop, callback),
        )
        subscription.catching_up = True
        try:
            undo = desk.subscribe(call, subscription.push)
        except Exception as error:  # noqa: BLE001 - a fault of one call must not end the control of the daemon
            return self._fault(call.method, error)
        subscription.catching_up = False
        self.subscribers += 1
        connection.subscription = subscription
        connection.unsubscribe = undo
        self._reply(
            connection,
            request_id,
            Outcome({"schema": "tradingd.subscription/1", "subscription": subscription.number}),
        )
        if not connection.stuffed:
            subscription.open()
        return None

    def unsubscribe(self, connection: Connection) -> None:
        """End the subscription of a connection that is gone."""
        subscription, undo = connection.subscription, connection.unsubscribe
        connection.subscription = connection.unsubscribe = None
        if subscription is None or undo is None:
            return
        subscription.close()
        self.subscribers -= 1
        try:
            undo()
        except Exception as error:  # noqa: BLE001 - the subscriber is gone either way
            self._problem(f"a subscription could not be undone: {type(error).__name__}: {error}")


def _soon(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: Any) -> None:
    """Have something called on the control thread; when that has ended, there is nobody left to tell."""
    try:
        loop.call_soon_threadsafe(callback, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise


def _call(method: Method, checked: Checked, peer: Peer) -> Call:
    return Call(method.name, checked.params, peer, checked.reason, checked.request_id)


def _refused(problem: Problem) -> Outcome:
    return Outcome(code=problem.reason, message=problem.message, field=problem.field, remedy=problem.remedy)


def _error(request_id: Id, outcome: Outcome) -> bytes:
    number = _CODES.get(outcome.code, Code.REFUSED)
    return error_line(request_id, number, outcome.code, outcome.message, outcome.field, outcome.remedy)
