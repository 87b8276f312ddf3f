"""What the daemon does around the core when somebody asks: reload, snapshot, backup, log level, shutdown; and reads."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
import msgspec

from actors.feed.session import calendar_zone
from actors.messages.control import ClockStepped, Reload
from actors.messages.risk import TradingState
from actors.messages.runtime import CallAudited
from actors.risk.actor import RiskActor
from actors.risk.limits import check_names
from actors.values.time import format_ts
from config.reload import ReloadPlan, reload_settings
from config.show import rows as config_rows
from config.sources import Loaded
from daemon.control.calls import Call, Outcome, Peer, Role
from daemon.control.signals import KILL_FILE
from daemon.journal.backup import back_up
from daemon.journal.sqlite import open_readonly
from daemon.kernel.errors import OperatorError
from daemon.service.clock import Jump
from daemon.service.logging import Logs
from daemon.supervision.supervisor import TreeRow
from daemon.system.board import Board, positions_asked
from daemon.system.board_models import model_answer
from daemon.system.core_ports import Input
from daemon.system.desk import METHODS as CORE_METHODS
from daemon.system.event_lines import EventLines, PastEvents
from daemon.system.kept_replies import KeptReplies
from daemon.system.limit_errand import Standing, check_vanished, set_limits
from daemon.system.live_desk import NO_ERRANDS, LiveDesk
from daemon.system.order_form import FieldError
from daemon.system.running import Running
from daemon.system.start import limits_of
from daemon.system.views import VIEWS, Projector
from daemon.system.views_readers import view_readers
from daemon.system.views_rows import Views, ViewsError
from daemon.system.views_why import find_order
from daemon.system.when import TimeReader

WAIT_S: Final = 0.02
"""How long a read waits for the views to show what was just committed: a kill on another connection waits as long."""


class Errands:
    """See the module."""

    def __init__(self, running: Running, loaded: Loaded, logs: Logs) -> None:
        """Wire the readers and the errands of one daemon."""
        self._running = running
        self._prepared = running.prepared
        self._loaded = loaded
        self._logs = logs
        self._debug = loaded.settings.logging.level == "debug"
        self._terminal = next((number for number in (2, 1, 0) if os.isatty(number)), None)
        self._limits_turn = anyio.Lock()
        """Whoever changes limits builds on those in force: one at a time."""
        self._state_dir: Path = running.prepared.state_dir
        universe = running.prepared.data.spec.universe
        portfolios = tuple(spec.name for spec in running.prepared.data.spec.portfolios)
        self.lines = EventLines(universe)
        self.views = Projector(self._state_dir, on_note=lambda sentence: running.log.info("views", detail=sentence))
        self._views = Views(self._state_dir / VIEWS, several=len(portfolios) > 1)
        zone = calendar_zone(running.settings.universe.calendar)
        self._kept = KeptReplies(self._state_dir / "ledger.db")
        read_time = TimeReader(zone, zone)
        self._view_readers = view_readers(self._views, read_time, lambda: self._board().trails)
        self._desk = LiveDesk(
            universe=universe,
            portfolios=portfolios,
            latch=running.prepared.latch,
            kill_file=running.prepared.runtime_dir / KILL_FILE,
            core_loop=lambda: running.loop,
            readers=self._readers(),
            admin={
                "reload": self._reload,
                "limits.set": self._set_limits,
                "snapshot": self._snapshot,
                "backup": self._backup,
                "log.level": self._log_level,
                "shutdown": self._shutdown,
            },
            resolve=self._resolve,
            trading_state=lambda: TradingState(self._board().trading_state),
            knows_alert=self._knows_alert,
            read_time=read_time,
            older=PastEvents(self._state_dir / "ledger.db", universe).since,
        )

    def desk(self) -> LiveDesk:
        """Return the desk."""
        return self._desk

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take calls from now on."""
        self.views.start()
        self._desk.open(loop)
        hooks = self._prepared.hooks
        hooks.lookup = self._kept.find
        hooks.audit = self._audit
        self._prepared.control.attach(self._desk)

    async def stop_intake(self) -> None:
        """First stage of the end: no more calls, no more market data."""
        self._desk.closing = True
        self._prepared.control.detach()
        self._running.loop.stop_feeding()
        self._running.records.closing = True

    def close(self) -> None:
        """Last of all: answers that still wait go out, threads end."""
        self._prepared.control.stop()
        self._prepared.signals.stop()
        self.views.stop()
        self._kept.close()

    # -- reads (control thread) --------------------------------------------------------------------------------------

    def _readers(self) -> dict[str, Callable[[Call], Outcome]]:
        return {
            "status": self._status,
            "health": lambda _: _rows("health", self._board().health_rows()),
            "positions": lambda call: Outcome(positions_asked(self._board(), call)),
            "risk": lambda _: _rows("risk", self._board().risk()),
            "breakers": self._breakers,
            "limits": self._limits_shown,
            "actors": lambda _: _rows("actors", [_actor(row) for row in self._running.root.tree()]),
            "model": lambda _: Outcome(model_answer(self._board())),
            "model.list": lambda _: _rows("models", self._board().model_rows()),
            "journal.head": self._head,
            "config.show": self._config_show,
            "config.check": self._config_check,
            **{name: self._behind(reader) for name, reader in self._view_readers.items()},
        }

    def _board(self) -> Board:
        board = self._running.boards.shown
        if board is None:
            raise OperatorError("the daemon has not looked at itself yet", code="NOT_READY", remedy="ask again")
        return board

    def _status(self, _: Call) -> Outcome:
        status = self._board().status()
        latch = self._prepared.latch
        if latch.is_set:  # known here before the core has come to it
            status["trading_state"] = "killed"
            status["state_reason"] = latch.reason
        return Outcome(status)

    def _breakers(self, _: Call) -> Outcome:
        board = self._board()
        answer = {"schema": "tradingd.breakers/1", "rows": board.breakers(), "locks": board.locks()}
        return Outcome(answer | {"restricted": board.restricted()})

    def _limits_shown(self, _: Call) -> Outcome:
        board = self._board()
        return Outcome({"schema": "tradingd.limits/1", "rows": board.limits_in_use(), "by_hand": board.by_hand()})

    def _head(self, _: Call) -> Outcome:
        head = self._running.outlet.head
        return Outcome(
            {
                "schema": "tradingd.journal_head/1",
                "run_id": self._running.manifest.run_id,
                "seq": head.seq,
                "ts": format_ts(head.ts) if head.ts else None,
                "event_digest": head.digest,
                "mode": self._running.mode,
            }
        )

    def _behind(self, reader: Callable[[Call], Outcome]) -> Callable[[Call], Outcome]:
        """Let a reader see what was committed before it asked."""

        def read(call: Call) -> Outcome:
            self.views.wait_for(self._running.outlet.seq, WAIT_S)
            return reader(call)

        return read

    def _knows_alert(self, alert_id: str) -> bool:
        """Ask the ledger, whose outbox has every alert; where it cannot be read, the core is told all the same."""
        try:
            db = open_readonly(self._state_dir / "ledger.db")
        except OperatorError:
            return True
        try:
            return db.execute("SELECT 1 FROM outbox WHERE alert_id = ?", (alert_id,)).fetchone() is not None
        except sqlite3.Error:
            return True
        finally:
            db.close()

    def _resolve(self, name: str) -> str:
        """Return the client order id behind a name; where the views do not know it, the name as it was typed."""
        self.views.wait_for(self._running.outlet.seq, WAIT_S)
        try:
            with self._views.reading() as (db, _):
                row = find_order(db, name)
        except ViewsError:
            return name
        return name if row is None else str(row["client_order_id"])

    def _config_show(self, call: Call) -> Outcome:
        below = call.params.get("key", "")
        return _rows("config", [asdict(row) for row in config_rows(self._loaded) if row.key.startswith(below)])

    def _config_check(self, _: Call) -> Outcome:
        plan = reload_settings(self._loaded)
        check_vanished(self._loaded, plan.loaded)
        spec = self._prepared.data.spec
        check_names(limits_of(plan.loaded.settings), spec.universe, [portfolio.name for portfolio in spec.portfolios])
        result = {"schema": "tradingd.config_check/1", "ok": True, "changes": _changes(plan)}
        ends = [row["key"] for row in self._board().by_hand()] if plan.touches("risk") else []
        return Outcome(result | {"ends_by_hand": ends} if ends else result)

    def _audit(self, kind: str, peer: Peer, method: str, outcome: str) -> None:
        log = self._running.log
        if kind == "call" and method in CORE_METHODS:  # its command stands in the journal, with who and why
            log.debug("control call", kind=kind, uid=peer.uid, pid=peer.pid, method=method, outcome=outcome)
            return
        log.info("control call", kind=kind, uid=peer.uid, pid=peer.pid, method=method, outcome=outcome)
        if (kind, method, outcome) == ("call", "shutdown", "ok"):
            return  # it was told before the end began: by now the core may take nothing more
        fact = CallAudited(kind, method, peer.by, outcome)
        self._desk.on_main(lambda: self._running.tell(fact))

    # -- errands (main loop) -----------------------------------------------------------------------------------------

    def debugging(self) -> bool:
        """Whether every event is worth a line."""
        return self._debug

    def reload_by_signal(self) -> None:
        """SIGHUP: the same as ``tradingctl reload``; where the terminal we were started on was closed, the end."""
        if self._terminal is not None and not os.isatty(self._terminal):
            self._prepared.stop.ask("the terminal it was started on was closed")
            return
        call = Call("reload", {}, Peer(0, 0, 0, Role.ADMIN), reason="SIGHUP")
        self._desk.errand(call, self._unheard)

    def _unheard(self, outcome: Outcome) -> None:
        """A signal waits for no answer; a reload that went wrong is told already, one that nobody did is not."""
        if outcome.code == NO_ERRANDS:
            self._running.trouble("reload", outcome.message)

    async def _reload(self, call: Call) -> Outcome:
        notifier = self._running.notifier
        notifier.reloading(time.monotonic_ns())
        try:
            async with self._limits_turn:
                plan = await anyio.to_thread.run_sync(reload_settings, self._loaded)
                check_vanished(self._loaded, plan.loaded)
                ended = list(self._risk().by_hand) if plan.touches("risk") else []
                await self._take_over(plan, call.peer.by if call.peer.pid else call.reason)  # a signal tells no name
        except OperatorError as error:
            self._running.trouble("reload", f"the configuration was not reloaded: {error}")
            raise
        finally:
            notifier.ready(self._running.status_line())
        self._running.log.info("reloaded", changes=[change.key for change in plan.changes], ended=ended)
        result = {"schema": "tradingd.reload/1", "digest": plan.digest, "changes": _changes(plan)}
        return Outcome(result | {"ended_by_hand": ended} if ended else result)

    def _risk(self) -> RiskActor:
        return self._running.loop.core.core.risk

    async def _set_limits(self, call: Call) -> Outcome:
        async with self._limits_turn:
            risk = self._risk()
            standing = Standing(self._loaded, dict(risk.by_hand), risk.limits)
            return await set_limits(call, standing, self._desk.in_core)

    async def _take_over(self, plan: ReloadPlan, by: str) -> None:
        """Take over what changed: first the limits, which the core may refuse, then what cannot fail."""
        settings = plan.loaded.settings
        if plan.touches("risk"):
            limits = limits_of(settings)
            call = Call("reload", {}, Peer(0, 0, 0, Role.ADMIN), reason=by)
            outcome = await self._desk.in_core(Input(Reload(plan.digest, by, limits), "control", call=call))
            if outcome.code:
                raise OperatorError(outcome.message, code=outcome.code, remedy="the old limits stay in force")
        if plan.touches("logging"):
            self._logs.apply(
                level=settings.logging.level,
                form=settings.logging.format,
                repeats_per_minute=settings.logging.repeats_per_minute,
            )
            self._debug = settings.logging.level == "debug"
        self._loaded = plan.loaded
        self._running.settings = settings

    async def _snapshot(self, _: Call) -> Outcome:
        seq = await self._running.loop.take_snapshot()
        return Outcome({"schema": "tradingd.snapshot/1", "seq": seq})

    async def _backup(self, call: Call) -> Outcome:
        folder = _folder(call.params.get("to"), self._state_dir / "backups")
        version = self._running.manifest.version
        done = await anyio.to_thread.run_sync(lambda: back_up(self._state_dir, folder, version=version))
        return Outcome(msgspec.to_builtins(done))

    async def _log_level(self, call: Call) -> Outcome:
        self._logs.set_level(call.params["level"])
        self._debug = call.params["level"] == "debug"
        return Outcome({"schema": "tradingd.log_level/1", "level": call.params["level"]})

    async def _shutdown(self, call: Call) -> Outcome:
        board = self._board()
        positions, orders = sum(portfolio.held for portfolio in board.portfolios), board.open_orders
        self._running.tell(CallAudited("call", call.method, call.peer.by, "ok"))
        self._prepared.stop.ask(call.reason or f"shutdown by {call.peer.by}")
        detail = "the daemon ends; " + _what_stays(positions, orders)
        if self._running.notifier.active:
            detail += "; a service manager may start it again: systemctl stop tradingd ends it for good"
        return Outcome(
            {
                "schema": "tradingd.shutdown/1",
                "stopping": True,
                "positions": positions,
                "open_orders": orders,
                "detail": detail,
            }
        )

    def jumped(self, jump: Jump) -> None:
        """A clock was set or the process was stopped: tell it. What was missed meanwhile, the feed knows."""
        self._running.trouble("clock", jump.text)
        if jump.kind == "step" and self._running.free_running:  # a gated playback has a time of its own
            self._running.command(ClockStepped(jump.amount_ns))


def _folder(given: str | None, default: Path) -> Path:
    """Return the folder that was named; a relative one would be somewhere below ours and not below the caller's.

    Raises:
        FieldError: it is relative.
    """
    if not given:
        return default
    folder = Path(given)
    if not folder.is_absolute():
        raise FieldError(
            f"the folder {given} is relative", field="to", code="BAD_PARAM", remedy="name it from the root: /..."
        )
    return folder


def _what_stays(positions: int, orders: int) -> str:
    """Say what an end leaves open."""
    stays = [f"{n:,} {noun}{'s' * (n != 1)}" for n, noun in ((positions, "position"), (orders, "working order")) if n]
    one = positions + orders == 1
    return f"{' and '.join(stays)} {'stays as it is' if one else 'stay as they are'}" if stays else "nothing is open"


def _rows(name: str, rows: list[dict[str, Any]]) -> Outcome:
    return Outcome({"schema": f"tradingd.{name}/1", "rows": rows})


def _actor(row: TreeRow) -> dict[str, Any]:
    return msgspec.structs.asdict(row) | {"since": format_ts(row.since)}


def _changes(plan: ReloadPlan) -> list[dict[str, str]]:
    return [{"key": change.key, "old": change.old, "new": change.new} for change in plan.changes]
