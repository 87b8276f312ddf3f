"""Ids that were used, remembered for ever at a bounded cost: what tells a resend from a new order after months.

The newest :data:`RECENT` ids are kept as they are. Older ones are kept as eight bytes each in one sorted array: the
CRC-32 of the id and that of its bytes read backwards. No order of a set or of ``hash()`` is in it, so equal histories
give equal bytes. Two ids of one length that differ only within six bytes, as ids do that are counted up, never share
theirs; of others one pair in 2**63 does. The newcomer would then be taken for a resend and refused, which is the safe
side.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice
from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

RECENT: Final = 20_000
BATCH: Final = 4_096
"""How many ids grow old together: the array is merged once for all of them."""

_PREFIX_BITS: Final = 24
_SHIFT: Final = 32 - _PREFIX_BITS
_U8: Final = np.dtype("<u8")


class SeenIds:
    """A set of texts that only grows; see the module."""

    __slots__ = ("_batch", "_capacity", "_old", "_prefixes", "_recent", "_view")

    def __init__(self, recent: int = RECENT, batch: int = BATCH) -> None:
        """Start empty; ``recent`` ids at least are kept as they are, and ``batch`` grow old at a time."""
        self._capacity = recent + batch
        self._batch = batch
        self._recent: dict[str, None] = {}
        self._old: npt.NDArray[np.uint64] = np.zeros(0, dtype=_U8)
        self._view = memoryview(b"")
        self._prefixes = bytearray()
        """One bit for each prefix of a CRC that occurs among the old: most ids are known to be new without a search."""

    def __len__(self) -> int:
        """Return the number of ids, one that was added again after it had grown old counted twice."""
        return len(self._recent) + len(self._old)

    def __contains__(self, name: str) -> bool:
        """Tell whether an id was added before."""
        if name in self._recent:
            return True
        prefixes = self._prefixes
        if not prefixes:
            return False
        raw = name.encode() if name.isascii() else name.encode("utf-8", "surrogatepass")
        crc = crc32(raw)
        prefix = crc >> _SHIFT
        if not prefixes[prefix >> 3] >> (prefix & 7) & 1:
            return False
        digest = _digest(raw, crc)
        place = bisect_left(self._view, digest)
        return place < len(self._view) and self._view[place] == digest

    def add(self, name: str) -> None:
        """Remember an id."""
        recent = self._recent
        recent[name] = None
        if len(recent) >= self._capacity:
            self._grow_old()

    def _grow_old(self) -> None:
        recent = self._recent
        names = list(islice(recent, self._batch))
        for name in names:
            del recent[name]
        raws = [name.encode("utf-8", "surrogatepass") for name in names]
        young = np.unique(np.array([crc32(raw) << 32 | crc32(raw[::-1]) for raw in raws], dtype=_U8))
        places = np.searchsorted(self._old, young)
        inside = np.minimum(places, max(0, len(self._old) - 1))
        fresh = self._old[inside] != young if len(self._old) else np.ones(len(young), dtype=np.bool_)
        self._take(np.insert(self._old, places[fresh], young[fresh]), young)

    def _take(self, old: npt.NDArray[np.uint64], young: npt.NDArray[np.uint64]) -> None:
        """Take over the old ones, of which ``young`` are new."""
        self._old = old
        self._view = old.data
        if not self._prefixes and len(old):
            self._prefixes = bytearray(1 << _PREFIX_BITS - 3)
        if len(young):
            prefixes = young >> np.uint64(32 + _SHIFT)
            bits = np.left_shift(np.uint8(1), (prefixes & np.uint64(7)).astype(np.uint8))
            np.bitwise_or.at(
                np.frombuffer(self._prefixes, dtype=np.uint8), (prefixes >> np.uint64(3)).astype(np.intp), bits
            )

    def snapshot(self) -> list[Any]:
        """Return plain values: the newest ids, and the older ones as bytes."""
        return [list(self._recent), self._old.tobytes()]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave, in place."""
        self._recent.clear()
        self._recent.update(dict.fromkeys(state[0]))
        old = np.frombuffer(state[1], dtype=_U8)
        self._prefixes = bytearray()
        self._take(old, old)


def _digest(raw: bytes, crc: int) -> int:
    return crc << 32 | crc32(raw[::-1])
