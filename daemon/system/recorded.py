"""What a recorded run was built from, out of its manifest: the same core can be built again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from actors.values import parse_interval
from actors.values.universe import Universe
from config.params import broker_params, portfolio_specs
from config.risk_params import risk_limits
from config.settings import Settings, settings_tree
from daemon.journal.rows import RunRow
from daemon.kernel.errors import OperatorError
from daemon.system.bindings import strategy_bindings
from daemon.system.composition import CoreSpec
from daemon.system.news import recorded_model, recorded_params


def shape_of(run: RunRow) -> Any:
    """Return what :func:`spec_of` depends on: runs that agree in it share a core."""
    manifest = run.manifest_dict()
    feed = manifest["feed"]
    return (
        manifest["config"],
        manifest["universe"],
        feed["bars_of"],
        feed["free_running"],
        run.seed,
        recorded_model(manifest),
    )


def shape_here(settings: Settings, spec: CoreSpec) -> Any:
    """Return the same of a run with these settings, as it would stand in its manifest."""
    universe = msgspec.json.decode(msgspec.json.encode(spec.universe))
    free_running = settings.feed.playback.free_running
    text_model = "" if spec.sentiment is None else spec.sentiment.model_id
    return settings_tree(settings), universe, spec.interval.text, free_running, spec.seed, text_model


def spec_of(run: RunRow, config: Settings | None) -> CoreSpec:
    """Return the core a run was recorded with.

    Args:
        run: with its manifest.
        config: where strategies that are no built-in ones come from; None where all are.

    Raises:
        OperatorError: its configuration names what this program does not have.
    """
    manifest = run.manifest_dict()
    tree: dict[str, Any] = manifest["config"]
    settings = Settings.model_validate(tree)
    if config is not None:
        named = _found_again(settings.predictor.strategies, config.predictor.strategies)
        settings = settings.model_copy(
            update={"predictor": settings.predictor.model_copy(update={"strategies": named})}
        )
    try:
        bindings = strategy_bindings(settings)
    except OperatorError as error:
        if config is None and error.code == "NO_STRATEGY_FILE":
            error.remedy = "name the configuration of the run with --config, which says where it is"
        raise
    decision = settings.predictor.decision_interval
    return CoreSpec(
        universe=msgspec.convert(manifest["universe"], Universe),
        interval=parse_interval(manifest["feed"]["bars_of"]),
        bindings=tuple(bindings.values()),
        decision_interval=parse_interval(decision) if decision else None,
        broker=broker_params(settings),
        limits=risk_limits(settings, replay=not manifest["feed"]["free_running"]),
        portfolios=portfolio_specs(settings, {ref: b.name for ref, b in bindings.items()}),
        seed=run.seed,
        sentiment=recorded_params(settings, manifest),
    )


def _found_again(names: Iterable[str], references: Iterable[str]) -> tuple[str, ...]:
    """Return recorded names with the places of their files, as far as references of today know a file of that name."""
    places = {Path(file).name: file for file, _ in map(_file_of, references) if file}
    found = []
    for name in names:
        file, function = _file_of(name)
        found.append(places.get(file, file) + function if file else name)
    return tuple(found)


def _file_of(reference: str) -> tuple[str, str]:
    """Return the file of a reference and what stands behind it, ``:function`` or nothing; "" for the file of a name."""
    file, colon, function = reference.rpartition(":") if ".py:" in reference else (reference, "", "")
    return (file, colon + function) if file.endswith(".py") else ("", "")
