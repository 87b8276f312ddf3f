"""``tradingd config``: look at the configuration, check it, start one."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.options import AsJson, ConfigFile, Profile, Sets, check_profile
from daemon.cli.render import counted, note, one_line, say, say_json, table
from daemon.kernel.errors import OperatorError

if TYPE_CHECKING:
    from config.sources import Loaded

app = typer.Typer(help="Look at the configuration, check it, start one.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(
    *,
    config: ConfigFile = None,
    profile: Profile = None,
    sets: Sets = None,
    origin: Annotated[
        bool,
        typer.Option("--origin", help="Say where each value comes from, and whether a running daemon takes it over."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print every key with its value, default and bounds; with --origin also where it comes from."""
    from config import show as view

    loaded = _load(config, profile, sets)
    if as_json:
        say(view.rows_json(loaded))
        return
    columns = ["key", "value", "default", "bounds", *(["reload", "origin"] if origin else [])]
    cells = []
    for row in view.rows(loaded):
        more = ["yes" if row.reloadable else "", row.origin] if origin else []
        cells.append([row.key, row.value, row.default, row.bounds, *more])
    say(table(columns, cells))


@app.command(short_help="Check a configuration; exit 78 where it does not hold.")
def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Configuration file (TOML).", show_default=False)
    ] = None,
    *,
    config: ConfigFile = None,
    profile: Profile = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Check a configuration, the files, strategies and groups it names; exit 78 where a start would be refused."""
    from config.params import portfolio_specs
    from config.settings import settings_digest
    from daemon.system.opening import rehearse

    loaded = _load(file or config, profile, sets)
    specs = portfolio_specs(loaded.settings)
    digest = settings_digest(loaded.settings)
    notices = rehearse(loaded.settings)
    if as_json:
        say_json({"schema": "tradingd.config-check/1", "ok": True, "digest": digest, "notices": notices})
        return
    for notice in notices:
        note(f"note: {one_line(notice)}")
    source = loaded.file if loaded.file is not None else "the defaults"
    changed = sum(1 for row_origin in loaded.origins.values() if row_origin)
    counts = f"{counted(changed, 'key')} set, {counted(len(specs), 'portfolio')}"
    say(f"{source}: ok; {counts}, digest {digest[:16]}")


@app.command()
def schema(*, as_json: AsJson = False) -> None:
    """Print the JSON Schema of a configuration file, for editors."""
    from config import show as view

    del as_json  # there is nothing but JSON to print
    say(view.schema())


@app.command(short_help="Write a configuration file to start from.")
def init(
    path: Annotated[Path, typer.Argument(metavar="[FILE]", help="File to write.")] = Path("tradingd.toml"),
) -> None:
    """Write a configuration file to start from, and the folders it lies in; never over an existing one."""
    text = resources.files("config").joinpath("example.toml").read_text("utf-8")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)  # as the next steps of install-service --user need it
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        message = f"{path} exists already"
        raise OperatorError(message, code="EXISTS", remedy="name another file") from None
    note(f"wrote {path}; check it with: tradingd config check {path}")


def _load(config: Path | None, profile: str | None, sets: list[str] | None) -> Loaded:
    from config.sources import load_settings

    return load_settings(file=config, profile=check_profile(profile), sets=sets or (), environ=os.environ)
