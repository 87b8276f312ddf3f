"""Times in scripts: offsets are needed unless a zone is named, dates belong to the exchange."""

from __future__ import annotations

import re

import pytest

from actors.values.time import format_ts
from daemon.kernel.errors import OperatorError
from daemon.system.when import TimeReader

READ = TimeReader(None, "America/New_York")


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-01-02T14:30:00Z", "2024-01-02T14:30:00.000Z"),
        ("2024-01-02t14:30:00z".upper(), "2024-01-02T14:30:00.000Z"),
        ("2024-01-02 14:30Z", "2024-01-02T14:30:00.000Z"),
        ("2024-01-02T09:30:00-05:00", "2024-01-02T14:30:00.000Z"),
        ("2024-07-02T09:30:00-0400", "2024-07-02T13:30:00.000Z"),
        ("2024-01-02T14:30:00.250Z", "2024-01-02T14:30:00.250Z"),
        ("2024-01-02T14:30:00.000000001Z", "2024-01-02T14:30:00.000000001Z"),
        ("2024-01-02", "2024-01-02T05:00:00.000Z"),
        ("2024-07-02", "2024-07-02T04:00:00.000Z"),
        ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500Z"),
    ],
)
def test_times_are_read_to_the_nanosecond(text: str, utc: str) -> None:
    """Offsets, fractions, dates alone in winter and summer, before the epoch."""
    assert format_ts(READ(text)) == utc


def test_a_named_zone_stands_in_for_offsets_but_not_for_dates() -> None:
    """``--tz`` speaks of times of day; a date is the exchange's whatever the operator's zone."""
    read = TimeReader("Asia/Tokyo", "America/New_York")
    assert format_ts(read("2024-01-02T23:30:00")) == "2024-01-02T14:30:00.000Z"
    assert format_ts(read("2024-01-02T23:30:00Z")) == "2024-01-02T23:30:00.000Z"
    assert format_ts(read("2024-01-02")) == "2024-01-02T05:00:00.000Z"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("noon", "'noon' is not a time: write RFC 3339"),
        ("2024-1-2", "is not a time: write RFC 3339"),
        ("2024-02-30", "'2024-02-30' is not a time: day is out of range"),
        ("2024-01-02T25:00:00Z", "is not a time: hour must be in 0..23"),
        ("2024-01-02T14:30:00", "has no offset: write one, or name the zone with --tz"),
    ],
)
def test_what_is_no_time_is_refused_with_the_reason(text: str, sentence: str) -> None:
    """One sentence that the script's reader puts behind file and line."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        READ(text)


def test_an_unknown_zone_is_one_sentence() -> None:
    """A zone that does not exist, and one that is a path."""
    for name in ("Mars/Olympus", "/etc/passwd", ""):
        with pytest.raises(OperatorError, match="there is no time zone"):
            TimeReader(name, "UTC")
