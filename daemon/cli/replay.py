"""``tradingd replay`` and ``tradingd demo``: recorded data through the same actors as live."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.cli.options import (
    ActionFiles,
    AsJson,
    ConfigFile,
    Profile,
    Sets,
    StatusFiles,
    check_profile,
    parse_adjustment,
    parse_date,
    parse_interval_option,
    parse_json_object,
    parse_zone,
)
from daemon.cli.render import note, one_line, progress, say
from daemon.kernel.errors import UsageError
from daemon.system.options import DEFAULT_SEED, ReplayOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.cli.render import Progress
    from daemon.system.replay import ReplayResult

SOURCES = ("sp500",)
EXAMPLE = """\b
Example: tradingd replay --bars bars.csv --strategy momentum --out runs/one
A line of --orders ("at": null is the start; cancel, replace: ops/orders.md):
  {"at": "2022-03-01T15:00:00Z", "submit": {"id": "a", "symbol": "AAPL",
   "side": "buy", "qty": 10, "type": "limit", "limit_px": 150, "tif": "gtc"}}"""
FLAG_NAMES = {"sets": "set", "start": "from", "end": "to"}
UNTOLD = ("out", "as_json", "durable", "events")  # they change where a run goes, not what happens in it
Flags = dict[tuple[str, ...], tuple[object, str]]


def replay(
    context: typer.Context,
    *,
    config: ConfigFile = None,
    profile: Profile = None,
    sets: Sets = None,
    bars: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Bars: CSV, CSV.gz or Parquet with ts symbol open high low close volume; a tape, or a folder of them.",
        ),
    ] = None,
    quotes: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="Quotes: ts symbol bid_px bid_size ask_px ask_size.")
    ] = None,
    trades: Annotated[list[Path] | None, typer.Option(metavar="PATH", help="Trades: ts symbol price size.")] = None,
    news: Annotated[list[Path] | None, typer.Option(metavar="PATH", help="Headlines: ts symbols headline.")] = None,
    status: StatusFiles = None,
    actions: ActionFiles = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Embedded data instead of --bars: sp500.", show_default=False)
    ] = None,
    adjustment: Annotated[
        str | None, typer.Option(metavar="KIND", help="What the prices have folded in: raw, split or total.")
    ] = None,
    tz: Annotated[str | None, typer.Option(metavar="ZONE", help="Zone of times that state no offset.")] = None,
    orders: Annotated[Path | None, typer.Option(metavar="FILE", help="Scripted orders, JSON lines.")] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Name or FILE.py:FUNCTION; may be repeated; every portfolio follows them."),
    ] = None,
    params: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="Parameters or @FILE; of several strategies an object by name."),
    ] = None,
    interval: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Bars to replay: 1d, 1m, 5m; default as in the data.")
    ] = None,
    start: Annotated[str | None, typer.Option("--from", metavar="DATE", help="First exchange date.")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="DATE", help="Last exchange date.")] = None,
    cash: Annotated[str | None, typer.Option(metavar="AMOUNT", help="Opening cash of every portfolio.")] = None,
    benchmark: Annotated[str | None, typer.Option(metavar="SYMBOL", help="Symbol to compare with.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Root of every random number.")] = DEFAULT_SEED,
    durable: Annotated[bool, typer.Option("--durable", help="Write every commit to disk as live does.")] = False,
    events: Annotated[bool, typer.Option("--events", help="Write events.jsonl too.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Run folder, replaced if it is one; default: a new one under [paths] state_dir.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay recorded market data through every actor and write a run folder."""
    from config.sources import load_settings

    _check_sources(bars, source, ticks=bool(quotes or trades))
    flags = _flags(strategy or [], params, cash, benchmark)
    loaded = load_settings(
        file=config, profile=check_profile(profile), sets=sets or (), environ=os.environ, flags=flags
    )
    date_from, date_to = _dates(start, end)
    options = ReplayOptions(
        out=out if out is not None else _new_folder(loaded.settings.paths.state_dir),
        source=source,
        bars=tuple(bars or ()),
        quotes=tuple(quotes or ()),
        trades=tuple(trades or ()),
        news=tuple(news or ()),
        status=tuple(status or ()),
        actions=tuple(actions or ()),
        adjustment=parse_adjustment(adjustment),
        tz=parse_zone(tz),
        orders=orders,
        interval=parse_interval_option(interval),
        date_from=date_from,
        date_to=date_to,
        seed=seed,
        durable=durable,
        events=events,
        profile=loaded.profile,
        command=_command(context.params),
    )

    from daemon.system.replay import run_replay  # after the options were checked: it takes a while

    _show(lambda update: run_replay(options, loaded.settings, update), "replay", as_json=as_json)


def _dates(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    date_from, date_to = parse_date("--from", start), parse_date("--to", end)
    if date_from is not None and date_to is not None and date_from > date_to:
        message = f"--from {start} is after --to {end}"
        raise UsageError(message, code="DATES", remedy="exchange them")
    return date_from, date_to


def _command(typed: Mapping[str, object]) -> str:
    """Return what one types to repeat a run: every option that shapes it, none that only says where it goes."""
    words = ["tradingd", "replay"]
    for name, value in typed.items():
        if name in UNTOLD or (name, value) == ("profile", "plan"):
            continue
        flag = f"--{FLAG_NAMES.get(name, name)}"
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None:
                words += [flag, str(one)]
    return shlex.join(words)


def _check_sources(bars: Sequence[Path] | None, source: str | None, *, ticks: bool) -> None:
    if (bars and source) or not (bars or source or ticks):
        what = "both --bars and --source are given" if bars else "there is no data"
        raise UsageError(what, code="SOURCE", remedy="give --bars PATH or --source sp500")
    if source is not None and source not in SOURCES:
        message = f"--source {source} is unknown"
        raise UsageError(message, code="SOURCE", remedy=f"choose from {', '.join(SOURCES)}")


def _flags(strategies: list[str], params: str | None, cash: str | None, benchmark: str | None) -> Flags:
    """Return what the options say that a configuration file could say as well."""
    flags: Flags = {}
    if strategies:
        flags["predictor", "strategies"] = (strategies, "--strategy")
        flags["portfolio", "strategies"] = (None, "--strategy")
    if params is not None:
        flags |= _params(strategies, parse_json_object("--params", params))
    if cash is not None:
        flags["portfolio", "cash"] = (cash, "--cash")
    if benchmark is not None:
        flags["universe", "benchmark"] = (benchmark, "--benchmark")
    return flags


def _params(strategies: list[str], found: dict[str, Any]) -> Flags:
    if not strategies:
        message = "--params belongs to no --strategy"
        raise UsageError(message, code="PARAMS", remedy="name one with --strategy, or use the configuration file")
    tables = {strategies[0]: found} if len(strategies) == 1 else found
    flags: Flags = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            message = f"--params: {name} is not an object of parameters"
            raise UsageError(message, code="PARAMS", remedy="of several strategies write an object by --strategy name")
        for key, value in table.items():
            flags["predictor", "params", name, key] = (value, "--params")
    return flags


def _new_folder(state_dir: Path) -> Path:
    return state_dir.expanduser() / "runs" / time.strftime("%Y%m%d-%H%M%S", time.gmtime())


def demo(
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Run folder, replaced if it is one.")] = Path("demo"),
    as_json: AsJson = False,
) -> None:
    """Replay 20 large US stocks, 2015 to 2022, through every actor: no account, no network, under half a minute."""
    from daemon.system.demo import run_demo

    _show(lambda update: run_demo(out, update), "demo", as_json=as_json)


def _show(run: Callable[[Progress | None], ReplayResult], label: str, *, as_json: bool) -> None:
    """Run with progress on stderr, then print the result block or the metrics."""
    from daemon.cli.startup import check_packages

    check_packages()
    # What a strategy prints is talk, and must not get between the lines of --json.
    with redirect_stdout(sys.stderr), progress(label) as update:
        result = run(update)
    for notice in result.notices:
        note(f"note: {one_line(notice)}")
    if as_json:
        say((result.folder / "metrics.json").read_text("utf-8").rstrip("\n"))
        return
    from daemon.cli.summary import result_block

    say(result_block(result))
