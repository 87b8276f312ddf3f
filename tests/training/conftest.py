"""The scripts of ops/training as modules: they are run, not installed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "ops" / "training"


@pytest.fixture(scope="session")
def scripts():
    """Return a function that imports a training script by its name."""
    sys.path.insert(0, str(SCRIPTS))
    yield importlib.import_module
    sys.path.remove(str(SCRIPTS))
