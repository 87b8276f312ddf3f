"""Fixtures of the feed's tests: files on disk, the way operators have them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes text to a file (gzipped where the name says so) and gives its path."""

    def put(text: str, name: str = "bars.csv") -> str:
        path = tmp_path / name
        data = text.encode("utf-8")
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return str(path)

    return put
