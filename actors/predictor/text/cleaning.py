"""Texts as they come become texts a model can be asked about, in time linear in their length.

What feeds deliver holds markup, addresses, control characters, half surrogates and sometimes nothing. None of it may
crash a tokenizer, take long, or use up the few tokens a model reads.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from typing import Final

RAW_MAX: Final = 200_000
"""Characters looked at; what lies behind them is as good as unread."""
CLEAN_MAX: Final = 4_096
"""Characters kept: more than any model reads in its tokens."""
MARKS_MAX: Final = 4
"""Combining marks kept in a row: sorting long runs of them costs quadratic time in normalisers."""

_HIDDEN: Final = re.compile(r"<(/?)(script|style)\b[^<>]{0,1000}>", re.IGNORECASE)
_COMMENT: Final = re.compile(r"<!--|-->")
_TAG: Final = re.compile(r"</?[A-Za-z!?][^<>]{0,1000}>")
_NUMBER: Final = re.compile(r"&#([0-9]{100,})")
"""A character by a number of more digits than any has: Python refuses to read numbers of thousands of them."""
_NUMBER_DIGITS: Final = 8
_ADDRESS: Final = re.compile(r"(?:https?://|www\.)\S{1,2000}", re.IGNORECASE)
_LATIN_END: Final = 0x0250
_LATIN_MORE: Final = (0x1E00, 0x1F00)


def clean_text(text: str) -> str:
    """Return a text without markup, addresses, control characters and surplus space; may be empty.

    A character that is no text (control, format, half of a surrogate pair, unassigned) becomes a space, but for
    invisible format characters inside words, which vanish. At most ``CLEAN_MAX`` characters are returned.
    """
    raw = text[:RAW_MAX]
    if "&" in raw:
        raw = html.unescape(_NUMBER.sub(_shortened, raw))
    if "<" in raw:
        raw = _without(_without(raw, _COMMENT, _opens_comment), _HIDDEN, _opens_hidden)
        raw = _TAG.sub(" ", raw)
    raw = _ADDRESS.sub(" ", raw)
    if not raw.isascii() or not raw.isprintable():
        raw = _characters(raw)
    return " ".join(raw.split())[:CLEAN_MAX].rstrip()


def says_something(cleaned: str) -> bool:
    """Whether a model of English can be asked about a cleaned text: it has letters, and half of them are Latin."""
    latin = other = 0
    for character in cleaned:
        if character.isalpha():
            code = ord(character)
            if code < _LATIN_END or _LATIN_MORE[0] <= code < _LATIN_MORE[1]:
                latin += 1
            else:
                other += 1
    return latin > 0 and latin >= other


def _shortened(number: re.Match[str]) -> str:
    """Return a character's number without the digits that say nothing, still beyond all characters where it was."""
    return f"&#{number.group(1).lstrip('0')[:_NUMBER_DIGITS] or '0'}"


def _opens_comment(mark: re.Match[str]) -> bool:
    return mark.group() == "<!--"


def _opens_hidden(mark: re.Match[str]) -> bool:
    return not mark.group(1)


def _without(text: str, marks: re.Pattern[str], opens: Callable[[re.Match[str]], bool]) -> str:
    """Return a text without what lies between an opening mark and the next closing one; one pass, no backtracking.

    What is opened and never closed stays: it is more likely prose than markup.
    """
    kept = []
    at = 0
    begun: re.Match[str] | None = None
    for mark in marks.finditer(text):
        if opens(mark):
            begun = begun or mark
        elif begun is not None:
            kept.append(text[at : begun.start()])
            at = mark.end()
            begun = None
    kept.append(text[at:])
    return " ".join(kept)


def _characters(text: str) -> str:
    """Return a text of characters that are text, with no long runs of combining marks."""
    kept = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category in {"Mn", "Me"}:
            marks += 1
            if marks <= MARKS_MAX:
                kept.append(character)
            continue
        marks = 0
        if category == "Cf":
            continue
        kept.append(" " if category[0] == "C" else character)
    return "".join(kept)
