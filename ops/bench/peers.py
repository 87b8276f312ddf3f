"""Peers live in throw-away environments, one each: their dependencies contradict each other, and none is ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from job import Result

HERE = Path(__file__).resolve().parent
INSTALL_SECONDS = 900
RUN_SECONDS = 1800
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS"), "1"
)
"""Contenders are compared on one core."""


class ContenderError(Exception):
    """A contender could not be installed or run; one sentence."""


@dataclass(frozen=True)
class Peer:
    """A program to compare with.

    Attributes:
        requirements: for pip; what reads Parquet comes on top. Without a version: the newest that installs here.
        driver: the file that does the job with it.
        repeats: measured runs.
    """

    name: str
    requirements: tuple[str, ...]
    driver: str
    repeats: int


PEERS = (
    Peer("backtesting.py", ("backtesting==0.6.6", "pyarrow"), "peer_backtesting.py", 3),
    Peer("vectorbt", ("vectorbt==1.2.0", "pyarrow"), "peer_vectorbt.py", 5),
    Peer("nautilus_trader", ("nautilus_trader",), "peer_nautilus.py", 3),
)


def install(peer: Peer, folder: Path) -> Path:
    """Return the interpreter of the peer's environment, made where it is not there yet.

    Raises:
        ContenderError: it cannot be installed here.
    """
    home = folder / f"env-{peer.name}"
    python = home / "bin" / "python"
    done = home / "installed"
    if done.is_file():
        return python
    _call([sys.executable, "-m", "venv", "--clear", str(home)], INSTALL_SECONDS)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    _call([*pip, *peer.requirements], INSTALL_SECONDS)
    done.write_text("\n".join(peer.requirements), "utf-8")
    return python


def drive(python: Path, driver: str, bars: Path, repeats: int, *options: str) -> Result:
    """Run a driver in a process of its own.

    Raises:
        ContenderError: it failed or said nothing.
    """
    return Result(**tell(python, driver, "--bars", str(bars), "--repeats", str(repeats), *options))


def ask(python: Path, driver: str, bars: Path, *options: str) -> dict[str, float]:
    """Run a driver that answers something else than a result; raises as :func:`drive`."""
    return tell(python, driver, "--bars", str(bars), *options)


def tell(python: Path, driver: str, *options: str) -> dict[str, Any]:
    """Run a driver with these options and return the object that it prints last; raises as :func:`drive`."""
    said = _call([str(python), str(HERE / driver), *options], RUN_SECONDS)
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


def _call(command: list[str], seconds: float) -> str:
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": ""}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment, check=False)
    except subprocess.TimeoutExpired:
        message = f"gave up after {seconds:.0f} s"
        raise ContenderError(message) from None
    if done.returncode or not (done.stdout.strip() or command[1] == "-m"):
        said = [line for line in done.stderr.strip().splitlines() if not line.startswith("WARNING")]
        message = said[-1][:200] if said else f"exit code {done.returncode}, nothing said"
        raise ContenderError(message)
    return done.stdout
