"""Whether a kill was as fast as promised, on a machine that has other things to do as well.

The promise is a tenth of a second. Where it took longer, a reference says what the machine is worth at that moment: a
program that does nothing but what any kill needs (a byte over a socket, a sync to the disk) on a thread beside one that
spins. A kill that waits for something takes many times as long as that, on a busy machine and on an idle one.

Where a kill has much to compute first, as behind a crowd of connections, a reference that computes nothing says little:
then the kernel says what the process itself had of the processors, and how long it stood in line for one.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

PROMISED_MS = 100.0
FACTOR = 10.0
ROUNDS = 5

_REFERENCE = """
import os, socket, sys, threading
sys.setswitchinterval(0.001)
link, file = socket.socket(fileno=int(sys.argv[1])), os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY)

def echo():
    while said := link.recv(1):
        os.pwrite(file, said, 0)
        os.fdatasync(file)
        link.sendall(said)

thread = threading.Thread(target=echo)
thread.start()
while thread.is_alive():
    pass
"""


def bound_ms(took_ms: float, folder: Path) -> float:
    """Return how long a kill may have taken, milliseconds.

    Args:
        took_ms: how long it did take; the reference runs only where that is more than was promised.
        folder: for the reference's file, on a disk that is not full.
    """
    return PROMISED_MS if took_ms <= PROMISED_MS else max(PROMISED_MS, FACTOR * reference_ms(folder))


def reference_ms(folder: Path) -> float:
    """Return what the reference takes at worst, milliseconds."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-S", "-c", _REFERENCE, str(theirs.fileno()), str(folder / "pace")]
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        try:
            ours.settimeout(30)
            worst = 0.0
            for n in range(ROUNDS + 1):
                began = time.monotonic()
                ours.sendall(b".")
                assert ours.recv(1) == b"."
                worst = max(worst, time.monotonic() - began) if n else 0.0  # the first one waits for its start
            ours.shutdown(socket.SHUT_WR)
            assert process.wait(30) == 0
        finally:
            process.kill()
    (folder / "pace").unlink()
    return worst * 1e3


def processors_ns(pid: int) -> tuple[int, int]:
    """Return what all threads of a process have had of the processors, and how long they stood in line for one."""
    had = waited = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        ran, delayed, _ = (task / "schedstat").read_text("ascii").split()
        had, waited = had + int(ran), waited + int(delayed)
    return had, waited


def slowed(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Return how many times as long as on a machine of its own a process took between two :func:`processors_ns`.

    Waiting for a lock, a disk or somebody's answer is no standing in line: it slows nobody in this sense.
    """
    had, waited = after[0] - before[0], after[1] - before[1]
    return 1.0 + waited / had if had > 0 else 1.0


def is_prompt(took_ms: float, folder: Path) -> bool:
    """Tell whether a kill was as fast as promised."""
    return took_ms <= bound_ms(took_ms, folder)
