"""States of fold-form strategies: each goes through its encoding after every call.

So a restart cannot change an answer (``np.float64`` comes back as ``float``, a tuple in an untyped field as a list,
now and not only after a crash), a state that cannot be kept is found out at once, and a call that fails leaves no
trace in it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from daemon.kernel.errors import OperatorError


def _plain(value: Any) -> Any:
    """Encode numpy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be kept in a state; keep numbers, text, lists, dicts and Structs")


class StateStore:
    """One strategy's states by symbol id."""

    __slots__ = ("_decode", "_encode", "_live", "_type", "raw")

    def __init__(self, strategy: str, state_type: type[Struct], n_symbols: int) -> None:
        """Start with default states.

        Raises:
            OperatorError: the default state cannot be kept.
        """
        self._type = state_type
        self._encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
        self._live: list[Struct | None] = [None] * n_symbols
        self.raw: list[bytes | None] = [None] * n_symbols
        """Encoded states; None: the default."""
        try:
            self._decode = msgspec.msgpack.Decoder(state_type).decode
            self._decode(self._encode(state_type()))
        except (TypeError, msgspec.DecodeError) as error:
            raise OperatorError(
                f"strategy {strategy}: its state {state_type.__name__} cannot be kept: {error}",
                code="BAD_STRATEGY",
                remedy="give every field a default and a plain type (numbers, text, lists, dicts, Structs)",
            ) from None

    def take(self, symbol: int) -> Struct:
        """Hand out a symbol's state; unless :meth:`put` follows, the next one gets the same again."""
        state = self._live[symbol]
        if state is not None:
            self._live[symbol] = None
            return state
        raw = self.raw[symbol]
        return self._type() if raw is None else self._decode(raw)

    def put(self, symbol: int, state: Any) -> None:
        """Keep a symbol's new state.

        Raises:
            TypeError: it is no state, or holds something that cannot be kept.
            msgspec.ValidationError: a field holds something other than its type says.
        """
        if not isinstance(state, self._type):
            raise TypeError(f"the fold form returns ({self._type.__name__}, Signal or None)")
        raw = self._encode(state)
        self._live[symbol] = self._decode(raw)
        self.raw[symbol] = raw

    def forget(self, symbol: int) -> None:
        """Let a symbol begin with the default again: what a state has made of prices nobody can say in other units."""
        self._live[symbol] = self.raw[symbol] = None

    def move(self, symbol: int, new: int) -> None:
        """Let another symbol go on where this one ends."""
        self._live[new], self.raw[new] = None, self.raw[symbol]
        self.forget(symbol)

    def restore(self, raw: list[bytes | None]) -> None:
        """Take over encoded states."""
        self.raw = list(raw)
        self._live = [None] * len(self.raw)
