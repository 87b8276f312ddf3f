"""Random lives under random limits: a naive gate finds nothing to object to, and a restart is noticed by nobody.

Checked behind every input (:mod:`random_risk`, :mod:`naive_gate`): no order reaches the broker that a gate of its own,
written from ``semantics.md`` section 4 alone, would deny; what is reserved is never negative; a core that was restored
answers and fires its timers like the one that was not; while trading is reducing, halted or killed nothing enters, and
a breaker that sets a state has set one. At every cut: who looks changes nothing, and limits by name beside the general
ones deny more and never less. At the end: folded from nothing, it is the same core.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.system.random_risk import live

SEEDS = 24
STEPS = 120
BATCH = 100


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_passes_that_a_naive_gate_denies_and_no_restart_is_noticed(seed: int) -> None:
    """The seed tells the life: ``live(seed, steps)`` lives it again."""
    live(seed, STEPS)


@pytest.mark.long
@pytest.mark.parametrize("batch", range(1, 7))
def test_many_lives(batch: int) -> None:
    """The same a hundred times over, and longer; together they have met nearly every code and breaker."""
    told: Counter[str] = Counter()
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        told += live(seed, 200).told
    for name in (
        *("HALTED", "REDUCING", "KILLED", "RESTRICTED", "SYMBOL_HALTED", "STALE_PRICE", "ENTRIES_BLOCKED", "COOLDOWN"),
        *("MAX_QTY", "MAX_NOTIONAL", "MIN_NOTIONAL", "PRICE_COLLAR", "NBBO", "SELF_MATCH", "CONFIDENCE", "ORDER_RATE"),
        *("SYMBOL_ORDER_RATE", "NEAR_CLOSE", "SHORT_NOT_ALLOWED", "MAX_POSITION", "MAX_POSITIONS", "MAX_GROSS"),
        *("MAX_NET", "MAX_LEVERAGE", "MAX_SECTOR", "BOOK_GROSS", "RISK_PER_TRADE", "MAX_HEAT", "CASH"),
    ):
        assert told[f"denied {name}"], name
    for name in ("replaced", "child", "tightened", "OrderRestated", "PositionAdjusted", "FlattenEnded", "BreakerReset"):
        assert told[name], name
