"""F46: everything that runs is cancelled at every await, while orders are on their way to the ledger.

All of it: ``pytest -m long tests/faults/test_cancelled.py``.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

import anyio
import pytest

from actors.messages.orders import OrderAccepted
from daemon.control.calls import Outcome
from tests.faults.oracle import examine
from tests.system.core_rig import Foreign, Sent, bars, recorded, rig

pytestmark = pytest.mark.asyncio
OPEN_MARKET = bars(1, 20)[:-1]


async def cancel_at(state: Path, turns: int) -> int:
    """Let a loop turn so often with orders coming in, and cancel it; return how many orders were acknowledged."""
    sent: dict[str, Sent] = {}
    async with rig(state, OPEN_MARKET) as one:
        await one.settle()
        for turn in range(turns):
            if not turn % 3:
                sent[f"o{turn}"] = one.order_soon(key=f"o{turn}")
            # Turns of the loop, and now and then time for the ledger's thread.
            await (anyio.sleep(0.002) if turn % 5 == 4 else anyio.lowlevel.checkpoint())
        one.cancel()
    told = {name: one.outcomes for name, one in sent.items() if one.outcomes}
    with Foreign(state):  # nobody left a transaction open
        pass
    check(state, told)
    async with rig(state, OPEN_MARKET) as again:  # what comes next takes no orphan along
        await again.settle()
        await again.order(key="last")
        again.check_refold()
    check(state, told)
    return sum(outcome.result is not None and outcome.result["status"] == "new" for [outcome] in told.values())


def check(state: Path, told: dict[str, list[Outcome]]) -> None:
    """Every order that was acknowledged is there, none is there twice, and the books agree."""
    assert examine(state / "ledger.db").problems == []
    there = Counter(
        event.order.client_order_id
        for row in recorded(state)
        for event in row.events
        if isinstance(event, OrderAccepted)
    )
    assert max(there.values(), default=1) == 1
    assert all(len(outcomes) == 1 for outcomes in told.values())
    for name, outcomes in told.items():
        result = outcomes[0].result
        accepted = result is not None and result["status"] == "new"
        assert not accepted or there[f"op-7-{name}"] == 1


async def test_f46_cancelled_at_an_await_nothing_is_half_written(tmp_path: Path) -> None:
    """Some of the awaits of a loop's first turns."""
    acknowledged = 0
    for turns in (1, 4, 9, 16, 33, 70, 150):
        state = tmp_path / str(turns)
        acknowledged += await cancel_at(state, turns)
    assert acknowledged > 5


@pytest.mark.long
async def test_f46_cancelled_at_every_await_nothing_is_half_written(tmp_path: Path) -> None:
    """Each of the first hundred and fifty."""
    acknowledged = 0
    for turns in range(1, 151):
        acknowledged += await cancel_at(tmp_path / str(turns), turns)
    assert acknowledged > 500


async def test_f46_the_check_finds_an_order_that_is_gone(tmp_path: Path) -> None:
    """The check itself is checked."""
    state = tmp_path / "state"
    async with rig(state, bars(1, 3)[:-1]) as one:
        await one.settle()
        outcome = await one.order(key="o1")
    db = sqlite3.connect(state / "ledger.db")
    db.execute("DELETE FROM frame WHERE seq >= (SELECT max(seq) FROM frame WHERE n > 0 AND source = 'control')")
    db.commit()
    db.close()
    with pytest.raises(AssertionError):
        check(state, {"o1": [outcome]})
