"""Random lives and deaths against a small model of what OTP says, written without any event loop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import anyio
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.supervision.child import ChildSpec, StartContext
from daemon.supervision.policy import Backoff, Restart, RestartIntensity, Strategy
from daemon.supervision.supervisor import EscalatedError
from tests.supervision.world import Start, Told, play, supervisor

HORIZON = 200.0
STABLE = 20.0


class Life(msgspec.Struct, frozen=True):
    """One instance: how long it takes to start, how long it runs from then on, and how it ends."""

    start_s: float
    run_s: float
    raises: bool


@dataclass
class Plan:
    """A child of the model."""

    name: str
    restart: Restart
    lives: list[Life]
    due: float | None = 0.0
    ready: float = math.inf  # when the instance that runs has started
    ends: float = math.inf  # ... and when it ends
    raises: bool = False
    begun: float | None = None  # when it started, None while it starts or is down
    up: bool = False
    been_up: bool = False
    over: bool = False
    row: int = 0
    used: int = 0

    def begin(self, now: float) -> None:
        """Start the next instance."""
        life = self.lives[self.used] if self.used < len(self.lives) else Life(0.0, math.inf, raises=False)
        self.used += 1
        self.due = None
        self.ready, self.ends, self.raises = now + life.start_s, now + life.start_s + life.run_s, life.raises

    def down(self) -> None:
        """Forget the instance."""
        self.ready = self.ends = math.inf
        self.up, self.begun = False, None

    @property
    def running(self) -> bool:
        """Whether there is an instance."""
        return self.up or self.ready < math.inf


@dataclass
class Model:
    """A supervisor on paper: what happens next is the earliest of all that can happen."""

    strategy: Strategy
    intensity: RestartIntensity
    plans: list[Plan]
    log: list[tuple[float, str, str]] = field(default_factory=list)
    failures: list[float] = field(default_factory=list)
    escalated: bool = False

    def run(self) -> None:
        """Live until the horizon or the end."""
        now = 0.0
        while not self.escalated:
            for at, plan in enumerate(self.plans):
                if plan.due is not None and plan.due <= now and self._may(at):
                    plan.begin(now)
            now = min(
                min(p.ready, p.ends, p.due if p.due is not None and p.due > now else math.inf) for p in self.plans
            )
            if now >= HORIZON:
                return
            for plan in self.plans:
                if plan.ready == now:
                    plan.ready, plan.up, plan.been_up, plan.begun = math.inf, True, True, now
                    self.log.append((now, "restarted" if plan.used > 1 else "started", plan.name))
            for plan in self.plans:
                if plan.ends == now:
                    self._ended(plan, now)
                    break

    def _may(self, at: int) -> bool:
        before = self.plans[:at]
        if self.strategy is Strategy.ONE_FOR_ONE:
            return self.plans[at].been_up or all(p.been_up or p.over for p in before)
        return all(p.up or p.over for p in before)

    def _ended(self, plan: Plan, now: float) -> None:
        begun, raises = plan.begun, plan.raises
        plan.down()
        if not raises and plan.restart is not Restart.PERMANENT:
            plan.over = True
            self.log.append((now, "stopped", plan.name))
            return
        self.log.append((now, "failed", plan.name))
        if plan.restart is Restart.TEMPORARY:
            plan.over = True
            return
        self.failures.append(now)
        if sum(now - at <= self.intensity.within_s for at in self.failures) > self.intensity.max_restarts:
            self.escalated = True
            self.log.append((now, "escalated", plan.name))
            self._take_down(self.plans, now)
            return
        plan.row = 0 if begun is not None and now - begun >= STABLE else plan.row
        due = now + Backoff().delay("root", plan.name, plan.row)
        plan.row += 1
        at = self.plans.index(plan)
        group = {"one_for_one": [plan], "rest_for_one": self.plans[at:], "one_for_all": self.plans}[self.strategy]
        for one in group:
            one.over = one.restart is Restart.TEMPORARY and (one.over or one.running)
        self._take_down([one for one in group if one is not plan], now)
        for one in group:
            one.due = None if one.over else max(due, one.due or 0.0)

    def _take_down(self, plans: list[Plan], now: float) -> None:
        for plan in reversed(plans):
            if plan.running:
                self.log.append((now, "stopped", plan.name))
                plan.down()


def acts(lives: list[Life]) -> Start:
    """Return a child that lives so."""
    left = list(lives)

    async def start(context: StartContext) -> None:
        life = left.pop(0) if left else Life(0.0, math.inf, raises=False)
        if life.start_s:
            await anyio.sleep(life.start_s)
        context.started()
        await anyio.sleep(life.run_s)
        if life.raises:
            raise ValueError(life)

    return start


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Strategy, RestartIntensity, list[tuple[Restart, list[Life]]]]:
    """Draw a supervisor; times differ so that no two things happen at one instant by accident."""
    count = draw(st.integers(1, 4))
    children = []
    for child in range(count):
        lives = []
        for life in range(draw(st.integers(0, 6))):
            odd = 0.0101 * (child + 1) + 0.00067 * (life + 1)
            start = draw(st.sampled_from([0.0, 0.3, 7.0]))
            run = draw(st.sampled_from([0.05, 1.0, 9.0, 25.0, 61.0]))
            lives.append(Life(start + odd / 7 if start else 0.0, run + odd, draw(st.booleans())))
        children.append((draw(st.sampled_from(list(Restart))), lives))
    intensity = RestartIntensity(draw(st.integers(0, 5)), draw(st.sampled_from([1.0, 10.0, 60.0])))
    return draw(st.sampled_from(list(Strategy))), intensity, children


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_any_schedule_of_failures_is_handled_as_the_model_says(
    world: tuple[Strategy, RestartIntensity, list[tuple[Restart, list[Life]]]],
) -> None:
    """Who is started, fails and is taken down when, and whether it escalates: as the model, to the microsecond."""
    strategy, intensity, children = world
    names = "abcd"
    model = Model(strategy, intensity, [Plan(names[i], restart, lives) for i, (restart, lives) in enumerate(children)])
    model.run()
    told = Told()
    specs = [ChildSpec(names[i], acts(lives), restart) for i, (restart, lives) in enumerate(children)]
    failure = play(supervisor(told, specs, strategy, intensity, stable_s=STABLE), HORIZON)
    assert isinstance(failure, EscalatedError) is model.escalated
    assert [line for line in told.lines if line[0] < HORIZON] == [(round(ts, 6), *what) for ts, *what in model.log]
