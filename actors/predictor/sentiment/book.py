"""The book of headlines: what every symbol's news were within the window, which are asked about, what is normal.

A fold of events, but for the closes that a score is held against, which are folded from market data, and for corporate
actions, which move what is there. Everything is bounded: headlines of a symbol, of a request, sessions kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.messages.columns import unpack_f64, unpack_i32
from actors.messages.sentiment import NewsScored, NewsSeen, SentimentMeasured, SentimentRequested
from actors.predictor.sentiment.aggregate import (
    NORM_SESSIONS,
    VOLATILITY_SESSIONS,
    Item,
    Past,
    Reading,
)

F64 = npt.NDArray[np.float64]

HEADLINES_MAX: Final = 200
"""Headlines kept of a symbol, the newest."""
CLOSES_KEPT: Final = VOLATILITY_SESSIONS + 1


class Waiting(msgspec.Struct):
    """A headline without a score yet: whom it is about, and what the model is, or will be, asked."""

    news_id: str
    symbols: tuple[int, ...]
    text: str
    source: str


class Question(msgspec.Struct):
    """A request without an answer yet."""

    model_id: str
    deadline: int
    headlines: tuple[Waiting, ...]


class Totals(msgspec.Struct):
    """Headlines so far: seen, scored, abstained from by the model, without an answer."""

    seen: int = 0
    scored: int = 0
    abstained: int = 0
    unanswered: int = 0


class Found(msgspec.Struct, frozen=True):
    """What a symbol's headlines say, and the stamp from which one of them has left the window."""

    reading: Reading
    flags: tuple[str, ...]
    until: int


class NewsBook:
    """See the module.

    Attributes:
        items: headlines by symbol id, oldest first.
        pending: headlines by their ids that came in at one instant and are to be asked about.
        pending_since: stamp of the first of them, nanoseconds UTC.
        open: requests without an answer, by their ids.
        asked: requests so far.
        today: headlines since the last session's end, by symbol.
        counts: the same of earlier sessions, the newest last.
        ended: sessions so far that came to their end.
        last_score: by symbol, at the last session's end.
        closes: prices at the ends of the last sessions, ``[N]`` each, the newest last.
        closed_date: exchange date of the newest of them.
        renamed: what symbols are called that were renamed.
        totals: what became of all headlines.
        found, past: what was computed of items and closes, until they change; no state.
    """

    def __init__(self, window_ns: int) -> None:
        """Begin empty; headlines older than ``window_ns`` are forgotten."""
        self._window_ns = window_ns
        self.items: dict[int, list[Item]] = {}
        self.pending: dict[str, Waiting] = {}
        self.pending_since = 0
        self.open: dict[str, Question] = {}
        self.asked = 0
        self.today: dict[int, int] = {}
        self.counts: deque[dict[int, int]] = deque(maxlen=NORM_SESSIONS)
        self.ended = 0
        self.last_score: dict[int, float] = {}
        self.closes: deque[F64] = deque(maxlen=CLOSES_KEPT)
        self.closed_date = 0
        self.renamed: dict[int, int] = {}
        self.totals = Totals()
        self.found: dict[int, Found] = {}
        self.past: dict[tuple[int, int], Past] = {}

    # -- questions ---------------------------------------------------------------------------------------------------

    def called(self, symbols: Iterable[int]) -> tuple[int, ...]:
        """Return symbols under their names of today, each once."""
        renamed = self.renamed
        return tuple(dict.fromkeys(renamed.get(symbol, symbol) for symbol in symbols))

    def unknown(self, news_id: str, symbols: Iterable[int], now: int) -> tuple[int, ...]:
        """Return those symbols, under their names of today, whose book at ``now`` does not have a headline yet.

        What has left the window is not in it any more, whether or not it has been cleared away.
        """
        books, since = self.items, now - self._window_ns
        return tuple(
            symbol
            for symbol in self.called(symbols)
            if all(item.news_id != news_id or item.seen <= since for item in books.get(symbol, ()))
        )

    def counts_of(self, symbol: int) -> list[int]:
        """Return a symbol's headlines in earlier sessions, oldest first."""
        return [count.get(symbol, 0) for count in self.counts]

    # -- facts -------------------------------------------------------------------------------------------------------

    def see(self, event: NewsSeen, ts: int) -> None:
        """Enter a headline that came in at ``ts``."""
        self.totals.seen += 1
        for symbol in event.symbols:
            kept = self._young(self.items.get(symbol, ()), ts)
            kept.append(Item(ts, event.news_id, event.source, event.text, event.flags, session=self.ended))
            self.items[symbol] = kept[-HEADLINES_MAX:]
            self.today[symbol] = self.today.get(symbol, 0) + 1
            self.found.pop(symbol, None)
        if not self.pending:
            self.pending_since = ts
        there = self.pending.get(event.news_id)
        if there is None:
            self.pending[event.news_id] = Waiting(event.news_id, event.symbols, event.text, event.source)
        else:
            there.symbols = tuple(dict.fromkeys((*there.symbols, *event.symbols)))

    def ask(self, event: SentimentRequested) -> None:
        """Wait for an answer."""
        self.asked += 1
        taken = tuple(self.pending.pop(news_id) for news_id in event.news_ids if news_id in self.pending)
        self.open[event.request_id] = Question(event.model_id, event.deadline, taken)

    def score(self, event: NewsScored) -> None:
        """Enter scores, or that there are none."""
        self.open.pop(event.request_id, None)
        rows = unpack_f64(event.p).reshape(-1, 3).tolist()
        for news_id, symbols, row in zip(event.news_ids, event.symbols, rows, strict=True):
            if np.isnan(row[0]):
                if event.reason:
                    self.totals.unanswered += 1
                else:
                    self.totals.abstained += 1
                continue
            self.totals.scored += 1
            for symbol in self.called(symbols):
                self.found.pop(symbol, None)
                for item in self.items.get(symbol, ()):
                    if item.news_id == news_id:
                        item.p = (row[0], row[1], row[2])

    def measure(self, event: SentimentMeasured, ts: int) -> None:
        """End a session at ``ts``: its headlines become history, its scores what the next ones are held against."""
        self.counts.append(self.today)
        self.today = {}
        self.ended += 1
        scores = unpack_f64(event.score).tolist()
        known = zip(unpack_i32(event.ids).tolist(), scores, strict=True)
        self.last_score = {symbol: score for symbol, score in known if not np.isnan(score)}
        young = {symbol: self._young(items, ts) for symbol, items in self.items.items()}
        self.items = {symbol: items for symbol, items in young.items() if items}
        self.found = {symbol: found for symbol, found in self.found.items() if symbol in self.items}

    def _young(self, items: Iterable[Item], now: int) -> list[Item]:
        return [item for item in items if item.seen > now - self._window_ns]

    # -- market ------------------------------------------------------------------------------------------------------

    def close(self, date: int, last: F64) -> None:
        """Keep the prices at the end of the session of ``date``; NaN for what has not traded yet."""
        self.past.clear()
        self.closes.append(last.copy())
        self.closed_date = date

    def split(self, symbol: int, numerator: int, denominator: int) -> None:
        """Say earlier closes in the units behind a split."""
        self.past.clear()
        for row in self.closes:
            row[symbol] *= denominator / numerator

    def move(self, old: int, new: int, now: int) -> None:
        """Let a renamed symbol take its book along; headlines that call it by its old name are the new one's.

        One that both names had is one, as old as it was first seen under either, with the score it has under either; it
        counts in the session of that alone.
        """
        self.found.clear()
        self.past.clear()
        both = self._young((*self.items.pop(old, ()), *self.items.pop(new, ())), now)
        merged: dict[str, Item] = {}
        again: list[int] = []
        for item in sorted(both, key=lambda item: (item.seen, item.session)):
            first = merged.setdefault(item.news_id, item)
            first.p = first.p or item.p
            if first is not item:
                again.append(item.session)
        if merged:
            self.items[new] = list(merged.values())[-HEADLINES_MAX:]
        for counted in (self.today, *self.counts):
            if old in counted:
                counted[new] = counted.get(new, 0) + counted.pop(old)
        for session in again:
            back = self.ended - session
            if session >= 0 and back <= len(self.counts):  # else nobody counts it any more
                counted = self.counts[-back] if back else self.today
                counted[new] = max(0, counted.get(new, 0) - 1)
        if old in self.last_score:
            self.last_score[new] = self.last_score.pop(old)
        for row in self.closes:
            if not np.isnan(row[old]):
                row[new] = row[old]
            row[old] = np.nan
        self.renamed = {earlier: new if later == old else later for earlier, later in self.renamed.items()}
        self.renamed[old] = new
        self.renamed.pop(new, None)
        asked = [headline for question in self.open.values() for headline in question.headlines]
        for headline in (*self.pending.values(), *asked):
            headline.symbols = self.called(headline.symbols)

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "items": [[s, [msgspec.structs.astuple(item) for item in items]] for s, items in self.items.items()],
            "pending": [msgspec.structs.astuple(waiting) for waiting in self.pending.values()],
            "pending_since": self.pending_since,
            "open": [
                [name, q.model_id, q.deadline, [msgspec.structs.astuple(waiting) for waiting in q.headlines]]
                for name, q in self.open.items()
            ],
            "asked": self.asked,
            "today": list(self.today.items()),
            "counts": [list(counted.items()) for counted in self.counts],
            "ended": self.ended,
            "last_score": list(self.last_score.items()),
            "closes": [row.tobytes() for row in self.closes],
            "closed_date": self.closed_date,
            "renamed": list(self.renamed.items()),
            "totals": msgspec.structs.astuple(self.totals),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.found, self.past = {}, {}
        self.items = {symbol: [_item(raw) for raw in items] for symbol, items in state["items"]}
        self.pending = {raw[0]: _waiting(raw) for raw in state["pending"]}
        self.pending_since = state["pending_since"]
        self.open = {
            name: Question(model_id, deadline, tuple(_waiting(raw) for raw in headlines))
            for name, model_id, deadline, headlines in state["open"]
        }
        self.asked = state["asked"]
        self.today = dict(state["today"])
        self.counts = deque((dict(counted) for counted in state["counts"]), maxlen=NORM_SESSIONS)
        self.ended = state.get("ended", 0)  # a snapshot of an older version did not count them
        self.last_score = dict(state["last_score"])
        self.closes = deque((np.frombuffer(row).copy() for row in state["closes"]), maxlen=CLOSES_KEPT)
        self.closed_date = state["closed_date"]
        self.renamed = dict(state["renamed"])
        self.totals = Totals(*state["totals"])


def _item(raw: list[Any]) -> Item:
    seen, news_id, source, text, flags, p, *session = raw
    return Item(seen, news_id, source, text, tuple(flags), None if p is None else (p[0], p[1], p[2]), *session)


def _waiting(raw: list[Any]) -> Waiting:
    news_id, symbols, text, source = raw
    return Waiting(news_id, tuple(symbols), text, source)
