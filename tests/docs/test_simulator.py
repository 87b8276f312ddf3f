"""The page of the simulator keeps its word: every switch is there, with that default, and no switch is left out."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

from config.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "ops" / "simulator.md").read_text("utf-8")
ROW = re.compile(r"^\|(?P<what>[^|]*)\|(?P<rule>[^|]*)\|(?P<switch>[^|]*)\|(?P<default>[^|]*)\|$", re.MULTILINE)
KEY = re.compile(r"`((?:broker|feed)\.[a-z_]+)`")


def switches() -> dict[str, str]:
    """Every switch of the tables with the default that stands beside it."""
    found: dict[str, str] = {}
    for row in ROW.finditer(PAGE):
        keys = KEY.findall(row["switch"])
        defaults = re.findall(r"`([^`]*)`", row["default"])
        if keys and defaults:
            assert len(keys) == len(defaults), row["what"]
            found |= dict(zip(keys, defaults, strict=True))
    return found


def test_every_switch_has_the_default_that_the_page_states() -> None:
    """Numbers as numbers, words as words."""
    settings = Settings()
    stated = switches()
    assert len(stated) >= 30
    for key, text in stated.items():
        section, name = key.split(".")
        value = getattr(getattr(settings, section), name)
        said = json.loads(text, parse_float=Decimal)
        assert (list(value) if isinstance(value, tuple) else value) == said, key


def test_no_switch_of_the_broker_is_left_out() -> None:
    """Whoever adds an assumption says so."""
    assert {f"broker.{name}" for name in type(Settings().broker).model_fields} - set(KEY.findall(PAGE)) == set()
