"""ops/risk.md keeps its word: every check, code, key, default, breaker, control and test on it is the program's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import BaseModel

from actors.messages.risk import TradingState
from actors.risk.breaker_rows import BREAKER_NAMES, DAILY_LOSS, DRAWDOWN, WATCH_ALL
from actors.values.refusals import BELOW_FILLED
from config.settings import Settings
from config.show import toml_value
from config.sources import keys_of
from daemon.system.views_why import ALWAYS, ENTRIES, REDUCTIONS

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "ops" / "risk.md").read_text("utf-8")
GATE: Final = PAGE.partition("## The gate")[2].partition("## Breakers")[0]
BREAKERS: Final = PAGE.partition("## Breakers")[2].partition("## Changing")[0]
CONTROLS: Final = PAGE.partition("## Every control")[2]
WORD: Final = re.compile(r"`([^`]+)`")
MAKERS: Final = {"Denial", "_over", "_bad_distance"}
"""Calls whose first argument is the code of a denial."""
MEASURED: Final = re.compile(r"[A-Z][A-Z_]{2,}")


def table(text: str) -> list[list[str]]:
    """Return the cells of a part's first table, without its heading."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def codes_of(path: Path) -> Iterator[str]:
    """Yield the codes of the denials that a module makes: said in place, or kept in a name ``code``."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant):
                yield first.value
        elif isinstance(node, ast.Assign):
            yield from (
                part.value
                for target in node.targets
                if "code" in {name.id for name in ast.walk(target) if isinstance(name, ast.Name)}
                for part in ast.walk(node.value)
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            )


GATE_CODES: Final = (
    {
        code
        for path in sorted((ROOT / "actors" / "risk").glob("*.py"))
        for code in codes_of(path)
        if MEASURED.fullmatch(code)
    }
    | {BELOW_FILLED}
    | {state.name for state in TradingState if state is not TradingState.ACTIVE}
)
NO_DENIALS: Final = {"BAD_SCENARIO", "TERMINAL_ORDER", "UNKNOWN_ORDER"}
"""Refusals of a file, and of a request about an order that is not there."""


def test_every_denial_of_the_gate_stands_on_the_page() -> None:
    """And the table names no code that no denial has."""
    told = {word for row in table(GATE) for word in WORD.findall(row[1])}
    assert len(GATE_CODES) > 40
    assert GATE_CODES - NO_DENIALS - told == set()
    assert {word for word in told if MEASURED.fullmatch(word)} - GATE_CODES == set()


def test_the_checks_come_in_the_order_in_which_an_order_is_held_against_them() -> None:
    """As ``why`` names them; what meets reductions too is marked."""
    rows = table(GATE)
    assert [row[0] for row in rows] == [*ALWAYS, *ENTRIES]
    assert {row[0] for row in rows if row[2] == "all"} == {*ALWAYS, *REDUCTIONS}
    assert {row[2] for row in rows} == {"all", "entries"}


def value_of(key: str) -> Any:
    """Return the default of a key of [risk]."""
    value: Any = Settings().risk
    for part in key.split("."):
        assert isinstance(value, BaseModel)
        assert part in keys_of(type(value)), key
        value = getattr(value, part)
    return value


@pytest.mark.parametrize(("key", "default"), re.findall(r"`([a-z_.]+)` = (\"\w+\"|\[\]|[\w.]*\w)", PAGE))
def test_every_default_is_the_programs(key: str, default: str) -> None:
    """As the configuration writes it."""
    assert toml_value(value_of(key)) == default


def test_every_limit_of_the_configuration_stands_on_the_page() -> None:
    """A key that comes later is not forgotten here."""
    told = {word.removeprefix("risk.") for word in WORD.findall(PAGE)}
    tables = {"symbols", "sectors", "portfolios", "breakers", "scenarios"}
    assert {name for name in keys_of(type(Settings().risk)) if name not in told} - tables - {"daily_loss_halt"} == set()


def test_every_breaker_stands_in_the_table_with_its_defaults() -> None:
    """Limit, action, how it is armed again, and whether it watches all portfolios."""
    rows = {WORD.findall(row[0])[0]: row for row in table(BREAKERS)}
    assert tuple(rows) == BREAKER_NAMES
    risk = Settings().risk
    assert Decimal(rows[DAILY_LOSS][3]) == risk.daily_loss_halt
    assert Decimal(rows[DRAWDOWN][3]) == risk.max_drawdown
    for name, breaker in risk.breakers:
        _, of, _, limit, action, reset = rows[name]
        assert (Decimal(limit), action, reset) == (breaker.limit, breaker.action, breaker.reset), name
        assert (of in {"all", "feed", "strategy"}) == (name in WATCH_ALL), name


def controls() -> list[list[str]]:
    """Return the rows of the table of controls."""
    return table(CONTROLS)


def test_every_control_has_its_row() -> None:
    """C1 to C28; those of which a part is not built yet are named below the table."""
    assert [row[0] for row in controls()] == [f"C{n}" for n in range(1, 29)]
    unbuilt = CONTROLS.partition("Not yet built:")[2]
    assert set(re.findall(r"C\d+", unbuilt)) == {"C23", "C24", "C26"}
    assert {row[0] for row in controls() if not WORD.findall(row[3])} == {"C23", "C24"}


@pytest.mark.parametrize("row", controls(), ids=lambda row: row[0])
def test_a_controls_module_code_and_tests_exist(row: list[str]) -> None:
    """The module is a file, the code stands in the source, each test is defined where the table says."""
    (module,) = WORD.findall(row[2])
    assert (ROOT / module).is_file()
    for code in WORD.findall(row[3]):
        assert code in SOURCE_WORDS, code
    tests = WORD.findall(row[4])
    assert tests
    for test in tests:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text("utf-8"), test


def _words() -> set[str]:
    """Return the texts that stand alone in the source, and the names of the trading states."""
    found = {state.name for state in TradingState}
    for folder in ("actors", "daemon", "config"):
        for path in (ROOT / folder).rglob("*.py"):
            found |= {
                node.value
                for node in ast.walk(ast.parse(path.read_text("utf-8")))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
    return found


SOURCE_WORDS: Final = _words()


def test_links_lead_somewhere() -> None:
    """To pages beside this one, and to the parts of them that are named."""
    for target, part in re.findall(r"\]\(([^)#]+)(?:#([^)]+))?\)", PAGE):
        page = ROOT / "ops" / target
        assert page.exists(), target
        if part:
            headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
            assert part in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, part
