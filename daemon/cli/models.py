"""``tradingd model``: which models there are, where they come from, and whether they are what they say."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.cli.options import AsJson, ConfigFile, Sets
from daemon.cli.render import note, one_line, pairs, progress, say, say_json, table
from daemon.kernel.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.predictor.text.store import Found, ModelStore

app = typer.Typer(help="List, fetch, import, export and verify models.", no_args_is_help=True, rich_markup_mode=None)

Reference = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A name from the list, NAME@VERSION, or a model folder.", show_default=False),
]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="What it shall be called.", show_default=False)]
Full = Annotated[
    bool, typer.Option("--fp32", help="Leave weights in float32: four times the size, a third of the speed.")
]
Keep = Annotated[bool, typer.Option("--keep-fp32", help="Keep the float32 form, too, for verify to compare with.")]


@app.command("list")
def list_(*, config: ConfigFile = None, sets: Sets = None, as_json: AsJson = False) -> None:
    """List models that ship and models that were fetched or imported."""
    rows = [*_text_rows(_store(config, sets)), *_price_rows()]
    if as_json:
        say_json({"schema": "tradingd.models/1", "rows": rows})
        return
    columns = ("name", "version", "kind", "origin", "in_use", "bytes", "base")
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    say(table([column.replace("_", " ") for column in columns], cells, right=["bytes"]))
    for row in rows:
        if row["fault"]:
            note(one_line(f"{row['name']}@{row['version']}: {row['fault']}"))


@app.command()
def show(reference: Reference, *, config: ConfigFile = None, sets: Sets = None, as_json: AsJson = False) -> None:
    """Show what a model was made from, what its outputs mean and how good it was on data it had not seen."""
    import msgspec

    if (name := _price_name(reference)) is not None:
        from actors.predictor.models.manifest import load_manifest

        price = load_manifest(name)
        found = {"model": price.model_id, **msgspec.to_builtins(price)}
    else:
        from actors.predictor.text.manifest import read_text_manifest

        folder = _store(config, sets).find(reference)
        manifest = read_text_manifest(folder)
        found = {"model": manifest.model_id, "folder": str(folder), **msgspec.to_builtins(manifest)}
    if as_json:
        say_json({"schema": "tradingd.model/1", **found})
        return
    say(pairs({name: _shown(value) for name, value in found.items() if name not in {"confidence", "metrics"}}))
    metrics = found["metrics"]
    _say_metrics(metrics if all(isinstance(value, dict) for value in metrics.values()) else {"out of sample": metrics})


@app.command("import", short_help="Bring in a model: a folder, an .onnx or a .safetensors file.")
def import_(
    source: Annotated[
        Path, typer.Argument(metavar="DIR|FILE", help="Model folder, .onnx or .safetensors file.", show_default=False)
    ],
    *,
    name: Name = "",
    labels: Annotated[
        str,
        typer.Option(
            metavar="A,B,C", help="Order of the model's outputs where no config.json says it.", show_default=False
        ),
    ] = "",
    fp32: Full = False,
    keep_fp32: Keep = False,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Check a model, convert it where need be, try it in a process of its own, and make it the one in use.

    Reads ONNX (one file, standard operators) and the safetensors of BERT classifiers, which become ONNX in eight bits.
    Labels are read from config.json and tried with sentences whose tone is not in doubt. Until the last check has
    passed, whatever was in use stays in use.
    """
    from actors.predictor.text.importing import Asked, import_model

    asked = Asked(name=name, labels=[part for part in labels.split(",") if part], fp32=fp32, keep_fp32=keep_fp32)
    with progress(f"import {source.name}", quiet=as_json):
        found = import_model(source, _store(config, sets), asked)
    _say_installed(found, config, sets, as_json=as_json)


@app.command(short_help="Fetch a known model from its hub.")
def fetch(
    known: Annotated[
        str, typer.Argument(metavar="NAME", help="A model the program knows: finbert.", show_default=False)
    ],
    *,
    hub: Annotated[
        str, typer.Option(metavar="URL", help="Where to fetch from, such as a mirror.", show_default=False)
    ] = "",
    fp32: Full = False,
    keep_fp32: Keep = False,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a model over HTTPS at a pinned revision, every file checked by its SHA-256, then import it.

    What a broken connection has left is taken up again by the next try.
    """
    from actors.predictor.text.hub import discard_fetched, fetch_model
    from actors.predictor.text.importing import import_model

    store = _store(config, sets)
    with progress(f"fetch {known}", quiet=as_json) as update:
        folder, asked = fetch_model(known, store, hub, update)
    with progress(f"import {known}", quiet=as_json):
        found = import_model(folder, store, asked._replace(fp32=fp32, keep_fp32=keep_fp32))
    discard_fetched(known, store)
    _say_installed(found, config, sets, as_json=as_json)


@app.command(short_help="Make another version of an installed model the one in use.")
def use(
    reference: Annotated[
        str, typer.Argument(metavar="NAME@VERSION", help="A version from the list.", show_default=False)
    ],
    *,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Make another version the one its name means, such as the one before; a running daemon keeps what it has."""
    name, _, version = reference.partition("@")
    _store(config, sets).activate(name, version)
    if as_json:
        say_json({"schema": "tradingd.model-use/1", "model": reference})
    else:
        say(f"{name} is now {reference}")


@app.command("export")
def export_(
    reference: Reference,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to write, which does not exist yet.", show_default=False)
    ],
    *,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Copy a verified model into a folder that tradingd model import reads on another machine."""
    from actors.predictor.text.importing import export_model

    if (name := _price_name(reference)) is not None:
        message = f"{name} is a price model, which ships with the package"
        raise OperatorError(message, code="NO_MODEL", remedy=f"tradingd model show {name} tells what made it")
    manifest = export_model(_store(config, sets).find(reference), folder)
    if as_json:
        files = [str(folder / name) for name in ("manifest.json", *manifest.files)]
        say_json({"schema": "tradingd.model-export/1", "model": manifest.model_id, "files": files})
    else:
        say(f"wrote {manifest.model_id} to {folder}")


@app.command(short_help="Check a model's files, labels and answers; exit 0 only if all hold.")
def verify(reference: Reference, *, config: ConfigFile = None, sets: Sets = None, as_json: AsJson = False) -> None:
    """Check a model: digests, structure, schema, label order, odd texts, independence, eight bits against float32."""
    if (name := _price_name(reference)) is not None:
        checks = _verify_price(name)
    else:
        from actors.predictor.text.verify import verify_text_model

        with progress(f"verify {reference}", quiet=as_json):
            checks = [check._asdict() for check in verify_text_model(_store(config, sets).find(reference))]
    ok = all(check["ok"] for check in checks)
    if as_json:
        say_json({"schema": "tradingd.model-verify/1", "model": reference, "ok": ok, "checks": checks})
    else:
        rows = [[check["name"], "yes" if check["ok"] else "NO", one_line(check["detail"])] for check in checks]
        say(table(["check", "holds", "found"], rows))
    if not ok:
        broken = ", ".join(check["name"] for check in checks if not check["ok"])
        message = f"{reference} does not verify: {broken}"
        raise OperatorError(message, code="MODEL_VERIFY", remedy="do not use it; fetch or import it again")


def _say_installed(found: Found, config: Path | None, sets: list[str] | None, *, as_json: bool) -> None:
    assert found.manifest is not None  # noqa: S101 - it was written a moment ago
    facts: dict[str, Any] = {
        "model": found.manifest.model_id,
        "folder": str(found.folder),
        "labels": list(found.manifest.labels),
        "metrics": found.manifest.metrics,
    }
    if as_json:
        say_json({"schema": "tradingd.model-import/1", **facts})
        return
    say(pairs({name: _shown(value) for name, value in facts.items() if value and name != "metrics"}))
    _say_metrics(found.manifest.metrics)
    there = ["--config", str(config)] if config is not None else []  # the same state directory, or it is not found
    there += [part for key in sets or () for part in ("--set", key)]
    options = "".join(f" {shlex.quote(part)}" for part in there)
    say(f'next: tradingd sentiment --model {found.name}{options} "Profit rose sharply"')


def _store(config: Path | None, sets: list[str] | None) -> ModelStore:
    from actors.predictor.text.store import ModelStore
    from config.sources import load_settings

    loaded = load_settings(file=config, profile=None, sets=sets or (), environ=os.environ)
    return ModelStore(loaded.settings.paths.state_dir.expanduser())


def _text_rows(store: ModelStore) -> list[dict[str, Any]]:
    rows = []
    for found in store.models():
        manifest = found.manifest
        files = [found.folder / name for name in manifest.files] if manifest is not None else []
        rows.append(
            {
                "name": found.name,
                "version": found.version,
                "kind": manifest.kind if manifest is not None else "unknown",
                "origin": found.origin,
                "in_use": found.active,
                "bytes": sum(path.stat().st_size for path in files if path.is_file()),
                "base": manifest.base if manifest is not None else "",
                "fault": found.fault,
            }
        )
    return rows


def _price_names() -> list[str]:
    from actors.predictor.models.manifest import list_models

    return list_models()


def _price_name(reference: str) -> str | None:
    """Return the name of the price model that is meant, None where none is."""
    from actors.predictor.models.manifest import load_manifest

    name, at, _ = reference.partition("@")
    if name not in _price_names() or (at and load_manifest(name).model_id != reference):
        return None
    return name


def _say_metrics(metrics: Mapping[str, Mapping[str, object]]) -> None:
    """Print a table for each group of data sets that were measured alike."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, values in metrics.items():
        alike.setdefault(tuple(values), []).append(name)
    for measures, sets in alike.items():
        if len(sets) > len(measures):  # the longer side runs down
            rows = [[name, *(_figure(metrics[name][measure]) for measure in measures)] for name in sets]
            head = ["measured on", *measures]
        else:
            rows = [[measure, *(_figure(metrics[name][measure]) for name in sets)] for measure in measures]
            head = ["measure", *sets]
        head = [one_line(cell) for cell in head]
        say("\n" + table(head, [[one_line(row[0]), *row[1:]] for row in rows], right=head[1:]))


def _price_rows() -> list[dict[str, Any]]:
    from actors.predictor.models.manifest import SHIPPED, load_manifest

    rows = []
    for name in _price_names():
        row = {"name": name, "version": "", "kind": "price", "origin": "shipped", "in_use": True, "bytes": 0}
        try:
            manifest = load_manifest(name)
        except OperatorError as error:
            rows.append(row | {"base": "", "fault": error.message})
            continue
        size = (SHIPPED / f"{name}.onnx").stat().st_size
        rows.append(row | {"version": manifest.sha256[:12], "bytes": size, "base": manifest.data, "fault": ""})
    return rows


def _verify_price(name: str) -> list[dict[str, Any]]:
    from actors.predictor.models.manifest import load_manifest
    from actors.predictor.pool.inprocess import load_session

    checks = []
    try:
        manifest = load_manifest(name)
        checks.append({"name": "digests", "ok": True, "detail": manifest.model_id})
        load_session(manifest)
        detail = f"{manifest.input} with {len(manifest.features)} features"
        checks.append({"name": "load", "ok": True, "detail": detail})
    except OperatorError as error:
        checks.append({"name": "load" if checks else "digests", "ok": False, "detail": error.message})
    return checks


def _figure(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:,}" if isinstance(value, int) else one_line(str(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_shown(inner) for inner in value)
    return one_line(str(value))  # what a stranger's manifest says is not for a terminal to obey
