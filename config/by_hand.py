"""Limits that somebody sets while the daemon runs: ``[risk]`` keys said anew, held to what the configuration is.

No file is read again for it: one that is being edited, or is gone, must not keep anybody from tightening a limit.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from config.reload import needs_restart
from config.risk import NAMED, RiskSettings
from config.sentences import Key
from config.settings import Settings
from config.show import is_reloadable, leaves, toml_value
from config.sources import Loaded, keys_of, laid_over, nested_model, table_model
from daemon.kernel.errors import ConfigError

ORIGIN: Final = "limits set"
_RISK: Final = "risk"
_TABLE_DEPTH: Final = 2


@dataclass(frozen=True, slots=True)
class Assignment:
    """One key of ``[risk]`` and what it is set to, as ``--set`` writes it; ``key`` is dotted and whole."""

    key: str
    path: Key
    value: str


@dataclass(frozen=True, slots=True)
class Laid:
    """The settings with limits set by hand.

    Attributes:
        settings: all of them.
        changes: (key, old, new) of what is set now, as the configuration writes values; what is as it was is left out.
    """

    settings: Settings
    changes: tuple[tuple[str, str, str], ...]


def assignments(texts: Iterable[str]) -> list[Assignment]:
    """Read ``key=value`` texts; the section's name before the key may be left out.

    Names of symbols, sectors and portfolios may have dots of their own: ``symbols.BRK.B.max_position=0.1``.

    Raises:
        ConfigError: a text is no assignment.
    """
    return [_assignment(text) for text in texts]


def _assignment(text: str) -> Assignment:
    key, equals, value = text.partition("=")
    parts = tuple(part.strip() for part in key.split("."))
    if parts[:1] == (_RISK,):
        parts = parts[1:]
    value = value.strip()
    if not equals or not all(parts) or not parts or not value:
        message = f"{text!r} is no assignment"
        raise ConfigError(message, code="CONFIG_SET", remedy="write key=value, such as max_order_qty=500")
    if parts[0] in NAMED and len(parts) > _TABLE_DEPTH:
        has_keys = table_model(_fields()[parts[0]]) is not None
        parts = (parts[0], ".".join(parts[1:-1]), parts[-1]) if has_keys else (parts[0], ".".join(parts[1:]))
    return Assignment(".".join((_RISK, *parts)), (_RISK, *parts), value)


def lay_over(loaded: Loaded, before: Mapping[str, str], wanted: Sequence[Assignment]) -> Laid:
    """Return the settings in force with limits set by hand, those of earlier calls below the new ones.

    Args:
        loaded: the configuration in force.
        before: what was set by hand earlier, key -> value.
        wanted: what is to be set now.

    Raises:
        ConfigError: a value does not hold, a key is none that can change while the daemon runs, or stands there twice.
    """
    said: dict[str, str] = {}
    for one in wanted:
        _check_leaf(one)
        if one.key in said:  # which of the two was meant nobody can tell
            message = f"{ORIGIN}: {one.key} is set twice, to {said[one.key]} and to {one.value}"
            raise ConfigError(message, code="CONFIG_SET", remedy="set it once")
        said[one.key] = one.value
    earlier = assignments(f"{key}={value}" for key, value in before.items())
    old = laid_over(loaded, [(one.path, one.value) for one in earlier], ORIGIN)
    new = laid_over(loaded, [(one.path, one.value) for one in (*earlier, *wanted)], ORIGIN)
    known = {key: value for key, value, _ in leaves(old)}
    fixed = [key for key, value, info in leaves(new) if known.get(key) != value and not is_reloadable(info)]
    if fixed:
        raise needs_restart(fixed)
    changes = []
    for one in wanted:
        texts = _text(old, one.path), _text(new, one.path)
        if texts[0] != texts[1]:
            changes.append((one.key, *texts))
    return Laid(new, tuple(changes))


def _check_leaf(one: Assignment) -> None:
    """Refuse what is no single key of the section: every value set by hand stands for itself."""
    model: type[BaseModel] = RiskSettings
    path = list(one.path[1:])
    while True:
        fields, leaf = keys_of(model), path.pop(0)
        if leaf not in fields:
            near = difflib.get_close_matches(leaf, fields, n=1)
            remedy = f"did you mean {near[0]}?" if near else "tradingctl limits and config show --key risk name them"
            raise ConfigError(f"{ORIGIN}: unknown key {one.key}", code="CONFIG_UNKNOWN", remedy=remedy)
        named, nested = leaf in NAMED, nested_model(fields[leaf])
        inner = table_model(fields[leaf]) if named else nested
        if named and path:
            path.pop(0)
        if inner is None:
            if path or (named and len(one.path) <= _TABLE_DEPTH):
                break
            return
        if not path:
            break
        model = inner
    message = f"{ORIGIN}: {one.key} is not one key but a table, or below one"
    remedy = "set its keys one by one, such as symbols.AAPL.max_position=0.1"
    raise ConfigError(message, code="CONFIG_SET", remedy=remedy)


def _fields() -> dict[str, Any]:
    return keys_of(RiskSettings)


def _text(settings: Settings, path: Key) -> str:
    """Return the value at a path as the configuration writes it; of a name without limits those of nobody."""
    value: Any = settings.risk
    for part in path[1:]:
        value = getattr(value, part) if isinstance(value, BaseModel) else value.get(part, _nobody(path[1]))
    return toml_value(value)


def _nobody(table: str) -> Any:
    model = table_model(_fields()[table])
    return 0 if model is None else model()
