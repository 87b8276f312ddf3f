"""Help, examples, versions: walked along the table of methods."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from daemon.cli.ctl import verbs, words
from daemon.cli.ctl.program import main
from daemon.control.methods import METHODS
from tests.cli.ctl.conftest import Run
from tests.cli.ctl.stub import Stub


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_verb_of_the_table_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What it does, an example that its own parser takes, what comes back, who may."""
    method = METHODS[name]
    with pytest.raises(SystemExit) as ended:
        main([*method.verb, "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert "example:\n  tradingctl " in shown
    assert "answers:\n  " in shown
    assert name in words.ANSWERS
    assert all(
        (param.flag in shown) is not param.later or param.positional for param in method.params if name != "subscribe"
    )


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"kill", "subscribe"}))
def test_every_example_is_a_command_line_that_works(name: str) -> None:
    """An example that fails teaches the wrong thing."""
    method = METHODS[name]
    typed = shlex.split(method.example)
    assert typed[0] == "tradingctl"
    found = verbs.find(typed[1:])
    assert found is not None
    assert found[0] is method
    known = verbs.parser(method).parse_args(found[1])
    if name not in {"flatten", "shutdown"}:
        assert verbs.params(method, known).keys() <= {param.name for param in method.params}


def test_the_overview_lists_every_verb_once(call: Run) -> None:
    """Grouped: stop comes first."""
    shown = call("--help").stdout
    for verb in [*verbs.verbs(), "tail", "top", "version"]:
        assert shown.count(f"\n  {verb}  ") == 1, verb
    assert shown.index("\nstop:") < shown.index("\nlook:") < shown.index("\norders:") < shown.index("\nadministration:")
    assert "dashboard" not in shown


def test_a_family_of_verbs_has_help_of_its_own(call: Run) -> None:
    """``tradingctl order --help`` lists its members."""
    done = call("order", "--help")
    assert done.returncode == 0
    assert "usage: tradingctl order {submit,cancel,replace} ..." in done.stdout


def test_version_names_the_daemon_where_one_runs(run: Run, socket_path: Path) -> None:
    """Hello tells it, so it works before the daemon is ready."""
    own = run("version")
    assert own.returncode == 0
    with Stub(socket_path, {"hello": {"api": 1, "version": "9.9.9"}}):
        both = run("version")
        as_json = run("version", "--json")
    assert both.stdout == f"{own.stdout}tradingd 9.9.9\n"
    assert json.loads(as_json.stdout)["daemon"] == "9.9.9"
