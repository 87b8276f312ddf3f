"""Writing the unit files where systemd looks for them, with the interpreter that runs this very program."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final

from daemon.kernel.errors import OperatorError, RefusedError

TEMPLATE_PYTHON: Final = "/opt/tradingd/bin/python"
FILE_MODE: Final = 0o644
NOTIFY_RELOAD_SINCE: Final = 254
# What the system unit hides from the daemon: ProtectHome and PrivateTmp.
HIDDEN: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - named in order to refuse them
UNITS: Final = "etc/systemd/system"
# template -> where it goes below the root. The daemon's own unit comes last: what it names is there by then.
SYSTEM_FILES: Final = {
    "tradingd.sysusers.conf": "etc/sysusers.d/tradingd.conf",
    "tradingd.tmpfiles.conf": "etc/tmpfiles.d/tradingd.conf",
    "tradingd-failure@.service": f"{UNITS}/tradingd-failure@.service",
    "tradingd-inference.service": f"{UNITS}/tradingd-inference.service",
    "tradingd-254.conf": f"{UNITS}/tradingd.service.d/10-systemd-254.conf",
    "tradingd.service": f"{UNITS}/tradingd.service",
}
USER_FILES: Final = {
    "tradingd-failure@.service": "tradingd-failure@.service",
    "tradingd-user.service": "tradingd.service",
}
_NOT_A_USERS: Final = re.compile(r"^(ProtectSystem|ProtectHome|PrivateTmp)=.*\n", re.MULTILINE)
"""What the failure unit asks of the system's manager; a user's own cannot give it."""


@dataclass(frozen=True, slots=True)
class Target:
    """One file: where it goes, what it holds, and how it compares with what is there (``new``, ``same``, ``other``)."""

    path: Path
    content: str
    state: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What an installation writes, what to type after it, and what people should know."""

    targets: tuple[Target, ...]
    commands: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())


def template(name: str) -> str:
    """Return a unit file as it ships."""
    return resources.files("daemon.service").joinpath("units", name).read_text("utf-8")


def systemd_version() -> int | None:
    """Return the major version of this machine's systemd, or None where there is none."""
    program = shutil.which("systemctl")
    if program is None:
        return None
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10)  # noqa: S603
    found = re.match(r"systemd (\d+)", answer.stdout)
    return int(found[1]) if found else None


def system_plan(python: Path, *, root: Path, version: int | None) -> Plan:
    """Return the installation of the system service.

    Args:
        python: the interpreter of the virtual environment, not resolved: its real path would lose the environment.
        root: where the file system begins; another folder than ``/`` is for packaging.
        version: systemd's major version; None writes what every version understands.
    """
    targets = []
    for name, place in SYSTEM_FILES.items():
        if name == "tradingd-254.conf" and (version is None or version < NOTIFY_RELOAD_SINCE):
            continue
        targets.append(_target(root / place, _with_python(template(name), python)))
    commands = (
        "systemd-sysusers",
        "systemd-tmpfiles --create tradingd.conf",
        f"{shlex.quote(str(python))} -m daemon config init /etc/tradingd/tradingd.toml",
        "systemctl daemon-reload",
        "systemctl enable --now tradingd.service",
    )
    # The environment's interpreter is a link: both it and what it leads to must be seen.
    hidden = [path for path in (python, python.resolve()) if any(path.is_relative_to(folder) for folder in HIDDEN)]
    notes = tuple(f"the unit hides {path} from the daemon; install tradingd below /opt" for path in hidden[:1])
    return Plan(tuple(targets), commands, notes)


def user_plan(python: Path, *, environ: Mapping[str, str], root: Path) -> Plan:
    """Return the installation of a user's own service; arguments as of :func:`system_plan`."""
    config = Path(environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    if root != Path("/"):
        config = root / config.relative_to("/")
    folder = config / "systemd" / "user"
    targets = tuple(
        _target(folder / place, _NOT_A_USERS.sub("", _with_python(template(name), python)))
        for name, place in USER_FILES.items()
    )
    commands = (
        f"{shlex.quote(str(python))} -m daemon config init ~/.config/tradingd/tradingd.toml",
        "systemctl --user daemon-reload",
        "systemctl --user enable --now tradingd.service",
        "loginctl enable-linger",
    )
    return Plan(targets, commands)


def refuse(plan: Plan, *, uid: int) -> None:
    """Refuse what would be written in vain.

    Raises:
        RefusedError: not root, or an interpreter that the unit hides.
    """
    if uid != 0:
        message = "the files of the system service are root's to write"
        raise RefusedError(
            message, code="NOT_ROOT", remedy="use sudo, or --user for a service of your own, or --dry-run"
        )
    if plan.notes:
        raise RefusedError(plan.notes[0], code="HIDDEN_PYTHON", remedy="then call install-service from there")


def write(targets: Sequence[Target]) -> None:
    """Write every file that is new or another, each complete or not at all."""
    for target in targets:
        if target.state == "same":
            continue
        target.path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=target.path.parent, prefix=f".{target.path.name}.")
        try:
            with os.fdopen(number, "w", encoding="utf-8") as stream:
                os.fchmod(number, FILE_MODE)
                stream.write(target.content)
                stream.flush()
                os.fsync(number)
            Path(name).replace(target.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def unit_word(path: Path) -> str:
    """Return a path as the first word of a unit's command line: quoted where needed, ``%`` begins no specifier.

    Raises:
        OperatorError: a path with characters that systemd takes for no program's path.
    """
    text = str(path)
    if not text.isprintable() or any(c in text for c in "\"'\\"):
        raise OperatorError(f"{text!r} cannot stand in a unit file", code="PATH", remedy="install elsewhere")
    text = text.replace("%", "%%")
    return text if re.fullmatch(r"[\w@%+=:,./-]+", text) else f'"{text}"'


def _with_python(text: str, python: Path) -> str:
    return text.replace(TEMPLATE_PYTHON, unit_word(python))


def _target(path: Path, content: str) -> Target:
    try:
        state = "same" if path.read_text("utf-8") == content else "other"
    except FileNotFoundError:
        state = "new"
    except UnicodeDecodeError:
        state = "other"
    return Target(path, content, state)
