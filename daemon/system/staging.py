"""Folders that appear complete or not at all: written beside their place under another name, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from daemon.kernel.errors import OperatorError

MARKER: Final = "run.json"
"""Whatever has this file is a run folder and may be replaced by another run."""


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``target`` when the block ends well, and vanishes when it does not.

    An older run folder at ``target`` is replaced at the last moment; anything else there is left alone.

    Raises:
        OperatorError: ``target`` is something other than a run folder, or its parent cannot be written.
    """
    target = target.absolute()
    _check_target(target)
    staging = target.parent / f".{target.name}.{os.getpid()}.partial"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir()
    except OSError as error:
        raise OperatorError(
            f"the run folder {target} cannot be written: {error.strerror or error}",
            code="OUT_UNWRITABLE",
            remedy="name another with --out",
        ) from error
    try:
        yield staging
        _publish(staging, target)
    finally:
        if staging.exists():
            shutil.rmtree(staging)


def _check_target(target: Path) -> None:
    if not target.exists() and not target.is_symlink():
        return
    if target.is_dir() and ((target / MARKER).is_file() or not any(target.iterdir())):
        return
    raise OperatorError(
        f"{target} exists and is not a run folder",
        code="OUT_EXISTS",
        remedy="name another with --out, or remove it",
    )


def _publish(staging: Path, target: Path) -> None:
    for path in staging.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
    _check_target(target)
    old = target.parent / f".{target.name}.{os.getpid()}.old"
    if target.exists():
        target.rename(old)
    staging.rename(target)
    if old.exists():
        shutil.rmtree(old)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
