"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of real data that may not ship; skip where it is absent."""
    folder = Path(os.environ.get("TRADINGD_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("real test data not found: put it into ../shared/data or name its folder in TRADINGD_TEST_DATA")
    return folder
