"""A folder whose path leaves room for a socket's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.parts import short_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return an empty folder."""
    with short_folder() as found:
        yield found
