"""``tradingd replay``: recorded data through the same actors as live, into a run folder.

The folder is staged and appears complete or not at all. The ledger in it is written while the run goes on; every
table is derived from the ledger afterwards, so what the tables say is what the ledger says.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from actors.alerter.actor import AlerterActor
from actors.broker.fees import require_dates
from actors.feed.actor import FeedActor
from actors.feed.recording import Recording, RecordingSpec, open_recording
from actors.feed.session import calendar_zone
from actors.messages.alerts import AlertRaised
from actors.messages.catalogue import codec
from actors.messages.market import BarPanel
from actors.messages.portfolio import DepositCash
from actors.predictor.models.manifest import refuse_seen_period
from actors.predictor.pool.inprocess import InProcessPool
from actors.reporter.actor import Progress as Seen
from actors.reporter.actor import ReporterActor
from actors.reporter.benchmarks import CostRates
from actors.reporter.record import IndexSeries, RunRecord, RunResult
from actors.reporter.runfolder import write_events, write_run_folder
from actors.values import Universe, fmt, parse_interval
from actors.values.time import format_ts
from config.params import alert_params, broker_params, portfolio_specs
from config.risk_params import risk_limits
from config.settings import Settings, settings_digest, settings_tree
from daemon.journal.journal import Manifest
from daemon.journal.sqlite import SqliteJournal, open_readonly, read_frames
from daemon.kernel.clock import VirtualClock
from daemon.kernel.errors import UsageError
from daemon.system.bindings import strategy_bindings
from daemon.system.board_measures import Measurer, Observed, observe
from daemon.system.composition import CoreSpec, build_core
from daemon.system.engine import Consumer, ReplayEngine, Tee
from daemon.system.failures import FailureStop, ScriptRefusals
from daemon.system.measure_rows import rounded
from daemon.system.news import news_notices, sentiment_params, text_digests, text_models
from daemon.system.options import ReplayOptions
from daemon.system.outbox import AlertOutbox, channels
from daemon.system.scenarios import load_scenarios
from daemon.system.script import ScriptLine, read_script
from daemon.system.staging import staged_folder
from daemon.system.tick_notices import tick_notices
from daemon.system.version import program_version
from daemon.system.when import TimeReader

Progress = Callable[[int, int], None]
LEDGER: Final = "ledger.db"
EMBEDDED: Final = "sp500"
FAILURES_SHOWN: Final = 3


class ReplayResult(msgspec.Struct, frozen=True):
    """What a replay leaves behind.

    Attributes:
        folder: of the run.
        run: what the reporter computed.
        alerts: raised, in order.
        notices: sentences the operator should read.
        digest: of the events, hex.
        instants, bars, ticks: how much was replayed: panels of bars, bars, quotes and prints.
        seen: what the reporter counted while the run went on.
        phases: seconds of wall time by phase.
    """

    folder: Path
    run: RunResult
    alerts: tuple[AlertRaised, ...]
    notices: tuple[str, ...]
    digest: str
    instants: int
    bars: int
    ticks: int
    seen: Seen
    phases: dict[str, float]


def run_replay(options: ReplayOptions, settings: Settings, progress: Progress | None = None) -> ReplayResult:
    """Replay recorded data and write the run folder.

    Args:
        options: inputs and outputs.
        settings: everything that can stand in a configuration file.
        progress: called with (done, expected): instants of bars, or inputs where there are only ticks.

    Raises:
        OperatorError: any mistake in files, parameters or options; nothing is left behind.
    """
    phases = _Stopwatch()
    started = _now_text()
    recording = open_recording(_recording_spec(options, settings))
    phases.lap("load")
    bindings = strategy_bindings(settings)
    portfolios = portfolio_specs(settings, {ref: b.name for ref, b in bindings.items()})
    script = _script(options, settings, recording.universe, tuple(p.name for p in portfolios))
    if not script and not any(p.strategies for p in portfolios):
        raise UsageError(
            "there is nothing to trade", code="NO_TRADER", remedy="name a --strategy or a file of --orders"
        )
    spec = CoreSpec(
        universe=recording.universe,
        interval=recording.interval,
        bindings=tuple(bindings.values()),
        decision_interval=_decision_interval(settings),
        broker=broker_params(settings),
        limits=risk_limits(settings, replay=True),
        portfolios=portfolios,
        seed=options.seed,
        sentiment=sentiment_params(settings, news=bool(options.news)),
    )
    refuse_seen_period((b.model for b in spec.bindings), recording.sessions[0].date, recording.sessions[-1].date)
    if spec.broker.regulatory_fees:
        require_dates(recording.sessions[0].date, recording.sessions[-1].date)
    with staged_folder(options.out) as staging:
        run = _Run(options, settings, recording, spec, script, started)
        run.play(staging, progress)
        phases.lap("replay")
        result = run.report(staging)
        phases.lap("report")
    return ReplayResult(
        folder=options.out,
        run=result,
        alerts=tuple(run.alerter.raised),
        notices=run.notices(),
        digest=run.digest,
        instants=recording.n_instants,
        bars=recording.n_bars,
        ticks=recording.n_ticks,
        seen=run.reporter.progress(),
        phases=phases.seconds,
    )


class _Stopwatch:
    """Wall time by phase, for people; nothing that is recorded depends on it."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now


class _Run:
    """One run from the first input to the tables."""

    def __init__(
        self,
        options: ReplayOptions,
        settings: Settings,
        recording: Recording,
        spec: CoreSpec,
        script: list[ScriptLine],
        started: str,
    ) -> None:
        self.options = options
        self.settings = settings
        self.recording = recording
        self.spec = spec
        self.script = script
        self.started = started
        self.feed = FeedActor(recording)
        self.alerter = AlerterActor(recording.universe, alert_params(settings))
        self.reporter = ReporterActor()
        self.config_digest = settings_digest(settings)
        self.digest = ""
        self._left_over = 0
        self._without_volume = 0
        self._failures: tuple[str, ...] = ()
        self._refused: tuple[str, ...] = ()
        self._scenarios = load_scenarios(settings.risk.scenarios)
        self._observed: Observed | None = None

    def play(self, staging: Path, progress: Progress | None) -> None:
        """Run the core over the data, writing the ledger."""
        with channels(self.settings) as ways_out:
            outbox = AlertOutbox(self.alerter, ways_out)
            journal = SqliteJournal(
                staging / LEDGER,
                self._manifest(),
                codec(),
                durable=self.options.durable,
                on_commit=outbox.release,
            )
            try:
                self._run(journal, outbox, progress)
                journal.close("ended", self.digest)
                outbox.release()
            finally:
                journal.abandon()
        self._failures += tuple(f"alert {f.alert_id} did not reach the {f.channel}: {f.reason}" for f in outbox.failed)

    def _run(self, journal: SqliteJournal, outbox: AlertOutbox, progress: Progress | None) -> None:
        clock = VirtualClock()
        models = [binding.model for binding in self.spec.bindings]
        texts = text_models(self.settings, self.spec.sentiment)
        stop = FailureStop()
        refusals = ScriptRefusals()
        taps: list[Consumer] = [outbox, self.reporter, refusals] if self.script else [outbox, self.reporter]
        if self.settings.predictor.on_failure == "stop":
            taps.append(stop)
        core = build_core(self.spec, clock=clock, sink=Tee(journal, taps), on_quarantine=journal.quarantine)
        stop.failures = core.predictor.failures
        if self.settings.predictor.warmup:
            core.sequencer.rewarm(list(self.recording.warm_rows(self.settings.predictor.warmup)))
        engine = ReplayEngine(
            core.sequencer,
            clock,
            deposits=[DepositCash(p.name, p.cash, "opening deposit") for p in self.spec.portfolios],
            script=self.script,
            taps=[outbox],
            pool=InProcessPool(models, texts=texts) if any(models) or texts else None,
            latency_ns=self.settings.predictor.latency_ms * 1_000_000,
            first_bar=self.recording.first_start,
        )
        bars = self.recording.n_instants
        counted, total = (BarPanel, bars) if bars else (None, self.recording.n_inputs)
        engine.run(self.feed.inputs(), total=total, progress=progress, counted=counted)
        self.digest = core.sequencer.digest.hex()
        self._observed = observe(core)
        self._left_over = engine.left_over
        self._without_volume = core.broker.null_volume_skips
        self._failures = tuple(dict.fromkeys(core.predictor.failures))
        self._refused = refusals.notice()

    def report(self, staging: Path) -> RunResult:
        """Derive every table and the report from the ledger."""
        db = open_readonly(staging / LEDGER)
        try:
            if self.options.events:
                write_events(read_frames(db, codec()), self.recording.universe, staging / "events.jsonl")
            return write_run_folder(self._record(), read_frames(db, codec()), staging)
        finally:
            db.close()

    def notices(self) -> tuple[str, ...]:
        """Sentences the operator should read."""
        notices = [*self.recording.notices, *tick_notices(self.settings, self.recording)]
        notices += news_notices(self.settings, self.spec, "--news FILE")
        _, closes = self.recording.session_closes()
        barren = int(np.count_nonzero(~np.isfinite(closes).any(axis=1)))
        if barren and self.recording.history is not None:
            notices.append(
                f"{barren:,} of {closes.shape[0]:,} sessions have no bar of any symbol; they count, with a return of 0"
            )
        if self._without_volume:
            notices.append(
                f"{self._without_volume} time{'s' * (self._without_volume > 1)} a working order met a bar with a null"
                " volume, which fills nothing"
            )
        early = sum(line.at is not None and line.at < self.recording.first_start for line in self.script)
        if early:
            notices.append(
                f"{early} scripted line{'s' * (early > 1)} dated before the data came in where they begin, at"
                f" {format_ts(self.recording.first_start)}"
            )
        if self._left_over:
            notices.append(
                f"{self._left_over} scripted line{'s' * (self._left_over > 1)} never came in: dated after the data, or"
                " waiting for what did not happen"
            )
        notices += self._refused
        notices += self._failures[-FAILURES_SHOWN:]
        return tuple(notices)

    def _manifest(self) -> Manifest:
        return Manifest(
            run_id=hashlib.sha256(f"{self.config_digest}{self.options.seed}{self.started}".encode()).hexdigest()[:16],
            version=program_version(),
            mode="replay",
            seed=self.options.seed,
            config=settings_tree(self.settings),
            config_digest=self.config_digest,
            digests=self._digests(),
            universe=msgspec.to_builtins(self.recording.universe),
            started=self.started,
        )

    def _digests(self) -> dict[str, str]:
        digests = dict(self.recording.digests) | text_digests(self.spec.sentiment)
        sources = [Path(b.origin) for b in self.spec.bindings if b.origin.endswith(".py")]
        if self.options.orders is not None:
            sources.append(self.options.orders)
        for path in sources:
            digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return digests

    def _record(self) -> RunRecord:
        recording, settings, spec = self.recording, self.settings, self.spec
        dates, closes = recording.session_closes()
        _, opens = recording.session_opens()
        index = recording.benchmark_closes()
        # Only the embedded index is known to leave out dividends; a file's prices are what the file says they are.
        label = None if index is None else index[0]
        return RunRecord(
            version=program_version(),
            seed=self.options.seed,
            config=settings_tree(settings),
            config_digest=self.config_digest,
            universe=recording.universe,
            event_digest=self.digest,
            session_dates=dates,
            session_closes=closes,
            session_opens=opens,
            actions=recording.actions,
            digests=self._digests(),
            data_label=recording.label,
            portfolios=tuple((p.name, fmt(p.cash)) for p in spec.portfolios),
            strategies=tuple(b.name for b in spec.bindings),
            command=self.options.command,
            interval=recording.interval.text,
            from_date=_date_text(self.options.date_from),
            to_date=_date_text(self.options.date_to),
            started=self.started,
            ended=_now_text(),
            index=None if index is None or label is None else IndexSeries(label, index[1], index[2]),
            costs=CostRates(
                commission_rate=spec.broker.commission_rate / 1e8,
                slippage=spec.broker.slippage_rate / 1e8,
                spread=spec.broker.spread_rate / 1e8,
            ),
            gates=(spec.limits.min_confidence_buy, spec.limits.min_confidence_sell),
            alerts=tuple(self.alerter.raised),
            notices=self.notices(),
            quality=msgspec.to_builtins(self.feed.quality),
            survivorship=self.options.source == EMBEDDED,
            close_only=recording.close_only,
            volume_known=recording.volume_known,
            fed=(*(("bars",) if recording.n_bars else ()), *(("ticks",) if recording.n_ticks else ())),
            equity_rows=settings.reporter.equity,
            zone=calendar_zone(settings.universe.calendar),
            traded=recording.traded,
            rf=float(settings.reporter.risk_free_rate),
            measures=self._measures(),
        )

    def _measures(self) -> tuple[dict[str, Any], ...]:
        """Return what is measured of the risk of what is held at the end, as the board of a daemon would show it."""
        rf = float(self.settings.reporter.risk_free_rate)
        sessions = self.spec.limits.var_sessions
        measurer = Measurer(self.recording.universe, self._scenarios, self.options.seed, rf, sessions)
        found = () if self._observed is None else measurer.of(self._observed)
        # The last digits of products by BLAS are the machine's, and a run folder's are not.
        return tuple(rounded(msgspec.to_builtins(measures)) for measures in found)


def _recording_spec(options: ReplayOptions, settings: Settings) -> RecordingSpec:
    return RecordingSpec(
        bars=tuple(str(path) for path in options.bars),
        quotes=tuple(str(path) for path in options.quotes),
        trades=tuple(str(path) for path in options.trades),
        news=tuple(str(path) for path in options.news),
        status=tuple(str(path) for path in options.status),
        max_jump=float(settings.feed.max_jump),
        jump_confirmations=settings.feed.jump_confirmations,
        actions=tuple(str(path) for path in options.actions),
        source=options.source or "",
        symbols=settings.universe.symbols,
        from_date=options.date_from,
        to_date=options.date_to,
        tz=options.tz,
        adjustment=options.adjustment,
        interval=options.interval,
        calendar=settings.universe.calendar,
        extended_hours=settings.broker.extended_hours,
        benchmark=settings.universe.benchmark or None,
        sectors=settings.universe.sectors,
    )


def _script(
    options: ReplayOptions, settings: Settings, universe: Universe, portfolios: tuple[str, ...]
) -> list[ScriptLine]:
    if options.orders is None:
        return []
    reader = TimeReader(options.tz, calendar_zone(settings.universe.calendar))
    return read_script(options.orders, universe.index(), portfolios, reader)


def _decision_interval(settings: Settings) -> Any:
    text = settings.predictor.decision_interval
    return parse_interval(text) if text else None


def _date_text(date: int | None) -> str:
    if date is None:
        return ""
    text = str(date)
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


def _now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
