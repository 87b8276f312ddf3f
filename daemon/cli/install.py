"""``tradingd install-service``: the unit files of the installed program, where systemd looks for them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.options import AsJson
from daemon.cli.render import note, say, say_json

EXAMPLE = """\b
Examples:
  tradingd install-service --dry-run
  sudo /opt/tradingd/bin/tradingd install-service
  tradingd install-service --user"""
DONE = {"new": "wrote", "other": "replaced", "same": "unchanged"}
PLANNED = {"new": "would write", "other": "would replace", "same": "unchanged"}


def install_service(
    *,
    user: Annotated[bool, typer.Option("--user", help="A service of your own account; needs no root.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be written; write nothing.")] = False,
    prefix: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write below this folder instead of /, for packaging.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the systemd units with the path of this interpreter, and print what to type next.

    Files that are already as they should be stay untouched. Your own changes belong into a drop-in
    (systemctl edit tradingd).
    """
    from daemon.service import installation

    root = prefix.absolute() if prefix is not None else Path("/")
    python = Path(sys.executable)
    if user:
        plan = installation.user_plan(python, environ=os.environ, root=root)
    else:
        plan = installation.system_plan(python, root=root, version=installation.systemd_version())
        if not dry_run and prefix is None:
            installation.refuse(plan, uid=os.geteuid())
    if not dry_run:
        installation.write(plan.targets)
    words = PLANNED if dry_run else DONE
    if as_json:
        files = [
            {"path": str(t.path), "state": words[t.state]} | ({"content": t.content} if dry_run else {})
            for t in plan.targets
        ]
        say_json(
            {
                "schema": "tradingd.install-service/1",
                "dry_run": dry_run,
                "files": files,
                "next": list(plan.commands),
                "notes": list(plan.notes),
            }
        )
        return
    for target in plan.targets:
        say(f"# {words[target.state]} {target.path}" if dry_run else f"{words[target.state]} {target.path}")
        if dry_run:
            say(target.content)
    for text in plan.notes:
        note(f"note: {text}")
    say("\n".join(["# next:" if dry_run else "next:", *(f"  {command}" for command in plan.commands)]))
