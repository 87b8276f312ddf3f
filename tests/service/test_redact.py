"""No secret bytes in anything written down: exact secrets in every disguise, and shapes of unknown ones (F69)."""

from __future__ import annotations

import base64
import json
import urllib.parse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.service.credentials import Secret
from daemon.service.redact import ITEMS_MAX, MASK, TEXT_CHARS_MAX, WINDOW_CHARS, Redactor

CANARY = "s3cr3t/c+n=ry \"q'uote\\ é"


@pytest.mark.parametrize(
    "disguise",
    [
        CANARY,
        f"before{CANARY}after",
        repr(CANARY),
        repr(CANARY.encode()),
        json.dumps(CANARY)[1:-1],
        json.dumps(CANARY, ensure_ascii=False)[1:-1],
        urllib.parse.quote(CANARY),
        urllib.parse.quote(CANARY, safe=""),
        urllib.parse.quote_plus(CANARY),
        base64.b64encode(CANARY.encode()).decode(),
        base64.urlsafe_b64encode(CANARY.encode()).decode(),
        CANARY.encode().hex(),
        str(ValueError(f"GET https://x/?q={CANARY}")),
    ],
)
def test_an_exact_secret_is_found_in_every_disguise(disguise: str) -> None:
    """Plain, in a representation, in JSON, in a URL, in base64 and in hexadecimal."""
    found = Redactor([CANARY]).text(disguise)
    assert MASK in found
    for form in (CANARY, "s3cr3t", "czNjcjN0", "733363723374"):
        assert form not in found


def test_secrets_come_as_text_bytes_or_credentials() -> None:
    """And may be added while running; what is too short to tell from words is left alone."""
    redactor = Redactor(["text-secret", b"bytes-secret", Secret(b"file-secret", "f")])
    redactor.add("later-secret")
    redactor.add("abc")
    assert redactor.text("text-secret bytes-secret file-secret later-secret abc") == " ".join([MASK] * 4) + " abc"


def test_of_two_secrets_the_longer_is_taken_first() -> None:
    """A secret that begins like another does not leave its end behind."""
    assert Redactor(["hunter2", "hunter2-extended"]).text("hunter2-extended") == MASK


SHAPES = [
    ("https://api.telegram.org/bot123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc/sendMessage", "AAEhBOweik6ad9r"),
    ("https://hooks.slack.com/services/T000/B000/abcdefghijkl failed", "abcdefghijkl"),
    ("token xoxb-12345-67890-abcdef was refused", "67890-abcdef"),
    ("xoxe.xoxp-1-Mi0yLTEyMzQ1", "Mi0yLTEyMzQ1"),
    ("xapp-1-A012-345-abcdef", "345-abcdef"),
    ("Authorization: Bearer abcdef123456", "abcdef123456"),
    ("{'Authorization': 'Basic dXNlcjpwYXNz', 'x': '1'}", "dXNlcjpwYXNz"),
    ("[(b'authorization', b'Bearer zyx987654')]", "zyx987654"),
    ('{"APCA-API-SECRET-KEY": "PKsecret99", "a": 1}', "PKsecret99"),
    ("APCA-API-KEY-ID: PK12345678", "PK12345678"),
    ("Cookie: session=abcdef0123; other=x", "abcdef0123"),
    ("got bearer abc.def.ghi", "abc.def.ghi"),
    ("GET /v1?apiKey=k12345&symbol=SPY", "k12345"),
    ("GET /v1?symbol=SPY&key=k98765 HTTP/1.1", "k98765"),
    ("api_key='k555555', x", "k555555"),
    ("password=hunter2;", "hunter2"),
    ('{"password": "hun\\"ter2", "user": "x"}', "ter2"),
    ("{'secret_key': 'k4242', 'n': 1}", "k4242"),
    ("smtp://user:hunter2@mail.example.com:25", "hunter2"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----\nrest", "MIIEow"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEow (cut", "MIIEow"),
]


@pytest.mark.parametrize(("text", "secret"), SHAPES)
def test_f69_shapes_of_secrets_that_nobody_told_us(text: str, secret: str) -> None:
    """F69: tokens in URLs, headers, dictionaries, connection strings and keys."""
    found = Redactor().text(text)
    assert secret in text
    assert secret not in found
    assert MASK in found


HARMLESS = [
    "order o-1 filled: 10 SPY at 450.25",
    "https://example.com/bots/about?symbol=SPY&side=buy",
    "risk.max_position = 0.2 is out of bounds",
    "a key of the configuration: see --set section.key",
    "basic checks passed; bearer of news",
    "tokens: 5, secrets: none",
    "mailto:a@b.example",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_lines_stay_as_they_are(text: str) -> None:
    """A log that masks everything helps nobody."""
    assert Redactor(["canary-1234"]).text(text) == text


def test_nested_values_are_cleaned_at_every_depth() -> None:
    """Names, values, lists, sets, bytes, exceptions and foreign objects."""

    class Foreign:
        def __str__(self) -> str:
            return f"Foreign({CANARY})"

    class Broken:
        def __str__(self) -> str:
            raise ValueError(CANARY)

    value = {
        "plain": 1,
        CANARY: "as a name",
        "list": [CANARY, {"deep": (CANARY, {CANARY})}],
        "bytes": b"x" + CANARY.encode(),
        "view": memoryview(CANARY.encode()),
        "error": ValueError(CANARY),
        "foreign": Foreign(),
        "broken": Broken(),
        "deep": [[[[[[[[CANARY]]]]]]]],
        "none": None,
        "token": "anything",
        "slack_webhook_url": "anything",
        "password": "",
    }
    found = Redactor([CANARY]).value(value)
    text = json.dumps(found)
    assert "s3cr3t" not in text
    assert "anything" not in text
    assert (found["plain"], found["none"], found["password"]) == (1, None, "")
    assert found["broken"] == "Broken that cannot be shown (ValueError)"


def test_numbers_that_json_lacks_become_text() -> None:
    """So that a line is always valid JSON."""
    found = Redactor().value([1.5, float("nan"), float("inf"), -float("inf"), 10**30, True])
    assert json.dumps(found, allow_nan=False) == '[1.5, "nan", "inf", "-inf", 1000000000000000000000000000000, true]'


def test_length_and_size_are_bounded_and_no_secret_is_cut_in_two() -> None:
    """Wherever the cut falls, neither half of a secret is left."""
    redactor = Redactor(["ABCDEFGHIJ" * 3])
    for before in (TEXT_CHARS_MAX - 15, TEXT_CHARS_MAX - 1, WINDOW_CHARS - 15, WINDOW_CHARS + 2_000):
        for filler in ("x", "ABCDEFGHIJ" * 3 + " "):
            text = (filler * (before // len(filler))).ljust(before, "x") + "ABCDEFGHIJ" * 3 + "x" * 200_000
            found = redactor.text(text)
            assert "ABCDE" not in found
            assert len(found) < TEXT_CHARS_MAX + 60
    found = redactor.value(list(range(ITEMS_MAX + 5)))
    assert len(found) == ITEMS_MAX + 1
    assert found[-1] == "… 5 more"
    found = redactor.value({n: n for n in range(ITEMS_MAX + 7)})
    assert len(found) == ITEMS_MAX + 1
    assert found["…"] == "7 more"


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(plain)
def test_whatever_is_logged_becomes_json(value: Any) -> None:
    """Nothing raises, and the result is JSON without NaN."""
    json.dumps(Redactor(["canary-1234"]).value(value), allow_nan=False)


@given(st.text(min_size=6), st.text(), st.text())
def test_a_secret_is_never_left(secret: str, before: str, after: str) -> None:
    """Any secret, anywhere in any text: each place where it stood was replaced."""
    found = Redactor([secret]).text(before + secret + after)
    pieces = found.split(MASK)
    assert len(pieces) > 1
    assert not any(secret in piece for piece in pieces)
