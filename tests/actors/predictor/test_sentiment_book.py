"""The book of headlines at its edges: what is kept of computations, renames that follow each other, moves by hand."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.messages.market import CorporateAction, SessionOpened
from actors.messages.sentiment import NewsSeen, SentimentMeasured
from actors.predictor.sentiment.book import NewsBook
from tests.actors.predictor.newsroom import HOUR, News, item

GOOD, BAD = "good 0.0 0.2 0.8", "bad 0.8 0.2 0.0"
DAY = 24 * HOUR


def test_what_a_symbol_is_called_follows_every_rename() -> None:
    """A became B and B became C: whoever says A or B means C; and one that takes its old name back has it."""
    book = NewsBook(DAY)
    book.move(0, 1, 1)
    book.move(1, 2, 2)
    assert book.called((0, 1, 2, 3)) == (2, 3)
    book.move(2, 0, 3)
    assert book.called((0, 1, 2)) == (0,)


def test_headlines_of_both_names_become_one_book() -> None:
    """In order of time, the same headline once; and so do the counts of every session, and the last closes."""
    book = NewsBook(DAY)
    for ts, name, symbols in ((1, "a", (0,)), (2, "b", (0, 1)), (3, "c", (1,)), (4, "d", (0,))):
        book.see(NewsSeen(name, symbols, name), ts)
    book.last_score = {0: 0.25}
    book.close(1, np.array([10.0, 7.0, 3.0]))
    book.close(2, np.array([math.nan, 8.0, 3.0]))
    book.move(0, 1, 9)
    assert [(entry.seen, entry.news_id) for entry in book.items[1]] == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
    assert 0 not in book.items
    assert (book.today, book.last_score) == ({1: 4}, {1: 0.25})
    closes = np.array(book.closes)
    assert np.array_equal(closes, [[math.nan, 10.0, 3.0], [math.nan, 8.0, 3.0]], equal_nan=True)


def test_a_headline_of_both_names_is_as_old_as_it_was_first_seen() -> None:
    """B had "x" at 1 and it was scored there, A had it at 5 and at 7 what B had seen last before the window of ten."""
    book = NewsBook(10)
    for ts, name, symbol in ((1, "x", 1), (2, "old", 1), (5, "x", 0), (7, "old", 0)):
        book.see(NewsSeen(name, (symbol,), name), ts)
    book.items[1][0].p = (0.1, 0.2, 0.7)
    book.move(0, 1, 10)
    assert [(entry.seen, entry.news_id, entry.p) for entry in book.items[1]] == [
        (1, "x", (0.1, 0.2, 0.7)),
        (2, "old", None),
    ]
    later = NewsBook(10)
    later.see(NewsSeen("old", (1,), "old"), 2)
    later.see(NewsSeen("old", (0,), "old"), 7)
    later.move(0, 1, 12)  # what was seen at 2 has left the window: what counts is the headline of 7
    assert [(entry.seen, entry.news_id) for entry in later.items[1]] == [(7, "old")]


@pytest.mark.parametrize("restored", [False, True])
def test_a_headline_of_both_names_counts_in_the_session_it_was_first_seen_in(restored: bool) -> None:
    """Two sessions and a third under way; five of six headlines came under both names, at once or one behind the other.

    First: a under both at once, b under B. Second: b under A, c under A, d under both. Third: c under B, e under both,
    f under A. Under one name that is a b, c d, e f.
    """
    book = NewsBook(DAY)
    ends = SentimentMeasured(20240102, *(b"",) * 10)
    told = ((1, "a", (0, 1)), (2, "b", (1,)), None, (4, "b", (0,)), (5, "c", (0,)), (6, "d", (0, 1)), None)
    for ts, one in enumerate((*told, (8, "c", (1,)), (9, "e", (0, 1)), (10, "f", (0,)))):
        if one is None:
            book.measure(ends, ts)
        else:
            book.see(NewsSeen(one[1], one[2], one[1]), one[0])
    assert ([dict(counts) for counts in book.counts], book.today) == ([{0: 1, 1: 2}, {0: 3, 1: 1}], {0: 2, 1: 2})
    if restored:
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(book.snapshot()))
        book = NewsBook(DAY)
        book.restore(state)
    book.move(0, 1, 11)
    assert (book.counts_of(1), book.today) == ([2, 2], {1: 2})
    assert [entry.news_id for entry in book.items[1]] == list("abcdef")


@pytest.mark.parametrize("seed", range(4))
def test_behind_a_rename_a_book_is_that_of_one_name_from_the_beginning(seed: int) -> None:
    """Of a hundred random streams: what came, when, and how many in each session; several at one instant, too."""
    draw = random.Random(seed)  # noqa: S311 - test data
    ends = SentimentMeasured(20240102, *(b"",) * 10)
    for _ in range(100):
        one, two = NewsBook(DAY), NewsBook(DAY)
        length, ts = draw.randint(5, 120), 0
        renamed = draw.randrange(length)
        for step in range(length):
            ts += draw.choice((0, 0, 1))
            if step == renamed:
                two.move(0, 1, ts)
            if draw.random() < 0.3:
                one.measure(ends, ts)
                two.measure(ends, ts)
            else:
                name, symbols = str(draw.randrange(12)), draw.sample((0, 1, 2), draw.randint(1, 3))
                for book, tagged in ((one, tuple(symbol or 1 for symbol in symbols)), (two, tuple(symbols))):
                    news = book.unknown(name, tagged, ts)
                    if news:
                        book.see(NewsSeen(name, news, name), ts)
            for symbol in (1, 2) if step >= renamed else ():
                assert two.counts_of(symbol) == one.counts_of(symbol)
                assert two.today.get(symbol, 0) == one.today.get(symbol, 0)
                came = [sorted((item.seen, item.news_id) for item in book.items.get(symbol, ())) for book in (one, two)]
                assert came[0] == came[1]


def test_an_older_snapshot_does_not_say_in_which_session_a_headline_came() -> None:
    """Then both count, as they did; what comes in from now on is told apart."""
    book = NewsBook(DAY)
    book.see(NewsSeen("a", (0, 1), "a"), 1)
    state = book.snapshot()
    del state["ended"]
    state["items"] = [[symbol, [item[:6] for item in items]] for symbol, items in state["items"]]
    book.restore(state)
    book.see(NewsSeen("b", (0, 1), "b"), 2)
    book.move(0, 1, 3)
    assert book.today == {1: 3}


def test_a_score_under_one_name_is_that_of_both() -> None:
    """The headline under the new name is the older one and was never scored."""
    book = NewsBook(10)
    book.see(NewsSeen("x", (1,), "x"), 1)
    book.see(NewsSeen("x", (0,), "x"), 5)
    book.items[0][0].p = (0.1, 0.2, 0.7)
    book.move(0, 1, 9)
    assert [(entry.seen, entry.p) for entry in book.items[1]] == [(1, (0.1, 0.2, 0.7))]


@pytest.mark.parametrize("between", [False, True])
def test_the_same_id_is_news_again_once_it_has_left_the_window(feeds, between: bool) -> None:
    """Whether or not another headline came in between and the book was cleared: twenty minutes of a window of ten."""
    at, minute = feeds.session(0).open_ts, HOUR // 60
    inputs = [*feeds.daily(np.full((1, 3), 5.0)), item(at, GOOD, 0, news_id="x")]
    inputs += [item(at + 9 * minute, GOOD, 0, news_id="x"), item(at + 20 * minute, BAD, 0, news_id="x")]
    inputs += [item(at + 15 * minute, GOOD, 0, news_id="other")] if between else []
    run = News(window_ns=10 * minute).play(inputs)
    seen = [(event.news_id, event.text) for event in run.events(NewsSeen) if event.news_id == "x"]
    assert seen == [("x", GOOD), ("x", BAD)]


def test_what_was_computed_is_forgotten_when_it_no_longer_holds(feeds) -> None:
    """A headline leaves the window at its very instant; a rename brings others."""
    at = feeds.session(0).open_ts
    run = News(window_ns=DAY).play([*feeds.daily(np.full((1, 3), 5.0)), item(at, GOOD, 0), item(at + 9, BAD, 1)])
    room, sequencer = run.actor.newsroom, run.sequencer
    assert room.sentiment(0).score == pytest.approx(0.8)
    assert room.sentiment(1).score == pytest.approx(-0.8)
    sequencer.last_ts = at + DAY - 1
    assert room.sentiment(0).volume == 1
    sequencer.last_ts = at + DAY
    assert (room.sentiment(0).volume, room.sentiment(0).known) == (0, False)
    sequencer.last_ts = at + DAY - 1
    run.actor.fold_action(CorporateAction(at + 10, 20241001, 1, "rename", 0, renamed_to=0))
    assert room.sentiment(0).volume == 2
    assert room.sentiment(0).score == pytest.approx(0.0)
    assert room.sentiment(1).volume == 0


def moves(closes: list[float], price: float) -> float:
    """Return the move since the last but fifth close on paper."""
    returns = np.diff(np.log(closes))[-20:]
    move = math.log(price / closes[-6]) / (returns.std(ddof=1) * math.sqrt(5)) / 2
    assert abs(move) < 1
    return move


def test_a_move_begins_five_sessions_before_the_one_under_way(feeds) -> None:
    """At a close that is the sixth close from the end; in the next session, until its own close, the fifth."""
    rng = np.random.default_rng(3)
    closes = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (26, 3)), axis=0))
    inputs: list[Any] = feeds.daily(closes[:25])
    run = News().play(inputs)
    column = closes[:, 0].tolist()
    assert run.actor.price_move(0) == pytest.approx(moves(column[:25], column[24]))
    coming = feeds.session(25)
    run.clock.advance_to(coming.close_ts)
    run.sequencer.process(SessionOpened(coming.open_ts, coming), "feed")
    begun = [*column[:25], column[24]]  # the next session stands where the last one ended
    past = math.log(begun[-1] / begun[-6]) / (np.diff(np.log(column[:25]))[-20:].std(ddof=1) * math.sqrt(5)) / 2
    assert run.actor.price_move(0) == pytest.approx(past)
    bar = feeds.panel(coming, coming.close_ts, closes[25], daily=True)
    run.sequencer.process(bar, "feed")
    scale = np.diff(np.log(column[:25]))[-20:].std(ddof=1) * math.sqrt(5) * 2
    assert run.actor.price_move(0) == pytest.approx(math.log(column[25] / column[20]) / scale)


def test_a_split_changes_no_move(feeds) -> None:
    """Price and closes are said in the new units at once, whatever was computed before."""
    rng = np.random.default_rng(4)
    closes = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (25, 3)), axis=0))
    run = News().play(feeds.daily(closes))
    before = run.actor.price_move(1)
    assert math.isfinite(before)
    at = run.clock.now() + 1
    run.actor.fold_action(CorporateAction(at, 20241026, 1, "split", 3 * 10**8, numerator=3, denominator=1))
    assert run.actor.price_move(1) == pytest.approx(before)


def test_a_renamed_symbol_moves_as_it_did_under_its_old_name(feeds) -> None:
    """The new name's own closes are nothing any more, whatever was computed of them before."""
    rng = np.random.default_rng(5)
    closes = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (25, 3)), axis=0))
    run = News().play(feeds.daily(closes))
    old, new = run.actor.price_move(0), run.actor.price_move(1)
    assert math.isfinite(old)
    assert old != new
    run.actor.fold_action(CorporateAction(run.clock.now() + 1, 20241026, 0, "rename", 0, renamed_to=1))
    assert run.actor.price_move(1) == old
    assert math.isnan(run.actor.price_move(0))


def test_a_symbol_keeps_two_hundred_headlines() -> None:
    """The newest, of one instant those that came last; the same where two books become one."""
    book = NewsBook(DAY)
    for n in range(250):
        book.see(NewsSeen(f"a{n}", (0,), ""), 1)
        book.see(NewsSeen(f"b{n}", (1,), ""), 2)
    assert [entry.news_id for entry in book.items[0]] == [f"a{n}" for n in range(50, 250)]
    book.move(1, 0, 3)
    assert [entry.news_id for entry in book.items[0]] == [f"b{n}" for n in range(50, 250)]
    assert book.today == {0: 500}


def test_a_headline_without_words_is_flagged_by_its_summary(feeds) -> None:
    """Else the headline alone decides what it is about."""
    at = feeds.session(0).open_ts
    inputs = [
        *feeds.daily(np.full((1, 3), 5.0)),
        item(at, "", 0, summary="A dividend"),
        item(at, "x", 0, summary="FDA"),
    ]
    run = News().play(inputs)
    assert [event.flags for event in run.events(NewsSeen)] == [("dividend",), ()]
