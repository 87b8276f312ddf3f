"""A short place for sockets, and the program as a person runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.cli.ctl.program import main

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., subprocess.CompletedProcess[str]]


def environ(**changes: str) -> dict[str, str]:
    """Return an environment without anything that names a socket."""
    names = ("TRADINGD_SOCKET", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "STATE_DIRECTORY", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **changes}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder whose name leaves room for a socket's: a socket's path has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ctl-") as name:
        yield Path(name)


@pytest.fixture
def socket_path(folder: Path) -> Path:
    """Return where the stub listens."""
    return folder / "control.sock"


@pytest.fixture
def run(socket_path: Path) -> Run:
    """Return ``tradingctl`` as a subprocess, pointed at the stub's socket by the environment."""

    def call(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        changes = options.pop("environ", {})
        assert isinstance(changes, dict)
        settings = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 30, **options}
        env = environ(**{"TRADINGD_SOCKET": str(socket_path), "HOME": str(socket_path.parent), **changes})
        command = [sys.executable, "-m", "daemon.cli.tradingctl", *arguments]
        return subprocess.run(command, cwd=ROOT, env=env, check=False, **settings)  # type: ignore[call-overload,no-any-return]

    return call


@pytest.fixture
def call(socket_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return the same in this process: for tables of cases, where forty starts of Python would say no more than one."""
    for name in set(os.environ) - set(environ()):
        monkeypatch.delenv(name)
    for name, value in {"TRADINGD_SOCKET": str(socket_path), "HOME": str(socket_path.parent), "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)

    def here(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        assert not options
        code = main(arguments)
        shown = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, shown.out, shown.err)

    return here
