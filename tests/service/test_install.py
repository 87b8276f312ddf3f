"""``tradingd install-service``: what it writes, refuses and prints."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from daemon.cli.tradingd import main
from daemon.kernel.errors import OperatorError, RefusedError
from daemon.service.installation import (
    HIDDEN,
    SYSTEM_FILES,
    refuse,
    system_plan,
    systemd_version,
    unit_word,
    user_plan,
    write,
)

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path("/opt/trading/bin/python3")


def files(folder: Path) -> dict[str, str]:
    """Return every file below a folder with its text."""
    return {str(p.relative_to(folder)): p.read_text("utf-8") for p in sorted(folder.rglob("*")) if p.is_file()}


USERS = ("tradingd-failure@.service", "tradingd.service")  # the daemon's own last


def test_the_system_service_is_written_with_the_interpreters_path(tmp_path: Path) -> None:
    """Each file in its place, readable by all, owned by nobody's temporary name."""
    write(system_plan(PYTHON, root=tmp_path, version=252).targets)
    found = files(tmp_path)
    assert set(found) == {place for name, place in SYSTEM_FILES.items() if name != "tradingd-254.conf"}
    unit = found["etc/systemd/system/tradingd.service"]
    assert "ExecStart=/opt/trading/bin/python3 -m daemon run --config /etc/tradingd/tradingd.toml\n" in unit
    assert "/opt/tradingd/bin" not in unit
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize(("version", "there"), [(None, False), (252, False), (253, False), (254, True), (257, True)])
def test_words_of_a_newer_systemd_are_written_only_for_one(version: int | None, there: bool, tmp_path: Path) -> None:
    """Older ones reject notify-reload and RestartSteps."""
    write(system_plan(PYTHON, root=tmp_path, version=version).targets)
    assert ("etc/systemd/system/tradingd.service.d/10-systemd-254.conf" in files(tmp_path)) is there


def test_installing_again_changes_nothing(tmp_path: Path) -> None:
    """Unchanged files are not even touched; a changed one is put right."""
    first = system_plan(PYTHON, root=tmp_path, version=252)
    assert {t.state for t in first.targets} == {"new"}
    write(first.targets)
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()}
    second = system_plan(PYTHON, root=tmp_path, version=252)
    assert {t.state for t in second.targets} == {"same"}
    write(second.targets)
    assert {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()} == before
    unit = tmp_path / "etc/systemd/system/tradingd.service"
    unit.write_bytes(b"\xff")
    third = system_plan(PYTHON, root=tmp_path, version=252)
    assert [t.path for t in third.targets if t.state == "other"] == [unit]
    write(third.targets)
    assert "[Service]" in unit.read_text("utf-8")


def test_the_daemons_own_unit_is_written_last(tmp_path: Path) -> None:
    """An installation that breaks off leaves no unit that names what is not there, and no half file."""
    plan = system_plan(PYTHON, root=tmp_path, version=252)
    assert plan.targets[-1].path.name == "tradingd.service"
    (tmp_path / "etc/systemd/system/tradingd-failure@.service").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        system_plan(PYTHON, root=tmp_path, version=252)
    with pytest.raises(OSError, match="directory"):
        write(plan.targets)
    left = [p.name for p in tmp_path.rglob("*") if p.is_file()]
    assert sorted(left) == ["tradingd.conf", "tradingd.conf"]


def test_a_user_service_goes_where_the_users_manager_looks(tmp_path: Path) -> None:
    """XDG_CONFIG_HOME counts; with a prefix it lies below it."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "c")}
    write(user_plan(PYTHON, environ=environ, root=Path("/")).targets)
    found = files(tmp_path)
    assert sorted(found) == [f"c/systemd/user/{name}" for name in USERS]
    assert not [text for text in found.values() if "ProtectSystem=" in text], "a user's manager cannot enforce it"
    targets = user_plan(PYTHON, environ={"XDG_CONFIG_HOME": "/x/y"}, root=tmp_path).targets
    assert [target.path for target in targets] == [tmp_path / "x/y/systemd/user" / name for name in USERS]


def test_what_would_be_written_in_vain_is_refused(tmp_path: Path) -> None:
    """Without root, and for an interpreter that the unit hides from the daemon, also behind a link."""
    good = system_plan(PYTHON, root=tmp_path, version=252)
    refuse(good, uid=0)
    with pytest.raises(RefusedError, match="use sudo, or --user for a service of your own, or --dry-run") as caught:
        refuse(good, uid=1000)
    assert caught.value.exit_code == 5
    assert len(HIDDEN) >= 4
    for folder in HIDDEN:
        hidden = f"{folder}/venv/bin/python"
        plan = system_plan(Path(hidden), root=tmp_path, version=252)
        with pytest.raises(RefusedError, match=f"the unit hides {hidden} from the daemon; install tradingd below /opt"):
            refuse(plan, uid=0)
    link = tmp_path / "python"
    link.symlink_to(f"{HIDDEN[0]}/me/python")
    assert system_plan(link, root=tmp_path, version=252).notes


def test_paths_stand_in_a_unit_as_systemd_reads_them() -> None:
    """Spaces and percent signs; what systemd accepts in no program's path is refused."""
    assert unit_word(Path("/opt/a-b/bin/python3.11")) == "/opt/a-b/bin/python3.11"
    assert unit_word(Path("/opt/a b")) == '"/opt/a b"'
    assert unit_word(Path("/opt/5%")) == "/opt/5%%"
    for path in ("/opt/a\nb", '/opt/"', "/opt/'", "/opt/\\"):
        with pytest.raises(OperatorError, match="cannot stand in a unit file"):
            unit_word(Path(path))


# ---------------------------------------------------------------------------------------------------- the command line


def test_dry_run_prints_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every file with its text and state, then what to type next."""
    assert main(["install-service", "--dry-run", "--prefix", str(tmp_path)]) == 0
    answer = capsys.readouterr()
    assert f"# would write {tmp_path}/etc/systemd/system/tradingd.service\n" in answer.out
    assert "WatchdogSec=10" in answer.out
    assert "systemctl enable --now tradingd.service" in answer.out
    assert list(tmp_path.iterdir()) == []


def test_json_tells_what_was_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """States of the files, commands and notes; a second run finds everything as it should be."""
    arguments = ["install-service", "--prefix", str(tmp_path), "--json"]
    assert main(arguments) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["schema"] == "tradingd.install-service/1"
    assert {file["state"] for file in first["files"]} == {"wrote"}
    assert all(Path(file["path"]).is_file() for file in first["files"])
    assert first["next"][-1] == "systemctl enable --now tradingd.service"
    assert main(arguments) == 0
    assert {file["state"] for file in json.loads(capsys.readouterr().out)["files"]} == {"unchanged"}
    assert main([*arguments, "--dry-run"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["dry_run"] is True
    assert any(f"ExecStart={unit_word(Path(sys.executable))} " in file["content"] for file in planned["files"])


def test_a_user_installs_without_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into the folder of the user's manager."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert main(["install-service", "--user"]) == 0
    assert "systemctl --user enable --now tradingd.service" in capsys.readouterr().out
    assert sorted(files(tmp_path)) == [f"systemd/user/{name}" for name in USERS]


def test_without_root_the_system_service_is_refused_in_one_sentence() -> None:
    """As another user, in a process of its own; exit code 5."""
    # Everything is read before the user changes, who may not see this interpreter's folders.
    code = """
import os
from daemon.cli.tradingd import main
assert main(["install-service", "--dry-run", "--json"]) == 0
if os.geteuid() == 0:
    os.seteuid(65534)
raise SystemExit(main(["install-service"]))
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.stderr == (
        "tradingd: the files of the system service are root's to write;"
        " use sudo, or --user for a service of your own, or --dry-run\n"
    )
    assert answer.returncode == 5


def test_the_wheel_carries_the_units(tmp_path: Path) -> None:
    """An installed program finds them beside its code, byte for byte as they stand in the tree."""
    wheel = zipfile.ZipFile(next(iter(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))))
    for path in (ROOT / "systemd").iterdir():
        if path.suffix in {".service", ".conf"}:
            assert wheel.read(f"daemon/service/units/{path.name}") == path.read_bytes()


def test_the_version_of_systemd_is_a_number_or_nothing() -> None:
    """Whatever this machine has."""
    found = systemd_version()
    assert found is None or found > 200
