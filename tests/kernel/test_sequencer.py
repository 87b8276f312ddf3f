"""One input at a time: stamps, delivery order, failures by blame, timers, frames, snapshots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daemon.kernel.actor import CoreActor, Frame, decides, evolves, observes, seals
from daemon.kernel.clock import VirtualClock
from daemon.kernel.codec import Codec
from daemon.kernel.errors import FrameAbandonedError, InvariantError, OperatorError, VenueError
from daemon.kernel.message import Command, CommandRejected, DeadLettered, Event, InputQuarantined, Market, Message
from daemon.kernel.sequencer import (
    DIGEST_START,
    POISON_WINDOW_NS,
    CascadeError,
    PoisonRecord,
    Sequencer,
    extend_digest,
)


class Tick(Market, frozen=True, tag=900):
    """Market data."""


class Unheard(Market, frozen=True, tag=901):
    """Market data that nobody takes."""


class Do(Command, frozen=True, tag=902):
    """A command that everyone takes."""

    what: str = ""


class Also(Command, frozen=True, tag=903):
    """Another command, for the second actor."""

    what: str = ""


class Unknown(Command, frozen=True, tag=904):
    """A command that nobody takes."""


class Fact(Event, frozen=True, tag=905):
    """A fact that everyone folds."""

    what: Any = ""


class Echo(Event, frozen=True, tag=906):
    """A fact that everyone folds and reacts to."""

    what: str = ""


CODEC = Codec((Do, Also, Unknown, Fact, Echo))
Reaction = Callable[[Any, Any], None]


class Recorder(CoreActor):
    """Writes down what reaches it and reacts as the test says."""

    sends = (Do, Also, Unknown)
    emits = (Fact, Echo)

    def __init__(self, log: list[str], reactions: dict[str, Reaction]) -> None:
        self.log = log
        self.reactions = reactions
        self.folded: list[Any] = []

    def note(self, verb: str, message: Message) -> None:
        """Write down."""
        what = getattr(message, "what", "")
        self.log.append(f"{self.name}.{verb} {type(message).__name__}{f':{what}' if what else ''}")
        reaction = self.reactions.get(f"{self.name}.{verb} {type(message).__name__}")
        if reaction is not None and verb != "decide":
            reaction(message, None)

    @observes(Tick)
    def on_observe(self, tick: Tick) -> None:
        """Observe."""
        self.note("observe", tick)

    @seals(Tick)
    def on_seal(self, tick: Tick) -> None:
        """Seal."""
        self.note("seal", tick)

    @evolves(Fact, Echo, CommandRejected, DeadLettered, InputQuarantined)
    def on_fold(self, fact: Any) -> None:
        """Fold."""
        self.note("fold", fact)
        self.folded.append(type(fact).__name__)

    @decides(Tick, Do, Echo)
    def on_message(self, message: Any, ctx: Any) -> None:
        """React by type and text."""
        self.note("decide", message)
        for key in (type(message).__name__, f"{type(message).__name__}:{getattr(message, 'what', '')}"):
            reaction = self.reactions.get(f"{self.name}.decide {key}")
            if reaction is not None:
                reaction(message, ctx)

    def on_start(self, ctx: Any) -> None:
        """Do what the test says."""
        reaction = self.reactions.get(f"{self.name}.start")
        if reaction is not None:
            reaction(None, ctx)

    def snapshot(self) -> Any:
        """Give what was folded."""
        return self.folded

    def restore(self, state: Any) -> None:
        """Take it over."""
        self.folded = state


class One(Recorder):
    """First stage."""

    name = "one"


class Two(Recorder):
    """Second stage; it alone takes Also."""

    name = "two"

    @decides(Also)
    def on_also(self, message: Also, ctx: Any) -> None:
        """React like everyone."""
        self.on_message(message, ctx)


class Bench:
    """A sequencer over two recorders, with everything written down."""

    def __init__(self, cascade_max: int = 10_000, ts: int = 1_000) -> None:
        self.log: list[str] = []
        self.frames: list[Frame] = []
        self.poisoned: list[PoisonRecord] = []
        self.reactions: dict[str, Reaction] = {}
        self.actors = [One(self.log, self.reactions), Two(self.log, self.reactions)]
        self.clock = VirtualClock(ts)
        self.core = Sequencer(
            self.actors,
            codec=CODEC,
            clock=self.clock,
            sink=self,
            cascade_max=cascade_max,
            on_quarantine=self.poisoned.append,
        )

    def append(self, frame: Frame) -> None:
        """Be the sink."""
        self.frames.append(frame)

    def on(self, key: str, reaction: Reaction) -> Bench:
        """React to ``"one.decide Do"`` or ``"one.decide Do:text"``."""
        self.reactions[key] = reaction
        return self

    def do(self, message: Message, **fields: Any) -> list[str]:
        """Process one input; return what was written down on its account."""
        self.log.clear()
        self.core.process(message, "test", **fields)
        return list(self.log)


def raising(error: Exception) -> Reaction:
    """React by raising."""

    def react(_message: Any, _ctx: Any) -> None:
        raise error

    return react


# -- order -------------------------------------------------------------------------------------------------------------


def test_an_input_is_observed_by_all_then_decided_stage_by_stage_then_sealed() -> None:
    """What a stage caused is finished before the next stage sees the input."""
    bench = Bench().on("one.decide Tick", lambda _, ctx: ctx.send(Also("x")))
    assert bench.do(Tick(5)) == [
        "one.observe Tick",
        "two.observe Tick",
        "one.decide Tick",
        "two.decide Also:x",
        "two.decide Tick",
        "one.seal Tick",
        "two.seal Tick",
    ]


def test_messages_of_one_decision_run_in_pre_order() -> None:
    """All facts fold first; then each message reaches all recipients and is finished before its next sibling."""

    def plan(_: Any, ctx: Any) -> None:
        ctx.send(Do("a"))
        ctx.emit(Fact("f"))
        ctx.send(Do("b"))

    bench = Bench().on("one.decide Tick", plan)
    bench.on("one.decide Do:a", lambda _, ctx: (ctx.send(Also("a1")), ctx.emit(Fact("a2")), ctx.send(Also("a3"))))
    bench.on("two.decide Do:a", lambda _, ctx: ctx.send(Also("a4")))
    bench.on("two.decide Also:a1", lambda _, ctx: ctx.send(Do("deep")))
    log = bench.do(Tick(5))
    start = log.index("one.decide Tick") + 1
    assert log[start : log.index("two.decide Tick")] == [
        "one.fold Fact:f",
        "two.fold Fact:f",
        "one.decide Do:a",
        "one.fold Fact:a2",
        "two.fold Fact:a2",
        "two.decide Do:a",
        "two.decide Also:a1",
        "one.decide Do:deep",
        "two.decide Do:deep",
        "two.decide Also:a3",
        "two.decide Also:a4",
        "one.decide Do:b",
        "two.decide Do:b",
    ]


def test_a_frame_names_for_each_fact_the_fact_that_caused_it() -> None:
    """A fact's cause is the fact whose handling stated it, also through a command; -1 is the input."""
    bench = Bench().on("one.decide Tick", lambda _, ctx: (ctx.emit(Echo("root")), ctx.emit(Fact("own"))))
    bench.on("one.decide Echo:root", lambda _, ctx: ctx.send(Do("by command")))
    bench.on("two.decide Echo:root", lambda _, ctx: ctx.emit(Fact("directly")))
    bench.on("two.decide Do:by command", lambda _, ctx: ctx.emit(Fact("through")))
    bench.on("two.decide Tick", lambda _, ctx: ctx.send(Unknown()))
    bench.do(Tick(5))
    (frame,) = bench.frames
    told = [(getattr(e, "what", "dead letter"), cause) for e, cause in zip(frame.events, frame.causes, strict=True)]
    assert told == [("root", -1), ("own", -1), ("directly", 0), ("through", 0), ("dead letter", -1)]


def test_a_fact_that_comes_in_is_folded_by_its_subscribers_before_anyone_reacts() -> None:
    """The edge reports facts; they are recorded as the frame's input and not stated a second time."""
    bench = Bench()
    assert bench.do(Echo("x")) == ["one.fold Echo:x", "two.fold Echo:x", "one.decide Echo:x", "two.decide Echo:x"]
    assert bench.frames[0].events == []
    assert bench.frames[0].envelope.body == Echo("x")
    assert bench.core.digest == DIGEST_START


# -- stamps and frames -------------------------------------------------------------------------------------------------


def test_stamps_are_the_clock_and_never_go_back() -> None:
    """The stamp is max(clock, last stamp); seq counts every input; ts_event is the stamp unless it is given."""

    class Hands:
        ts = 50

        def now(self) -> int:
            return self.ts

    bench = Bench()
    bench.core.clock = hands = Hands()
    for ts, ts_event in ((50, None), (40, None), (60, 7)):
        hands.ts = ts
        bench.do(Do(), ts_event=ts_event, correlation_id="story", causation_id=3)
    heads = [frame.envelope for frame in bench.frames]
    assert [(e.seq, e.ts_init, e.ts_event) for e in heads] == [(1, 50, 50), (2, 50, 50), (3, 60, 7)]
    assert {(e.source, e.correlation_id, e.causation_id) for e in heads} == {("test", "story", 3)}


def test_a_handler_sees_the_stamp_and_the_position_of_its_input() -> None:
    """Also in nested deliveries."""
    seen = []
    bench = Bench(ts=77).on("one.decide Tick", lambda _, ctx: ctx.send(Also()))
    bench.on("two.decide Also:", lambda _, ctx: seen.append((ctx.now, ctx.seq, ctx.actor)))
    bench.do(Do())
    bench.do(Tick(5))
    assert seen == [(77, 2, "two")]


def test_quiet_market_data_leaves_no_frame_and_everything_else_does() -> None:
    """Panels are on the tape; a command is recorded even where nothing came of it."""
    bench = Bench()
    bench.do(Tick(5))
    assert bench.frames == []
    bench.do(Do())
    assert [(frame.envelope.seq, frame.events) for frame in bench.frames] == [(2, [])]
    bench.on("one.decide Tick", lambda _, ctx: ctx.emit(Fact("x")))
    bench.do(Tick(6))
    assert [frame.envelope.seq for frame in bench.frames] == [2, 3]


def test_the_event_digest_chains_ts_event_and_facts_and_nothing_else() -> None:
    """Stamps differ live and in replay and frames without facts say nothing; neither is in the digest."""
    early, late = Bench(ts=1_000), Bench(ts=5_000)
    for bench in (early, late):
        bench.on("one.decide Do:x", lambda _, ctx: ctx.emit(Fact("x")))
        bench.do(Do("x"), ts_event=9)
    late.do(Do("nothing"), ts_event=10)
    assert early.core.digest == late.core.digest
    assert early.core.digest == extend_digest(DIGEST_START, 9, CODEC.encode_many([Fact("x")]))
    assert [frame.digest for frame in late.frames] == [early.core.digest] * 2
    assert early.core.events_total == 1


def test_messages_nobody_takes_become_dead_letters_that_are_folded() -> None:
    """Inputs and sent commands alike; a replay of the journal folds them too."""
    bench = Bench().on("one.decide Do:x", lambda _, ctx: ctx.send(Unknown()))
    assert bench.do(Unknown()) == ["one.fold DeadLettered", "two.fold DeadLettered"]
    bench.do(Do("x"))
    assert [frame.events for frame in bench.frames] == [[DeadLettered("Unknown")], [DeadLettered("Unknown")]]


def test_market_data_nobody_takes_go_on_the_tape_and_nowhere_else() -> None:
    """A recording may hold quotes and news that no actor looks at yet: a place in the order, no frame, no fact."""
    bench = Bench()
    assert bench.do(Unheard(3), ts_event=3) == []
    assert (bench.core.seq, bench.core.last_ts, bench.frames) == (1, 1_000, [])
    assert bench.core.digest == DIGEST_START
    bench.do(Do())
    assert bench.frames[0].envelope.seq == 2


def test_a_fact_without_subscribers_is_no_dead_letter() -> None:
    """Facts may go unheard, as inputs and as events."""

    class Silent(Event, frozen=True, tag=950):
        pass

    bench = Bench()
    bench.do(Silent())
    assert [frame.events for frame in bench.frames] == [[]]


def test_an_event_that_cannot_be_encoded_stops_the_core_and_is_named() -> None:
    """Facts that are not in the journal have not happened, but they are folded: there is no way on."""
    bench = Bench().on("one.decide Do:x", lambda _, ctx: (ctx.emit(Fact("fine")), ctx.emit(Fact(object()))))
    with pytest.raises(InvariantError, match="Fact cannot be written to the journal") as caught:
        bench.do(Do("x"))
    assert caught.value.code == "NOT_ENCODABLE"


def test_an_amount_beyond_64_bits_stops_the_core_and_says_what_to_do() -> None:
    """The operator's money outgrew the numbers; that is no riddle about encoders."""
    bench = Bench().on("one.decide Do:x", lambda _, ctx: ctx.emit(Fact(2**70)))
    with pytest.raises(InvariantError, match=r"Fact holds an amount beyond .* start with less cash") as caught:
        bench.do(Do("x"))
    assert caught.value.code == "TOO_LARGE"


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OperatorError("too big", code="BIG", remedy="ask for less"), VenueError("gone")])
def test_an_operators_or_venues_error_replaces_what_the_delivery_buffered(error: Any) -> None:
    """Facts, commands and timers of that delivery are gone; other deliveries of the input stand."""

    def half_way(_: Any, ctx: Any) -> None:
        ctx.emit(Fact("lost"))
        ctx.send(Also("lost"))
        ctx.call_at(2_000, Do("lost"))
        raise error

    bench = Bench().on("one.decide Do:x", half_way)
    bench.on("two.decide Do:x", lambda _, ctx: (ctx.emit(Fact("kept")), ctx.call_at(3_000, Do("kept"))))
    bench.do(Do("x"))
    assert bench.frames[0].events == [CommandRejected("one", "Do", error.code, str(error)), Fact("kept")]
    assert [(due, command) for due, *_, command in bench.core.timers.entries()] == [(3_000, Do("kept"))]
    assert bench.actors[1].folded == ["CommandRejected", "Fact"]


def test_any_other_exception_quarantines_the_input_with_its_timers() -> None:
    """Nothing of it stays but the quarantine's fact; later stages do not see it; the sealers still do."""
    bench = Bench().on("one.decide Tick", lambda _, ctx: (ctx.call_at(2_000, Do("lost")), ctx.send(Also("x"))))

    def crash(_: Any, ctx: Any) -> None:
        ctx.emit(Fact("lost"))
        ctx.call_at(2_000, Also("lost"))
        raise KeyError("x")

    bench.on("two.decide Also:x", crash)
    log = bench.do(Tick(5))
    assert log[2:] == [
        "one.decide Tick",
        "two.decide Also:x",
        "one.fold InputQuarantined",
        "two.fold InputQuarantined",
        "one.seal Tick",
        "two.seal Tick",
    ]
    assert bench.frames[0].events == [InputQuarantined("two", "Tick", "KeyError")]
    assert len(bench.core.timers) == 0
    (record,) = bench.poisoned
    assert (record.actor, record.error, record.envelope.seq) == ("two", "KeyError: 'x'", 1)
    assert "crash" in record.traceback
    assert bench.do(Do()) == ["one.decide Do", "two.decide Do"]
    assert bench.frames[1].events == []


@pytest.mark.parametrize("first", ["a fact was stated", "a fact came in", "a command was rejected"])
def test_an_exception_after_a_fact_was_folded_abandons_the_frame(first: str) -> None:
    """A folded fact cannot be unfolded: the frame is not committed and the core must be rebuilt."""
    bench = Bench()
    if first == "a fact was stated":
        bench.on("one.decide Do:x", lambda _, ctx: ctx.emit(Fact("folded")))
    elif first == "a command was rejected":
        bench.on("one.decide Do:x", raising(OperatorError("no")))
    bench.on("two.decide Do:x", raising(KeyError("x"))).on("two.decide Echo:x", raising(KeyError("x")))
    with pytest.raises(FrameAbandonedError, match="two failed on"):
        bench.do(Echo("x") if first == "a fact came in" else Do("x"))
    assert bench.frames == []
    assert [record.actor for record in bench.poisoned] == ["two"]


def test_blame_falls_on_the_actor_that_failed_in_a_nested_delivery() -> None:
    """Not on the stage that was running, nor on the last recipient."""
    bench = Bench().on("two.decide Do:x", lambda _, ctx: ctx.send(Do("y")))
    bench.on("one.decide Do:y", raising(RuntimeError("boom")))
    bench.do(Do("x"))
    assert bench.frames[0].events == [InputQuarantined("one", "Do", "RuntimeError")]


def test_the_third_poisoning_by_one_type_within_a_minute_is_fatal() -> None:
    """A minute later, or of another type, it is not."""
    bench = Bench(ts=0).on("one.decide Do:x", raising(KeyError("x"))).on("one.decide Tick", raising(KeyError("x")))
    bench.do(Do("x"))
    bench.do(Tick(0))
    bench.clock.advance_to(10)
    bench.do(Do("x"))
    bench.clock.advance_to(POISON_WINDOW_NS)
    bench.do(Do("x"))
    bench.clock.advance_to(POISON_WINDOW_NS + 9)
    with pytest.raises(InvariantError, match="3 times within a minute") as caught:
        bench.do(Do("x"))
    assert caught.value.code == "POISON_STORM"
    assert len(bench.poisoned) == 5


@pytest.mark.parametrize("verb", ["observe Tick", "seal Tick", "fold Fact", "fold InputQuarantined"])
def test_an_exception_in_a_fold_is_fatal_and_names_the_fold(verb: str) -> None:
    """observe, evolve and seal must not raise: there is no state to go on with."""
    bench = Bench().on(f"two.{verb}", raising(KeyError("x")))
    failing = raising(ValueError("first")) if verb == "fold InputQuarantined" else lambda _, ctx: ctx.emit(Fact("x"))
    bench.on("one.decide Tick", failing)
    with pytest.raises(InvariantError, match=r"Recorder\.on_\w+ failed on \w+: KeyError: 'x'") as caught:
        bench.do(Tick(5))
    assert caught.value.code == "FOLD_FAILED"
    assert bench.frames == []


def test_an_actor_says_only_what_it_declares() -> None:
    """An undeclared message is our own error, not the input's."""

    class Mute(One):
        sends = ()
        emits = ()

    for said in (Also(), Fact(), Tick(3)):
        bench = Bench()
        bench.core = Sequencer(
            [Mute([], {"one.decide Do": lambda _, ctx, said=said: ctx.emit(said)})],
            codec=CODEC,
            clock=bench.clock,
            sink=bench,
        )
        with pytest.raises(InvariantError, match=f"one may not send {type(said).__name__}") as caught:
            bench.core.process(Do(), "test")
        assert caught.value.code == "UNDECLARED_MESSAGE"


def test_a_feedback_loop_ends_at_the_cascade_bound() -> None:
    """The bound counts deliveries of one input, over all its stages."""
    bench = Bench(cascade_max=20).on("two.decide Also:x", lambda _, ctx: ctx.send(Also("x")))
    with pytest.raises(CascadeError, match="more than 20 deliveries, the last of Also"):
        bench.do(Also("x"))
    assert bench.log == ["two.decide Also:x"] * 22
    both = Bench(cascade_max=20).on("two.decide Do:x", lambda _, ctx: ctx.send(Do("x")))
    with pytest.raises(CascadeError):
        both.do(Do("x"))
    assert len(both.log) == 2 + 22
    honest = Bench(cascade_max=20)
    for name in ("one", "two"):
        honest.on(f"{name}.decide Tick", lambda _, ctx: [ctx.send(Also("x")) for _ in range(10)])
    assert honest.do(Tick(5)).count("two.decide Also:x") == 20
    assert honest.do(Tick(6)).count("two.decide Also:x") == 20


def test_whatever_escapes_an_input_leaves_a_core_that_refuses_everything() -> None:
    """A half-processed input must not be followed by another, by a snapshot, nor by its own timers."""

    def interrupted(_: Any, ctx: Any) -> None:
        ctx.call_at(2_000, Do())
        raise KeyboardInterrupt

    bench = Bench().on("one.decide Do:x", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.do(Do("x"))
    for go_on in (lambda: bench.do(Do()), bench.core.snapshot):
        with pytest.raises(InvariantError, match="did not end") as caught:
            go_on()
        assert caught.value.code == "CORE_HALFWAY"
    assert len(bench.core.timers) == 0


def test_a_sink_that_cannot_keep_a_frame_stops_the_core() -> None:
    """A failed commit is fatal: its facts are folded and nobody may hear of them."""

    class Full:
        def append(self, frame: Frame) -> None:
            raise OSError(28, "No space left on device", str(frame.envelope.seq))

    bench = Bench()
    bench.core.sink = Full()
    with pytest.raises(OSError, match="No space"):
        bench.do(Do())
    with pytest.raises(InvariantError, match="did not end"):
        bench.do(Do())


# -- timers ------------------------------------------------------------------------------------------------------------


def test_timers_come_in_as_inputs_in_order_of_due_and_of_setting() -> None:
    """ts_event is when they were due, the stamp when the clock got there."""
    bench = Bench()
    bench.on("one.decide Do:set", lambda _, ctx: [ctx.call_at(due, Also(str(due))) for due in (1_020, 1_010, 1_010)])
    bench.do(Do("set"))
    assert not bench.core.fire_due(1_009)
    bench.clock.advance_to(1_030)
    bench.log.clear()
    while bench.core.fire_due(1_030):
        pass
    assert bench.log == ["two.decide Also:1010", "two.decide Also:1010", "two.decide Also:1020"]
    heads = [frame.envelope for frame in bench.frames[1:]]
    assert [(e.source, e.ts_event, e.ts_init) for e in heads] == [
        ("timer", 1_010, 1_030),
        ("timer", 1_010, 1_030),
        ("timer", 1_020, 1_030),
    ]


def test_first_timers_are_set_at_the_start_once() -> None:
    """Starting again, or after a restore, would double them."""
    bench = Bench().on("one.start", lambda _, ctx: ctx.call_at(ctx.now + 5, Do("first")))
    bench.core.start()
    assert [entry[0] for entry in bench.core.timers.entries()] == [1_005]
    restored = Bench().on("one.start", lambda _, ctx: ctx.call_at(ctx.now + 5, Do("first")))
    restored.core.restore(bench.core.snapshot())
    for core in (bench.core, restored.core):
        with pytest.raises(InvariantError, match="once"):
            core.start()
        assert len(core.timers) == 1


def test_an_actor_may_only_set_timers_at_the_start() -> None:
    """There is no input yet that a message could belong to."""
    bench = Bench().on("one.start", lambda _, ctx: ctx.emit(Fact("early")))
    with pytest.raises(InvariantError, match="one emitted messages in on_start"):
        bench.core.start()


@pytest.mark.parametrize("when", ["start", "later"])
def test_a_timer_brings_only_what_its_actor_may_send_or_takes_itself(when: str) -> None:
    """Otherwise waiting would be a way around the declared routes, and around the risk gate."""

    class Patient(One):
        sends = ()

    reactions: dict[str, Reaction] = {
        "one.start": lambda _, ctx: ctx.call_at(2_000, Also() if when == "start" else Do("own")),
        "one.decide Do": lambda _, ctx: ctx.call_at(2_000, Also()),
    }
    bench = Bench()
    core = Sequencer([Patient([], reactions), Two([], {})], codec=CODEC, clock=bench.clock, sink=bench)
    if when == "later":
        core.start()
        assert len(core.timers) == 1
    with pytest.raises(InvariantError, match="one may not schedule Also"):
        core.start() if when == "start" else core.process(Do(), "test")


def test_timers_that_set_timers_for_the_same_instant_are_a_loop() -> None:
    """Such a chain never lets the clock move; one that moves is no loop."""
    bench = Bench(cascade_max=10).on("two.decide Also:now", lambda _, ctx: ctx.call_at(ctx.now, Also("now")))
    bench.do(Also("now"))
    for _ in range(9):
        assert bench.core.fire_due(1_000)
    with pytest.raises(CascadeError, match="more than 10 timers"):
        bench.core.fire_due(1_000)
    many = Bench(cascade_max=10)
    many.on("two.decide Also:plan", lambda _, ctx: [ctx.call_at(ctx.now + 1, Also()) for _ in range(50)])
    many.do(Also("plan"))
    assert len(many.core.timers) == 50
    moving = Bench(cascade_max=10).on("two.decide Also:on", lambda _, ctx: ctx.call_at(ctx.now, Also("on")))
    moving.do(Also("on"))
    for ts in range(1_001, 1_050):
        moving.clock.advance_to(ts)
        assert moving.core.fire_due(ts)
    assert len(moving.core.timers) == 1


# -- snapshots ---------------------------------------------------------------------------------------------------------


def test_a_snapshot_carries_order_time_digest_timers_and_poisonings() -> None:
    """A restored core stamps, chains, fires and counts on; its own snapshot is the same bytes."""
    bench = Bench().on("one.decide Do:x", lambda _, ctx: (ctx.emit(Fact("x")), ctx.call_at(5_000, Do("later"))))
    bench.on("one.decide Do:bad", raising(KeyError("x")))
    for message in (Do("x"), Do("bad"), Do("bad")):
        bench.do(message)
    snapshot = bench.core.snapshot()
    again = Bench().on("one.decide Do:bad", raising(KeyError("x")))
    again.core.restore(snapshot)
    assert again.core.snapshot() == snapshot
    assert (again.core.seq, again.core.last_ts, again.core.events_total) == (3, 1_000, 3)
    assert again.core.digest == bench.core.digest != DIGEST_START
    assert [command for *_, command in again.core.timers.entries()] == [Do("later")]
    assert again.actors[0].folded == ["Fact", "InputQuarantined", "InputQuarantined"]
    with pytest.raises(InvariantError, match="3 times"):
        again.do(Do("bad"))


def test_a_snapshot_of_other_actors_is_refused() -> None:
    """Before anything is taken over."""
    bench = Bench()
    other = Sequencer([One([], {})], codec=CODEC, clock=VirtualClock(), sink=bench)
    with pytest.raises(InvariantError, match="holds the actors one, two, not one"):
        other.restore(bench.core.snapshot())


def test_rewarming_observes_and_seals_in_actors_that_ask_and_decides_nothing() -> None:
    """Rings come back from the tape, not from the snapshot."""
    bench = Bench()
    bench.actors[1].warmup_rows = lambda: 2  # type: ignore[method-assign]
    bench.core.rewarm([Tick(1), Unheard(2), Tick(3)])
    assert bench.log == ["two.observe Tick", "two.seal Tick"] * 2
    assert (bench.core.seq, bench.frames) == (0, [])
