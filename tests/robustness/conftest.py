"""The desk of a clumsy user."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.robustness.cases import Desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """Return a desk in a fresh folder that is the working directory."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return Desk(folder, capsys)
