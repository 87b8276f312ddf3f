"""The unit files: what systemd itself says of them, and that they agree with the program they start."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import Settings
from daemon.service.installation import SYSTEM_FILES, TEMPLATE_PYTHON, system_plan, template, user_plan, write

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted(path.name for path in (ROOT / "systemd").iterdir() if path.suffix in {".service", ".conf"})
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")


def analyze(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze."""
    return subprocess.run(
        ["systemd-analyze", *arguments],  # noqa: S607 - the system's own, wherever it keeps it
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | environ,
    )


def values(text: str, key: str) -> list[str]:
    """Return what a unit assigns to a key."""
    return re.findall(rf"^{re.escape(key)}=(.*)$", text, re.MULTILINE)


def seconds(text: str, key: str) -> int:
    """Return a unit's number of seconds."""
    return int(values(text, key)[-1])


def test_what_is_read_in_the_tree_is_what_is_installed() -> None:
    """After a change: ``cp systemd/*.service systemd/*.conf daemon/service/units/``."""
    assert sorted(path.name for path in (ROOT / "daemon" / "service" / "units").iterdir()) == TEMPLATES
    for name in TEMPLATES:
        assert (ROOT / "systemd" / name).read_text("utf-8") == template(name), name
    assert set(TEMPLATES) == {*SYSTEM_FILES, "tradingd-user.service"}


@needs_systemd
def test_the_exposure_of_the_service_is_at_most_one_and_a_half() -> None:
    """``systemd-analyze security``: 1.5 or better on its scale of ten."""
    answer = analyze(
        "security", "--offline=true", "--threshold=15", "--no-pager", str(ROOT / "systemd/tradingd.service")
    )
    assert "Overall exposure level" in answer.stdout
    assert answer.returncode == 0, answer.stdout[-200:] + answer.stderr


@needs_systemd
def test_the_exposure_of_the_inference_host_is_at_most_one() -> None:
    """``systemd-analyze security``: 1.0 or better; nothing but loopback is in its network."""
    unit = ROOT / "systemd/tradingd-inference.service"
    answer = analyze("security", "--offline=true", "--threshold=10", "--no-pager", str(unit))
    assert "Overall exposure level" in answer.stdout
    assert answer.returncode == 0, answer.stdout[-200:] + answer.stderr


def test_the_inference_host_is_a_stranger_to_the_daemons_secrets() -> None:
    """Its own user, folders and network, no credentials; restarted for ever; the first to die where memory ends."""
    text = template("tradingd-inference.service")
    assert values(text, "User") == values(text, "Group") == ["tradingd-inference"]
    assert values(text, "PrivateNetwork") == ["yes"]
    assert values(text, "UMask") == ["0077"]
    assert values(text, "LoadCredential") == []
    assert "/etc/tradingd/" not in text
    assert values(text, "StateDirectory") == values(text, "RuntimeDirectory") == ["tradingd-inference"]
    assert (values(text, "StateDirectoryMode"), values(text, "RuntimeDirectoryMode")) == (["0700"], ["0750"])
    assert values(text, "Type") == ["notify"]
    assert values(text, "Restart") == ["always"]
    assert seconds(text, "OOMScoreAdjust") > 0 > seconds(template("tradingd.service"), "OOMScoreAdjust")
    users = template("tradingd.sysusers.conf")
    assert re.search(r"^u tradingd-inference ", users, re.MULTILINE)
    assert re.search(r"^m tradingd tradingd-inference$", users, re.MULTILINE)
    assert re.search(
        r"^d /etc/tradingd-inference +0750 root tradingd-inference", template("tradingd.tmpfiles.conf"), re.MULTILINE
    )


@needs_systemd
@pytest.mark.parametrize("folder", ["plain", "with space", "per%cent", "dollar$HOME", "ümlaut", "semi;colon"])
def test_systemd_accepts_the_installed_units_wherever_the_interpreter_lives(folder: str, tmp_path: Path) -> None:
    """No complaint of any kind, and the program is found under the path as it was written."""
    python = tmp_path / folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    plan = system_plan(python, root=tmp_path / "root", version=252)
    for target in plan.targets:
        target.path.parent.mkdir(parents=True, exist_ok=True)
        target.path.write_text(target.content, "utf-8")
    units = tmp_path / "root" / "etc" / "systemd" / "system"
    answer = analyze(
        "verify",
        "--man=no",
        "--recursive-errors=no",
        str(units / "tradingd.service"),
        str(units / "tradingd-inference.service"),
        str(units / "tradingd-failure@tradingd.service.service"),
    )
    assert (answer.returncode, answer.stderr) == (0, "")


@needs_systemd
def test_systemd_accepts_the_units_of_a_user(tmp_path: Path) -> None:
    """Checked as the user's manager would read them."""
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    plan = user_plan(python, environ={"XDG_CONFIG_HOME": str(tmp_path / "config")}, root=Path("/"))
    write(plan.targets)
    failure, unit = (target.path for target in plan.targets)
    told = unit.with_name("tradingd-failure@tradingd.service.service")  # as it is called
    told.symlink_to(failure)
    answer = analyze("verify", "--user", "--man=no", str(unit), str(told), XDG_RUNTIME_DIR=str(tmp_path))
    assert (answer.returncode, answer.stderr) == (0, "")


@needs_systemd
def test_systemd_refuses_a_unit_that_is_wrong(tmp_path: Path) -> None:
    """The two tests above would pass on anything if this one did not."""
    unit = tmp_path / "wrong.service"
    unit.write_text(template("tradingd.service").replace("WatchdogSec=10", "WatchdogSeconds=10"), "utf-8")
    answer = analyze("verify", "--man=no", str(unit))
    assert answer.returncode != 0
    assert "WatchdogSeconds" in answer.stderr
    assert TEMPLATE_PYTHON in answer.stderr


@pytest.mark.parametrize("name", ["tradingd.service", "tradingd-user.service"])
def test_the_manager_does_what_the_program_counts_on(name: str) -> None:
    """Notify from the main process, a watchdog, restarts for ever but not after a refusal, time to stop in."""
    text = template(name)
    assert values(text, "Type") == ["notify"]
    assert values(text, "NotifyAccess") == ["main"]
    assert values(text, "WatchdogSec") == ["10"]
    assert values(text, "Restart") == ["always"]
    assert values(text, "RestartSec") == ["1"]
    assert values(text, "StartLimitIntervalSec") == ["300"]
    assert values(text, "StartLimitBurst") == ["10"]
    assert values(text, "RestartPreventExitStatus") == ["65 66 67 68 69 71 72 73 77 78"]
    assert values(text, "ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert values(text, "OnFailure") == ["tradingd-failure@%n.service"]
    assert values(text, "LimitCORE") == ["0"]
    assert values(text, "UMask") == ["0077"]
    assert values(text, "ExecStart")[0].startswith(f"{TEMPLATE_PYTHON} -m daemon run --config ")
    service = Settings().service
    budgets = [getattr(service, key) for key in type(service).model_fields if key.startswith("shutdown_")]
    assert len(budgets) == 4
    assert seconds(text, "TimeoutStopSec") > sum(budgets)


@pytest.mark.parametrize("name", ["tradingd.service", "tradingd-user.service"])
def test_a_file_kill_outlives_the_process(name: str) -> None:
    """Systemd would remove the folder at every stop, also between the watchdog's SIGABRT and the restart."""
    text = template(name)
    assert values(text, "RuntimeDirectory") == ["tradingd"]
    assert values(text, "RuntimeDirectoryPreserve") == ["yes"]


def test_folders_of_the_system_service_are_private() -> None:
    """The ledger is the daemon's alone; the control socket's folder is its group's."""
    text = template("tradingd.service")
    assert values(text, "StateDirectoryMode") == ["0700"]
    assert values(text, "RuntimeDirectoryMode") == ["0750"]
    assert values(text, "LoadCredential") == []  # only as examples in comments
    assert "#LoadCredential=" in text


def test_the_failure_unit_needs_nothing_of_ours() -> None:
    """It must work when the interpreter is broken: only the system's programs, each allowed to be missing."""
    commands = values(template("tradingd-failure@.service"), "ExecStart")
    assert len(commands) == 3
    assert all(command.startswith(("-/usr/bin/", "-/bin/")) for command in commands)


def test_the_failure_hook_is_run_if_it_is_there(tmp_path: Path) -> None:
    """The unit's own shell line, with its path moved into a test's folder."""
    line = values(template("tradingd-failure@.service"), "ExecStart")[2]
    script = re.fullmatch(r"-/bin/sh -c '(.*)'", line)
    assert script is not None
    hook, told = tmp_path / "the config" / "tradingd" / "on-failure", tmp_path / "told"
    hook.parent.mkdir(parents=True)
    text = script[1].replace("%E", str(tmp_path / "the config")).replace("%i", "tradingd.service")
    assert subprocess.run(["/bin/sh", "-c", text], check=False).returncode == 0
    hook.write_text(f'#!/bin/sh\necho "$1" > {told}\n', "utf-8")
    assert subprocess.run(["/bin/sh", "-c", text], check=False).returncode == 0
    assert not told.exists()
    hook.chmod(0o755)
    assert subprocess.run(["/bin/sh", "-c", text], check=False).returncode == 0
    assert told.read_text("utf-8") == "tradingd.service\n"
