"""The file of a backup: a tar of a manifest, the manifest's digest, and the files that it lists with theirs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from daemon.journal.committer import LEDGER, TAPE
from daemon.journal.rows import TapeMark
from daemon.kernel.errors import OperatorError

MANIFEST: Final = "manifest.json"
DIGEST: Final = "manifest.sha256"
LATCH: Final = "kill.latch"
CLEAR: Final = b"CLEAR "
"""What the kill latch begins with where nobody killed; anything else is a kill."""
SCHEMA: Final = 1
_MANIFEST_MAX: Final = 16 << 20


class Member(msgspec.Struct, frozen=True):
    """A file in a backup."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a backup says of itself.

    Attributes:
        schema: of this description.
        created: wall time, RFC 3339.
        version: of the program that wrote it.
        generation: which ledger it is, hex.
        run_id, status: of the last run.
        seq, ts: of the last input; 0 where there is none.
        frames: in the ledger file.
        event_digest, chain: of all facts, and the hash of the last frame, hex.
        tape: day, position and chain value that the last commit covers, or None.
        latch: ``clear``, ``killed`` or ``missing`` (which is killed, too).
        files: everything else in the backup.
        archived: files of the archive that hold what the ledger no longer does.
    """

    schema: str
    created: str
    version: str
    generation: str
    run_id: str
    status: str
    seq: int
    ts: int
    frames: int
    event_digest: str
    chain: str
    tape: TapeMark | None
    latch: str
    files: tuple[Member, ...]
    archived: tuple[str, ...] = ()


def latch_state(content: bytes | None) -> str:
    """Say what a kill latch says: ``clear``, ``killed`` or ``missing``."""
    if content is None:
        return "missing"
    return "clear" if content.startswith(CLEAR) else "killed"


def pack(path: Path, manifest: Manifest, members: Mapping[str, IO[bytes]]) -> None:
    """Write a backup: the manifest, then what it lists, of each file as many bytes as it says."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        _add(tar, MANIFEST, len(text), BytesIO(text))
        digest = hashlib.sha256(text).hexdigest().encode()
        _add(tar, DIGEST, len(digest), BytesIO(digest))
        for member in manifest.files:
            file = members[member.name]
            file.seek(0)
            _add(tar, member.name, member.bytes, file)


def _add(tar: tarfile.TarFile, name: str, size: int, file: IO[bytes]) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o600
    tar.addfile(info, file)


def read_backup(path: Path, target: Path | None = None) -> Manifest:
    """Read a backup, comparing every file with its digest; unpack it where ``target`` names a folder.

    Only the names a backup has are looked at, so a tar from elsewhere can put nothing anywhere else.

    Raises:
        OperatorError: it is no backup, of a newer program, or not whole.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            manifest = _read_manifest(path, tar)
            for member in manifest.files:
                _read_member(path, tar, member, None if target is None else target / member.name)
    except FileNotFoundError:
        message = f"there is no file {path}"
        raise OperatorError(message, code="NO_BACKUP", remedy="name a file that tradingd backup wrote") from None
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise _bad(path, f"it cannot be read: {error}") from error
    return manifest


def _read_manifest(path: Path, tar: tarfile.TarFile) -> Manifest:
    text, digest = _small(tar, MANIFEST), _small(tar, DIGEST)
    if text is None or digest is None:
        raise _bad(path, "it does not begin with a manifest")
    if hashlib.sha256(text).hexdigest().encode() != digest:
        raise _bad(path, "its manifest is not the one that was written")
    try:
        schema = msgspec.json.decode(text, type=_AnySchema).schema
        if schema != f"tradingd.backup-manifest/{SCHEMA}":
            message = f"{path} is a backup of another version: {schema}"
            raise OperatorError(message, code="NEWER_BACKUP", remedy="restore it with the version that wrote it")
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise _bad(path, f"its manifest cannot be read: {error}") from error
    names = [member.name for member in manifest.files]
    if LEDGER not in names or not all(_is_ours(name) for name in names) or len(names) != len(set(names)):
        raise _bad(path, "its manifest names files that no backup has")
    return manifest


def _small(tar: tarfile.TarFile, name: str) -> bytes | None:
    """Return the next file where it has this name and a size one would expect."""
    info = tar.next()
    if info is None or info.name != name or not info.isreg() or info.size > _MANIFEST_MAX:
        return None
    file = tar.extractfile(info)
    return None if file is None else file.read()


def _is_ours(name: str) -> bool:
    day = name.removeprefix(f"{TAPE}/").removesuffix(".tape")
    return name in {LEDGER, LATCH} or (len(day) == 8 and day.isdecimal() and name == f"{TAPE}/{day}.tape")


def _read_member(path: Path, tar: tarfile.TarFile, member: Member, target: Path | None) -> None:
    info = tar.next()
    file = tar.extractfile(info) if info is not None and info.isreg() and info.name == member.name else None
    if info is None or file is None or info.size != member.bytes:
        raise _bad(path, f"{member.name} is missing or of another size")
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        out: Any = None
        if target is not None:
            target.parent.mkdir(exist_ok=True)
            out = stack.enter_context(target.open("xb"))
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            if out is not None:
                out.write(chunk)
        if digest.hexdigest() != member.sha256:
            raise _bad(path, f"{member.name} is not the file that was packed")
        if out is not None:
            out.flush()
            os.fsync(out.fileno())


def _bad(path: Path, what: str) -> OperatorError:
    message = f"{path} is not a whole backup: {what}"
    return OperatorError(message, code="BAD_BACKUP", remedy="take another one")


class _AnySchema(msgspec.Struct):
    schema: str
