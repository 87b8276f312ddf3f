"""News in the core: asked about by instant, scored or not, measured at each session's end, never ahead of time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from actors.messages.columns import pack_f64, unpack_f64
from actors.messages.inference import PredictionUnavailable
from actors.messages.market import CorporateAction
from actors.messages.sentiment import (
    NewsScored,
    NewsSeen,
    SentimentMeasured,
    SentimentReady,
    SentimentRequested,
)
from actors.predictor.sentiment.book import HEADLINES_MAX
from actors.predictor.sentiment.desk import BATCH, TEXT_MAX, asked_text
from daemon.kernel.message import CommandRejected, Market
from tests.actors.predictor.newsroom import HOUR, MODEL, News, Pool, Said, item

GOOD, BAD, PLAIN = "good 0.0 0.2 0.8", "bad 0.8 0.2 0.0", "plain 0.1 0.8 0.1"


def days(feeds: Any, n: int, first: int = 0, symbols: int = 3, price: float = 10.0) -> list[Market]:
    """Return sessions of equal closes."""
    inputs: list[Market] = feeds.daily(np.full((n, symbols), price), first=first)
    return inputs


def opened(feeds: Any, number: int) -> int:
    """Return when a session opens."""
    at: int = feeds.session(number).open_ts
    return at


# -- asking ----------------------------------------------------------------------------------------------------------


def test_headlines_of_one_instant_are_asked_about_together(feeds) -> None:
    """By a timer behind all of that instant; one of another instant has a request of its own."""
    at = opened(feeds, 1)
    run = News().play(
        [*days(feeds, 3), item(at + 1, GOOD, 0), item(at + 1, BAD, 1, 2), item(at + 1, PLAIN, 0), item(at + 9, GOOD, 2)]
    )
    asked = run.events(SentimentRequested)
    assert [(r.request_id, r.model_id, r.texts) for r in asked] == [
        ("news-1", MODEL, (GOOD, BAD, PLAIN)),
        ("news-2", MODEL, (GOOD,)),
    ]
    assert [r.deadline - at for r in asked] == [1 + run.params.deadline_ns, 9 + run.params.deadline_ns]
    scored = run.events(NewsScored)
    assert [s.symbols for s in scored] == [((0,), (1, 2), (0,)), ((2,),)]
    assert unpack_f64(scored[0].p).tolist() == [0.0, 0.2, 0.8, 0.8, 0.2, 0.0, 0.1, 0.8, 0.1]
    assert [s.reason for s in scored] == ["", ""]


def test_a_question_may_take_five_minutes_and_six_hundred_characters(feeds) -> None:
    """As the page says; a model reads some sixty words."""
    at = opened(feeds, 0)
    run = News().play([*days(feeds, 1), item(at, "w" * 601, 0)])
    (asked,) = run.events(SentimentRequested)
    assert (asked.deadline, asked.texts) == (at + HOUR // 12, ("w" * 600,))


def test_an_instant_of_very_many_headlines_is_asked_about_in_parts(feeds) -> None:
    """No request has more than 64, for which models are sized."""
    at = opened(feeds, 0)
    items = [item(at, f"{n} {GOOD}", 0) for n in range(BATCH + 2)]
    run = News().play([*days(feeds, 2), *items])
    assert [len(r.texts) for r in run.events(SentimentRequested)] == [64, 2]
    assert [r.request_id for r in run.events(SentimentRequested)] == ["news-1", "news-2"]
    assert sum(len(s.news_ids) for s in run.events(NewsScored)) == BATCH + 2


def test_the_same_headline_again_is_none_but_for_symbols_that_did_not_know_it(feeds) -> None:
    """By its id; the second time only the new symbol's book has it, and the pool remembers the text."""
    at = opened(feeds, 0)
    run = News().play(
        [
            *days(feeds, 2),
            item(at, GOOD, 0, news_id="n1"),
            item(at, GOOD, 0, 1, news_id="n1"),
            item(at + 5, GOOD, 0, 1, news_id="n1"),
            item(at + 6, GOOD, 2, 0, news_id="n1"),
        ]
    )
    assert [(e.news_id, e.symbols) for e in run.events(NewsSeen)] == [("n1", (0,)), ("n1", (1,)), ("n1", (2,))]
    assert [s.symbols for s in run.events(NewsScored)] == [((0, 1),), ((2,),)]
    assert run.pool.scorer.asked == [GOOD]
    assert (run.pool.texts.cache.hits, run.pool.texts.cache.misses) == (1, 1)
    assert {name: row["volume"] for name, row in run.measured()[0].items()} == {"A": 1, "B": 1, "C": 1}


def test_an_id_that_the_journal_cannot_keep_is_the_same_one_again(feeds) -> None:
    """Half of a surrogate pair is written as a question mark: what comes again is known under that."""
    at = opened(feeds, 0)
    run = News().play([*days(feeds, 1), *(item(at + n, GOOD, 0, news_id="a\ud800") for n in range(2))])
    assert [event.news_id for event in run.events(NewsSeen)] == ["a?"]


def test_headlines_of_nobody_in_the_run_are_no_news(feeds) -> None:
    """The feed leaves out symbols it does not know; what is left may be about none. No event stands in the journal."""
    quiet = News().play(days(feeds, 3))
    run = News().play([*days(feeds, 3), item(opened(feeds, 1), GOOD)])
    assert run.sequencer.digest == quiet.sequencer.digest
    assert run.events(NewsSeen, SentimentMeasured) == []


def test_a_run_that_does_not_follow_the_news_takes_no_notice_of_them(feeds, make_run: Callable[..., Any]) -> None:
    """Its events are those of a run without any."""
    inputs = [*days(feeds, 3), item(opened(feeds, 1), GOOD, 0)]
    deaf, none = make_run([]), make_run([])
    deaf.feed(sorted(inputs, key=lambda m: m.ts))
    none.feed(days(feeds, 3))
    assert deaf.sequencer.digest == none.sequencer.digest


@pytest.mark.parametrize(
    ("headline", "summary", "text"),
    [
        ("Profit rises", "", "Profit rises"),
        ("Profit rises", "By a lot.", "Profit rises. By a lot."),
        ("Profit rises!", "By a lot.", "Profit rises! By a lot."),
        ("Profit rises", "Profit rises by a lot.", "Profit rises by a lot."),
        ("", " said below ", "said below"),
        ("", "", ""),
        ("x" * 100_000, "y" * 100_000, "x" * TEXT_MAX),
        ("half \ud800 pair", "", "half ? pair"),
    ],
)
def test_the_model_is_asked_about_headline_and_summary(headline: str, summary: str, text: str) -> None:
    """Once each, bounded, and as text the journal can keep."""
    assert asked_text(headline, summary) == text


def test_texts_of_any_length_are_scored_or_abstained_from(feeds) -> None:
    """None, a hundred thousand characters, other scripts, control characters, markup."""
    at = opened(feeds, 0)
    odd = ["", "x" * 100_000, "株価が上昇した", "a\x00b\x07c", "<b>bold</b> &amp; loud"]
    run = News().play(
        [*days(feeds, 1), *(item(at, text, 0, news_id=str(n)) for n, text in enumerate(odd)), item(at, GOOD, 0)]
    )
    (scored,) = run.events(NewsScored)
    assert np.isnan(unpack_f64(scored.p).reshape(-1, 3)).all(axis=1).tolist() == [True] * 5 + [False]
    totals = run.actor.book.totals
    assert (totals.seen, totals.scored, totals.abstained, totals.unanswered) == (6, 1, 5, 0)
    assert "6 headlines: 1 scored, 5 abstained from, 0 unanswered" in run.actor.health().detail
    assert run.measured()[0]["A"]["volume"] == 6
    assert run.measured()[0]["A"]["score"] == pytest.approx(0.8)


# -- answers ---------------------------------------------------------------------------------------------------------


def test_a_headline_counts_from_the_stamp_it_came_in_with_whatever_it_is_dated(feeds) -> None:
    """Live, one dated three days ago comes in now: it is as young as any, and was not there before."""
    run = News().play(days(feeds, 4))
    arrived = run.clock.now() + 5
    run.clock.advance_to(arrived)
    run.sequencer.process(item(opened(feeds, 0), GOOD, 0), "feed", ts_event=opened(feeds, 0))
    assert run.actor.book.items[0][0].seen == arrived
    (headline,) = run.actor.newsroom.headlines(0)
    assert headline.ts == arrived
    assert run.sequencer.timers.next_due() == arrived
    assert run.events(SentimentMeasured) == []


def test_an_answer_counts_from_when_it_came_the_headline_from_when_it_was_seen(feeds) -> None:
    """With a latency that reaches over the close the session's end does not know the score, but the volume."""
    close = feeds.session(0).close_ts
    run = News(latency_ns=10).play([*days(feeds, 2), item(close - 5, GOOD, 0)])
    first, second = run.measured()
    assert (first["A"]["volume"], first["A"]["n"], math.isnan(first["A"]["score"])) == (1, 0, True)
    assert (second["A"]["n"], second["A"]["score"]) == (1, 0.8)


def test_no_answer_means_no_score(feeds) -> None:
    """It is put on record with the reason, the headline counts as volume, and nothing is guessed."""
    run = News(pool=Pool(refuse="breaker open")).play([*days(feeds, 1), item(opened(feeds, 0), GOOD, 0)])
    (scored,) = run.events(NewsScored)
    assert scored.reason == "unavailable: breaker open"
    assert np.isnan(unpack_f64(scored.p)).all()
    assert run.measured()[0]["A"]["volume"] == 1
    assert math.isnan(run.measured()[0]["A"]["score"])
    assert run.actor.book.totals.unanswered == 1
    assert run.actor.book.open == {}


def test_a_late_answer_is_none(feeds) -> None:
    """By a millisecond behind the deadline it may not change a decision any more."""
    inputs = [*days(feeds, 2), item(opened(feeds, 0), GOOD, 0)]
    minute = 60_000_000_000
    in_time = News(latency_ns=minute, deadline_ns=minute).play(inputs)
    late = News(latency_ns=minute + 1_000_000, deadline_ns=minute).play(inputs)
    assert [s.reason for s in in_time.events(NewsScored)] == [""]
    assert [s.reason for s in late.events(NewsScored)] == ["late: 1 ms after the deadline"]
    assert math.isnan(late.measured()[1]["A"]["score"])


GIVEN = [0.1, 0.2, 0.7, 0.2, 0.3, 0.5]
NAN = math.nan


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"p": pack_f64([NAN, NAN, NAN, 0.2, 0.3, 0.5])}, ""),
        ({"model_id": "other@1"}, "wrong model: other@1"),
        ({"news_ids": ("a",)}, "bad answer: it is about other headlines"),
        ({"news_ids": ("b", "a")}, "bad answer: it is about other headlines"),
        ({"p": pack_f64(GIVEN[:3])}, "bad answer: 24 bytes of probabilities for 2 headlines"),
        ({"p": b""}, "bad answer: 0 bytes of probabilities for 2 headlines"),
        ({"p": pack_f64([NAN, 0.2, 0.8, 0.2, 0.3, 0.5])}, "bad answer: a probability is missing"),
        ({"p": pack_f64([0.1, 0.2, 0.9, 0.2, 0.3, 0.5])}, "bad answer: not probabilities"),
        ({"p": pack_f64([-0.1, 0.4, 0.7, 0.2, 0.3, 0.5])}, "bad answer: not probabilities"),
        ({"p": np.array([np.inf, 0.2, 0.7, 0.2, 0.3, 0.5]).tobytes()}, "bad answer: not probabilities"),
    ],
)
def test_an_answer_that_breaks_its_promises_is_none(feeds, changes: dict[str, Any], reason: str) -> None:
    """Of another model, about other headlines, of another size, or no probabilities."""
    at = opened(feeds, 0)

    class Odd(Pool):
        def sentiment(self, request: SentimentRequested) -> SentimentReady:
            fields = {"news_ids": request.news_ids, "p": pack_f64(GIVEN), "model_id": request.model_id} | changes
            return SentimentReady(request_id=request.request_id, **fields)

    run = News(pool=Odd()).play([*days(feeds, 1), item(at, "x", 0, news_id="a"), item(at, "y", 1, news_id="b")])
    (scored,) = run.events(NewsScored)
    assert scored.reason == reason
    assert bool(np.isnan(unpack_f64(scored.p)).all()) is bool(reason)
    assert run.actor.book.open == {}


def test_an_answer_to_no_open_question_is_refused(feeds) -> None:
    """One that was answered already, or was never asked; price models' own refusals stay what they were."""
    run = News().play([*days(feeds, 1), item(opened(feeds, 0), GOOD, 0)])
    (asked,) = run.events(SentimentRequested)
    before = run.actor.snapshot()
    for name in (asked.request_id, "news-9"):
        run.sequencer.process(SentimentReady(name, MODEL, asked.news_ids, pack_f64([0.1, 0.2, 0.7])), "inference")
        run.sequencer.process(PredictionUnavailable(name, MODEL, "gone"), "inference")
    assert [(e.code, e.message_type) for e in run.events(CommandRejected)] == [
        ("PREDICTION_STALE", kind) for kind in ("SentimentReady", "PredictionUnavailable") * 2
    ]
    assert run.actor.snapshot() == before


# -- measures --------------------------------------------------------------------------------------------------------


def test_a_session_ends_with_its_figures(feeds) -> None:
    """Half-life a day: at the second close, an hour old, the bad one weighs 2^-(1/24), the good one 2^-(25/24)."""
    first, second = opened(feeds, 0), opened(feeds, 1)
    run = News().play(
        [*days(feeds, 3), item(first, GOOD, 0), item(second, BAD, 0), item(second, "dividend " + PLAIN, 1)]
    )
    one, two, three = run.measured()
    assert one == {"A": one["A"]}
    assert one["A"]["score"] == pytest.approx(0.8)
    assert (one["A"]["n"], one["A"]["volume"], one["A"]["today"]) == (1, 1, 1)
    assert math.isnan(one["A"]["change"])
    w_bad, w_good = 2 ** (-1 / 24), 2 ** (-25 / 24)
    mean = (0.8 * w_good - 0.8 * w_bad) / (w_good + w_bad)  # -0.2667: the younger counts twice the older
    assert two["A"]["score"] == pytest.approx(mean, abs=1e-6)
    assert two["A"]["change"] == pytest.approx(mean - 0.8, abs=2e-6)
    assert (two["A"]["n"], two["A"]["volume"], two["A"]["today"]) == (2, 2, 1)
    assert (two["B"]["score"], two["B"]["flags"]) == (0.0, ("dividend",))
    assert (three["A"]["today"], three["A"]["change"]) == (0, 0.0)  # both a day older: the mean stays
    assert [e.session for e in run.events(SentimentMeasured)] == [20241001, 20241002, 20241003]


def test_headlines_over_the_window_are_forgotten(feeds) -> None:
    """Five days by default: then the symbol is not measured any more."""
    run = News().play([*days(feeds, 8), item(opened(feeds, 0), GOOD, 0)])
    assert [list(found) for found in run.measured()] == [["A"]] * 5 + [[]] * 3
    assert run.actor.book.items == {}


def test_a_session_is_measured_by_what_came_in_though_it_has_left_the_window(feeds) -> None:
    """A window of half an hour, a session of one: a headline of its first minutes is no score at the close but counted.

    So is one that came in under a name that was given up since; where none came in there is nothing to state.
    """
    first = feeds.session(0)
    inputs = [*days(feeds, 2), item(first.open_ts, GOOD, 0), item(first.open_ts + 1, GOOD, 1)]
    rename = CorporateAction(first.close_ts - 9, 20241001, 1, "rename", 0, renamed_to=2)
    run = News(window_ns=HOUR // 2).play([*inputs, rename])
    found, after = run.measured()
    assert list(found) == ["A", "C"]
    assert [(found[name]["volume"], found[name]["n"], found[name]["today"]) for name in found] == [(0, 0, 1)] * 2
    assert math.isnan(found["A"]["score"])
    assert found["A"]["flags"] == ()
    assert after == {}


def test_a_symbol_keeps_the_newest_headlines(feeds) -> None:
    """However many come in."""
    at = opened(feeds, 0)
    run = News().play([*days(feeds, 1), *(item(at + n, f"{n} {GOOD}", 0) for n in range(HEADLINES_MAX + 50))])
    kept = run.actor.book.items[0]
    assert (len(kept), kept[0].text, kept[-1].text) == (HEADLINES_MAX, f"50 {GOOD}", f"{HEADLINES_MAX + 49} {GOOD}")
    assert run.measured()[0]["A"]["today"] == HEADLINES_MAX + 50


def test_volume_is_unusual_against_the_symbols_own_norm(feeds) -> None:
    """A has one headline a session, B none: three are unusual for B, for A they are not until there are more than four.

    The norm of A is 1: 1 + 3 x 1 = 4. In the first five sessions nothing is, for there is no norm yet.
    """
    inputs: list[Market] = days(feeds, 8)
    inputs += [item(opened(feeds, number), f"{number} {PLAIN}", 0) for number in range(7)]
    for n in range(3):
        inputs.append(item(opened(feeds, 2) + n, f"early {n} {PLAIN}", 2))
        inputs.append(item(opened(feeds, 6) + n, f"more {n} {PLAIN}", 0))  # four with the regular one
        inputs.append(item(opened(feeds, 6) + n, f"b {n} {PLAIN}", 1))
    inputs += [item(opened(feeds, 7) + n, f"burst {n} {PLAIN}", 0) for n in range(5)]
    found = News().play(inputs).measured()
    assert math.isnan(found[2]["C"]["norm"])
    assert found[2]["C"]["unusual"] == 0
    assert (found[6]["A"]["today"], found[6]["A"]["norm"], found[6]["A"]["unusual"]) == (4, 1.0, 0)
    assert (found[6]["B"]["today"], found[6]["B"]["norm"], found[6]["B"]["unusual"]) == (3, 0.0, 1)
    assert found[7]["A"]["norm"] == pytest.approx(10 / 7, abs=1e-6)
    assert found[7]["A"]["unusual"] == 0  # 1.43 + 3 x 1.20 = 5.01


def test_a_norm_looks_back_twenty_sessions(feeds) -> None:
    """Forty headlines in the first: 40 / 20 = 2 as long as it is one of the last twenty, and nothing from then on.

    The session under way is not counted, nor is a headline behind its end before its own.
    """
    inputs: list[Market] = days(feeds, 24)
    inputs += [item(opened(feeds, 0) + n, f"{n} {PLAIN}", 0) for n in range(40)]
    inputs += [item(opened(feeds, n), f"s{n} {PLAIN}", 0) for n in (4, 5, 20, 21)]
    inputs.append(item(feeds.session(4).close_ts + 1, f"night {PLAIN}", 0))
    found = News().play(inputs).measured()
    assert (found[4]["A"]["today"], found[5]["A"]["today"]) == (1, 2)
    assert math.isnan(found[4]["A"]["norm"])
    assert found[5]["A"]["norm"] == 8.2  # 40 + 1 in five sessions
    assert found[20]["A"]["norm"] == 2.15  # 40 + 1 + 2 in twenty: sessions 0 to 19
    assert found[21]["A"]["norm"] == 0.2  # 1 + 2 + 1: sessions 1 to 20


def test_a_score_is_held_against_the_price_move(feeds) -> None:
    """Returns of +-1 % in turn, then five sessions of -2 %: the fall is the full scale, a tone of 0 stands 1 above."""
    closes = [100.0]
    for number in range(24):
        closes.append(closes[-1] * math.exp(-0.02 if number >= 19 else 0.01 * (-1) ** number))
    prices = np.array(closes)[:, None].repeat(3, axis=1)
    inputs: list[Market] = feeds.daily(prices)
    inputs += [item(opened(feeds, n), f"{n} {PLAIN}", 0) for n in (3, 24)]
    found = News().play(inputs).measured()
    assert math.isnan(found[0]["A"]["divergence"])  # of the fourth session: too few returns
    last = found[-1]["A"]
    returns = np.diff(np.log(closes))[-20:]
    move = np.log(closes[-1] / closes[-6]) / (returns.std(ddof=1) * math.sqrt(5)) / 2
    assert move < -1.0
    assert last["divergence"] == 1.0


def test_a_headline_that_comes_later_changes_nothing_before(feeds) -> None:
    """Remove or change any suffix: every event before it stays what it was, to the byte."""
    rng = np.random.default_rng(5)
    inputs: list[Market] = days(feeds, 12)
    texts = (GOOD, BAD, PLAIN)
    stamps = sorted(int(opened(feeds, 0) + rng.integers(0, 12 * 24) * HOUR) for _ in range(40))
    items = [item(ts, f"{n} {texts[n % 3]}", *rng.choice(3, 2, replace=False).tolist()) for n, ts in enumerate(stamps)]
    whole = News(latency_ns=HOUR // 2, deadline_ns=HOUR).play([*inputs, *items])

    def before(run: News, ts: int) -> list[tuple[int, int, bytes]]:
        return [(f.envelope.seq, f.envelope.ts_init, f.body) for f in run.frames if f.envelope.ts_init < ts]

    for at in range(0, 40, 7):
        cut = stamps[at]
        earlier = [i for i in items if i.ts < cut]
        removed = News(latency_ns=HOUR // 2, deadline_ns=HOUR).play([*inputs, *earlier])
        changed = [item(i.ts, f"other {BAD}", *i.symbols, news_id=f"x{n}") for n, i in enumerate(items) if i.ts >= cut]
        other = News(latency_ns=HOUR // 2, deadline_ns=HOUR).play([*inputs, *earlier, *changed])
        assert before(removed, cut) == before(whole, cut) == before(other, cut)
        assert other.sequencer.digest != whole.sequencer.digest


# -- corporate actions -----------------------------------------------------------------------------------------------


def test_a_rename_takes_the_book_along(feeds) -> None:
    """Headlines, what waits for an answer, the last score and the norm; who uses the old name means the new one."""
    at = opened(feeds, 5)
    early = [item(opened(feeds, n), f"{n} {PLAIN}", 0) for n in range(5)]
    rename = CorporateAction(at - 2, 20241006, 0, "rename", 0, renamed_to=1)
    run = News(latency_ns=2 * HOUR // 3, deadline_ns=HOUR).play(
        [
            *days(feeds, 6),
            *early,
            item(at - HOUR // 2, GOOD, 0, news_id="asked"),  # its answer comes behind the rename
            rename,
            item(at, GOOD, 0, news_id="old name"),
            item(at, GOOD, 0, 1, news_id="asked"),
        ]
    )
    assert [e.symbols for e in run.events(NewsSeen)][-1] == (1,)
    assert [s.symbols for s in run.events(NewsScored)][-2:] == [((1,),), ((1,),)]
    last = run.measured()[-1]
    assert list(last) == ["B"]
    assert (last["B"]["today"], last["B"]["norm"]) == (2, 1.0)
    assert (last["B"]["n"], last["B"]["volume"]) == (6, 6)  # of the five early ones the first is five days old


def test_a_split_is_no_price_move(feeds) -> None:
    """Closes before it are said in the new units."""
    rng = np.random.default_rng(1)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (24, 3)), axis=0))
    inputs = feeds.daily(closes)
    halved = closes.copy()
    halved[20:, 0] /= 4
    split = CorporateAction(opened(feeds, 20) - 1, 20241021, 0, "split", 4 * 10**8, numerator=4, denominator=1)
    news = [item(opened(feeds, 23), GOOD, 0)]
    plain = News().play([*inputs, *news]).measured()[-1]["A"]
    divided = News().play([*feeds.daily(halved), split, *news]).measured()[-1]["A"]
    assert divided["divergence"] == pytest.approx(plain["divergence"], abs=1e-6)
    assert math.isfinite(plain["divergence"])


def test_the_scorer_of_another_model_gives_no_scores(feeds) -> None:
    """What was loaded is not what was asked for: unavailable, with both names."""

    class Wrong(Said):
        model_id = "else@1"

    run = News(pool=Pool(Wrong())).play([*days(feeds, 1), item(opened(feeds, 0), GOOD, 0)])
    assert [s.reason for s in run.events(NewsScored)] == ["unavailable: what was loaded is else@1"]
