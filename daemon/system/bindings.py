"""Strategies by the reference that names them in a configuration: the same reading for replay and daemon."""

from __future__ import annotations

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
