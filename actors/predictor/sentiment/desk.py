"""The predictor's part in news: headlines come in, a text model is asked, its answers become what strategies may see.

A headline's time is the stamp it came in with: nothing that is dated, or comes in, later changes what was known before.
All headlines of one instant are asked about together, by a timer of that instant, which comes behind everything else
of it. An answer that is late, missing, of another model or no probabilities leaves its headlines without a score: they
count in the volume and nowhere else.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actors.api import Headline, PanelSentiment, Sentiment
from actors.messages.columns import pack_f64, pack_i32, unpack_f64
from actors.messages.inference import PredictionUnavailable
from actors.messages.market import NewsItem
from actors.messages.sentiment import (
    SUM_OFF,
    NewsScored,
    NewsSeen,
    ScoreNews,
    SentimentMeasured,
    SentimentReady,
    SentimentRequested,
)
from actors.predictor.ledger import PredictionLedger
from actors.predictor.sentiment.aggregate import (
    DIGITS,
    MOVE_SESSIONS,
    NAN,
    is_unusual,
    less,
    move_of,
    norm_of,
    past_of,
    read,
    within,
)
from actors.predictor.sentiment.book import Found, NewsBook, Question
from actors.predictor.sentiment.flags import flags_of, joined
from actors.predictor.sentiment.panels import panel_of
from actors.predictor.sentiment.params import SentimentParams
from daemon.kernel.actor import Context, CoreActor, decides, evolves
from daemon.kernel.errors import VenueError

F64 = npt.NDArray[np.float64]

TEXT_MAX: Final = 600
"""Characters of headline and summary that the model is asked about; it reads some sixty words."""
BATCH: Final = 64
"""Headlines in a request at most."""


class Newsroom:
    """What strategies may see of a book, at the stamp of the frame under way."""

    def __init__(self, desk: SentimentDesk, book: NewsBook, params: SentimentParams) -> None:
        """Look at a desk's book."""
        self._desk = desk
        self._book = book
        self._params = params

    def headlines(self, symbol: int) -> tuple[Headline, ...]:
        """Return a symbol's headlines within the window, oldest first."""
        items = within(self._book.items.get(symbol, ()), self._desk.frame_ts, self._params.window_ns)
        return tuple(
            Headline(item.seen, item.text, item.source, item.flags, *(item.p or (NAN, NAN, NAN))) for item in items
        )

    def sentiment(self, symbol: int) -> Sentiment:
        """Return what the news say of a symbol at the stamp of the frame under way."""
        book = self._book
        found = self._found(symbol)
        reading = found.reading
        today = book.today.get(symbol, 0)
        norm = norm_of(book.counts_of(symbol))
        return Sentiment(
            score=reading.score,
            change=less(reading.score, book.last_score.get(symbol, NAN)),
            dispersion=reading.dispersion,
            divergence=less(reading.score, self._desk.price_move(symbol)),
            n=reading.n,
            volume=reading.volume,
            today=today,
            norm=norm,
            unusual=is_unusual(today, norm),
            flags=found.flags,
        )

    def _found(self, symbol: int) -> Found:
        """Return what a symbol's headlines say; computed anew where one came, was scored, or has left the window."""
        book, now = self._book, self._desk.frame_ts
        found = book.found.get(symbol)
        if found is None or now >= found.until:
            window = self._params.window_ns
            counted = within(book.items.get(symbol, ()), now, window)
            until = min((item.seen for item in counted), default=now) + window
            flags = joined([item.flags for item in counted])
            found = book.found[symbol] = Found(read(counted, now, self._params), flags, until)
        return found

    def panel(self, n_symbols: int) -> PanelSentiment:
        """Return what the news say of all symbols now."""
        symbols = dict.fromkeys((*self._book.items, *self._book.today))
        return panel_of({symbol: self.sentiment(symbol) for symbol in symbols}, n_symbols)


class SentimentDesk(CoreActor):
    """Follows the news; the actor adds everything else."""

    ledger: PredictionLedger
    newsroom: Newsroom | None = None
    _book: NewsBook | None = None
    _params: SentimentParams | None = None

    def _open_newsroom(self, params: SentimentParams | None) -> None:
        """Follow the news of a run; None: do not."""
        if params is not None:
            self._params = params
            self._book = NewsBook(params.window_ns)
            self.newsroom = Newsroom(self, self._book, params)

    @property
    def book(self) -> NewsBook | None:
        """The headlines of the run; look, do not touch. None where news are not followed."""
        return self._book

    # -- headlines ---------------------------------------------------------------------------------------------------

    @decides(NewsItem)
    def decide_news(self, message: NewsItem, ctx: Context) -> None:
        """State that a headline came in, if it is news to a symbol of the run; ask once the instant is over."""
        book = self._book
        if book is None:
            return
        news_id = _plain(message.news_id)
        symbols = book.unknown(news_id, message.symbols, ctx.now)
        if not symbols:
            return
        if not book.pending:
            ctx.call_at(ctx.now, ScoreNews())
        text = asked_text(message.headline, message.summary)
        flags = flags_of(message.headline or message.summary)
        ctx.emit(NewsSeen(news_id, symbols, text, _plain(message.source), flags))

    @decides(ScoreNews)
    def decide_score(self, message: ScoreNews, ctx: Context) -> None:  # noqa: ARG002 - it says all by coming
        """Ask about everything that came in."""
        book, params = self._book, self._params
        if book is None or params is None:
            return
        waiting = list(book.pending.values())
        for number, begin in enumerate(range(0, len(waiting), BATCH), start=book.asked + 1):
            chunk = waiting[begin : begin + BATCH]
            ctx.emit(
                SentimentRequested(
                    request_id=f"news-{number}",
                    model_id=params.model_id,
                    news_ids=tuple(headline.news_id for headline in chunk),
                    texts=tuple(headline.text for headline in chunk),
                    deadline=ctx.now + params.deadline_ns,
                )
            )

    # -- answers -----------------------------------------------------------------------------------------------------

    @decides(SentimentReady)
    def decide_sentiment(self, message: SentimentReady, ctx: Context) -> None:
        """Take scores, or put on record why there are none: late, of another model, or no probabilities."""
        question = None if self._book is None else self._book.open.get(message.request_id)
        if question is None:
            raise VenueError(f"no headline waits for the answer to {message.request_id}", code="PREDICTION_STALE")
        reason = _refusal(message, question)
        if not reason and ctx.now > question.deadline:
            reason = f"late: {(ctx.now - question.deadline) // 1_000_000} ms after the deadline"
        ctx.emit(_scored(message.request_id, question, reason, b"" if reason else message.p))

    def _without_answer(self, message: PredictionUnavailable, ctx: Context) -> bool:
        """Put on record that no answer will come; tell whether the question was one about headlines."""
        question = None if self._book is None else self._book.open.get(message.request_id)
        if question is not None:
            ctx.emit(_scored(message.request_id, question, f"unavailable: {_plain(message.reason)}", b""))
        return question is not None

    # -- facts -------------------------------------------------------------------------------------------------------

    @evolves(NewsSeen)
    def fold_seen(self, event: NewsSeen) -> None:
        """Enter a headline."""
        if self._book is not None:
            self._book.see(event, self.frame_ts)

    @evolves(SentimentRequested)
    def fold_asked(self, event: SentimentRequested) -> None:
        """Wait for an answer."""
        if self._book is not None:
            self._book.ask(event)

    @evolves(NewsScored)
    def fold_news_scored(self, event: NewsScored) -> None:
        """Enter scores."""
        if self._book is not None:
            self._book.score(event)

    @evolves(SentimentMeasured)
    def fold_measured(self, event: SentimentMeasured) -> None:
        """End a session."""
        if self._book is not None:
            self._book.measure(event, self.frame_ts)

    # -- sessions ----------------------------------------------------------------------------------------------------

    def price_move(self, symbol: int) -> float:
        """Return a symbol's price move over the last sessions on the scale of tones; NaN where it is not known."""
        book = self._book
        if book is None:
            return NAN
        # The session under way has no close of its own yet.
        back = MOVE_SESSIONS + (book.closed_date == self._session_date())
        past = book.past.get((symbol, back))
        if past is None:
            past = book.past[symbol, back] = past_of([float(row[symbol]) for row in book.closes], back)
        return move_of(past, float(self.ledger.last[symbol]))

    def _session_date(self) -> int:
        """Return the exchange date of the session the run is in."""
        raise NotImplementedError

    def _measure_session(self, session: int, ctx: Context) -> None:
        """State what the news say of every symbol as a session closes; nothing before the first headline."""
        book, newsroom = self._book, self.newsroom
        if book is None or newsroom is None or not book.totals.seen:
            return
        found = {symbol: newsroom.sentiment(symbol) for symbol in sorted({*book.items, *book.today})}
        found = {symbol: sentiment for symbol, sentiment in found.items() if sentiment.volume or sentiment.today}

        def column(name: str) -> bytes:
            return pack_f64([float(getattr(sentiment, name)) for sentiment in found.values()], DIGITS)

        ctx.emit(
            SentimentMeasured(
                session=session,
                ids=pack_i32(list(found)),
                score=column("score"),
                change=column("change"),
                dispersion=column("dispersion"),
                divergence=column("divergence"),
                n=column("n"),
                volume=column("volume"),
                today=column("today"),
                norm=column("norm"),
                unusual=column("unusual"),
                flags=tuple(sentiment.flags for sentiment in found.values()),
            )
        )

    def _rearm_news(self, ctx: Context) -> None:
        """Set the timer that headlines wait for."""
        if self._book is not None and self._book.pending:
            ctx.call_at(self._book.pending_since, ScoreNews())

    def _news_snapshot(self) -> dict[str, Any]:
        """Return the book's part of the actor's snapshot: nothing where news are not followed."""
        return {} if self._book is None else {"news": self._book.snapshot()}

    def _restore_news(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`_news_snapshot` gave; a snapshot without news leaves the book empty."""
        if self._book is not None and "news" in state:
            self._book.restore(state["news"])


def asked_text(headline: str, summary: str) -> str:
    """Return what the model is asked about: the headline, and the summary where it says more; bounded."""
    head, more = headline.strip(), summary.strip()
    if not head or more.startswith(head):
        text = more or head
    else:
        text = f"{head}. {more}" if more and head[-1] not in ".!?:;" else f"{head} {more}"
    return _plain(text[:TEXT_MAX].strip())


def _plain(text: str) -> str:
    """Return a text that the journal can keep: half of a surrogate pair it cannot."""
    return text.encode("utf-8", "replace").decode()


def _refusal(message: SentimentReady, question: Question) -> str:
    """Return why an answer cannot be used, or "" where it can."""
    if message.model_id != question.model_id:
        return f"wrong model: {_plain(message.model_id)}"
    if message.news_ids != tuple(headline.news_id for headline in question.headlines):
        return "bad answer: it is about other headlines"
    if len(message.p) != 24 * len(question.headlines):
        return f"bad answer: {len(message.p)} bytes of probabilities for {len(question.headlines)} headlines"
    rows = unpack_f64(message.p).reshape(-1, 3)
    missing = np.isnan(rows)
    abstained = missing.all(axis=1)
    given = rows[~abstained]
    if missing.any(axis=1).sum() != abstained.sum():
        return "bad answer: a probability is missing"
    if not ((given >= 0.0) & (given <= 1.0)).all() or (np.abs(given.sum(axis=1) - 1.0) > SUM_OFF).any():
        return "bad answer: not probabilities"
    return ""


def _scored(request_id: str, question: Question, reason: str, p: bytes) -> NewsScored:
    headlines = question.headlines
    rows = unpack_f64(p) if p else np.full(3 * len(headlines), np.nan)
    return NewsScored(
        request_id=request_id,
        model_id=question.model_id,
        news_ids=tuple(headline.news_id for headline in headlines),
        symbols=tuple(headline.symbols for headline in headlines),
        sources=tuple(headline.source for headline in headlines),
        p=pack_f64(rows, DIGITS),
        reason=reason,
    )
