"""Deterministic ids: pure functions of what they name, so that a replay or a resend gives the same id."""

from __future__ import annotations

import hashlib
import random


def client_order_id(strategy: str, symbol: str, decision: int, leg: str = "") -> str:
    """Name an order of a strategy's decision: the same decision never makes two orders.

    Args:
        strategy: registered strategy name.
        symbol: ticker.
        decision: the strategy's decision number within the run, from 1.
        leg: tells several orders of one decision in one symbol apart ("sell", "buy", "exit", ...).
    """
    return f"{strategy}-{symbol}-{decision}-{leg}" if leg else f"{strategy}-{symbol}-{decision}"


def exec_id(order_id: str, n: int) -> str:
    """Name the n-th fill of an order; unique because order ids are."""
    return f"{order_id}-{n}"


def rng(seed: int, *path: str | int) -> random.Random:
    """Return a generator that depends only on the run's seed and the path, so snapshots need not hold its state.

    Parts are separated by their lengths: ``("a/b", "c")`` and ``("a", "b/c")`` are different paths.
    """
    text = "/".join(f"{len(part)}:{part}" for part in map(str, (seed, *path)))
    digest = hashlib.sha256(text.encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 - simulation, not cryptography
