"""What starting costs: a kill must not need a package, nor wait for one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.ctl.answers import ANSWERS
from tests.cli.ctl.conftest import ROOT, environ
from tests.cli.ctl.stub import Stub

# What a verb may load beside what Python itself has loaded; a list cannot flicker as a stopwatch does.
_HEAVY = {
    "asyncio",
    "email",
    "zipfile",
    "tempfile",
    "subprocess",
    "ssl",
    "http",
    "urllib",
    "pathlib",
    "shutil",
    "logging",
    "importlib.metadata",
    "decimal",
    "datetime",
    "threading",
    "dataclasses",
    "inspect",
}
_TABLE = {"dataclasses", "inspect"}  # of the table of methods


def loaded(path: Path, *arguments: str, setup: str = "") -> set[str]:
    """Return the modules that a command line loads."""
    code = (
        f"import sys; before = set(sys.modules); {setup}\n"
        "from daemon.cli.tradingctl import main\n"
        f"try:\n    main({list(arguments)!r})\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write('LOADED ' + ' '.join(sorted(set(sys.modules) - before)))"
    )
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environ(TRADINGD_SOCKET=str(path)),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return set(done.stderr.rpartition("LOADED ")[2].split())


@pytest.mark.parametrize(
    "typed", [("kill",), ("status",), ("--help",), ("order", "cancel", "x"), ("tail",), ("positions", "--json")]
)
def test_every_verb_runs_on_the_standard_library_alone(socket_path: Path, typed: tuple[str, ...]) -> None:
    """With no site-packages at all (-S), every verb works."""
    killed = {"kill": {"trading_state": "killed"}, "order.cancel": {"status": "canceled", "client_order_id": "x"}}
    with Stub(socket_path, ANSWERS | killed) as stub:
        found = loaded(socket_path, *typed)
    tops = {name.partition(".")[0] for name in found} - {"daemon"}
    assert tops <= set(sys.stdlib_module_names)
    assert stub.asked or typed == ("--help",)
    assert {"daemon.system", "daemon.control.server", "config", "actors"} & found == set()


def test_a_kill_loads_next_to_nothing(socket_path: Path) -> None:
    """No table, no rendering, none of the slow parts of the standard library."""
    with Stub(socket_path, {"kill": {"trading_state": "killed"}}):
        found = loaded(socket_path, "kill")
    ours = {name for name in found if name.startswith("daemon.")}
    assert {name for name in ours if name.startswith("daemon.control")} == set()
    assert found & _HEAVY == set()
    assert ours == {
        "daemon.cli",
        "daemon.kernel",
        "daemon.kernel.errors",
        "daemon.cli.tradingctl",
        "daemon.cli.ctl",
    } | {f"daemon.cli.ctl.{name}" for name in ("errors", "kill", "options", "places", "program")}


def test_other_verbs_load_little_more(socket_path: Path) -> None:
    """JSON answers need no decimals, no dates, no metadata."""
    with Stub(socket_path, ANSWERS):
        found = loaded(socket_path, "positions", "--json")
    assert found & (_HEAVY - _TABLE) == set()
