"""The runbooks: a page for each refusal, commands that exist, links that lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from config import show
from config.sources import load_settings
from daemon.cli.ctl import kill, tail, verbs
from daemon.cli.tradingd import app
from daemon.journal.failures import EXIT_CODES, LedgerBrokenError
from daemon.kernel.errors import ConfigError
from daemon.service.installation import template

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "ops" / "runbooks"
PAGES = sorted(FOLDER.glob("*.md"))
INDEX = (FOLDER / "README.md").read_text("utf-8")
# Ends of the process that are no refusals of the ledger.
OTHERS = {"ESCALATED": 70, "LEDGER_BROKEN": LedgerBrokenError.exit_code, "CONFIG": ConfigError.exit_code}
PAGE_OF = {"CONFIG": "configuration.md"}
FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)\)")


def commands(program: str) -> list[tuple[str, str]]:
    """Return (page, command line) for each call of a program in blocks and sentences, without what stands around it."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        lines = [line for block in FENCE.findall(text) for line in block.splitlines()]
        lines += INLINE.findall(re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
        for line in lines:
            words = line.split(" | ")[0].strip()
            for before in ("sudo -u tradingd ", "sudo ", "/opt/tradingd/bin/"):
                words = words.removeprefix(before)
            if words.startswith(f"{program} "):
                found.append((page.name, words))
    return found


def test_each_reason_of_a_refused_start_has_a_page_with_its_code() -> None:
    """Every reason the ledger knows, and the other ends of the process: in the index and at the head of a page."""
    for reason, code in {**EXIT_CODES, **OTHERS}.items():
        name = PAGE_OF.get(reason, f"{reason.lower().replace('_', '-')}.md")
        assert f"| {code} | {reason} | [{name}]({name}) |" in INDEX
        assert (FOLDER / name).read_text("utf-8").startswith(f"# {reason}, exit {code}\n"), name


def test_the_index_names_no_reason_that_does_not_exist() -> None:
    """A renamed reason takes its page along."""
    listed = {reason: int(code) for code, reason in re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", INDEX, re.MULTILINE)}
    assert listed == {**EXIT_CODES, **OTHERS}


def test_the_index_lists_every_page() -> None:
    """Nobody finds a page that is not linked."""
    assert set(LINK.findall(INDEX)) == {page.name for page in PAGES} - {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_short_and_says_what_never_to_do(page: Path) -> None:
    """Readable in the middle of the night; links lead somewhere."""
    text = page.read_text("utf-8")
    assert len(text.splitlines()) <= 90
    assert re.search(r"^## Never", text, re.MULTILINE)
    assert [target for target in LINK.findall(text) if not (page.parent / target).exists()] == []


def test_systemd_does_not_start_again_what_the_pages_say_it_does_not() -> None:
    """The unit's list is the refusals without those that another start may cure."""
    listed = template("tradingd.service").partition("RestartPreventExitStatus=")[2].split("\n")[0]
    cured = {EXIT_CODES["LOCKED"], OTHERS["ESCALATED"], OTHERS["LEDGER_BROKEN"]}
    assert {int(code) for code in listed.split()} == {*EXIT_CODES.values(), *OTHERS.values()} - cured
    assert f"(but for {', '.join(map(str, sorted(cured)[:-1]))} and {max(cured)})" in INDEX


def test_there_are_commands_to_check() -> None:
    """The tests below would pass on none."""
    assert len(commands("tradingctl")) > 30
    assert len(commands("tradingd")) > 10


@pytest.mark.parametrize(("page", "line"), sorted(set(commands("tradingctl"))))
def test_every_tradingctl_line_parses(page: str, line: str) -> None:
    """The verb exists and takes these options; nothing is sent."""
    words = shlex.split(line)[1:]
    special = {"kill": kill.parser, "tail": tail.parser}
    if words[0] in special:
        special[words[0]]().parse_args(words[1:])
        return
    found = verbs.find(words)
    assert found is not None, f"{page}: {line}"
    method, arguments = found
    verbs.parser(method).parse_args(arguments)


@pytest.mark.parametrize(("page", "line"), sorted(set(commands("tradingd"))))
def test_every_tradingd_line_parses(page: str, line: str) -> None:
    """The command exists and takes these options; nothing is run."""
    command: Any = typer.main.get_command(app)
    context: Any = None
    name, rest = "tradingd", shlex.split(line)[1:]
    while hasattr(command, "commands"):
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
        assert rest, f"{page}: {line}"
        name, command, rest = command.resolve_command(context, rest)
    assert command.make_context(name, rest, parent=context) is not None


def test_every_configuration_key_exists() -> None:
    """``section.key`` in a sentence is a key of the configuration."""
    keys = {row.key for row in show.rows(load_settings(file=None, profile=None, sets=(), environ={}))}
    sections = {key.partition(".")[0] for key in keys}
    named = {
        text
        for page in PAGES
        for text in INLINE.findall(page.read_text("utf-8"))
        if re.fullmatch(r"[a-z]+\.[a-z_]+", text) and text.partition(".")[0] in sections
    }
    assert named
    assert named <= keys
