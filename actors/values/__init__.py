"""Exact, frozen values shared by every room: money, quantities, prices, universe, sessions, time."""

from actors.values.fixed import (
    SCALE,
    FixedPointError,
    div_round,
    fmt,
    mul,
    mul_ratio,
    parse_fixed,
    to_fixed,
    to_float,
)
from actors.values.ring import PanelRing
from actors.values.session import Session
from actors.values.time import (
    DAY_NS,
    MINUTE_NS,
    SECOND_NS,
    Interval,
    format_ts,
    parse_interval,
)
from actors.values.universe import Adjustment, Universe

__all__ = [
    "DAY_NS",
    "MINUTE_NS",
    "SCALE",
    "SECOND_NS",
    "Adjustment",
    "FixedPointError",
    "Interval",
    "PanelRing",
    "Session",
    "Universe",
    "div_round",
    "fmt",
    "format_ts",
    "mul",
    "mul_ratio",
    "parse_fixed",
    "parse_interval",
    "to_fixed",
    "to_float",
]
