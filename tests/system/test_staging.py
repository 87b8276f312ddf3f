"""Run folders appear complete or not at all."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.kernel.errors import OperatorError
from daemon.system.staging import _host, staged_folder


def marker(*files: str) -> str:
    """Return a run.json that lists these files."""
    return json.dumps({"schema": "tradingd.run/1", "files": dict.fromkeys(files, "digest")})


def test_a_folder_appears_only_when_the_block_ends_well(tmp_path: Path) -> None:
    """Before the end nothing stands at the target."""
    target = tmp_path / "deep" / "run"
    with staged_folder(target) as staging:
        (staging / "run.json").write_text("{}")
        assert not target.exists()
    assert (target / "run.json").read_text() == "{}"
    assert [p.name for p in target.parent.iterdir()] == ["run"]


def test_a_failure_leaves_nothing_behind_and_the_old_run_in_place(tmp_path: Path) -> None:
    """An older run survives a failed one."""
    target = tmp_path / "run"
    with staged_folder(target) as staging:
        (staging / "run.json").write_text(marker())

    def fail() -> None:
        with staged_folder(target) as staging:
            (staging / "run.json").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (target / "run.json").read_text() == marker()
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_an_older_run_is_replaced_whole(tmp_path: Path) -> None:
    """Files of the old run do not mix with the new one's."""
    target = tmp_path / "run"
    with staged_folder(target) as staging:
        (staging / "run.json").write_text(marker("extra.csv"))
        (staging / "extra.csv").write_text("old")
    with staged_folder(target) as staging:
        (staging / "run.json").write_text("new")
    assert sorted(p.name for p in target.iterdir()) == ["run.json"]


@pytest.mark.parametrize("kind", ["file", "foreign folder"])
def test_what_is_no_run_folder_is_never_touched(tmp_path: Path, kind: str) -> None:
    """A file or somebody's folder at the target is refused with a sentence."""
    target = tmp_path / "thesis"
    if kind == "file":
        target.write_text("precious")
    else:
        target.mkdir()
        (target / "chapter1.txt").write_text("precious")
    with pytest.raises(OperatorError, match="not a run folder"), staged_folder(target):
        pass
    assert target.exists()


def test_an_unwritable_parent_is_one_sentence(tmp_path: Path) -> None:
    """The parent is a file, so nothing can be made below it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="cannot be written"), staged_folder(tmp_path / "file" / "run"):
        pass


@pytest.mark.parametrize(
    ("run_json", "names"),
    [
        ('{"schema": "my-thesis/1", "files": {}}', "run.json is none of a run"),
        ("{}", "run.json is none of a run"),
        ("not JSON", "run.json is none of a run"),
        ('{"schema": "\udcff"}', "run.json is none of a run"),
        (marker("fills.csv"), "notes.txt is none of the run's files"),
    ],
)
def test_a_folder_with_anything_a_run_did_not_write_is_never_replaced(
    tmp_path: Path, run_json: str, names: str
) -> None:
    """Not by its run.json alone: what else lies in it would be lost with it."""
    target = tmp_path / "work"
    target.mkdir()
    (target / "run.json").write_bytes(run_json.encode("utf-8", "surrogateescape"))
    (target / "notes.txt").write_text("precious")
    with pytest.raises(OperatorError, match=names), staged_folder(target):
        pass
    assert (target / "notes.txt").read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["work"]


def test_what_somebody_adds_while_a_run_works_is_kept(tmp_path: Path) -> None:
    """The look at the target is repeated right before it is replaced."""
    target = tmp_path / "run"
    target.mkdir()

    def work() -> None:
        with staged_folder(target) as staging:
            (staging / "run.json").write_text(marker())
            (target / "run.json").write_text(marker())
            (target / "notes.txt").write_text("precious")

    with pytest.raises(OperatorError, match=r"notes\.txt"):
        work()
    assert (target / "notes.txt").read_text() == "precious"


def test_a_link_to_a_run_folder_stays_a_link(tmp_path: Path) -> None:
    """The run behind it is replaced."""
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for text in (marker(), marker("x")):
        (tmp_path / "real").mkdir(exist_ok=True)
        with staged_folder(tmp_path / "link") as staging:
            (staging / "run.json").write_text(text)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "run.json").read_text() == marker("x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]


def test_the_folder_one_is_in_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replacing it would leave the shell in a folder that is no more."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OperatorError, match="the folder you are in"), staged_folder(Path()):
        pass


def dead_process() -> int:
    """Return the id of a process that has ended."""
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], check=True, capture_output=True)
    return int(ended.stdout)


def test_what_a_killed_run_left_is_cleared_away_and_a_living_one_s_is_not(tmp_path: Path) -> None:
    """A folder of a process that is no more is litter; one of a process that works is not."""
    dead = tmp_path / f".run.{_host()}.{dead_process()}.partial"
    alive = tmp_path / f".run.{_host()}.{os.getppid()}.partial"
    elsewhere = tmp_path / f".run.00000000.{dead_process()}.partial"
    for folder in (dead, alive, elsewhere):
        folder.mkdir()
    with staged_folder(tmp_path / "run") as staging:
        (staging / "run.json").write_text(marker())
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([alive.name, elsewhere.name, "run"])


def test_a_run_that_was_taken_away_by_a_killed_one_is_put_back(tmp_path: Path) -> None:
    """A kill between the two renames is repaired by the next run, even one that fails."""
    taken = tmp_path / f".run.{_host()}.{dead_process()}.old"
    taken.mkdir()
    (taken / "run.json").write_text(marker())
    with pytest.raises(RuntimeError), staged_folder(tmp_path / "run"):
        raise RuntimeError
    assert (tmp_path / "run" / "run.json").read_text() == marker()
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_an_interrupt_between_the_renames_loses_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older run is put back in its place."""
    target = tmp_path / "run"
    with staged_folder(target) as staging:
        (staging / "run.json").write_text(marker())
    rename = Path.rename

    def interrupted(self: Path, to: Path) -> Path:
        if self.name.endswith("partial"):
            raise KeyboardInterrupt
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), staged_folder(target) as staging:
        (staging / "run.json").write_text(marker("new"))
    assert (target / "run.json").read_text() == marker()
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    """Whether the ledger or a file hits the end of it; other errors keep their own."""
    full = (sqlite3.OperationalError("database or disk is full"), OSError(28, "No space left on device"))
    for error in full:
        with pytest.raises(OperatorError, match=r"cannot be written: .*make room"), staged_folder(tmp_path / "run"):
            raise error
    with pytest.raises(PermissionError), staged_folder(tmp_path / "run"):
        raise PermissionError(13, "Permission denied")
    assert not list(tmp_path.iterdir())


def test_an_interrupt_of_a_first_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no older run to put back."""

    def interrupted(self: Path, to: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "run") as staging:
        (staging / "run.json").write_text(marker())
    assert not list(tmp_path.iterdir())


def test_what_an_earlier_process_of_the_same_number_left_is_no_part_of_a_run(tmp_path: Path) -> None:
    """Process numbers come round again; folders inside a run folder are kept."""
    leftover = tmp_path / f".run.{_host()}.{os.getpid()}.partial"
    leftover.mkdir()
    (leftover / "old.csv").write_text("")
    with staged_folder(tmp_path / "run") as staging:
        (staging / "charts").mkdir()
        (staging / "charts" / "a.svg").write_text("")
        (staging / "run.json").write_text(marker("charts/a.svg"))
    found = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*"))
    assert found == ["run", "run/charts", "run/charts/a.svg", "run/run.json"]


def test_a_folder_of_another_users_process_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process one may not signal is alive."""

    def refused(pid: int, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    theirs = tmp_path / f".run.{_host()}.{dead_process()}.partial"
    theirs.mkdir()
    monkeypatch.setattr(os, "kill", refused)
    with staged_folder(tmp_path / "run") as staging:
        (staging / "run.json").write_text(marker())
    assert theirs.is_dir()


def test_a_working_folder_that_is_no_more_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative target has no place then."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(OperatorError, match="the folder you are in is no more"), staged_folder(Path("run")):
        pass
