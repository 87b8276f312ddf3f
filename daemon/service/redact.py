"""Taking secrets out of everything that is written down: by their exact bytes, and by the shape of what we never saw.

The exact secrets are those that :mod:`daemon.service.credentials` read. The shapes catch what reaches us inside other
people's words: a URL in an exception of an HTTP client, a header in a debug line (F69).
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from daemon.service.credentials import Secret

MASK: Final = "[redacted]"
SECRET_CHARS_MIN: Final = 4  # shorter ones would mask half of every line
TEXT_CHARS_MAX: Final = 32_768
WINDOW_CHARS: Final = 4 * TEXT_CHARS_MAX
ITEMS_MAX: Final = 256
DEPTH_MAX: Final = 6

# What stands before a value that must not be shown, in URLs, headers, JSON and representations.
_NAMES: Final = (
    r"(?:api[_-]?key|apikey|access[_-]?key|secret[_-]?key|key[_-]?id|client[_-]?secret|access[_-]?token"
    r"|refresh[_-]?token|auth[_-]?token|token|secret|password|passwd|pwd|key|sig|signature)"
)
_SHAPES: Final = (
    # Telegram puts the token into the path: https://api.telegram.org/bot123456:AA.../sendMessage
    (re.compile(r"bot\d{3,}:[A-Za-z0-9_-]{8,}"), f"bot{MASK}"),
    (re.compile(r"hooks\.slack\.com/(?:services|workflows|triggers)/[^\s\"'<>]+"), f"hooks.slack.com/{MASK}"),
    (re.compile(r"\bxox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]+", re.IGNORECASE), MASK),
    (re.compile(r"\bxapp-[A-Za-z0-9-]+", re.IGNORECASE), MASK),
    # A header, also as the representation of a dictionary or of a list of pairs shows it: up to the end of its value.
    (
        re.compile(
            r"((?:proxy-)?authorization|x-api-key|apca-api-[a-z-]+|set-cookie|cookie)"
            r"(['\"]?\s*[:=,]\s*)(b?['\"])?(?(3)(?:(?!(?<!\\)['\"]).)+|[^\r\n]+)",
            re.IGNORECASE,
        ),
        rf"\1\2\3{MASK}",
    ),
    # Outside a header these are words too: what follows must look like no word.
    (
        re.compile(r"\b(bearer|basic)\s+(?:(?=\S*[0-9_~+/=]|\S+\.\S)[\w.~+/=-]{6,}|[\w.~+/=-]{20,})", re.IGNORECASE),
        rf"\1 {MASK}",
    ),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), rf"\1{MASK}@"),
    (re.compile(rf"\b({_NAMES}['\"]?\s*=\s*['\"]?)[^\s&'\",;)}}\]]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(rf"(['\"]{_NAMES}['\"]\s*:\s*b?['\"])(?:[^'\"\\]|\\.)+", re.IGNORECASE), rf"\1{MASK}"),
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        MASK,
    ),
)
# Fields whose value is a secret whatever it looks like. "key" is not among them: it names idempotency and settings.
_SECRET_FIELDS: Final = re.compile(
    r"(?:.*_)?(?:api_?key|secret_key|secret|token|password|passwd|authorization|cookie|webhook_url|credentials?"
    r"|private_key)"
)


class Redactor:
    """Replaces secrets in texts and in nested values. Adding is for the start; cleaning is safe from any thread."""

    def __init__(self, secrets: Iterable[str | bytes | Secret] = ()) -> None:
        """Begin with these secrets."""
        self._exact: re.Pattern[str] | None = None
        self._known: dict[str, None] = {}
        self._longest = 0
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | bytes | Secret) -> None:
        """Know a secret from now on, also as it looks in a URL, in base64, in hexadecimal and in a representation."""
        raw = secret.reveal_bytes() if isinstance(secret, Secret) else secret
        data = raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else raw
        if len(data) < SECRET_CHARS_MIN:
            return
        text = data.decode("utf-8", "backslashreplace")
        forms = [
            text,
            repr(text)[1:-1],
            repr(data)[2:-1],
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            text.encode("ascii", "backslashreplace").decode(),
            urllib.parse.quote(data, safe=""),
            urllib.parse.quote(data),
            urllib.parse.quote_plus(data),
            base64.b64encode(data).decode().rstrip("="),
            base64.urlsafe_b64encode(data).decode().rstrip("="),
            data.hex(),
        ]
        self._known |= dict.fromkeys(form for form in forms if len(form) >= SECRET_CHARS_MIN)
        longest_first = sorted(self._known, key=len, reverse=True)  # a secret may contain another
        self._longest = max(map(len, self._known), default=0)
        self._exact = re.compile("|".join(re.escape(form) for form in longest_first))

    def text(self, text: str) -> str:
        """Return text without secrets, cut to a length that a log can take."""
        whole = len(text)
        if whole > WINDOW_CHARS:  # nobody searches megabytes for a line of which a part is kept
            text = text[: WINDOW_CHARS + self._longest]
        if self._exact is not None:
            text = self._exact.sub(MASK, text)
        if whole > WINDOW_CHARS:
            text = text[: len(text) - self._longest]  # where the first half of a secret may stand
        if len(text) > TEXT_CHARS_MAX:
            text = text[:TEXT_CHARS_MAX]
        for shape, mask in _SHAPES:
            text = shape.sub(mask, text)
        return text if whole <= TEXT_CHARS_MAX else f"{text}… (cut, {whole} characters)"

    def value(self, value: Any, depth: int = 0) -> Any:
        """Return a value as JSON has it, without secrets: numbers that JSON lacks and foreign objects as text."""
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if value - value == 0 else str(value)  # NaN and infinities are no JSON
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return self.text(bytes(value).decode("utf-8", "backslashreplace"))
        if depth < DEPTH_MAX and isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._nested(value, depth + 1)
        return self.text(_shown(value))

    def _nested(self, value: Any, depth: int) -> Any:
        kept = list(islice(value, ITEMS_MAX))
        more = f"{len(value) - len(kept)} more"
        if isinstance(value, Mapping):
            found = {
                self.text(str(name)): MASK if _is_secret(name, value[name]) else self.value(value[name], depth)
                for name in kept
            }
            return found if len(kept) == len(value) else found | {"…": more}
        listed = [self.value(item, depth) for item in kept]
        return listed if len(kept) == len(value) else [*listed, f"… {more}"]


def _is_secret(name: object, value: object) -> bool:
    return value not in (None, "") and _SECRET_FIELDS.fullmatch(str(name).lower().replace("-", "_")) is not None


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a representation that fails must not fail the line that tells of it
        return f"{type(value).__name__} that cannot be shown ({type(error).__name__})"
