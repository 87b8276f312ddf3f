"""Reading the configuration again while the daemon runs: everything that changed can be taken over, or nothing is.

A file that is being edited, has a typing error or is gone must never loosen a limit (F60, C28): the settings in force
stay, and the sentence says why.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.settings import settings_digest
from config.show import is_reloadable, leaves, toml_value
from config.sources import Loaded, Request, load
from daemon.kernel.errors import ConfigError

NAMED_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Change:
    """One key that changed, both values as TOML."""

    key: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class ReloadPlan:
    """What a reload would take over.

    Attributes:
        loaded: the new settings as a whole; replaces the old ones where the plan is followed.
        changes: in the order of the models, all of them reloadable; empty where nothing changed.
        digest: of the new settings, for the command that records the reload.
    """

    loaded: Loaded
    changes: tuple[Change, ...]
    digest: str

    def touches(self, section: str) -> bool:
        """Whether a key of a section, such as ``risk``, changed."""
        return any(change.key.startswith(f"{section}.") for change in self.changes)


def reload_settings(old: Loaded, request: Request | None = None) -> ReloadPlan:
    """Read the sources of ``old`` again and say what changed.

    Args:
        old: the settings in force.
        request: what to read; None: what ``old`` was read from, with the environment of that time.

    Raises:
        ConfigError: a source does not hold, or a key changed that needs a restart; the sentence names it. Nothing was
            taken over.
    """
    asked = old.request if request is None else request
    if asked.file is not None and _is_no_file(asked.file):
        # A start may read a pipe (`--config <(...)`); here a read that does not end would hold up what comes behind it.
        message = f"{asked.file} is not a regular file, which alone can be read again"
        raise ConfigError(message, code="CONFIG_FILE", remedy="put the file back, or restart the daemon")
    new = load(asked)
    before = {key: value for key, value, _ in leaves(old.settings)}
    after = {key: (value, is_reloadable(info)) for key, value, info in leaves(new.settings)}
    changes, fixed = [], [key for key in before if key not in after]
    for key, (value, reloadable) in after.items():
        if key not in before or (before[key] != value and not reloadable):
            fixed.append(key)
        elif before[key] != value:
            changes.append(Change(key, toml_value(before[key]), toml_value(value)))
    if fixed:
        raise needs_restart(fixed)
    return ReloadPlan(new, tuple(changes), settings_digest(new.settings))


def _is_no_file(file: Path) -> bool:
    try:
        return not stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False  # reading it will say why


def needs_restart(keys: list[str]) -> ConfigError:
    """Return the refusal of keys that a running daemon cannot take over."""
    named = ", ".join(keys[:NAMED_MAX]) + (f" and {len(keys) - NAMED_MAX} more" if len(keys) > NAMED_MAX else "")
    message = f"{named} cannot change while the daemon runs, so nothing was taken over"
    return ConfigError(message, code="CONFIG_RESTART", remedy="take the change back, or restart the daemon")
