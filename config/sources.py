"""Where values come from: defaults < profile < file < environment < ``--set`` < flags of the command line.

Every source is flattened to ``key -> (value, origin)`` before they are laid over each other, so that each value of the
result knows its origin and each unknown key is refused with the name of the source that holds it.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.fields import plain
from config.settings import PROFILES, Settings, reference_aliases
from daemon.kernel.errors import ConfigError

ENV_PREFIX: Final = "TRADINGD_"
Key = tuple[str, ...]
Layer = dict[Key, tuple[Any, str]]

SECTIONS: Final[dict[str, type[BaseModel]]] = {
    name: model
    for name, info in Settings.model_fields.items()
    if isinstance(model := type(info.get_default(call_default_factory=True)), type) and issubclass(model, BaseModel)
}
_PORTFOLIO: Final = type(Settings.model_fields["portfolio"].default[0])


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and where they come from.

    Attributes:
        origins: dotted key -> ``profile frictionless``, a file's name, a variable's name, ``--set`` or a flag; keys
            that are not there have their default.
        profile: the profile's name.
        file: the file read, or None.
    """

    settings: Settings
    origins: Mapping[str, str]
    profile: str
    file: Path | None


@dataclass(slots=True)
class _Portfolios:
    """Names of the portfolios, in order, and what each source says of them."""

    names: list[str] = field(default_factory=list)

    def select(self, name: str | None, origin: str) -> list[str]:
        """Return the portfolios a key means: the named one, or all."""
        if name is None:
            return self.names
        for known in self.names:
            if known.lower() == name.lower():
                return [known]
        raise _unknown(f"portfolio {name}", name, self.names, origin)


def load_settings(
    *,
    file: Path | None,
    profile: str,
    sets: Sequence[str],
    environ: Mapping[str, str],
    flags: Mapping[Key, tuple[object, str]] | None = None,
) -> Loaded:
    """Lay all sources over each other and validate the result.

    Args:
        file: TOML file, or None.
        profile: one of ``PROFILES``.
        sets: ``section.key=value`` texts, the last wins.
        environ: variables; those named ``TRADINGD_SECTION__KEY`` count.
        flags: key -> (value, flag), for options that are shorthand for a key; ``("portfolio", "cash")`` means every
            portfolio's.

    Raises:
        ConfigError: one sentence that names source and key.
    """
    if profile not in PROFILES:
        raise _unknown(f"profile {profile}", profile, PROFILES, "--profile")
    tree = _read(file) if file is not None else {}
    portfolios = _Portfolios(_portfolio_names(tree, str(file)))
    layers: list[Layer] = [_systemd(environ)]
    if profile != "plan":
        layers.append(_flatten(_profile(profile), f"profile {profile}", portfolios))
    if file is not None:
        layers.append(_flatten(tree, str(file), portfolios, base=file.parent))
    layers.append(_environment(environ, portfolios))
    layers += [_set(text, portfolios) for text in sets]
    layers += [_locate(key, value, flag, portfolios) for key, (value, flag) in (flags or {}).items()]
    merged: Layer = {}
    for layer in layers:
        merged |= layer
    settings = _validate(merged, portfolios.names)
    _check_params(layers, merged)
    return Loaded(settings, {".".join(key): origin for key, (_, origin) in merged.items()}, profile, file)


# --------------------------------------------------------------------------------------------------------- sources


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            text = stream.read().decode("utf-8-sig")  # Windows editors begin a file with a mark
        return tomllib.loads(text, parse_float=Decimal)
    except FileNotFoundError:
        message, remedy = f"the configuration file {file} does not exist", "make one with: tradingd config init"
    except OSError as error:
        message, remedy = f"the configuration file {file} cannot be read: {error.strerror}", ""
    except UnicodeDecodeError:
        message, remedy = f"{file} is not UTF-8 text", "save it as UTF-8"
    except tomllib.TOMLDecodeError as error:
        text = str(error)
        message, remedy = f"{file} is not valid TOML: {text[:1].lower()}{text[1:]}", ""
    except (RecursionError, ValueError):
        message, remedy = f"{file} is nested too deep, or has a number too long", ""
    raise ConfigError(message, code="CONFIG_FILE", remedy=remedy)


def _profile(name: str) -> dict[str, Any]:
    text = resources.files("config").joinpath("profiles", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text, parse_float=Decimal)


def _portfolio_names(tree: Mapping[str, Any], origin: str) -> list[str]:
    entries = tree.get("portfolio", [{}])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        message = f"{origin}: portfolio is a list of tables"
        raise ConfigError(message, code="CONFIG_TYPE", remedy="head each portfolio with [[portfolio]]")
    if len(entries) > 1 and not all("name" in entry for entry in entries):
        message = f"{origin}: one of several portfolios has no name"
        raise ConfigError(message, code="CONFIG_VALUE", remedy='add name = "..." to each [[portfolio]]')
    names = [str(entry.get("name", "main")) for entry in entries]
    for i, name in enumerate(names):
        if name in names[:i]:
            message = f"{origin}: two portfolios are named {name}"
            raise ConfigError(message, code="CONFIG_VALUE", remedy="give each its own name")
    return names


def _flatten(tree: Mapping[str, Any], origin: str, portfolios: _Portfolios, *, base: Path | None = None) -> Layer:
    layer: Layer = {}
    for section, content in tree.items():
        if section == "portfolio":
            entries = content if isinstance(content, list) else [content]
            for name, entry in zip(_entry_names(entries, portfolios), entries, strict=True):
                for key, value in entry.items():
                    layer |= _locate(("portfolio", *name, key), value, origin, portfolios)
            continue
        if section not in SECTIONS:
            raise _unknown(section if isinstance(content, Mapping) else f"key {section}", section, _sections(), origin)
        if not isinstance(content, Mapping):
            message = f"{origin}: {section} is a section"
            raise ConfigError(message, code="CONFIG_TYPE", remedy=f"write [{section}] and its keys below")
        for key, value in content.items():
            layer |= _locate((section, key), value, origin, portfolios)
    if base is not None:
        _anchor(layer, base)
    return layer


def _entry_names(entries: Sequence[Mapping[str, Any]], portfolios: _Portfolios) -> Iterator[tuple[str, ...]]:
    """A profile speaks of every portfolio, a file of each by its name."""
    for entry in entries:
        if "name" in entry:
            yield (str(entry["name"]),)
        else:
            yield (portfolios.names[0],) if len(portfolios.names) == 1 else ()


def _anchor(layer: Layer, base: Path) -> None:
    """Make paths of a file relative to that file's folder."""
    for key, (value, origin) in list(layer.items()):
        if key[0] in {"predictor", "portfolio"} and key[-1] == "strategies" and isinstance(value, list | tuple | str):
            items = value.split(",") if isinstance(value, str) else value
            layer[key] = ([_anchored(item, base) for item in items], origin)
        elif key == ("paths", "state_dir") and isinstance(value, str) and not value.startswith("~"):
            layer[key] = (str(base / value), origin)


def _anchored(item: object, base: Path) -> object:
    if not isinstance(item, str):
        return item
    item = item.strip()
    is_file = item.endswith(".py") or ".py:" in item
    return str(base / item) if is_file and not item.startswith("~") else item


def _systemd(environ: Mapping[str, str]) -> Layer:
    """Return the default that systemd gives: the folder it made for us, the first of several."""
    folder = environ.get("STATE_DIRECTORY", "").split(":")[0]
    return {("paths", "state_dir"): (folder, "STATE_DIRECTORY")} if folder else {}


def _environment(environ: Mapping[str, str], portfolios: _Portfolios) -> Layer:
    layer: Layer = {}
    # The more specific name comes later and wins: one portfolio's key over every portfolio's.
    for name in sorted(environ, key=lambda name: (name.count("__"), name)):
        # Variables without a double underscore (TRADINGD_DEBUG) are no configuration keys.
        if not name.startswith(ENV_PREFIX) or "__" not in name:
            continue
        key = tuple(part.lower() for part in name.removeprefix(ENV_PREFIX).split("__"))
        if key[:2] == ("universe", "sectors"):  # what follows is a symbol
            key = (*key[:2], *name.removeprefix(ENV_PREFIX).split("__")[2:])
        layer |= _locate(key, environ[name], name, portfolios, text=True)
    return layer


def _set(text: str, portfolios: _Portfolios) -> Layer:
    key, equals, value = text.partition("=")
    if not equals or "." not in key:
        message = f"--set {text} is no assignment"
        raise ConfigError(message, code="CONFIG_SET", remedy="write --set section.key=value")
    return _locate(tuple(part.strip() for part in key.split(".")), value.strip(), "--set", portfolios, text=True)


# -------------------------------------------------------------------------------------------------------- locating


def _locate(key: Key, value: object, origin: str, portfolios: _Portfolios, *, text: bool = False) -> Layer:
    """Return the leaves a key means, having checked that it exists."""
    section, rest = key[0], key[1:]
    if section == "portfolio" and 1 <= len(rest) <= 2:
        name = rest[0] if len(rest) == 2 else None
        leaf = rest[-1]
        if leaf not in _PORTFOLIO.model_fields:
            raise _unknown(_key_name(key, origin), leaf, _PORTFOLIO.model_fields, origin, prefix=key[:-1])
        parsed = _parse(value, _PORTFOLIO, leaf) if text else value
        return {("portfolio", each, leaf): (parsed, origin) for each in portfolios.select(name, origin)}
    if section not in SECTIONS or not rest:
        raise _unknown(_key_name(key, origin), section, _sections(), origin, prefix=(), suffix=rest)
    fields = SECTIONS[section].model_fields
    leaf = rest[0]
    if (section, leaf) == ("universe", "sectors"):
        return _sectors_of(rest[1:], value, origin)
    if (section, leaf) == ("predictor", "params"):
        return _params(rest[1:], value, origin, text=text)
    if leaf not in fields or len(rest) > 1:
        raise _unknown(_key_name(key, origin), leaf, fields, origin, prefix=(section,))
    return {(section, leaf): (_parse(value, SECTIONS[section], leaf) if text else value, origin)}


def _params(path: Key, value: object, origin: str, *, text: bool) -> Layer:
    """Strategies' parameters are free-form: the strategy's own Params struct checks them."""
    if len(path) == 2:
        parsed = _toml_value(value) if text and isinstance(value, str) else value
        return {("predictor", "params", *path): (_json_like(parsed), origin)}
    tables = {path[0]: value} if len(path) == 1 else value
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        message = f"{origin}: predictor.params holds a table for each strategy"
        raise ConfigError(message, code="CONFIG_TYPE", remedy="write [predictor.params.NAME] and its parameters below")
    return {
        ("predictor", "params", name, key): (_json_like(item), origin)
        for name, table in tables.items()
        for key, item in table.items()
    }


def _sectors_of(path: Key, value: object, origin: str) -> Layer:
    table = {path[0]: value} if len(path) == 1 else value
    if len(path) > 1 or not isinstance(table, Mapping):
        message = f"{origin}: universe.sectors is a table of sectors by symbol"
        raise ConfigError(message, code="CONFIG_TYPE", remedy='write [universe.sectors] and AAPL = "Technology" below')
    return {("universe", "sectors", symbol): (sector, origin) for symbol, sector in table.items()}


def _json_like(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [_json_like(item) for item in value]
    if isinstance(value, dict):
        return {key: _json_like(item) for key, item in value.items()}
    return value


def _parse(value: object, model: type[BaseModel], leaf: str) -> object:
    """Read a variable's or flag's text as TOML would, save where the field is text or a list of texts itself."""
    if not isinstance(value, str):
        return value
    annotation = str(model.model_fields[leaf].annotation)
    is_text = annotation in {"<class 'str'>", "<class 'pathlib.Path'>"} and not value.startswith(('"', "'"))
    is_list = "tuple" in annotation and not value.startswith("[")
    return value if is_text or is_list else _toml_value(value)


def _toml_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"v = {text}", parse_float=Decimal)
    except tomllib.TOMLDecodeError:
        return text
    return parsed["v"] if len(parsed) == 1 else text


def _sections() -> list[str]:
    return [*SECTIONS, "portfolio"]


def _key_name(key: Key, origin: str) -> str:
    return f"key {'.'.join(key)}" if origin != _variable(key) else "configuration variable"


def _variable(key: Key) -> str:
    return ENV_PREFIX + "__".join(part.upper() for part in key)


def _unknown(
    what: str, word: str, known: Iterable[str], origin: str, *, prefix: Key = (), suffix: Key = ()
) -> ConfigError:
    choices = list(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        key = (*prefix, close[0], *suffix)
        name = _variable(key) if origin.startswith(ENV_PREFIX) else ".".join(key)
        remedy = f"did you mean {name}?"
    else:
        remedy = f"known are {', '.join(choices)}" if choices else "no source names one"
    return ConfigError(f"{origin}: unknown {what}", code="CONFIG_UNKNOWN", remedy=remedy)


# ------------------------------------------------------------------------------------------------------ validation


def _validate(merged: Layer, names: Sequence[str]) -> Settings:
    tree: dict[str, Any] = {}
    for key, (value, _) in merged.items():
        node = tree
        for part in key[:-1]:
            node = node.setdefault(part, {})
        node[key[-1]] = value
    entries = tree.get("portfolio", {})
    tree["portfolio"] = [{"name": name} | entries.get(name, {}) for name in names]
    try:
        return Settings(**tree)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=True)
        message = _sentence(problems[0], merged, names)
        if len(problems) > 1:
            message += f" (and {len(problems) - 1} more)"
        raise ConfigError(message, code="CONFIG_VALUE") from None


def _check_params(layers: Iterable[Layer], merged: Layer) -> None:
    """Refuse parameters of a strategy that no source names: a misspelt name would silently leave the defaults."""
    named: dict[str, None] = {}
    for layer in layers:
        value = layer.get(("predictor", "strategies"), ((), ""))[0]
        for item in value.split(",") if isinstance(value, str) else value:
            named |= dict.fromkeys(reference_aliases(item.strip()))
    for key, (_, origin) in merged.items():
        if key[:2] == ("predictor", "params") and key[2] not in named:
            raise _unknown(f"strategy in predictor.params.{key[2]}", key[2], named, origin)


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
_PATTERNS: Final = {
    "decision_interval": "is not an interval; write a whole number and s, m, h or d, such as 5m",
    "calendar": "is not a calendar's name",
    "name": "is not a name; start with a letter and use letters, digits, - and _",
}


def _sentence(problem: ErrorDetails, merged: Layer, names: Sequence[str]) -> str:
    location = [part for part in problem["loc"] if part not in {"tuple", "constrained-str"}]
    if location[:1] == ["portfolio"] and len(location) > 1:
        location[1] = names[int(location[1])]
    depth = 3 if location[:1] == ["portfolio"] or location[:2] == ["universe", "sectors"] else 2
    key = tuple(str(part) for part in location[:depth])
    if key not in merged:  # a rule between keys: its text names them
        where = f"[{'.'.join(key)}] " if key else ""
        return f"configuration: {where}{problem['msg']}"
    value, origin = merged[key]
    kind = problem["type"]
    if kind == "literal_error":
        expected = problem["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        words = f"must be one of {expected}"
        if isinstance(value, str) and (close := difflib.get_close_matches(value, expected.split(", "), n=1)):
            words += f"; did you mean {close[0]}?"
    elif kind == "string_pattern_mismatch":
        words = _PATTERNS[key[-1]]
    else:
        words = _WORDS.get(kind, problem["msg"])
    return f"{origin}: {'.'.join(key)} = {_shown(value)} {words}"


def _shown(value: object) -> str:
    if isinstance(value, Decimal):
        return plain(value) if value.is_finite() else str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return str(value)
