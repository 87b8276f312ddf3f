"""What headlines are about: sentences whose subject is not in doubt, and words that only look like it."""

from __future__ import annotations

import time

import pytest

from actors.predictor.sentiment.flags import FLAGS, flags_of, joined


@pytest.mark.parametrize(
    ("headline", "flags"),
    [
        ("Apple Q3 EPS $1.42 Beats $1.38 Estimate", {"earnings"}),
        ("Microsoft reports second-quarter results above Street", {"earnings"}),
        ("Netflix Raises FY Outlook", {"guidance"}),
        ("Agilent sees Q4 sales below estimates", {"earnings", "guidance"}),
        ("AbbVie to acquire Allergan in $63B deal", {"merger"}),
        ("Company announces spin-off of its services unit", {"merger"}),
        ("FDA approves AbbVie's migraine drug", {"fda"}),
        ("Phase 3 trial misses its goal", {"fda"}),
        ("Board authorizes $100B share repurchase", {"buyback"}),
        ("Coca-Cola lifts quarterly dividend 5%", {"dividend"}),
        ("Judge rules against Qualcomm in antitrust case", {"litigation"}),
        ("Tesla sued over Autopilot crash", {"litigation"}),
        ("Citi upgrades Boeing", {"upgrade"}),
        ("Nvidia cut to Neutral at Goldman", {"downgrade"}),
        ("Morgan Stanley maintains Overweight on Apple, raises price target to $250", {"analyst"}),
        ("Prices offering of senior notes", {"offering"}),
        ("Intel CEO steps down", {"management"}),
        ("Retailer files for Chapter 11 bankruptcy", {"bankruptcy"}),
        ("Ford recalls 500,000 trucks", {"recall"}),
        ("Disney plans layoffs at ESPN", {"layoffs"}),
        ("Board approves 4-for-1 stock split", {"split"}),
        ("The meeting is on Tuesday", set()),
        ("Courtney Cox and the epsilon of Emanuel", set()),  # court, eps, ema: not as words
        ("They sueded a new issue of suedes", set()),
        ("", set()),
        ("决算报告", set()),
    ],
)
def test_a_headline_is_flagged_by_its_words(headline: str, flags: set[str]) -> None:
    """In any case of its letters; parts of words are none."""
    assert set(flags_of(headline)) == flags
    assert flags_of(headline.upper()) == flags_of(headline)


def test_flags_come_in_one_order() -> None:
    """Whatever order their words have."""
    found = flags_of("Lawsuit over merger; dividend and Q1 guidance")
    assert found == tuple(flag for flag in FLAGS if flag in found)
    assert joined([("dividend",), ("earnings", "dividend"), ()]) == ("earnings", "dividend")
    assert joined([]) == ()


@pytest.mark.parametrize("piece", ["to buy ", "names a ", "cuts 1 ", "(", "\\", "a" * 50, " ", "raises its "])
def test_no_text_takes_long(piece: str) -> None:
    """A hundred thousand characters that almost fit a rule; only the first thousand are looked at."""
    text = piece * (100_000 // len(piece))
    begun = time.perf_counter()
    flags_of(text)
    assert time.perf_counter() - begun < 0.25
