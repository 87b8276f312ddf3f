"""Runs that several tests only read."""

from __future__ import annotations

import pytest

from daemon.system.replay import ReplayResult
from tests_support import replay


@pytest.fixture(scope="session")
def year_run(tmp_path_factory: pytest.TempPathFactory) -> ReplayResult:
    """A year of the embedded data with two strategies, one of them a model; nobody may change its folder."""
    out = tmp_path_factory.mktemp("runs") / "year"
    return replay(out, strategy=["price_model", "momentum"], date_from=20180101, date_to=20181231, events=True)
