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

from actors.predictor.text.checks import check_tokenizer
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
        from tokenizers import Tokenizer as Rust  # noqa: PLC0415 - 20 ms that only who has a text model pays

        try:
            self._rust: Any = Rust.from_buffer(data)
            self._rust.no_padding()
            self._rust.enable_truncation(max_tokens)
            unknown = getattr(self._rust.model, "unk_token", None)
            self._unknown = None if unknown is None else self._rust.token_to_id(unknown)
        except Exception as error:  # noqa: BLE001 - the library raises plain Exception
            raise OperatorError(f"{path} cannot be used: {error}", code="TOKENIZER") from None

    @property
    def size(self) -> int:
        """One more than the largest token number it can give."""
        return max(self._rust.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def row(self, text: str) -> tuple[I64, I64] | None:
        """Return (token numbers, segment numbers), each ``int64 [tokens]``, of a cleaned text.

        None where nothing is left of it, or nothing but words the model does not know.
        """
        found = self._rust.encode(text)
        special = found.special_tokens_mask
        if all(is_special or token == self._unknown for token, is_special in zip(found.ids, special, strict=True)):
            return None
        return np.array(found.ids, dtype=np.int64), np.array(found.type_ids, dtype=np.int64)
