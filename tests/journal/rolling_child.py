"""A process that commits and begins a new run in turns until it is killed; its standard output says what was done.

``python -m tests.journal.rolling_child STATE_DIR``
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.journal.ledger_child import say
from tests.journal.ledger_support import batch, batches_in, manifest, writing


async def main(state_dir: Path) -> None:
    """Write behind what is there."""
    n = batches_in(state_dir) if (state_dir / "ledger.db").exists() else 0
    async with writing(state_dir, f"start-{os.getpid()}") as writer:
        while True:
            await writer.commit(batch(n))
            say(f"ack {n}")
            await writer.roll(manifest(f"run-{os.getpid()}-{n}"))
            say("rolled")
            n += 1


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
