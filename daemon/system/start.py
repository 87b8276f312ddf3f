"""Start-up is recovery: from settings and what is on disk to a core in which every promise is kept.

One path, whatever happened before: lock, ledger checks, latch, data, the core from the newest good snapshot, both
folds up to the last input, digest, invariants. A mismatch refuses to start, with a reason of its own, and repairs
nothing silently.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.alerter.actor import AlerterActor
from actors.broker.fees import require_dates
from actors.feed.recording import Recording, RecordingSpec, Resume, open_recording
from actors.messages.catalogue import MARKET, codec
from actors.risk.params import RiskLimits
from actors.values import parse_interval
from actors.values.time import LATEST_NS
from actors.values.universe import Adjustment
from config.params import alert_params, broker_params, portfolio_specs
from config.risk_params import risk_limits
from config.settings import Settings, playback_tree, settings_digest, settings_tree
from daemon.journal.batch import SnapshotRow
from daemon.journal.committer import LEDGER
from daemon.journal.failures import LedgerRefusedError
from daemon.journal.journal import Manifest
from daemon.journal.market_codec import MarketCodec
from daemon.journal.opened import OpenedLedger, RecordedInput
from daemon.journal.rows import RunRow
from daemon.journal.sqlite import open_readonly
from daemon.kernel.clock import Clock, VirtualClock
from daemon.kernel.errors import ConfigError, InvariantError, OperatorError
from daemon.kernel.message import Market
from daemon.system.bindings import source_digests, strategy_bindings
from daemon.system.composition import CoreSpec
from daemon.system.intake import ArrivalClock, ScaledClock
from daemon.system.invariants import check_core
from daemon.system.live_core import LiveCore
from daemon.system.news import sentiment_params, text_digests
from daemon.system.recorded import shape_here, shape_of, spec_of
from daemon.system.version import environment_digest, program_version

UNCLEAN: Final = "unclean"
WARM_MAX: Final = 1_000_000
"""Rows of history before the first input; there are as many as the configuration asked for."""
PROGRESS: Final = 5_000
SNAPSHOT_SOON: Final = 1 << 62
_SECOND: Final = 1_000_000_000


class Data(msgspec.Struct, frozen=True):
    """What is played and the core it needs."""

    recording: Recording
    spec: CoreSpec

    def warm_rows(self, settings: Settings) -> list[Market]:
        """Return the history before the first input that features are warmed with."""
        sessions = settings.predictor.warmup
        return list(self.recording.warm_rows(sessions)) if sessions else []

    @property
    def first_ts(self) -> int:
        """The first instant that anything can be stamped with: when the first bar begins, or the first input."""
        first = next(iter(self.recording.inputs()), None)
        start = self.recording.first_start
        return start if first is None else min(first.ts, start)


def open_data(settings: Settings, *, seed: int) -> Data:
    """Open the recording and say what core it needs.

    Raises:
        ConfigError: there is nothing to play, or the parts of the configuration do not fit.
        OperatorError: a file, strategy or model that does not hold.
    """
    playback = settings.feed.playback
    if not playback.given:
        raise ConfigError(
            "the daemon has no market data: [feed.playback] names neither a source nor files",
            code="NO_FEED",
            remedy='set feed.playback.source = "sp500" or feed.playback.bars',
        )
    recording = open_recording(
        RecordingSpec(
            bars=tuple(str(path) for path in playback.bars),
            quotes=tuple(str(path) for path in playback.quotes),
            trades=tuple(str(path) for path in playback.trades),
            news=tuple(str(path) for path in playback.news),
            status=tuple(str(path) for path in playback.status),
            max_jump=float(settings.feed.max_jump),
            jump_confirmations=settings.feed.jump_confirmations,
            actions=tuple(str(path) for path in playback.actions),
            source=playback.source,
            symbols=settings.universe.symbols,
            from_date=playback.from_day,
            to_date=playback.to_day,
            tz=playback.tz or None,
            adjustment=Adjustment(playback.adjustment) if playback.adjustment else None,
            interval=parse_interval(playback.interval) if playback.interval else None,
            calendar=settings.universe.calendar,
            extended_hours=settings.broker.extended_hours,
            benchmark=settings.universe.benchmark or None,
            sectors=settings.universe.sectors,
            loop=playback.loop,
        )
    )
    bindings = strategy_bindings(settings)
    decision = settings.predictor.decision_interval
    spec = CoreSpec(
        universe=recording.universe,
        interval=recording.interval,
        bindings=tuple(bindings.values()),
        decision_interval=parse_interval(decision) if decision else None,
        broker=broker_params(settings),
        # A gated playback is a replay through the daemon, with the replay's reset rules; only then are they equal.
        limits=limits_of(settings),
        portfolios=portfolio_specs(settings, {ref: b.name for ref, b in bindings.items()}),
        seed=seed,
        sentiment=sentiment_params(settings, news=bool(playback.news)),
    )
    if spec.broker.regulatory_fees:
        require_dates(recording.sessions[0].date, recording.sessions[-1].date)
    return Data(recording, spec)


def limits_of(settings: Settings) -> RiskLimits:
    """Return the limits in force, with the reset rules of live only where inputs are stamped as in live."""
    return risk_limits(settings, replay=not settings.feed.playback.free_running)


class Starts:
    """Counts starts that no clean end preceded: after a crash loop trading waits for a person."""

    def __init__(self, state_dir: Path, window_s: int) -> None:
        """Look at the record of starts that have not ended."""
        self._path = state_dir / UNCLEAN
        self._window_ns = window_s * _SECOND
        self.unclean: list[int] = self._read()

    def _read(self) -> list[int]:
        try:
            lines = self._path.read_text("ascii").split()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError):
            return [time.time_ns()]  # unreadable: counts as one that did not end well
        return [int(line) for line in lines if line.isdigit()]

    def begin(self) -> int:
        """Record this start; return how many before it, within the window, did not end cleanly.

        Raises:
            LedgerRefusedError: it cannot be recorded.
        """
        now = time.time_ns()
        self.unclean = [ts for ts in self.unclean if now - ts < self._window_ns][-100:]
        problem = self._write([*self.unclean, now])
        if problem:
            remedy = "give the daemon's user a state directory on a disk that can be written"
            raise LedgerRefusedError(problem, reason="LEDGER_UNREADABLE", remedy=remedy)
        return len(self.unclean)

    def end(self) -> str:
        """This run ended cleanly: nothing before it counts any more. Return what went wrong in saying so, or ""."""
        return self._write([])

    def withdraw(self) -> str:
        """This start came to nothing, in order: it was refused or asked to end. Those before it still count."""
        return self._write(self.unclean)

    def _write(self, starts: list[int]) -> str:
        temporary = self._path.with_suffix(".tmp")
        try:
            with temporary.open("w", encoding="ascii") as file:
                file.write("\n".join(map(str, starts)))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            return f"starts cannot be recorded in {self._path}: {error.strerror}"
        return ""


class Reader(msgspec.Struct, frozen=True):
    """What a fold needs of the ledger; :class:`OpenedLedger` and a reader of a running ledger both have it."""

    ledger: Any

    def snapshots(self) -> Iterator[SnapshotRow]:
        """Return snapshots, newest first."""
        snapshots: Iterator[SnapshotRow] = self.ledger.snapshots()
        return snapshots

    def runs(self, after_seq: int) -> list[RunRow]:
        """Return the runs that hold inputs behind one, oldest first."""
        runs: list[RunRow] = self.ledger.runs(after_seq)
        return runs

    def inputs(self, after_seq: int) -> Iterator[RecordedInput]:
        """Return inputs in order of seq."""
        inputs: Iterator[RecordedInput] = self.ledger.inputs(after_seq)
        return inputs

    def panels_before(self, seq: int, count: int) -> list[Market]:
        """Return the last ``count`` market rows before an input, oldest first."""
        panels: list[Market] = self.ledger.panels_before(seq, count)
        return panels


class Part(msgspec.Struct):
    """Inputs that were recorded with one configuration: up to the one before ``end``; None: to the last, and on."""

    spec: CoreSpec
    end: int | None = None


class CoreFactory:
    """Builds cores and folds them from what is durable: the one way a core comes into being."""

    def __init__(
        self,
        settings: Settings,
        data: Data,
        *,
        anchor: dict[str, Any],
        first_limits: Callable[[], RiskLimits | None] = lambda: None,
    ) -> None:
        """Remember what cores are built from.

        Args:
            settings: of this run.
            data: what is played, and the core it needs.
            anchor: wall time a free-running recording began at.
            first_limits: limits of the ledger's first run, asked for where it is folded from its very beginning;
                whatever changed them since stands in it.
        """
        self._settings = settings
        self._first_limits = first_limits
        self._data = data
        self._anchor = anchor
        self.refolded = 0
        self.notices: list[str] = []

    def empty(self, spec: CoreSpec | None = None) -> LiveCore:
        """Return a core that has seen nothing: this run's, or another's."""
        spec = self._data.spec if spec is None else spec
        alerter = AlerterActor(spec.universe, alert_params(self._settings), daemon=True)
        return LiveCore(spec, VirtualClock(), alerter)

    def fold(self, ledger: Reader, progress: Callable[[int], None] | None = None) -> LiveCore:
        """Return a core folded up to the last durable input; its clock stands there.

        Inputs of earlier runs with another configuration are folded by cores of that configuration, each of which
        hands its state to the next: what a new strategy remembers begins with the run that it came in, wherever the
        newest snapshot stands.

        Args:
            ledger: what is durable.
            progress: told now and then how many inputs were folded; what it raises ends the fold.

        Raises:
            LedgerRefusedError: no snapshot fits and the ledger does not begin with its first input.
        """
        core, seq, parts = self._restored(ledger)
        self.refolded = 0
        while True:
            end = parts.pop(0).end
            for row in ledger.inputs(seq):
                if end is not None and row.seq >= end:
                    break
                if row.seq == 1:
                    self._begin(core, row.ts)
                core.refold(row.seq, row.ts, row.ts_event, row.source, row.body, row.events)
                seq = row.seq
                self.refolded += 1
                if progress is not None and not self.refolded % PROGRESS:
                    progress(self.refolded)
            if not parts:
                break
            state, core = core.snapshot(), self.empty(parts[0].spec)
            core.restore(state, partial(ledger.panels_before, seq + 1))
            core.snapshot_seq = 0  # what was handed over stands in no ledger
            core.events_at_snapshot = -SNAPSHOT_SOON  # with the first commit, so that no later start comes this way
        core.sequencer.rearm()
        self._set_clock(core)
        return core

    def _restored(self, ledger: Reader) -> tuple[LiveCore, int, list[Part]]:
        """Return a core from the newest snapshot that can be used, where that stands, and the parts behind it."""
        for snapshot in ledger.snapshots():
            parts = self._parts(ledger, snapshot.seq)
            core = self.empty(parts[0].spec)
            try:
                core.restore(snapshot, partial(ledger.panels_before, snapshot.seq + 1))
            except Exception as error:  # noqa: BLE001 - told; a cache of another program's shape fails in any way it likes
                self.notices.append(f"the snapshot behind input {snapshot.seq} cannot be used: {error}")
                continue
            return core, snapshot.seq, parts
        parts = self._parts(ledger, 0)
        limits = self._first_limits()
        spec = parts[0].spec
        core = self.empty(spec if limits is None else msgspec.structs.replace(spec, limits=limits))
        # All of it, as before the first input: states of strategies began there, not only windows.
        core.sequencer.rewarm(ledger.panels_before(1, WARM_MAX))
        return core, 0, parts

    def _parts(self, ledger: Reader, after_seq: int) -> list[Part]:
        """Return the configurations that recorded what is behind an input, oldest first; the last is this run's."""
        own = shape_here(self._settings, self._data.spec)
        parts: list[Part] = []
        shape: Any = None
        for run in ledger.runs(after_seq):
            before, shape = shape, shape_of(run)
            if shape == before:
                continue
            if parts:
                parts[-1].end = run.first_seq
            parts.append(Part(self._data.spec if shape == own else self._spec_of(run)))
        if not parts or shape != own:
            if parts:
                parts[-1].end = ledger.ledger.last_seq + 1
            parts.append(Part(self._data.spec))
        return parts

    def _spec_of(self, run: RunRow) -> CoreSpec:
        try:
            return spec_of(run, self._settings)
        except OperatorError as error:
            self.notices.append(f"run {run.run_id} cannot be folded as it was configured, but as this one is: {error}")
            return self._data.spec

    @staticmethod
    def _begin(core: LiveCore, ts: int) -> None:
        if isinstance(core.clock, VirtualClock):
            core.clock.advance_to(ts)
        core.sequencer.start()

    def _set_clock(self, core: LiveCore) -> None:
        core.clock = clock = self.clock(core.sequencer.last_ts)
        core.sequencer.clock = clock

    def clock(self, last_ts: int) -> Clock:
        """Return the clock that stamps inputs from ``last_ts`` on."""
        playback = self._settings.feed.playback
        if not playback.free_running:
            return VirtualClock(last_ts)
        speed = pace_of(self._settings)
        if speed is None:
            return ArrivalClock(last_ts)
        base = self._anchor["ts"] + int((time.time_ns() - self._anchor["wall_ns"]) * speed)
        return ScaledClock(max(min(base, LATEST_NS), last_ts), speed)


def first_limits(state_dir: Path) -> RiskLimits | None:
    """Return the limits the ledger's first run began with; None where there is no ledger, or it is a replay's."""
    if not (state_dir / LEDGER).is_file():
        return None
    db = open_readonly(state_dir / LEDGER)
    try:
        row = db.execute("SELECT manifest FROM run ORDER BY id LIMIT 1").fetchone()
    finally:
        db.close()
    if row is None:
        return None
    manifest: dict[str, Any] = msgspec.json.decode(row[0])
    # Limits follow from what else the run was configured with, too: whether it may be short, the size of a lot.
    config = {section: manifest["config"][section] for section in ("risk", "broker", "portfolio")}
    return risk_limits(Settings.model_validate(config), replay=not manifest["feed"].get("free_running", False))


def pace_of(settings: Settings) -> float | None:
    """Return how many times faster than recorded the playback runs; None for as fast as possible."""
    speed = settings.feed.playback.speed
    return None if speed == "max" else float(speed)


def resume_of(core: LiveCore) -> Resume | None:
    """Return the place in the recording behind the last input that was taken; None at the beginning."""
    return Resume(core.feed_ts, core.feed_n) if core.feed_n else None


def manifest_of(settings: Settings, data: Data, *, anchor: dict[str, Any]) -> Manifest:
    """Describe this run: enough to repeat it, and to refuse what does not belong to it."""
    digest = settings_digest(settings)
    return Manifest(
        run_id=_new_run_id(digest),
        version=program_version(),
        mode="playback",
        seed=data.spec.seed,
        config=settings_tree(settings),
        config_digest=digest,
        digests=dict(data.recording.digests)
        | source_digests(data.spec.bindings)
        | text_digests(data.spec.sentiment)
        | {"environment": environment_digest()},
        universe=msgspec.to_builtins(data.recording.universe),
        started=_now(),
        feed=playback_tree(settings) | {"anchor": anchor, "bars_of": data.recording.interval.text},
    )


def manifest_behind(before: Manifest, settings: Settings) -> Manifest:
    """Describe the run that goes on from another in the same process.

    Args:
        before: of that run. What was loaded at the start, data, strategies, models, is as it was then, whatever its
            files say today.
        settings: in force now.
    """
    digest = settings_digest(settings)
    return msgspec.structs.replace(
        before, run_id=_new_run_id(digest), started=_now(), config=settings_tree(settings), config_digest=digest
    )


def _new_run_id(digest: str) -> str:
    return hashlib.sha256(f"{digest}{os.getpid()}{time.time_ns()}".encode()).hexdigest()[:16]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_same_world(opened: OpenedLedger, data: Data) -> None:
    """Refuse to go on with a ledger whose symbols are not those of the data: its ids would name other shares.

    Raises:
        ConfigError: with both ways out.
    """
    if opened.run is None:
        return
    before = opened.run.manifest_dict()["universe"]["symbols"]
    now = list(data.recording.universe.symbols)
    if before != now:
        gone = [s for s in before if s not in now]
        new = [s for s in now if s not in before]
        raise ConfigError(
            f"the ledger was written for {len(before)} symbols, the data have {len(now)} "
            f"(new: {_some(new)}; gone: {_some(gone)})",
            code="UNIVERSE_CHANGED",
            remedy="play the same symbols, or begin an empty ledger in another paths.state_dir",
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more if names else "none"


def fold_checked(factory: CoreFactory, opened: OpenedLedger, progress: Callable[[int], None] | None = None) -> LiveCore:
    """Return a core folded from a ledger, if it is what the ledger says it is.

    Raises:
        LedgerRefusedError: INVARIANT_VIOLATED: it cannot be folded, or what came of it does not hold together.
    """
    try:
        core = factory.fold(Reader(opened), progress)
    except InvariantError as error:
        raise _violated(error.message) from error
    problems = []
    if core.sequencer.digest != opened.event_digest:
        problems.append("the event digest after recovery is not the one the ledger gives")
    if core.sequencer.seq != opened.last_seq:
        problems.append(f"recovery ended at input {core.sequencer.seq}, the ledger at {opened.last_seq}")
    problems += check_core(core.core)
    if problems:
        raise _violated(problems[0])
    return core


def _violated(problem: str) -> LedgerRefusedError:
    return LedgerRefusedError(
        f"the state folded from the ledger does not hold together: {problem}",
        reason="INVARIANT_VIOLATED",
        remedy="run tradingd verify on the state folder, then restore a backup",
    )


def read_ledger(state_dir: Path) -> OpenedLedger:
    """Open the ledger of a running daemon for reading, on whatever it holds now; the caller closes it."""
    market = MarketCodec(MARKET)
    return OpenedLedger(state_dir, codec(), market, open_readonly(state_dir / LEDGER))
