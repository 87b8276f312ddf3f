"""The daemon once its loop turns: the parts, wired, and the tree that supervises them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec

from actors.alerter.delivery import Channel
from actors.messages.control import DisableStrategy, Halt, Reduce
from actors.messages.market import GapDetected
from actors.messages.risk import TradingStateChanged
from actors.messages.runtime import MachineTrouble
from actors.predictor.pool.host import RefusedModel
from actors.reporter.actor import ReporterActor
from actors.values.time import format_ts
from daemon.journal.journal import Manifest
from daemon.journal.writer import LedgerWriter
from daemon.kernel.errors import InvariantError
from daemon.kernel.mailbox import Lane
from daemon.kernel.message import Market, Message
from daemon.service.systemd import Notifier
from daemon.service.watchdog import Backlog, Check, CorePing
from daemon.supervision.errors import EscalatedError
from daemon.supervision.events import ActorFailed, ActorStuck, Escalated, SupervisionEvent
from daemon.supervision.supervisor import StartContext, Supervisor
from daemon.system.board import Board, build_board
from daemon.system.board_facts import ActorFact, FeedFact, ShellFacts
from daemon.system.board_measures import Measurer
from daemon.system.boards import BOARD_S, Boards
from daemon.system.core_loop import CoreLoop
from daemon.system.core_ports import Input
from daemon.system.desk import Standing, params_digest, reply_key, reply_of
from daemon.system.edges import Deliveries, FreeFeed, GatedFeed, Inference, seen_from
from daemon.system.first_inputs import BY, FEED, first_inputs, halts_of_the_start
from daemon.system.house import HOUSE_S, House
from daemon.system.intake import FreeIntake, GatedIntake, MarketQueue, Pace
from daemon.system.live_core import LiveCore
from daemon.system.live_desk import LiveDesk
from daemon.system.news import text_models
from daemon.system.outlet import LiveOutlet
from daemon.system.overruns import Overruns
from daemon.system.own_words import OwnWords
from daemon.system.pools import live_pool
from daemon.system.prepare import Prepared
from daemon.system.records import Records
from daemon.system.start import Reader, pace_of, read_ledger, resume_of
from daemon.system.tree import build_tree

FIRST_S: Final = 2.0
"""How long what has to go in first may keep a daemon from being ready."""
PING_S: Final = 2.0
"""How long the core may leave the watchdog's question unanswered before pings stop; WatchdogSec is on top."""
COMMIT_STUCK_S: Final = 20.0


class Running:
    """See the module."""

    def __init__(
        self,
        prepared: Prepared,
        writer: LedgerWriter,
        manifest: Manifest,
        *,
        channels: list[Channel],
        notifier: Notifier,
        watchdog_s: float | None,
        log: Any,
    ) -> None:
        """Wire the parts; nothing turns yet."""
        self.prepared = prepared
        self.writer = writer
        self.manifest = manifest
        self.settings = settings = prepared.settings
        self.notifier = notifier
        self.log = log
        self.mode = manifest.mode
        self.queue = MarketQueue()
        self.ready = False
        self.sealed = False
        data = prepared.data
        models = [binding.model for binding in data.spec.bindings]
        texts = text_models(settings, data.spec.sentiment)
        pool = live_pool(settings, models, texts)
        self.inference = Inference(pool, self._answered, self._host_trouble, self._host_refuses)
        self.deliveries = Deliveries(channels, prepared.opened.outbox_pending(), self._keep)
        self.reporter = ReporterActor()
        self.overruns = Overruns(settings.predictor.call_budget_ms, settings.predictor.call_overruns_max, self._disable)
        self.boards = Boards(
            self._board,
            self.facts,
            lambda: self.loop.core.core.risk.trading_state,
            failed=lambda error: self.log.error("no board", exc_info=error),
        )
        spec, rf = data.spec, float(settings.reporter.risk_free_rate)
        sessions = spec.limits.var_sessions
        self._measurer = Measurer(spec.universe, prepared.scenarios, spec.seed, rf, sessions)
        self.degraded: dict[str, None] = {}
        self._first_upto = 0
        self.own = OwnWords(lambda: self.loop)
        self.house = House(self)
        self._pace = Pace(pace_of(settings), runs_on=self.free_running)
        self._watchdog_s = watchdog_s
        self.desk: LiveDesk
        self.outlet: LiveOutlet
        self.loop: CoreLoop
        self.intake: GatedIntake | FreeIntake
        self.root: Supervisor
        self.control_lost = ""
        self._feed_scope: anyio.CancelScope | None = None
        self.missed_until: int | None = None
        """Until when a start has told that nothing was seen: from then on everything is, however long it takes."""

    # -- wiring ------------------------------------------------------------------------------------------------------

    @property
    def state_dir(self) -> Path:
        """The state folder."""
        return self.prepared.state_dir

    @property
    def unchecked_before(self) -> int:
        """Rows up to this seq were not looked at by the start; 0 where all were."""
        return self.prepared.opened.unchecked_before

    @property
    def stalled(self) -> str:
        """Why nothing can be written at the moment, or ""."""
        return self.loop.stalled

    @property
    def warmup_rows(self) -> int:
        """Bars before a snapshot that a start needs."""
        return max((actor.warmup_rows() for actor in self.loop.core.sequencer.routing.actors), default=0)

    @property
    def free_running(self) -> bool:
        """Whether inputs are stamped when they arrive."""
        return self.settings.feed.playback.free_running

    def wire(self, desk: LiveDesk, outlet: LiveOutlet) -> None:
        """Take the desk and the outlet, which need each other and us."""
        self.desk = desk
        self.outlet = outlet
        self._new_loop(self.prepared.core)
        self.records = Records(self)
        self.root = build_tree(self)
        self.boards.now()  # nothing turns yet: what stands is what is durable

    def _new_loop(self, core: LiveCore) -> None:
        """Build a core loop around a core, at the start and whenever the core child is started again."""
        self._read_anew()
        latency_ns = self.settings.predictor.latency_ms * 1_000_000
        if self.free_running:
            self.intake = FreeIntake(core, self.queue, core.clock)
        else:
            self.intake = GatedIntake(core, self.queue, self._pace, latency_ns=latency_ns)
        self.loop = CoreLoop(
            core,
            intake=self.intake,
            writer=self.writer,
            latch=self.prepared.latch,
            outlet=self.outlet,
            rebuild=self.rebuild,
            reply_of=self._reply,
            keep_reply=_keep_reply,
            snapshot_events=self.settings.journal.snapshot_events,
            batch_frames=self.settings.journal.commit_batch,
            window=self.boards,
            faults=self.prepared.options.faults,
        )
        self.overruns.watch(core.core.predictor)

    def _read_anew(self) -> None:
        """Let go of what the feed has read ahead: it belongs behind a place that is no more.

        Into a new queue: a reader that is just being woken may put once more before it hears that it has ended.
        """
        if self._feed_scope is not None:
            self._feed_scope.cancel()
        last_taken_ns = self.queue.last_taken_ns
        self.queue = MarketQueue()
        self.queue.last_taken_ns = last_taken_ns

    def rebuild(self) -> LiveCore:
        """Fold a new core from what is durable now."""
        ledger = read_ledger(self.prepared.state_dir)
        try:
            core = self.prepared.factory.fold(Reader(ledger))
        finally:
            ledger.close()
        self.overruns.watch(core.core.predictor)
        self.inference.ask_again(core.questions)
        self.log.warning("core rebuilt", seq=core.sequencer.seq, refolded=self.prepared.factory.refolded)
        return core

    def _reply(self, call: Any, command: Message, events: list[Any]) -> Any:
        risk = self.loop.core.core.risk
        return reply_of(call, command, events, Standing(risk.trading_state, risk.state_reason))

    def first_inputs(self) -> list[Input]:
        """Return what has to go in before anything else, after a start of the process or of the core alone."""
        inputs, seq = first_inputs(self), self.loop.core.sequencer.seq
        if not self._first_upto or seq < self._first_upto:
            inputs += halts_of_the_start(self)
            self._first_upto = seq + len(inputs)
        return inputs

    async def show_the_start(self) -> None:
        """Return once what had to go in first is durable, and shown: so that whoever is told of a daemon sees its halt.

        Only so long: where the ledger is held or full there is a daemon all the same, that can be asked and killed.
        """
        with anyio.move_on_after(FIRST_S):
            await self.boards.reached(self._first_upto)
        self.boards.renew()

    # -- tree --------------------------------------------------------------------------------------------------------

    async def run_core(self, context: StartContext) -> None:
        """Run the core loop; built anew from ledger and tape when it was started before."""
        if context.restarts:
            self._new_loop(self.rebuild())
        self.loop.begin(self.first_inputs())
        self.own.say_again()
        self.inference.ask_again(self.loop.core.questions)
        context.started()
        await self.loop.run(context.beat)

    async def run_feed(self, context: StartContext) -> None:
        """Read the recording; from another place when the core was built anew."""
        context.started()
        while True:
            with anyio.CancelScope() as scope:
                self._feed_scope = scope
                await self._feed(context)
            if not scope.cancelled_caught:
                return

    async def _feed(self, context: StartContext) -> None:
        self.queue.items.clear()
        self.queue.ended = False
        jitter = self.prepared.options.jitter
        if self.free_running:
            if self._pace.speed is not None:
                self._pace.begin(self.loop.core.clock.now())
            feed = FreeFeed(self.queue, self._recorded, self.wake, self._pace, self._gap)
            await feed.run(context.beat, jitter)
        else:
            await GatedFeed(self.queue, self._recorded, self.wake).run(context.beat, jitter)

    def _recorded(self) -> Iterator[Market]:
        """Return the recording from behind the last input that was taken; free-running leaves out what is over."""
        core = self.loop.core
        inputs = self.prepared.data.recording.inputs(resume_of(core))
        if not self.free_running or self._pace.speed is None or not core.feed_n:
            return inputs
        now, self.missed_until = self.missed_until, None
        if now is None:  # the reader alone was started again: nobody has told yet what that cost
            now = core.clock.now()
            self._gap(core.feed_ts, now)
        return seen_from(inputs, now)

    def supervised(self, event: SupervisionEvent) -> None:
        """Hear of what happens to the children."""
        name = type(event).__name__
        fields = {k: v for k, v in msgspec.structs.asdict(event).items() if k not in {"ts", "error"}}
        if isinstance(event, ActorFailed):
            self.log.error("actor failed", exc_info=event.error, **fields)
            if not isinstance(event.error, EscalatedError):  # that was told when it gave up, and worse than this
                self.tell(MachineTrouble(f"actor:{event.actor}", f"actor {event.actor} failed: {event.reason}"))
        elif isinstance(event, Escalated):
            self.log.error("supervisor gives up", **fields)
            self._gave_up(event)
        elif isinstance(event, ActorStuck):
            self.log.error("actor does not end", **fields)
        else:
            self.log.debug("supervision", kind=name, **fields)
        if self.ready:
            self.outlet.dirty = True

    def _gave_up(self, event: Escalated) -> None:
        if event.supervisor == "market":
            self.command(Halt(f"no market data: {event.reason}", BY))
        elif event.supervisor == "admin":
            self.desk.give_up_errands(event.reason)
            self.command(Reduce(f"the control surface is lost: {event.reason}", BY))
        elif event.supervisor == "inference":
            self.inference.give_up()
        sentence = f"{event.supervisor} gives up: {event.reason}"
        self.tell(MachineTrouble(f"actor:{event.supervisor}", sentence, critical=True))

    def command(self, message: Message) -> None:
        """Put a command of the daemon's own in front of the core."""
        self.own.say(message, Lane.CONTROL)

    def tell(self, fact: Message) -> None:
        """Let the core, the alerter and the record know of a fact about the machine."""
        self.own.say(fact, Lane.COMMAND)

    def trouble(self, what: str, sentence: str, *, critical: bool = False) -> None:
        """Record something about the machine that people should hear of."""
        self.log.warning(what, detail=sentence)
        self.tell(MachineTrouble(what, sentence, critical))

    def _gap(self, since: int, until: int) -> None:
        """Free-running: the recording ran on and nobody saw it."""
        self.log.warning("market data were missed", since=format_ts(since), until=format_ts(until))
        # Not again later: a core that is built anew finds the gap in its own record.
        self.own.say_once(GapDetected(until, FEED, since, until), Lane.COMMAND)

    # -- children ----------------------------------------------------------------------------------------------------

    def _answered(self, answer: Any) -> None:
        self.intake.answered(answer)
        self.loop.wake()

    def _host_trouble(self, reason: str) -> None:
        """Tell people that the inference host cannot be used; that it can again is worth a line of the log."""
        if reason:
            self.trouble("inference_host", f"{reason}; the daemon computes what it can itself, and holds elsewhere")
        else:
            self.log.info("the inference host answers again")

    def _host_refuses(self, refused: RefusedModel) -> None:
        """Tell people of a model that is not computed as it should be: not installed at the host, or damaged."""
        who = "the daemon computes it itself" if refused.here else "nobody computes it, which means hold"
        if self.settings.predictor.pool == "host":
            said = f"the inference host refuses {refused.model_id}, so {who}"
        else:
            said = f"{refused.model_id} gives no answer, which means hold"
        self.trouble("inference_model", f"{said}: {refused.reason}")

    def _keep(self, rows: list[Any]) -> None:
        self.loop.keep(rows)

    def _disable(self, strategy: str, reason: str) -> None:
        """Switch a slow strategy off where time is real; a gated playback keeps the facts of its replay."""
        if not self.free_running:
            self.trouble("slow_strategy", f"strategy {strategy}: {reason}; live it would be switched off")
            return
        self.command(DisableStrategy(strategy, reason, BY))

    async def watch_reporter(self, beat: Callable[[], None]) -> None:
        """Stand for the reporter, which folds committed frames as they come."""
        while True:
            beat()
            await anyio.sleep(HOUSE_S)

    async def watch_control(self, beat: Callable[[], None]) -> None:
        """Notice that the control thread has ended by itself."""
        while not self.control_lost:
            beat()
            await anyio.sleep(HOUSE_S)
        raise InvariantError(f"the control thread was lost: {self.control_lost}", code="CONTROL_LOST")

    async def publish_boards(self, beat: Callable[[], None]) -> None:
        """Show what people look at, at most every 100 ms; under load boards go along with commits."""
        last = 0.0
        while True:
            now = time.monotonic()
            if self.loop.settled:
                if self.outlet.dirty or self.boards.differs(self.loop.core.sequencer.seq) or now - last >= HOUSE_S:
                    self.outlet.dirty = False
                    last = now
                    self.boards.now()
            elif now - last >= HOUSE_S:
                last = now
                self.boards.renew()
            self.desk.look_for_flat()
            beat()
            await anyio.sleep(BOARD_S)

    def _board(self, facts: ShellFacts) -> Board:
        return build_board(self.loop.core.core, self.prepared.data.spec.universe, facts, measurer=self._measurer)

    # -- the shell's questions ---------------------------------------------------------------------------------------

    def lose_control(self, why: str) -> None:
        """The control thread has ended by itself."""
        self.control_lost = why or "it ended"

    def socket_gone(self, sentence: str, back: bool) -> None:
        """Somebody has taken the control socket away; trading only reduces while it cannot be made again."""
        self.tell(MachineTrouble("control_socket", sentence, critical=True))
        if not back:
            self.command(Reduce(f"the control surface is lost: {sentence}", BY))

    def wake(self) -> None:
        """Let the core look at the latch."""
        self.loop.wake()

    def status_line(self) -> str:
        """Return one line for ``systemctl status``."""
        risk = self.loop.core.core.risk
        reason = f" ({risk.state_reason})" if risk.state_reason else ""
        return f"{risk.trading_state}{reason}; input {self.loop.core.sequencer.seq:,}"

    async def seal(self) -> None:
        """Take the last snapshot, make it durable, and say in the ledger that the run has ended."""
        if self.loop.stalled:
            return
        await self.loop.take_snapshot()
        await self.writer.seal("ended", self.loop.core.sequencer.digest.hex())
        self.sealed = True

    # -- facts -------------------------------------------------------------------------------------------------------

    def facts(self) -> ShellFacts:
        """Return what the core does not know about itself."""
        gauges = self.writer.gauges()
        queue = self.queue
        rows = self.root.tree()
        state = "stale" if self.house.stale else "ended" if queue.ended and not queue.items else "live"
        if not all(row.state == "running" for row in rows if row.name in {"market", "feed"}):
            state = "down"
        return ShellFacts(
            version=self.manifest.version,
            run_id=self.manifest.run_id,
            mode=self.mode,
            started_ns=self.prepared.began_ns,
            commit_ns=self.loop.last_commit_ns,
            seq=self.outlet.seq,
            feeds=(FeedFact(FEED, state, queue.last_taken_ns, self.prepared.data.recording.label),),
            actors=tuple(ActorFact(row.name, row.state, row.restarts, row.last_error) for row in rows),
            degraded=tuple(self.degraded),
            alerts_pending=len(self.deliveries),
            alerts_unacked=len(self.loop.core.alerter.unresolved(self.loop.core.sequencer.last_ts)),
            journal={
                **{k: v for k, v in msgspec.structs.asdict(gauges).items() if isinstance(v, (int, float, str))},
                "uncommitted": self.loop.depth,
                "state": self.loop.stalled or "ok",
            },
            notices=tuple(self.prepared.notices),
            disk=self.house.disk,
            inference=self.inference.facts(),
            text_model="" if (news := self.prepared.data.spec.sentiment) is None else news.model_id,
        )

    def checks(self) -> list[Check]:
        """Return what must hold for the watchdog to be fed."""
        ping = CorePing(lambda number: self.loop.ping(partial(ping.answered, number)), PING_S)
        # A ledger that takes nothing although somebody waits is worth a restart; a full disk is not cured by one.
        ledger = Backlog(
            "no commit",
            COMMIT_STUCK_S,
            lambda: bool(self.loop.depth) and not self.loop.stalled,
            lambda: self.loop.batches_committed,
        )
        return [
            Check("core", ping.complaint),
            Check("ledger", ledger.complaint),
            Check("tree", lambda: ", ".join(self.root.neglected()) and f"{', '.join(self.root.neglected())} down"),
        ]

    def state_changed(self, event: TradingStateChanged) -> None:
        """Tell the service manager."""
        risk = self.loop.core.core.risk
        # The core's own words tell more, where it has not gone on meanwhile: a halt behind a kill names the kill.
        reason = risk.state_reason if risk.trading_state is event.new else event.reason
        self.notifier.status(f"{event.new}: {reason}")


def _keep_reply(call: Any, outcome: Any, seq: int, ts: int) -> Any:
    from daemon.journal.batch import KeptReply  # noqa: PLC0415

    key = reply_key(call)
    return KeptReply(key, call.method, params_digest(call), msgspec.json.encode(outcome), seq, ts) if key else None
