"""A predictor that follows the news, in the real sequencer and the replay engine, with scores a test can say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from actors.messages.catalogue import codec
from actors.messages.columns import unpack_f64, unpack_i32
from actors.messages.inference import PredictionUnavailable
from actors.messages.market import NewsItem
from actors.messages.sentiment import SentimentMeasured, SentimentReady, SentimentRequested
from actors.predictor.actor import PredictorActor
from actors.predictor.pool.texts import HeadlineCache, TextPool
from actors.predictor.sentiment.params import SentimentParams
from actors.values import Universe, parse_interval
from daemon.kernel.actor import Frame
from daemon.kernel.clock import VirtualClock
from daemon.kernel.message import Event, Market, Message
from daemon.kernel.sequencer import Sequencer
from daemon.system.engine import ReplayEngine

MODEL = "said@000000000000"
HOUR = 3_600 * 1_000_000_000


class Said:
    """A scorer whose texts end with the probabilities it gives: ``... 0.1 0.2 0.7``; other texts it abstains from."""

    model_id = MODEL

    def __init__(self) -> None:
        self.asked: list[str] = []

    def score(self, texts: Sequence[str]) -> Any:
        """Return what the texts say."""
        rows = np.full((len(texts), 3), np.nan)
        for i, text in enumerate(texts):
            self.asked.append(text)
            words = text.split()[-3:]
            try:
                rows[i] = [float(word) for word in words]
            except ValueError:
                continue
        return rows


class Pool:
    """Answers through the real text pool, or not at all."""

    def __init__(self, scorer: Said | None = None, refuse: str = "") -> None:
        self.scorer = Said() if scorer is None else scorer
        self.refuse = refuse
        self.texts = TextPool({MODEL: lambda: self.scorer}, HeadlineCache(100))
        self.requests: list[SentimentRequested] = []

    def predict(self, request: Any) -> PredictionUnavailable:
        """Know no price models."""
        return PredictionUnavailable(request.request_id, request.model_id, "none here")

    def sentiment(self, request: SentimentRequested) -> SentimentReady | PredictionUnavailable:
        """Answer."""
        self.requests.append(request)
        if self.refuse:
            return PredictionUnavailable(request.request_id, request.model_id, self.refuse)
        return self.texts.sentiment(request)


class Recorded(NamedTuple):
    """An input as it was processed, what came of it, and the core behind it."""

    seq: int
    ts: int
    ts_event: int
    source: str
    body: Message
    events: list[Event]
    core: bytes


class Recorder(Sequencer):
    """A sequencer that keeps every input, and a snapshot behind it if it is told to."""

    records: list[Recorded]
    cores = False

    def process(self, body: Message, source: str, *, ts_event: int | None = None, **ids: Any) -> list[Event]:
        """Process and keep."""
        events = super().process(body, source, ts_event=ts_event, **ids)
        at = self.last_ts if ts_event is None else ts_event
        core = self.snapshot() if self.cores else b""
        self.records.append(Recorded(self.seq, self.last_ts, at, source, body, events, core))
        return events


class News:
    """One run."""

    def __init__(
        self,
        *,
        symbols: tuple[str, ...] = ("A", "B", "C"),
        bindings: Sequence[Any] = (),
        pool: Any = None,
        latency_ns: int = 0,
        **params: Any,
    ) -> None:
        self.params = SentimentParams(MODEL, **params)
        self.symbols = symbols
        self.bindings = bindings
        self.pool = Pool() if pool is None else pool
        self.latency_ns = latency_ns
        self.frames: list[Frame] = []
        self.clock = VirtualClock()
        universe, daily = Universe(self.symbols), parse_interval("1d")
        self.actor = PredictorActor(universe, self.bindings, interval=daily, sentiment=self.params)
        self.sequencer = Recorder([self.actor], codec=codec(), clock=self.clock, sink=self)
        self.sequencer.records = []

    def append(self, frame: Frame) -> None:
        """Take a frame."""
        self.frames.append(frame)

    def play(self, inputs: Sequence[Market]) -> News:
        """Play inputs in order of time to their end."""
        engine = ReplayEngine(
            self.sequencer, self.clock, deposits=[], pool=self.pool, latency_ns=self.latency_ns, first_bar=None
        )
        engine.run(iter(sorted(inputs, key=lambda item: item.ts)))
        return self

    def events(self, *kinds: type[Event]) -> list[Any]:
        """Return events of these kinds; without kinds all."""
        return [e for f in self.frames for e in f.events if not kinds or type(e) in kinds]

    def measured(self) -> list[dict[str, dict[str, Any]]]:
        """Return each session's figures by symbol."""
        return [figures(event, self.symbols) for event in self.events(SentimentMeasured)]


def figures(event: SentimentMeasured, symbols: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the figures of one event by symbol."""
    names = ("score", "change", "dispersion", "divergence", "n", "volume", "today", "norm", "unusual")
    columns = {name: unpack_f64(getattr(event, name)).tolist() for name in names}
    return {
        symbols[symbol]: {name: columns[name][i] for name in names} | {"flags": event.flags[i]}
        for i, symbol in enumerate(unpack_i32(event.ids).tolist())
    }


def item(ts: int, text: str, *symbols: int, news_id: str = "", source: str = "", summary: str = "") -> NewsItem:
    """Return a headline."""
    return NewsItem(ts, news_id or f"{text}@{ts}", symbols, text, summary, source)
