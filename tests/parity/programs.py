"""Random whole runs: markets with gaps in them, strategies of every form, operators and clients who stop at nothing.

A :class:`Program` is a core's parameters and its inputs with their instants, all from one seed. :func:`play` runs it
through real actors and keeps what a ledger and a tape would keep. The tests of recovery and of the books' invariants
take their material from here.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import numpy as np

from actors.api import PanelWindow, Params, Scores, Signal, Struct, Window, spec_of, strategy
from actors.broker.params import BrokerParams
from actors.messages.catalogue import codec
from actors.messages.control import (
    DisableStrategy,
    EnableStrategy,
    Flatten,
    Halt,
    Kill,
    LatchObserved,
    Reduce,
    Reload,
    ResetBreaker,
    Resume,
    Unlatch,
)
from actors.messages.inference import PredictionReady, PredictionUnavailable
from actors.messages.limits import BreakerRule
from actors.messages.market import BarPanel, CorporateAction, GapDetected, QuotePanel, TradePanel
from actors.messages.orders import CancelAll, CancelOrder, ReplaceOrder, SubmitOrder
from actors.messages.portfolio import ClosePositions, DepositCash
from actors.portfolio.params import PortfolioSpec
from actors.predictor.registry import bind_spec
from actors.risk.params import RiskLimits
from actors.values import Interval, Universe, parse_interval
from daemon.kernel.clock import VirtualClock
from daemon.kernel.errors import InvariantError
from daemon.kernel.message import Command, Event, Market, Message
from daemon.system.composition import Core, CoreSpec, build_core
from tests.parity.markets import BARS, DAY, MINUTE, SHARE, STARTS, SYMBOLS, Maker, World
from tests.parity.orders import draw_order, draw_replace

POISON: Final = "poison"
"""A predictor's answer under this id makes its handler fail: a fault of ours, on purpose."""


# -- strategies of every form ------------------------------------------------------------------------------------------


@strategy(lookback=3, horizon=2)
def windowed(w: Window, p: Params) -> Signal | None:
    """Use a window with gaps, and fail now and then."""
    if len(w) < 3:
        return None
    if int(w.close[-1] * 100) % 11 == 0:
        raise RuntimeError
    return Signal(float(np.tanh(40 * (w.close[-1] / w.close.mean() - 1))), confidence=0.9)


@strategy(lookback=2, horizon=1, fields=("open", "volume"))
def whole(w: PanelWindow, p: Params) -> Scores:
    """Score everybody at once."""
    score = np.clip(50 * (w.close[-1] / w.open[-1] - 1), -1, 1)
    return Scores(score, confidence=np.where(np.isfinite(score), 0.8, np.nan))


@strategy(lookback=2, bar="2d", horizon="2d")
def coarse(w: Window, p: Params) -> Signal:
    """Use bars put together from finer ones."""
    return Signal(float(np.tanh(9 * (w.close[-1] / w.close[0] - 1))), confidence=0.7)


class Memory(Struct):
    """What the fold keeps."""

    level: float = 0.0
    seen: dict[str, int] = msgspec.field(default_factory=dict)


@strategy(horizon=1)
def remembering(state: Memory, w: Window, p: Params) -> tuple[Memory, Signal]:
    """Keep an average and a count."""
    level = 0.8 * state.level + 0.2 * float(w.close[-1])
    seen = {w.symbol: state.seen.get(w.symbol, 0) + 1}
    return Memory(level, seen), Signal(float(np.tanh(w.close[-1] / level - 1)), confidence=0.75)


_FORMS: Final = tuple(spec for spec in map(spec_of, (windowed, whole, coarse, remembering)) if spec is not None)


# -- programs ----------------------------------------------------------------------------------------------------------


class Step(msgspec.Struct):
    """An input, who puts it in, and what the clock says then; ``ts_event`` None: the stamp."""

    body: Message
    source: str
    at: int
    ts_event: int | None = None


class Program(msgspec.Struct):
    """A core and what happens to it."""

    spec: CoreSpec
    steps: list[Step]


class Kept(msgspec.Struct):
    """What tape and ledger keep of one input."""

    seq: int
    ts: int
    ts_event: int
    source: str
    body: Message
    events: list[Event]


class Run(msgspec.Struct):
    """A finished run: the core, its record, and snapshots taken behind chosen inputs by their number."""

    core: Core
    kept: list[Kept]
    snapshots: dict[int, bytes]


def program(seed: int, *, sessions: int = 8, interval: str = "", rough: bool = True, actions: bool = False) -> Program:
    """Return the program of a seed.

    Args:
        seed: decides everything.
        sessions: trading days.
        interval: ``1d`` or ``1m``; "" lets the seed choose.
        rough: whether operators, clients, ticks, halts and faults are at work; else only strategies trade, on bars.
        actions: whether there are corporate actions, too.
    """
    rng = random.Random(seed)  # noqa: S311 - a program is told by its seed
    text = interval or rng.choice(("1d", "1m"))
    daily = text == "1d"
    spec = _spec(rng, parse_interval(text), rough=rough)
    world = _world(rng, daily=daily, actions=actions) if rough else World()
    market = Maker(rng, world, daily=daily).write(sessions)
    steps = [Step(DepositCash(p.name, p.cash, "opening deposit"), "control", market[0].ts) for p in spec.portfolios]
    people = _People(rng, spec, DAY * sessions // 2 if daily else 8 * MINUTE)
    for body in market:
        if rough:
            steps += people.commands(body)
            if rng.random() < 0.02:
                gap = GapDetected(body.ts, "playback", body.ts - rng.randrange(1, DAY), body.ts)
                steps.append(Step(gap, "feed", body.ts))
        late = rng.randrange(3 * MINUTE) if rng.random() < 0.1 else 0
        steps.append(Step(body, "feed", body.ts + late, body.ts if late else None))
        people.see(body)
    return Program(spec, steps)


def _world(rng: random.Random, *, daily: bool, actions: bool) -> World:
    return World(
        ticks=rng.choice((0.0, 0.5, 0.9)),
        statuses=rng.random() < 0.5,
        actions=actions,
        quoted=rng.random() < 0.2,
        close_only=rng.random() < 0.1,
        close=390 * MINUTE if daily else rng.choice((390, BARS)) * MINUTE,
    )


def _watched(rng: random.Random) -> dict[str, Any]:
    """Return, for two programs of five, breakers and protections that trip often.

    None of them waits for timers, which a program does not fire.
    """
    if rng.random() < 0.6:
        return {}

    def rule(limit: float, **more: Any) -> BreakerRule:
        action = rng.choice(("warn", "block", "reduce", "deleverage", "halt", "flatten"))
        reset = rng.choice(("operator", "cooling", "cooling"))
        waits = {"cooling_ns": rng.choice((0, 5 * MINUTE)), "cooling_sessions": rng.choice((0, 1))}
        return BreakerRule(limit=limit if rng.random() < 0.5 else 0.0, action=action, reset=reset, **waits, **more)

    return {
        "breakers": {
            "weekly_loss": rule(0.004),
            "monthly_loss": rule(0.006),
            "loss_streak": rule(2.0),
            "order_rate": rule(4.0, window_ns=MINUTE),
            "reject_rate": rule(0.5, window_ns=5 * MINUTE, min_count=2),
            "fill_sanity": rule(0.2),
            "slippage": rule(0.0005),
            "exposure": rule(0.6),
            "volatility": rule(0.1),
            "prediction_drift": rule(0.6, min_count=5),
        },
        "utilization_warn": rng.choice((0.0, 0.5)),
        "cooldown_sessions": rng.choice((0, 1)),
        "cooldown_ns": rng.choice((0, 10 * MINUTE)),
        "stop_guard": rng.choice((0, 1)),
    }


def _spec(rng: random.Random, interval: Interval, *, rough: bool) -> CoreSpec:
    forms = [form for form in _FORMS if rng.random() < 0.7]
    bindings = tuple(bind_spec(form) for form in forms)
    names = tuple(b.name for b in bindings)
    account = rng.choice(("cash", "cash", "cash_strict", *(("margin",) if rough else ())))
    short = rng.random() < 0.5
    margin_rate = 80_000_000 * (account == "margin")
    portfolio = {
        "rebalance": rng.choice(("signal", "daily", "weekly")),
        "allocation": rng.choice(("equal", "confidence", "inverse_volatility")),
        "lookback": 3,
        "max_weight": 0.5,
        "min_weight": 0.0,
        "stop_loss": rng.choice((0.0, 0.01)),
        "take_profit": rng.choice((0.0, 0.02)),
        "allow_short": short,
        "reuse_proceeds": account != "cash_strict",
        "borrow_rate": 30_000_000,
        "margin_rate": margin_rate,
        "margin": account == "margin",
    }
    bounds: dict[str, Any] = {
        "max_position": 0.6,
        "max_order_fraction": 0.6,
        "stale_ns": rng.choice((0, 5 * MINUTE)),
        "daily_loss_warn": 0.002,
        "daily_loss_block": 0.004,
        "daily_loss_halt": rng.choice((0.006, 0.05)),
        "max_drawdown": rng.choice((0.01, 0.2)),
        "replay_resume_sessions": rng.choice((0, 1)),
        "allow_short": short,
        "replay": rng.random() < 0.5,
    }
    bounds |= _watched(random.Random(str(bounds)))  # noqa: S311 - draws nothing from the program's own numbers
    limits = RiskLimits(**bounds | (_OPEN if rough and rng.random() < 0.6 else {}))
    broker = BrokerParams(
        regulatory_fees=rng.random() < 0.3,
        impact=rng.choice(("none", "linear", "sqrt")),
        participation=rng.choice((0, 10_000_000)),
        same_event_fill=rng.random() < 0.3,
        account=account,
        allow_short=short,
        borrow_rate=30_000_000,
        margin_rate=margin_rate,
        **(_simulator(rng) if rough else {}),
    )
    portfolios = (
        PortfolioSpec("main", 100_000 * SHARE, names, **portfolio),
        PortfolioSpec("hand", rng.choice((0, 20_000 * SHARE)), names[:1], **portfolio),
    )
    decision = None if interval.is_daily or rng.random() < 0.5 else parse_interval("3m")
    return CoreSpec(Universe(SYMBOLS), interval, bindings, decision, broker, limits, portfolios, rng.randrange(100))


_OPEN: Final = {
    "min_order_value": 0,
    "max_order_value": 0,
    "max_order_fraction": 0.0,
    "max_position": 0.0,
    "max_positions": 0,
    "price_collar": 0.0,
    "stale_ns": 0,
    "stale_sessions": 0,
    "daily_loss_warn": 0.0,
    "daily_loss_block": 0.0,
    "daily_loss_halt": 0.0,
    "max_drawdown": 0.0,
}
"""A gate that lets nearly everything pass, so that the broker has something to do."""


def _simulator(rng: random.Random) -> dict[str, Any]:
    return {
        "latency_ns": rng.choice((0, 0, 1, 20 * 10**9)),
        "latency_jitter_ns": rng.choice((0, 5 * 10**9)),
        "spread_model": rng.choice(("fixed", "dynamic")),
        "slippage_volume_share": rng.choice((0, 10_000_000)),
        "impact_permanent": rng.choice((0, 50_000_000)),
        "queue": rng.random() < 0.7,
        "fill_on_touch": rng.random() < 0.3,
        "require_locate": rng.random() < 0.3,
        "hard_to_borrow": rng.choice(((), ("BB",))),
        "ssr": rng.choice(("flagged", "computed", "off")),
        "margin_call": rng.choice(("liquidate", "liquidate", "warn")),
    }


class _People:
    """Operators and clients; they know the last prices and the orders they gave."""

    def __init__(self, rng: random.Random, spec: CoreSpec, far: int) -> None:
        self.rng, self.spec, self.far = rng, spec, far
        self.prices = list(STARTS)
        self.orders: dict[str, SubmitOrder] = {}
        self.busy = 0.98 if spec.limits.max_drawdown == 0 else 0.78
        """Share of what they say that is about orders; behind a gate that is open nobody shuts it all the time."""

    def see(self, body: Market) -> None:
        if isinstance(body, BarPanel):
            prices = body.close
        elif isinstance(body, QuotePanel):
            prices = body.bid_px
        elif isinstance(body, TradePanel):
            prices = body.price
        else:
            if isinstance(body, CorporateAction) and body.kind == "split":
                self.prices[body.symbol] *= body.denominator / body.numerator
            return
        for symbol, px in zip(body.ids.tolist(), prices.tolist(), strict=True):
            self.prices[symbol] = px

    def commands(self, body: Market) -> Iterable[Step]:
        rng, at = self.rng, body.ts
        often = 0.2 if isinstance(body, QuotePanel | TradePanel) else 0.45
        while rng.random() < often:
            source = rng.choice(("control", "script"))
            yield Step(self.command(at), source, at - rng.randrange(MINUTE), None if rng.random() < 0.5 else at)

    def command(self, at: int) -> Command:
        rng = self.rng
        portfolio = rng.choice(("main", "main", "main", "hand", "hand", "nobody"))
        if rng.random() > self.busy:
            return _word(rng, self.spec, portfolio)
        kind = rng.random()
        if kind < 0.75:
            again = self.orders and rng.random() < 0.05
            name = next(reversed(self.orders)) if again else f"c{len(self.orders) + 1}"
            order = draw_order(rng, name, portfolio, self.prices, at, self.far)
            self.orders.setdefault(name, order)
            return order
        name = rng.choice(list(self.orders)[-6:] or ["c0"])
        known = self.orders.get(name)
        if known is not None and known.terms is not None and known.terms.bracket is not None:
            name += rng.choice(("", "-tp", "-sl"))
        if kind < 0.85:
            return CancelOrder(name, "changed my mind")
        return ReplaceOrder(name, **draw_replace(rng, known, self.prices[known.symbol if known else 0]))


def _word(rng: random.Random, spec: CoreSpec, portfolio: str) -> Command:
    name = rng.choice([b.name for b in spec.bindings] + ["nobody"])
    return rng.choice(
        (
            Halt("caution", "ann"),
            Reduce("caution", "ann"),
            Resume("fine again", "ann"),
            Resume("fine again", "ann"),
            Resume("fine again", "bob"),
            Unlatch("looked into it", "root"),
            Unlatch("looked into it", "root"),
            Flatten("out", "ann"),
            *([Kill("fire", "ann"), LatchObserved("file")] if rng.random() < 0.3 else []),
            ResetBreaker(portfolio, rng.choice(("daily_loss", "drawdown")), "looked into it", "ann"),
            DisableStrategy(name, "pause", "ann"),
            EnableStrategy(name, "go on", "ann"),
            EnableStrategy(rng.choice([b.name for b in spec.bindings] or ["nobody"]), "go on", "bob"),
            DepositCash(portfolio, rng.choice((-1, 1, 1)) * rng.randrange(0, 5_000) * SHARE, "flow"),
            ClosePositions(rng.choice((portfolio, "")), "flatten", rng.choice((-1, 1))),
            CancelAll("", rng.choice(("all", "adding", "some")), "tidy"),
            Reload("digest", "ann", _limits(rng, spec.limits)),
            PredictionUnavailable("r-1", "m@1", "gone"),
            PredictionReady(POISON, "m@1", "1d", b"", b"", b""),
        )
    )


def _limits(rng: random.Random, limits: RiskLimits) -> RiskLimits:
    changes: dict[str, Any] = rng.choice(
        (
            {"max_positions": rng.randrange(1, 5)},
            {"daily_loss_halt": 0.01, "cash_reserve": 110_000_000},
            {"duplicate_window_ns": 0, "max_order_fraction": 0.2},
            {"max_position": float("inf")},
        )
    )
    return msgspec.structs.replace(limits, **changes)


# -- runs --------------------------------------------------------------------------------------------------------------


class Recorder:
    """The ledger's end of a core."""

    def append(self, frame: Any) -> None:
        """Keep nothing; :func:`advance` does."""


def fresh(spec: CoreSpec) -> tuple[Core, VirtualClock]:
    """Return a core nobody has used; a handler of its predictor fails on purpose where it is told to."""
    clock = VirtualClock()
    core = build_core(spec, clock=clock, sink=Recorder())
    answered = core.predictor.decide_prediction

    def faulty(message: PredictionReady, ctx: Any) -> None:
        if message.request_id == POISON:
            raise ZeroDivisionError(POISON)
        answered(message, ctx)

    core.predictor.decide_prediction = faulty  # type: ignore[method-assign]
    return core, clock


_CODEC: Final = codec()


def again(events: list[Event]) -> list[Event]:
    """Return events as a ledger gives them back; the same facts must be the same bytes."""
    encoded = _CODEC.encode_many(events)
    decoded = _CODEC.decode_many(encoded)
    assert _CODEC.encode_many(decoded) == encoded
    return decoded  # type: ignore[return-value]


def advance(core: Core, clock: VirtualClock, step: Step) -> Kept | None:
    """Process one input; None where it was poison once too often, which ends the run."""
    clock.advance_to(max(clock.now(), step.at))
    try:
        events = core.sequencer.process(step.body, step.source, ts_event=step.ts_event)
    except InvariantError as error:
        if error.code != "POISON_STORM":
            raise
        return None
    ts = core.sequencer.last_ts
    ts_event = ts if step.ts_event is None else step.ts_event
    body = step.body if isinstance(step.body, Market) else _CODEC.decode(_CODEC.encode(step.body))
    return Kept(core.sequencer.seq, ts, ts_event, step.source, body, again(events))


def play(made: Program, marks: Iterable[int] = (), every: bool = False) -> Run:
    """Run a program to its end, with snapshots behind the inputs of these numbers (0: before the first), or all."""
    core, clock = fresh(made.spec)
    kept: list[Kept] = []
    wanted = frozenset(marks)
    snapshots = {0: core.sequencer.snapshot()}
    for number, step in enumerate(made.steps, start=1):
        row = advance(core, clock, step)
        if row is None:
            del made.steps[number - 1 :]
            return play(made, wanted, every)
        kept.append(row)
        if every or number in wanted or number == len(made.steps):
            snapshots[number] = core.sequencer.snapshot()
    return Run(core, kept, snapshots)


def recover(spec: CoreSpec, kept: list[Kept], snapshot: bytes | None, at: int, upto: int) -> tuple[Core, VirtualClock]:
    """Rebuild a core behind input ``upto`` from the snapshot behind input ``at``, or from nothing."""
    core, clock = fresh(spec)
    sequencer = core.sequencer
    if snapshot is not None:
        sequencer.restore(snapshot)
        panels = [row.body for row in kept[:at] if isinstance(row.body, Market)]
        sequencer.warm(lambda count: panels[-count:])
    for row in kept[at:upto]:
        sequencer.refold(row.seq, row.ts, row.ts_event, row.body, row.events, source=row.source)
    sequencer.rearm()
    clock.advance_to(sequencer.last_ts)
    return core, clock
