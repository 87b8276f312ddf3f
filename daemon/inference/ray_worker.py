"""What runs in each of Ray's workers: a shelf of models that answers calls. Nothing here knows Ray."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from actors.predictor.pool.frames import Call, Called, ModelFact, Unpacker, pack
from daemon.inference.begun import Teller
from daemon.inference.shelf import Shelf
from daemon.inference.threads import be_nice


class Worker:
    """See the module. What goes in and out are the frames of our own socket, as bytes."""

    def __init__(self, tables: str, state_dir: str, memory_mb: int, begun: str, *, probe: bool = True) -> None:
        """Become nice, and bounded: a model that wants more memory gets an error instead of the machine's."""
        self._teller = Teller(begun)
        be_nice()
        if memory_mb:
            resource.setrlimit(resource.RLIMIT_DATA, (memory_mb << 20, memory_mb << 20))
        self._shelf = Shelf(Path(tables), Path(state_dir), probe=probe)

    def ping(self) -> int:
        """Return the process's id."""
        return os.getpid()

    def load(self, data: bytes) -> None:
        """Load the models of the one call that is in ``data``."""
        call = _call(data)
        self._teller.say(call.number)
        self._shelf.load(self._shelf.missing(call.requests))

    def answer(self, data: bytes) -> tuple[bytes, tuple[ModelFact, ...]]:
        """Answer the one call that is in ``data``; the models loaded by then come along."""
        call = _call(data)
        self._teller.say(call.number)
        answers = self._shelf.answer(call.requests)
        return pack(Called(call.number, answers)), self._shelf.facts()


def _call(data: bytes) -> Call:
    (call,) = Unpacker().feed(data)
    if not isinstance(call, Call):
        message = f"a {type(call).__name__} is no call"
        raise TypeError(message)
    return call
