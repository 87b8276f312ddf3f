"""A text model that can be asked: tokenizer and graph, on one thread, each text for itself.

A text's answer never depends on what else is asked with it. A batch of several rows cannot promise that: int8 graphs
scale their activations over the whole batch (``DynamicQuantizeLinear``), padding and neighbours included. So each text
is laid before the graph alone and unpadded, at its own length, which is a function of the text; that is also faster
than rows padded to the longest (``ops/models.md`` has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actors.predictor.pool.session import open_session, said_by
from actors.predictor.text.checks import check_model, check_schema, read_verified
from actors.predictor.text.cleaning import clean_text, says_something
from actors.predictor.text.labels import PROBES, try_labels
from actors.predictor.text.manifest import LABELS, MODEL, TOKENIZER, TextManifest, read_text_manifest
from actors.predictor.text.tokenizer import Tokenizer
from daemon.kernel.errors import OperatorError

F64 = npt.NDArray[np.float64]

DIGITS: Final = 6
"""Digits kept of a probability: a float32 graph has about seven."""
_NOTHING: Final = np.full(len(LABELS), np.nan)


class TextModel:
    """Scores texts. Not for several threads at once: give each its own.

    Attributes:
        manifest: what it is.
        abstained: texts so far that were not scored: nothing in them to judge.
        non_finite: texts so far for which the graph's answer was no number.
        failed: texts so far at which the tokenizer or the graph failed.
    """

    def __init__(self, manifest: TextManifest, tokenizer: Tokenizer, session: Any) -> None:
        """Build of verified parts; ``load_text_model`` does."""
        self.manifest = manifest
        self.abstained = 0
        self.non_finite = 0
        self.failed = 0
        self._tokenizer = tokenizer
        self._session = session
        self._columns = [manifest.labels.index(label) for label in LABELS]
        self.model_id = manifest.model_id

    def score(self, texts: Sequence[str]) -> F64:
        """Return ``[n, 3]`` probabilities in the order negative, neutral, positive, rounded to six digits.

        A row of NaN: the model abstains. There is nothing to judge in the text (no letters, not mostly Latin ones, no
        word it knows), its answer was no number, or it makes the tokenizer or the graph fail where a plain sentence
        does not: whether others are asked with it changes neither its answer nor theirs.

        Raises:
            OperatorError: ``MODEL_OUTPUT`` or ``TOKENIZER``, they fail at a plain sentence, too.
        """
        answer = np.full((len(texts), len(LABELS)), np.nan)
        for i, text in enumerate(texts):
            try:
                answer[i] = self._judge(text)
            except OperatorError:
                self.ask(PROBES["neutral"][:1])
                self.failed += 1
        return answer

    def ask(self, texts: Sequence[str]) -> F64:
        """Return the same, of texts at which nothing may fail.

        Raises:
            OperatorError: ``MODEL_OUTPUT``, the graph failed, or its answer has not the shape it promised;
                ``TOKENIZER``, the tokenizer failed.
        """
        return np.array([self._judge(text) for text in texts]).reshape(-1, len(LABELS))

    def _judge(self, text: str) -> F64:
        """Return the probabilities of one text, NaN where there is nothing to judge; errors as ``ask``."""
        cleaned = clean_text(text)
        row = self._tokenizer.row(cleaned) if says_something(cleaned) else None
        if row is None:
            self.abstained += 1
            return _NOTHING
        logits = self._run(*row)
        if not np.isfinite(logits).all():
            self.non_finite += 1
            return _NOTHING
        weights = np.exp(logits - logits.max())
        judged: F64 = np.round((weights / weights.sum())[self._columns], DIGITS)
        return judged

    def check_vocabulary(self) -> None:
        """Refuse a graph that cannot be asked about the last token of its tokenizer.

        Raises:
            OperatorError: ``MODEL_OUTPUT``.
        """
        ids = np.array([0, self._tokenizer.size - 1], dtype=np.int64)
        try:
            self._run(ids, np.zeros_like(ids))
        except OperatorError as error:
            message = f"{TOKENIZER} gives tokens up to {ids[1]:,}, and {error.message}"
            raise OperatorError(message, code=error.code, remedy="get the tokenizer it was trained with") from None

    def check_lengths(self) -> None:
        """Ask about rows of every length there can be: a graph may have one at which it asks for all memory there is.

        Raises:
            OperatorError: ``MODEL_OUTPUT``.
        """
        for length in range(1, self.manifest.max_tokens + 1):
            ids = np.zeros(length, dtype=np.int64)
            self._run(ids, ids)

    def check_independence(self) -> int:
        """Ask sentences together and alone, in another order; return how many.

        Raises:
            OperatorError: ``MODEL_OUTPUT``, an answer depends on what else is asked, or on chance.
        """
        texts = [text for group in PROBES.values() for text in group]
        together = self.ask(texts)
        alone = np.concatenate([self.ask([text]) for text in reversed(texts)])[::-1]
        if together.tobytes() != np.ascontiguousarray(alone).tobytes():
            raise OperatorError(
                f"{MODEL} of {self.model_id} answers the same text in another way with others than alone",
                code="MODEL_OUTPUT",
            )
        return len(texts)

    def _run(self, ids: npt.NDArray[np.int64], segments: npt.NDArray[np.int64]) -> F64:
        """Return the logits of one row, float64, in the graph's order."""
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": segments}
        feed = {name: given[name].reshape(1, -1) for name in self.manifest.inputs}
        try:
            found = np.asarray(self._session.run([self.manifest.output], feed)[0])
        except Exception as error:  # noqa: BLE001 - onnxruntime raises a dozen kinds that share no parent
            raise OperatorError(f"{MODEL} of {self.model_id} fails: {said_by(error)}", code="MODEL_OUTPUT") from None
        if found.shape != (1, len(LABELS)) or found.dtype != np.float32:
            raise OperatorError(
                f"{MODEL} of {self.model_id} answers {found.dtype} {list(found.shape)} as {self.manifest.output}, "
                f"not float32 [1, {len(LABELS)}]",
                code="MODEL_OUTPUT",
            )
        logits: F64 = found[0].astype(np.float64)
        return logits


def load_text_model(folder: Path, *, probe: bool = True) -> TextModel:
    """Return the model of a folder (manifest.json, model.onnx, tokenizer.json), verified before anything parses it.

    Args:
        folder: of the model.
        probe: ask it sentences whose tone is not in doubt and refuse it where it gets them wrong. Only benchmarks of
            random weights turn this off; shape and finiteness are always looked at.

    Raises:
        OperatorError: one sentence that names the file and the field.
    """
    manifest = read_text_manifest(folder)
    tokenizer_data = read_verified(folder, TOKENIZER, manifest.files[TOKENIZER])
    model_data = read_verified(folder, MODEL, manifest.files[MODEL])
    return build_text_model(manifest, model_data, tokenizer_data, folder, probe=probe)


def build_text_model(
    manifest: TextManifest,
    model_data: bytes,
    tokenizer_data: bytes,
    folder: Path,
    *,
    probe: bool = True,
    file: str = MODEL,
) -> TextModel:
    """Return a model of bytes whose digests were verified; as ``load_text_model``. ``file`` is named in sentences."""
    path = folder / file
    graph = check_model(model_data, path)
    check_schema(graph, manifest, path)
    tokenizer = Tokenizer(tokenizer_data, folder / TOKENIZER, manifest.max_tokens)
    model = TextModel(manifest, tokenizer, open_session(model_data, path))
    _try(model, path, probe=probe)
    return model


def _try(model: TextModel, path: Path, *, probe: bool) -> None:
    """Refuse a model whose answers are no numbers or plainly wrong."""
    model.check_vocabulary()
    first = PROBES["neutral"][0]
    longest = " ".join(text for texts in PROBES.values() for text in texts)
    finite = np.isfinite(model.ask([first, longest])).all()
    if model.abstained:
        raise OperatorError(
            f"the tokenizer of {path.parent} knows no word of {first!r}",
            code="TOKENIZER",
            remedy="put the one beside the model that it was trained with",
        )
    if not finite:
        raise OperatorError(
            f"{path} answers {model.manifest.output} that is no number", code="MODEL_OUTPUT", remedy="it is not used"
        )
    wrong = try_labels(model.ask) if probe else ""
    if wrong:
        raise OperatorError(
            f"{path} does not mean what its labels say ({', '.join(model.manifest.labels)}): {wrong}",
            code="MODEL_LABELS",
            remedy="read the order of its labels from where the model comes from; it is not used",
        )
