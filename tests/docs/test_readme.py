"""README.md keeps its word: its strategy runs, its commands parse, its links lead somewhere."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from actors.messages.orders import OrderType, TimeInForce
from actors.predictor.check import check_strategy
from config import show
from config.sources import load_settings
from daemon.cli.tradingd import app, main
from daemon.system.verify import verify_path
from tests_support import replay

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = (ROOT / "README.md").read_text("utf-8")
PAGES: Final = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "ops/ARCHITECTURE.md")]
FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE: Final = re.compile(r"`([^`\n]+)`")
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")


def fences(language: str) -> list[str]:
    """Code blocks of a language."""
    return [text for found, text in FENCE.findall(README) if found == language]


def inline() -> list[str]:
    """Code within sentences, fenced blocks left out."""
    return INLINE.findall(FENCE.sub("", README))


def command_lines() -> list[str]:
    """Every ``tradingd ...`` line, of the blocks and of the sentences, without what stands before it and behind it."""
    shell = [part for block in fences("sh") for line in block.splitlines() for part in line.split("#")[0].split("&&")]
    lines = [text.strip().removeprefix(".venv/bin/") for text in [*shell, *inline()]]
    return [line for line in lines if line.startswith("tradingd ")]


def options(command: Any) -> Iterator[str]:
    """Every option of a command and of those below it."""
    for parameter in command.params:
        yield from parameter.opts
    for below in getattr(command, "commands", {}).values():
        yield from options(below)


@pytest.fixture
def strategy(tmp_path: Path) -> Path:
    """The README's strategy, saved as it says."""
    blocks = fences("python")
    assert len(blocks) == 1
    first = blocks[0].splitlines()[0]
    assert first.startswith("# ")
    file = tmp_path / first.removeprefix("# ")
    file.write_text(blocks[0], "utf-8")
    return file


def test_the_strategy_passes_the_ten_checks(strategy: Path) -> None:
    """All ten run; the time a call takes is the machine's affair and not judged here."""
    results = check_strategy(f"{strategy}:cross")
    assert len(results) == 10
    assert [r for r in results if not r.ok and r.name != "latency"] == []


def test_the_strategy_replays_and_verifies(strategy: Path, tmp_path: Path) -> None:
    """As the README's command does, over a shorter time; it trades, and the folder verifies."""
    dates = {"date_from": 20210104, "date_to": 20210630}
    result = replay(tmp_path / "cross", strategy=f"{strategy}:cross", **dates)
    assert (result.folder / "fills.csv").read_text("utf-8").count("\n") > 1
    assert [check for check in verify_path(result.folder).checks if not check.ok] == []


def test_the_orders_do_what_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file, replayed by its command: the prices of the sentences below it, and a folder that verifies."""
    (block,) = fences("json")
    monkeypatch.chdir(tmp_path)
    Path("orders.jsonl").write_text(block, "utf-8")
    line = next(line for line in command_lines() if "--source sp500 --orders orders.jsonl" in line)
    assert main([*shlex.split(line)[1:-1], str(tmp_path / "run")]) == 0
    fills = (tmp_path / "run" / "fills.csv").read_text("utf-8").splitlines()[1:]
    prices = [f"{float(fill.split(',')[6]):.3f}" for fill in fills]
    story = README.partition("## Your own orders")[2].partition("## As a daemon")[0].partition("The dip is bought")[2]
    assert len(prices) == 4
    assert all(price in story for price in prices[:3])
    orders = list(csv.DictReader((tmp_path / "run" / "orders.csv").read_text("utf-8").splitlines()))
    ends = {row["client_order_id"]: (row["status"], row["reason"]) for row in orders}
    assert ends["dip-tp"] == ("canceled", "OCO")
    (stood,) = (float(row["stop_px"]) for row in orders if row["client_order_id"] == "dip-sl")
    assert f"stood at {stood:.3f}" in story
    assert [check for check in verify_path(tmp_path / "run").checks if not check.ok] == []


def test_the_readme_leaves_nothing_out_of_what_an_order_may_be() -> None:
    """Counted where the words say a number."""
    words = {7: "seven", 10: "ten"}
    assert f"{words[len(OrderType)]} types, {words[len(TimeInForce)]} times in force" in README


def test_there_are_commands_to_check() -> None:
    """The ways a command stands in the text are all found."""
    lines = command_lines()
    assert "tradingd demo" in lines
    assert any(line.startswith("tradingd replay --bars") for line in lines)
    assert any(line.startswith("tradingd config show") for line in lines)


@pytest.mark.parametrize("line", sorted(set(command_lines())))
def test_every_command_line_parses(line: str) -> None:
    """Its command exists and takes these options; nothing is run."""
    command: Any = typer.main.get_command(app)
    context: Any = None
    name, rest = "tradingd", shlex.split(line)[1:]
    while hasattr(command, "commands"):
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
        if not rest:
            return  # a group is named as such
        name, command, rest = command.resolve_command(context, rest)
    named_only = not any(word.startswith("-") for word in rest) and len(rest) < len(_arguments(command))
    if named_only:
        return  # the sentence names a command, its arguments stand elsewhere
    wanted = [word for word in rest if word not in {"-h", "--help"}]  # which would print and end
    assert command.make_context(name, wanted, parent=context).params


def _arguments(command: Any) -> list[Any]:
    return [p for p in command.params if p.param_type_name == "argument" and p.required]


def test_every_option_in_a_sentence_exists() -> None:
    """``--profile plan`` and the like belong to some command."""
    known = set(options(typer.main.get_command(app)))
    named = {word for text in inline() if text.startswith("--") for word in text.split() if word.startswith("--")}
    assert named
    assert named <= known


def test_every_configuration_key_in_a_sentence_exists() -> None:
    """``section.key`` is a key of the configuration."""
    rows = show.rows(load_settings(file=None, profile="plan", sets=(), environ={}))
    keys = {row.key for row in rows}
    sections = {key.partition(".")[0] for key in keys}
    named = {text for text in inline() if re.fullmatch(r"[a-z]+\.[a-z_]+", text) and text.partition(".")[0] in sections}
    assert named
    assert named <= keys


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """A path beside the page exists."""
    targets = [t.partition("#")[0] for t in LINK.findall(page.read_text("utf-8")) if "://" not in t]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


def test_decisions_are_all_listed() -> None:
    """The index of the decisions names each page, and each link in it leads somewhere."""
    folder = ROOT / "ops" / "adr"
    linked = set(LINK.findall((folder / "README.md").read_text("utf-8")))
    assert linked == {page.name for page in folder.glob("0*.md")}
