"""Regulatory fees on sales of US equities, by trade date: SEC Section 31 and FINRA's Trading Activity Fee.

Sources
-------
Section 31 (15 U.S.C. 78ee), dollars per million of covered sales, by charge date. Each row is an SEC fee rate advisory
and the order behind it ("Order Making Fiscal Year N Annual Adjustments to Transaction Fee Rates", Federal Register):
FY2011 advisory 5 (2010-12-22) 19.20 · FY2012 advisory 5 (2012-01-20) 18.00, mid-year adjustment 22.40 from 2012-04-01
· FY2013 17.40 · FY2014 22.10 (FINRA Information Notice 3/3/14) · FY2015 18.40 · FY2016 21.80 (Notice 3/15/16) · FY2017
23.10 · FY2018 advisory 3 13.00 · FY2019 advisory 2 20.70 · FY2020 22.10 (85 FR 2218) · FY2021 5.10 · FY2022 22.90 ·
FY2023 8.00 (88 FR 5051) · FY2024 27.80 (89 FR 29402) · FY2025 0.00 (90 FR 15492) · FY2026 20.60 (91 FR 10643).

TAF (FINRA By-Laws, Schedule A, section 1), dollars per share of a covered equity sale and the maximum per trade:
Regulatory Notice 11-27 · Notice 12-06 · 77 FR 27527 (from 2012-07-01) · SR-FINRA-2020-032, 85 FR 66592 (2022 to 2024)
· SR-FINRA-2024-019 (2026) · SR-FINRA-2026-021, release 34-106409 (no fee from 2026-10-01 to 2026-12-31).

Both are charged to the customer per order, each rounded up to a cent (``semantics.md`` section 3). The tables end where
our knowledge ends; a date outside them is an error and never a guess.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from typing import Final, NamedTuple

from actors.values.fixed import SCALE
from daemon.kernel.errors import OperatorError

CENT: Final = SCALE // 100

SECTION_31: Final[tuple[tuple[int, int], ...]] = (
    (20110121, 1920),
    (20120221, 1800),
    (20120401, 2240),
    (20130525, 1740),
    (20140318, 2210),
    (20150214, 1840),
    (20160216, 2180),
    (20170704, 2310),
    (20180522, 1300),
    (20190416, 2070),
    (20200218, 2210),
    (20210225, 510),
    (20220514, 2290),
    (20230227, 800),
    (20240522, 2780),
    (20250514, 0),
    (20260404, 2060),
)
"""(first trade date, rate in 1e-8 dollars per dollar sold); 2060 is $20.60 per million."""

TAF: Final[tuple[tuple[int, int, int], ...]] = (
    (20110701, 9_000, 450 * CENT),
    (20120301, 9_500, 475 * CENT),
    (20120701, 11_900, 595 * CENT),
    (20220101, 13_000, 649 * CENT),
    (20230101, 14_500, 727 * CENT),
    (20240101, 16_600, 830 * CENT),
    (20260101, 19_500, 979 * CENT),
    (20261001, 0, 0),
)
"""(first trade date, 1e-8 dollars per share sold, maximum per order in 1e-8 dollars)."""

FIRST_DATE: Final = max(SECTION_31[0][0], TAF[0][0])
LAST_DATE: Final = 20261130
"""Last trade date for which both rates are known."""

_SEC_DATES: Final = [row[0] for row in SECTION_31]
_TAF_DATES: Final = [row[0] for row in TAF]


class FeeScheduleError(OperatorError):
    """A trade date for which no regulatory rate is on file."""


class RegulatoryRates(NamedTuple):
    """Rates of one trade date: 1e-8 per dollar sold, 1e-8 dollars per share sold, 1e-8 dollars at most per order."""

    section_31: int
    taf: int
    taf_max: int


@lru_cache(maxsize=64)
def rates_on(date: int) -> RegulatoryRates:
    """Return the rates of a trade date (YYYYMMDD).

    Raises:
        FeeScheduleError: the date lies outside the tables.
    """
    if not FIRST_DATE <= date <= LAST_DATE:
        day, first, last = (f"{d // 10_000}-{d // 100 % 100:02d}-{d % 100:02d}" for d in (date, FIRST_DATE, LAST_DATE))
        message = f"no SEC and TAF rates are on file for {day}: the tables reach from {first} to {last}"
        raise FeeScheduleError(
            message, code="NO_FEE_SCHEDULE", remedy="choose dates inside or switch off broker.regulatory_fees"
        )
    _, section_31 = SECTION_31[bisect_right(_SEC_DATES, date) - 1]
    _, taf, taf_max = TAF[bisect_right(_TAF_DATES, date) - 1]
    return RegulatoryRates(section_31, taf, taf_max)


def require_dates(first: int, last: int) -> None:
    """Check at composition that a run's trade dates (YYYYMMDD, inclusive) lie inside the tables.

    Raises:
        FeeScheduleError: one of them does not.
    """
    rates_on(first)
    rates_on(last)


def ceil_cent(raw: int) -> int:
    """Round an amount in units of 1e-16 up to a whole cent; answer in units of 1e-8."""
    return -(-raw // (SCALE * CENT)) * CENT


def due(section_31_raw: int, taf_raw: int, rates: RegulatoryRates) -> int:
    """Return what an order owes in all, units of 1e-8.

    Args:
        section_31_raw: unrounded sum over the order's fills, units of 1e-16; rounded up on its own.
        taf_raw: the same of the TAF.
        rates: of the last fill's date; its maximum caps the TAF.
    """
    return ceil_cent(section_31_raw) + ceil_cent(min(taf_raw, rates.taf_max * SCALE))
