"""What a portfolio's parameters must satisfy, checked before the first input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NoReturn

from actors.portfolio.allocation import METHODS
from actors.portfolio.params import PortfolioSpec
from actors.portfolio.rebalance import MODES
from actors.portfolio.stops import STOPS
from actors.values.fixed import SCALE, fmt
from daemon.kernel.errors import ConfigError

AMOUNT_MAX: Final = 2**62
"""Largest cash of a portfolio (46 billion): amounts must fit 64 bits in events, with room for gains."""


_BOUNDS: Final[tuple[tuple[str, float, float | None], ...]] = (
    ("lot_size", 1, None),
    ("lookback", 2, None),
    ("max_positions", 0, None),
    ("max_weight", 0, 1),
    ("min_weight", 0, 1),
    ("min_confidence_buy", 0, 1),
    ("min_confidence_sell", 0, 1),
    ("drift", 0, 1),
    ("cash_buffer", 0, 0.99),
    ("stop_loss", 0, 0.99),
    ("take_profit", 0, None),
    ("min_order_value", 0, None),
    ("cash_reserve", 1, None),
    ("cost_rate", 0, None),
    ("cost_per_share", 0, None),
    ("cost_min", 0, None),
    ("stop_multiple", 1e-4, None),
    ("stop_lookback", 0, None),
    ("trail_percent", 1, 100 * SCALE - 1),
    ("time_stop_sessions", 0, None),
    ("risk_per_trade", 0, None),
    ("max_heat", 0, None),
    ("correlation_shrink", 0, 1),
    ("max_correlation", 0, 1),
    ("correlation_sessions", 2, None),
)


def check_specs(specs: Sequence[PortfolioSpec]) -> None:
    """Refuse specs that do not hold.

    Raises:
        ConfigError: naming the portfolio and the key.
    """
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            message = f"two portfolios are named {name!r}"
            raise ConfigError(message, code="BAD_CONFIG", remedy="give each its own name")
    for spec in specs:
        _check(spec)


def _check(spec: PortfolioSpec) -> None:
    choices = (("allocation", METHODS), ("rebalance", MODES), ("stop", STOPS))
    for key, allowed in choices:
        if getattr(spec, key) not in allowed:
            _refuse(spec, key, getattr(spec, key), "one of " + ", ".join(allowed))
    if not spec.name:
        _refuse(spec, "name", "''", "a text")
    if len(dict.fromkeys(spec.strategies)) != len(spec.strategies) or not all(spec.strategies):
        _refuse(spec, "strategies", list(spec.strategies), "distinct names")
    if not 0 <= spec.cash <= AMOUNT_MAX:
        _refuse(spec, "cash", fmt(spec.cash), f"0 to {fmt(AMOUNT_MAX)}")
    for key, low, high in _BOUNDS:
        value = getattr(spec, key)
        if not low <= value or (high is not None and not value <= high):
            wanted = f"{low} or more" if high is None else f"{low} to {high}"
            _refuse(spec, key, value, wanted)


def _refuse(spec: PortfolioSpec, key: str, value: object, wanted: str) -> NoReturn:
    message = f"portfolio {spec.name!r}: {key} = {value}"
    raise ConfigError(message, code="BAD_CONFIG", remedy=f"set it to {wanted}")
