"""``tradingd strategy``: what can be run, and whether one of your own holds."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.options import AsJson, parse_json_object
from daemon.cli.render import pairs, say, say_json, table
from daemon.kernel.errors import OperatorError

app = typer.Typer(help="List, show, start and check strategies.", no_args_is_help=True, rich_markup_mode=None)

Reference = Annotated[
    str, typer.Argument(metavar="NAME", help="A name from the list, or FILE.py:FUNCTION.", show_default=False)
]


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """List built-in and installed strategies."""
    from actors.predictor.registry import list_strategies

    rows = list_strategies()
    columns = ("name", "form", "origin", "summary")
    if as_json:
        found = [{column: getattr(row, column) for column in columns} for row in rows]
        say_json({"schema": "tradingd.strategies/1", "rows": found})
    else:
        say(table(columns, [[getattr(row, column) for column in columns] for row in rows]))


@app.command()
def show(reference: Reference, *, as_json: AsJson = False) -> None:
    """Show what a strategy does, needs and can be tuned by."""
    import msgspec

    from actors.predictor.registry import describe

    with redirect_stdout(sys.stderr):  # what its file prints is talk
        found = describe(reference)
    if as_json:
        say_json({"schema": "tradingd.strategy/1", **msgspec.to_builtins(found)})
        return
    facts = [
        ("name", found.name),
        ("origin", found.origin),
        ("form", found.form),
        ("lookback", f"{found.lookback} bars"),
        ("bars", found.bar or "as the run's"),
        ("fields", ", ".join(found.fields)),
        ("horizon", found.horizon if isinstance(found.horizon, str) else f"{found.horizon} bars"),
        ("automatic exits", "off" if found.buy_and_hold else "on"),
        ("model", found.model or "none"),
        ("budget", f"{found.budget_ms:g} ms a decision"),
    ]
    say("\n\n".join(part for part in (found.doc, pairs(facts), _parameters(found.params)) if part))


@app.command(
    short_help="Write a strategy with its test and parameters, to start from.",
    epilog="Example: tradingd strategy new my_idea && tradingd strategy check my_idea.py:my_idea",
)
def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Lower-case name; also that of the files.", show_default=False)
    ],
    *,
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where to write.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Write a strategy that runs, its test and its parameters, to start from."""
    from actors.predictor.scaffold import new_strategy

    files = new_strategy(name, folder)
    if as_json:
        say_json({"schema": "tradingd.strategy-new/1", "files": [str(file) for file in files]})
        return
    for file in files:
        say(f"wrote {file}")
    say(f"next: tradingd strategy check {files[0]}:{name}")


@app.command(short_help="Put a strategy through ten checks, from determinism to look-ahead.")
def check(
    reference: Reference,
    *,
    params: Annotated[
        str | None, typer.Option(metavar="JSON", help="Parameters, or @FILE that holds them; default: its own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put a strategy through ten checks: determinism, causality, bounds, I/O, latency. They prove nothing of profit."""
    from actors.predictor.check import check_strategy

    given = parse_json_object("--params", params) if params is not None else None
    with redirect_stdout(sys.stderr):  # what the strategy prints is talk
        results = check_strategy(reference, given)
    ok = all(result.ok for result in results)
    if as_json:
        checks = [{"name": r.name, "ok": r.ok, "detail": r.detail} for r in results]
        say_json({"schema": "tradingd.strategy-check/1", "strategy": reference, "ok": ok, "checks": checks})
    else:
        say(table(["check", "holds", "found"], [[r.name, "yes" if r.ok else "NO", r.detail] for r in results]))
    if not ok:
        failed = ", ".join(result.name for result in results if not result.ok)
        message = f"{reference} fails: {failed}"
        raise OperatorError(message, code="STRATEGY_CHECK", remedy="the table says why; mend it and check again")


def _parameters(schema: dict[str, object]) -> str:
    definitions = schema.get("$defs", {})
    rows = []
    for definition in definitions.values() if isinstance(definitions, dict) else ():
        for name, entry in definition.get("properties", {}).items():
            bounds = " ".join(f"{word} {entry[key]}" for key, word in _BOUNDS.items() if key in entry)
            rows.append([name, entry.get("type", ""), entry.get("default", ""), bounds, entry.get("description", "")])
    if not rows:
        return "no parameters"
    columns = ["parameter", "type", "default", "bounds", "meaning"]
    shown = len(columns) if any(row[-1] for row in rows) else len(columns) - 1  # authors may leave meanings out
    return table(columns[:shown], [row[:shown] for row in rows])


_BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
