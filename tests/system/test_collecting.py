"""When what the core has stated is handed to the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.system import collecting, core_loop
from system.core_rig import bars, quiet, rig

pytestmark = pytest.mark.asyncio
OPEN_MARKET = bars(1, 5)[:-1]


async def test_quiet_data_that_come_fast_do_not_wait_for_their_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are made durable behind so many inputs, before the loop has run as far ahead as it may."""
    monkeypatch.setattr(collecting, "QUIET_NS", 3_600 * 10**9)
    monkeypatch.setattr(collecting, "QUIET_INPUTS", 10)
    monkeypatch.setattr(core_loop, "UNCOMMITTED_MAX", 20)
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        r.intake.queue.ended = False
        commits = r.loop.batches_committed
        for panel in quiet(100):
            r.intake.queue.put(panel)
        r.loop.wake()
        await r.until(lambda: not r.intake.queue.items and r.loop.depth < 10)
        assert 5 <= r.loop.batches_committed - commits <= 10
