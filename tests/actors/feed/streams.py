"""Comparing streams of market inputs, whose fields may be arrays with NaN in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from daemon.kernel.message import Market


def plain(message: Market) -> tuple[Any, ...]:
    """Return a message as a value that can be compared: arrays by their bytes, so that NaN equals NaN."""
    fields: list[Any] = [type(message).__name__]
    for name in message.__struct_fields__:
        value = getattr(message, name)
        fields.append((str(value.dtype), value.tobytes()) if isinstance(value, np.ndarray) else value)
    return tuple(fields)


def plains(messages: Iterable[Market]) -> list[tuple[Any, ...]]:
    """Return messages as values that can be compared."""
    return [plain(message) for message in messages]


def kinds(messages: Iterable[Market]) -> list[str]:
    """Return what comes in, in short: ``Quote``, ``Trade``, ``News``, ``Bar``, ``Opened``, ``Closed``."""
    return [
        type(message).__name__.removesuffix("Panel").removesuffix("Item").removeprefix("Session")
        for message in messages
    ]
