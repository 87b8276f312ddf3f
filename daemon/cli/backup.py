"""``tradingd backup`` and ``tradingd restore``: a state directory in one file, and back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from daemon.cli.options import AsJson, ConfigFile, Sets
from daemon.cli.render import note, pairs, say, say_json
from daemon.kernel.errors import OperatorError

FOLDER: Final = "backups"
BACKUP_EXAMPLE: Final = """\b
Example: tradingd backup /mnt/backups --config daemon.toml"""
RESTORE_EXAMPLE: Final = """\b
Example: tradingd restore /mnt/backups/tradingd-backup-20241120T180000000Z-81204.tar --config daemon.toml"""


def backup(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Folder to write to; default: backups in state_dir.", show_default=False),
    ] = None,
    *,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Write ledger, tapes and kill latch of the state directory to one checked file; the daemon may run meanwhile.

    Models that were fetched or imported are not in it: tradingd model export copies one.
    """
    import msgspec

    from daemon.journal.backup import back_up
    from daemon.system.version import program_version

    state_dir = _state_dir(config, sets)
    done = back_up(state_dir, folder or state_dir / FOLDER, version=program_version())
    if as_json:
        say_json(msgspec.to_builtins(done))
        return
    made = done.manifest
    say(
        pairs(
            {
                "backup": done.path,
                "bytes": f"{done.bytes:,}",
                "sha256": done.sha256,
                "run": f"{made.run_id} ({made.status})",
                "last input": f"{made.seq:,}",
                "event digest": made.event_digest,
                "kill latch": made.latch,
            }
        )
    )
    if made.archived:
        note(f"{len(made.archived)} older runs are in the archive folder, which a backup leaves out: copy it as well")
    try:
        models = _models(state_dir)
    except (OperatorError, OSError) as error:  # the backup is made, and they are no part of it
        note(f"text models are left out, and which there are nobody can say: {error}")
        return
    if models:
        note(f"text models are left out: {', '.join(models)}; tradingd model export copies one")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that tradingd backup wrote.")],
    *,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the state directory; what was there moves aside. Stop the daemon first."""
    import msgspec

    from daemon.journal.restore import restore as put_back

    done = put_back(file, _state_dir(config, sets))
    if as_json:
        say_json(msgspec.to_builtins(done))
        return
    made = done.manifest
    say(
        pairs(
            {
                "state directory": done.state_dir,
                "restored": f"run {made.run_id} up to input {made.seq:,}, as of {made.created}",
                "event digest": made.event_digest,
                "tapes": _days(done.tapes),
                "kept aside": done.aside or "nothing was there",
                "removed": ", ".join(done.removed) or "nothing",
                "kill latch": done.latch,
            }
        )
    )
    if done.archive_missing:
        first, others = done.archive_missing[0], len(done.archive_missing) - 1
        more = f" and {others} more" if others else ""
        where = f"{done.state_dir}/archive"
        note(f"the ledger speaks of {first}{more}, and {where} has not: copy the archive there, or verify misses it")
    if done.latch != "clear":
        why = "the directory was killed before, and a restore does not undo that" if done.kept_killed else "as it was"
        note(f"the daemon will start killed ({why}): tradingctl unlatch, once you know why")


def _days(days: Sequence[int]) -> str:
    """Say which trading days; years of them would be hundreds of numbers."""
    if not days:
        return "none"
    first, last = min(days), max(days)
    return f"{len(days):,}, {first} to {last}" if len(days) > 1 else str(first)


def _models(state_dir: Path) -> list[str]:
    from actors.predictor.text.store import ModelStore

    found = ModelStore(state_dir).models()
    return [f"{one.name}@{one.version}" for one in found if one.origin == "installed" and one.active]


def _state_dir(config: Path | None, sets: list[str] | None) -> Path:
    from config.sources import load_settings

    loaded = load_settings(file=config, profile=None, sets=sets or (), environ=os.environ)
    return loaded.settings.paths.state_dir.expanduser()
