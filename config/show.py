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

from config.fields import Bounds, Pace, ReloadableMark, plain
from config.risk import NAMED, RiskSettings
from config.settings import PROFILES, Settings
from config.sources import Loaded, keys_of

SCHEMA_ID: Final = "tradingd.config/1"


@dataclass(frozen=True, slots=True)
class Row:
    """One key: its value now, its default, what it may be, where the value comes from, what it means.

    ``reloadable``: whether a running daemon takes it over when it reloads.
    """

    key: str
    value: str
    default: str
    bounds: str
    origin: str
    meaning: str
    reloadable: bool


def rows(loaded: Loaded) -> list[Row]:
    """Return every key of a configuration in the order of the models."""
    profile = Row(
        key="profile",
        value=toml_value(loaded.profile),
        default=toml_value("plan"),
        bounds=" | ".join(PROFILES),
        origin=_origin(loaded, "profile"),
        meaning="Ground to build on, where --profile names none.",
        reloadable=False,
    )
    return [
        profile,
        *(
            Row(
                key=key,
                value=toml_value(value),
                default=toml_value(_default(info)),
                bounds=bounds_text(info),
                origin=_origin(loaded, key),
                meaning=info.description or "",
                reloadable=is_reloadable(info),
            )
            for key, value, info in leaves(loaded.settings)
        ),
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
    document["properties"] = {"profile": {"enum": list(PROFILES), "default": "plan"}} | document["properties"]
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
            lines += _section_lines(section, name, comments=comments)
        if name == "predictor":
            for strategy, params in settings.predictor.params.items():
                lines += _table_lines(f"predictor.params.{_key(strategy)}", params)
            if weights := settings.predictor.sentiment.source_weights:
                lines += _table_lines("predictor.sentiment.source_weights", weights)
        if name == "universe" and settings.universe.sectors:
            lines += _table_lines("universe.sectors", settings.universe.sectors)
        if name == "risk":
            lines += _named_lines(settings.risk)
    return "\n".join(lines[1:]) + "\n"


def default_toml() -> str:
    """Return ``config/default.toml``: every key with its default, meaning and bounds."""
    head = (
        "# Every key with its default. Copy what you want to change; leave out the rest.\n"
        "# What a running daemon takes over when it reloads is marked (reloadable); all else needs a restart.\n\n"
        f"# Ground to build on, where --profile names none. ({' | '.join(PROFILES)})\n"
        'profile = "plan"\n\n'
    )
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
        if isinstance(item, Bounds | Pace):
            return item.text()
    if get_origin(info.annotation) is Literal:
        return " | ".join(choice or '""' for choice in get_args(info.annotation))
    if info.annotation is bool:
        return "true | false"
    return ""


def is_reloadable(info: FieldInfo) -> bool:
    """Whether a running daemon takes the key over when it reloads."""
    return any(isinstance(item, ReloadableMark) for item in info.metadata)


def leaves(settings: Settings) -> Iterator[tuple[str, object, FieldInfo]]:
    """Return each key with its value and its field, in the order of the models; portfolios by their names."""
    for name in Settings.model_fields:
        sections = getattr(settings, name)
        for section in sections if isinstance(sections, tuple) else (sections,):
            prefix = f"{name}.{section.name}" if isinstance(sections, tuple) else name
            yield from _section_leaves(section, prefix)


def _section_leaves(section: BaseModel, prefix: str) -> Iterator[tuple[str, object, FieldInfo]]:
    for key, info, value in _fields(section):
        if isinstance(value, BaseModel):
            yield from _section_leaves(value, f"{prefix}.{key}")
        else:
            yield (
                f"{prefix}.{key}",
                _plain_tables(value) if isinstance(value, dict) and prefix == "risk" else value,
                info,
            )


def _fields(section: BaseModel) -> Iterator[tuple[str, FieldInfo, Any]]:
    model = type(section)
    for (key, info), name in zip(keys_of(model).items(), model.model_fields, strict=True):
        yield key, info, getattr(section, name)


def _origin(loaded: Loaded, key: str) -> str:
    inner = dict.fromkeys(o for k, o in loaded.origins.items() if k == key or k.startswith(f"{key}."))
    return ", ".join(inner) or "default"


def _section_lines(section: BaseModel, name: str, *, comments: bool) -> Iterator[str]:
    nested: list[tuple[str, BaseModel]] = []
    for key, info, value in _fields(section):
        if isinstance(value, BaseModel):
            nested.append((f"{name}.{key}", value))
            continue
        if value is None or isinstance(value, dict):
            continue
        if comments:
            bounds = bounds_text(info)
            yield f"# {info.description}" + f" ({bounds})" * bool(bounds) + " (reloadable)" * is_reloadable(info)
        yield f"{key} = {toml_value(value)}"
    for inner, content in nested:  # after the plain keys, which would else belong to the nested table
        yield ""
        if comments:
            yield f"# {_doc(type(content))}"
        yield f"[{inner}]"
        yield from _section_lines(content, inner, comments=comments)


def _table_lines(name: str, table: Mapping[str, object]) -> list[str]:
    return ["", f"[{name}]", *(f"{_key(key)} = {toml_value(value)}" for key, value in table.items())]


def _named_lines(risk: RiskSettings) -> list[str]:
    lines: list[str] = []
    for leaf in NAMED:
        tables = _plain_tables(getattr(risk, leaf))
        if leaf == "sectors" and tables:
            lines += _table_lines("risk.sectors", tables)
        elif tables:
            for table, content in tables.items():
                lines += _table_lines(f"risk.{leaf}.{_key(table)}", content)
    return lines


def _plain_tables(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables by name with what each says beyond the defaults."""
    return {
        name: item.model_dump(exclude_defaults=True) if isinstance(item, BaseModel) else item
        for name, item in value.items()
    }


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "a").replace("-", "a").isalnum() else json.dumps(name)


def _doc(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0] if model.__doc__ else ""


def _default(info: FieldInfo) -> Any:
    return info.get_default(call_default_factory=True)
