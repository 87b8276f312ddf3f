"""A process that writes a ledger until something stops it; its standard output is its log of acknowledgements.

``python -m tests.journal.ledger_child STATE_DIR BATCHES [key=value ...]``. Keys: ``site`` and ``nth`` (end the process
there), ``fsize`` (a limit of file size, bytes), ``after_full`` (raise the limit and go on), ``size`` (bytes per frame).
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path

from daemon.journal.failures import LedgerBrokenError, LedgerFullError
from daemon.kernel.errors import OperatorError
from tests.journal.ledger_support import batch, batches_in, writing

CRASHED = 77


def say(text: str) -> None:
    """Write one line at once."""
    os.write(1, f"{text}\n".encode())


async def main(state_dir: Path, batches: int, options: dict[str, str]) -> None:
    """Write batches behind those that are there."""
    first = 0 if not (state_dir / "ledger.db").exists() else batches_in(state_dir)
    seen = 0

    def faults(place: str) -> None:
        nonlocal seen
        if place == options.get("site"):
            seen += 1
            if seen == int(options["nth"]):
                os._exit(CRASHED)

    async with writing(state_dir, f"run-{os.getpid()}", faults=faults) as writer:
        if "fsize" in options:
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(options["fsize"]), resource.RLIM_INFINITY))
        n = first
        while n < first + batches:
            try:
                await writer.commit(batch(n, size=int(options.get("size", "0"))))
            except LedgerFullError as error:
                say(f"full {error.code}")
                if "after_full" not in options:
                    return
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                continue
            say(f"ack {n}")
            n += 1
        say("done")


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[3:])
    try:
        asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), given))
    except LedgerBrokenError as failure:
        say(f"broken {failure.code}")
        os._exit(failure.exit_code)  # as the daemon does: nothing is retried, not even at the end
    except OperatorError as failure:
        say(f"refused {failure.code}")
        os._exit(failure.exit_code)
