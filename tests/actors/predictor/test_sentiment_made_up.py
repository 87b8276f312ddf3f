"""News that ``tradingd strategy check`` makes up hold together as those of a run do, else a check means nothing."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from actors.api import Headline, Sentiment
from actors.predictor.sentiment.made_up import MadeUpNews
from actors.values.time import DAY_NS

BEGIN, ROWS = 1_700_000_000_000_000_000, 120
NAMES = ("AAA", "BBB", "CCC")


def made_up(names: tuple[str, ...] = NAMES) -> tuple[MadeUpNews, Any]:
    """Return news and what says which session it is."""
    series: Any = SimpleNamespace(session=1)
    return MadeUpNews(names, series, BEGIN, ROWS), series


def told(names: tuple[str, ...], name: str) -> list[tuple[tuple[Headline, ...], Sentiment]]:
    """Return what is known of a symbol in each session."""
    news, series = made_up(names)
    symbol = names.index(name)
    found = []
    for session in range(1, ROWS + 1):
        series.session = session
        found.append((news.headlines(symbol), news.sentiment(symbol)))
    return found


def test_a_symbol_has_its_own_news_whatever_stands_beside_it() -> None:
    """By its name alone, the same again each time; another name has others."""
    first = told(NAMES, "BBB")
    assert repr(first) == repr(told(("ZZZ", "CCC", "BBB"), "BBB"))
    assert [headlines for headlines, _ in first] != [headlines for headlines, _ in told(NAMES, "CCC")]
    assert all(
        headline.text.startswith("BBB makes up its headline ") for headlines, _ in first for headline in headlines
    )


def test_nothing_later_is_known() -> None:
    """Each session adds at most the headline of its day, and five days back is the last that counts."""
    news = told(NAMES, "AAA")
    seen: dict[int, Headline] = {}
    for row, (headlines, sentiment) in enumerate(news):
        now = BEGIN + row * DAY_NS
        seen |= {headline.ts: headline for headline in headlines}
        wanted = [headline for ts, headline in sorted(seen.items()) if now - 5 * DAY_NS < ts <= now]
        assert repr(list(headlines)) == repr(wanted)
        assert sentiment.today == (now in seen)
        assert sentiment.volume == len(headlines)
    assert {(ts - BEGIN) % DAY_NS for ts in seen} == {0}
    assert 0.4 * ROWS < len(seen) < 0.8 * ROWS
    assert len({headline.text for headline in seen.values()}) == len(seen)


def test_figures_are_those_of_the_headlines() -> None:
    """Half of the weight a day: a mean of the tones, what it was a day ago, flags; a move of nothing."""
    news = told(NAMES, "CCC")
    before = math.nan
    for row, (headlines, sentiment) in enumerate(news):
        now = BEGIN + row * DAY_NS
        scored = [(2.0 ** -((now - h.ts) / DAY_NS), h.tone) for h in headlines if math.isfinite(h.positive)]
        assert sentiment.n == len(scored)
        if not scored:
            assert not sentiment.known
        else:
            mean = sum(weight * tone for weight, tone in scored) / sum(weight for weight, _ in scored)
            assert sentiment.score == pytest.approx(mean, abs=1e-6)
            assert sentiment.divergence == sentiment.score
        assert sentiment.change == pytest.approx(sentiment.score - before, abs=2e-6, nan_ok=True)
        assert set(sentiment.flags) == {flag for headline in headlines for flag in headline.flags}
        before = sentiment.score
    every = {headline.ts: headline for headlines, _ in news for headline in headlines}.values()
    scored_ones = [headline for headline in every if math.isfinite(headline.positive)]
    assert 0 < len(scored_ones) < len(every)  # there are some without a score to stumble over
    for headline in scored_ones:
        p = headline.negative, headline.neutral, headline.positive
        assert all(0 < one < 1 for one in p)
        assert sum(p) == pytest.approx(1.0, abs=1e-9)
        assert [round(one, 6) for one in p] == list(p)
    assert any(tone < -0.2 for tone in (h.tone for h in scored_ones))
    assert any(tone > 0.2 for tone in (h.tone for h in scored_ones))
    assert {len(headline.flags) for headline in every} == {0, 1}


def test_a_panel_is_what_its_symbols_are() -> None:
    """Column by column."""
    news, series = made_up()
    series.session = 40
    panel = news.panel(3)
    for symbol in range(3):
        alone = news.sentiment(symbol)
        assert repr(float(panel.score[symbol])) == repr(float(alone.score))
        assert (panel.n[symbol], panel.today[symbol], panel.flags[symbol]) == (alone.n, alone.today, alone.flags)
