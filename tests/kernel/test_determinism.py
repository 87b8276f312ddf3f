"""The property everything hangs on: random programs of messages give the same events, however they are run.

A program is a list of inputs whose messages carry what each recipient is to do with them: state facts, send commands,
set timers, draw numbers, refuse, crash. What an actor says depends on everything it has folded so far, so a single
delivery out of order changes every later event.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from daemon.kernel.actor import CoreActor, Frame, decides, evolves, observes, seals
from daemon.kernel.clock import Clock
from daemon.kernel.codec import Codec
from daemon.kernel.errors import InvariantError, OperatorError, VenueError
from daemon.kernel.ids import rng
from daemon.kernel.message import Command, CommandRejected, DeadLettered, Event, InputQuarantined, Market, Message
from daemon.kernel.sequencer import Sequencer

SEED = 7
WORD = 2**31 - 1


class Tick(Market, frozen=True, tag=900):
    """Market data."""

    plan: Any


class DoA(Command, frozen=True, tag=901):
    """A command for alpha."""

    plan: Any


class DoBC(Command, frozen=True, tag=902):
    """A command for beta and gamma."""

    plan: Any


class DoNobody(Command, frozen=True, tag=903):
    """A command that nobody takes."""

    plan: Any


class Quiet(Event, frozen=True, tag=904):
    """A fact that is folded and decided by nobody."""

    value: int
    plan: Any


class Loud(Event, frozen=True, tag=905):
    """A fact that alpha and gamma react to and beta and gamma fold."""

    value: int
    plan: Any


COMMANDS = (DoA, DoBC, DoNobody)
EVENTS = (Quiet, Loud)


class Toy(CoreActor):
    """Does what the message's plan says for its stage; its state is a hash of everything it folded, in order."""

    sends = COMMANDS
    emits = EVENTS
    stage = 0

    def __init__(self) -> None:
        self.state = 1
        self.rows: list[int] = []

    def follow(self, message: Any, ctx: Any) -> None:
        """Carry out the plan's actions for this stage."""
        drawn = 0
        for verb, *rest in message.plan[self.stage] if message.plan else ():
            if verb == "draw":
                drawn = ctx.rng(rest[0]).randrange(WORD)
            elif verb == "refuse":
                raise OperatorError("no", code="NO", remedy=f"ask at {self.state}")
            elif verb == "lost":
                raise VenueError("the line is dead", code="DEAD")
            elif verb == "crash":
                raise ZeroDivisionError(verb)
            elif verb == "send":
                ctx.send(COMMANDS[rest[0]](rest[1]))
            elif verb == "timer":
                ctx.call_at(ctx.now + rest[0], COMMANDS[rest[1]](rest[2]))
            else:
                ctx.emit(EVENTS[rest[0]]((self.state * 31 + drawn + ctx.now + ctx.seq) % WORD, rest[1]))

    def fold(self, value: int) -> None:
        """Make the state depend on order."""
        self.state = (self.state * 1_000_003 + value + self.stage) % WORD

    @evolves(Quiet)
    def on_quiet(self, fact: Quiet) -> None:
        """Fold."""
        self.fold(fact.value)

    @evolves(CommandRejected, DeadLettered, InputQuarantined)
    def on_trouble(self, fact: Event) -> None:
        """Fold the kernel's own facts too."""
        self.fold(len(type(fact).__name__))

    @observes(Tick)
    def on_row(self, tick: Tick) -> None:
        """Keep the last rows, which are market state."""
        self.rows = [*self.rows, tick.ts][-4:]
        self.fold(tick.ts)

    def snapshot(self) -> Any:
        """Give the state and the rows."""
        return {"state": self.state, "rows": self.rows}

    def restore(self, state: Any) -> None:
        """Take them over."""
        self.state = state["state"]
        self.rows = state["rows"]


class Alpha(Toy):
    """First stage."""

    name = "alpha"

    @decides(Tick, DoA, Loud)
    def on_message(self, message: Any, ctx: Any) -> None:
        """Follow."""
        self.follow(message, ctx)

    def on_start(self, ctx: Any) -> None:
        """Set a first timer."""
        ctx.call_at(ctx.now + 3, DoA(((("emit", 1, ((), (), (("draw", "late"), ("emit", 0, None)))),), (), ())))


class Beta(Toy):
    """Second stage."""

    name = "beta"
    stage = 1

    @decides(Tick, DoBC)
    def on_message(self, message: Any, ctx: Any) -> None:
        """Follow."""
        self.follow(message, ctx)

    @evolves(Loud)
    def on_loud(self, fact: Loud) -> None:
        """Fold."""
        self.fold(fact.value)


class Gamma(Beta):
    """Third stage: as beta, and it hears and seals what beta does not."""

    name = "gamma"
    stage = 2

    @decides(Loud)
    def on_fact(self, message: Any, ctx: Any) -> None:
        """Follow."""
        self.follow(message, ctx)

    @seals(Tick)
    def on_end(self, tick: Tick) -> None:
        """Seal."""
        self.fold(-tick.ts)


CODEC = Codec((*COMMANDS, *EVENTS))


def cast_of_actors() -> list[Toy]:
    """Return fresh actors in stage order."""
    return [Alpha(), Beta(), Gamma()]


class Tape:
    """Bytes read as choices: far quicker to generate than nested strategies, and they shrink to nothing happening."""

    def __init__(self, data: bytes) -> None:
        self.data = iter(data)

    def pick(self, n: int) -> int:
        """Return a number below ``n``, 0 where the tape has ended."""
        return next(self.data, 0) % n

    def program(self) -> list[Any]:
        """Return inputs as (kind, clock step, plan)."""
        return [
            (kind := self.pick(4), self.pick(7) - 2, self.plan(INPUT_TAKERS[kind], 5)) for _ in range(1 + self.pick(8))
        ]

    def plan(self, takers: tuple[int, ...], depth: int) -> Any:
        """Return what each of three stages does, those who take the message at most ``depth`` messages deep."""
        if depth == 0 or not takers:
            return None
        return tuple(
            tuple(self.action(depth) for _ in range(self.pick(4))) if stage in takers else () for stage in range(3)
        )

    def action(self, depth: int) -> tuple[Any, ...]:
        """Return one thing to do."""
        choice = self.pick(128)
        if choice in RARE and not self.pick(2):
            return RARE[choice]
        if choice < 20:
            return ("draw", f"n{choice % 3}")
        if choice < 65:
            return ("emit", choice % 2, self.plan((0, 2) if choice % 2 else (), depth - 1))
        kind = choice % 5 % 3
        below = self.plan(INPUT_TAKERS[kind + 1] if kind < 2 else (), depth - 1)
        return ("send", kind, below) if choice < 115 else ("timer", self.pick(8) - 1, kind, below)


INPUT_TAKERS = ((0, 1, 2), (0,), (1, 2), (0, 2))
"""Stages that take Tick, DoA, DoBC, Loud."""
RARE: dict[int, tuple[str]] = {1: ("crash",), 2: ("refuse",), 3: ("lost",), 4: ("refuse",)}
# Short tapes byte by byte, which shrink well; long ones from a seed, since long byte strings are rarely drawn.
TAPES = st.one_of(
    st.binary(max_size=60),
    st.builds(lambda seed, length: rng(seed, "tape").randbytes(length), st.integers(0, 2**32), st.integers(20, 1_500)),
)
PROGRAMS = TAPES.map(lambda data: Tape(data).program())
COMMON = settings(deadline=None, max_examples=500)


def message_of(kind: int, ts: int, plan: Any) -> Message:
    """Build a program's input."""
    return (Tick(ts, plan), DoA(plan), DoBC(plan), Loud(ts, plan))[kind]


class SteppedClock:
    """A clock that does go back, to see that stamps do not."""

    def __init__(self) -> None:
        self.ts = 100

    def now(self) -> int:
        """Return the present."""
        return self.ts


class Run:
    """A real sequencer and the frames it gave."""

    def __init__(self, clock: Clock) -> None:
        self.frames: list[Frame] = []
        self.clock = clock
        self.core = Sequencer(cast_of_actors(), codec=CODEC, clock=clock, sink=self, seed=SEED)

    def append(self, frame: Frame) -> None:
        """Be the sink."""
        self.frames.append(frame)


def execute(program: list[Any], split_at: int | None = None) -> tuple[list[Any], bytes, bytes, str]:
    """Run a program, perhaps handing over to fresh actors before step ``split_at``.

    Returns:
        Every frame as plain values, the event digest, the last snapshot, and what ended the run early.
    """
    clock = SteppedClock()
    run = Run(clock)
    run.core.start()
    frames = run.frames
    try:
        for step, (kind, delta, plan) in enumerate(program):
            if step == split_at:
                snapshot = run.core.snapshot()
                run = Run(clock)
                run.core.restore(snapshot)
                run.frames = frames
            clock.ts += delta
            run.core.process(message_of(kind, clock.ts, plan), "program")
            while run.core.fire_due(run.core.last_ts):
                pass
    except InvariantError as error:
        return [plain(f) for f in frames], run.core.digest, b"", error.code
    return [plain(f) for f in frames], run.core.digest, run.core.snapshot(), ""


def plain(frame: Frame) -> tuple[Any, ...]:
    """Return a frame as values that compare by content; bytes, since a plan that went through a snapshot is a list."""
    head = frame.envelope
    return head.seq, head.ts_init, head.ts_event, head.source, type(head.body).__name__, frame.causes, frame.body


class Reference:
    """The delivery rules once more, as plainly as they can be said: recursion, no tables, no tricks."""

    def __init__(self) -> None:
        self.actors = cast_of_actors()
        self.frames: list[Any] = []
        self.timers: list[tuple[int, int, int, Command]] = []
        self.scheduled = 0
        self.seq = 0
        self.now = 0
        self.digest = bytes(32)
        self.facts: list[Event] = []
        self.causes: list[int] = []
        self.asked: list[tuple[int, int, Command]] = []
        self.out: list[Message] = []
        self.later: list[tuple[int, Command]] = []
        self.speaker = ""
        self.poisonings: list[tuple[int, str]] = []

    # What an actor sees of a context.
    def emit(self, fact: Event) -> None:
        """Buffer."""
        self.out.append(fact)

    def send(self, command: Command) -> None:
        """Buffer."""
        self.out.append(command)

    def call_at(self, ts: int, command: Command) -> None:
        """Buffer."""
        self.later.append((ts, command))

    def rng(self, name: str) -> Any:
        """Draw."""
        return rng(SEED, self.speaker, name, self.now)

    def run(self, program: list[Any]) -> str:
        """Carry out a program; return what ended it early."""
        clock = 100
        self.now = clock
        self.actors[0].on_start(self)
        self.schedule([(due, 0, command) for due, command in self.later])
        self.later = []
        self.now = 0
        for kind, delta, plan in program:
            clock += delta
            try:
                self.process(message_of(kind, clock, plan), clock, "program", None)
                while self.timers and min(self.timers)[0] <= self.now:
                    first = min(self.timers, key=lambda timer: timer[:3])
                    self.timers.remove(first)
                    self.process(first[3], clock, "timer", first[0])
            except InvariantError as error:
                return error.code
        return ""

    def schedule(self, timers: list[tuple[int, int, Command]]) -> None:
        """Remember timers by stage, then in the order they were set."""
        for due, stage, command in timers:
            self.scheduled += 1
            self.timers.append((due, stage, self.scheduled, command))

    def process(self, body: Message, clock: int, source: str, ts_event: int | None) -> None:
        """One input."""
        self.seq += 1
        self.now = max(self.now, clock)
        self.facts, self.causes, self.asked = [], [], []
        self.fold_input(body)
        try:
            for actor in self.takers(body):
                self.finish(self.deliver(actor, body, -1))
            if not self.takers(body) and isinstance(body, Command):
                self.state_fact(DeadLettered(type(body).__name__), -1)
        except ZeroDivisionError:
            self.poison(body)
        for actor in self.actors:
            if isinstance(body, Tick) and isinstance(actor, Gamma):
                actor.on_end(body)
        self.schedule(self.asked)
        if self.facts or not isinstance(body, Market):
            encoded = msgspec.msgpack.encode(self.facts)
            happened = self.now if ts_event is None else ts_event
            if self.facts:
                stamp = happened.to_bytes(8, "big", signed=True)
                self.digest = hashlib.sha256(self.digest + stamp + encoded).digest()
            self.frames.append((self.seq, self.now, happened, source, type(body).__name__, self.causes, encoded))

    def fold_input(self, body: Message) -> None:
        """Fold a panel in everyone, a fact in its subscribers."""
        for actor in self.actors:
            if isinstance(body, Tick):
                actor.on_row(body)
            elif isinstance(body, Event):
                self.fold_one(actor, body)

    def fold_one(self, actor: Toy, fact: Event) -> None:
        """Fold a fact in one actor."""
        if isinstance(fact, Quiet):
            actor.on_quiet(fact)
        elif not isinstance(fact, Loud):
            actor.on_trouble(fact)
        elif isinstance(actor, Beta):
            actor.on_loud(fact)

    def state_fact(self, fact: Event, cause: int) -> None:
        """Record a fact and fold it everywhere."""
        self.facts.append(fact)
        self.causes.append(cause)
        for actor in self.actors:
            self.fold_one(actor, fact)

    def takers(self, message: Message) -> list[Toy]:
        """Return who decides on a message."""
        accepted = {"alpha": (Tick, DoA, Loud), "beta": (Tick, DoBC), "gamma": (Tick, DoBC, Loud)}
        return [actor for actor in self.actors if type(message) in accepted[actor.name]]

    def deliver(self, actor: Toy, message: Message, cause: int) -> list[tuple[Message, int]]:
        """Let one actor decide; fold its facts; return everything it said with the index of the causing fact."""
        self.out, self.later, self.speaker = [], [], actor.name
        try:
            actor.follow(message, self)
        except (OperatorError, VenueError) as error:
            self.out = [CommandRejected(actor.name, type(message).__name__, error.code, str(error))]
            self.later = []
        self.asked += [(due, actor.stage, command) for due, command in self.later]
        said = []
        for item in self.out:
            if isinstance(item, Event):
                self.state_fact(item, cause)
                said.append((item, len(self.facts) - 1))
            else:
                said.append((item, cause))
        return said

    def finish(self, said: list[tuple[Message, int]]) -> None:
        """Each message reaches all its takers; what they answer is finished before the next sibling."""
        for message, cause in said:
            takers = self.takers(message)
            if not takers and isinstance(message, Command):
                self.state_fact(DeadLettered(type(message).__name__), cause)
            answers = []
            for actor in takers:
                answers += self.deliver(actor, message, cause)
            self.finish(answers)

    def poison(self, body: Message) -> None:
        """Set the input aside, or give up."""
        self.poisonings.append((self.now, type(body).__name__))
        if sum(name == type(body).__name__ for _, name in self.poisonings) >= 3:
            raise InvariantError("storm", code="POISON_STORM")
        if self.facts or isinstance(body, Event):
            raise InvariantError("half-way", code="FRAME_ABANDONED")
        self.asked = []
        self.state_fact(InputQuarantined(self.speaker, type(body).__name__, "ZeroDivisionError"), -1)


@COMMON
@given(PROGRAMS)
def test_two_runs_of_a_program_are_equal_byte_for_byte(program: list[Any]) -> None:
    """Frames, digest and the final snapshot depend on nothing but the inputs."""
    assert execute(program) == execute(program)


@COMMON
@given(PROGRAMS, st.integers(0, 7))
def test_a_run_split_by_snapshot_and_restore_equals_the_unsplit_run(program: list[Any], at: int) -> None:
    """Fresh actors that took over a snapshot go on as if nothing had happened, timers and digest included."""
    assert execute(program, split_at=at % len(program)) == execute(program)


@COMMON
@given(PROGRAMS)
def test_events_come_in_the_order_of_a_naive_recursive_reference(program: list[Any]) -> None:
    """Stage by stage, pre-order, facts at once, siblings after consequences; errors as the rules say."""
    frames, digest, _, ended = execute(program)
    reference = Reference()
    assert ended == reference.run(program)
    assert frames == reference.frames
    assert digest == reference.digest
    event(f"ended: {ended or 'whole'}")
    event(f"facts: {min(100, 20 * (sum(len(frame[5]) for frame in frames) // 20))} or more")


def full_program() -> list[Any]:
    """Return a fixed deep program that has everything in it but a fatal error."""
    leaf = ((("emit", 0, None),), (("draw", "x"), ("emit", 0, None)), (("emit", 0, None), ("refuse",)))
    loud = ((("send", 1, leaf), ("emit", 0, None)), (), (("send", 0, leaf), ("timer", 2, 1, leaf)))
    wide = (
        (("emit", 1, loud), ("send", 2, None), ("send", 1, leaf), ("emit", 1, loud)),
        (("send", 0, loud), ("emit", 0, None)),
        (("emit", 1, leaf), ("timer", 0, 0, leaf)),
    )
    return [(0, 1, wide), (1, 0, wide), (2, -5, wide), (3, 9, loud), (0, 0, ((), (("crash",),), ())), (0, 1, wide)]


def test_the_reference_and_the_sequencer_agree_on_a_program_that_has_everything() -> None:
    """So that this file tests something even where random programs happen to be shallow."""
    program = full_program()
    frames, digest, _, ended = execute(program)
    reference = Reference()
    assert reference.run(program) == ended == ""
    assert frames == reference.frames
    assert digest == reference.digest
    assert sum(len(frame[5]) for frame in frames) > 70
    assert all(execute(program, split_at=at)[1] == digest for at in range(1, len(program)))


@pytest.mark.parametrize("surroundings", [{"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo"}])
def test_another_process_with_other_hashes_and_time_zone_gives_the_same_digest(surroundings: dict[str, str]) -> None:
    """No order of a set or of hashes, and no local time, reaches an event."""
    code = "import runpy, sys; m = runpy.run_path(sys.argv[1]); print(m['execute'](m['full_program']())[1].hex())"
    done = subprocess.run(
        [sys.executable, "-c", code, __file__],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **surroundings},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == execute(full_program())[1].hex()
