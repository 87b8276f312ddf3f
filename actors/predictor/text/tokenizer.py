"""From a text to the numbers a graph reads, by the tokenizer that stands in the model's folder.

``tokenizers``, the library underneath ``transformers``, reads the same ``tokenizer.json`` and gives the same numbers
(``tests/actors/predictor/text/test_tokenizer.py`` holds the two together) without the 2.5 seconds and 70 MB that
``import transformers`` costs in every host and worker. ``transformers`` makes a ``tokenizer.json`` for models that
came without one, once, when they are imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.predictor.text.parts import check_tokenizer
from daemon.kernel.errors import OperatorError

I64 = npt.NDArray[np.int64]


class Tokenizer:
    """Turns texts into rows of token numbers, each of its own length."""

    def __init__(self, data: bytes, path: Path, max_tokens: int) -> None:
        """Build from the bytes of a ``tokenizer.json``.

        Args:
            data: verified bytes.
            path: where they came from, for sentences.
            max_tokens: longest row, special tokens included; what is longer is cut at its end.

        Raises:
            OperatorError: ``TOKENIZER``, it is none that is known.
        """
        check_tokenizer(data, path)
        self._path = path
        self._max_tokens = max_tokens
        from tokenizers import Tokenizer as Rust  # noqa: PLC0415 - 20 ms that only who has a text model pays

        try:
            self._rust: Any = Rust.from_buffer(data)
            self._rust.no_padding()
            self._rust.enable_truncation(max_tokens)
            unknown = getattr(self._rust.model, "unk_token", None)
            self._unknown = None if unknown is None else self._rust.token_to_id(unknown)
        except BaseException as error:  # noqa: BLE001 - a panic of the library is no Exception
            raise _refused(path, error) from None

    @property
    def size(self) -> int:
        """One more than the largest token number it can give."""
        return max(self._rust.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def row(self, text: str) -> tuple[I64, I64] | None:
        """Return (token numbers, segment numbers), each ``int64 [tokens]``, of a cleaned text.

        None where nothing is left of it, or nothing but words the model does not know.

        Raises:
            OperatorError: ``TOKENIZER``, the library fails, or gives a longer row than it was told to.
        """
        try:
            found = self._rust.encode(text)
        except BaseException as error:  # noqa: BLE001 - a panic of the library is no Exception
            raise _refused(self._path, error) from None
        if len(found.ids) > self._max_tokens:
            message = f"{self._path} gives {len(found.ids):,} tokens where {self._max_tokens} were asked for"
            raise OperatorError(message, code="TOKENIZER")
        special = found.special_tokens_mask
        if all(is_special or token == self._unknown for token, is_special in zip(found.ids, special, strict=True)):
            return None
        return np.array(found.ids, dtype=np.int64), np.array(found.type_ids, dtype=np.int64)


def _refused(path: Path, error: BaseException) -> OperatorError:
    """Return what a fault of the library is for us: it raises plain Exception, and where it panics no Exception at all.

    Raises:
        BaseException: anything else, such as somebody's wish to stop.
    """
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    return OperatorError(f"{path} cannot be used: {str(error)[:200]}", code="TOKENIZER")
