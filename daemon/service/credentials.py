"""Where secrets come from: systemd's credentials folder, files of our own, in development the environment.

Never from the command line, which every user of the machine can read, and never from a file that others can read.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from daemon.kernel.errors import ConfigError

BYTES_MAX: Final = 65_536
DEVELOPMENT: Final = "TRADINGD_DEVELOPMENT"
_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


class Secret:
    """A value that does not show itself: not in a representation, a log line or a traceback."""

    __slots__ = ("_value", "source")

    def __init__(self, value: bytes, source: str) -> None:
        """Keep ``value``; ``source`` says where it came from and may be shown."""
        self._value = value
        self.source = source

    def reveal(self) -> str:
        """Return the secret as text, for the one call that sends it.

        Raises:
            ConfigError: it is no UTF-8 text.
        """
        try:
            return self._value.decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigError(f"the credential of {self.source} is not UTF-8 text", code="CREDENTIAL") from None

    def reveal_bytes(self) -> bytes:
        """Return the secret as it was stored."""
        return self._value

    def __repr__(self) -> str:
        """Say where it is from, never what it is."""
        return f"Secret(from {self.source})"

    __str__ = __repr__


def variable_of(name: str) -> str:
    """Return the environment variable that holds a credential in development."""
    return f"TRADINGD_CREDENTIAL_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"


def read_credential(name: str, environ: Mapping[str, str], *, file: Path | None = None) -> Secret | None:
    """Return a credential, or None where no source has it.

    ``$CREDENTIALS_DIRECTORY/name`` comes first, then ``file``, then ``TRADINGD_CREDENTIAL_NAME`` where
    ``TRADINGD_DEVELOPMENT=1``.

    Args:
        name: as in the unit's ``LoadCredential=``.
        environ: of this process.
        file: a file of the operator's; it must belong to this user or root and be readable by nobody else.

    Raises:
        ConfigError: a source that is there cannot be used; the sentence says how to mend it.
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"{name!r} is no name of a credential", code="CREDENTIAL")
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    # systemd guards that folder itself, by owner and access list, which shows as bits for the group.
    if folder and (found := _read(Path(folder) / name, f"CREDENTIALS_DIRECTORY/{name}", private=False)) is not None:
        return found
    if file is not None:
        found = _read(file.expanduser(), str(file), private=True)
        if found is None:
            message = f"the credential file {file} does not exist"
            raise ConfigError(message, code="CREDENTIAL", remedy="make it with mode 0600, or use LoadCredential=")
        return found
    variable = variable_of(name)
    if not environ.get(variable):
        return None
    if environ.get(DEVELOPMENT) != "1":
        message = f"the credential {name} stands in the environment, where other programs can read it"
        remedy = f"use LoadCredential={name}:FILE in the unit, or set {DEVELOPMENT}=1 on a machine of your own"
        raise ConfigError(message, code="CREDENTIAL", remedy=remedy)
    return Secret(environ[variable].encode("utf-8", "surrogateescape"), variable)


def _read(path: Path, source: str, *, private: bool) -> Secret | None:
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"the credential {source} cannot be read: {error.strerror}", code="CREDENTIAL") from None
    try:
        _check(os.fstat(number), path, source, private=private)
        content = b""
        while len(content) <= BYTES_MAX and (part := os.read(number, BYTES_MAX + 1)):
            content += part
    finally:
        os.close(number)
    if len(content) > BYTES_MAX:
        raise ConfigError(f"the credential {source} is larger than {BYTES_MAX} bytes", code="CREDENTIAL")
    content = content.removesuffix(b"\n").removesuffix(b"\r")
    if not content:
        raise ConfigError(f"the credential {source} is empty", code="CREDENTIAL", remedy="put the secret into it")
    return Secret(content, source)


def _check(about: os.stat_result, path: Path, source: str, *, private: bool) -> None:
    """Refuse what is no file, and of our own files those that somebody else could read or change."""
    if not stat.S_ISREG(about.st_mode):
        raise ConfigError(f"the credential {source} is not a file", code="CREDENTIAL")
    if private and about.st_mode & 0o077:
        message = f"the credential {source} can be read by others (mode {stat.S_IMODE(about.st_mode):04o})"
        raise ConfigError(message, code="CREDENTIAL", remedy=f"chmod 0600 {path}, and change the secret")
    if private and about.st_uid not in {os.geteuid(), 0}:
        message = f"the credential {source} belongs to user {about.st_uid}, who could change it"
        raise ConfigError(message, code="CREDENTIAL", remedy="chown it to the daemon's user")
