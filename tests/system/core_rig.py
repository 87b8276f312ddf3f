"""A core loop under a test's hand: real core, ledger, latch, intake and threads, in a folder of its own.

What ends with the ``async with`` ends as by SIGKILL: nothing is sealed, nothing waits for its commit.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import msgspec
import numpy as np

from actors.alerter.actor import AlerterActor
from actors.alerter.params import AlertParams
from actors.api import PanelWindow, Params, Scores, spec_of, strategy
from actors.broker.params import BrokerParams
from actors.messages.alerts import AlertRaised
from actors.messages.catalogue import MARKET, codec
from actors.messages.inference import InferenceRequested
from actors.messages.market import BarPanel, SessionClosed, SessionOpened, TradingStatus
from actors.messages.portfolio import DepositCash
from actors.portfolio.params import PortfolioSpec
from actors.predictor.binding import StrategyBinding
from actors.predictor.registry import bind_spec
from actors.risk.params import RiskLimits
from actors.values import Session, Universe, parse_interval
from daemon.control.calls import Call, Outcome, Peer, Role
from daemon.control.latch import KillLatch
from daemon.journal.batch import NO_FAULTS, Faults, KeptReply
from daemon.journal.journal import Manifest
from daemon.journal.market_codec import MarketCodec
from daemon.journal.opened import OpenedLedger, RecordedInput
from daemon.journal.recovery import open_ledger
from daemon.journal.writer import LedgerWriter
from daemon.kernel.actor import Frame
from daemon.kernel.clock import VirtualClock
from daemon.kernel.mailbox import Lane
from daemon.kernel.message import Event, Market, Message
from daemon.system.board import Board, build_board
from daemon.system.board_facts import ShellFacts
from daemon.system.boards import Boards
from daemon.system.composition import CoreSpec
from daemon.system.core_loop import CoreLoop
from daemon.system.core_ports import Input, Pending
from daemon.system.desk import Standing, command_of, params_digest, reply_key, reply_of
from daemon.system.edges import Deliveries, GatedFeed
from daemon.system.intake import ArrivalClock, FreeIntake, GatedIntake, MarketQueue, Pace
from daemon.system.live_core import LiveCore
from daemon.system.start import read_ledger

OPEN: Final = 1_577_975_400_000_000_000  # 2020-01-02T14:30:00Z
MINUTE: Final = 60_000_000_000
DAY: Final = 24 * 60 * MINUTE
CASH: Final = 1_000_000 * 10**8
SYMBOLS: Final = ("AAPL", "MSFT", "SPY")
DEADLINE_S: Final = 20.0
LIMITS: Final = RiskLimits(
    replay=False, daily_loss_warn=0.0, daily_loss_block=0.0, daily_loss_halt=0.0, max_drawdown=0.0
)
"""Losses stop nothing here."""


# -- a world -----------------------------------------------------------------------------------------------------------


@strategy(lookback=1, horizon=1, fields=("open",))
def churn(w: PanelWindow, p: Params) -> Scores:
    """Follow the last bar: bars that alternate make an order of every bar."""
    score = np.sign(w.close[-1] - w.open[-1])
    return Scores(score, confidence=np.where(np.isfinite(score), 0.95, np.nan))


def churning() -> StrategyBinding:
    """Return the strategy that trades with every bar."""
    spec = spec_of(churn)
    assert spec is not None
    return bind_spec(spec)


def core_spec(*bindings: StrategyBinding, limits: RiskLimits | None = None) -> CoreSpec:
    """Return a core on minute bars of three symbols, without costs or exits of its own."""
    names = tuple(binding.name for binding in bindings)
    return CoreSpec(
        universe=Universe(SYMBOLS),
        interval=parse_interval("1m"),
        bindings=bindings,
        decision_interval=None,
        broker=BrokerParams(),
        limits=limits or LIMITS,
        portfolios=(PortfolioSpec("main", CASH, strategies=names, rebalance="signal", min_weight=0.0),),
        seed=7,
    )


def bars(sessions: int = 1, minutes: int = 20, *, first: int = 0) -> list[Market]:
    """Return sessions of minute bars whose prices go up and down in turn."""
    inputs: list[Market] = []
    for number in range(first, first + sessions):
        opens = OPEN + number * DAY
        session = Session(20200102 + number, opens, opens + 390 * MINUTE, number)
        inputs.append(SessionOpened(opens, session))
        inputs += [bar(session, minute) for minute in range(minutes)]
        inputs.append(SessionClosed(session.close_ts, session))
    return inputs


def quiet(count: int, *, after: int = 6) -> list[TradingStatus]:
    """Return market data that cause nothing."""
    return [TradingStatus(OPEN + after * MINUTE + n, 0, "trading", n) for n in range(count)]


def bar(session: Session, minute: int) -> BarPanel:
    """Return the bar of a minute of a session."""
    start = session.open_ts + minute * MINUTE
    before = np.array([100.0, 50.0, 300.0]) + (0.2 if minute % 2 else 0.0)
    close = np.array([100.0, 50.0, 300.0]) + (0.0 if minute % 2 else 0.2)
    return BarPanel(
        ts=start + MINUTE,
        start_ts=start,
        session=session.date,
        daily=False,
        ids=np.arange(3, dtype=np.int32),
        dense=True,
        open=before,
        high=np.maximum(before, close),
        low=np.minimum(before, close),
        close=close,
        close_fx=np.rint(close * 1e8).astype(np.int64),
        volume=np.full(3, 1e6),
    )


def behind(inputs: Sequence[Market], core: LiveCore) -> Iterator[Market]:
    """Return a recording from behind the last input that a core has taken."""
    seen = 0
    for panel in inputs:
        if panel.ts > core.feed_ts:
            yield panel
        elif panel.ts == core.feed_ts:
            seen += 1
            if seen > core.feed_n:
                yield panel


# -- what hears of commits ---------------------------------------------------------------------------------------------


class Outside:
    """Keeps what is released, and asks the models' pool."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.commits: list[Pending] = []
        self.troubles: list[tuple[str, str]] = []
        self.rooms = 0
        self.make_room: Callable[[], object] = lambda: None
        self.ask: Callable[[InferenceRequested], None] = lambda _: None
        self.alerts: Callable[[list[Any]], None] = lambda _: None

    def durable(self, pending: Pending) -> None:
        """Nobody asks for the head."""

    def committed(self, pending: Pending, core: LiveCore) -> None:
        """Take what one commit released."""
        del core
        self.commits.append(pending)
        self.frames += pending.batch.frames
        for event in self.events_of(pending):
            if isinstance(event, InferenceRequested):
                self.ask(event)
        self.alerts(pending.batch.outbox)

    @staticmethod
    def events_of(pending: Pending) -> list[Event]:
        """Return the events of a commit."""
        return [event for frame in pending.batch.frames for event in frame.events]

    def trouble(self, what: str, sentence: str) -> None:
        """Note it."""
        self.troubles.append((what, sentence))

    def room(self) -> None:
        """Make room where the test knows how."""
        self.rooms += 1
        self.make_room()

    @property
    def kinds(self) -> list[str]:
        """Return what was troubled about."""
        return [what for what, _ in self.troubles]


class Fault:
    """A site of the commit where something happens, on whatever thread it lies; and a way to wait for it."""

    def __init__(self) -> None:
        self.actions: dict[str, Callable[[], object]] = {}
        self.visits: dict[str, int] = {}
        self.lock = threading.Lock()
        self.moved: Callable[[], object] = lambda: None

    def __call__(self, place: str) -> None:
        """Visit a site."""
        with self.lock:
            self.visits[place] = self.visits.get(place, 0) + 1
            action = self.actions.get(place)
        if action is not None:
            action()
        self.moved()

    def once(self, place: str, action: Callable[[], object]) -> None:
        """Do something at the next visit of a site."""

        def act() -> None:
            with self.lock:
                del self.actions[place]
            action()

        self.actions[place] = act

    def fail(self, place: str, error: int) -> Callable[[], None]:
        """Fail with an error number at every visit, until the returned function is called."""

        def act() -> None:
            raise OSError(error, os.strerror(error))

        self.actions[place] = act
        return lambda: self.actions.pop(place) and None

    def hold(self, place: str) -> Gate:
        """Stop the next visitor of a site; it waits until the gate is opened."""
        gate = Gate(self.moved)
        self.once(place, gate.pass_through)
        return gate


class Gate:
    """Where a thread waits for the test, and the test for the thread."""

    def __init__(self, moved: Callable[[], object]) -> None:
        self.reached = threading.Event()
        self._moved = moved
        self._open = threading.Event()

    def pass_through(self) -> None:
        """Say that it is reached; wait until it is opened."""
        self.reached.set()
        self._moved()
        assert self._open.wait(DEADLINE_S)

    def open(self) -> None:
        """Let the thread go on."""
        self._open.set()

    async def wait(self) -> None:
        """Wait until the thread is there."""
        assert await anyio.to_thread.run_sync(self.reached.wait, DEADLINE_S)


class Foreign:
    """Another process's connection to the ledger."""

    def __init__(self, state_dir: Path) -> None:
        self.db = sqlite3.connect(state_dir / "ledger.db", isolation_level=None, timeout=0, check_same_thread=False)

    def __enter__(self) -> None:
        """Take the write lock."""
        self.db.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        """Let go."""
        self.db.execute("ROLLBACK")
        self.db.close()


# -- the rig -----------------------------------------------------------------------------------------------------------


class Sent:
    """A command on its way; ``outcomes`` holds every answer it was given."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._done = anyio.Event()

    def answer(self, outcome: Outcome) -> None:
        """Take an answer."""
        self.outcomes.append(outcome)
        self._done.set()

    async def wait(self) -> Outcome:
        """Return the answer."""
        with anyio.fail_after(DEADLINE_S):
            await self._done.wait()
        return self.outcomes[0]

    @property
    def code(self) -> str:
        """Return the code of the one answer."""
        assert len(self.outcomes) == 1, self.outcomes
        return self.outcomes[0].code


class Cores:
    """Builds cores and folds them from what is durable, as the start does where the configuration never changed."""

    def __init__(self, spec: CoreSpec, *, free: bool) -> None:
        self._spec = spec
        self._free = free

    def empty(self) -> LiveCore:
        """Return a core that has seen nothing."""
        return LiveCore(self._spec, VirtualClock(), AlerterActor(self._spec.universe, AlertParams(), daemon=True))

    def fold(self, ledger: OpenedLedger) -> LiveCore:
        """Return a core folded up to the last durable input; its clock stands there."""
        core = self.empty()
        newest = next(ledger.snapshots(), None)
        if newest is not None:
            core.restore(newest, lambda count: ledger.panels_before(newest.seq + 1, count))
        else:
            core.sequencer.rewarm(ledger.panels_before(1, 1_000_000))
        for row in ledger.inputs(core.sequencer.seq):
            if row.seq == 1:
                core.move_clock(row.ts)
                core.sequencer.start()
            core.refold(row.seq, row.ts, row.ts_event, row.source, row.body, row.events)
        core.sequencer.rearm()
        last = core.sequencer.last_ts
        core.clock = core.sequencer.clock = ArrivalClock(last) if self._free else VirtualClock(last)
        return core


def shell_facts() -> ShellFacts:
    """Return what a shell without a past knows."""
    return ShellFacts(version="1", run_id="r", mode="playback", started_ns=0, commit_ns=0, seq=0)


class Rig:
    """One life of a core; see :func:`rig`."""

    loop: CoreLoop
    intake: GatedIntake | FreeIntake
    writer: LedgerWriter
    latch: KillLatch
    factory: Cores
    deliveries: Deliveries
    cancel: Callable[[], None]

    def __init__(self, state_dir: Path, spec: CoreSpec) -> None:
        self.state_dir = state_dir
        self.spec = spec
        self.outside = Outside()
        self.board_failures: list[Exception] = []
        self.boards = Boards(self._board, shell_facts, lambda: self.state, failed=self.board_failures.append)
        self.rebuilt: list[int] = []
        self.number = 0
        self._moved = anyio.Event()

    def _board(self, facts: ShellFacts) -> Board:
        return build_board(self.core.core, self.spec.universe, facts)

    def moved(self) -> None:
        """Something happened: whoever waits for a condition looks again."""
        self._moved.set()

    @property
    def core(self) -> LiveCore:
        """The core that decides."""
        return self.loop.core

    @property
    def state(self) -> str:
        """The trading state."""
        return str(self.core.core.risk.trading_state)

    # -- commands ------------------------------------------------------------------------------------------------------

    def send(self, method: str, *, key: str = "", lane: Lane = Lane.COMMAND, **params: Any) -> Sent:
        """Put a call in as the desk does."""
        self.number += 1
        call = Call(method, params, Peer(7, 7, 4242, Role.ADMIN), "a test", key or f"k{self.number}")
        command = command_of(call, self.spec.universe, tuple(p.name for p in self.spec.portfolios))
        return self.put(command, call=call, lane=lane)

    def put(
        self, body: Message, *, call: Call | None = None, lane: Lane = Lane.COMMAND, source: str = "control"
    ) -> Sent:
        """Put an input in."""
        sent = Sent()
        item = Input(body, source, call=call, answer=sent.answer)
        if not self.loop.offer(item, lane):
            item.reply(Outcome(code="BUSY"))
        return sent

    def tell(self, fact: Message) -> None:
        """Put in a fact of the daemon's own, which nobody waits for."""
        assert self.loop.offer(Input(fact, "shell"), Lane.COMMAND)

    async def call(self, method: str, **params: Any) -> Outcome:
        """Put a call in and wait for its answer."""
        return await self.send(method, **params).wait()

    async def order(self, **params: Any) -> Outcome:
        """Submit an order."""
        return await self.call("order.submit", **{"symbol": "AAPL", "side": "buy", "qty": 10} | params)

    def order_soon(self, **params: Any) -> Sent:
        """Submit an order; do not wait."""
        return self.send("order.submit", **{"symbol": "AAPL", "side": "buy", "qty": 10} | params)

    async def kill(self, reason: str = "a test") -> None:
        """Kill as the control thread does: from another thread, returning when it is acknowledged."""
        await anyio.to_thread.run_sync(self.latch.set, reason, "uid 7")

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool], what: str = "") -> None:
        """Wait for something that the loop, the ledger's thread or a delivery brings about."""
        try:
            with anyio.fail_after(DEADLINE_S):
                while not condition():
                    self._moved = anyio.Event()
                    await self._moved.wait()
        except TimeoutError as error:
            raise AssertionError(f"it did not come about: {what or condition}") from error

    async def settle(self) -> None:
        """Wait until everything that came in is processed and durable."""
        await self.until(self._is_settled, "a settled loop")

    def _is_settled(self) -> bool:
        feed_done = self.intake.queue.ended and not self.intake.queue.items and self.intake.exhausted
        return feed_done and not self.loop.depth and self.loop.settled and not len(self.loop.lanes)

    # -- what is on disk -----------------------------------------------------------------------------------------------

    def recorded(self) -> list[RecordedInput]:
        """Return every durable input, tape and ledger merged."""
        return recorded(self.state_dir)

    def refolded(self) -> LiveCore:
        """Return a core folded from what is durable, by the newest snapshot."""
        ledger = read_ledger(self.state_dir)
        try:
            return self.factory.fold(ledger)
        finally:
            ledger.close()

    def check_refold(self) -> None:
        """Hold the running core against one that a restart would make: equal to the last byte."""
        assert not self.loop.depth
        assert image(self.refolded()) == image(self.core)


def image(core: LiveCore) -> tuple[bytes, bytes, int]:
    """Return everything that a core knows; taking it changes nothing."""
    at, seq = core.events_at_snapshot, core.snapshot_seq
    row = core.snapshot()
    core.events_at_snapshot, core.snapshot_seq = at, seq
    return row.core, row.edge, row.seq


def recorded(state_dir: Path) -> list[RecordedInput]:
    """Return every durable input, tape and ledger merged."""
    ledger = read_ledger(state_dir)
    try:
        return list(ledger.inputs(0))
    finally:
        ledger.close()


def events(rows: Sequence[RecordedInput], *kinds: type[Event]) -> list[Event]:
    """Return the events of some kinds, in order."""
    return [event for row in rows for event in row.events if isinstance(event, kinds)]


def market_inputs(rows: Sequence[RecordedInput]) -> list[tuple[int, str]]:
    """Return time and kind of every market input, in order."""
    return [(row.body.ts, type(row.body).__name__) for row in rows if isinstance(row.body, Market)]


def manifest_of_a_run() -> Manifest:
    """Return a manifest such as each start writes; only its run id differs."""
    return Manifest(
        os.urandom(8).hex(), "0", "playback", 7, {}, "0" * 64, {}, {"symbols": SYMBOLS}, "2024-01-02T14:30:00Z"
    )


def loop_of(one: Rig, core: LiveCore, snapshot_events: int, batch_frames: int, faults: Faults) -> CoreLoop:
    """Wire the loop of a rig that has its intake, writer and latch."""

    def rebuild() -> LiveCore:
        one.rebuilt.append(one.core.sequencer.seq)
        return one.refolded()

    def reply(call: Call, command: Message, found: list[Any]) -> Outcome:
        risk = one.core.core.risk
        return reply_of(call, command, found, Standing(risk.trading_state, risk.state_reason))

    return CoreLoop(
        core,
        intake=one.intake,
        writer=one.writer,
        latch=one.latch,
        outlet=one.outside,
        rebuild=rebuild,
        reply_of=reply,
        keep_reply=keep_reply,
        snapshot_events=snapshot_events,
        batch_frames=batch_frames,
        window=one.boards,
        faults=faults,
    )


@asynccontextmanager
async def rig(  # noqa: PLR0915 - wiring is a list
    state_dir: Path,
    inputs: Sequence[Market] = (),
    *,
    spec: CoreSpec | None = None,
    faults: Faults = NO_FAULTS,
    snapshot_events: int = 50_000,
    batch_frames: int = 1_000,
    latency_ns: int = 0,
    pace: Pace | None = None,
    capacity: int = 2_000,
    jitter: Callable[[], Awaitable[None]] | None = None,
    feed: bool = True,
    free: bool = False,
    first: Sequence[Input] = (),
    channels: Sequence[Any] = (),
    prepare: Callable[[Rig], None] = lambda _: None,
    unobserved: bool = False,
) -> AsyncIterator[Rig]:
    """Open a state folder, recover, and let the loop turn; leaving it is a crash.

    ``latency_ns`` is that of models' answers, ``capacity`` the queue's; ``jitter`` is awaited before each input.
    Without ``feed`` the test puts inputs itself; ``free`` stamps them as they arrive, at full speed. ``first`` goes in
    behind the deposits of a fresh ledger, ``prepare`` is called before anything turns, ``unobserved`` keeps the loop's
    own errors.
    """
    state_dir.mkdir(exist_ok=True)  # noqa: ASYNC240 - nothing else runs yet
    one = Rig(state_dir, spec or core_spec())
    opened = open_ledger(state_dir, codec(), MarketCodec(MARKET))
    one.latch = KillLatch.open(state_dir / "kill.latch", fresh=opened.fresh)
    one.factory = Cores(one.spec, free=free)
    core = one.factory.fold(opened)
    one.writer = await LedgerWriter.open(
        state_dir,
        codec=codec(),
        market=MarketCodec(MARKET),
        manifest=manifest_of_a_run(),
        opened=opened,
        faults=faults,
        overtaken=one.latch.overtaken,
    )
    one.latch.commit_in_flight = lambda: one.writer.committing
    queue = MarketQueue(capacity)
    gated = GatedIntake(core, queue, pace or Pace(None), latency_ns=latency_ns)
    one.intake = FreeIntake(core, queue, core.clock) if free else gated
    one.loop = loop_of(one, core, snapshot_events, batch_frames, faults)
    one.deliveries = Deliveries(list(channels), opened.outbox_pending(), one.loop.keep)
    if channels:
        one.outside.alerts = one.deliveries.add
    running = asyncio.get_running_loop()
    watch_steps(one)
    if isinstance(faults, Fault):
        faults.moved = lambda: running.call_soon_threadsafe(one.moved)
    one.latch.wake = lambda: running.call_soon_threadsafe(one.loop.wake) and None
    fresh = not core.sequencer.seq
    begin = [Input(DepositCash("main", CASH, "opening deposit"), "control", at=OPEN)] if fresh else []
    core.move_clock(OPEN if fresh else None)
    one.loop.begin([*begin, *first])
    prepare(one)
    failure: BaseException | None = None

    async def turn() -> None:
        nonlocal failure
        try:
            await one.loop.run(lambda: None)
        except Exception as error:  # noqa: BLE001 - raised below
            failure = error
            if not unobserved:
                group.cancel_scope.cancel()
        finally:
            one.moved()

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(turn)
            if feed:
                reader = GatedFeed(queue, lambda: behind(inputs, one.core), one.loop.wake)
                group.start_soon(reader.run, lambda: None, jitter)
            if channels:
                group.start_soon(one.deliveries.run, one.moved)
            one.cancel = group.cancel_scope.cancel
            yield one
            group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await one.writer.close()
        opened.close()
        one.latch.close()
    if failure is not None and not unobserved:
        raise failure


def watch_steps(one: Rig) -> None:
    """Let whoever waits look again after each step of the loop."""
    step = one.loop._step

    def watched() -> float | None:
        try:
            return step()
        finally:
            one.moved()

    one.loop._step = watched  # type: ignore[method-assign]


def keep_reply(call: Call, outcome: Outcome, seq: int, ts: int) -> KeptReply | None:
    """Keep what a client was told, as the shell does."""
    key = reply_key(call)
    return KeptReply(key, call.method, params_digest(call), msgspec.json.encode(outcome), seq, ts) if key else None


class Phone:
    """A channel that fails until it is told to work."""

    name = "phone"

    def __init__(self, *, works: bool = True) -> None:
        self.works = works
        self.heard: list[AlertRaised] = []
        self.tried = 0

    def deliver(self, alert: AlertRaised) -> None:
        """Take an alert."""
        self.tried += 1
        if not self.works:
            raise ConnectionError("nobody answers")
        self.heard.append(alert)
