"""Texts of feeds become texts a model can be asked about."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.predictor.text.cleaning import CLEAN_MAX, MARKS_MAX, RAW_MAX, clean_text, says_something


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("", ""),
        ("Profit rose 5%", "Profit rose 5%"),
        ("  Profit \t rose\r\n5% ", "Profit rose 5%"),
        ("<b>Profit</b><br/>rose", "Profit rose"),
        ("AT&amp;T &lt;T&gt; rises", "AT&T rises"),
        ("EPS &#36;1.20 &gt; $1.10", "EPS $1.20 > $1.10"),
        ("margin < 5 and debt > 3", "margin < 5 and debt > 3"),
        ("<script>alert('rise')</script>Profit fell", "Profit fell"),
        ("<style>p {color: red}</style>Profit <!-- rose --> fell", "Profit fell"),
        ("<SCRIPT src=x>a<b</SCRIPT>Profit", "Profit"),
        ("<script>profit without end", "profit without end"),
        ("See https://t.co/AbC?x=1 now", "See now"),
        ("www.example.com/profit rises", "rises"),
        ("$AAPL #earnings @ceo up", "$AAPL #earnings @ceo up"),
        ("Pro\u00adfit\u200b ro\u2060se", "Profit rose"),
        ("\x00Profit\x07rose\x1b[31m", "Profit rose [31m"),
        ("\u202eprofit\u202c rose", "profit rose"),
        ("Profit\ud800rose", "Profit rose"),
        ("Nestl\u00e9 Stra\u00dfe", "Nestl\u00e9 Stra\u00dfe"),
        ("e\u0301" + "\u0301" * 50, "e" + "\u0301" * MARKS_MAX),
        ("e\u0301" * 50, "e\u0301" * 50),  # marks are counted for each letter
        (("a" + "\u0301" * (MARKS_MAX + 1)) * 2, ("a" + "\u0301" * MARKS_MAX) * 2),
    ],
)
def test_a_text_is_cleaned(raw: str, clean: str) -> None:
    """Markup, addresses, entities, control and format characters, surplus space."""
    assert clean_text(raw) == clean


@given(st.text(alphabet=st.characters(), max_size=500))
@example("<" * 100_000)
@example("<script>" * 20_000)
@example("<!--" * 30_000)
@example("&" * 100_000)
@example("&#x" * 50_000)
@example("http://" * 20_000)
@example("www." * 30_000)
@example("e" + "\u0301\u0327" * 60_000)
@example("a" * 1_000_000)
@settings(max_examples=300, deadline=None)
def test_what_comes_out_can_be_asked_about(raw: str) -> None:
    """Bounded, one line, no character that is no text, encodable; hostile texts of a million characters, too."""
    found = clean_text(raw)
    assert len(found) <= CLEAN_MAX
    assert found == " ".join(found.split())
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn"} for c in found)
    found.encode("utf-8")


@pytest.mark.parametrize(
    ("number", "clean"),
    [
        ("9" * 5_000, "\ufffd"),  # beyond the last character, as &#1114112; is
        ("0" * 5_000 + "65", "A"),
        ("0" * 5_000 + "1114112", "\ufffd"),
        ("0" * 150_000, "\ufffd"),  # no character has the number 0
        ("0" * 98 + "66", "B"),
    ],
)
@pytest.mark.parametrize("end", [";", "", ";;"])
def test_a_character_may_be_named_by_a_number_of_any_length(number: str, clean: str, end: str) -> None:
    """Python refuses to read more than 4,300 digits at once; no headline may raise for that."""
    rest = end.removeprefix(";")
    assert clean_text(f"Profit &#{number}{end} rose") == f"Profit {clean}{rest} rose"


def test_only_so_much_of_a_text_is_looked_at() -> None:
    """What lies behind it is as good as unread."""
    assert clean_text(" " * RAW_MAX + "profit") == ""
    assert clean_text(" " * (RAW_MAX - 6) + "profit") == "profit"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Profit rose", True),
        ("Nestlé und Straße", True),
        ("Sony ソニー profit", True),
        ("12.5% $3.40", False),
        ("", False),
        ("!?", False),
        ("決算は増収増益", False),
        ("Прибыль выросла на Apple", False),
        ("ارتفعت الأرباح", False),
        ("ab \u0432\u0433", True),  # as many
        ("ab \u0432\u0433\u0434", False),
        ("\u1e00", True),  # first and last of the Latin letters with marks beyond the Latin block
        ("\u1eff", True),
        ("\u1f00", False),  # Greek
        ("\u024f", True),
        ("\u0250", False),  # phonetic
    ],
)
def test_a_model_of_english_is_asked_about_latin_letters(text: str, says: bool) -> None:
    """At least one, and at least as many as of other scripts."""
    assert says_something(text) is says
