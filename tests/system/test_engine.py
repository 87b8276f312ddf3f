"""The engine's merge: who goes first at one instant, and what timers and answers see."""

from __future__ import annotations

from typing import Any, ClassVar

from actors.messages.catalogue import codec
from actors.messages.control import Halt, Resume
from actors.messages.inference import InferenceRequested, PredictionReady
from actors.messages.market import SessionClosed, SessionOpened
from actors.messages.orders import CancelOrder, OrderCanceled, OrderStatus
from actors.messages.portfolio import DecisionDue, DepositCash
from actors.values import Session
from daemon.journal.memory import MemoryJournal
from daemon.kernel.actor import Context, CoreActor, decides
from daemon.kernel.clock import VirtualClock
from daemon.kernel.message import Command, Event, Market
from daemon.kernel.sequencer import Sequencer
from daemon.system.engine import ReplayEngine
from daemon.system.script import Rank, ScriptLine

SESSION = Session(20200102, 10, 20, 0)


class Diary(CoreActor):
    """Writes down what comes in and when; sets timers and asks a model at the open."""

    name = "diary"
    sends: ClassVar[tuple[type[Command], ...]] = (DecisionDue,)
    emits: ClassVar[tuple[type[Event], ...]] = (InferenceRequested, OrderCanceled)

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def on_start(self, ctx: Context) -> None:
        """Set a timer at the close and one at an instant without anything else."""
        ctx.call_at(20, DecisionDue("at the close"))
        ctx.call_at(13, DecisionDue("alone"))

    @decides(DepositCash, SessionClosed, Halt, Resume, PredictionReady, DecisionDue)
    def note(self, message: Any, ctx: Context) -> None:
        """Write it down."""
        self.lines.append((ctx.now, getattr(message, "strategy", type(message).__name__)))

    @decides(SessionOpened)
    def ask(self, message: SessionOpened, ctx: Context) -> None:
        """Ask the model."""
        self.note(message, ctx)
        ctx.emit(InferenceRequested("r1", "m", "s", 1, b"", b"", 99))

    @decides(CancelOrder)
    def cancel(self, message: CancelOrder, ctx: Context) -> None:
        """Answer so that a script can wait for it."""
        self.note(message, ctx)
        ctx.emit(OrderCanceled("O-1", message.client_order_id, 0, "x"))


class Oracle:
    """A pool that knows nothing."""

    def predict(self, request: InferenceRequested) -> PredictionReady:
        """Answer."""
        return PredictionReady(request.request_id, request.model_id, "1d", b"", b"", b"")


def run(script: list[ScriptLine], *, latency: int = 0) -> tuple[list[tuple[int, str]], ReplayEngine]:
    """Run a session without bars."""
    diary = Diary()
    clock = VirtualClock()
    sequencer = Sequencer([diary], codec=codec(), clock=clock, sink=MemoryJournal())
    engine = ReplayEngine(
        sequencer,
        clock,
        deposits=[DepositCash("main", 5, "opening")],
        script=script,
        pool=Oracle(),
        latency_ns=latency,
    )
    inputs: list[Market] = [SessionOpened(10, SESSION), SessionClosed(20, SESSION)]
    engine.run(iter(inputs))
    return diary.lines, engine


def line(at: int | None, command: Command, rank: Rank, after: tuple[str, OrderStatus] | None = None) -> ScriptLine:
    """Return a script line."""
    return ScriptLine(1, at, after, command, rank)


def test_operators_come_before_the_market_orders_after_it_timers_last() -> None:
    """At the close: halt, then the close, then the scripted cancel, then the timer, which has seen it all."""
    script = [line(20, CancelOrder("a", "x"), Rank.PREDICTION), line(20, Halt("x", "x"), Rank.CONTROL)]
    lines, engine = run(script, latency=5)
    assert lines == [
        (10, "DepositCash"),
        (10, "SessionOpened"),
        (13, "alone"),
        (15, "PredictionReady"),
        (20, "Halt"),
        (20, "SessionClosed"),
        (20, "CancelOrder"),
        (20, "at the close"),
    ]
    assert engine.left_over == 0


def test_an_answer_without_latency_comes_in_at_its_own_instant() -> None:
    """Behind the market, before the next instant."""
    lines, _ = run([])
    assert lines[1:3] == [(10, "SessionOpened"), (10, "PredictionReady")]


def test_lines_wait_for_a_status_and_may_wait_in_vain() -> None:
    """What happens lets the next line in at the same instant; what does not is counted."""
    script = [
        line(15, CancelOrder("a", "x"), Rank.PREDICTION),
        line(None, Resume("x", "x"), Rank.CONTROL, after=("a", OrderStatus.CANCELED)),
        line(None, Halt("x", "x"), Rank.CONTROL, after=("a", OrderStatus.FILLED)),
        line(21, Halt("x", "x"), Rank.CONTROL),
    ]
    lines, engine = run(script)
    assert (15, "Resume") in lines
    assert "Halt" not in [name for _, name in lines]
    assert engine.left_over == 2


def test_lines_keep_their_place_however_many_there_are_and_whatever_comes_in_between() -> None:
    """By time, then rank, then their order in the file; one that waited comes behind those of its instant."""
    script = [
        line(16, CancelOrder("late", "x"), Rank.PREDICTION),
        line(14, CancelOrder("b", "x"), Rank.PREDICTION),
        line(None, CancelOrder("then", "x"), Rank.PREDICTION, after=("b", OrderStatus.CANCELED)),
        line(14, CancelOrder("a", "x"), Rank.PREDICTION),
        line(14, Resume("x", "x"), Rank.CONTROL),
        line(30, Halt("x", "x"), Rank.CONTROL),
        line(31, Halt("x", "x"), Rank.CONTROL),
    ]
    lines, engine = run(script)
    names = [(ts, name) for ts, name in lines if ts in (14, 16)]
    assert names == [(14, "Resume"), (14, "CancelOrder"), (14, "CancelOrder"), (14, "CancelOrder"), (16, "CancelOrder")]
    sink = MemoryJournal()
    clock = VirtualClock()
    sequencer = Sequencer([Diary()], codec=codec(), clock=clock, sink=sink)
    inputs: list[Market] = [SessionOpened(10, SESSION), SessionClosed(20, SESSION)]
    ReplayEngine(sequencer, clock, deposits=[], script=script, pool=Oracle()).run(iter(inputs))
    came = [f.input.client_order_id for f in sink.frames() if isinstance(f.input, CancelOrder)]
    assert came == ["b", "a", "then", "late"]
    assert engine.left_over == 2


def test_lines_dated_before_the_data_come_with_the_first_event_in_their_own_order() -> None:
    """An early line is not lost and not reordered."""
    script = [line(7, Resume("x", "x"), Rank.CONTROL), line(3, Halt("x", "x"), Rank.CONTROL)]
    lines, _ = run(script)
    assert lines[:4] == [(10, "DepositCash"), (10, "Halt"), (10, "Resume"), (10, "SessionOpened")]


def test_a_run_without_input_does_nothing() -> None:
    """There is no instant at which cash could be deposited."""
    sink = MemoryJournal()
    clock = VirtualClock()
    sequencer = Sequencer([Diary()], codec=codec(), clock=clock, sink=sink)
    ReplayEngine(sequencer, clock, deposits=[DepositCash("main", 5, "opening")]).run(iter(()))
    assert sequencer.seq == 0
    assert list(sink.frames()) == []
