"""Models from elsewhere: an ONNX file with its tokenizer, weights with their configuration, or a model folder.

What is read of a source: ``manifest.json`` (a folder as ``tradingd model export`` writes it; then nothing else counts
but the files it names), or one ``.onnx`` or ``model.safetensors``, with ``config.json`` (labels, network) and
``tokenizer.json`` or ``vocab.txt``. Pickles (``pytorch_model.bin``) are never read: reading one runs what it says.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from actors.predictor.text.bert import INPUTS, OUTPUT, read_config, write_bert
from actors.predictor.text.checks import (
    MIB,
    OTHER_MAX,
    SIZES_MAX,
    check_input,
    check_model,
    check_output,
    inputs_of,
    names_of,
    opset_of,
    read_verified,
)
from actors.predictor.text.labels import parse_labels, read_labels
from actors.predictor.text.manifest import (
    MANIFEST,
    MODEL,
    NAME_PATTERN,
    TOKENIZER,
    TextManifest,
    read_text_manifest,
)
from actors.predictor.text.parity import FULL
from actors.predictor.text.plain import read_plain, write_plain
from actors.predictor.text.store import Found, ModelStore
from actors.predictor.text.trial import try_model
from daemon.kernel.errors import OperatorError

WEIGHTS: Final = "model.safetensors"
CONFIG: Final = "config.json"
VOCABULARY: Final = "vocab.txt"
_CONFIG_MAX: Final = MIB
_PREFERRED: Final = (MODEL, "model_quantized.onnx", "model_int8.onnx", "onnx/model_quantized.onnx", "onnx/model.onnx")
_PICKLES: Final = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".h5", ".msgpack", ".ckpt")


class Asked(NamedTuple):
    """What a person wants of an import.

    Attributes:
        name: of the model; empty: from its source.
        labels: order of the outputs; empty: from ``config.json``.
        fp32: leave weights in float32.
        keep_fp32: keep the float32 form, which eight bits are compared with at import, for later comparisons.
        source, base, licence, data, honesty: for the manifest.
    """

    name: str = ""
    labels: Sequence[str] = ()
    fp32: bool = False
    keep_fp32: bool = False
    source: str = ""
    base: str = ""
    licence: str = "not stated by the files; look where they come from"
    data: str = "not stated by the files"
    honesty: str = "Imported; nobody here has measured how good it is beyond eighteen sentences that are not in doubt."


def import_model(source: Path, store: ModelStore, asked: Asked) -> Found:
    """Bring a model in: checked, converted, tried in a process of its own, then moved into place and used.

    Until the last step nothing that was in use has changed.

    Raises:
        OperatorError: one sentence that names the file and the field.
    """
    folder = source if source.is_dir() else source.parent
    if not source.exists():
        raise OperatorError(f"{source} does not exist", code="NO_MODEL", remedy="name a folder or an .onnx file")
    with store.staging() as stage:
        manifest = _copy(source, stage, asked) if _has_manifest(source) else _assemble(source, folder, stage, asked)
        if store.shipped(manifest.name):
            raise OperatorError(
                f"a model named {manifest.name} ships with the package", code="MODEL_NAME", remedy="say --name OTHER"
            )
        _write_manifest(stage, manifest)
        measured = _tried(stage, source)
        files = manifest.files
        if not (asked.keep_fp32 or _has_manifest(source)):  # it was there to be compared with
            files = {name: digest for name, digest in files.items() if name != FULL}
            (stage / FULL).unlink(missing_ok=True)
        _write_manifest(stage, msgspec.structs.replace(manifest, files=files, metrics=manifest.metrics | measured))
        return store.add(stage)


def _tried(stage: Path, source: Path) -> dict[str, dict[str, float]]:
    """Try a model; what is wrong with it is wrong with the files it was made of, which a person can find."""
    try:
        return try_model(stage)
    except OperatorError as error:
        folder = source if source.is_dir() else source.parent
        whole = _has_manifest(source)
        found = source / MODEL if whole else _choose(source) if source.is_dir() else source
        message = error.message.replace(str(stage / MODEL), str(found)).replace(str(stage), str(folder))
        raise OperatorError(message, code=error.code, remedy=error.remedy) from None


def export_model(folder: Path, target: Path) -> TextManifest:
    """Copy a verified model into a folder that does not exist yet; ``import_model`` reads it.

    Raises:
        OperatorError: the folder exists, or the model is not what its manifest says.
    """
    manifest = read_text_manifest(folder)
    if target.exists():
        raise OperatorError(f"{target} exists", code="EXISTS", remedy="name a folder that does not")
    files = {name: read_verified(folder, name, digest) for name, digest in manifest.files.items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
        stage = Path(beside) / target.name
        stage.mkdir()
        for name, data in files.items():
            write_plain(stage / name, data)
        _write_manifest(stage, manifest)
        stage.rename(target)  # whole or not at all
    return manifest


def _has_manifest(source: Path) -> bool:
    """Whether a source says itself what it is; a link or pipe in the place of its manifest is for who reads it."""
    path = source / MANIFEST
    return source.is_dir() and (path.exists() or path.is_symlink())


def _copy(source: Path, stage: Path, asked: Asked) -> TextManifest:
    """Take a folder with a manifest as it is."""
    manifest = read_text_manifest(source)
    for name, digest in manifest.files.items():
        write_plain(stage / name, read_verified(source, name, digest))
    return msgspec.structs.replace(manifest, name=_name(asked.name or manifest.name, source))


def _assemble(source: Path, folder: Path, stage: Path, asked: Asked) -> TextManifest:
    """Make a model folder of files without a manifest."""
    found = _choose(source) if source.is_dir() else source
    files, schema = {}, {}
    if found.suffix != ".safetensors":  # first: of a file that is no model nothing else is worth saying
        files[MODEL] = read_plain(found, SIZES_MAX[MODEL])
        schema = _schema(files[MODEL], found)
    config = _config(folder / CONFIG)
    told = source.name.encode("utf-8", "replace").decode()  # a name of a disk need be no text
    labels = parse_labels(asked.labels, "--labels") if asked.labels else read_labels(config, str(folder / CONFIG))
    files[TOKENIZER] = _tokenizer(folder)
    if not schema:
        files |= _convert(found, config, len(labels), asked)
        schema = _schema(files[MODEL], found)
    for name, data in files.items():
        write_plain(stage / name, data)
    return TextManifest(
        name=_name(asked.name, source),
        kind="sentiment",
        files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        labels=labels,
        base=asked.base or str(config.get("_name_or_path") or "not stated")[:200],
        licence=asked.licence,
        data=asked.data,
        metrics={},
        honesty=asked.honesty,
        regenerate=f"tradingd model import {told}",
        source=asked.source or told,
        **schema,
    )


def _choose(folder: Path) -> Path:
    """Return the file of a folder that holds the model."""
    for name in _PREFERRED:
        if (folder / name).is_file():
            return folder / name
    graphs = sorted(folder.glob("*.onnx"))
    if len(graphs) == 1:
        return graphs[0]
    if graphs:
        names = ", ".join(path.name for path in graphs)
        raise OperatorError(f"{folder} holds several models: {names}", code="NO_MODEL", remedy="name the one you mean")
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    if pickles:
        raise OperatorError(
            f"{folder} holds its weights as {pickles[0]}, and reading such a file runs what it says",
            code="MODEL_FORMAT",
            remedy="get the model as model.safetensors or ONNX",
        )
    raise OperatorError(f"{folder} holds no .onnx and no {WEIGHTS}", code="NO_MODEL", remedy="name a model's folder")


def _config(path: Path) -> dict[str, Any]:
    if not path.exists() and not path.is_symlink():
        return {}
    try:
        found = json.loads(read_plain(path, _CONFIG_MAX))
        json.dumps(found, ensure_ascii=False).encode()  # half of a surrogate pair is for no file of ours
    except (ValueError, RecursionError):
        raise OperatorError(f"{path} is no JSON", code="MODEL_CONFIG") from None
    if not isinstance(found, dict):
        raise OperatorError(f"{path} is no JSON object", code="MODEL_CONFIG")
    return found


def _schema(data: bytes, path: Path) -> dict[str, Any]:
    """Return what the manifest says of a graph, read from the graph."""
    graph = check_model(data, path)
    inputs = inputs_of(graph)
    strange = [value for value in inputs if value.name not in INPUTS]
    if strange or not inputs:
        message = f"{path} takes {names_of(strange)}; a text model takes {', '.join(INPUTS)}"
        raise OperatorError(message, code="MODEL_SCHEMA")
    for value in inputs:
        check_input(value, path)
    outputs = [value for value in graph.outputs if value.name == OUTPUT] or list(graph.outputs[:1])
    if not outputs:
        raise OperatorError(f"{path} gives nothing", code="MODEL_SCHEMA")
    check_output(outputs[0], path)
    return {
        "opset": opset_of(graph),
        "inputs": tuple(value.name for value in inputs),
        "output": outputs[0].name,
    }


def _convert(path: Path, config: Mapping[str, Any], labels: int, asked: Asked) -> dict[str, bytes]:
    """Return the graphs of weights: in float32 alone, or in eight bits with float32 to compare with."""
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.numpy import load  # noqa: PLC0415 - only conversions need it

    network = read_config(config, str(path.parent / CONFIG))
    try:
        weights = load(read_plain(path, OTHER_MAX))
    except KeyError as error:  # numpy has no such numbers
        raise OperatorError(
            f"{path} holds numbers of the type {str(error)[:40]}, which are not converted here",
            code="MODEL_FORMAT",
            remedy="save the weights in float32 or float16 where they come from",
        ) from None
    except (SafetensorError, ValueError, TypeError) as error:
        raise OperatorError(f"{path} is no safetensors file: {error}", code="MODEL_FORMAT") from None
    full = write_bert(weights, network, labels, str(path), int8=False)
    if asked.fp32:
        return {MODEL: full}
    return {MODEL: write_bert(weights, network, labels, str(path), int8=True), FULL: full}


def _tokenizer(folder: Path) -> bytes:
    """Return a folder's ``tokenizer.json``, or what ``transformers`` makes of its ``vocab.txt``."""
    path = folder / TOKENIZER
    if path.exists() or path.is_symlink():
        return read_plain(path, SIZES_MAX[TOKENIZER])
    vocabulary_file = folder / VOCABULARY
    if not vocabulary_file.exists() and not vocabulary_file.is_symlink():
        raise OperatorError(
            f"{folder} holds neither {TOKENIZER} nor {VOCABULARY}, so nobody knows how its texts are cut",
            code="TOKENIZER",
            remedy="put the one beside it that the model was trained with",
        )
    try:
        text = read_plain(vocabulary_file, SIZES_MAX[TOKENIZER]).decode()
    except UnicodeDecodeError:
        raise OperatorError(f"{vocabulary_file} is no UTF-8", code="TOKENIZER") from None
    # Not splitlines: separators of other scripts are words here.
    words = [word.removesuffix("\r") for word in text.removesuffix("\n").split("\n")]
    vocabulary = {word: i for i, word in enumerate(words)}
    missing = [word for word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if word not in vocabulary]
    if missing:
        raise OperatorError(f"{vocabulary_file} lacks {missing[0]}", code="TOKENIZER")
    told = _config(folder / "tokenizer_config.json").get("do_lower_case")
    # Where nobody says: a vocabulary without one capital letter is of a model that reads small letters.
    lower = told if isinstance(told, bool) else not any(w != w.lower() for w in words if not w.startswith("["))
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # it remarks on torch, which is not there by design
    from transformers import BertTokenizer  # noqa: PLC0415 - 2.5 s that only such an import pays

    made: str = BertTokenizer(vocab=vocabulary, do_lower_case=lower).backend_tokenizer.to_str(pretty=True)
    return made.encode()


def _name(asked: str, source: Path) -> str:
    stem = source.resolve().name if source.is_dir() else source.resolve().parent.name
    name = asked or re.sub(r"[^a-z0-9_.-]+", "-", stem.lower()).strip("-.")[:64]
    if not re.match(NAME_PATTERN, name):
        raise OperatorError(
            f"{name!r} is no name of a model", code="MODEL_NAME", remedy="say --name with letters, digits, _ . -"
        )
    return name


def _write_manifest(folder: Path, manifest: TextManifest) -> None:
    write_plain(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
