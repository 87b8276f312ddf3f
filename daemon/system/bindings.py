"""Strategies by the reference that names them in a configuration: the same reading for replay and daemon."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from actors.predictor.binding import StrategyBinding
from actors.predictor.registry import bind
from config.params import strategy_requests
from config.settings import Settings
from daemon.kernel.errors import UsageError


def strategy_bindings(settings: Settings) -> dict[str, StrategyBinding]:
    """Return strategies by the reference that names them.

    Raises:
        OperatorError: one cannot be loaded, or two have the same name.
    """
    bindings: dict[str, StrategyBinding] = {}
    names: dict[str, str] = {}
    for request in strategy_requests(settings):
        binding = bind(request.reference, request.params)
        if binding.name in names:
            raise UsageError(
                f"{request.reference} and {names[binding.name]} are both registered as {binding.name}",
                code="STRATEGY_TWICE",
                remedy="give one of them another name in @strategy",
            )
        names[binding.name] = request.reference
        bindings[request.reference] = binding
    return bindings


def source_digests(bindings: Iterable[StrategyBinding]) -> dict[str, str]:
    """Return SHA-256 by name of what decides beside this program: files of strategies, and models."""
    digests: dict[str, str] = {}
    for binding in bindings:
        if binding.origin.endswith(".py"):
            path = Path(binding.origin)
            digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        if binding.model is not None:
            digests[f"model {binding.model.model_id}"] = binding.model.sha256
    return digests
