"""Every field of every event finds its converter: money as decimals, columns by what they hold."""

from __future__ import annotations

import typing

from actors.messages.catalogue import EVENTS
from actors.messages.columns import pack_f64, pack_i32
from actors.messages.portfolio import PositionChanged, TargetsProposed
from actors.reporter.events import FIXED_FIELDS, STAMP_FIELDS, SYMBOL_COLUMNS, EventWriter
from actors.values.universe import Universe

NO_AMOUNTS = (
    "ts",
    "symbol",
    "side",
    "decision",
    "session",
    "new_symbol",
    "leg",
    "days",
    "ex_date",
    "pay_date",
    "numerator",
    "denominator",
    "cut_buy",
    "cut_sell",
    "trained_from",
    "trained_to",
    "count",
    "seed",
    "restarts",
    "until_session",
    "seq",
)
FLOAT_COLUMNS = (
    "score",
    "confidence",
    "p_up",
    "expected_bps",
    "weights",
    "features",
    "realized",
    "realized_tradable",
    "cut_correlation",
    "cut_heat",
    "p",
    "change",
    "dispersion",
    "divergence",
    "n",
    "volume",
    "today",
    "norm",
    "unusual",
    "parts",
)


def test_no_field_is_written_as_something_it_is_not() -> None:
    """A whole number is an amount, a stamp or a count; a column is symbols, amounts or floats."""
    unknown = []
    for event in EVENTS:
        for name, kind in typing.get_type_hints(event).items():
            if kind in (int, int | None) and name not in {*FIXED_FIELDS, *STAMP_FIELDS, *NO_AMOUNTS}:
                unknown.append(f"{event.__name__}.{name}")
            if kind in (bytes, bytes | None) and name not in {*SYMBOL_COLUMNS, *FLOAT_COLUMNS, "price"}:
                unknown.append(f"{event.__name__}.{name}")
    assert unknown == []


def test_prices_and_fees_of_a_booking_are_decimals() -> None:
    """They were scaled integers once."""
    event = PositionChanged(
        portfolio="main",
        exec_id="O-1-1",
        symbol=0,
        qty=10 * 10**8,
        cost=1000 * 10**8,
        realized=0,
        realized_fifo=0,
        cash=0,
        opened=("O-1-1", 10 * 10**8),
        closed=(),
        postings=(("cash", -1000 * 10**8), ("securities", 1000 * 10**8)),
        px=100_12345678,
        opened_fees=25_000_000,
    )
    values = EventWriter(Universe(symbols=("AAA",))).values(event)
    assert (bytes(values["px"]), bytes(values["opened_fees"])) == (b"100.12345678", b"0.25")


def test_names_left_alone_are_symbols() -> None:
    """An odd number of them is no column of floats."""
    event = TargetsProposed("main", "s", 1, pack_i32([0]), pack_f64([0.5]), 0, 0, "signal", abstained=pack_i32([1]))
    values = EventWriter(Universe(symbols=("AAA", "BBB"))).values(event)
    assert (values["ids"], values["weights"], values["abstained"]) == (["AAA"], [0.5], ["BBB"])
