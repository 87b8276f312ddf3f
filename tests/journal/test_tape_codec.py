"""Market messages as bytes: whatever goes in comes out, to the last bit."""

from __future__ import annotations

import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actors.messages.catalogue import MARKET
from actors.messages.market import BarPanel, NewsItem, QuotePanel, SessionOpened, TradePanel, TradingStatus
from actors.messages.orders import CancelOrder
from actors.values import Session
from daemon.journal.batch import TapeRow
from daemon.journal.market_codec import MarketCodec
from daemon.kernel.message import Market
from tests.journal.tape_support import CODEC, bar, equal, equal_rows, session_rows

I64 = st.integers(-(2**63), 2**63 - 1)
STAMP = st.integers(0, 2**63 - 1)
ANY_BITS = hnp.arrays(np.uint64, st.integers(0, 6)).map(lambda bits: bits.view("<f8"))
CENTS = hnp.arrays(np.int64, st.integers(0, 6), elements=st.integers(-(10**9), 10**9)).map(lambda c: c / 100)
PRICES = st.one_of(ANY_BITS, CENTS)
SESSION = st.builds(Session, date=I64, open_ts=I64, close_ts=I64, number=I64)


def columns(n: int, dtype: str) -> st.SearchStrategy[np.ndarray]:
    """Return columns of n values of any bits."""
    width = np.dtype(dtype).itemsize
    return hnp.arrays(np.uint8, n * width).map(lambda raw: raw.view(dtype))


@st.composite
def bar_panels(draw: st.DrawFn) -> BarPanel:
    """Return panels of cents or of any bits, dense or not, with or without each optional column."""
    n = draw(st.integers(0, 6))
    dense = draw(st.booleans())
    ids = np.arange(n, dtype="<i4") if dense else draw(columns(n, "<i4"))
    cents = hnp.arrays(np.int64, n, elements=st.integers(-(10**9), 10**9)).map(lambda c: c / 100)
    price = st.one_of(columns(n, "<f8"), cents)
    close = draw(price)
    close_only = draw(st.booleans())
    opened, high, low = (close, close, close) if close_only else (draw(price), draw(price), draw(price))
    with np.errstate(all="ignore"):
        fixed = draw(st.one_of(st.just(np.rint(close * 1e8).astype("<i8")), columns(n, "<i8")))
    extra = [draw(st.none() | price) for _ in range(6)]
    return BarPanel(
        draw(STAMP), draw(I64), draw(I64), draw(st.booleans()), ids, dense, opened, high, low, close, fixed,
        extra[0], close_only, *extra[1:], draw(I64),
    )  # fmt: skip


@st.composite
def quote_panels(draw: st.DrawFn) -> QuotePanel:
    """Return quotes of any bits."""
    n = draw(st.integers(0, 5))
    return QuotePanel(draw(STAMP), draw(columns(n, "<i4")), *(draw(columns(n, "<f8")) for _ in range(4)))


MESSAGES = st.one_of(
    bar_panels(),
    quote_panels(),
    st.builds(SessionOpened, STAMP, SESSION, st.lists(I64, max_size=4).map(tuple), I64),
    st.builds(TradingStatus, STAMP, I64, st.text(max_size=4), st.none() | I64, st.none() | I64),
    st.builds(NewsItem, STAMP, st.text(max_size=8), st.lists(I64, max_size=3).map(tuple), st.text(max_size=20)),
)
ROWS = st.lists(st.builds(TapeRow, st.integers(0, 2**63 - 1), STAMP, MESSAGES), max_size=6)


def round_trip(rows: list[TapeRow]) -> list[TapeRow]:
    """Encode and decode."""
    data = CODEC.encode_rows([(row.seq, row.ts, row.body) for row in rows])
    return [TapeRow(*row) for row in CODEC.decode_rows(data)]


@settings(max_examples=150, deadline=None)
@given(ROWS)
@example([])
@example(session_rows(2))
def test_rows_of_any_bits_come_back(rows: list[TapeRow]) -> None:
    """NaN payloads, negative zero, infinities, values of any magnitude, None and empty columns, mixed in one block."""
    assert equal_rows(rows, round_trip(rows))


def test_every_type_of_the_catalogue_has_a_way_in_and_out() -> None:
    """A type that is added to the catalogue is encoded by its fields, whatever they are."""
    samples = {int: 7, str: "x", bool: True, Session: Session(20240102, 1, 2, 3)}
    for message_type in MARKET:
        values = {}
        for field in msgspec.structs.fields(message_type):
            text = str(field.type)
            if "ndarray" in text:
                name = next(name for name in ("float64", "int64", "int32") if name in text)
                values[field.name] = np.array([3, 1, 2], dtype=name)
            elif field.required:
                values[field.name] = samples.get(field.type, (1, 2))
        message = message_type(**values)
        assert equal(message, CODEC.decode(CODEC.encode(message))), message_type


def test_columns_that_come_back_cannot_be_written() -> None:
    """Neither directly nor by switching the flag: no holder of a panel changes another's."""
    panel = CODEC.decode(CODEC.encode(bar(20240102, 5)))
    assert isinstance(panel, BarPanel)
    odd = CODEC.decode(CODEC.encode(QuotePanel(1, np.array([2], "<i4"), *(np.array([np.pi]) for _ in range(4)))))
    assert isinstance(odd, QuotePanel)
    for column in (panel.ids, panel.open, panel.high, panel.close_fx, odd.ids, odd.bid_px):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            column.flags.writeable = True


def test_panels_of_a_whole_universe_share_their_ids() -> None:
    """Dense ids take no bytes, and in memory all panels have the one column, across blocks."""
    one, two = CODEC.decode(CODEC.encode(bar(20240102, 5))), CODEC.decode(CODEC.encode(bar(20240102, 6)))
    assert isinstance(one, BarPanel)
    assert isinstance(two, BarPanel)
    assert one.ids is two.ids
    assert one.ids.tolist() == [0, 1, 2]


def test_a_column_that_stands_for_several_still_does() -> None:
    """Closes alone: open, high and low are the same array, before and after."""
    close = np.array([1.5, 2.5])
    fixed = np.rint(close * 1e8).astype(np.int64)
    ids = np.array([0, 1], np.int32)
    panel = BarPanel(1, 0, 20240102, True, ids, True, close, close, close, close, fixed, None, True)
    back = CODEC.decode(CODEC.encode(panel))
    assert isinstance(back, BarPanel)
    assert equal(panel, back)
    assert back.open is back.high is back.low is back.close


def test_prices_in_cents_are_small() -> None:
    """A minute bar of a whole universe costs a fraction of its 48 bytes."""
    rng = np.random.default_rng(7)
    rows = []
    price = rng.uniform(20, 400, 20)
    ids = np.arange(20, dtype=np.int32)
    for minute in range(60):
        o = np.round(price, 2)
        price = price * np.exp(rng.normal(0, 0.001, 20))
        c = np.round(price, 2)
        volume = np.round(rng.lognormal(8, 1, 20))
        fixed = np.rint(c * 1e8).astype(np.int64)
        top, bottom = np.round(np.maximum(o, c) + 0.01, 2), np.round(np.minimum(o, c) - 0.01, 2)
        ts = minute * 60_000_000_000
        rows.append(TapeRow(minute, ts, BarPanel(ts, 0, 20240102, False, ids, True, o, top, bottom, c, fixed, volume)))
    assert equal_rows(rows, round_trip(rows))
    data = CODEC.encode_rows([(row.seq, row.ts, row.body) for row in rows])
    assert len(zlib.compress(data, 1)) < 60 * 20 * 10


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (np.array([1.0], np.float32), "float32"),
        (np.array([1], np.int64), "int64"),
        (np.array([[1.0]]), r"float64 \(1, 1\)"),
        (np.array([1.0], ">f8"), ">f8"),
        ([1.0], "list"),
    ],
)
def test_a_column_that_is_not_what_its_field_declares_is_refused(column: object, found: str) -> None:
    """It would come back as something else; the sentence names the field."""
    ids = np.array([3], np.int32)
    message = TradePanel(1, ids, column, np.array([1.0]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"TradePanel.price holds {found}"):
        CODEC.encode(message)


def test_a_message_of_another_catalogue_is_refused() -> None:
    """It could not be read back."""
    with pytest.raises(ValueError, match="BarPanel is not in the catalogue"):
        MarketCodec((NewsItem,)).encode(bar(20240102, 1))


def test_a_catalogue_whose_tags_are_not_unique_is_refused() -> None:
    """Bytes would be taken for the wrong type; so would those of a type that has no number."""

    class Twice(Market, tag=18, frozen=True):
        """Has the tag of news."""

    class Named(Market, tag="name", frozen=True):
        """Has a name for a tag."""

    with pytest.raises(ValueError, match="Twice and NewsItem share the tag 18"):
        MarketCodec((NewsItem, Twice))
    with pytest.raises(TypeError, match="Named is no market message with a number"):
        MarketCodec((Named,))
    with pytest.raises(TypeError, match="CancelOrder is no market message"):
        MarketCodec((CancelOrder,))


def test_a_message_with_nothing_but_its_time_comes_back() -> None:
    """The smallest message there can be."""

    class Beat(Market, tag=77, frozen=True):
        """Only a time."""

    codec = MarketCodec((Beat,))
    assert codec.decode(codec.encode(Beat(5))) == Beat(5)


def test_a_field_that_was_added_later_has_its_default() -> None:
    """Tapes of an earlier version stay readable: fields are only ever added at the end, with a default."""

    class Old(Market, tag=78, frozen=True):
        """As it was written."""

        level: int

    class New(Market, tag=78, frozen=True):
        """As it is read."""

        level: int
        note: str = "none"
        column: np.ndarray[tuple[int], np.dtype[np.float64]] | None = None

    assert MarketCodec((New,)).decode(MarketCodec((Old,)).encode(Old(5, 3))) == New(5, 3)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changed_bytes_are_refused_or_give_messages(data: st.DataObject) -> None:
    """Behind a checksum this is not met; still nothing but ValueError may come of it."""
    good = bytearray(CODEC.encode_rows([(row.seq, row.ts, row.body) for row in session_rows(1, bars=2)]))
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        rows = CODEC.decode_rows(bytes(good))
    except ValueError:
        return
    assert all(isinstance(body, Market) for _, _, body in rows)


def test_a_column_that_is_said_to_be_like_an_absent_one_is_refused() -> None:
    """Found at random once: each byte of a small tape with each of a few values, and nothing but ValueError comes."""
    whole = CODEC.encode_rows([(row.seq, row.ts, row.body) for row in session_rows(1, bars=2)])
    refused = 0
    for at in range(len(whole)):
        for value in (45, 46, 49, 50, 0xC0):
            bad = bytearray(whole)
            bad[at] = value
            try:
                CODEC.decode_rows(bytes(bad))
            except ValueError:
                refused += 1
    assert refused


@given(st.binary(max_size=64))
def test_any_bytes_are_refused_or_give_messages(data: bytes) -> None:
    """As above, from nothing."""
    try:
        rows = CODEC.decode_rows(data)
    except ValueError:
        return
    assert all(isinstance(body, Market) for _, _, body in rows)


def test_one_message_is_wanted_where_one_is_decoded() -> None:
    """Two are not silently cut to the first."""
    with pytest.raises(ValueError, match="0 messages where one is wanted"):
        CODEC.decode(CODEC.encode_rows([]))
