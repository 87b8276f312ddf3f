"""When the alerter speaks."""

from __future__ import annotations

import msgspec


class AlertParams(msgspec.Struct, frozen=True):
    """Thresholds; ratios are fractions, 0 switches a rule off.

    Attributes:
        large_move: move of a held symbol against the last session's close; spoken of again at each multiple of it.
        milestone_step: growth over deposits (time-weighted) between two milestones.
        stop_losses: whether automatic stop-loss exits are told.
        trading_state: whether changes of the trading state are told.
    """

    large_move: float = 0.05
    milestone_step: float = 0.10
    stop_losses: bool = True
    trading_state: bool = True
