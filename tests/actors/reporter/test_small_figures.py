"""Figures that would be rounded to nothing say what they are; what is 0 has no sign."""

from __future__ import annotations

import pytest

from actors.reporter.report import brief
from actors.reporter.summary import _pct


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [
        (None, "n/a"),
        (0.0, "0.0 %"),
        (1.08, "108.0 %"),
        (-0.00146, "-0.1 %"),
        (-0.00014686, "-0.01 %"),
        (0.0003, "0.03 %"),
        (2e-6, "0.0002 %"),
        (-1e-9, "0.0 %"),
    ],
)
def test_a_return_of_a_morning_is_not_0(fraction: float | None, shown: str) -> None:
    """In the block on the terminal and on the report's first tiles."""
    assert _pct(fraction) == shown
    assert brief(fraction) == shown.replace("-", "\u2212")
