"""Manifests of text models: what a model is made of, what its outputs mean, how good it was on text it had not seen."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from actors.predictor.pool.session import said_by
from actors.predictor.text.plain import read_plain
from daemon.kernel.errors import OperatorError

MANIFEST: Final = "manifest.json"
MODEL: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
MANIFEST_BYTES_MAX: Final = 256 * 1024
OUTPUT_MAX: Final = 200
"""Characters of an output's name."""
FORMAT: Final = 1
"""Counts changes of how a text is cleaned and laid before a graph: another count, another answer, another id."""

Label = Literal["negative", "neutral", "positive"]
LABELS: Final[tuple[Label, ...]] = ("negative", "neutral", "positive")
"""The order of every probability outside a model's own graph."""

INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_.-]{0,63}\Z"
_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")
_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")


class TextManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ``manifest.json`` of a model folder, beside ``model.onnx`` and ``tokenizer.json``.

    Attributes:
        name: lower-case letters, digits, ``_ . -``; what people call it.
        kind: what it is for.
        files: SHA-256 in lower-case hexadecimal of every file by name, ``model.onnx`` and ``tokenizer.json`` at least;
            checked before anything parses them.
        opset: version of the standard operators the graph is written in.
        inputs: names of the graph's inputs, each ``int64 [n, tokens]`` with both sizes free, out of ``input_ids``,
            ``attention_mask`` and ``token_type_ids``.
        output: name of the graph's output, ``float32 [n, labels]`` logits.
        labels: what the columns of the output mean, in the graph's own order.
        max_tokens: longest row laid before the graph, special tokens included; the rest of a text is cut off.
        batch: most texts of one request.
        base: the model it was made from, with its licence; licence: of these weights.
        data: what it was trained on.
        metrics: by evaluation set: ``accuracy``, ``macro_f1``, ``n`` and whatever else was measured.
        honesty: one paragraph for people: what the figures do not say.
        regenerate: the command, or where the files came from.
        source: address and revision of a fetched model, or the folder of an imported one; empty for a trained one.
    """

    name: Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
    kind: Literal["sentiment"]
    files: dict[str, str]
    opset: int
    inputs: tuple[str, ...]
    output: str
    labels: tuple[Label, ...]
    base: str
    licence: str
    data: str
    metrics: dict[str, dict[str, float]]
    honesty: str
    regenerate: str
    max_tokens: Annotated[int, msgspec.Meta(ge=8, le=512)] = 64
    batch: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    source: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides an answer: files, order of labels, lengths, and how texts are prepared."""
        decides = [
            FORMAT,
            {name: self.files[name] for name in sorted(self.files) if name in {MODEL, TOKENIZER}},
            self.inputs,
            self.output,
            self.labels,
            self.max_tokens,
        ]
        return hashlib.sha256(msgspec.json.encode(decides)).hexdigest()

    @property
    def model_id(self) -> str:
        """Name and version: ``name@`` and the first twelve digits of ``digest``."""
        return f"{self.name}@{self.digest[:12]}"


def read_text_manifest(folder: Path) -> TextManifest:
    """Read the manifest of a model folder; no other file is touched.

    Raises:
        OperatorError: missing, too large, not JSON, unknown or missing fields, or fields that do not fit together.
    """
    path = folder / MANIFEST
    try:
        raw = read_plain(path, MANIFEST_BYTES_MAX)
    except OperatorError as error:
        if error.code == "MODEL_SIZE":
            raise OperatorError(error.message, code="BAD_MANIFEST") from None
        remedy = (
            "a model folder holds manifest.json, model.onnx and tokenizer.json; make one with: tradingd model import"
        )
        raise OperatorError(error.message, code=error.code, remedy=remedy) from None
    return decode_text_manifest(raw, str(path))


def decode_text_manifest(raw: bytes, where: str) -> TextManifest:
    """Return the manifest some bytes hold.

    Raises:
        OperatorError: as ``read_text_manifest``; ``where`` is what the sentence calls the file.
    """
    try:
        manifest = msgspec.json.decode(raw, type=TextManifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OperatorError(f"the manifest {where} cannot be used: {said_by(error)}", code="BAD_MANIFEST") from None
    wrong = _wrong(manifest)
    if wrong:
        raise OperatorError(f"the manifest {where} cannot be used: {wrong}", code="BAD_MANIFEST")
    return manifest


def _wrong(manifest: TextManifest) -> str:
    """Return which field does not fit, or nothing."""
    return _wrong_files(manifest.files) or _wrong_schema(manifest)


def _wrong_files(files: dict[str, str]) -> str:
    for name in (MODEL, TOKENIZER):
        if name not in files:
            return f"files has no {name}"
    for name, digest in files.items():
        if not _FILE.match(name) or name == MANIFEST:
            return f"files names {name[:120]!r}, which is no plain file name beside it"
        if not _SHA256.match(digest):
            return f"files says {digest[:70]!r} of {name}, which is no SHA-256"
    return ""


def _wrong_schema(manifest: TextManifest) -> str:
    if not manifest.output.isprintable() or not 0 < len(manifest.output) <= OUTPUT_MAX:
        return f"output is {manifest.output[:OUTPUT_MAX]!a}, which is no name of an output"
    if sorted(manifest.labels) != sorted(LABELS):
        return f"labels is {', '.join(manifest.labels)}; it must name negative, neutral and positive once each"
    inputs = manifest.inputs
    if "input_ids" not in inputs or len(set(inputs)) != len(inputs) or set(inputs) - set(INPUTS):
        said = ", ".join(inputs) or "empty"
        return f"inputs is {said}; it must name input_ids and may name {' and '.join(INPUTS[1:])}, each once"
    return ""
