"""What a headline is about, by rules on its words: earnings, guidance, mergers, regulators, lawsuits and the like.

A flag says that the words are there, not that the event is: "no plans to acquire" is flagged ``merger``. The rules are
plain alternatives of words between word boundaries, so that a text of any content is looked through in linear time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_RULES: Final[Mapping[str, tuple[str, ...]]] = {
    "earnings": (
        r"earnings",
        r"eps",
        r"q[1-4]",
        r"(?:first|second|third|fourth)[- ]quarter",
        r"quarterly (?:results?|profits?|loss(?:es)?|revenues?|sales)",
        r"(?:beats?|miss(?:es)?|tops?) (?:estimates?|expectations?|views?)",
    ),
    "guidance": (
        r"guidance",
        r"outlook",
        r"forecasts?",
        r"(?:raises?|cuts?|lowers?|lifts?|reaffirms?|narrows?|withdraws?) (?:its )?(?:fy|full[- ]year|q[1-4]|20\d\d)",
        r"sees (?:fy|full[- ]year|q[1-4]|20\d\d)",
        r"profit warning",
        r"preannounces?",
    ),
    "merger": (
        r"mergers?",
        r"merges?",
        r"merging",
        r"m&a",
        r"acquires?",
        r"acquired",
        r"acquisitions?",
        r"to acquire",
        r"to buy .{1,60} for \$\w*",
        r"takeovers?",
        r"buyouts?",
        r"tender offer",
        r"spin[- ]?offs?",
        r"divests?",
        r"divestitures?",
    ),
    "fda": (
        r"fda",
        r"ema",
        r"phase (?:1|2|3|i|ii|iii)",
        r"clinical (?:trials?|hold)",
        r"complete response letter",
        r"breakthrough (?:therapy|designation)",
        r"510\(k\)",
        r"advisory committee",
    ),
    "buyback": (
        r"buybacks?",
        r"buy[- ]backs?",
        r"share repurchases?",
        r"stock repurchases?",
        r"repurchase (?:program|plan|authorization)",
        r"repurchases? (?:up to )?\$\w*",
    ),
    "dividend": (r"dividends?", r"payouts?", r"ex-div(?:idend)?"),
    "litigation": (
        r"lawsuits?",
        r"sues?",
        r"sued",
        r"suing",
        r"class[- ]action",
        r"litigation",
        r"court",
        r"judges?",
        r"settle(?:s|ment|d)?",
        r"indict(?:ed|ment)",
        r"subpoenas?",
        r"antitrust",
        r"fined",
        r"patent infringement",
        r"(?:sec|doj|ftc) (?:probes?|investigation|charges?|complaint)",
    ),
    "upgrade": (r"upgrades?", r"upgraded", r"raised to (?:buy|outperform|overweight|strong buy)"),
    "downgrade": (r"downgrades?", r"downgraded", r"cut to (?:sell|underperform|underweight|hold|neutral)"),
    "analyst": (
        r"price targets?",
        r"pt (?:raised|cut|lowered|to)",
        r"(?:raises?|cuts?|lowers?) (?:pt|target)",
        r"initiates?(?: coverage)?",
        r"initiated (?:at|with)",
        r"reiterates?",
        r"maintains? (?:buy|sell|hold|neutral|outperform|underperform|overweight|underweight|market perform)",
    ),
    "offering": (
        r"(?:public|secondary|stock|share|equity|notes?|debt|bond) offering",
        r"prices? (?:an? )?offering",
        r"senior notes",
        r"convertible notes",
        r"ipo",
        r"dilut(?:es?|ion|ive)",
    ),
    "management": (
        r"(?:ceo|cfo|coo|cto|chairman|president) (?:steps? down|resigns?|retires?|departs?|to leave|to retire|out)",
        r"(?:names?|appoints?|hires?) .{0,60}(?:ceo|cfo|coo|cto|chairman|president)",
        r"new (?:ceo|cfo|coo|cto|chairman)",
        r"resigns? as",
    ),
    "bankruptcy": (r"bankruptcy", r"chapter (?:11|7)", r"insolven(?:t|cy)", r"going concern", r"defaults? on"),
    "recall": (r"recalls?", r"recalled", r"data breach", r"outages?", r"safety (?:probe|defect)"),
    "layoffs": (r"layoffs?", r"lay(?:s|ing)? off", r"job cuts?", r"cuts? .{0,20}jobs", r"restructuring"),
    "split": (r"stock split", r"share split", r"(?:reverse|forward) split", r"\d+[- ]for[- ]\d+ split"),
}

_COMPILED: Final = tuple(
    (name, re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)) for name, words in _RULES.items()
)
FLAGS: Final = tuple(_RULES)
"""Every flag there is, in the order in which they are told."""
LOOKED_AT: Final = 1_000
"""Characters of a text that are looked at."""


def flags_of(text: str) -> tuple[str, ...]:
    """Return what a headline is about, in the order of :data:`FLAGS`; nothing where no rule fits."""
    head = text[:LOOKED_AT]
    return tuple(name for name, rule in _COMPILED if rule.search(head))


def joined(flags: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return every flag that stands in any of them, once, in the order of :data:`FLAGS`."""
    there = {flag for some in flags for flag in some}
    return tuple(name for name in FLAGS if name in there)
