"""What streams of inputs that come from files of their own have in common: what is told of the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from actors.feed.quality import QualityReport


class Filed(Protocol):
    """A file that was read: its path as the operator wrote it, its SHA-256, and what the operator should know."""

    path: str
    digest: str
    notices: list[str]


F = TypeVar("F", bound=Filed)


class FiledStream(Generic[F]):
    """Files of one kind, read.

    Attributes:
        paths: of all files.
        digests: SHA-256 by path.
        notices: what the operator should know.
        quality: what became of every row.
        n_inputs: inputs of one pass.
    """

    def __init__(self, files: Sequence[F]) -> None:
        """Take over files that were read; what is played is settled later."""
        self._files = tuple(files)
        self.paths: tuple[str, ...] = tuple(file.path for file in files)
        self.digests: Mapping[str, str] = {file.path: file.digest for file in files}
        self.notices = [notice for file in files for notice in file.notices]
        self.quality = QualityReport(0, 0, 0, 0)
        self.n_inputs = 0
