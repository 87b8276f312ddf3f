"""Forensic replay: the recorded inputs of a daemon, in the order of their seq, decided again and compared.

The journal holds commands, timers, predictions and latches with the stamps they got; the tape holds market data. Fed to
a fresh core on a virtual clock that is set to each recorded stamp, they must cause the same facts, byte for byte. What
differs is named: the first input, what was recorded and what came out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, cast

import msgspec

from actors.messages.orders import OrderFilled, OrderPartiallyFilled
from actors.messages.portfolio import EquityMarked, SessionRolled
from daemon.journal.opened import RecordedInput
from daemon.kernel.actor import CoreActor, Frame
from daemon.kernel.clock import VirtualClock
from daemon.kernel.errors import FrameAbandonedError, InvariantError
from daemon.kernel.folding import TIMER
from daemon.kernel.message import Event, InputQuarantined, Market, Message
from daemon.kernel.sequencer import Sequencer
from daemon.system.composition import CoreSpec, build_core

DIFFERENCES_MAX: Final = 20
PROGRESS: Final = 1_000
WINDOW_ROWS: Final = 20_000
"""Market rows of the kinds that fill windows, kept for a change of configuration; the longest lookback is far below."""
_FILLS: Final = (OrderFilled, OrderPartiallyFilled)
_EQUITY: Final = (EquityMarked, SessionRolled)


class Difference(msgspec.Struct, frozen=True):
    """One input that did not cause again what it caused.

    Attributes:
        seq, ts: of the input.
        input: name of its type.
        recorded, found: the first event of either side that differs, as text; "" where there is none.
        kind: ``fill``, ``equity`` or ``event``, by what differs.
    """

    seq: int
    ts: int
    input: str
    recorded: str
    found: str
    kind: str


class Forensics(msgspec.Struct):
    """What a forensic replay found.

    Attributes:
        inputs, events: how many were decided again.
        recorded_digest, digest: event digests of the record and of what came out, hex.
        differences: the first of them; ``differing`` counts all.
        fills, equity: how many of the differing inputs concern fills and equity.
    """

    inputs: int = 0
    events: int = 0
    recorded_digest: str = ""
    digest: str = ""
    differing: int = 0
    fills: int = 0
    equity: int = 0
    differences: list[Difference] = msgspec.field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether everything happened again exactly as recorded."""
        return not self.differing and self.digest == self.recorded_digest


class _Nowhere:
    """Takes frames that nobody keeps."""

    def append(self, frame: Frame) -> None:
        """Forget the frame: its events come back from ``process``."""


def replay_recorded(
    rows: Iterable[RecordedInput],
    specs: dict[int, CoreSpec],
    *,
    recorded_digest: str,
    warm: Sequence[Market] = (),
    progress: Callable[[int], None] | None = None,
) -> Forensics:
    """Decide recorded inputs again.

    Args:
        rows: from the first input of the ledger on, in order.
        specs: first seq of a run -> the core that recorded it. A later run with another configuration takes the state
            of the one before over, as it did when the daemon was started anew.
        recorded_digest: event digest behind the last row, hex.
        warm: history that was only observed before the first input, oldest first.
        progress: told how many inputs are done, now and then.
    """
    found = Forensics(recorded_digest=recorded_digest)
    waiting = sorted(specs.items())
    stage = _Stage(waiting.pop(0)[1], warm)
    for row in rows:
        if waiting and row.seq >= waiting[0][0]:
            stage.move_to(waiting.pop(0)[1])
        events = stage.decide(row)
        found.inputs += 1
        found.events += len(events)
        encode = stage.sequencer.codec.encode_many
        if encode(events) != encode(row.events):
            _note(found, row, events)
        if progress is not None and not found.inputs % PROGRESS:
            progress(found.inputs)
    found.digest = stage.sequencer.digest.hex()
    return found


class _Stage:
    """A core on a virtual clock, and the market rows that its successor's windows would need."""

    def __init__(self, spec: CoreSpec, warm: Sequence[Market]) -> None:
        self._clock = VirtualClock()
        self.sequencer = build_core(spec, clock=self._clock, sink=_Nowhere()).sequencer
        self.sequencer.rewarm(warm)
        self._kinds = frozenset(_kinds_of_windows(self.sequencer))
        self._last: deque[Market] = deque((row for row in warm if type(row) in self._kinds), maxlen=WINDOW_ROWS)
        self._begun = False

    def move_to(self, spec: CoreSpec) -> None:
        """Hand the state over to a core of another configuration."""
        state = self.sequencer.snapshot()
        self._clock = VirtualClock(self._clock.now())
        self.sequencer = build_core(spec, clock=self._clock, sink=_Nowhere()).sequencer
        self.sequencer.restore(state)
        rows = tuple(self._last)
        self.sequencer.warm(lambda count: rows[-count:])
        self.sequencer.rearm()

    def decide(self, row: RecordedInput) -> list[Event]:
        """Set the clock to the recorded stamp and decide again."""
        sequencer = self.sequencer
        if row.ts > self._clock.now():
            self._clock.advance_to(row.ts)
        if not self._begun:
            self._begun = True
            sequencer.start()
        if row.source == TIMER:
            sequencer.timers.discard(row.ts_event, row.body)
        if [type(event) for event in row.events] == [InputQuarantined]:
            # It was set aside, at once or after its frame had been abandoned; either way nobody decided on it.
            sequencer.refold(row.seq, row.ts, row.ts_event, row.body, row.events, source=row.source)
            return row.events
        try:
            events = sequencer.process(row.body, row.source, ts_event=row.ts_event)
        except FrameAbandonedError as error:
            text = f"input {row.seq} breaks a handler now, which it did not when it was recorded: {error}"
            raise InvariantError(text, code="PARITY") from error
        if type(row.body) in self._kinds:
            self._last.append(cast("Market", row.body))
        return events


def _kinds_of_windows(sequencer: Sequencer) -> Iterator[type[Message]]:
    """Give the types of market rows that actors which keep windows look at; quotes would push out all others."""
    for actor in sequencer.routing.actors:
        if type(actor).warmup_rows is not CoreActor.warmup_rows:
            yield from actor.handlers["observes"]
            yield from actor.handlers["seals"]


def _note(found: Forensics, row: RecordedInput, events: list[Event]) -> None:
    found.differing += 1
    recorded, other = _first_difference(row.events, events)
    either = recorded or other
    kind = "fill" if isinstance(either, _FILLS) else "equity" if isinstance(either, _EQUITY) else "event"
    found.fills += kind == "fill"
    found.equity += kind == "equity"
    if len(found.differences) < DIFFERENCES_MAX:
        found.differences.append(
            Difference(row.seq, row.ts, type(row.body).__name__, _text(recorded), _text(other), kind)
        )


def _first_difference(recorded: list[Event], found: list[Event]) -> tuple[Event | None, Event | None]:
    for a, b in zip(recorded, found, strict=False):
        if a != b:
            return a, b
    n = min(len(recorded), len(found))
    return (recorded[n] if n < len(recorded) else None), (found[n] if n < len(found) else None)


def _text(event: Event | None) -> str:
    return "" if event is None else repr(event)[:300]
