"""A core whose last stage sets timers and asks models at random, and a pool that answers when the test says.

What it draws depends on its own count alone, so equal histories scheme alike, whatever the inputs' numbers. Every
timer and every question leaves a fact, from which a restart knows what waits.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar

import anyio

from actors.broker.actor import BrokerActor
from actors.messages.catalogue import codec
from actors.messages.inference import (
    InferenceRequested,
    ModelActivated,
    PredictionReady,
    PredictionUnavailable,
)
from actors.messages.market import BarPanel
from actors.messages.orders import SubmitOrder
from actors.messages.portfolio import DecisionDue
from actors.portfolio.actor import PortfolioActor
from actors.risk.actor import RiskActor
from daemon.kernel.actor import Context, CoreActor, Sink, decides, evolves
from daemon.kernel.clock import Clock
from daemon.kernel.message import Command, Event
from daemon.kernel.sequencer import PoisonRecord, Sequencer
from daemon.system.composition import Core, CoreSpec
from tests.system.core_rig import MINUTE, Rig

STEP = MINUTE // 4
"""Timers and latencies are multiples of this, so that many fall on the instants of bars."""


class Schemer(CoreActor):
    """See the module."""

    name = "predictor"
    sends: ClassVar[tuple[type[Command], ...]] = (DecisionDue, SubmitOrder)
    emits: ClassVar[tuple[type[Event], ...]] = (InferenceRequested, ModelActivated)

    def __init__(self, *, greed: float = 0.6, orders: bool = False) -> None:
        """Scheme with some probability at each chance; ``orders``: buy a share with every answer."""
        self.greed = greed
        self.orders = orders
        self.count = 0
        self.waiting: dict[str, int] = {}
        self.runners: list[Any] = []  # as boards look for them

    def on_start(self, ctx: Context) -> None:
        """Set the first timer."""
        ctx.call_at(ctx.now, DecisionDue("begin"))

    def rearm(self, ctx: Context) -> None:
        """Set what waits again."""
        if ctx.seq and not self.count:
            ctx.call_at(ctx.now, DecisionDue("begin"))
        for name, due in self.waiting.items():
            ctx.call_at(due, DecisionDue(name))

    @decides(BarPanel)
    def bar(self, panel: BarPanel, ctx: Context) -> None:
        """Scheme."""
        self._scheme(f"bar {panel.ts}", ctx, 3)

    @decides(DecisionDue)
    def due(self, command: DecisionDue, ctx: Context) -> None:
        """Say that it rang, and scheme."""
        self._scheme(command.strategy, ctx, 1)

    @decides(PredictionReady, PredictionUnavailable)
    def answer(self, message: PredictionReady | PredictionUnavailable, ctx: Context) -> None:
        """Say that it came, and scheme."""
        if self.orders:
            ctx.send(SubmitOrder(f"for-{message.request_id}", "main", 0, 1, 10**8))
        self._scheme(message.request_id, ctx, 1)

    def _scheme(self, what: str, ctx: Context, most: int) -> None:
        """State that something happened; set timers and ask questions, fewer than one of each on average."""
        draw = random.Random(f"{ctx.seed} {self.count}")  # noqa: S311 - a plot, not a secret
        ctx.emit(ModelActivated("happened", what, ctx.now, self.count))
        n = 0
        while draw.random() < self.greed and n < most:
            n += 1
            if draw.random() < 0.5:
                request = f"q{self.count}.{n}"
                ctx.emit(InferenceRequested(request, "m", "s", self.count, b"", b"", 1 << 62))
            else:
                due = ctx.now + STEP * draw.randrange(9)
                name = f"t{self.count}.{n}"
                ctx.emit(ModelActivated("set", name, due, self.count))
                ctx.call_at(due, DecisionDue(name))

    @evolves(ModelActivated)
    def fold(self, event: ModelActivated) -> None:
        """Know what waits."""
        if event.model_id == "set":
            self.waiting[event.digest] = event.trained_from
        else:
            self.count += 1
            self.waiting.pop(event.digest, None)

    def snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        return {"count": self.count, "waiting": list(self.waiting.items())}

    def restore(self, state: dict[str, Any]) -> None:
        """Take them over."""
        self.count = state["count"]
        self.waiting = dict(state["waiting"])


def scheming(greed: float = 0.6, *, orders: bool = False, last: Callable[[], CoreActor] | None = None) -> Any:
    """Return what builds cores with a schemer, or another actor, in the place of the predictor."""

    def build(
        spec: CoreSpec, *, clock: Clock, sink: Sink, on_quarantine: Callable[[PoisonRecord], None] | None = None
    ) -> Core:
        broker = BrokerActor(spec.universe, spec.broker, daily=False)
        portfolio = PortfolioActor(spec.universe, spec.portfolios, daily=False)
        risk = RiskActor(spec.universe, spec.limits, tuple(p.name for p in spec.portfolios), daily=False)
        actor: Any = Schemer(greed=greed, orders=orders) if last is None else last()
        sequencer = Sequencer(
            [broker, portfolio, risk, actor],
            codec=codec(),
            clock=clock,
            sink=sink,
            seed=spec.seed,
            on_quarantine=on_quarantine,
        )
        return Core(sequencer, broker, portfolio, risk, actor)

    return build


class Pool:
    """Answers each question after a random number of turns of the loop; counts how often it was asked."""

    def __init__(self, seed: int, longest: int = 4) -> None:
        self.draw = random.Random(seed)  # noqa: S311 - timing
        self.longest = longest
        self.asked: list[str] = []
        self.requests: list[InferenceRequested] = []
        self.wake = anyio.Event()

    def predict(self, request: InferenceRequested) -> PredictionReady:
        """Answer."""
        return PredictionReady(request.request_id, request.model_id, "1d", b"", b"", b"")

    def ask(self, request: InferenceRequested) -> None:
        """Take a question."""
        self.asked.append(request.request_id)
        self.requests.append(request)
        self.wake.set()

    def serve(self, r: Rig) -> None:
        """Take what a rig asks from now on, and what is open; to be given as ``prepare``."""
        r.outside.ask = self.ask
        for question in r.core.questions.values():
            self.ask(question.request)

    async def run(self, r: Rig) -> None:
        """Answer until cancelled, in random order."""
        while True:
            self.wake = anyio.Event()
            while self.requests:
                for _ in range(self.draw.randrange(self.longest)):
                    await anyio.lowlevel.checkpoint()
                request = self.requests.pop(self.draw.randrange(len(self.requests)))
                r.intake.answered(self.predict(request))
                r.loop.wake()
            await self.wake.wait()
