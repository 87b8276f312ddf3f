"""What a ``tokenizer.json`` may be made of: parts whose time and answer no text and no file can drive up.

A tokenizer is a program in the form of data. Patterns of its own can take exponential time, a thousand normalisers a
second a text, and some combinations end the library in the middle of a text nobody has tried. So parts are those of a
short list, few, and in the one arrangement that is served: one text, once, between special tokens.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from actors.predictor.text.plain import refuse

PARTS_MAX: Final = 16
"""Of one field, those within a sequence included: each goes over the whole text."""
AFFIX_MAX: Final = 16
"""Characters of what marks the inside or the end of a word: it is copied for every piece that is tried."""
WORD_MAX: Final = 1000
_DEPTH_MAX: Final = 4
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("WordPiece", "BPE"),
    "normalizer": ("BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Sequence"),
    "pre_tokenizer": ("BertPreTokenizer", "ByteLevel", "Whitespace", "WhitespaceSplit", "Sequence"),
    "post_processor": ("BertProcessing", "RobertaProcessing", "TemplateProcessing", "Sequence", "ByteLevel"),
    "decoder": ("WordPiece", "ByteLevel", "BPEDecoder"),
}
_SEQUENCES: Final = ("normalizers", "pretokenizers", "processors")
_FRAMES: Final = ("BertProcessing", "RobertaProcessing", "TemplateProcessing")
"""What puts special tokens around a text."""


def check_tokenizer(data: bytes, path: Path) -> None:
    """Refuse a ``tokenizer.json`` of parts whose running time or answer a hostile text or file could drive up.

    Raises:
        OperatorError: ``TOKENIZER``, no JSON, or a part that is not of the short list (patterns of one's own above
            all: they can take exponential time).
    """
    try:
        root = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        told = f": {error}" if isinstance(error, _TwiceError) else ""
        refuse(path, f"is no JSON that can be used{told}", "TOKENIZER")
    if not isinstance(root, dict) or not isinstance(root.get("model"), dict):
        refuse(path, "has no model, so it is no tokenizer", "TOKENIZER")
    for field, known in _PARTS.items():
        parts = _parts(root.get(field))
        for part in parts:
            if (kind := part.get("type")) not in known:
                refuse(path, f"has {field} of the type {_shown(kind)}; known are {', '.join(known)}", "TOKENIZER")
        if len(parts) > PARTS_MAX:
            refuse(path, f"has {field} of more than {PARTS_MAX} parts", "TOKENIZER")
        wrong = _wrong_frame(parts) if field == "post_processor" else ""
        if wrong:
            refuse(path, f"has {field} {wrong}", "TOKENIZER")
    wrong = _wrong_model(root["model"])
    if wrong:
        refuse(path, f"says {wrong}", "TOKENIZER")


def _wrong_model(model: Mapping[str, Any]) -> str:
    """Return what a model says that may not be, or nothing."""
    if model.get("dropout"):
        return "dropout of its model: the same text would be cut in another way each time"
    longest = model.get("max_input_chars_per_word", 100)
    if not isinstance(longest, int) or longest > WORD_MAX:
        return f"max_input_chars_per_word {_shown(longest)}; at most {WORD_MAX}"
    for field in ("continuing_subword_prefix", "end_of_word_suffix"):
        affix = model.get(field)
        if isinstance(affix, str) and len(affix) > AFFIX_MAX:
            return f"{field} of {len(affix):,} characters; at most {AFFIX_MAX}"
    unknown, words = model.get("unk_token"), model.get("vocab")
    needed = unknown is not None or model.get("type") == "WordPiece"
    if needed and not (isinstance(words, dict) and isinstance(unknown, str) and unknown in words):
        return f"unk_token {_shown(unknown)}, which is not in vocab: the first unknown word would be an error"
    return ""


def _wrong_frame(parts: list[dict[str, Any]]) -> str:
    """Return what is wrong with how special tokens are put around a text, or nothing."""
    frames = [part for part in parts if part.get("type") in _FRAMES]
    if len(frames) > 1:
        return "that puts special tokens around special tokens"
    for frame in frames:
        if frame["type"] == "TemplateProcessing" and _texts_of(frame.get("single")) != ["A"]:
            return "whose single has not the text (A), once and no other"
    return ""


def _texts_of(pieces: Any) -> list[object]:
    """Return the names of the texts in a template."""
    if not isinstance(pieces, list) or not all(isinstance(piece, dict) for piece in pieces):
        return []
    found = [piece["Sequence"] for piece in pieces if "Sequence" in piece]
    return [text.get("id") if isinstance(text, dict) else None for text in found]


def _parts(found: Any, depth: int = 0) -> list[dict[str, Any]]:
    """Return a part of a tokenizer and all that it is a sequence of; what is no part says its own type."""
    if found is None:
        return []
    if not isinstance(found, dict) or depth > _DEPTH_MAX:
        return [{"type": type(found).__name__}]
    parts = [found]
    for key in _SEQUENCES:
        inner = found.get(key)
        if inner is not None and not isinstance(inner, list):
            return [{"type": f"{type(inner).__name__} as {key}"}]
        for part in inner or ():
            parts += _parts(part or "", depth + 1)
            if len(parts) > PARTS_MAX:
                return parts
    return parts


class _TwiceError(ValueError):
    """An object has a key twice: of two readers each may take another one."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise _TwiceError(f"it says {_shown(key)} twice")
    return found


def _shown(value: object) -> str:
    return repr(value)[:60] if isinstance(value, str) else ascii(value)[:40]
