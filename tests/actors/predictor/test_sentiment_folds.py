"""The news of a core are a fold: restored or folded anew at any cut it is the core that decided."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from actors.api import PanelWindow, Params, Scores, Signal, Window, strategy
from actors.messages.market import CorporateAction
from actors.messages.portfolio import SignalsReady
from actors.messages.sentiment import ScoreNews
from actors.predictor.check import check_strategy
from actors.predictor.registry import bind_spec
from actors.predictor.sentiment.book import NewsBook
from daemon.kernel.message import Market
from tests.actors.predictor.newsroom import HOUR, News, item

TEXTS = ("good 0.0 0.2 0.8", "bad 0.8 0.2 0.0", "plain 0.1 0.8 0.1", "says nothing")


@strategy(lookback=1, fields=("close", "sentiment", "news"), horizon=1)
def follows(w: Window, p: Params) -> Signal | None:
    """With the tone, and the more so where headlines agree."""
    if w.sentiment.n == 0:
        return None
    newest = w.news[-1]
    return Signal(
        w.sentiment.score,
        confidence=min(1.0, 0.5 + 0.1 * len(w.news)),
        reason=f"{w.sentiment.n} headlines, last {newest.text[:20]} {newest.tone:.1f}",
    )


@strategy(lookback=1, fields=("close", "sentiment", "news"), horizon=1)
def follows_all(w: PanelWindow, p: Params) -> Scores:
    """The same of all at once."""
    some = [bool(headlines) for headlines in w.news]
    return Scores(np.where(some, w.sentiment.score, np.nan))


def inputs_of(feeds: Any, seed: int) -> list[Market]:
    """Return twelve sessions with headlines, a split and a rename."""
    rng = np.random.default_rng(seed)
    closes = 20 * np.exp(np.cumsum(rng.normal(0, 0.01, (14, 4)), axis=0))
    closes[6:, 2] /= 2
    begin = feeds.session(0).open_ts
    inputs: list[Market] = feeds.daily(closes)
    for n in range(60):
        ts = begin + int(rng.integers(0, 14 * 24 * 2)) * HOUR // 2
        symbols = rng.choice(4, int(rng.integers(1, 4)), replace=False).tolist()
        again = n > 5 and rng.random() < 0.2
        news_id = f"h{rng.integers(0, n)}" if again else f"h{n}"
        inputs.append(item(ts, f"{n} {TEXTS[n % 4]}", *symbols, news_id=news_id, source=("wire", "")[n % 2]))
    split = CorporateAction(feeds.session(6).open_ts - 2, 20241007, 2, "split", 2 * 10**8, numerator=2, denominator=1)
    rename = CorporateAction(feeds.session(9).open_ts - 2, 20241010, 0, "rename", 0, renamed_to=3)
    return [*inputs, split, rename]


def run_of(bindings: Any = (), **options: Any) -> News:
    """Return a run with answers that take their time."""
    settings = {"latency_ns": 11 * HOUR // 4, "deadline_ns": 24 * HOUR, "weights": (("wire", 2.0),), **options}
    return News(symbols=("A", "B", "C", "D"), bindings=bindings, **settings)


def actor_of(core: bytes) -> Any:
    """Return the predictor's part of a core's snapshot; timers wait in another until they are armed again."""
    return msgspec.msgpack.decode(core)["actors"]["predictor"]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_core_restored_at_any_cut_goes_on_as_the_one_that_never_stopped(feeds, seed: int) -> None:
    """Snapshots are equal at every input behind the cut, though its rings are warmed with what it folded already."""
    bindings = [bind_spec(follows.__tradingd_strategy__)]
    whole = run_of(bindings)
    whole.sequencer.cores = True
    whole.play(inputs_of(feeds, seed))
    records = whole.sequencer.records
    assert any(isinstance(record.body, ScoreNews) for record in records)
    for cut in range(0, len(records), 9):
        again = run_of(bindings)
        if cut:
            again.sequencer.restore(records[cut - 1].core)
            again.sequencer.rewarm([record.body for record in records[:cut] if isinstance(record.body, Market)][-12:])
            assert again.sequencer.snapshot() == records[cut - 1].core
        for record in records[cut:]:
            again.sequencer.refold(
                record.seq, record.ts, record.ts_event, record.body, record.events, source=record.source
            )
            assert actor_of(again.sequencer.snapshot()) == actor_of(record.core)
        assert again.sequencer.digest == whole.sequencer.digest


def test_a_core_folded_anew_decides_on_as_the_first_one(feeds) -> None:
    """From any cut on the same inputs, processed and not folded, give the same events."""
    inputs = inputs_of(feeds, 3)
    whole = run_of([bind_spec(follows.__tradingd_strategy__)])
    whole.sequencer.cores = True
    whole.play(inputs)
    records = whole.sequencer.records
    assert whole.events(SignalsReady)
    for cut in range(1, len(records), 13):
        again = run_of([bind_spec(follows.__tradingd_strategy__)])
        for record in records[:cut]:
            again.sequencer.refold(
                record.seq, record.ts, record.ts_event, record.body, record.events, source=record.source
            )
        again.sequencer.rearm()
        assert again.sequencer.timers.next_due() == _due(records, cut)
        for record in records[cut:]:
            again.clock.advance_to(max(record.ts, again.clock.now()))
            if record.source == "timer":
                again.sequencer.timers.pop()
            events = again.sequencer.process(record.body, record.source, ts_event=record.ts_event)
            assert events == record.events
        assert again.sequencer.digest == whole.sequencer.digest


def _due(records: Any, cut: int) -> int | None:
    """Return when the timer that waits at a cut is due: that of headlines that were not asked about yet."""
    later = next((r for r in records[cut:] if isinstance(r.body, ScoreNews)), None)
    news = [r.ts for r in records[:cut] if any(type(e).__name__ == "NewsSeen" for e in r.events)]
    asked = [r.ts for r in records[:cut] if isinstance(r.body, ScoreNews)]
    waits = news and (not asked or news[-1] > asked[-1] or (news[-1] == asked[-1] and later and later.ts == news[-1]))
    return later.ts if later is not None and waits else None


def test_an_older_snapshot_has_no_news(feeds) -> None:
    """A run that begins to follow them starts with an empty book."""
    run = run_of()
    state = run.actor.snapshot()
    del state["news"]
    other = run_of()
    other.actor.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(state)))
    assert other.actor.snapshot()["news"] == NewsBook(1).snapshot()
    other.play(inputs_of(feeds, 1))
    assert other.actor.book.totals.seen > 0


def test_windows_and_panels_see_the_same_news(feeds) -> None:
    """Of every symbol at every decision; and what a strategy sees is what the session's measure says."""
    inputs = inputs_of(feeds, 4)
    alone = run_of([bind_spec(follows.__tradingd_strategy__)], deadline_ns=48 * HOUR).play(inputs)
    panel = run_of([bind_spec(follows_all.__tradingd_strategy__)], deadline_ns=48 * HOUR).play(inputs)
    ones, others = alone.events(SignalsReady), panel.events(SignalsReady)
    assert len(ones) > 8
    assert [(s.decision, s.ids, s.score) for s in ones] == [(s.decision, s.ids, s.score) for s in others]
    assert alone.measured() == panel.measured() or repr(alone.measured()) == repr(panel.measured())
    assert any("headlines, last" in reason for s in ones for reason in s.reasons)


def test_a_panel_has_every_figure_of_every_symbol(feeds) -> None:
    """Columns nobody can write to; a symbol without news is as if there were none."""
    closes = 20 * np.exp(np.cumsum(np.random.default_rng(6).normal(0, 0.01, (14, 4)), axis=0))
    night = feeds.session(13).close_ts + 1
    burst = [item(night + n, f"{n} dividend {TEXTS[n % 4]}", 1) for n in range(9)]
    early = [item(feeds.session(n).open_ts, f"{n} {TEXTS[0]}", 0) for n in (2, 11)]
    run = News(symbols=("A", "B", "C", "D")).play([*feeds.daily(closes), *early, *burst])
    room = run.actor.newsroom
    panel = room.panel(4)
    for symbol in range(4):
        alone = room.sentiment(symbol)
        for name in ("score", "change", "dispersion", "divergence", "n", "volume", "today"):
            assert np.array_equal(getattr(panel, name)[symbol], getattr(alone, name), equal_nan=True), name
        assert (bool(panel.unusual[symbol]), panel.flags[symbol]) == (alone.unusual, alone.flags)
    assert panel.unusual.tolist() == [False, True, False, False]
    assert panel.flags == ((), ("dividend",), (), ())
    assert np.isfinite(panel.divergence).tolist() == [True, True, False, False]
    assert panel.today.tolist() == [0, 9, 0, 0]
    for name in ("score", "change", "dispersion", "divergence", "n", "volume", "today", "unusual"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(panel, name)[0] = 1


def test_a_strategy_reads_the_news_only_if_it_says_so(feeds) -> None:
    """Else its mistake is told, as with any other field."""

    @strategy(lookback=1)
    def silent(w: Window, p: Params) -> Signal | None:
        """Forget to declare."""
        return Signal(w.sentiment.score)

    @strategy(lookback=1)
    def silent_panel(w: PanelWindow, p: Params) -> Scores:
        """Forget to declare."""
        return Scores(w.sentiment.score)

    for function in (silent, silent_panel):
        run = run_of([bind_spec(function.__tradingd_strategy__)]).play(inputs_of(feeds, 1)[:9])
        assert "reads w.sentiment without declaring it; write fields=(..., 'sentiment')" in run.actor.failures[0]


def test_strategies_that_read_the_news_are_checked_with_some_to_read() -> None:
    """Both forms pass; one that gives away the order of symbols, or remembers, does not."""
    for function in (follows, follows_all):
        results = check_strategy(function.__tradingd_strategy__)
        assert [result for result in results if not result.ok] == []
    seen: list[float] = []

    @strategy(lookback=1, fields=("close", "sentiment"), horizon=1)
    def remembers(w: Window, p: Params) -> Signal | None:
        """Answer what it was told ten calls ago."""
        seen.append(w.sentiment.score if w.sentiment.known else 0.0)
        return Signal(seen[-10:][0])

    failed = [result.name for result in check_strategy(remembers.__tradingd_strategy__) if not result.ok]
    assert "order of symbols does not matter" in failed


def test_without_news_there_is_nothing_to_see(feeds, make_run) -> None:
    """A run that follows none: no score, no headline, and no failure."""
    seen = []

    @strategy(lookback=1, fields=("close", "sentiment", "news"))
    def looks(w: Window, p: Params) -> Signal | None:
        """Look."""
        seen.append((w.sentiment.n, w.sentiment.score, w.news))
        return None

    @strategy(lookback=1, fields=("close", "sentiment", "news"))
    def looks_around(w: PanelWindow, p: Params) -> Scores:
        """Look."""
        seen.append((w.sentiment.n.tolist(), w.sentiment.score.tolist(), w.news))
        return Scores(w.sentiment.score)

    run = make_run([looks, looks_around], symbols=2).feed(feeds.daily(np.full((1, 2), 5.0)))
    assert repr(seen) == repr([(0, np.nan, ())] * 2 + [([0.0, 0.0], [np.nan, np.nan], ((), ()))])
    assert not run.actor.failures
