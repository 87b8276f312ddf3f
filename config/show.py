"""The configuration for people and tools: rows with bounds and origins, TOML text, JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.fields import Bounds, plain
from config.settings import Settings
from config.sources import Loaded

SCHEMA_ID: Final = "tradingd.config/1"


@dataclass(frozen=True, slots=True)
class Row:
    """One key: its value now, its default, what it may be, where the value comes from, what it means."""

    key: str
    value: str
    default: str
    bounds: str
    origin: str
    meaning: str


def rows(loaded: Loaded) -> list[Row]:
    """Return every key of a configuration in the order of the models."""
    return [
        Row(key, toml_value(value), toml_value(_default(info)), bounds_text(info), origin, info.description or "")
        for key, value, info, origin in _leaves(loaded)
    ]


def rows_json(loaded: Loaded) -> str:
    """Return ``rows`` as JSON."""
    document = {"schema": SCHEMA_ID, "profile": loaded.profile, "rows": [asdict(row) for row in rows(loaded)]}
    return json.dumps(document, indent=2)


def schema() -> str:
    """Return the JSON Schema of a configuration file, for editors."""
    document = Settings.model_json_schema()
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = "tradingd configuration"
    return json.dumps(document, indent=2)


def to_toml(settings: Settings, *, comments: bool = False) -> str:
    """Return settings as a configuration file that reads back to equal settings.

    ``comments`` puts meaning and bounds above each key.
    """
    lines: list[str] = []
    for name in Settings.model_fields:
        sections = getattr(settings, name)
        repeated = isinstance(sections, tuple)
        for section in sections if repeated else (sections,):
            model = type(section)
            lines += ["", f"[[{name}]]" if repeated else f"[{name}]"]
            if comments and (doc := _doc(model)):
                lines.insert(-1, f"# {doc}")
            lines += _section_lines(section, comments=comments)
        if name == "predictor":
            for strategy, params in settings.predictor.params.items():
                lines += _table_lines(f"predictor.params.{_key(strategy)}", params)
        if name == "universe" and settings.universe.sectors:
            lines += _table_lines("universe.sectors", settings.universe.sectors)
    return "\n".join(lines[1:]) + "\n"


def default_toml() -> str:
    """Return ``config/default.toml``: every key with its default, meaning and bounds."""
    head = "# Every key with its default (profile plan). Copy what you want to change; leave out the rest.\n\n"
    return head + to_toml(Settings(), comments=True)


def toml_value(value: object) -> str:
    """Return a value as TOML; what has no TOML form (None) as an empty text."""
    match value:
        case None:
            text = ""
        case bool():
            text = "true" if value else "false"
        case Decimal():
            text = plain(value)
        case int() | float():
            text = repr(value)
        case PurePath() | str():
            text = json.dumps(str(value), ensure_ascii=False)
        case tuple() | list():
            text = "[" + ", ".join(toml_value(item) for item in value) + "]"
        case dict():
            text = "{" + ", ".join(f"{_key(name)} = {toml_value(item)}" for name, item in value.items()) + "}"
        case _:
            message = f"{type(value).__name__} has no TOML form"
            raise TypeError(message)
    return text


def bounds_text(info: FieldInfo) -> str:
    """Return what a field may be, for people; empty where its type says it all."""
    for item in info.metadata:
        if isinstance(item, Bounds):
            return item.text()
    if get_origin(info.annotation) is Literal:
        return " | ".join(get_args(info.annotation))
    if info.annotation is bool:
        return "true | false"
    return ""


def _leaves(loaded: Loaded) -> Iterator[tuple[str, object, FieldInfo, str]]:
    for name in Settings.model_fields:
        sections = getattr(loaded.settings, name)
        for section in sections if isinstance(sections, tuple) else (sections,):
            prefix = f"{name}.{section.name}" if isinstance(sections, tuple) else name
            for leaf, info in type(section).model_fields.items():
                key = f"{prefix}.{leaf}"
                yield key, getattr(section, leaf), info, _origin(loaded, key)


def _origin(loaded: Loaded, key: str) -> str:
    inner = dict.fromkeys(o for k, o in loaded.origins.items() if k == key or k.startswith(f"{key}."))
    return ", ".join(inner) or "default"


def _section_lines(section: BaseModel, *, comments: bool) -> Iterator[str]:
    for leaf, info in type(section).model_fields.items():
        value = getattr(section, leaf)
        if value is None or isinstance(value, dict):
            continue
        if comments:
            bounds = bounds_text(info)
            yield f"# {info.description}" + (f" ({bounds})" if bounds else "")
        yield f"{leaf} = {toml_value(value)}"


def _table_lines(name: str, table: Mapping[str, object]) -> list[str]:
    return ["", f"[{name}]", *(f"{_key(key)} = {toml_value(value)}" for key, value in table.items())]


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "a").replace("-", "a").isalnum() else json.dumps(name)


def _doc(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0] if model.__doc__ else ""


def _default(info: FieldInfo) -> Any:
    return info.get_default(call_default_factory=True)
