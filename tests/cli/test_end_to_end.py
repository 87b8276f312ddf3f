"""A bar file through the real program: replay, verify, tamper, verify again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.cli.tradingd import main

BARS = "ts,symbol,open,high,low,close,volume\n" + "".join(
    f"2022-03-{day:02d},ABC,{100 + day},{102 + day},{99 + day},{101 + day},1000000\n"
    for day in (1, 2, 3, 4, 7, 8, 9, 10, 11)
)


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Replay buy_and_hold over nine sessions and return the run folder."""
    bars = tmp_path / "bars.csv"
    bars.write_text(BARS, "utf-8")
    out = tmp_path / "run"
    arguments = ["replay", "--bars", str(bars), "--adjustment", "total", "--strategy", "buy_and_hold"]
    assert main([*arguments, "--profile", "frictionless", "--cash", "10000", "--out", str(out)]) == 0
    block = capsys.readouterr().out
    assert "equity        10,000.00 -> " in block
    assert f"tradingd verify {out}" in block
    return out


def test_a_run_verifies_until_a_byte_is_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0 with every check named, then 1 with the broken one named."""
    assert main(["verify", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert all(check["ok"] for check in document["checks"])
    fills = folder / "fills.csv"
    data = fills.read_bytes()
    fills.write_bytes(data.replace(b",102,", b",103,", 1))
    assert fills.read_bytes() != data
    assert main(["verify", str(folder)]) == 1
    captured = capsys.readouterr()
    assert "table:fills.csv" in captured.err
    assert "does not verify" in captured.err
    assert " NO " in captured.out


def test_json_is_the_metrics_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints metrics.json and nothing else on stdout; the same inputs give the same tables."""
    again = tmp_path / "again"
    arguments = ["replay", "--bars", str(tmp_path / "bars.csv"), "--adjustment", "total", "--strategy", "buy_and_hold"]
    assert main([*arguments, "--profile", "frictionless", "--cash", "10000", "--out", str(again), "--json"]) == 0
    assert capsys.readouterr().out == (again / "metrics.json").read_text("utf-8")
    for name in ("equity.csv", "fills.csv", "orders.csv", "metrics.json"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_a_run_without_a_trader_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither strategy nor orders: nothing to do, and nothing is left behind."""
    bars = tmp_path / "bars.csv"
    bars.write_text(BARS, "utf-8")
    out = tmp_path / "run"
    assert main(["replay", "--bars", str(bars), "--adjustment", "total", "--out", str(out)]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("tradingd: there is nothing to trade; ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bars.csv"]


LINGERING = """
import threading
import time
from actors.api import Params, Signal, Window, strategy
@strategy(name="lingering", lookback=2, horizon="5d")
def lingering(w: Window, p: Params) -> Signal | None:
    threading.Thread(target=time.sleep, args=(600,), name="a-strategys").start()
    return Signal(score=0.9)
"""


def test_a_thread_that_a_strategy_left_keeps_no_program_from_ending(tmp_path: Path) -> None:
    """Everything is written, the exit code is that of the command, and who is in the way is named."""
    (tmp_path / "bars.csv").write_text(BARS, "utf-8")
    (tmp_path / "lingering.py").write_text(LINGERING, "utf-8")
    arguments = ["--bars", "bars.csv", "--strategy", "lingering.py:lingering", "--out", "run"]
    done = subprocess.run(
        [sys.executable, "-m", "daemon", "replay", *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "left behind: a-strategys" in done.stderr
    assert main(["verify", str(tmp_path / "run")]) == 0


def test_nor_where_nobody_reads_what_it_says_at_the_end(tmp_path: Path) -> None:
    """The reader of its sentences went away meanwhile: it ends all the same, and as it would have."""
    goes = "    r, w = os.pipe(); os.close(r); os.dup2(w, 2)\n"
    (tmp_path / "bars.csv").write_text(BARS, "utf-8")
    (tmp_path / "lingering.py").write_text(f"import os{LINGERING.replace('    return', goes + '    return')}", "utf-8")
    arguments = ["--bars", "bars.csv", "--strategy", "lingering.py:lingering", "--out", "run"]
    assert alone(tmp_path, "replay", *arguments) == 0
    assert main(["verify", str(tmp_path / "run")]) == 0


def test_a_refusal_that_nobody_reads_keeps_its_exit_code(tmp_path: Path) -> None:
    """A service manager goes by the code: 78 is not to be tried again, whoever reads the log."""
    assert alone(tmp_path, "run", "--config", "missing.toml") == 78
    assert alone(tmp_path, "replay", "--no-such-flag") == 2


def alone(folder: Path, *arguments: str) -> int:
    """Run a program whose standard error has no reader; return its exit code."""
    read, write = os.pipe()
    os.close(read)
    try:
        return subprocess.run(
            [sys.executable, "-m", "daemon", *arguments],
            cwd=folder,
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            stdout=subprocess.DEVNULL,
            stderr=write,
            timeout=30,
            check=False,
        ).returncode
    finally:
        os.close(write)
