"""Finding strategies: built-in by name, in a file by path, in an installed package by entry point."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec
from msgspec import Struct

from actors.api import StrategySpec, spec_of
from actors.predictor.binding import StrategyBinding
from actors.predictor.models.manifest import load_manifest
from daemon.kernel.errors import OperatorError
from daemon.kernel.interrupt import InterruptError

GROUP: Final = "tradingd.strategies"
BUILT_IN: Final[Mapping[str, str]] = {
    "buy_and_hold": "actors.predictor.strategies.buy_and_hold",
    "mean_reversion": "actors.predictor.strategies.mean_reversion",
    "momentum": "actors.predictor.strategies.momentum",
    "multi_factor": "actors.predictor.strategies.multi_factor",
    "price_model": "actors.predictor.models.price_model",
}


class StrategyRow(Struct, frozen=True):
    """One line of ``tradingd strategy list``."""

    name: str
    form: str
    origin: str
    summary: str


class StrategyDescription(Struct, frozen=True):
    """What ``tradingd strategy show`` tells.

    ``lookback`` and ``horizon`` are those of the default parameters; ``params`` is a JSON Schema.
    """

    name: str
    form: str
    origin: str
    doc: str
    params: dict[str, Any]
    lookback: int
    bar: str | None
    fields: tuple[str, ...]
    horizon: str | int
    buy_and_hold: bool
    budget_ms: float
    model: str | None


def list_strategies() -> list[StrategyRow]:
    """Return built-in and installed strategies by name; an installed one that cannot be imported says so."""
    rows = []
    for name in BUILT_IN:
        spec, origin = resolve(name)
        rows.append(StrategyRow(name, spec.form, origin, spec.doc.partition("\n")[0]))
    for point in _installed().values():
        try:
            spec, origin = resolve(point.name)
        except OperatorError as error:
            rows.append(StrategyRow(point.name, "?", f"entry point {point.value}", f"cannot be used: {error}"))
        else:
            rows.append(StrategyRow(point.name, spec.form, origin, spec.doc.partition("\n")[0]))
    return sorted(rows, key=lambda row: row.name)


def resolve(reference: str, base: Path | None = None) -> tuple[StrategySpec, str]:
    """Find a strategy and tell where it came from.

    Args:
        reference: a name, or ``path/file.py:function`` (without the function if the file has but one strategy).
        base: folder that a relative path starts from; default: the working directory.

    Raises:
        OperatorError: nothing there, or the author's code cannot be imported; one sentence with file and line.
    """
    path, _, function = reference.rpartition(":") if ".py:" in reference else (reference, "", "")
    if path.endswith(".py"):
        return _from_file((base or Path.cwd()) / path, function)
    if reference in BUILT_IN:
        module = importlib.import_module(BUILT_IN[reference])
        return _only(module, reference, f"built-in {reference}"), "built-in"
    point = _installed().get(reference)
    if point is not None:
        return _from_entry_point(point)
    names = [*BUILT_IN, *_installed()]
    near = difflib.get_close_matches(reference, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(names))};"
    raise OperatorError(
        f"there is no strategy {reference!r}", code="NO_STRATEGY", remedy=f"{hint} your own: path/to/file.py:function"
    )


def describe(reference: str, base: Path | None = None) -> StrategyDescription:
    """Return all that can be said of a strategy without running it.

    Raises:
        OperatorError: as :func:`resolve`.
    """
    spec, origin = resolve(reference, base)
    return StrategyDescription(
        name=spec.name,
        form=spec.form,
        origin=origin,
        doc=spec.doc,
        params=msgspec.json.schema(spec.params),
        lookback=spec.rows(spec.params()),
        bar=spec.bar,
        fields=spec.fields,
        horizon=load_manifest(spec.model).horizon if spec.model is not None else spec.horizon,
        buy_and_hold=spec.buy_and_hold,
        budget_ms=spec.budget_ms,
        model=spec.model,
    )


def bind(
    reference: str,
    params: str | Mapping[str, Any] | None = None,
    *,
    base: Path | None = None,
    alias: str | None = None,
) -> StrategyBinding:
    """Find a strategy and give it parameters.

    Args:
        reference: as in :func:`resolve`.
        params: JSON text or a mapping; what is not named keeps its default.
        base: as in :func:`resolve`.
        alias: name in this run, where one strategy is used twice.

    Raises:
        OperatorError: as :func:`resolve`, or a parameter that does not fit, naming strategy and field.
    """
    spec, origin = resolve(reference, base)
    return bind_spec(spec, params, origin=origin, alias=alias)


def bind_spec(
    spec: StrategySpec,
    params: str | Mapping[str, Any] | None = None,
    *,
    origin: str = "built-in",
    alias: str | None = None,
) -> StrategyBinding:
    """As :func:`bind`, for a strategy already at hand."""
    try:
        if isinstance(params, str):
            value: Struct = msgspec.json.decode(params.encode(), type=spec.params)
        else:
            value = msgspec.convert(dict(params or {}), type=spec.params)
    except msgspec.ValidationError as error:
        raise OperatorError(
            f"strategy {spec.name}: {_sentence(error, spec)}",
            code="BAD_PARAMS",
            remedy=f"see tradingd strategy show {spec.name}",
        ) from None
    except msgspec.DecodeError as error:
        raise OperatorError(
            f"the parameters of strategy {spec.name} are no JSON: {error}",
            code="BAD_PARAMS",
            remedy="""write an object such as '{"lookback": 20}'""",
        ) from None
    spec.rows(value)
    model = None if spec.model is None else load_manifest(spec.model)
    return StrategyBinding(spec=spec, params=value, name=alias or spec.name, origin=origin, model=model)


def _sentence(error: msgspec.ValidationError, spec: StrategySpec) -> str:
    text = str(error)
    if "unknown field" in text:
        known = ", ".join(field.encode_name for field in msgspec.structs.fields(spec.params)) or "none at all"
        return f"{text} (its parameters are: {known})"
    return text


def _installed() -> dict[str, EntryPoint]:
    points = entry_points(group=GROUP)
    return {point.name: point for point in sorted(points, key=lambda p: (p.name, p.value), reverse=True)}


def _from_entry_point(point: EntryPoint) -> tuple[StrategySpec, str]:
    origin = f"entry point {point.value}"
    try:
        found = point.load()
    except (OperatorError, InterruptError):
        raise
    except BaseException as error:  # a file may well end in sys.exit()
        raise OperatorError(
            f"the installed strategy {point.name} ({point.value}) cannot be imported: {_located(error, None)}",
            code="STRATEGY_IMPORT",
        ) from error
    spec = spec_of(found)
    if spec is None:
        raise OperatorError(
            f"the installed strategy {point.name} ({point.value}) is no strategy",
            code="NO_STRATEGY",
            remedy="its entry point must name a function decorated with @strategy",
        )
    return msgspec.structs.replace(spec, name=point.name), origin


def _from_file(path: Path, function: str) -> tuple[StrategySpec, str]:
    if not path.is_file():
        raise OperatorError(
            f"there is no strategy file {path}", code="NO_STRATEGY_FILE", remedy="write path/to/file.py:function"
        )
    module = _load(path)
    if not function:
        return _only(module, None, str(path)), str(path)
    found = getattr(module, function, None)
    spec = spec_of(found)
    if spec is None:
        names = ", ".join(_strategies(module)) or "none"
        what = "is not decorated with @strategy" if callable(found) else "is not there"
        raise OperatorError(f"{path}: {function!r} {what}", code="NO_STRATEGY", remedy=f"strategies there: {names}")
    return spec, str(path)


def _load(path: Path) -> ModuleType:
    """Import a file under a name of its own, fresh each time, so that an edited file is seen."""
    name = f"tradingd_strategy_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise OperatorError(f"{path} cannot be imported as Python", code="STRATEGY_IMPORT")
    module = importlib.util.module_from_spec(spec)
    # String annotations are resolved through sys.modules.
    sys.modules[name] = module
    try:
        source = path.read_bytes()
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - running the user's own strategy
    except OperatorError as error:
        del sys.modules[name]
        raise OperatorError(f"{_place(error, path)}: {error.message}", code=error.code, remedy=error.remedy) from None
    except InterruptError:
        del sys.modules[name]
        raise
    except BaseException as error:  # a file may well end in sys.exit()
        del sys.modules[name]
        raise OperatorError(
            f"the strategy file cannot be imported: {_located(error, path)}",
            code="STRATEGY_IMPORT",
            remedy="correct the file and try again",
        ) from error
    return module


def _place(error: BaseException, path: Path) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _located(error: BaseException, path: Path | None) -> str:
    """Return ``file:line: Kind: message``, the line being the author's own where there is one."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    last = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"
    where = last if path is None else _place(error, path)
    return f"{where}: {type(error).__name__}: {error}"


def _strategies(module: ModuleType) -> dict[str, StrategySpec]:
    found = {}
    for attribute, value in vars(module).items():
        spec = spec_of(value)
        if spec is not None and value.__module__ == module.__name__:
            found[attribute] = spec
    return found


def _only(module: ModuleType, name: str | None, where: str) -> StrategySpec:
    found = _strategies(module)
    chosen = [spec for spec in found.values() if name is None or spec.name == name]
    if len(chosen) == 1:
        return chosen[0]
    if not found:
        raise OperatorError(f"{where} has no strategy in it", code="NO_STRATEGY", remedy="decorate it with @strategy")
    raise OperatorError(
        f"{where} has several strategies", code="NO_STRATEGY", remedy=f"say which: file.py:{' | file.py:'.join(found)}"
    )
