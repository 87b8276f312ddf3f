"""Quotes and trades as arrays: the book against a plain reading of the rules, merging, and what cannot be used."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.feed.quality import KINDS
from actors.feed.session import session_table
from actors.feed.survey import judge
from actors.feed.ticks import Book, TickRows, merge_blocks, place_rows, quote_panels, trade_panels

NAN = math.nan
QUOTE = ("bid_px", "bid_size", "ask_px", "ask_size")


def rows_of(
    stamps: list[int], ids: list[int], measures: dict[str, list[float]], day: list[int] | None = None, number: int = 0
) -> TickRows:
    """Build rows; ``line`` tells them apart."""
    count = len(stamps)
    return TickRows(
        ts=np.array(stamps, dtype=np.int64),
        day=np.zeros(count, dtype=np.int64) if day is None else np.array(day, dtype=np.int64),
        ids=np.array(ids, dtype=np.int32),
        file=np.full(count, number, dtype=np.int16),
        line=np.arange(count, dtype=np.int64),
        cols={name: np.array(column, dtype=np.float64) for name, column in measures.items()},
        suspicious=np.zeros(count, dtype=np.bool_),
    )


def blocks_of(rows: TickRows, sizes: list[int]) -> list[TickRows]:
    """Cut rows into blocks of these sizes, repeated."""
    blocks, at, turn = [], 0, 0
    while at < len(rows):
        size = sizes[turn % len(sizes)]
        blocks.append(rows.take(slice(at, at + size)))
        at, turn = at + size, turn + 1
    return blocks


Quote = tuple[int, int, int, float, float, float, float]


def plain_book(quotes: list[Quote]) -> list[tuple[int, list[tuple[float, ...]]]]:
    """Read the rules literally: last known side of the day; one entry per symbol and instant, by id."""
    known: dict[tuple[int, int], list[float]] = {}
    panels: dict[int, dict[int, list[float]]] = {}
    for ts, symbol, day, bid, bid_size, ask, ask_size in quotes:
        book = known.setdefault((symbol, day), [NAN, NAN, NAN, NAN])
        if bid > 0:
            book[0:2] = bid, bid_size
        if ask > 0:
            book[2:4] = ask, ask_size
        panels.setdefault(ts, {})[symbol] = list(book)
    return [(ts, [(symbol, *book) for symbol, book in sorted(entries.items())]) for ts, entries in panels.items()]


prices = st.sampled_from([0.0, NAN, 1.0, 1.5, 2.0, 2.5])
sizes = st.sampled_from([0.0, NAN, 100.0, 200.0])
quotes = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), prices, sizes, prices, sizes), min_size=1, max_size=40
)


@settings(max_examples=300, deadline=None)
@given(
    quotes, st.lists(st.integers(1, 7), min_size=1, max_size=4), st.lists(st.integers(0, 2), min_size=40, max_size=40)
)
def test_the_book_is_the_last_known_bid_and_ask_of_the_day_however_rows_are_cut(
    drawn: list[tuple[int, int, float, float, float, float]], cuts: list[int], files: list[int]
) -> None:
    """Against the plain reading, for any blocks and any spread over files."""
    ts = 0
    rows: list[Quote] = []
    for step, symbol, bid, bid_size, ask, ask_size in drawn:
        ts += step
        rows.append((ts, symbol, ts // 10, bid, bid_size, ask, ask_size))
    streams = []
    ordered: list[tuple[int, int, Quote]] = []
    for number in range(3):
        own = [row for row, file in zip(rows, files, strict=False) if file == number]
        ordered += [(row[0], number, row) for row in own]
        if own:
            columns = list(zip(*own, strict=True))
            part = rows_of(
                list(columns[0]),
                list(columns[1]),
                {name: list(column) for name, column in zip(QUOTE, columns[3:], strict=True)},
                day=list(columns[2]),
                number=number,
            )
            streams.append(iter(blocks_of(part, cuts)))
    ordered.sort(key=lambda entry: entry[:2])
    good = [row for _, _, row in ordered if row[3] > 0 or row[5] > 0]
    good = [row for row in good if not (row[3] > 0 and row[5] > 0 and row[3] > row[5])]
    book = Book(3)
    panels = list(
        quote_panels(
            book.fold(use) for block in merge_blocks(streams) if len(use := block.take(judge("quotes", block) == 0))
        )
    )
    found = [
        (panel.ts, list(zip(panel.ids.tolist(), *(getattr(panel, name).tolist() for name in QUOTE), strict=True)))
        for panel in panels
    ]
    assert repr(found) == repr(plain_book(good))  # repr, because NaN is not equal to itself


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 4), max_size=25), max_size=4), st.lists(st.integers(1, 6), min_size=1, max_size=3)
)
def test_merging_keeps_files_in_order_and_never_cuts_an_instant(steps: list[list[int]], cuts: list[int]) -> None:
    """Equal to sorting everything by (time, file, place); each instant lies in one block."""
    parts = [
        rows_of(
            np.cumsum(gaps).tolist(), [0] * len(gaps), {"price": [1.0] * len(gaps), "size": [1.0] * len(gaps)}, number=n
        )
        for n, gaps in enumerate(steps)
    ]
    expected = sorted((ts, n, line) for n, part in enumerate(parts) for line, ts in enumerate(part.ts.tolist()))
    blocks = list(merge_blocks([iter(blocks_of(part, cuts)) for part in parts]))
    found = [
        entry
        for block in blocks
        for entry in zip(block.ts.tolist(), block.file.tolist(), block.line.tolist(), strict=True)
    ]
    assert found == expected
    for before, after in itertools.pairwise(blocks):
        assert before.ts[-1] < after.ts[0]
    panels = list(trade_panels(blocks))
    assert [panel.ts for panel in panels] == sorted({ts for ts, _, _ in expected})
    assert sum(len(panel.ids) for panel in panels) == len(expected)


@pytest.mark.parametrize(
    ("quote", "kind"),
    [
        ((10.0, 100.0, 10.1, 200.0), "ok"),
        ((10.0, NAN, 0.0, 0.0), "ok"),
        ((NAN, NAN, 10.1, 200.0), "ok"),
        ((10.0, 1.0, 10.0, 1.0), "ok"),  # locked is possible
        ((0.0, 0.0, NAN, NAN), "empty_quote"),
        ((1e-12, 1.0, 0.0, 0.0), "empty_quote"),
        ((10.2, 1.0, 10.1, 1.0), "crossed_quote"),
        ((-1.0, 1.0, 10.1, 1.0), "bad_quote"),
        ((10.0, math.inf, 10.1, 1.0), "bad_quote"),
        ((10.0, -1.0, 10.1, 1.0), "bad_quote"),
        ((10.0, 1.0, math.inf, 1.0), "bad_quote"),
        ((10.0, 1.0, 9e8, 1.0), "too_large"),
    ],
)
def test_what_a_quote_must_be(quote: tuple[float, ...], kind: str) -> None:
    """One side is enough; what is impossible is counted by kind."""
    rows = rows_of([1], [0], {name: [value] for name, value in zip(QUOTE, quote, strict=True)})
    assert KINDS[judge("quotes", rows)[0]] == kind
    rows.suspicious[:] = True
    assert KINDS[judge("quotes", rows)[0]] == "suspicious"


@pytest.mark.parametrize(
    ("price", "size", "kind"),
    [
        (10.0, 100.0, "ok"),
        (NAN, 100.0, "non_finite"),
        (math.inf, 100.0, "non_finite"),
        (0.0, 100.0, "not_positive"),
        (-1.0, 100.0, "not_positive"),
        (1e9, 100.0, "too_large"),
        (10.0, 0.0, "bad_size"),
        (10.0, NAN, "bad_size"),
        (10.0, -5.0, "bad_size"),
        (10.0, math.inf, "bad_size"),
    ],
)
def test_what_a_trade_must_be(price: float, size: float, kind: str) -> None:
    """A print without a price or a size never happened."""
    rows = rows_of([1], [0], {"price": [price], "size": [size]})
    assert KINDS[judge("trades", rows)[0]] == kind
    rows.suspicious[:] = True
    assert KINDS[judge("trades", rows)[0]] == "suspicious"


def test_an_instant_between_two_sessions_belongs_to_the_next() -> None:
    """Around the clock the closing of one is the opening of the other; elsewhere both ends of a session are in it."""
    always = session_table("always", 0, 3)
    day_ns = int(always.close_ts[0])
    measures = {"price": [1.0] * 3, "size": [1.0] * 3}
    place = place_rows(rows_of([day_ns - 1, day_ns, day_ns + 1], [0] * 3, measures, day=[0, 1, 1]), always)
    assert place.session.tolist() == [0, 1, 1]
    assert place.regular.tolist() == [True, True, True]
    xnys = session_table("XNYS", 15_984, 15_985)  # 2013-10-06, a Sunday, and the 7th
    opened, closed = int(xnys.open_ts[0]), int(xnys.close_ts[0])
    stamps = [opened - 1, opened, closed, closed + 1]
    measures = {"price": [1.0] * 4, "size": [1.0] * 4}
    place = place_rows(rows_of(stamps, [0] * 4, measures, day=[15_985] * 4), xnys)
    assert place.regular.tolist() == [False, True, True, False]
    assert place.session.tolist() == [0] * 4
    sunday = place_rows(rows_of([opened - 1], [0], {"price": [1.0], "size": [1.0]}, day=[15_984]), xnys)
    assert (sunday.session.tolist(), sunday.regular.tolist()) == ([-1], [False])
    nowhere = place_rows(rows_of([opened], [0], {"price": [1.0], "size": [1.0]}), session_table("XNYS", 15_984, 15_984))
    assert (nowhere.session.tolist(), nowhere.regular.tolist()) == ([-1], [False])


def test_panels_cannot_be_written_to() -> None:
    """Every holder sees the same data; switching writing back on is refused too."""
    rows = rows_of([1, 1], [0, 1], {name: [1.0, 2.0] for name in QUOTE})
    (panel,) = quote_panels([rows.take(slice(0, 0)), rows])
    for name in ("ids", *QUOTE):
        array = getattr(panel, name)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
    (trades,) = trade_panels(
        [
            rows_of([1], [0], {"price": [1.0], "size": [1.0]}).take(slice(0, 0)),
            *[rows_of([1, 1], [1, 0], {"price": [1.0, 2.0], "size": [3.0, 4.0]})],
        ]
    )
    assert (trades.ids.tolist(), trades.price.tolist()) == ([1, 0], [1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        trades.price[0] = 0


def test_a_universe_of_many_symbols_has_the_same_book() -> None:
    """Beyond 65,535 symbols another sort is used."""
    rows = rows_of(
        [1, 1, 2],
        [70_000, 3, 70_000],
        {"bid_px": [1.0, 2.0, 0.0], "bid_size": [1.0] * 3, "ask_px": [0.0, 3.0, 4.0], "ask_size": [5.0] * 3},
    )
    first, second = quote_panels([Book(70_001).fold(rows)])
    assert first.ids.tolist() == [3, 70_000]
    assert (second.bid_px.tolist(), second.ask_px.tolist()) == ([1.0], [4.0])
