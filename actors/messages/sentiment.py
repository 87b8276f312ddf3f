"""Headlines on their way through the core: seen, asked about, scored; and what a symbol's news say at a session's end.

A headline counts from the stamp it came in with, never from the date it carries. A score enters the core as an input,
like a price model's prediction, and is folded as the event beside it.
"""

from __future__ import annotations

from typing import Final

from daemon.kernel.message import Command, Event

SUM_OFF: Final = 1e-3
"""How far the probabilities of a text may be from adding up to 1."""


class SentimentRequested(Event, tag=140, frozen=True):
    """Headlines want scores; the pool outside hears of it once the frame is committed.

    Attributes:
        request_id: unique in the run.
        model_id: name and version of the text model.
        news_ids: of the headlines, one per text.
        texts: headline and summary, bounded.
        deadline: stamp after which the answer is of no use.
    """

    request_id: str
    model_id: str
    news_ids: tuple[str, ...]
    texts: tuple[str, ...]
    deadline: int


class SentimentReady(Command, tag=141, frozen=True):
    """A text model's answer (an input).

    Attributes:
        request_id, model_id, news_ids: as in the request.
        p: float64 column, row-major ``len(news_ids) x 3``: negative, neutral, positive, rounded; a row of NaN: the
            model abstained.
        latency_ns: what the answer took.
    """

    request_id: str
    model_id: str
    news_ids: tuple[str, ...]
    p: bytes
    latency_ns: int = 0


class NewsScored(Event, tag=142, frozen=True):
    """A request came to its end: with scores, or with a reason why there are none.

    Attributes:
        request_id, model_id, news_ids: as in the request.
        symbols: ids of the symbols each headline is about.
        sources: who published each.
        p: float64 column, row-major ``len(news_ids) x 3``: negative, neutral, positive; NaN where there is no score.
        reason: why there is none for any of them; "" where the model answered.
    """

    request_id: str
    model_id: str
    news_ids: tuple[str, ...]
    symbols: tuple[tuple[int, ...], ...]
    sources: tuple[str, ...]
    p: bytes
    reason: str = ""


class NewsSeen(Event, tag=143, frozen=True):
    """A headline about symbols of the run came in for the first time; its time is the frame's stamp.

    Attributes:
        news_id: as the source calls it.
        symbols: ids of those it is about, under their names of today; a symbol that knew it already is left out.
        text: headline and summary as the model will see them, bounded.
        source: who published it.
        flags: what it is about, by rules on its words.
    """

    news_id: str
    symbols: tuple[int, ...]
    text: str
    source: str = ""
    flags: tuple[str, ...] = ()


class ScoreNews(Command, tag=144, frozen=True):
    """A timer: all headlines of an instant have come in; ask for their scores."""


class SentimentMeasured(Event, tag=145, frozen=True):
    """What the news said of each symbol as a session closed; columns have one entry per id.

    Attributes:
        session: exchange date YYYYMMDD.
        ids: int32 column of the symbols with a headline within the window, or since the end before, ascending.
        score: weighted mean tone in [-1, 1], NaN where too few headlines are scored.
        change: score less the one at the session's end before; NaN where either is unknown.
        dispersion: weighted standard deviation of the headlines' tones; NaN below two.
        divergence: score less the price move of the last sessions on the same scale; NaN where either is unknown.
        n: how many scored headlines stand behind the score (float64).
        volume: how many headlines there were within the window, scored or not (float64).
        today: how many came in since the session's end before (float64).
        norm: mean of that over earlier sessions, NaN where there are too few of them.
        unusual: 1 where ``today`` is far above the symbol's own norm, else 0 (float64).
        flags: of each symbol's headlines within the window.
    """

    session: int
    ids: bytes
    score: bytes
    change: bytes
    dispersion: bytes
    divergence: bytes
    n: bytes
    volume: bytes
    today: bytes
    norm: bytes
    unusual: bytes
    flags: tuple[tuple[str, ...], ...] = ()
