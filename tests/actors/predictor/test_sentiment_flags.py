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


PHRASES = {
    "earnings": """earnings; EPS of 3; Q1; Q4 call; first-quarter; second quarter; third-quarter; fourth quarter;
        quarterly results; quarterly result; quarterly profit; quarterly loss; quarterly losses; quarterly revenue;
        quarterly sales; beats estimates; beat estimate; misses expectations; miss views; tops view; top expectation""",
    "guidance": """guidance; outlook; forecast; forecasts; raises FY; cuts its full-year; lowers full year; lifts Q2;
        reaffirms 2024; narrows FY; withdraws its FY; raise Q1; sees FY; sees 2025; sees Q3; profit warning;
        preannounces; preannounce""",
    "merger": """merger; mergers; merges with; merge; merging; M&A; acquires; acquire; acquired; acquisition;
        acquisitions; to acquire; to buy Acme for $3B; takeover; takeovers; buyout; buyouts; tender offer; spin-off;
        spinoffs; spin off; divests; divest; divestiture; divestitures""",
    "fda": """FDA; EMA; Phase 1; phase 2; phase 3; phase I; phase II; phase III; clinical trial; clinical trials;
        clinical hold; complete response letter; breakthrough therapy; breakthrough designation; 510(k);
        advisory committee""",
    "buyback": """buyback; buybacks; buy-back; buy backs; share repurchase; share repurchases; stock repurchase;
        repurchase program; repurchase plan; repurchase authorization; repurchases up to $3B; repurchase $1B""",
    "dividend": "dividend; dividends; payout; payouts; ex-dividend; ex-div",
    "litigation": """lawsuit; lawsuits; sues; sue; sued; suing; class action; class-action; litigation; court; judge;
        judges; settle; settles; settled; settlement; indicted; indictment; subpoena; subpoenas; antitrust; fined;
        patent infringement; SEC probe; DOJ investigation; FTC complaint; SEC charges; SEC charge; SEC probes""",
    "upgrade": """upgrade; upgrades; upgraded; raised to buy; raised to outperform; raised to overweight;
        raised to strong buy""",
    "downgrade": """downgrade; downgrades; downgraded; cut to sell; cut to underperform; cut to underweight;
        cut to hold; cut to neutral""",
    "analyst": """price target; price targets; PT raised; PT cut; PT lowered; PT to 5; raises PT; cuts target;
        lowers PT; raise target; initiates; initiate; initiates coverage; initiated at; initiated with; reiterates;
        reiterate; maintains buy; maintain sell; maintains hold; maintains neutral; maintains outperform;
        maintains underperform; maintains overweight; maintains underweight; maintains market perform""",
    "offering": """public offering; secondary offering; stock offering; share offering; equity offering; note offering;
        notes offering; debt offering; bond offering; prices an offering; price offering; prices a offering;
        senior notes; convertible notes; IPO; dilutes; dilution; dilutive; dilute""",
    "management": """CEO steps down; CFO resigns; COO retires; CTO departs; chairman to leave; president to retire;
        CEO out; CEO step down; names Jane Doe CEO; appoints a new president; hires its CFO; name J. COO;
        appoint J. CTO; hire J. chairman; new CEO; new CFO; new COO; new CTO; new chairman; resigns as; resign as""",
    "bankruptcy": """bankruptcy; Chapter 11; chapter 7; insolvent; insolvency; going concern; defaults on;
        default on""",
    "recall": """recall; recalls; recalled; data breach; outage; outages; safety probe; safety defect""",
    "layoffs": """layoff; layoffs; lay off; lays off; laying off; job cut; job cuts; cuts 3,000 jobs; cut 5 jobs;
        restructuring""",
    "split": """stock split; share split; reverse split; forward split; 4-for-1 split; 2 for 1 split""",
}


@pytest.mark.parametrize("flag", FLAGS)
def test_every_phrase_of_a_rule_is_found_among_other_words(flag: str) -> None:
    """Alone, within a sentence, between marks; glued to other letters it is another word."""
    for phrase in (" ".join(one.split()) for one in PHRASES[flag].split(";")):
        for text in (phrase, f"Say {phrase} today", f'"{phrase}", it said', phrase.upper()):
            assert flag in flags_of(text), text
        assert flag not in flags_of(f"x{phrase}x".replace(" ", "x").replace("-", "x")), phrase


def test_a_rule_does_not_reach_over_a_whole_text() -> None:
    """Sixty characters may stand between who buys and for how much, and twenty between a cut and its jobs."""
    assert flags_of(f"to buy {'a' * 60} for $3") == ("merger",)
    assert flags_of(f"to buy {'a' * 61} for $3") == ()
    assert flags_of(f"cuts {'a' * 18} jobs") == ("layoffs",)
    assert flags_of(f"cuts {'a' * 22} jobs") == ()
    assert flags_of(f"names {'a' * 58} CEO") == ("management",)
    assert flags_of(f"names {'a' * 62} CEO") == ()
    assert flags_of(f"{'a ' * 480}dividend") == ("dividend",)
    assert flags_of(f"{'a ' * 497}dividend") == ()  # of a thousand characters the last two letters are missing
