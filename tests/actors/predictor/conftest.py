"""A small run around the predictor: the real sequencer, a virtual clock, made-up sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from actors.api import SPEC_ATTRIBUTE
from actors.messages.catalogue import codec
from actors.messages.inference import InferenceRequested
from actors.messages.market import BarPanel, SessionClosed, SessionOpened
from actors.predictor.actor import PredictorActor
from actors.predictor.registry import bind_spec
from actors.values import DAY_NS, MINUTE_NS, Session, Universe, parse_interval
from daemon.kernel.actor import Frame
from daemon.kernel.clock import VirtualClock
from daemon.kernel.message import Event, Market, Message
from daemon.kernel.sequencer import Sequencer

DAY0 = 20_000 * DAY_NS  # 2024-10-04
OPEN_NS = 14 * 60 * MINUTE_NS
SESSION_MINUTES = 60


def session(number: int, first_date: int = 20241001) -> Session:
    """Return the number-th made-up session of one hour; dates only have to grow."""
    start = DAY0 + number * DAY_NS + OPEN_NS
    return Session(first_date + number, start, start + SESSION_MINUTES * MINUTE_NS, number)


def panel(
    s: Session,
    ts: int,
    close,
    *,
    start_ts: int | None = None,
    daily: bool,
    open_=None,
    ids=None,
    close_only=False,
    volume=None,
) -> BarPanel:
    """Return a panel; ``close`` has one entry per id."""
    close = np.asarray(close, dtype=np.float64)
    dense = ids is None
    ids = np.arange(len(close), dtype=np.int32) if dense else np.asarray(ids, dtype=np.int32)
    start = close if open_ is None or close_only else np.asarray(open_, dtype=np.float64)
    return BarPanel(
        ts=ts,
        start_ts=s.open_ts if start_ts is None else start_ts,
        session=s.date,
        daily=daily,
        ids=ids,
        dense=dense,
        open=start,
        high=np.maximum(start, close),
        low=np.minimum(start, close),
        close=close,
        close_fx=np.round(close * 1e8).astype(np.int64),
        volume=None if volume is None else np.asarray(volume, dtype=np.float64),
        close_only=close_only,
    )


def daily_inputs(closes, opens=None, present=None, *, close_only=False, first=0, first_date=20241001) -> list[Market]:
    """Return sessions with one bar each; ``present[t]`` are the ids that have one (None: all)."""
    inputs: list[Market] = []
    for row, close in enumerate(closes):
        s = session(first + row, first_date)
        ids = None if present is None else present[row]
        pick = slice(None) if ids is None else ids
        inputs.append(SessionOpened(s.open_ts, s))
        if ids is None or len(ids):
            bar = panel(
                s,
                s.close_ts,
                close[pick],
                daily=True,
                ids=ids,
                close_only=close_only,
                open_=None if opens is None else opens[row][pick],
            )
            inputs.append(bar)
        inputs.append(SessionClosed(s.close_ts, s))
    return inputs


def minute_inputs(closes, present=None, *, opens=None, minutes=SESSION_MINUTES, volume=None) -> list[Market]:
    """Return minute bars, ``minutes`` per session; a row whose ``present`` is empty has no panel."""
    inputs: list[Market] = []
    for row, close in enumerate(closes):
        s = session(row // minutes)
        within = row % minutes
        if within == 0:
            inputs.append(SessionOpened(s.open_ts, s))
        ids = None if present is None else present[row]
        pick = slice(None) if ids is None else ids
        start = s.open_ts + within * MINUTE_NS
        if ids is None or len(ids):
            bar = panel(
                s,
                start + MINUTE_NS,
                close[pick],
                start_ts=start,
                daily=False,
                ids=ids,
                open_=None if opens is None else opens[row][pick],
                volume=None if volume is None else volume[row][pick],
            )
            inputs.append(bar)
        if within == minutes - 1:
            inputs.append(SessionClosed(s.close_ts, s))
    return inputs


class Run:
    """A predictor in a sequencer, with the pool answering at once where there is one."""

    def __init__(self, bindings, *, symbols=3, interval="1d", decision=None, pool=None, tradable=(), **options) -> None:
        names = symbols if isinstance(symbols, tuple) else tuple(f"S{i}" for i in range(symbols))
        self.actor = PredictorActor(
            Universe(names, tradable=tradable),
            [b if hasattr(b, "spec") else bind_spec(getattr(b, SPEC_ATTRIBUTE)) for b in bindings],
            interval=parse_interval(interval),
            decision_interval=None if decision is None else parse_interval(decision),
            **options,
        )
        self.clock = VirtualClock()
        self.frames: list[Frame] = []
        self.sequencer = Sequencer([self.actor], codec=codec(), clock=self.clock, sink=self)
        self.pool = pool

    def append(self, frame: Frame) -> None:
        """Take a frame, as a sink."""
        self.frames.append(frame)

    def feed(self, inputs: Sequence[Message]) -> Run:
        """Process inputs; market data move the clock."""
        for message in inputs:
            if isinstance(message, Market):
                self.clock.advance_to(message.ts)
            for event in self.sequencer.process(message, "test"):
                if type(event) is InferenceRequested and self.pool is not None:
                    self.sequencer.process(self.pool.predict(event), "inference")
        return self

    def events(self, *kinds: type[Event]) -> list[Event]:
        """Return the events so far, of these kinds."""
        return [e for f in self.frames for e in f.events if not kinds or type(e) in kinds]

    def split(self, bindings, rows: Sequence[Market], **options) -> Run:
        """Return a fresh run restored from this one's snapshot and warmed with the rows so far."""
        again = Run(bindings, pool=self.pool, **options)
        again.sequencer.restore(self.sequencer.snapshot())
        again.clock.advance_to(self.clock.now())
        again.frames = list(self.frames)
        warm = again.actor.warmup_rows()
        if warm:
            # The last ``warm`` bars and the calendar between them.
            at = [i for i, m in enumerate(rows) if again.actor.warms(m)][-warm:]
            again.sequencer.rewarm(rows[at[0] :] if at else [])
        return again


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Run]:
    """Return the run's class: the harness of this room."""
    return Run


class _Feeds:
    """Builders of inputs."""

    daily = staticmethod(daily_inputs)
    minute = staticmethod(minute_inputs)
    panel = staticmethod(panel)
    session = staticmethod(session)


@pytest.fixture(scope="session")
def feeds() -> type[_Feeds]:
    """Return builders of inputs: ``daily``, ``minute``, ``panel``, ``session``."""
    return _Feeds


@pytest.fixture(scope="session")
def prices() -> Callable[..., np.ndarray]:
    """Return a maker of random walks [rows, n]."""

    def walk(rows: int, n: int, seed: int = 1) -> np.ndarray:
        rng = np.random.default_rng(seed)
        steps = rng.standard_t(4, (rows, n)) * 0.01 + np.linspace(-0.004, 0.004, n)
        return np.round(50.0 * np.exp(np.cumsum(steps, axis=0)), 4)

    return walk
