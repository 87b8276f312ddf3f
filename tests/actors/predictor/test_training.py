"""The shipped model comes out of the shipped script."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import msgspec
import numpy as np
import pytest

from actors.predictor.models.manifest import load_manifest

SCRIPT = Path(__file__).resolve().parents[3] / "ops" / "training" / "price_model.py"


@pytest.fixture(scope="module")
def script():
    """Return the training script as a module."""
    spec = importlib.util.spec_from_file_location("price_model_training", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_training_data_end_before_the_replayed_period(script) -> None:
    """Not one close of 2015 or later is read."""
    dates, closes = script.read_closes()
    assert dates[0] == 19900102
    assert dates[-1] == 20141231
    assert closes.shape == (len(dates), 20)


def test_parts_do_not_touch(script) -> None:
    """The last label of one part ends, and the embargo passes, before the next part begins."""
    dates, _ = script.read_closes()
    fit = script.between(dates, 0, script.TRAIN_TO, purge=True)
    tune = script.between(dates, script.TRAIN_TO + 1, script.CALIBRATE_TO, purge=True)
    test = script.between(dates, script.CALIBRATE_TO + 1, script.DATA_END, purge=False)
    for before, after in ((fit, tune), (tune, test)):
        assert before[-1] + script.HORIZON + script.EMBARGO < after[0]
    assert test[-1] + script.HORIZON == len(dates) - 1


def test_calibration_finds_the_probabilities_it_was_given(script) -> None:
    """Platt's fit on scores that are off by a known slope and intercept gets both back."""
    rng = np.random.default_rng(3)
    z = rng.normal(0.0, 1.0, 200_000)
    up = rng.random(len(z)) < 1 / (1 + np.exp(-(0.7 * z + 0.2)))
    slope, intercept = script.calibrate(1 / (1 + np.exp(-z)), up)
    assert abs(slope - 0.7) < 0.02
    assert abs(intercept - 0.2) < 0.02


def test_rank_correlation_handles_ties(script) -> None:
    """Average ranks, by hand."""
    assert script.ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]
    assert abs(script.correlation(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0])) - 1.0) < 1e-12


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_training_again_gives_the_shipped_model(script) -> None:
    """Same choice and same figures; other library versions may move the last digits."""
    pytest.importorskip("sklearn")
    pytest.importorskip("skl2onnx")
    _, again = script.train()
    shipped = load_manifest("price_5d")
    assert again.kind == shipped.kind
    assert (again.train_from, again.train_to, again.test_to) == (shipped.train_from, shipped.train_to, shipped.test_to)
    for name, value in msgspec.structs.asdict(shipped.metrics).items():
        assert getattr(again.metrics, name) == pytest.approx(value, abs=5e-3), name
