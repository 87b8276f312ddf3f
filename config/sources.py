"""Where values come from: defaults < profile < file < environment < ``--set`` < flags of the command line.

Every source is flattened to ``key -> (value, origin)`` before they are laid over each other, so that each value of the
result knows its origin and each unknown key is refused with the name of the source that holds it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from config.sentences import ENV_PREFIX, Key, key_name, sentence, unknown
from config.settings import PROFILES, Settings, reference_aliases
from daemon.kernel.errors import ConfigError

Layer = dict[Key, tuple[Any, str]]


def nested_model(info: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a section itself, such as ``[feed.playback]``."""
    model = type(info.get_default(call_default_factory=True))
    return model if issubclass(model, BaseModel) else None


def table_model(info: FieldInfo) -> type[BaseModel] | None:
    """Return the model of the tables of a field that holds some by name, such as ``[risk.symbols.AAPL]``."""
    arguments = get_args(info.annotation)
    is_table = get_origin(info.annotation) is dict and isinstance(arguments[1], type)
    return arguments[1] if is_table and issubclass(arguments[1], BaseModel) else None


def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return a section's fields by the keys that people write (``from`` is a word of Python's)."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


_PROBLEMS_MAX: Final = 5  # told in one sentence
SECTIONS: Final[dict[str, type[BaseModel]]] = {
    name: model for name, info in Settings.model_fields.items() if (model := nested_model(info)) is not None
}
_BY_NAME: Final = {
    ("universe", "sectors"): "sectors by symbol",
    ("risk", "symbols"): "limits by symbol",
    ("risk", "sectors"): "shares by sector",
    ("risk", "portfolios"): "limits by portfolio",
}
"""Sections whose keys are names, written as they are."""
_PORTFOLIO: Final = type(Settings.model_fields["portfolio"].default[0])


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked to be read, so that a reload can ask for the same again.

    Attributes:
        file: TOML file, or None.
        profile: as the command line names it; None leaves it to the file, and else it is ``plan``.
        sets: ``section.key=value`` texts, the last wins.
        environ: variables; those named ``TRADINGD_SECTION__KEY`` count.
        flags: key -> (value, flag), for options that are shorthand for a key; ``("portfolio", "cash")`` means every
            portfolio's.
    """

    file: Path | None
    profile: str | None
    sets: tuple[str, ...]
    environ: Mapping[str, str]
    flags: Mapping[Key, tuple[object, str]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and where they come from.

    Attributes:
        origins: dotted key -> ``profile frictionless``, a file's name, a variable's name, ``--set`` or a flag; keys
            that are not there have their default.
        profile: the profile's name.
        file: the file read, or None.
        request: what was read.
        merged: what the sources said, laid over each other.
    """

    settings: Settings
    origins: Mapping[str, str]
    profile: str
    file: Path | None
    request: Request
    merged: Layer = field(default_factory=dict)


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
        raise unknown(f"portfolio {name}", name, self.names, origin)


def load_settings(
    *,
    file: Path | None,
    profile: str | None,
    sets: Sequence[str],
    environ: Mapping[str, str],
    flags: Mapping[Key, tuple[object, str]] | None = None,
) -> Loaded:
    """Lay all sources over each other and validate the result. Arguments: see :class:`Request`.

    Raises:
        ConfigError: one sentence that names source and key.
    """
    return load(Request(file, profile, tuple(sets), dict(environ), dict(flags or {})))


def load(request: Request) -> Loaded:
    """Read what a request names; as :func:`load_settings`."""
    file, environ = request.file, request.environ
    tree = _read(file) if file is not None else {}
    profile, profile_origin = _chosen_profile(request.profile, tree, str(file))
    portfolios = _Portfolios(_portfolio_names(tree, str(file)))
    layers: list[Layer] = [_folders(environ)]
    if profile != "plan":
        layers.append(_flatten(_profile(profile), f"profile {profile}", portfolios))
    if file is not None:
        layers.append(_flatten(tree, str(file), portfolios, base=file.parent))
    layers.append(_environment(environ, portfolios))
    layers += [_set(text, portfolios) for text in request.sets]
    layers += [_locate(key, value, flag, portfolios) for key, (value, flag) in request.flags.items()]
    merged: Layer = {}
    for layer in layers:
        merged |= layer
    settings = _validate(merged, portfolios.names)
    _check_params(layers, merged)
    origins = {".".join(key): origin for key, (_, origin) in merged.items()}
    if profile_origin:
        origins["profile"] = profile_origin
    return Loaded(settings, origins, profile, file, request, merged)


def laid_over(loaded: Loaded, assignments: Sequence[tuple[Key, str]], origin: str) -> Settings:
    """Return the settings with some keys said anew, validated as any source is; no source is read again.

    Args:
        loaded: the settings in force.
        assignments: key and value as ``--set`` would write it, the last wins.
        origin: named where one of them does not hold.

    Raises:
        ConfigError: one sentence that names the key.
    """
    names = [portfolio.name for portfolio in loaded.settings.portfolio]
    merged = dict(loaded.merged)
    for key, text in assignments:
        merged |= _locate(key, text, origin, _Portfolios(list(names)), text=True)
    return _validate(merged, names)


def _chosen_profile(asked: str | None, tree: dict[str, Any], origin: str) -> tuple[str, str]:
    """Return the profile and who named it; takes the key out of the file's tree."""
    written = tree.pop("profile", None)
    for name, source in ((asked, "--profile"), (written, origin)):
        if name is None:
            continue
        if not isinstance(name, str):
            raise ConfigError(f"{source}: profile is not text", code="CONFIG_TYPE", remedy='write profile = "plan"')
        if name not in PROFILES:
            raise unknown(f"profile {name}", name, PROFILES, source)
        return name, source
    return "plan", ""


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
    except (RecursionError, ValueError, ArithmeticError):
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
            raise unknown(section if isinstance(content, Mapping) else f"key {section}", section, _sections(), origin)
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
        elif _is_path(key):
            layer[key] = (_beside(value, base), origin)


def _is_path(key: Key) -> bool:
    """Whether a key holds one path or a list of them."""
    model: type[BaseModel] | None = SECTIONS.get(key[0])
    for part in key[1:-1]:
        info = keys_of(model).get(part) if model is not None else None
        model = nested_model(info) if info is not None else None
    return model is not None and "pathlib" in str(keys_of(model)[key[-1]].annotation)


def _beside(value: object, base: Path) -> object:
    if isinstance(value, list | tuple):
        return [_beside(item, base) for item in value]
    if not isinstance(value, str) or value.startswith("~"):
        return value
    names = [name.strip() for name in value.split(",") if name.strip()]
    return ",".join(str(base / name) for name in names)


def _anchored(item: object, base: Path) -> object:
    if not isinstance(item, str):
        return item
    item = item.strip()
    is_file = item.endswith(".py") or ".py:" in item
    return str(base / item) if is_file and not item.startswith("~") else item


def _folders(environ: Mapping[str, str]) -> Layer:
    """Return the defaults that systemd (the folders it made for us, the first of several) and the session give."""
    layer: Layer = {}
    for leaf, name in (("state_dir", "STATE_DIRECTORY"), ("runtime_dir", "RUNTIME_DIRECTORY")):
        if folder := environ.get(name, "").split(":")[0]:
            layer["paths", leaf] = (folder, name)
    session = environ.get("XDG_RUNTIME_DIR", "")
    if ("paths", "runtime_dir") not in layer and session.startswith("/"):
        layer["paths", "runtime_dir"] = (str(Path(session) / "tradingd"), "XDG_RUNTIME_DIR")
    return layer


def _environment(environ: Mapping[str, str], portfolios: _Portfolios) -> Layer:
    layer: Layer = {}
    # The more specific name comes later and wins: one portfolio's key over every portfolio's.
    for name in sorted(environ, key=lambda name: (name.count("__"), name)):
        # Variables without a double underscore (TRADINGD_DEBUG) are no configuration keys.
        if not name.startswith(ENV_PREFIX) or "__" not in name:
            continue
        key = tuple(part.lower() for part in name.removeprefix(ENV_PREFIX).split("__"))
        if key[:2] in _BY_NAME:  # what follows is a name, such as a symbol
            key = (*key[:2], *name.removeprefix(ENV_PREFIX).split("__")[2:3], *key[3:])
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
            raise unknown(
                key_name(key, origin),
                leaf,
                _PORTFOLIO.model_fields,
                origin,
                prefix=key[:-1],
                elsewhere=_elsewhere(leaf),
            )
        parsed = _parse(value, _PORTFOLIO.model_fields[leaf]) if text else value
        return {("portfolio", each, leaf): (parsed, origin) for each in portfolios.select(name, origin)}
    if section not in SECTIONS or not rest:
        raise unknown(key_name(key, origin), section, _sections(), origin, prefix=(), suffix=rest)
    leaf = rest[0]
    if (section, leaf) in _BY_NAME:
        return _named(section, leaf, rest[1:], value, origin, text=text)
    if (section, leaf) == ("predictor", "params"):
        return _params(rest[1:], value, origin, text=text)
    return _leaf(SECTIONS[section], (section,), rest, value, origin, text=text)


def _elsewhere(leaf: str) -> Key:
    """Return the key of that name where exactly one section has it, else ()."""
    found = [(section, leaf) for section, model in SECTIONS.items() if leaf in keys_of(model)]
    return found[0] if len(found) == 1 else ()


def _leaf(model: type[BaseModel], prefix: Key, rest: Key, value: object, origin: str, *, text: bool) -> Layer:
    """Return the leaves that ``rest`` means inside a section; a table of a nested section means several."""
    leaf, fields = rest[0], keys_of(model)
    if leaf in fields and get_origin(fields[leaf].annotation) is dict:
        return _entries((*prefix, leaf), rest[1:], value, origin, text=text)
    nested = nested_model(fields[leaf]) if leaf in fields else None
    if nested is None:
        if leaf not in fields or len(rest) > 1:
            named = key_name((*prefix, *rest), origin)
            raise unknown(named, leaf, fields, origin, prefix=prefix, elsewhere=_elsewhere(leaf))
        return {(*prefix, leaf): (_parse(value, fields[leaf]) if text else value, origin)}
    path = (*prefix, leaf)
    if len(rest) > 1:
        return _leaf(nested, path, rest[1:], value, origin, text=text)
    table = _toml_value(value) if text and isinstance(value, str) else value
    if not isinstance(table, Mapping):
        message = f"{origin}: {'.'.join(path)} is a section"
        raise ConfigError(message, code="CONFIG_TYPE", remedy=f"write [{'.'.join(path)}] and its keys below")
    layer: Layer = {}
    for key, item in table.items():
        layer |= _leaf(nested, path, (key,), item, origin, text=False)
    return layer


def _entries(path: Key, rest: Key, value: object, origin: str, *, text: bool) -> Layer:
    """Return the leaves of a table of numbers by name inside a nested section, such as weights of sources."""
    parsed = _toml_value(value) if text and isinstance(value, str) else value
    table = {".".join(rest): parsed} if rest else parsed
    if not isinstance(table, Mapping):
        message = f"{origin}: {'.'.join(path)} is a section"
        raise ConfigError(message, code="CONFIG_TYPE", remedy=f"write [{'.'.join(path)}] and NAME = ... below")
    return {(*path, name): (item, origin) for name, item in table.items()}


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


def _named(section: str, leaf: str, path: Key, value: object, origin: str, *, text: bool) -> Layer:
    """Return the leaves of a table whose keys are names: of values (sectors by symbol), or of tables with keys."""
    where = f"{section}.{leaf}"
    info = SECTIONS[section].model_fields[leaf]
    model = table_model(info)
    parsed = _toml_value(value) if text and isinstance(value, str) and (model is not None or not path) else value
    tables = parsed if not path else {path[0]: parsed if len(path) == 1 else {path[1]: value}}
    if len(path) > (1 if model is None else 2) or not isinstance(tables, Mapping):
        message = f"{origin}: {where} is a table of {_BY_NAME[section, leaf]}"
        raise ConfigError(message, code="CONFIG_TYPE", remedy=f"write [{where}] and NAME = ... below")
    layer: Layer = {}
    for name, content in tables.items():
        if model is None:
            plain_value = _toml_value(content) if text and isinstance(content, str) and section == "risk" else content
            layer[section, leaf, name] = (plain_value, origin)
        elif not isinstance(content, Mapping):
            message = f"{origin}: {where}.{name} is a section"
            raise ConfigError(message, code="CONFIG_TYPE", remedy=f"write [{where}.{name}] and its keys below")
        else:
            for key, item in content.items():
                layer |= _leaf(model, (section, leaf, name), (key,), item, origin, text=text)
    return layer


def _json_like(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [_json_like(item) for item in value]
    if isinstance(value, dict):
        return {key: _json_like(item) for key, item in value.items()}
    return value


def _parse(value: object, info: FieldInfo) -> object:
    """Read a variable's or flag's text as TOML would, save where the field is text or a list of texts itself."""
    if not isinstance(value, str):
        return value
    annotation = str(info.annotation)
    is_text = annotation in {"<class 'str'>", "<class 'pathlib.Path'>"} and not value.startswith(('"', "'"))
    is_list = "tuple" in annotation and not value.startswith("[")
    return value if is_text or is_list else _toml_value(value)


def _toml_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"v = {text}", parse_float=Decimal)
    except (tomllib.TOMLDecodeError, ArithmeticError):
        return text
    return parsed["v"] if len(parsed) == 1 else text


def _sections() -> list[str]:
    return [*SECTIONS, "portfolio"]


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
        told = dict.fromkeys(sentence(problem, merged, names) for problem in problems)  # a fault may show twice
        message = "; also ".join([*told][:_PROBLEMS_MAX])
        if len(told) > _PROBLEMS_MAX:
            message += f" (and {len(told) - _PROBLEMS_MAX} more)"
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
            raise unknown(f"strategy in predictor.params.{key[2]}", key[2], named, origin)
