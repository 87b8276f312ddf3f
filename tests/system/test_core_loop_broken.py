"""Inputs that break a handler: poisoned ones are quarantined; behind one that broke its frame the core is rebuilt."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

from actors.messages.control import Halt
from actors.messages.inference import InferenceRequested, ModelActivated, PredictionReady, PredictionUnavailable
from actors.messages.market import BarPanel
from actors.messages.orders import OrderAccepted
from actors.messages.portfolio import DecisionDue
from actors.messages.runtime import MachineTrouble
from daemon.journal.opened import RecordedInput
from daemon.journal.sqlite import open_readonly
from daemon.kernel.actor import Context, CoreActor, decides, evolves
from daemon.kernel.errors import InvariantError
from daemon.kernel.message import Command, Event, InputQuarantined
from daemon.system import live_core
from tests.system.core_rig import DEADLINE_S, Fault, Rig, bars, events, market_inputs, rig
from tests.system.scheming import scheming

pytestmark = pytest.mark.asyncio
INPUTS = bars(1, 8)[:-1]
HALF: list[str] = []
"""What breaks its frame half-way: kinds of inputs, or names of timers."""
WHOLE: list[str] = []
"""What fails before it has stated anything."""


class Fragile(CoreActor):
    """Fails as told; sets a timer and asks a model with every bar."""

    name = "predictor"
    sends: ClassVar[tuple[type[Command], ...]] = (DecisionDue,)
    emits: ClassVar[tuple[type[Event], ...]] = (InferenceRequested, ModelActivated)

    def __init__(self) -> None:
        self.n = 0
        self.timers: dict[str, int] = {}
        self.runners: list[Any] = []

    def rearm(self, ctx: Context) -> None:
        """Set what waits."""
        for name, due in self.timers.items():
            ctx.call_at(due, DecisionDue(name))

    @decides(BarPanel, PredictionReady, PredictionUnavailable, DecisionDue, MachineTrouble)
    def decide(self, message: Any, ctx: Context) -> None:
        """Fail, or scheme a little."""
        name = getattr(message, "strategy", getattr(message, "request_id", type(message).__name__))
        what = f"BarPanel {self.n}" if name == "BarPanel" else name
        if what in WHOLE:
            raise ValueError(what)
        if what in HALF:
            # The event is delivered to this actor, which fails behind it, with a fact of the frame folded.
            ctx.emit(ModelActivated("half", what, 0, 0))
            return
        ctx.emit(ModelActivated("seen", what, ctx.now, self.n))
        if isinstance(message, BarPanel):
            ctx.emit(InferenceRequested(f"q{self.n}", "m", "s", self.n, b"", b"", 1 << 62))
            ctx.emit(ModelActivated("set", f"t{self.n}", ctx.now, 0))
            ctx.call_at(ctx.now, DecisionDue(f"t{self.n}"))

    @decides(ModelActivated)
    def break_off(self, event: ModelActivated, ctx: Context) -> None:
        """Fail behind a fact."""
        del ctx
        if event.model_id == "half":
            raise RuntimeError(event.digest)

    @evolves(ModelActivated)
    def fold(self, event: ModelActivated) -> None:
        """Count bars, know timers."""
        if event.model_id == "set":
            self.timers[event.digest] = event.trained_from
        elif event.digest.startswith("BarPanel"):
            self.n += 1
        else:
            self.timers.pop(event.digest, None)

    @evolves(InputQuarantined)
    def quarantined(self, event: InputQuarantined) -> None:
        """A bar or a timer that was set aside has passed, too."""
        if event.message_type == "BarPanel":
            self.n += 1
        elif event.message_type == "DecisionDue":
            self.timers.pop(next(iter(self.timers)), None)

    def snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        return {"n": self.n, "timers": list(self.timers.items())}

    def restore(self, state: dict[str, Any]) -> None:
        """Take them over."""
        self.n, self.timers = state["n"], dict(state["timers"])


@pytest.fixture(autouse=True)
def fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every core have the fragile stage."""
    HALF.clear()
    WHOLE.clear()
    monkeypatch.setattr(live_core, "build_core", scheming(last=Fragile))


def answers(r: Rig) -> None:
    """Answer every question at once; to be given as ``prepare``."""

    def ask(request: InferenceRequested) -> None:
        r.intake.answered(PredictionReady(request.request_id, "m", "1d", b"", b"", b""))

    r.outside.ask = ask
    for question in r.core.questions.values():
        ask(question.request)


def quarantined(state_dir: Path) -> list[tuple[int, str, str]]:
    """Return (seq, kind of input, error) of the quarantine."""
    db = open_readonly(state_dir / "ledger.db")
    try:
        return db.execute("SELECT seq, input, error FROM quarantine ORDER BY id").fetchall()
    finally:
        db.close()


def check_whole(rows: list[RecordedInput]) -> None:
    """Every price is there once, every timer rang once, every question was answered once, whatever was set aside."""
    assert market_inputs(rows) == [(panel.ts, type(panel).__name__) for panel in INPUTS]
    rang = [row.body.strategy for row in rows if isinstance(row.body, DecisionDue)]
    assert len(rang) == len(dict.fromkeys(rang))
    answered = [row.body.request_id for row in rows if isinstance(row.body, PredictionReady)]
    assert len(answered) == len(dict.fromkeys(answered))
    asked: list[Any] = events(rows, InferenceRequested)
    assert set(answered) == {request.request_id for request in asked}


@pytest.mark.parametrize("what", ["BarPanel 3", "t3", "q3"])
async def test_an_input_that_breaks_its_frame_is_set_aside_in_its_place(tmp_path: Path, what: str) -> None:
    """A price, a timer, an answer: nothing before it is lost, nobody decides on it, and trading is halted behind it."""
    HALF.append(what)
    async with rig(tmp_path, INPUTS, prepare=answers) as r:
        await r.settle()
        assert r.outside.kinds == ["abandoned"]
        assert len(r.rebuilt) == 1
        assert r.state == "halted"
        r.check_refold()
        rows = r.recorded()
    check_whole(rows)
    aside = next(row for row in rows if events([row], InputQuarantined))
    assert isinstance(rows[aside.seq].body, Halt)
    assert not events([aside], ModelActivated, InferenceRequested)
    (told,) = quarantined(tmp_path)
    assert told[0] == aside.seq
    assert what in told[2]
    # The rest went on as if nothing had been.
    assert [row.body.strategy for row in rows if isinstance(row.body, DecisionDue)].count("t4") == 1
    async with rig(tmp_path, INPUTS, prepare=answers) as r:
        await r.settle()
        r.check_refold()


async def test_a_command_that_breaks_its_frame_is_answered_once_as_quarantined(tmp_path: Path) -> None:
    """What came before it is durable and answered; whoever sent it is told."""
    HALF.append("MachineTrouble")
    fault = Fault()
    async with rig(tmp_path, INPUTS, faults=fault, prepare=answers) as r:
        await r.settle()
        gate = fault.hold("before:commit")
        before = r.order_soon()
        await gate.wait()
        broken = r.put(MachineTrouble("disk", "x"), source="shell")
        after = r.order_soon()
        await r.until(lambda: r.loop._broken is not None)
        assert not before.outcomes
        assert not r.rebuilt
        gate.open()
        for one in (before, broken, after):
            await one.wait()
        await r.settle()
        assert [len(one.outcomes) for one in (before, broken, after)] == [1, 1, 1]
        assert before.outcomes[0].result["status"] == "new"  # type: ignore[index]
        assert after.outcomes[0].result["status"] == "denied"  # type: ignore[index]
        r.check_refold()
        rows = r.recorded()
    assert len(events(rows, OrderAccepted)) == 1
    check_whole(rows)


async def test_a_kill_while_a_broken_core_waits_for_its_commit_passes(tmp_path: Path) -> None:
    """The kill drops what waits with the broken input, which comes in again behind it and is set aside then."""
    HALF.append("MachineTrouble")
    fault = Fault()
    async with rig(tmp_path, INPUTS, faults=fault, prepare=answers) as r:
        await r.settle()
        gate = fault.hold("before:frame.write")
        before = r.order_soon()
        await gate.wait()
        broken = r.put(MachineTrouble("disk", "x"), source="shell")
        await r.until(lambda: r.loop._broken is not None)
        await r.kill()
        gate.open()
        await before.wait()
        await broken.wait()
        await r.settle()
        assert r.state == "killed"
        assert before.outcomes[0].result["status"] == "denied"  # type: ignore[index]
        assert r.outside.kinds == ["overtaken", "abandoned"]
        r.check_refold()
        check_whole(r.recorded())


async def test_a_kill_of_a_broken_core_passes_though_nothing_risky_waits(tmp_path: Path) -> None:
    """A core that stands half-way through an input can observe no kill: it is built anew for it."""
    HALF.append("MachineTrouble")
    fault = Fault()
    async with rig(tmp_path, INPUTS, faults=fault, prepare=answers) as r:
        await r.settle()
        gate = fault.hold("before:commit")
        before = r.send("halt", reason="a test")
        await gate.wait()
        broken = r.put(MachineTrouble("disk", "x"), source="shell")
        await r.until(lambda: r.loop._broken is not None)
        await r.kill()
        gate.open()
        await before.wait()
        await broken.wait()
        await r.settle()
        assert r.state == "killed"
        r.check_refold()
        check_whole(r.recorded())


async def test_a_full_disk_under_a_broken_core_refuses_the_broken_command(tmp_path: Path) -> None:
    """Everything that is not durable is dropped; the commands among it are told so, once."""
    HALF.append("MachineTrouble")
    fault = Fault()
    async with rig(tmp_path, INPUTS, faults=fault, prepare=answers) as r:
        await r.settle()
        gate = fault.hold("before:tape.write")
        stop = fault.fail("before:frame.write", errno.ENOSPC)
        before = r.order_soon()
        await gate.wait()
        broken = r.put(MachineTrouble("disk", "x"), source="shell")
        await r.until(lambda: r.loop._broken is not None)
        gate.open()
        assert (await before.wait()).code == "LEDGER_FULL"
        assert (await broken.wait()).code == "LEDGER_FULL"
        stop()
        await r.settle()
        assert r.state == "halted"
        assert (await r.order()).result["status"] == "denied"  # type: ignore[index]
        r.check_refold()
        check_whole(r.recorded())


async def test_a_poisoned_input_is_quarantined_and_the_core_goes_on(tmp_path: Path) -> None:
    """It failed before it stated anything: no rebuild, no halt, a row with the traceback."""
    WHOLE.append("t2")
    async with rig(tmp_path, INPUTS, prepare=answers) as r:
        await r.settle()
        assert r.state == "active"
        assert not r.rebuilt
        r.check_refold()
        rows = r.recorded()
    assert len(events(rows, InputQuarantined)) == 1
    (told,) = quarantined(tmp_path)
    assert told[1:] == ("DecisionDue", "ValueError: t2")
    check_whole(rows)


@pytest.mark.parametrize("kinds", [HALF, WHOLE], ids=["half", "whole"])
async def test_three_of_a_kind_within_a_minute_end_the_process(tmp_path: Path, kinds: list[str]) -> None:
    """Set aside or quarantined: the third is a storm, and a restart is systemd's. Who waited is told."""
    kinds.append("MachineTrouble")
    caught: list[BaseException] = []
    sent = []
    try:
        async with rig(tmp_path, INPUTS, prepare=answers) as r:
            await r.settle()
            for n in range(2):
                sent.append(r.put(MachineTrouble(f"disk {n}", "x"), source="shell"))
                await sent[-1].wait()
            sent.append(r.put(MachineTrouble("disk 3", "x"), source="shell"))
            await anyio.sleep(DEADLINE_S)
    except ExceptionGroup as group:
        caught += group.exceptions
    (error,) = caught
    assert isinstance(error, InvariantError)
    assert error.code == "POISON_STORM"
    assert sent[2].code == "NOT_READY"
