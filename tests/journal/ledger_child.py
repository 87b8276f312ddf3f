"""A process that writes a ledger until something stops it; its standard output is its log of acknowledgements.

``python -m tests.journal.ledger_child STATE_DIR BATCHES [key=value ...]``. Keys: ``size`` (bytes per frame), ``fold``
(bytes of WAL until it is folded in), ``site`` and ``nth`` (end the process there), ``arm`` (let the n-th write or sync
fail, see faulty_disk.c) and ``arm_at`` (``open``, or the batch before which that begins), ``fsize`` (a limit of file
size, bytes), ``ballast`` (a file to remove once the disk is full), ``go_on`` (try again once it was full), ``roll``
(the batch before which a new run begins).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import sys
from pathlib import Path

from daemon.journal import folding
from daemon.journal.failures import LedgerBrokenError, LedgerFullError
from daemon.kernel.errors import OperatorError
from tests.journal.ledger_support import batch, batches_in, manifest, writing

CRASHED = 77


def say(text: str) -> None:
    """Write one line at once."""
    os.write(1, f"{text}\n".encode())


def make_room(options: dict[str, str]) -> None:
    """Lift the limit, or remove the ballast."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if "ballast" in options:
        Path(options["ballast"]).unlink(missing_ok=True)


async def main(state_dir: Path, batches: int, options: dict[str, str]) -> None:
    """Write batches behind those that are there."""
    first = 0 if not (state_dir / "ledger.db").exists() else batches_in(state_dir)
    size = int(options.get("size", "0"))
    seen = 0
    if "fold" in options:
        folding.FOLD_BYTES = int(options["fold"])  # type: ignore[misc]

    def arm(place: str) -> None:
        if options.get("arm_at") == place:
            ctypes.CDLL(None).fault_arm(int(options["arm"]))

    def faults(place: str) -> None:
        nonlocal seen
        if place == options.get("site"):
            seen += 1
            if seen == int(options["nth"]):
                os._exit(CRASHED)

    arm("open")
    async with writing(state_dir, f"run-{os.getpid()}", faults=faults) as writer:
        if "fsize" in options:
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(options["fsize"]), resource.RLIM_INFINITY))
        n = first
        while n < first + batches:
            arm(str(n))
            try:
                if options.get("roll") == str(n):
                    await writer.roll(manifest(f"rolled-{os.getpid()}"))
                    del options["roll"]
                    say("rolled")
                await writer.commit(batch(n, size=size))
            except LedgerFullError as error:
                say(f"full {error.code}")
                if "go_on" not in options:
                    return
                make_room(options)
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
