"""Dated regulatory fees: known values, borders of the table, rounding per order."""

from __future__ import annotations

import pytest

from actors.broker.fees import (
    CENT,
    FIRST_DATE,
    LAST_DATE,
    SECTION_31,
    TAF,
    FeeScheduleError,
    ceil_cent,
    due,
    rates_on,
    require_dates,
)
from actors.values.fixed import SCALE


@pytest.mark.parametrize(
    ("date", "per_million", "taf"),
    [
        (20120103, 19.20, 0.000090),
        (20120301, 18.00, 0.000095),
        (20120702, 22.40, 0.000119),
        (20130524, 22.40, 0.000119),
        (20130528, 17.40, 0.000119),
        (20140318, 22.10, 0.000119),
        (20180521, 23.10, 0.000119),
        (20180522, 13.00, 0.000119),
        (20210224, 22.10, 0.000119),
        (20210225, 5.10, 0.000119),
        (20220513, 5.10, 0.000130),
        (20230227, 8.00, 0.000145),
        (20240521, 8.00, 0.000166),
        (20240522, 27.80, 0.000166),
        (20250514, 0.0, 0.000166),
        (20260406, 20.60, 0.000195),
        (20261001, 20.60, 0.0),
    ],
)
def test_rates_are_those_of_the_trade_date(date, per_million, taf):
    """A rate holds from its first trade date until the next one's."""
    rates = rates_on(date)
    assert rates.section_31 == round(per_million * SCALE / 1_000_000)
    assert rates.taf == round(taf * SCALE)


@pytest.mark.parametrize("date", [FIRST_DATE - 1, LAST_DATE + 1, 20301231, 19990104])
def test_a_date_outside_the_tables_is_an_error_that_says_so(date):
    """Never a guess: the sentence names the date and the borders, as people write them."""
    told, first, last = (f"{str(d)[:4]}-{str(d)[4:6]}-{str(d)[6:]}" for d in (date, FIRST_DATE, LAST_DATE))
    with pytest.raises(FeeScheduleError, match=f"for {told}.*{first} to {last}"):
        rates_on(date)


def test_a_run_can_be_checked_before_it_starts():
    """The border dates pass; one day more does not."""
    require_dates(FIRST_DATE, LAST_DATE)
    with pytest.raises(FeeScheduleError):
        require_dates(FIRST_DATE, LAST_DATE + 1)


def test_tables_are_in_order_of_date():
    """Bisection needs it."""
    assert list(SECTION_31) == sorted(SECTION_31)
    assert list(TAF) == sorted(TAF)


def test_each_fee_is_rounded_up_to_a_cent_on_its_own():
    """$1,000 at $20.60 a million is 2.06 cents, up to 3; 10 shares at $0.000195 are 0.195 cents, up to 1."""
    rates = rates_on(20260501)
    assert due(1_000 * SCALE * rates.section_31, 10 * SCALE * rates.taf, rates) == 4 * CENT


def test_the_taf_has_a_maximum_per_order():
    """100,000 shares at $0.000166 would be $16.60; the maximum of 2024 is $8.30."""
    rates = rates_on(20240601)
    assert due(0, 100_000 * SCALE * rates.taf, rates) == 830 * CENT


def test_whole_cents_stay_and_nothing_costs_nothing():
    """Rounding up does not add a cent to a whole one."""
    assert ceil_cent(3 * CENT * SCALE) == 3 * CENT
    assert ceil_cent(3 * CENT * SCALE + 1) == 4 * CENT
    assert ceil_cent(0) == 0
