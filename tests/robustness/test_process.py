"""The program as a process: signals, pipes, full disks, bare environments."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.robustness.cases import bars

ROOT = Path(__file__).resolve().parent.parent.parent
WAITER = """
from actors.api import strategy


@strategy()
def waiter(w, p):
    with open("begun", "w") as pipe:
        pipe.write("now")
    while True:
        pass
"""
"""Says through a pipe that the run is under way, then is under way until it is stopped."""


def command(*arguments: str, optimise: bool = False) -> list[str]:
    """Return the command line of the real program."""
    return [sys.executable, *(["-O"] if optimise else []), "-m", "daemon", *arguments]


def environment(**more: str) -> dict[str, str]:
    """Return no more of an environment than Python needs to find the program."""
    return {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **more}


def replay_command(*arguments: str) -> list[str]:
    """Return a short replay into ``run``."""
    return command("replay", "--bars", "bars.csv", "--strategy", "buy_and_hold", "--out", "run", *arguments)


def check(stderr: str) -> None:
    """The last line is the sentence, and nothing else is an error."""
    assert "Traceback" not in stderr
    assert "fault of the program" not in stderr
    assert stderr.splitlines()[-1].startswith("tradingd: ")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_in_the_middle_of_a_run_leaves_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Neither a half-written folder nor its staging; the older run stays."""
    (tmp_path / "bars.csv").write_text(bars(40))
    (tmp_path / "s.py").write_text(WAITER)
    before = {"bars.csv", "s.py", "begun"}
    os.mkfifo(tmp_path / "begun")
    reader = os.open(tmp_path / "begun", os.O_RDONLY | os.O_NONBLOCK)
    begun = select.poll()
    begun.register(reader, select.POLLIN)
    line = command("replay", "--bars", "bars.csv", "--strategy", "s.py", "--out", "run")
    with subprocess.Popen(line, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            assert begun.poll(30_000)
            process.send_signal(number)
            _, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
            os.close(reader)
    assert process.returncode == code
    check(stderr)
    assert "nothing half-written was left" in stderr
    assert {p.name for p in tmp_path.iterdir()} - {"__pycache__"} == before


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """Files may not grow beyond 20 KiB: the ledger hits the end and the sentence says so."""
    (tmp_path / "bars.csv").write_text(bars(40))

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20 * 1024, 20 * 1024))

    done = subprocess.run(
        replay_command(), cwd=tmp_path, env=environment(), capture_output=True, text=True, preexec_fn=limit, check=False
    )
    assert done.returncode == 1
    check(done.stderr)
    assert "cannot be written" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["bars.csv"]


def test_a_reader_that_leaves_is_no_error_to_talk_about(tmp_path: Path) -> None:
    """As in ``tradingd config show | head -1``."""
    writer = subprocess.Popen(
        command("config", "schema"), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert writer.stdout is not None
    writer.stdout.close()
    assert writer.stderr is not None
    assert writer.stderr.read() == b""
    writer.stderr.close()
    writer.wait(30)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONOPTIMIZE": "2", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"},
    ],
    ids=["bare", "ascii", "optimised"],
)
def test_bare_environments_run_and_agree(tmp_path: Path, more: Mapping[str, str]) -> None:
    """Without HOME, with an ASCII terminal and a symbol it cannot show, without asserts, elsewhere in the world."""
    (tmp_path / "bars.csv").write_text(bars(8, ("AAA", "株式")), "utf-8")
    for line in (replay_command(), command("verify", "run")):
        done = subprocess.run(line, cwd=tmp_path, env=environment(**more), capture_output=True, check=False)
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr.decode()


def test_closed_standard_streams_do_not_matter(tmp_path: Path) -> None:
    """As under some supervisors; the run is the result."""
    (tmp_path / "bars.csv").write_text(bars(8))
    line = " ".join(replay_command()) + " <&- >&- 2>&-"
    done = subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, env=environment(), check=False)
    assert done.returncode == 0
    assert (tmp_path / "run" / "run.json").is_file()


def test_two_runs_into_one_folder_at_one_time_leave_one_whole_run(tmp_path: Path) -> None:
    """Each works beside it; the last one to end stays."""
    (tmp_path / "bars.csv").write_text(bars(8))
    both = [
        subprocess.Popen(replay_command(), cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL) for _ in "12"
    ]
    assert 0 in [process.wait(60) for process in both]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bars.csv", "run"]
    done = subprocess.run(command("verify", "run"), cwd=tmp_path, env=environment(), capture_output=True, check=False)
    assert done.returncode == 0


def test_a_folder_that_is_no_more_does_not_hide_the_result(tmp_path: Path) -> None:
    """Somebody removed the working directory: absolute paths still work, relative ones are refused in a sentence."""
    (tmp_path / "bars.csv").write_text(bars(8))
    line = f"mkdir gone && cd gone && rmdir ../gone && {' '.join(replay_command())}"
    line = line.replace("bars.csv", str(tmp_path / "bars.csv"))
    done = subprocess.run(
        ["/bin/sh", "-c", line], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    check(done.stderr)
    assert "the folder you are in is no more" in done.stderr
    line = line.replace("--out run", f"--out {tmp_path / 'run'}")
    done = subprocess.run(
        ["/bin/sh", "-c", line], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
