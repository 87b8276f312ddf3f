"""What a run's news were: every headline with what became of it, and each symbol's figures at each session's end."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.messages.columns import unpack_f64, unpack_i32
from actors.messages.sentiment import NewsScored, NewsSeen, SentimentMeasured, SentimentRequested
from actors.reporter.record import RunRecord

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

SCORED: Final = "scored"
ABSTAINED: Final = "abstained"
WAITING: Final = "waiting"
FIGURES: Final = ("score", "change", "dispersion", "divergence", "n", "volume", "today", "norm", "unusual")
UNNAMED: Final = "(no source)"


class HeadlineRow(msgspec.Struct, gc=False):
    """A headline and what became of it.

    Attributes:
        ts: stamp at which it came in.
        news_id, text, source, flags: as in ``NewsSeen``.
        symbols: ids of those it was news to at that stamp.
        status: ``scored``, ``abstained`` (the model judged nothing), ``waiting`` (the run ended first), or why there is
            no score, such as ``late``.
        p: negative, neutral, positive; None without a score.
        model_id: who was asked; "" while nobody was.
    """

    ts: int
    news_id: str
    text: str
    source: str
    flags: tuple[str, ...]
    symbols: tuple[int, ...]
    status: str = WAITING
    p: tuple[float, float, float] | None = None
    model_id: str = ""

    @property
    def tone(self) -> float:
        """Positive less negative; NaN without a score."""
        return math.nan if self.p is None else self.p[2] - self.p[0]


class Measured(msgspec.Struct, frozen=True):
    """The figures of one session's end: columns as in ``SentimentMeasured``."""

    ts: int
    session: int
    ids: npt.NDArray[np.int32]
    columns: dict[str, F64]
    flags: tuple[tuple[str, ...], ...]


class NewsStory:
    """Facts about news in order of time.

    Attributes:
        headlines: every one that came in.
        measured: figures by session.
    """

    def __init__(self) -> None:
        """Start with nothing told."""
        self.headlines: list[HeadlineRow] = []
        self.measured: list[Measured] = []
        self._unasked: dict[str, list[HeadlineRow]] = {}
        self._asked: dict[str, list[list[HeadlineRow]]] = {}
        """Rows of each headline of a request that was not answered yet."""

    def __bool__(self) -> bool:
        """Whether there were any."""
        return bool(self.headlines)

    def seen(self, ts: int, event: NewsSeen) -> None:
        """Take a headline."""
        row = HeadlineRow(ts, event.news_id, event.text, event.source, event.flags, event.symbols)
        self.headlines.append(row)
        self._unasked.setdefault(event.news_id, []).append(row)

    def asked(self, _ts: int, event: SentimentRequested) -> None:
        """Note who was asked."""
        rows = [self._unasked.pop(news_id, []) for news_id in event.news_ids]
        for row in itertools.chain.from_iterable(rows):
            row.model_id = event.model_id
        self._asked[event.request_id] = rows

    def scored(self, _ts: int, event: NewsScored) -> None:
        """Note what became of headlines; one that was asked about for several symbols counts each time it came in."""
        asked = self._asked.pop(event.request_id, [])
        for rows, p in zip(asked, unpack_f64(event.p).reshape(-1, 3).tolist(), strict=False):
            for row in rows:
                if math.isnan(p[0]):
                    row.status = event.reason.partition(":")[0] or ABSTAINED
                else:
                    row.status, row.p = SCORED, (p[0], p[1], p[2])

    def session(self, ts: int, event: SentimentMeasured) -> None:
        """Take a session's figures."""
        columns = {name: unpack_f64(getattr(event, name)) for name in FIGURES}
        self.measured.append(Measured(ts, event.session, unpack_i32(event.ids), columns, event.flags))


def document(record: RunRecord, news: NewsStory, sessions: I64) -> dict[str, Any] | None:
    """Return what ``metrics.json`` says of the news; None where there were none.

    Args:
        record: of the run.
        news: its facts.
        sessions: exchange dates of its sessions, ``[S]``.
    """
    if not news:
        return None
    status = Counter(row.status for row in news.headlines)
    tradable = [i for i in range(len(record.universe)) if record.universe.is_tradable(i)]
    told = {symbol for row in news.headlines for symbol in row.symbols}
    with_news, with_score = _cells(news, "today", _some), _cells(news, "score", math.isfinite)
    cells = len(tradable) * int(sessions.size)
    known = set(sessions.tolist())
    days = {session for session, _ in with_news if session in known}
    return {
        "models": sorted({row.model_id for row in news.headlines if row.model_id}),
        "headlines": len(news.headlines),
        "scored": status[SCORED],
        "abstained": status[ABSTAINED],
        "waiting": status[WAITING],
        "unanswered": {
            name: count for name, count in sorted(status.items()) if name not in {SCORED, ABSTAINED, WAITING}
        },
        "coverage": {
            "symbols": _share(sum(symbol in told for symbol in tradable), len(tradable)),
            "sessions": _share(len(days), int(sessions.size)),
            "symbol_sessions": _share(sum(symbol in tradable for _, symbol in with_news), cells),
            "symbol_sessions_scored": _share(sum(symbol in tradable for _, symbol in with_score), cells),
        },
        "by_source": _groups(news.headlines, lambda row: (row.source or UNNAMED,)),
        "by_flag": _groups(news.headlines, lambda row: row.flags),
        "by_symbol": _by_symbol(record, news),
    }


def _some(value: float) -> bool:
    return value > 0


def _cells(news: NewsStory, name: str, holds: Callable[[float], bool]) -> set[tuple[int, int]]:
    """Return (session, symbol) of every session's end at which something holds of a figure."""
    return {
        (found.session, symbol)
        for found in news.measured
        for symbol, value in zip(found.ids.tolist(), found.columns[name].tolist(), strict=True)
        if holds(value)
    }


def _share(count: int, of: int) -> dict[str, Any]:
    return {"count": count, "of": of, "share": count / of if of else None}


def _groups(rows: list[HeadlineRow], names: Any) -> list[dict[str, Any]]:
    """Return headlines by what ``names`` gives of each, the most frequent first."""
    groups: dict[str, list[HeadlineRow]] = {}
    for row in rows:
        for name in names(row):
            groups.setdefault(name, []).append(row)
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [{"name": name, **_tones(members)} for name, members in ranked]


def _tones(rows: list[HeadlineRow]) -> dict[str, Any]:
    """Return how many headlines there are, how many were scored, and their mean tone and labels."""
    scored = [row.p for row in rows if row.p is not None]
    labels = Counter(p.index(max(p)) for p in scored)
    n = len(scored)
    return {
        "headlines": len(rows),
        "scored": n,
        "abstained": sum(row.status == ABSTAINED for row in rows),
        "unanswered": sum(row.status not in {SCORED, ABSTAINED, WAITING} for row in rows),
        "tone": math.fsum(p[2] - p[0] for p in scored) / n if n else None,
        **{name: labels[i] / n if n else None for i, name in enumerate(("negative", "neutral", "positive"))},
    }


def _by_symbol(record: RunRecord, news: NewsStory) -> list[dict[str, Any]]:
    """Return what was told of each symbol, the most told of first."""
    rows: dict[int, list[HeadlineRow]] = {}
    for row in news.headlines:
        for symbol in row.symbols:
            rows.setdefault(symbol, []).append(row)
    sessions: Counter[int] = Counter(symbol for _, symbol in _cells(news, "today", _some))
    unusual: Counter[int] = Counter(symbol for _, symbol in _cells(news, "unusual", _some))
    last: dict[int, float] = {}
    for found in news.measured:
        scores = zip(found.ids.tolist(), found.columns["score"].tolist(), strict=True)
        last |= {symbol: score for symbol, score in scores if math.isfinite(score)}
    ranked = sorted(rows, key=lambda symbol: (-len(rows[symbol]), symbol))
    return [
        {
            "symbol": record.universe.symbols[symbol],
            **_tones(rows[symbol]),
            "sessions": sessions[symbol],
            "unusual_sessions": unusual[symbol],
            "last_score": last.get(symbol),
        }
        for symbol in ranked
    ]


def series(news: NewsStory, symbol: int, sessions: I64, name: str) -> F64:
    """Return a figure of a symbol at each session's end, ``[S]``; NaN where there is none."""
    at = {date: i for i, date in enumerate(sessions.tolist())}
    out = np.full(sessions.size, np.nan)
    for found in news.measured:
        row = at.get(found.session)
        place = np.flatnonzero(found.ids == symbol)
        if row is not None and place.size:
            out[row] = found.columns[name][place[0]]
    return out
