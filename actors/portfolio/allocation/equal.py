"""Equal weight: every chosen name the same."""

from __future__ import annotations


def equal_weights(n: int) -> list[float]:
    """Return ``n`` weights of 1/n."""
    return [1.0 / n] * n
