"""What is said of a configuration that does not hold: one sentence that names source, key and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from pydantic_core import ErrorDetails

from config.fields import plain
from daemon.kernel.errors import ConfigError

ENV_PREFIX: Final = "TRADINGD_"
Key = tuple[str, ...]

_WORDS: Final = {
    "decimal_parsing": "is not a number",
    "decimal_type": "is not a number",
    "finite_number": "is not a finite number",
    "int_parsing": "is not a whole number",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "bool_parsing": "is neither true nor false",
    "bool_type": "is neither true nor false",
    "string_type": "is not text",
    "tuple_type": "is not a list",
    "path_type": "is not a path",
}
_INTERVAL: Final = "is not an interval; write a whole number and s, m, h or d, such as 5m"
_GROUP: Final = "is not a group's name"
_PATTERNS: Final = {
    "decision_interval": _INTERVAL,
    "interval": _INTERVAL,
    "calendar": "is not a calendar's name",
    "name": "is not a name; start with a letter and use letters, digits, - and _",
    "admin_group": _GROUP,
    "operator_group": _GROUP,
    "viewer_group": _GROUP,
    "group": _GROUP,
    "model": "is no model's name: lower-case letters, digits and _ . -, and @ with twelve digits for a version",
}


def variable(key: Key) -> str:
    """Return the environment variable of a key."""
    return ENV_PREFIX + "__".join(part.upper() for part in key)


def key_name(key: Key, origin: str) -> str:
    """Return what an unknown key is called where it stands."""
    return f"key {'.'.join(key)}" if origin != variable(key) else "configuration variable"


def unknown(
    what: str, word: str, known: Iterable[str], origin: str, *, prefix: Key = (), suffix: Key = (), elsewhere: Key = ()
) -> ConfigError:
    """Return the error for a name that does not exist, with the nearest one that does.

    Args:
        what: that is not known, for people.
        word: that is looked for among the known ones.
        known: names that could stand there.
        origin: of the source that has it.
        prefix: what stands before the word in its key.
        suffix: what stands behind it.
        elsewhere: the same name in another section, () where none has it.
    """
    choices = list(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if close or elsewhere:
        key = elsewhere or (*prefix, close[0], *suffix)
        name = variable(key) if origin.startswith(ENV_PREFIX) else ".".join(key)
        remedy = f"did you mean {name}?"
    else:
        remedy = f"known are {', '.join(choices)}" if choices else "no source names one"
    return ConfigError(f"{origin}: unknown {what}", code="CONFIG_UNKNOWN", remedy=remedy)


def sentence(problem: ErrorDetails, merged: Mapping[Key, tuple[Any, str]], names: Sequence[str]) -> str:
    """Return the sentence for what pydantic found.

    Args:
        problem: one of the validation's errors.
        merged: key -> (value, origin), of all sources.
        names: of the portfolios, in order.
    """
    location = [part for part in problem["loc"] if part not in {"tuple", "constrained-str"}]
    if location[:1] == ["portfolio"] and len(location) > 1:
        location[1] = names[int(location[1])]
    path = tuple(str(part) for part in location)
    # The place may lie inside a value (the second of a list): the key is as much of it as a source has said.
    key = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in merged), None)
    if key is None:  # a rule between keys: its text names them
        where = f"[{'.'.join(path)}] " if path else ""
        return f"configuration: {where}{problem['msg']}"
    value, origin = merged[key]
    kind = problem["type"]
    if kind == "literal_error":
        expected = problem["ctx"]["expected"].replace("''", '""').replace("'", "").replace(" or ", ", ")
        words = f"must be one of {expected}"
        if isinstance(value, str) and (close := difflib.get_close_matches(value, expected.split(", "), n=1)):
            words += f"; did you mean {close[0]}?"
    elif kind == "string_pattern_mismatch":
        words = _PATTERNS[key[-1]]
    else:
        words = _WORDS.get(kind, problem["msg"])
    return f"{origin}: {'.'.join(key)} = {shown(value)} {words}"


def shown(value: object) -> str:
    """Return a value as the source wrote it, near enough."""
    if isinstance(value, Decimal):
        return plain(value) if value.is_finite() else str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return str(value)
