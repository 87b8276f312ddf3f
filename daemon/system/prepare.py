"""Everything before the main loop turns: folders, lock, ledger, latch, data, and a core with every promise kept."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from actors.messages.catalogue import MARKET, codec
from actors.risk.stress import Scenario
from config.running import ControlSettings
from config.settings import Settings
from daemon.control.calls import Peer
from daemon.control.latch import KillLatch
from daemon.control.limits import ServerLimits
from daemon.control.methods import METHODS
from daemon.control.roles import Groups
from daemon.control.server import ControlServer
from daemon.control.signals import SignalThread
from daemon.journal.batch import NO_FAULTS, Faults, KeptReply
from daemon.journal.lock import InstanceLock
from daemon.journal.market_codec import MarketCodec
from daemon.journal.recovery import OpenedLedger, open_ledger
from daemon.journal.version import check_sqlite
from daemon.kernel.errors import ConfigError, OperatorError
from daemon.service.systemd import Notifier
from daemon.system.desk import params_digest
from daemon.system.housekeeping import Disk
from daemon.system.keys import in_keys, speak_of_keys
from daemon.system.live_core import LiveCore
from daemon.system.opening import cold, warnings
from daemon.system.options import DEFAULT_SEED
from daemon.system.scenarios import load_scenarios
from daemon.system.start import (
    CoreFactory,
    Data,
    Starts,
    check_same_world,
    first_limits,
    fold_checked,
    open_data,
)
from daemon.system.version import program_version

LATCH: Final = "kill.latch"
SOCKET: Final = "control.sock"
RUNTIME_MODE: Final = 0o750
START_BUDGET_S: Final = 120.0
STARTING: Final = "STARTING"
"""The control thread's word for: not ready yet."""


class Log(Protocol):
    """The part of a logger that is used here."""

    def info(self, event: str, **fields: object) -> object:
        """Log one line."""
        ...

    def warning(self, event: str, **fields: object) -> object:
        """Log one line."""
        ...

    def critical(self, event: str, **fields: object) -> object:
        """Log one line."""
        ...


class StopRequest:
    """Somebody wants the process to end; may be asked from any thread, before or while the loop turns."""

    def __init__(self) -> None:
        """Begin unasked."""
        self.why = ""
        self.hurry = False
        self._tell: Callable[[], object] = lambda: None

    def attach(self, tell: Callable[[], object]) -> None:
        """Have ``tell`` called, thread-safely, whenever something is asked; at once if it was already."""
        self._tell = tell
        if self.why:
            tell()

    def ask(self, why: str) -> None:
        """Ask for an orderly end."""
        self.why = self.why or why
        self._tell()

    def rush(self) -> None:
        """Ask for the end at once: what is durable is durable, the rest is not waited for."""
        self.hurry = True
        self._tell()


class StoppedEarly(Exception):  # noqa: N818 - no error: somebody asked for it
    """The process was asked to end before it was ready."""


@dataclass(slots=True)
class RunOptions:
    """What the command line says beside the configuration.

    Attributes:
        until_end: end in order when the recording has ended.
        seed: of the run.
        faults: sites of a test's fault plan.
        jitter: awaited by the feed before each input; for tests of the gate.
    """

    until_end: bool = False
    seed: int = DEFAULT_SEED
    faults: Faults = NO_FAULTS
    jitter: Callable[[], Any] | None = None


class Hooks:
    """What the control thread asks of a daemon that is not there yet; the shell puts the real answers in."""

    def __init__(self, log: Log) -> None:
        """Know nothing, and note calls in the log alone."""
        self.lookup: Callable[[str], KeptReply | None] = lambda _: None
        self._log = log
        self.audit: Callable[[str, Peer, str, str], object] = self._note
        self.lost: Callable[[str], object] = lambda _: None
        self.reload: Callable[[], object] = lambda: None
        self.gone: Callable[[str, bool], object] = lambda _, __: None

    def _note(self, kind: str, peer: Peer, method: str, outcome: str) -> None:
        asked = METHODS.get(method)
        if outcome == STARTING and asked is not None and not asked.mutating:
            return  # a probe that looks whether we are there yet does so many times
        self._log.info("control call", kind=kind, uid=peer.uid, pid=peer.pid, method=method, outcome=outcome)

    def lookup_now(self, key: str) -> KeptReply | None:
        """Find a kept reply."""
        return self.lookup(key)

    def audit_now(self, kind: str, peer: Peer, method: str, outcome: str) -> None:
        """Note a call."""
        self.audit(kind, peer, method, outcome)

    def lost_now(self, error: BaseException | None) -> None:
        """The control thread has ended by itself."""
        self.lost(str(error))

    def gone_now(self, sentence: str, back: bool) -> None:
        """Somebody has taken the control socket away; ``back`` where it could be made again."""
        self._log.critical("control", detail=sentence)
        self.gone(sentence, back)

    def reload_now(self) -> None:
        """Reload, once there is a daemon to do it."""
        self.reload()


@dataclass(slots=True, kw_only=True)
class Ground:
    """What stands before anything is known of the data: the folder is ours, and the daemon can be killed."""

    settings: Settings
    options: RunOptions
    state_dir: Path
    runtime_dir: Path
    lock: InstanceLock
    disk: Disk
    starts: Starts
    unclean: int
    latch: KillLatch
    signals: SignalThread
    control: ControlServer
    hooks: Hooks
    stop: StopRequest
    opened: OpenedLedger
    began_ns: int

    def leave(self) -> None:
        """Take back what a start that came to nothing has put up: threads, socket and lock."""
        self.control.stop(0.0)
        self.signals.stop()
        self.opened.close()
        self.lock.release()


@dataclass(slots=True, kw_only=True)
class Prepared(Ground):
    """What the loop is built from."""

    data: Data
    anchor: dict[str, Any]
    factory: CoreFactory
    core: LiveCore
    scenarios: tuple[Scenario, ...]
    notices: list[str] = field(default_factory=list)


def make_folders(settings: Settings) -> tuple[Path, Path]:
    """Make state and runtime folder, for the daemon's user alone (the socket's group may enter the latter).

    Raises:
        ConfigError: one cannot be made or written.
    """
    folders = []
    for name, path, mode in (
        ("state_dir", settings.paths.state_dir, 0o700),
        ("runtime_dir", settings.paths.runtime_dir, RUNTIME_MODE),
    ):
        folder = path.expanduser()
        try:
            if not folder.is_dir():
                folder.mkdir(parents=True, mode=mode)
        except FileExistsError as error:
            link = folder.is_symlink()
            what = f"is a link to {folder.readlink()}, which is not there" if link else "is no folder"
            raise ConfigError(
                f"paths.{name} {folder} {what}",
                code="NO_FOLDER",
                remedy=f"{'make that folder' if link else 'move it away'}, or name another as paths.{name}",
            ) from error
        except OSError as error:
            raise ConfigError(
                f"paths.{name} {folder} cannot be made: {error.strerror}",
                code="NO_FOLDER",
                remedy=f"name a writable folder as paths.{name}",
            ) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(
                f"paths.{name} {folder} cannot be written",
                code="NO_FOLDER",
                remedy="let the daemon's user own it",
            )
        folders.append(folder)
    return folders[0], folders[1]


def let_in(runtime_dir: Path, group: int | None) -> None:
    """Let the group of the socket enter the folder it lies in.

    Raises:
        ConfigError: the daemon's user may not give the folder to that group.
    """
    if group is None or runtime_dir.stat().st_gid == group:
        return
    try:
        os.chown(runtime_dir, -1, group)
        runtime_dir.chmod(stat.S_IMODE(runtime_dir.stat().st_mode) | 0o050)
    except OSError as error:
        raise ConfigError(
            f"paths.runtime_dir {runtime_dir} cannot be given to group {group}: {error.strerror}",
            code="NO_FOLDER",
            remedy="make the daemon's user a member of the groups that [control] names",
        ) from error


def prepare(settings: Settings, options: RunOptions, notifier: Notifier, log: Log) -> Prepared:
    """Recover; see the module. Signals must be blocked already.

    Raises:
        LedgerRefusedError: the ledger may not be traded on; nothing was changed.
        OperatorError: configuration, data or folders do not hold.
        StoppedEarly: somebody asked the process to end meanwhile.
    """
    ground = _ground(settings, options, notifier, log)
    stop, opened = ground.stop, ground.opened
    try:
        _check_stop(stop)
        notifier.status("starting: data")
        scenarios = load_scenarios(settings.risk.scenarios)
        data = open_data(settings, seed=options.seed)
        check_same_world(opened, data)
        for notice in data.recording.notices:
            log.info("data", detail=in_keys(notice))
        warned = warnings(settings, data, opened)
        for sentence in warned:
            log.warning("configuration", detail=sentence)
        _check_stop(stop)
        anchor = _anchor(opened, data)
        # A ledger that begins now begins with our own limits; its file may hold nothing yet.
        limits = partial(first_limits, ground.state_dir) if not opened.fresh else (lambda: None)
        factory = CoreFactory(settings, data, anchor=anchor, first_limits=limits)
        core = _recovered(factory, opened, notifier, stop)
        for notice in factory.notices:
            log.warning("recovery", detail=notice)
        slow = cold(settings, data, core) if opened.fresh else ""
        if slow:
            log.info("warm-up", detail=slow)
        _check_stop(stop)
    except (OperatorError, StoppedEarly) as error:
        problem = ground.starts.withdraw()
        if problem:
            log.warning("starts", detail=problem)
        ground.leave()
        if isinstance(error, OperatorError):
            speak_of_keys(error)
        if isinstance(error, OperatorError) and error.exit_code == 1:
            # Data, strategies or symbols that do not hold stay so: a service manager must not try again and again.
            error.exit_code = ConfigError.exit_code
        raise
    log.info(
        "recovered",
        seq=core.sequencer.seq,
        refolded=factory.refolded,
        seconds=round((time.monotonic_ns() - ground.began_ns) / 1e9, 3),
        fresh=opened.fresh,
        unclean_starts=ground.unclean,
    )
    return Prepared(
        **{each.name: getattr(ground, each.name) for each in fields(ground)},
        data=data,
        anchor=anchor,
        factory=factory,
        core=core,
        scenarios=scenarios,
        notices=[*opened.notices, *factory.notices, *warned],
    )


def _ground(settings: Settings, options: RunOptions, notifier: Notifier, log: Log) -> Ground:
    """Take the folder, look at the ledger, and make it possible to kill and to stop before anything else happens."""
    began = time.monotonic_ns()
    stop = StopRequest()
    notifier.status("starting: ledger")
    state_dir, runtime_dir = make_folders(settings)
    lock = InstanceLock(state_dir)
    disk = Disk(state_dir, halt_mb=settings.service.disk_halt_mb, reserve_mb=settings.service.disk_reserve_mb)
    disk.prepare()
    notifier.extend_timeout(START_BUDGET_S)
    opened = open_ledger(state_dir, codec(), MarketCodec(MARKET))
    latch = KillLatch.open(state_dir / LATCH, fresh=opened.fresh, faults=options.faults)
    hooks = Hooks(log)
    control = _control(settings, runtime_dir, latch, hooks, log)
    control.start()
    signals = SignalThread(
        latch,
        runtime_dir,
        on_shutdown=stop.ask,
        on_reload=hooks.reload_now,
        on_hurry=stop.rush,
        on_problem=lambda sentence: _warn(log, "signals", sentence),
        on_lost=lambda error: stop.ask(f"the signal thread was lost: {error}"),
    )
    signals.start()
    starts = Starts(state_dir, settings.service.unclean_window_s)
    for notice in (*check_sqlite(), *opened.notices):
        log.warning("ledger", detail=notice)
    return Ground(
        settings=settings,
        options=options,
        state_dir=state_dir,
        runtime_dir=runtime_dir,
        lock=lock,
        disk=disk,
        starts=starts,
        unclean=starts.begin(),
        latch=latch,
        signals=signals,
        control=control,
        hooks=hooks,
        stop=stop,
        opened=opened,
        began_ns=began,
    )


def _recovered(factory: CoreFactory, opened: OpenedLedger, notifier: Notifier, stop: StopRequest) -> LiveCore:
    """Fold what is durable and check it, telling how far it is and asking for the time that it takes."""
    notifier.status("starting: recovery")

    def progress(inputs: int) -> None:
        _check_stop(stop)
        notifier.extend_timeout(START_BUDGET_S)
        notifier.status(f"starting: recovery, {inputs:,} inputs folded")

    return fold_checked(factory, opened, progress)


def _control(settings: Settings, runtime_dir: Path, latch: KillLatch, hooks: Hooks, log: Log) -> ControlServer:
    control = settings.control
    groups = Groups.named(admin=control.admin_group, operator=control.operator_group, viewer=control.viewer_group)
    let_in(runtime_dir, groups.widest)

    def make_folder() -> None:
        runtime_dir.mkdir(mode=RUNTIME_MODE)
        let_in(runtime_dir, groups.widest)

    return ControlServer(
        runtime_dir / SOCKET,
        latch=latch,
        groups=groups,
        version=program_version(),
        lookup=hooks.lookup_now,
        digest=params_digest,
        audit=hooks.audit_now,
        on_problem=lambda sentence: _warn(log, "control", sentence),
        on_lost=hooks.lost_now,
        on_gone=hooks.gone_now,
        make_folder=make_folder,
        limits=control_limits(control),
    )


def control_limits(control: ControlSettings) -> ServerLimits:
    """Return the bounds of the control socket: as many requests at once as [control] lets through in two seconds."""
    rate = float(control.requests_per_s)
    return ServerLimits(
        connections_max=control.connections_max,
        requests_per_s=rate,
        requests_burst=2 * rate,
        call_s=float(control.call_timeout_s),
    )


def _anchor(opened: OpenedLedger, data: Data) -> dict[str, Any]:
    """Return the wall time at which the recording's time began to run; kept over restarts (free-running only)."""
    if opened.run is not None:
        before = opened.run.manifest_dict().get("feed", {}).get("anchor")
        if before:
            return dict(before)
    first = next(iter(data.recording.inputs()), None)
    return {"wall_ns": time.time_ns(), "ts": 0 if first is None else first.ts}


def _warn(log: Log, what: str, sentence: str) -> None:
    log.warning(what, detail=sentence)


def _check_stop(stop: StopRequest) -> None:
    if stop.why:
        raise StoppedEarly(stop.why)
