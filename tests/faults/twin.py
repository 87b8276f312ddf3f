"""The twin of a daemon that crashed: one core in this process that was never interrupted.

It gets market data from the recording itself, its timers from its own heap, and from the crashed daemon's ledger only
what came from outside: the commands, at their recorded stamps. Whatever a crash lost, doubled or changed makes a
difference: a bar that is not the recording's next, a timer that is not its own next, other events, another end.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from actors.messages.catalogue import MARKET, codec
from config.settings import Settings
from config.sources import load_settings
from daemon.journal.batch import OutboxRow
from daemon.journal.market_codec import MarketCodec
from daemon.journal.opened import OpenedLedger, RecordedInput
from daemon.kernel.actor import Frame
from daemon.kernel.message import Event, Market
from daemon.kernel.poison import PoisonRecord
from daemon.system.live_core import LiveCore
from daemon.system.options import DEFAULT_SEED
from daemon.system.start import CoreFactory, Data, open_data, read_ledger
from tests.live_support import Daemon

TIMER: Final = "timer"


@dataclass(slots=True)
class Likeness:
    """How far the twin and the daemon are the same; ``difference`` is empty where they are."""

    inputs: int = 0
    panels: int = 0
    timers: int = 0
    commands: int = 0
    events: int = 0
    digest: str = ""
    difference: str = ""


class _Sink:
    """Folds what the core states as the core loop does, and keeps nothing."""

    def __init__(self, core: LiveCore) -> None:
        self._core = core
        self.outbox: list[OutboxRow] = []

    def append(self, frame: Frame) -> None:
        self._core.fold_frame(frame, self.outbox)

    def quarantine(self, record: PoisonRecord) -> None:
        raise AssertionError(record.error)


def settings_of(daemon: Daemon) -> Settings:
    """Load the settings that a daemon was started with."""
    return load_settings(file=daemon.config, profile=None, sets=tuple(daemon.sets), environ={}).settings


def compare(daemon: Daemon, *, seed: int = DEFAULT_SEED) -> Likeness:
    """Run the twin of a daemon that has ended, and compare; see the module."""
    settings = settings_of(daemon)
    data = open_data(settings, seed=seed)
    ledger = read_ledger(daemon.state)
    try:
        return _Twin(settings, data).live(ledger)
    finally:
        ledger.close()


class _Twin:
    def __init__(self, settings: Settings, data: Data) -> None:
        self._core = CoreFactory(settings, data, anchor={}).empty()
        self._sink = _Sink(self._core)
        self._core.attach(self._sink)
        self._panels = data.recording.inputs()
        self._codec = codec()
        self._market = MarketCodec(MARKET)
        self._like = Likeness()

    def live(self, ledger: OpenedLedger) -> Likeness:
        like, sequencer = self._like, self._core.sequencer
        for row in ledger.inputs(0):
            difference = self._step(row)
            if difference:
                like.difference = f"input {row.seq} ({type(row.body).__name__}): {difference}"
                return like
        like.digest = sequencer.digest.hex()
        if sequencer.digest != ledger.event_digest:
            like.difference = f"the digest is {like.digest}, the ledger's is {ledger.event_digest.hex()}"
        newest = next(ledger.snapshots(), None)
        if newest is not None and newest.seq == sequencer.seq:
            mine = self._core.snapshot()
            if newest.core != mine.core or newest.edge != mine.edge:
                like.difference = "the state at the end is another"
        elif not ledger.unclean:
            like.difference = "a daemon that ended in order left no snapshot of its end"
        return like

    def _step(self, row: RecordedInput) -> str:
        """Take one input; return what differs."""
        core, like = self._core, self._like
        sequencer = core.sequencer
        core.move_clock(row.ts)
        if not sequencer.seq:
            sequencer.start()
        body, stamp = row.body, row.ts_event
        if isinstance(body, Market):
            like.panels += 1
            body = next(self._panels)
            if self._market.encode(body) != self._market.encode(row.body):
                return f"the recording goes on with {str(body)[:200]}, the tape with {str(row.body)[:200]}"
        elif row.source == TIMER:
            like.timers += 1
            stamp, mine = sequencer.timers.pop()
            if (stamp, mine) != (row.ts_event, row.body):
                return f"the next timer is {mine} at {stamp}"
        else:
            like.commands += 1
        events = self._process(row, body, stamp)
        like.inputs += 1
        like.events += len(events)
        if sequencer.seq != row.seq:
            return f"it is the twin's input {sequencer.seq}"
        if self._codec.encode_many(events) != self._codec.encode_many(row.events):
            return f"it caused {str(events)[:300]}, recorded is {str(row.events)[:300]}"
        return ""

    def _process(self, row: RecordedInput, body: object, stamp: int) -> list[Event]:
        given = None if row.ts_event == row.ts and not isinstance(body, Market) else stamp
        events = self._core.sequencer.process(body, row.source, ts_event=given)  # type: ignore[arg-type]
        if isinstance(body, Market):
            self._core.fold_panel(body, self._sink.outbox)
        return events


def event_digest(folder: Path) -> str:
    """Return the event digest of a state folder, hex."""
    ledger = read_ledger(folder)
    try:
        return ledger.event_digest.hex()
    finally:
        ledger.close()
