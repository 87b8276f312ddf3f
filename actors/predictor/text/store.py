"""Where text models lie, and which version of each is in use.

    models/text/finbert/0123456789ab/   manifest.json, model.onnx, tokenizer.json: one version, never changed again
    models/text/finbert/active.json     the version in use and the one before it

A version is made in a folder beside these, tried there, and moved into its place whole; ``active.json`` is replaced at
once. Until then, and whatever fails before, the old version is the one in use. The models that ship lie in the package.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from actors.predictor.text.lexicon import NAME as LEXICON
from actors.predictor.text.manifest import MANIFEST, NAME_PATTERN, TextManifest, read_text_manifest
from actors.predictor.text.plain import read_plain
from daemon.kernel.errors import OperatorError

SHIPPED: Final = Path(__file__).parent.parent / "models" / "shipped"
"""Folders with a text manifest in here are models of the package."""
DEFAULT: Final = "sentiment"
FOLDER: Final = Path("models") / "text"
"""Below the state directory."""
_ACTIVE: Final = "active.json"
_ACTIVE_BYTES_MAX: Final = 4096
_STAGE: Final = ".stage-"
_LOCK: Final = ".lock"
_VERSION: Final = re.compile(r"[0-9a-f]{12}\Z")
_DIGITS: Final = 12


class Active(msgspec.Struct, frozen=True):
    """Which version is in use: twelve digits each; ``previous`` is empty where there was none."""

    active: str
    previous: str = ""


class Found(msgspec.Struct, frozen=True):
    """A version of a model.

    Attributes:
        name, version: ``name@version`` is its id.
        folder: where it lies.
        origin: ``shipped`` or ``installed``.
        active: whether the name alone means it.
        manifest: what it says of itself; None where that cannot be read, and ``fault`` says why.
    """

    name: str
    version: str
    folder: Path
    origin: str
    active: bool
    manifest: TextManifest | None
    fault: str = ""


class ModelStore:
    """The text models of a state directory, with those that ship."""

    def __init__(self, state_dir: Path, shipped: Path = SHIPPED) -> None:
        """Look nowhere yet; the folder is made by the first model that comes in.

        Args:
            state_dir: of the daemon.
            shipped: folder of the models in the package.
        """
        self.root = state_dir / FOLDER
        self._shipped = shipped

    def find(self, reference: str) -> Path:
        """Return the folder of a model: by name (the version in use), ``name@version``, or a folder itself.

        Raises:
            OperatorError: ``NO_MODEL``, there is none.
        """
        if "/" in reference or reference in {".", ".."}:
            with suppress(RuntimeError):  # nobody is called that: the folder is none there is
                return Path(reference).expanduser()
            return Path(reference)
        name, at, version = reference.partition("@")
        if re.match(NAME_PATTERN, name):
            for found in self._versions(name):
                if found.version == version if at else found.active:
                    return found.folder
        known = ", ".join(self._names()) or "none"
        where = self.root.parents[1]
        raise OperatorError(
            f"there is no text model {reference[:100]!r}",
            code="NO_MODEL",
            remedy=f"with state_dir {where} known are: {known}; get one with tradingd model fetch or import",
        )

    def holds(self, folder: Path) -> bool:
        """Whether a folder is one of the store's own or ships: tried before it came there."""
        return any(folder.resolve().is_relative_to(own.resolve()) for own in (self.root, self._shipped))

    def has(self, name: str) -> bool:
        """Whether a name alone means a model."""
        return any(found.active for found in self._versions(name))

    def models(self) -> list[Found]:
        """Return every version there is, by name, the one in use first."""
        return [found for name in self._names() for found in self._versions(name)]

    def shipped(self, name: str) -> bool:
        """Whether a model of this name ships with the package: a text model, a price model or the list of words."""
        if name == LEXICON or (self._shipped / f"{name}.json").is_file():
            return True
        return any(path.name == name for path in self._shipped_folders())

    def add(self, stage: Path) -> Found:
        """Move a tried model into its place and make it the one in use; ``stage`` is of ``staging``.

        Raises:
            OperatorError: it has the name of a model that ships.
        """
        manifest = read_text_manifest(stage)
        if self.shipped(manifest.name):
            raise OperatorError(
                f"a model named {manifest.name} ships with the package", code="MODEL_NAME", remedy="say --name OTHER"
            )
        version = manifest.digest[:_DIGITS]
        target = self.root / manifest.name / version
        with self._locked():
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync_tree(stage)
            if target.exists():
                _renew(target, stage, manifest)
            else:
                stage.rename(target)
                _sync(target.parent)
            self._activate(manifest.name, version)
        return Found(manifest.name, version, target, "installed", active=True, manifest=manifest)

    def activate(self, name: str, version: str) -> None:
        """Make a version that lies here the one in use.

        Raises:
            OperatorError: ``NO_MODEL``, it does not lie here.
        """
        known = re.match(NAME_PATTERN, name) and _VERSION.match(version)
        if not known or not (self.root / name / version / MANIFEST).is_file():
            raise OperatorError(
                f"there is no installed model {f'{name[:60]}@{version[:60]}'.removesuffix('@')}",
                code="NO_MODEL",
                remedy="say NAME@VERSION, as tradingd model list has them",
            )
        with self._locked():
            self._activate(name, version)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield an empty folder on the store's own disk; what is left of it afterwards is removed."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        stage = Path(tempfile.mkdtemp(prefix=_STAGE, dir=self.root))
        with (stage / _LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # while somebody holds it, it is no leftover
            self._sweep()
            try:
                yield stage
            finally:
                shutil.rmtree(stage, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what a killed import left."""
        for left in self.root.glob(f"{_STAGE}*"):
            try:
                with (left / _LOCK).open("rb") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left, ignore_errors=True)
            except FileNotFoundError:
                continue  # begun this very moment, or moved into its place
            except BlockingIOError:
                continue

    def _activate(self, name: str, version: str) -> None:
        try:
            before = self._active(name)
        except OperatorError:  # damaged: nobody knows which was in use, and this one is from now on
            before = Active("")
        if before.active != version:
            _replace(self.root / name / _ACTIVE, msgspec.json.encode(Active(version, before.active)))

    def _active(self, name: str) -> Active:
        path = self.root / name / _ACTIVE
        try:
            return msgspec.json.decode(read_plain(path, _ACTIVE_BYTES_MAX), type=Active)
        except (OperatorError, msgspec.DecodeError, UnicodeDecodeError) as error:
            if not path.exists() and not path.is_symlink():
                return Active("")
            message = error.message if isinstance(error, OperatorError) else f"{path} cannot be used: {error}"
            raise OperatorError(message, code="BAD_MANIFEST", remedy="import or fetch the model again") from None

    def _names(self) -> list[str]:
        """Return what models are called; no pointer is read, for a damaged one is no fault of the other models."""
        shipped = {path.name for path in self._shipped_folders()}
        return sorted(shipped | {path.name for path in _folders(self.root) if _version_folders(path)})

    def _versions(self, name: str) -> list[Found]:
        for path in self._shipped_folders():
            if path.name == name:
                return [_look(path, name, "shipped", active=True)]
        folders = _version_folders(self.root / name)
        active = self._active(name).active if folders else ""
        found = [_look(path, name, "installed", active=path.name == active) for path in folders]
        return sorted(found, key=lambda one: (not one.active, one.version))

    def _shipped_folders(self) -> list[Path]:
        return [path for path in _folders(self._shipped) if (path / MANIFEST).is_file()]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.root / _LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _look(folder: Path, name: str, origin: str, *, active: bool) -> Found:
    try:
        manifest = read_text_manifest(folder)
    except OperatorError as error:
        return Found(name, folder.name, folder, origin, active=active, manifest=None, fault=error.message)
    version = manifest.digest[:_DIGITS] if origin == "shipped" else folder.name
    fault = ""
    if origin != "shipped" and manifest.name != name:
        fault = f"{folder / MANIFEST} says name {manifest.name}"
    elif manifest.digest[:_DIGITS] != version:
        fault = f"{folder / MANIFEST} is of the version {manifest.digest[:_DIGITS]}"
    return Found(name, version, folder, origin, active=active, manifest=manifest, fault=fault)


def _renew(target: Path, stage: Path, manifest: TextManifest) -> None:
    """Put files of the same version into the place of what lies there: what is said of it is newer, or it is damaged.

    One file after the other, the manifest last: at no moment is a whole model less than that, whoever is killed.
    """
    for name in (*manifest.files, MANIFEST):
        if (target / name).is_dir() and not (target / name).is_symlink():
            shutil.rmtree(target / name)
        (stage / name).replace(target / name)
    for path in target.iterdir():
        if path.name not in {*manifest.files, MANIFEST} and not path.is_dir():
            path.unlink()
    _sync(target)


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except FileNotFoundError:
        return []


def _version_folders(folder: Path) -> list[Path]:
    return [path for path in _folders(folder) if _VERSION.match(path.name)]


def _replace(path: Path, data: bytes) -> None:
    """Put a small file in the place of another, whole or not at all."""
    beside = path.with_name(f".{path.name}")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _sync(path.parent)


def _sync_tree(folder: Path) -> None:
    (folder / _LOCK).unlink(missing_ok=True)
    for path in folder.iterdir():
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
