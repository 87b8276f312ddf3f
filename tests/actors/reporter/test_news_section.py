"""What a run folder says of the news: coverage by hand, tables, and a picture for each symbol."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from actors.messages.columns import pack_f64, pack_i32
from actors.messages.sentiment import NewsScored, NewsSeen, SentimentMeasured, SentimentRequested
from actors.reporter.news_section import context, headlines_csv, sentiment_csv, small
from actors.reporter.news_story import NewsStory, document, series
from actors.reporter.record import RunRecord
from actors.values.universe import Universe

MODEL = "m@1"
SYMBOLS = ("AAA", "BBB", "CCC", "^IDX")
SESSIONS = np.array([20240102, 20240103, 20240104, 20240105])
SECOND = 1_000_000_000
BEGIN = 1_704_204_000 * SECOND  # 2024-01-02 14:00 UTC
NAN = math.nan


def record() -> RunRecord:
    """Return a run of three symbols and an index."""
    empty = np.zeros((4, 4))
    return RunRecord(
        version="1",
        seed=0,
        config={"predictor": {"sentiment": {}}},
        config_digest="",
        universe=Universe(SYMBOLS, tradable=(True, True, True, False)),
        event_digest="",
        session_dates=SESSIONS,
        session_closes=empty,
        session_opens=empty,
    )


def measured(session: int, **columns: list[float]) -> SentimentMeasured:
    """Return figures of a session's end; what is not given is unknown, or nothing."""
    n = len(columns["ids"])
    names = ("score", "change", "dispersion", "divergence", "n", "volume", "today", "norm", "unusual")
    given: dict[str, Any] = {name: pack_f64(columns.get(name, [NAN] * n)) for name in names}
    flags = tuple(("earnings",) if i == 0 else () for i in range(n))
    return SentimentMeasured(session, pack_i32([int(i) for i in columns["ids"]]), **given, flags=flags)


def story() -> NewsStory:
    """Return two sessions of news: three headlines scored, one abstained from, one late, one waiting at the end."""
    news = NewsStory()
    news.seen(BEGIN, NewsSeen("n1", (0, 1), "good, news", "wire", ("earnings",)))
    news.seen(BEGIN, NewsSeen("n2", (0,), "bad\nnews", "", ("litigation", "earnings")))
    news.asked(BEGIN, SentimentRequested("r1", MODEL, ("n1", "n2"), ("", ""), 0))
    p = pack_f64([0.1, 0.2, 0.7, 0.6, 0.4, 0.0])
    news.scored(BEGIN, NewsScored("r1", MODEL, ("n1", "n2"), ((0, 1), (0,)), ("wire", ""), p))
    news.session(
        BEGIN + SECOND,
        measured(20240102, ids=[0, 1], score=[0.2, 0.6], n=[2, 1], volume=[2, 1], today=[2, 1], unusual=[0, 0]),
    )
    for name, reason, row in (("n3", "", [NAN] * 3), ("n4", "late: 5 ms", [NAN] * 3), ("n5", "", [0.0, 1.0, 0.0])):
        news.seen(BEGIN + 9 * SECOND, NewsSeen(name, (0,), name, "wire"))
        news.asked(BEGIN + 9 * SECOND, SentimentRequested(name, MODEL, (name,), ("",), 0))
        news.scored(BEGIN + 9 * SECOND, NewsScored(name, MODEL, (name,), ((0,),), ("wire",), pack_f64(row), reason))
    news.seen(BEGIN + 10 * SECOND, NewsSeen("n6", (3,), "the index", "blog"))
    news.session(
        BEGIN + 11 * SECOND,
        measured(
            20240103,
            ids=[0, 1, 3],
            score=[0.1, 0.6, NAN],
            n=[3, 1, 0],
            volume=[5, 1, 1],
            today=[3, 0, 1],
            unusual=[1, 0, 0],
        ),
    )
    return news


def test_coverage_counts_what_was_told_of_whom_and_when() -> None:
    """By hand: two of three symbols, two of four sessions, three of twelve cells (the index is no symbol to trade)."""
    found = document(record(), story(), SESSIONS)
    assert found is not None
    assert (found["headlines"], found["scored"], found["abstained"], found["waiting"]) == (6, 3, 1, 1)
    assert found["unanswered"] == {"late": 1}
    assert found["models"] == [MODEL]
    cover = {name: (row["count"], row["of"]) for name, row in found["coverage"].items()}
    assert cover == {
        "symbols": (2, 3),
        "sessions": (2, 4),
        "symbol_sessions": (3, 12),
        "symbol_sessions_scored": (4, 12),
    }
    assert found["coverage"]["symbols"]["share"] == pytest.approx(2 / 3)
    names = ("headlines", "scored", "abstained", "unanswered")
    sources = {row["name"]: tuple(row[name] for name in names) for row in found["by_source"]}
    assert sources == {"wire": (4, 2, 1, 1), "(no source)": (1, 1, 0, 0), "blog": (1, 0, 0, 0)}
    wire = found["by_source"][0]
    assert (wire["tone"], wire["negative"], wire["neutral"], wire["positive"]) == (pytest.approx(0.3), 0.0, 0.5, 0.5)
    flags = {row["name"]: (row["headlines"], row["tone"]) for row in found["by_flag"]}
    assert flags == {"earnings": (2, pytest.approx(0.0)), "litigation": (1, pytest.approx(-0.6))}
    first = found["by_symbol"][0]
    assert (first["symbol"], first["headlines"], first["sessions"], first["unusual_sessions"]) == ("AAA", 5, 2, 1)
    assert (first["last_score"], first["tone"]) == (0.1, pytest.approx(0.0))
    assert [row["symbol"] for row in found["by_symbol"]] == ["AAA", "BBB", "^IDX"]


def test_a_score_is_one_where_enough_headlines_are_scored() -> None:
    """With two asked for, one scored headline is no score: one cell of twelve has one, two have a headline."""
    news = NewsStory()
    news.seen(BEGIN, NewsSeen("n", (0, 1), "x"))
    columns = {"score": [0.2, NAN], "n": [2.0, 1.0], "today": [1.0, 1.0]}
    news.session(BEGIN + 1, measured(20240102, ids=[0, 1], **columns))
    found = document(record(), news, SESSIONS)
    assert found is not None
    assert found["coverage"]["symbol_sessions"]["count"] == 2
    assert found["coverage"]["symbol_sessions_scored"]["count"] == 1


def test_an_answer_is_about_the_headlines_it_was_asked_about() -> None:
    """The same id came in again, of another symbol, while the first question was open: each has its own answer.

    And one that came in between question and answer, and was never asked about, still waits.
    """
    news = NewsStory()
    for n, symbol in ((0, 0), (1, 1)):
        news.seen(BEGIN + n, NewsSeen("x", (symbol,), "x"))
        news.asked(BEGIN + n, SentimentRequested(f"r{n}", MODEL, ("x",), ("x",), 0))
    news.seen(BEGIN + 2, NewsSeen("x", (2,), "x"))
    news.scored(BEGIN + 3, NewsScored("r1", MODEL, ("x",), ((1,),), ("",), pack_f64([0.1, 0.2, 0.7])))
    news.scored(BEGIN + 4, NewsScored("r0", MODEL, ("x",), ((0,),), ("",), pack_f64([NAN] * 3), "late: 1 ms"))
    told = [(row.symbols, row.status, row.p, row.model_id) for row in news.headlines]
    assert told == [
        ((0,), "late", None, MODEL),
        ((1,), "scored", (0.1, 0.2, 0.7), MODEL),
        ((2,), "waiting", None, ""),
    ]


def test_a_run_without_news_says_nothing_of_them() -> None:
    """Its folder is what it was before there were any."""
    nothing = NewsStory()
    assert document(record(), nothing, SESSIONS) is None
    assert context(record(), nothing, None, SESSIONS) is None
    assert not nothing


def test_tables_hold_every_headline_and_every_figure() -> None:
    """Unknown figures are empty, a comma in a text is quoted and a line break is none."""
    assert headlines_csv(story(), SYMBOLS).splitlines()[:4] == [
        "ts,news_id,source,symbols,status,negative,neutral,positive,flags,model,text",
        '2024-01-02T14:00:00.000Z,n1,wire,AAA BBB,scored,0.1,0.2,0.7,earnings,m@1,"good, news"',
        "2024-01-02T14:00:00.000Z,n2,,AAA,scored,0.6,0.4,0,litigation earnings,m@1,bad news",
        "2024-01-02T14:00:09.000Z,n3,wire,AAA,abstained,,,,,m@1,n3",
    ]
    statuses = [line.split(",")[4] for line in headlines_csv(story(), SYMBOLS).splitlines()[4:]]
    assert statuses == ["late", "scored", "waiting"]
    assert sentiment_csv(story(), SYMBOLS).splitlines()[:3] == [
        "ts,session,symbol,score,change,dispersion,divergence,n,volume,today,norm,unusual,flags",
        "2024-01-02T14:00:01.000Z,2024-01-02,AAA,0.2,,,,2,2,2,,0,earnings",
        "2024-01-02T14:00:01.000Z,2024-01-02,BBB,0.6,,,,1,1,1,,0,",
    ]


def test_a_series_has_a_place_for_every_session() -> None:
    """Unknown where the symbol had no headline within the window."""
    assert np.array_equal(series(story(), 0, SESSIONS, "score"), [0.2, 0.1, NAN, NAN], equal_nan=True)
    assert np.array_equal(series(story(), 2, SESSIONS, "score"), [NAN] * 4, equal_nan=True)


def test_a_picture_shows_scores_headlines_and_what_is_unusual() -> None:
    """A stroke up for a good session, down for a bad one, a grey tick at about 0, none where nothing is known.

    Amber for the unusual.
    """
    row = {"symbol": "A<B", "headlines": 1234, "tone": -0.25}
    score, today, unusual = (
        np.array([0.5, -1.0, NAN, 0.0]),
        np.array([2.0, 4.0, NAN, 0.0]),
        np.array([0.0, 1.0, NAN, 0.0]),
    )
    drawn = small(row, score, today, unusual, SESSIONS)
    assert "A&lt;B" in drawn
    assert "1,234 headlines, mean \N{MINUS SIGN}0.25" in drawn
    # Four sessions of 81 units: middles at 46.5, 127.5 ...; zero at 47, a score of 1 is 23 high.
    assert 'd="M46.5 47V35.5" fill="none" stroke="#15803d"' in drawn
    assert 'd="M289.5 45.5V48.5" fill="none" stroke="#64748b"' in drawn
    assert 'd="M127.5 47V70" fill="none" stroke="#b4232a"' in drawn
    # Headlines stand on 86, the most of them 13 high.
    assert 'd="M46.5 86V79.5" fill="none" stroke="#64748b"' in drawn
    assert 'd="M127.5 86V73" fill="none" stroke="#d97706"' in drawn
    rounded = small(row | {"tone": -0.004}, np.array([0.06, -0.06, 0.049, -0.049]), today, unusual, SESSIONS)
    assert "mean +0.00" in rounded
    # Middles at 46.5, 127.5, 208.5, 289.5: 0.06 is a stroke of 1.38, below 0.05 there is a tick.
    assert 'd="M46.5 47V45.6" fill="none" stroke="#15803d"' in rounded
    assert 'd="M127.5 47V48.4" fill="none" stroke="#b4232a"' in rounded
    assert 'd="M208.5 45.5V48.5M289.5 45.5V48.5" fill="none" stroke="#64748b"' in rounded
    nothing = np.full(4, NAN)
    assert "<path" not in small(row | {"tone": None}, nothing, nothing, nothing, SESSIONS)


def test_the_section_shows_the_symbols_that_are_told_most_of() -> None:
    """And says how many more there are; with one session there is no series to draw."""
    news = story()
    found = document(record(), news, SESSIONS)
    shown = context(record(), news, found, SESSIONS)
    assert shown is not None
    assert len(shown["pictures"]) == 3
    assert shown["more_symbols"] == 0
    assert (len(shown["flags"]), shown["more_flags"]) == (2, 0)
    many = found | {"by_flag": [found["by_flag"][0] | {"name": f"f{n}"} for n in range(14)]}
    crowded = context(record(), news, many, SESSIONS)
    assert crowded is not None
    assert (len(crowded["flags"]), crowded["more_flags"]) == (12, 2)
    short = context(record(), news, found, SESSIONS[:1])
    assert short is not None
    assert (short["pictures"], short["more_symbols"]) == ([], 3)
