"""Run folders appear complete or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.kernel.errors import OperatorError
from daemon.system.staging import staged_folder


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
        (staging / "run.json").write_text("old")

    def fail() -> None:
        with staged_folder(target) as staging:
            (staging / "run.json").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (target / "run.json").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_an_older_run_is_replaced_whole(tmp_path: Path) -> None:
    """Files of the old run do not mix with the new one's."""
    target = tmp_path / "run"
    with staged_folder(target) as staging:
        (staging / "run.json").write_text("old")
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
