"""Fixed-point numbers: exact, rounded half to even once, refused where they cannot be."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.values.fixed import (
    FIXED_MAX,
    PRICE_MAX,
    SCALE,
    FixedPointError,
    div_round,
    fmt,
    mul,
    mul_ratio,
    parse_fixed,
    to_fixed,
    to_float,
)

ANY = st.integers(-(10**30), 10**30)
FIXED = st.integers(-FIXED_MAX, FIXED_MAX)
NOT_ZERO = ANY.filter(bool)


def half_even(value: Fraction) -> int:
    """Round by another library than the one under test."""
    with localcontext() as context:
        context.prec = 200
        exact = Decimal(value.numerator) / Decimal(value.denominator)
        return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


@given(ANY, NOT_ZERO)
@example(5, 2)
@example(-5, 2)
@example(7, -2)
@example(-1, 2)
def test_division_rounds_half_to_even(numerator: int, denominator: int) -> None:
    """Decimal and Fraction agree, for either sign and any size."""
    assert div_round(numerator, denominator) == half_even(Fraction(numerator, denominator))
    assert div_round(numerator, denominator) == round(Fraction(numerator, denominator))


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**9))
def test_exact_ties_go_to_the_even_neighbour(whole: int, half: int) -> None:
    """A tie is what random numbers never hit."""
    assert div_round((2 * whole + 1) * half, 2 * half) == whole + (whole & 1)


def test_division_by_zero_is_an_error() -> None:
    """There is no price that means infinity."""
    with pytest.raises(ZeroDivisionError):
        div_round(1, 0)


@given(ANY, ANY)
@example(SCALE // 2, 1)
@example(SCALE // 2, 3)
@example(-SCALE // 2, 1)
def test_products_round_once_at_the_eighth_decimal(a: int, b: int) -> None:
    """And commute; whole shares times a price are exact."""
    assert mul(a, b) == mul(b, a) == round(Fraction(a * b, SCALE))
    assert mul(a, 7 * SCALE) == 7 * a


@given(ANY, ANY, NOT_ZERO)
def test_a_ratio_is_applied_before_rounding(value: int, numerator: int, denominator: int) -> None:
    """The product is exact, whatever its size; a pro rata of the whole is the whole."""
    assert mul_ratio(value, numerator, denominator) == round(Fraction(value * numerator, denominator))
    assert mul_ratio(value, denominator, denominator) == value


@given(FIXED)
def test_text_round_trips_and_is_plain(value: int) -> None:
    """No exponent, no trailing zeros, no bare point, and the same value back."""
    text = fmt(value)
    assert parse_fixed(text) == value
    assert Decimal(text).scaleb(8) == value
    assert set(text) <= set("-0123456789.")
    assert not ("." in text and text.endswith(("0", ".")))
    assert not text.startswith(("-.", "."))
    assert text != "-0"


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        ("101.25", 10_125_000_000),
        ("-0.00000001", -1),
        (" 5 ", 5 * SCALE),
        ("1e-8", 1),
        ("1e2", 100 * SCALE),
        ("0.10" + "0" * 40, SCALE // 10),
        ("0e-99", 0),
        ("0e99", 0),
        (3, 3 * SCALE),
        (0.1, SCALE // 10),
        (np.float64(1.1), 110_000_000),
        (Decimal("2.5"), 250_000_000),
        ("92233720368.54775807", FIXED_MAX),
        ("-92233720368.54775807", -FIXED_MAX),
    ],
)
def test_a_humans_number_is_taken_exactly(given_value: Any, expected: int) -> None:
    """As text, int, Decimal, or the shortest decimal of a float."""
    assert parse_fixed(given_value) == expected


@pytest.mark.parametrize(
    ("given_value", "complaint"),
    [
        (True, "not a number"),
        (None, "not a number"),
        ("", "not a number"),
        ("ten", "not a number"),
        ("1,000", "not a number"),
        ([1], "not a number"),
        ("nan", "not a finite number"),
        ("sNaN", "not a finite number"),
        (float("nan"), "not a finite number"),
        (float("inf"), "not a finite number"),
        ("-Infinity", "not a finite number"),
        ("0.000000001", "more than 8 decimals"),
        ("1e-999999", "more than 8 decimals"),
        ("0.1" + "0" * 30 + "1", "more than 8 decimals"),
        ("99999999999999999999.000000001", "too large"),
        ("92233720368.54775808", "too large"),
        ("1e11", "too large"),
        ("-1e999999", "too large"),
        (1e300, "too large"),
    ],
)
def test_what_is_not_a_fixed_point_number_is_refused_and_shown(given_value: Any, complaint: str) -> None:
    """Never rounded, never cut; and nothing gets in that no message can carry out."""
    with pytest.raises(FixedPointError, match=complaint):
        parse_fixed(given_value)


@given(st.decimals(allow_nan=False, allow_infinity=False))
@example(Decimal("1.00000000000000000000000000000000000001"))
def test_parsing_is_exact_or_refused(value: Decimal) -> None:
    """Whatever is accepted is the very number that was written."""
    try:
        parsed = parse_fixed(str(value))
    except FixedPointError:
        scaled = Fraction(value) * SCALE
        assert scaled.denominator != 1 or abs(scaled) > FIXED_MAX
    else:
        assert Fraction(parsed, SCALE) == Fraction(value)


@given(st.integers(-(2**51), 2**51))
@example(2**51 - 1)
@example(1)
def test_every_price_up_to_22_million_survives_as_a_float(value: int) -> None:
    """A vendor's float names the decimal that was meant.

    Of k units the float is k / 1e8 but for a part in 2**53, and so is its product with 1e8 before it is rounded to an
    eighth at most: together below half a unit as long as k is below 2**51.
    """
    assert to_fixed(value / SCALE) == value
    assert to_fixed(to_float(value)) == value
    assert to_fixed(np.float64(value / SCALE)) == value


@given(st.integers(2**51, int(PRICE_MAX) * SCALE))
@example(4_503_599_627_370_495)
@example(int(PRICE_MAX) * SCALE)
def test_prices_up_to_the_bound_miss_by_one_unit_at_most(value: int) -> None:
    """Floats are up to 1.5e-8 apart there; whole amounts are still exact."""
    assert abs(to_fixed(to_float(value)) - value) <= 1
    whole = value // SCALE * SCALE
    assert to_fixed(to_float(whole)) == whole


def test_a_narrow_float_is_multiplied_in_full_width() -> None:
    """24 bits cannot hold a price times 1e8."""
    assert to_fixed(np.float32(123.456)) == round(float(np.float32(123.456)) * SCALE)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), PRICE_MAX + 1, -PRICE_MAX - 1, 1e300])
def test_a_float_without_eight_decimals_is_refused(value: float) -> None:
    """NaN compares false with everything, so it must not slip through."""
    with pytest.raises(FixedPointError, match="is not a finite number below 90,000,000"):
        to_fixed(value)
