"""Command lines made from the table of methods: one verb per method, one flag per parameter."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from typing import Any, Final

from daemon.cli.ctl import options, wire
from daemon.cli.ctl.words import ANSWER, ANSWERS
from daemon.control.methods import METHODS, REASON, REQUEST_ID, Method, Param
from daemon.kernel.errors import UsageError

_ALIASES: Final = {("flatten", "deadline_s"): ("--deadline",), ("limits.set", "loosen"): ("--yes",)}
_ENTIRE: Final = {("limits.set", "set")}
"""Lists of text in which a comma is part of a text."""
_FOLDERS: Final = {("backup", "to")}
"""Parameters that are places here, where they are typed; the daemon stands somewhere else."""
_PARTS: Final = {
    ("order.submit", "bracket"): ("take_profit_px", "stop_px", "trail_amount", "trail_percent", "activation_px")
}
"""Numbers of which an object is made: each has a flag of its own beside the JSON of all of them."""
_METAVARS: Final = {"text": "TEXT", "number": "N", "integer": "N", "object": "JSON", "texts": "TEXT"}
_NUMBER: Final = Param("", "number", "")
_BARE: Final = "bare_"  # prefix under which argparse keeps what came without its flag


def parser(method: Method) -> options.Parser:
    """Return the command line of a method."""
    answer = ANSWERS.get(method.name, ANSWER).replace("\n", "\n  ")
    made = options.Parser(
        prog=f"{options.PROGRAM} {' '.join(method.verb)}",
        description=f"{method.doc[:1].upper()}{method.doc[1:]}.",
        epilog=f"example:\n  {method.example}\n\nanswers:\n  {answer}\n\nneeds the role {method.role}",
    )
    for param in method.params:
        if param.positional:
            many: Any = "*" if param.type == "texts" else "?"
            name = "KEY=VALUE" if param.type == "texts" else param.name
            made.add_argument(_BARE + param.name, nargs=many, metavar=name, type=_type(param), help=_doc(param))
    for param in method.params:
        _add(made, method, param)
    if method.mutating:
        needed = "; asked for on a terminal" if method.reason == "asked" else ""
        made.add_argument("--reason", metavar="TEXT", help=_escaped(REASON.doc + needed))
        made.add_argument("--request-id", metavar="TEXT", help=_escaped(f"{REQUEST_ID.doc}; random unless told"))
    if method.confirm:
        made.add_argument("--yes", action="store_true", help="do not ask; needed where there is no terminal to ask on")
    wait = f"{method.timeout_s:g} unless told" if method.timeout_s else "10 unless told"
    options.add_common(made, timeout=wait)
    return made


def _add(made: argparse.ArgumentParser, method: Method, param: Param) -> None:
    flags = (param.flag, *_ALIASES.get((method.name, param.name), ()))
    if param.positional and param.type == "texts":
        made.add_argument(*flags, dest=param.name, action="append", type=_type(param), help=argparse.SUPPRESS)
    elif param.positional:
        # The name may be said as well as meant: `order cancel --id X` is `order cancel X`.
        made.add_argument(*flags, dest=param.name, type=_type(param), help=argparse.SUPPRESS)
    elif param.type == "bool":
        made.add_argument(*flags, dest=param.name, action="store_true", default=None, help=_doc(param))
    elif param.type == "texts":
        made.add_argument(*flags, dest=param.name, action="append", metavar="TEXT[,TEXT]", help=_doc(param))
    else:
        metavar = "|".join(param.choices) or _METAVARS[param.type]
        made.add_argument(*flags, dest=param.name, type=_type(param), metavar=metavar, help=_doc(param))
    for part in _PARTS.get((method.name, param.name), ()):
        name = f"{param.name}_{part}"
        made.add_argument(Param(name, "number", "").flag, dest=name, type=_type(_NUMBER), help=argparse.SUPPRESS)


def _doc(param: Param) -> str:
    if param.later:
        return argparse.SUPPRESS
    needed = "; required" if param.required else ""
    chosen = f" ({', '.join(param.choices)})" if param.choices and param.positional else ""
    return _escaped(f"{param.doc}{chosen}{needed}")


def _escaped(text: str) -> str:
    return text.replace("%", "%%")  # argparse formats help texts


def _type(param: Param) -> Any:
    def read(typed: str) -> Any:
        try:
            return _value(param, typed)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _value(param: Param, typed: str) -> Any:
    if param.type == "number":
        return wire.Number.parse(typed)
    if param.type == "integer":
        if re.fullmatch(r"-?(0|[1-9][0-9]{0,18})", typed) is None:
            raise ValueError(f"{typed!r} is not a whole number")
        return wire.Number(typed)
    if param.type == "object":
        try:
            value = wire.loads(typed)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise ValueError(f"""{typed!r} is not a JSON object such as '{{"stop_px": 440}}'""")
        return value
    if param.choices and typed not in param.choices:
        raise ValueError(f"{typed!r} is not one of {', '.join(param.choices)}")
    return _encodable(typed)


def _encodable(typed: str) -> str:
    """Return text as UTF-8 can carry it; bytes of a shell that are none are refused here, with a sentence.

    Raises:
        ValueError: it is not UTF-8.
    """
    try:
        typed.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{typed!a} is not UTF-8 text") from None
    return typed


def params(method: Method, known: argparse.Namespace) -> dict[str, Any]:
    """Return what was typed, by the daemon's names, without what was not given.

    Raises:
        UsageError: a parameter is missing or came twice.
    """
    found: dict[str, Any] = {}
    for param in method.params:
        value = getattr(known, param.name)
        if param.positional:
            bare = getattr(known, _BARE + param.name) or None
            if bare is not None and value is not None:
                raise UsageError(f"{param.name} is given twice, as {bare} and as {param.flag} {value}")
            value = bare if value is None else value
        if (method.name, param.name) in _FOLDERS and value is not None:
            value = os.path.abspath(os.path.expanduser(value))  # noqa: PTH100, PTH111 - pathlib costs a start of its own
        if param.type == "texts" and value is not None and (method.name, param.name) not in _ENTIRE:
            value = [part.strip() for entry in value for part in entry.split(",") if part.strip()]
        value = _assembled(method, param, known, value)
        if value is not None:
            found[param.name] = value
        elif param.required:
            where = param.name.upper() if param.positional else param.flag
            raise UsageError(
                f"{' '.join(method.verb)} needs {where}: {param.doc}", remedy=f"such as `{method.example}`"
            )
    return found


def _assembled(method: Method, param: Param, known: argparse.Namespace, value: Any) -> Any:
    """Return an object with the parts that were said by flags of their own put in."""
    parts = {part: getattr(known, f"{param.name}_{part}") for part in _PARTS.get((method.name, param.name), ())}
    for part, number in parts.items():
        if number is None:
            continue
        value = {} if value is None else value
        if part in value:
            raise UsageError(f"{part} of {param.name} is given twice, in {param.flag} and as a flag of its own")
        value[part] = number
    return value


def find(words: Sequence[str]) -> tuple[Method, list[str]] | None:
    """Return the method whose verb begins a command line, and the rest; the longest verb wins."""
    for length in (2, 1):
        method = METHODS.get(".".join(words[:length]))
        if len(words) >= length and method is not None and len(method.verb) == length:
            return method, list(words[length:])
    return None


def verbs() -> dict[str, str]:
    """Return every verb of the table with its line of help."""
    return {" ".join(method.verb): method.doc for method in METHODS.values()}
