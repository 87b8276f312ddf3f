"""Codes and sentences that the gate and the venue share, so that one wish has one answer wherever it is refused."""

from __future__ import annotations

from typing import Final

from actors.values.fixed import fmt

BELOW_FILLED: Final = "BELOW_FILLED"


def below_filled(filled: int) -> tuple[str, str]:
    """Return code and sentence for a replace to no more than is filled, which is ``filled`` in units of 1e-8."""
    return BELOW_FILLED, f"{fmt(filled)} are filled already; give a larger quantity, or cancel the rest"
