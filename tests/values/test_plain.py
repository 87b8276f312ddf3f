"""Amounts of money as a sentence compares them."""

from __future__ import annotations

import pytest

from actors.values.plain import in_cents


@pytest.mark.parametrize(
    ("amounts", "said"),
    [
        pytest.param(("50521.822", "37956.53656835"), ("50521.82", "37956.54"), id="rounded"),
        pytest.param(("8000", "19962.8"), ("8000", "19962.80"), id="a whole amount stays, others have cents"),
        pytest.param(("0.125", "0.135"), ("0.12", "0.14"), id="half to even"),
        pytest.param(("100.004", "100.001"), ("100.004", "100.001"), id="what would look alike keeps its digits"),
        pytest.param(("100.0049", "100"), ("100.0049", "100"), id="also beside a whole amount"),
        pytest.param(("100.001", "100.001"), ("100.00", "100.00"), id="what is alike looks alike"),
        pytest.param(("0.00000001",), ("0.00000001",), id="something is not nothing"),
        pytest.param(("-3.456",), ("-3.46",), id="below zero"),
        pytest.param(("9" * 40 + ".125",), ("9" * 40 + ".12",), id="more digits than a default context has"),
        pytest.param(("Infinity", "1.5"), ("Infinity", "1.5"), id="no number of cents"),
    ],
)
def test_amounts_in_a_sentence_have_cents_unless_that_hides_something(
    amounts: tuple[str, ...], said: tuple[str, ...]
) -> None:
    """Rounded for people; the exact value and limit stand beside the sentence."""
    assert in_cents(*amounts) == said
