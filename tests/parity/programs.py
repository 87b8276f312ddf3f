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
from actors.messages.market import BarPanel, GapDetected, NewsItem, QuotePanel, SessionClosed, SessionOpened
from actors.messages.orders import CancelAll, CancelOrder, OrderType, ReplaceOrder, SubmitOrder, TimeInForce
from actors.messages.portfolio import ClosePositions, DepositCash
from actors.portfolio.params import PortfolioSpec
from actors.predictor.registry import bind_spec
from actors.risk.params import RiskLimits
from actors.values import Interval, Universe, parse_interval
from actors.values.session import Session
from daemon.kernel.clock import VirtualClock
from daemon.kernel.errors import InvariantError
from daemon.kernel.message import Command, Event, Market, Message
from daemon.system.composition import Core, CoreSpec, build_core

MINUTE: Final = 60 * 10**9
DAY: Final = 24 * 60 * MINUTE
SHARE: Final = 10**8
SYMBOLS: Final = ("AA", "BB", "CC", "DD")
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


def program(seed: int, *, sessions: int = 8, interval: str = "", rough: bool = True) -> Program:
    """Return the program of a seed.

    Args:
        seed: decides everything.
        sessions: trading days.
        interval: ``1d`` or ``1m``; "" lets the seed choose.
        rough: whether operators, clients and faults are at work; else only strategies trade.
    """
    rng = random.Random(seed)  # noqa: S311 - a program is told by its seed
    text = interval or rng.choice(("1d", "1m"))
    spec = _spec(rng, parse_interval(text))
    market = _market(rng, sessions, daily=text == "1d")
    steps = [Step(DepositCash(p.name, p.cash, "opening deposit"), "control", market[0].ts) for p in spec.portfolios]
    ids = ["c0"]
    for body in market:
        if rough:
            steps += _commands(rng, spec, ids, body.ts)
            if rng.random() < 0.02:
                gap = GapDetected(body.ts, "playback", body.ts - rng.randrange(1, DAY), body.ts)
                steps.append(Step(gap, "feed", body.ts))
        late = rng.randrange(3 * MINUTE) if rng.random() < 0.1 else 0
        steps.append(Step(body, "feed", body.ts + late, body.ts if late else None))
    return Program(spec, steps)


def _spec(rng: random.Random, interval: Interval) -> CoreSpec:
    forms = [form for form in _FORMS if rng.random() < 0.7]
    bindings = tuple(bind_spec(form) for form in forms)
    names = tuple(b.name for b in bindings)
    account = rng.choice(("cash", "cash", "cash_strict"))
    short = rng.random() < 0.5
    portfolio = {
        "rebalance": rng.choice(("signal", "daily", "weekly")),
        "allocation": rng.choice(("equal", "confidence", "inverse_volatility")),
        "lookback": 3,
        "max_weight": 0.5,
        "min_weight": 0.0,
        "stop_loss": rng.choice((0.0, 0.01)),
        "take_profit": rng.choice((0.0, 0.02)),
        "allow_short": short,
        "reuse_proceeds": account == "cash",
    }
    limits = RiskLimits(
        max_position=0.6,
        max_order_fraction=0.6,
        stale_ns=rng.choice((0, 5 * MINUTE)),
        daily_loss_warn=0.002,
        daily_loss_block=0.004,
        daily_loss_halt=rng.choice((0.006, 0.05)),
        max_drawdown=rng.choice((0.01, 0.2)),
        replay_resume_sessions=rng.choice((0, 1)),
        allow_short=short,
        replay=rng.random() < 0.5,
    )
    broker = BrokerParams(
        regulatory_fees=rng.random() < 0.3,
        impact=rng.choice(("none", "linear", "sqrt")),
        participation=rng.choice((0, 10_000_000)),
        same_event_fill=rng.random() < 0.3,
        account=account,
        allow_short=short,
    )
    portfolios = (
        PortfolioSpec("main", 100_000 * SHARE, names, **portfolio),
        PortfolioSpec("hand", rng.choice((0, 20_000 * SHARE)), names[:1], **portfolio),
    )
    decision = None if interval.is_daily or rng.random() < 0.5 else parse_interval("3m")
    return CoreSpec(Universe(SYMBOLS), interval, bindings, decision, broker, limits, portfolios, rng.randrange(100))


def _market(rng: random.Random, sessions: int, *, daily: bool) -> list[Market]:
    found: list[Market] = []
    prices = np.array([100.0, 20.0, 55.0, 7.0])
    start = 1_577_975_400_000_000_000  # 2020-01-02 09:30 in New York
    bars = 1 if daily else 12
    length = 390 * MINUTE if daily else MINUTE
    for number in range(sessions):
        opened = start + number * DAY
        session = Session(20200102 + number, opened, opened + 390 * MINUTE, number)
        told = rng.random() < 0.95
        if told:
            found.append(SessionOpened(opened, session))
        for bar in range(bars):
            ids = [i for i in range(len(SYMBOLS)) if rng.random() < 0.85] or [0]
            if rng.random() < 0.6:
                ids = list(range(len(SYMBOLS)))
            begin = opened + bar * length
            found.append(_panel(rng, prices, ids, begin, begin + length, session.date, daily=daily))
            if rng.random() < 0.05:
                found.append(msgspec.structs.replace(found[-1], revision=1))
            if rng.random() < 0.1:
                found.append(_unheard(rng, found[-1].ts))
        if told and rng.random() < 0.95:
            found.append(SessionClosed(session.close_ts, session))
    return found


def _panel(
    rng: random.Random, prices: Any, ids: list[int], start: int, end: int, session: int, *, daily: bool
) -> BarPanel:
    count = len(ids)
    opens = prices[ids] * np.array([1 + rng.gauss(0, 0.004) for _ in ids])
    closes = opens * np.array([1 + rng.gauss(0, 0.008) for _ in ids])
    opens, closes = np.round(opens, 2), np.round(closes, 2)
    prices[ids] = closes
    reach = np.array([abs(rng.gauss(0, 0.004)) for _ in ids])
    high = np.round(np.maximum(opens, closes) * (1 + reach), 2)
    low = np.round(np.minimum(opens, closes) * (1 - reach), 2)
    volume = np.array([rng.choice((float("nan"), 0.0, 300.0, 5e3, 1e6, 1e6)) for _ in ids])
    return BarPanel(
        end,
        start,
        session,
        daily,
        np.array(ids, dtype=np.int32),
        count == len(SYMBOLS),
        opens,
        high,
        low,
        closes,
        np.rint(closes * SHARE).astype(np.int64),
        None if rng.random() < 0.1 else volume,
    )


def _unheard(rng: random.Random, ts: int) -> Market:
    if rng.random() < 0.5:
        return NewsItem(ts, "n1", (0,), "nothing happened")
    one = np.ones(1)
    return QuotePanel(ts, np.zeros(1, dtype=np.int32), one, one, one, one)


def _commands(rng: random.Random, spec: CoreSpec, ids: list[str], at: int) -> Iterable[Step]:
    while rng.random() < 0.45:
        source = rng.choice(("control", "script"))
        yield Step(_command(rng, spec, ids), source, at - rng.randrange(MINUTE), None if rng.random() < 0.5 else at)


def _command(rng: random.Random, spec: CoreSpec, ids: list[str]) -> Command:
    portfolio = rng.choice(("main", "main", "hand", "nobody"))
    kind = rng.random()
    if kind < 0.55:
        if rng.random() < 0.95:
            ids.append(f"c{len(ids)}")
        return _order(rng, ids[-1], portfolio)
    order_id = rng.choice(ids[-5:])
    if kind < 0.62:
        return CancelOrder(order_id, "changed my mind")
    if kind < 0.72:
        price = rng.choice((None, None, rng.randrange(1, 120) * SHARE))
        return ReplaceOrder(order_id, rng.choice((None, rng.randrange(0, 60) * SHARE)), price, None)
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


def _order(rng: random.Random, order_id: str, portfolio: str) -> SubmitOrder:
    kind = rng.choice((OrderType.MARKET, OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.TRAILING_STOP))
    symbol = rng.randrange(-1, len(SYMBOLS))
    px = round((100.0, 20.0, 55.0, 7.0)[symbol] * (1 + rng.gauss(0, 0.02)) * SHARE)
    return SubmitOrder(
        order_id,
        portfolio,
        symbol,
        rng.choice((1, 1, -1)),
        rng.choice((1, 5, 20, 150, 700)) * SHARE + (rng.random() < 0.05),
        kind,
        rng.choice((TimeInForce.DAY, TimeInForce.GTC)),
        px if kind is OrderType.LIMIT else None,
        px if kind is OrderType.STOP else None,
        reason="script",
        reduce_only=rng.random() < 0.15,
    )


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
