"""Bounds, digest and the written forms of the settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config import show
from config.fields import Bounds, plain
from config.settings import Settings, settings_digest
from config.sources import load_settings
from daemon.kernel.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def settings(*sets: str, profile: str = "plan") -> Settings:
    """Return settings with some keys set."""
    return load_settings(file=None, profile=profile, sets=sets, environ={}).settings


# Bounds of contract section 6, as shares.
CONTRACT_BOUNDS = [
    ("risk.max_position", "0.01", "0.5", ("portfolio.min_weight=0",)),
    ("portfolio.max_weight", "0.01", "0.5", ("portfolio.min_weight=0",)),
    ("portfolio.stop_loss", "0.01", "0.2", ()),
    ("portfolio.drift", "0.01", "0.2", ()),
    ("portfolio.cash_buffer", "0", "0.2", ()),
]


@pytest.mark.parametrize(("key", "low", "high", "also"), CONTRACT_BOUNDS)
def test_bounds_hold_at_their_ends_and_not_beyond(key: str, low: str, high: str, also: tuple[str, ...]) -> None:
    """Both ends are allowed, one step outside is refused, and 0 is off where it is no bound itself."""
    step = Decimal("0.00000001")
    for inside in (low, high, "0"):
        settings(f"{key}={inside}", *also)
    outside = [Decimal(high) + step]
    if Decimal(low):
        outside.append(Decimal(low) - step)
    outside.append(-step)
    for value in outside:
        with pytest.raises(ConfigError, match="must be"):
            settings(f"{key}={value:f}", *also)


def test_settings_are_frozen() -> None:
    """Nothing changes a run's settings once they were read."""
    with pytest.raises(ValidationError, match="frozen"):
        settings().broker.account = "margin"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings().seed = 1  # type: ignore[attr-defined]


def test_numbers_are_exact_decimals_however_they_are_written(tmp_path: Path) -> None:
    """A TOML float, a TOML text, a variable and a flag give the same decimal: no binary float lies between."""
    file = tmp_path / "a.toml"
    for text in ("0.1", '"0.1"', "1e-1"):
        file.write_text(f"[broker]\nparticipation = {text}\n", "utf-8")
        loaded = load_settings(file=file, profile="plan", sets=(), environ={})
        assert loaded.settings.broker.participation == Decimal("0.1")
    assert settings("broker.participation=0.1").broker.participation == Decimal("0.1")


def test_digest_is_of_values_not_of_spellings() -> None:
    """5 and 5.00, a list and commas, a default left out and one written down are the same."""
    base = settings_digest(Settings())
    assert len(base) == 64
    assert settings_digest(settings("broker.slippage_bps=5.00", "portfolio.cash=100000.0")) == base
    assert settings_digest(settings("universe.symbols=A,B")) == settings_digest(settings('universe.symbols=["A", "B"]'))


def test_digest_sees_every_setting_but_places() -> None:
    """Another value is another digest; another folder is not."""
    base = settings_digest(settings())
    assert settings_digest(settings("paths.state_dir=/elsewhere")) == base
    for change in ("broker.slippage_bps=6", "portfolio.cash=1", "risk.stale_ms=1", "universe.symbols=A"):
        assert settings_digest(settings(change)) != base
    here = settings("predictor.strategies=/a/s.py:f", "predictor.params.f.x=1")
    there = settings("predictor.strategies=/b/s.py:f", "predictor.params.f.x=1")
    assert settings_digest(here) == settings_digest(there)
    assert settings_digest(here) != settings_digest(
        settings("predictor.strategies=/a/s.py:g", "predictor.params.g.x=1")
    )


def test_digest_does_not_depend_on_hash_order() -> None:
    """Two interpreters with different hash seeds agree."""
    code = (
        "from config.sources import load_settings as l; from config.settings import settings_digest as d;"
        "print(d(l(file=None, profile='ibkr', environ={}, sets=['predictor.strategies=a,b',"
        "'predictor.params.b.y=1','predictor.params.a.x=2']).settings))"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 65


def test_default_toml_is_generated_and_reads_back_as_the_defaults() -> None:
    """After a change: python -c "from config.show import default_toml; print(default_toml(), end='')"."""
    file = ROOT / "config" / "default.toml"
    assert file.read_text("utf-8") == show.default_toml()
    assert load_settings(file=file, profile="plan", sets=(), environ={}).settings == Settings()


def test_example_toml_is_valid_and_changes_something() -> None:
    """What `config init` writes passes `config check`."""
    loaded = load_settings(file=ROOT / "config" / "example.toml", profile="plan", sets=(), environ={})
    assert loaded.settings != Settings()
    assert loaded.settings.predictor.strategies == ("momentum",)


@pytest.mark.parametrize("profile", ["plan", "frictionless", "ibkr"])
def test_settings_written_as_toml_read_back_equal(profile: str, tmp_path: Path) -> None:
    """Also with several portfolios, awkward names and parameters."""
    source = tmp_path / "in.toml"
    source.write_text(
        '[[portfolio]]\nname = "a"\nstrategies = []\n[[portfolio]]\nname = "b"\ncash = 12.34567891\n'
        '[predictor]\nstrategies = ["/x/y.py:f", "momentum"]\n'
        '[predictor.params."/x/y.py:f"]\nflag = true\nlist = [1, 2.5]\ntext = "q\\"uote"\ntable = {"a b" = 1}\n',
        "utf-8",
    )
    first = load_settings(file=source, profile=profile, sets=(), environ={}).settings
    again = tmp_path / "out.toml"
    again.write_text(show.to_toml(first, comments=True), "utf-8")
    assert load_settings(file=again, profile="plan", sets=(), environ={}).settings == first


def test_show_has_a_row_for_every_key_with_meaning_and_origin() -> None:
    """Rows carry value, default, bounds and origin; every key explains itself."""
    loaded = load_settings(
        file=None,
        profile="swing",
        sets=("broker.slippage_bps=7", "predictor.strategies=m", "predictor.params.m.x=1"),
        environ={},
    )
    rows = {row.key: row for row in show.rows(loaded)}
    assert all(row.meaning for row in rows.values())
    slippage = rows["broker.slippage_bps"]
    assert (slippage.value, slippage.default, slippage.bounds, slippage.origin) == ("7", "5", "0 to 1000", "--set")
    assert rows["risk.max_positions"].origin == "profile swing"
    assert rows["predictor.params"].origin == "--set"
    assert rows["broker.account"].bounds == "cash | cash_strict | margin"
    assert rows["broker.impact"].origin == "default"
    document = json.loads(show.rows_json(loaded))
    assert document["schema"] == "tradingd.config/1"
    assert len(document["rows"]) == len(rows)


def test_schema_carries_bounds_and_refuses_unknown_keys() -> None:
    """An editor can complete and check from it."""
    document = json.loads(show.schema())
    risk = document["$defs"]["RiskSettings"]
    assert risk["additionalProperties"] is False
    assert risk["properties"]["max_position"]["anyOf"] == [
        {"const": 0},
        {"type": ["number", "string"], "minimum": 0.01, "maximum": 0.5},
    ]
    assert risk["properties"]["stale_sessions"]["type"] == "integer"
    assert document["properties"]["portfolio"]["items"] == {"$ref": "#/$defs/PortfolioSettings"}


@given(st.decimals(min_value=0, max_value=10**9, allow_nan=False, allow_infinity=False, places=8))
def test_plain_decimals_read_back_equal_and_have_no_exponent(value: Decimal) -> None:
    """What is shown is what was meant."""
    text = plain(value)
    assert Decimal(text) == value
    assert "E" not in text
    assert not (text.endswith("0") and "." in text)


@given(st.decimals(min_value=-2, max_value=2, allow_nan=False, allow_infinity=False, places=6))
def test_bounds_accept_exactly_what_they_say(value: Decimal) -> None:
    """Inside, or 0 where that means off, with few enough decimals."""
    bounds = Bounds("0.01", "0.5", decimals=4, off=True)
    allowed = (value == 0 or Decimal("0.01") <= value <= Decimal("0.5")) and value == round(value, 4)
    try:
        bounds.check(value)
    except ValueError:
        assert not allowed
    else:
        assert allowed
