"""ops/sentiment.md keeps its word: its keys, defaults, flags, reasons, figures and its example are the program's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from actors.api import Sentiment
from actors.predictor.check import check_strategy
from actors.predictor.sentiment import aggregate, book, desk
from actors.predictor.sentiment.flags import FLAGS, flags_of
from actors.predictor.sentiment.params import DEADLINE_NS
from config.settings import Settings
from config.show import toml_value
from tests_support import ROOT

PAGE: Final = (ROOT / "ops" / "sentiment.md").read_text("utf-8")


def section(title: str) -> str:
    """Return what stands under a heading."""
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def table(text: str) -> list[list[str]]:
    """Return the rows of the first table, without its head."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_every_key_has_the_default_that_is_said() -> None:
    """And none is missing."""
    rows = {row[0].strip("`"): row[1].strip("`") for row in table(section("Configuration"))}
    weights = "predictor.sentiment.source_weights.NAME"
    assert rows.pop(weights) == "1"
    assert rows.pop("predictor.latency_ms") == "0"
    settings = Settings().predictor.sentiment
    fields = [name for name in type(settings).model_fields if name != "source_weights"]
    assert rows == {f"predictor.sentiment.{name}": toml_value(getattr(settings, name)).strip('"') for name in fields}


def test_every_flag_has_a_row_whose_examples_raise_it() -> None:
    """In the order in which they are told."""
    rows = table(section("Flags"))
    assert [row[0].strip("`") for row in rows] == list(FLAGS)
    for name, examples in rows:
        for example in examples.split(", "):
            assert name.strip("`") in flags_of(example), (name, example)


def test_every_figure_is_defined() -> None:
    """Those a strategy sees, by name."""
    defined = set(re.findall(r"^\| `(\w+)` \|", section("Figures"), re.MULTILINE))
    assert defined == set(Sentiment.__struct_fields__) - {"flags"}


def test_the_numbers_are_the_programs() -> None:
    """Bounds, sessions, deviations."""
    figures, way = section("Figures"), section("From a headline to a score")
    assert f"the newest {book.HEADLINES_MAX} of a symbol" in figures
    assert f"last {aggregate.NORM_SESSIONS} sessions" in figures
    assert (
        f"`today` ≥ {aggregate.UNUSUAL_MIN} and `today` > norm + {aggregate.UNUSUAL_DEVIATIONS:.0f} · √norm" in figures
    )
    assert f"close {aggregate.MOVE_SESSIONS} sessions before" in figures
    assert f"up to {aggregate.VOLATILITY_SESSIONS} daily log returns" in figures
    assert (aggregate.NORM_MIN, aggregate.FULL_SCALE, aggregate.DIGITS) == (5, 2.0, 6)
    assert f"{desk.TEXT_MAX}\n   characters" in way
    assert f"{desk.BATCH} a request" in way
    assert DEADLINE_NS == 5 * 60 * 10**9


def test_the_example_passes_the_checks(tmp_path: Path) -> None:
    """As it stands on the page."""
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(code) == 1
    file = tmp_path / "mine.py"
    file.write_text(code[0], "utf-8")
    assert [result for result in check_strategy(f"{file}:reads") if not result.ok] == []
