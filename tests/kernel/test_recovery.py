"""Recorded inputs are folded, never decided again; timers come back from what actors remember of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.kernel.actor import CoreActor, Frame, decides, evolves, observes, seals
from daemon.kernel.clock import VirtualClock
from daemon.kernel.codec import Codec
from daemon.kernel.errors import FrameAbandonedError, InvariantError, OperatorError
from daemon.kernel.message import Command, CommandRejected, DeadLettered, Event, InputQuarantined, Market, Message
from daemon.kernel.poison import POISON_MAX, POISON_WINDOW_NS, PoisonRecord
from daemon.kernel.sequencer import DIGEST_START, Sequencer


class Tick(Market, frozen=True, tag=920):
    """Market data."""


class Quote(Market, frozen=True, tag=927):
    """Market data that nobody looks at."""


class Wake(Command, frozen=True, tag=921):
    """Ask for rings: ``(actor, delay)`` pairs; then, perhaps, fail."""

    rings: tuple[tuple[str, int], ...]
    fail: str = ""


class RingA(Command, frozen=True, tag=922):
    """The first actor's timer."""

    n: int


class RingB(Command, frozen=True, tag=923):
    """The second actor's timer."""

    n: int


class Asked(Event, frozen=True, tag=924):
    """A timer waits."""

    actor: str
    n: int
    due: int


class Rang(Event, frozen=True, tag=925):
    """A timer fired."""

    actor: str
    n: int
    waiting: int


class Told(Event, frozen=True, tag=926):
    """A fact from outside."""

    fail: bool = False


CODEC = Codec((Wake, RingA, RingB, Asked, Rang, Told))
RINGS: dict[str, Any] = {"first": RingA, "second": RingB}


class Sleeper(CoreActor):
    """Remembers its timers: what waits by number, in the order in which it was asked for."""

    emits = (Asked, Rang)

    def __init__(self) -> None:
        self.waiting: dict[int, int] = {}
        self.n = 0
        self.seen: list[int] = []
        self.log: list[str] = []
        self.watched: list[int] = []

    @observes(Tick)
    def look(self, tick: Tick) -> None:
        """See market data."""
        self.watched.append(tick.ts)
        self.seen = [*self.seen, tick.ts][-3:]

    @seals(Tick)
    def seal(self, tick: Tick) -> None:
        """Fold what the facts of the input have left."""
        self.seen = [*self.seen, len(self.waiting)][-3:]

    @decides(Wake)
    def wake(self, command: Wake, ctx: Any) -> None:
        """Set timers."""
        n = self.n
        for actor, delay in command.rings:
            if actor == self.name:
                n += 1
                ctx.emit(Asked(self.name, n, ctx.now + delay))
                ctx.call_at(ctx.now + delay, RINGS[actor](n))
        if command.fail == f"{self.name} refuses":
            raise OperatorError("no", code="NO")
        if command.fail == f"{self.name} breaks":
            raise ZeroDivisionError

    @decides(Told)
    def hear(self, fact: Told, ctx: Any) -> None:
        """Fail behind a fact that was folded."""
        if fact.fail:
            raise ZeroDivisionError

    @decides(Tick)
    def tick(self, tick: Tick, ctx: Any) -> None:
        """Show that a decision was made."""
        self.log.append("decided")

    @evolves(Asked)
    def asked(self, event: Asked) -> None:
        """Wait."""
        if event.actor == self.name:
            self.n = event.n
            self.waiting[event.n] = event.due

    @evolves(Rang)
    def rang(self, event: Rang) -> None:
        """Wait no longer."""
        if event.actor == self.name:
            del self.waiting[event.n]

    @evolves(Told, InputQuarantined, CommandRejected)
    def told(self, event: Event) -> None:
        """Note that something was heard."""
        self.log.append(type(event).__name__)

    def ring(self, command: Any, ctx: Any) -> None:
        """State that a timer fired."""
        ctx.emit(Rang(self.name, command.n, len(self.waiting)))

    def rearm(self, ctx: Any) -> None:
        """Set what waits."""
        for n, due in self.waiting.items():
            ctx.call_at(due, RINGS[self.name](n))

    def snapshot(self) -> Any:
        """Give the state."""
        return [list(self.waiting.items()), self.n, self.seen]

    def restore(self, state: Any) -> None:
        """Take it over."""
        self.waiting = dict(state[0])
        self.n, self.seen = state[1:]


class First(Sleeper):
    """First stage."""

    name = "first"

    @decides(RingA)
    def on_ring(self, command: RingA, ctx: Any) -> None:
        """Ring."""
        self.ring(command, ctx)


class Second(Sleeper):
    """Second stage."""

    name = "second"

    @decides(RingB)
    def on_ring(self, command: RingB, ctx: Any) -> None:
        """Ring."""
        self.ring(command, ctx)


class Bench:
    """A core, its record, and what was quarantined."""

    def __init__(self) -> None:
        self.clock = VirtualClock(100)
        self.frames: dict[int, Frame] = {}
        self.poisoned: list[PoisonRecord] = []
        self.actors = [First(), Second()]
        self.core = Sequencer(self.actors, codec=CODEC, clock=self.clock, sink=self, on_quarantine=self.poisoned.append)
        self.record: list[tuple[Any, ...]] = []
        self.snapshots = [self.core.snapshot()]

    def append(self, frame: Frame) -> None:
        """Be the sink."""
        self.frames[frame.envelope.seq] = frame

    def do(self, body: Message, source: str = "test", ts_event: int | None = None) -> list[Event]:
        """Process one input and write it down."""
        events = self.core.process(body, source, ts_event=ts_event)
        ts = self.core.last_ts
        self.record.append((self.core.seq, ts, ts if ts_event is None else ts_event, body, events, source))
        self.snapshots.append(self.core.snapshot())
        return events

    def fire(self) -> None:
        """Fire what is due."""
        while (due := self.core.timers.next_due()) is not None and due <= self.clock.now():
            due, command = self.core.timers.pop()
            self.do(command, "timer", due)

    def fold(self, rows: list[tuple[Any, ...]]) -> Bench:
        """Fold a record, then set timers anew."""
        for *row, source in rows:
            self.core.refold(*row, source=source)
        self.core.rearm()
        return self


STEPS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from(("", "", "", "first refuses", "second refuses", "first breaks")),
        st.lists(st.tuples(st.sampled_from(("first", "second")), st.integers(0, 5).map(lambda d: 15 * d)), max_size=3),
        st.booleans(),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.data())
def test_a_core_that_folded_its_record_waits_for_the_same_timers(steps: list[Any], data: st.DataObject) -> None:
    """Those of the snapshot, less those that fired since, and those set since; then both go on alike."""
    whole = Bench()
    for delay, fail, rings, quiet in steps:
        whole.clock.advance_to(whole.clock.now() + delay)
        whole.fire()
        storm = fail == "first breaks" and len(whole.poisoned) == POISON_MAX - 1
        whole.do(Tick(whole.clock.now()) if quiet else Wake(tuple(rings), "" if storm else fail))
    a, b = sorted(data.draw(st.tuples(st.integers(0, len(whole.record)), st.integers(0, len(whole.record)))))
    again = Bench()
    if a:
        again.core.restore(whole.snapshots[a])
    again.fold(whole.record[a:b])
    assert again.core.snapshot() == whole.snapshots[b]
    assert not again.frames
    again.clock.advance_to(again.core.last_ts or 100)
    for seq, ts, ts_event, body, events, source in whole.record[b:]:
        again.clock.advance_to(ts)
        if source == "timer":
            assert again.core.timers.pop() == (ts_event, body)
        assert again.core.process(body, source, ts_event=ts_event) == events
        assert again.core.snapshot() == whole.snapshots[seq]


class Stamping(CoreActor):
    """Notes when it folded a fact that does not say its own time."""

    name = "stamping"

    def __init__(self) -> None:
        self.at: list[int] = []

    @evolves(Told)
    def told(self, event: Told) -> None:
        """Note the frame's stamp."""
        self.at.append(self.frame_ts)


def test_a_fact_without_a_time_of_its_own_has_its_frames_when_decided_and_when_folded_anew() -> None:
    """The first at 130, the second at 170: the same two stamps from the record; outside a core there is none."""
    clock = VirtualClock(100)
    lone, whole, again = Stamping(), Stamping(), Stamping()
    core = Sequencer([whole], codec=CODEC, clock=clock, sink=Bench())
    clock.advance_to(130)
    core.process(Told(), "test")
    clock.advance_to(170)
    core.process(Told(), "test")
    fresh = Sequencer([again], codec=CODEC, clock=VirtualClock(900), sink=Bench())
    fresh.refold(1, 130, 130, Told(), [])
    fresh.refold(2, 170, 170, Told(), [])
    lone.told(Told())
    assert (whole.at, again.at, lone.at) == ([130, 170], [130, 170], [0])


def test_folding_an_input_decides_nothing_and_hands_nothing_out() -> None:
    """Observed, its facts folded in order, sealed."""
    bench = Bench()
    bench.core.refold(1, 100, 90, Tick(90), [Asked("first", 1, 500), DeadLettered("X"), Rang("first", 1, 1)])
    assert bench.actors[0].log == []
    assert (bench.actors[0].seen, bench.actors[1].seen) == ([90, 0], [90, 0])
    assert (bench.core.seq, bench.core.last_ts, bench.core.events_total, bench.frames) == (1, 100, 3, {})
    assert bench.core.digest != DIGEST_START
    with pytest.raises(InvariantError, match="fresh run"):
        bench.core.start()


def test_an_input_without_facts_leaves_the_digest_alone() -> None:
    """As it did when it was decided."""
    bench = Bench()
    bench.core.refold(1, 100, 100, Tick(100), [])
    assert bench.core.digest == DIGEST_START


@pytest.mark.parametrize(("seq", "ts", "says"), [(3, 200, "input 3 was recorded where 2"), (2, 99, "before the 100")])
def test_a_record_with_a_hole_or_a_step_back_is_refused(seq: int, ts: int, says: str) -> None:
    """Folding on would give a state that no run ever had."""
    bench = Bench()
    bench.core.refold(1, 100, 100, Tick(100), [])
    with pytest.raises(InvariantError, match=says) as caught:
        bench.core.refold(seq, ts, ts, Tick(ts), [])
    assert caught.value.code == "REFOLD_ORDER"
    bench.core.refold(2, 100, 100, Tick(100), [])


def test_a_fold_that_fails_leaves_a_core_that_refuses_everything() -> None:
    """The record does not fit the program: there is no state to go on from."""
    bench = Bench()
    with pytest.raises(InvariantError, match="rang failed on Rang"):
        bench.core.refold(1, 100, 100, Tick(100), [Rang("first", 9, 0)])
    for go_on in (lambda: bench.core.refold(2, 100, 100, Tick(100), []), bench.core.rearm, bench.core.snapshot):
        with pytest.raises(InvariantError) as caught:
            go_on()
        assert caught.value.code == "CORE_HALFWAY"


def test_a_timer_set_again_from_state_is_not_set_twice() -> None:
    """Neither what the snapshot still holds nor what fired behind it, though the state may not have noticed."""
    bench = Bench()
    bench.do(Wake((("first", 50), ("first", 50), ("second", 50))))
    again = Bench()
    again.core.restore(bench.snapshots[1])
    again.core.refold(2, 150, 150, RingA(1), [], source="timer")
    again.core.rearm()
    assert [(due, c) for due, *_, c in again.core.timers.entries()] == [(150, RingA(2)), (150, RingB(1))]
    blank = Bench()
    for row in [*bench.record, (2, 150, 150, RingA(1), [], "timer")]:
        blank.core.refold(*row[:5], source=row[5])
    blank.core.rearm()
    assert blank.core.snapshot() == again.core.snapshot()


def test_an_actor_may_only_set_its_own_timers_when_it_is_rearmed() -> None:
    """There is no input that a message could belong to."""
    bench = Bench()
    bench.actors[0].rearm = lambda ctx: ctx.emit(Asked("first", 1, 5))  # type: ignore[method-assign]
    with pytest.raises(InvariantError, match="emitted messages in rearm"):
        bench.core.rearm()
    other = Bench()
    other.actors[0].rearm = lambda ctx: ctx.call_at(5, RingB(1))  # type: ignore[method-assign]
    with pytest.raises(InvariantError, match="may not schedule RingB"):
        other.core.rearm()


def test_an_actor_without_timers_need_not_answer() -> None:
    """What the snapshot holds stays."""

    class Forgetful(CoreActor):
        name = "forgetful"
        sends = (RingA,)

        def on_start(self, ctx: Any) -> None:
            ctx.call_at(500, RingA(1))

        def snapshot(self) -> Any:
            return None

        def restore(self, state: Any) -> None:
            assert state is None

    def build() -> Sequencer:
        return Sequencer([Forgetful()], codec=CODEC, clock=VirtualClock(1), sink=Bench())

    core, other = build(), build()
    core.start()
    other.restore(core.snapshot())
    other.rearm()
    assert other.snapshot() == core.snapshot()


@pytest.mark.parametrize(("need", "asked", "shown"), [(0, [], []), (1, [1, 4], [3, 5]), (2, [2, 8], [1, 2, 3, 5])])
def test_rows_are_shown_again_until_every_window_has_what_it_needs(
    need: int, asked: list[int], shown: list[int]
) -> None:
    """What an actor does not count, others' data or a revision, does not fill its window; too many rows do no harm."""
    tape = [Tick(1), Tick(2), Tick(3), Quote(4), Tick(5), Quote(6)]
    bench = Bench()
    bench.actors[1].warmup_rows = lambda: need  # type: ignore[method-assign]
    counts: list[int] = []

    def last(count: int) -> list[Market]:
        counts.append(count)
        return tape[-count:]

    bench.core.warm(last)
    assert counts == asked
    assert bench.actors[1].watched == shown
    assert bench.actors[0].watched == []


# -- abandoned frames --------------------------------------------------------------------------------------------------


def abandoned() -> tuple[Bench, PoisonRecord]:
    """Return a core whose fourth input broke a handler behind a folded fact, and what the quarantine was told."""
    bench = Bench()
    for body in (Tick(100), Wake((("first", 40),)), Tick(100)):
        bench.do(body)
    with pytest.raises(FrameAbandonedError):
        bench.core.process(Told(fail=True), "outside", ts_event=77, correlation_id="story", causation_id=2)
    return bench, bench.poisoned[0]


def test_an_abandoned_input_is_set_aside_in_the_rebuilt_core() -> None:
    """It has its place in the order; its fact is folded, nobody decides on it, and the record says why."""
    broken, record = abandoned()
    bench = Bench().fold(broken.record)
    bench.clock.advance_to(130)
    assert bench.core.set_aside(record) == [InputQuarantined("first", "Told", "ZeroDivisionError")]
    envelope = bench.frames[4].envelope
    assert (envelope.seq, envelope.ts_init, envelope.ts_event, envelope.source) == (4, 130, 77, "outside")
    assert (envelope.correlation_id, envelope.causation_id, envelope.body) == ("story", 2, Told(fail=True))
    assert bench.actors[0].log == bench.actors[1].log == ["Told", "InputQuarantined"]
    again = Bench().fold([*broken.record, (4, 130, 77, envelope.body, bench.frames[4].events, "outside")])
    assert again.core.snapshot() == bench.core.snapshot()
    bench.core.process(Tick(130), "test")


def test_abandoned_inputs_of_one_type_are_a_storm_too() -> None:
    """Each of them costs a rebuild: three within a minute stop the process."""
    _, record = abandoned()
    bench = Bench()
    for _ in range(POISON_MAX - 1):
        bench.core.set_aside(record)
    later = Bench()
    later.core.restore(bench.core.snapshot())
    with pytest.raises(InvariantError, match="first failed 3 times within a minute on Told: ZeroDivisionError"):
        bench.core.set_aside(record)
    later.clock.advance_to(100 + POISON_WINDOW_NS)
    later.core.set_aside(record)
