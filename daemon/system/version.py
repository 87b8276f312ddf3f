"""The version of the program that runs."""

from __future__ import annotations

import hashlib
import platform
import sqlite3
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

_DECIDING: Final = ("msgspec", "numpy", "onnxruntime", "polars", "skfolio", "exchange_calendars", "pydantic")
"""Libraries whose version can change what is read or computed."""


def program_version() -> str:
    """Return the installed distribution's version; in a bare checkout, what the project file says."""
    try:
        return version("tradingd")
    except PackageNotFoundError:
        project = Path(__file__).parents[2] / "pyproject.toml"
        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])


def environment_digest() -> str:
    """Return the SHA-256 of the interpreter's and the deciding libraries' versions, for the manifest of a run."""
    parts = [f"python {platform.python_version()}", f"sqlite {sqlite3.sqlite_version}"]
    for name in _DECIDING:
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            parts.append(f"{name} none")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
