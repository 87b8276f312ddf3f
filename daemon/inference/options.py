"""What the inference host is told at its start. Plain data, so that it can be handed to a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from actors.predictor.models.manifest import SHIPPED

WORKER_MB: Final = 400
"""What one worker is reckoned to need for autosizing: interpreter, onnxruntime and a BERT-base in int8."""
SPARE_MB: Final = 768
"""What is left to the machine, and to Ray itself, by autosizing."""
WORKERS_MAX: Final = 16


class RayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How Ray is run.

    Attributes:
        address: of a cluster; "" starts one on this machine.
        token_file: of the cluster's token; "" makes one for a cluster of our own.
        network: ``loopback`` has Ray bind 127.0.0.1, and checks that it did; ``private`` gives it a network namespace
            with nothing but loopback in it as well, and refuses to start where that cannot be had.
        object_store_mb: Ray's shared memory.
        worker_mb: data a worker may allocate before it is refused more; 0 for no bound.
    """

    address: str = ""
    token_file: str = ""
    network: Literal["loopback", "private"] = "loopback"
    object_store_mb: int = 100
    worker_mb: int = 2048


class HostOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the host is run.

    Attributes:
        socket: path of its Unix socket.
        group: whose members may connect beside its own user; "" for nobody.
        pool: what computes.
        workers: how many at once; 0 for as many as cores and memory allow.
        tables: folder of price models; state_dir: of the text models that were installed, "" for those that ship only.
        probe: refuse text models that get plain sentences wrong; only benchmarks of random weights turn this off.
    """

    socket: str
    group: str = ""
    pool: Literal["threads", "ray"] = "threads"
    workers: int = 0
    tables: str = str(SHIPPED)
    state_dir: str = ""
    probe: bool = True
    ray: RayOptions = RayOptions()


def autosize(workers: int, *, cores: int, available_mb: int) -> int:
    """Return how many workers there are to be: as asked, or as many as cores and free memory carry."""
    if workers:
        return workers
    return max(1, min(cores, (available_mb - SPARE_MB) // WORKER_MB, WORKERS_MAX))


def available_mb(root: Path = Path("/")) -> int:
    """Return the memory that can be had, MiB: of the machine, and of our control group where that bounds it.

    Args:
        root: where the file system begins.
    """
    machine = SPARE_MB
    for line in (root / "proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemAvailable:"):
            machine = int(line.split()[1]) // 1024
    bounds = [_left(folder) for folder in _control_groups(root)]
    return min([machine, *(bound for bound in bounds if bound is not None)])


def _control_groups(root: Path) -> list[Path]:
    """Return our control group and those around it; none under version 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return []
    top = root / "sys/fs/cgroup"
    named = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    return [folder for name in named for folder in (top / name, *(top / name).parents) if folder.is_relative_to(top)]


def _left(folder: Path) -> int | None:
    """Return how much a control group leaves, MiB; None where it does not say, or bounds nothing."""
    try:
        bound, used = ((folder / name).read_text("ascii").strip() for name in ("memory.max", "memory.current"))
        return None if bound == "max" else max(0, int(bound) - int(used)) >> 20
    except (OSError, ValueError):
        return None
