"""Times as text, intervals, sessions, and the universe."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.values import DAY_NS, MINUTE_NS, SECOND_NS, Interval, Session, Universe, format_ts, parse_interval

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_time_as_text_is_the_same_time(ts: int) -> None:
    """RFC 3339 in UTC with three digits, or nine where three would lose something; before 1970 too."""
    text = format_ts(ts)
    stamp, _, fraction = text.removesuffix("Z").partition(".")
    seconds = (datetime.fromisoformat(stamp + "+00:00") - EPOCH) // timedelta(seconds=1)
    assert seconds * SECOND_NS + int(fraction.ljust(9, "0")) == ts
    assert len(fraction) == (9 if ts % 1_000_000 else 3)


@pytest.mark.parametrize(
    ("ts", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (-1_000_000, "1969-12-31T23:59:59.999Z"),
        (1_420_209_000_000_000_000, "2015-01-02T14:30:00.000Z"),
        (1_420_209_000_123_000_000, "2015-01-02T14:30:00.123Z"),
    ],
)
def test_times_as_text(ts: int, text: str) -> None:
    """The spellings others hold on to."""
    assert format_ts(ts) == text


@given(st.integers(1, 99_999), st.sampled_from(["s", "m", "h", "d"]))
def test_an_interval_counts_sessions_or_time_never_both(count: int, unit: str) -> None:
    """Days are sessions; everything shorter is time."""
    interval = parse_interval(f"{count}{unit}")
    if unit == "d":
        assert interval == Interval(f"{count}d", sessions=count)
        assert interval.is_daily
    else:
        size = {"s": SECOND_NS, "m": MINUTE_NS, "h": 60 * MINUTE_NS}[unit]
        assert interval == Interval(f"{count}{unit}", ns=count * size)
        assert not interval.is_daily
    assert DAY_NS == 24 * 60 * MINUTE_NS


@pytest.mark.parametrize(
    "text", ["", "d", "0m", "-1m", "1", "1w", "1.5h", " 1m", "1m\n", "01m", "1M", "123456m", "\u0661m"]
)
def test_what_is_no_interval_is_refused(text: str) -> None:
    """With a sentence that shows what to write."""
    with pytest.raises(ValueError, match="such as 1d or 5m"):
        parse_interval(text)


def test_a_session_shows_its_date() -> None:
    """As people write it."""
    assert Session(20150102, 1, 2, 0).date_text == "2015-01-02"


@given(st.lists(st.text(min_size=1, max_size=4), unique=True))
def test_ids_are_positions(symbols: list[str]) -> None:
    """And there are as many as symbols."""
    universe = Universe(tuple(symbols))
    assert len(universe) == len(symbols)
    assert [universe.symbols[i] for i in universe.index().values()] == list(universe.index()) == symbols


def test_what_is_not_said_about_a_symbol_is_the_default() -> None:
    """Everything tradable, no sector."""
    universe = Universe(("A", "B"))
    assert [universe.is_tradable(i) for i in range(2)] == [True, True]
    assert [universe.sector(i) for i in range(2)] == ["", ""]
    told = Universe(("A", "SPX"), sectors=("Tech", "Index"), tradable=(True, False))
    assert [told.is_tradable(i) for i in range(2)] == [True, False]
    assert [told.sector(i) for i in range(2)] == ["Tech", "Index"]


@pytest.mark.parametrize("symbol_id", [-1, 2, 99])
def test_nothing_outside_the_universe_is_tradable(symbol_id: int) -> None:
    """-1 stands for a symbol that was not found; it must not mean the last one."""
    for universe in (Universe(("A", "B")), Universe(("A", "B"), sectors=("x", "y"), tradable=(True, True))):
        assert not universe.is_tradable(symbol_id)
        assert universe.sector(symbol_id) == ""


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"symbols": ("A", "B", "A")}, "the symbol A is in the universe twice"),
        ({"symbols": ("A", "B"), "sectors": ("x",)}, "sectors has 1 entries for 2 symbols"),
        ({"symbols": ("A",), "tradable": (True, True)}, "tradable has 2 entries for 1 symbols"),
    ],
)
def test_a_universe_that_does_not_fit_together_is_refused(fields: dict[str, tuple[str, ...]], complaint: str) -> None:
    """Ids must mean one thing."""
    with pytest.raises(ValueError, match=complaint):
        Universe(**fields)  # type: ignore[arg-type]
