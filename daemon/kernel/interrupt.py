"""Somebody asks the process to stop: neither a failure nor an error anybody is told of."""

from __future__ import annotations


class InterruptError(KeyboardInterrupt):
    """Somebody asked this process to stop; what our own signal handlers raise.

    An author's function may well raise a plain ``KeyboardInterrupt``, which is a failure like any other: told apart by
    this type, the same strategy fails alike in a replay and in the daemon.
    """
