"""The restart benchmark runs and says what it is for; how fast a start is, it prints. Only the order is asserted.

The promise, a ledger of 1,000,000 events: ``pytest -m long -s tests/bench/test_ready_benchmark.py`` (ten minutes).
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

ORDER_S = 60.0
"""No start of a sound machine takes so long, however busy it is; the target itself is the benchmark's to print."""


def bench(folder: Path, *words: str, timeout: float) -> str:
    """Run the benchmark in a folder; return what it prints."""
    command = [sys.executable, str(ROOT / "ops" / "bench" / "ready.py"), "--keep", str(folder), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode in {0, 1}, done.stderr  # 1: slower than the target
    return done.stdout


def seconds_of(printed: str) -> float:
    """Return how long the slowest start took."""
    found = re.search(r"slowest start ([0-9.]+) s", printed)
    assert found is not None, printed
    return float(found[1])


def test_the_restart_benchmark_builds_kills_starts_and_verifies(tmp_path: Path) -> None:
    """A small ledger, some runs, one start of it and one of an empty folder."""
    words = ("--events", "2000", "--minutes", "300", "--starts", "1", "--runs", "20", "--verify")
    printed = bench(tmp_path, *words, timeout=120)
    assert re.search(r"events, 22 runs; tail \d,\d\d\d events", printed), printed
    assert re.search(r"that ledger, 1 starts .*\n  process to READY", printed)
    assert re.search(r"an empty ledger, 1 starts .*\n  process to READY", printed)
    assert re.search(r"verify beside it: .* exit 0", printed)
    assert 0 < seconds_of(printed) < ORDER_S


@pytest.mark.long
def test_a_ledger_of_a_million_events_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Written by the daemon itself; the figures are printed."""
    printed = bench(tmp_path, "--verify", timeout=3600)
    with capsys.disabled():
        sys.stdout.write(f"\n{printed}\n")
    assert 0 < seconds_of(printed) < ORDER_S
