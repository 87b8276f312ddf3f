"""A BERT small enough to be written by hand, that knows the tone of some words: real files, real meaning, 60 kB.

Its one layer looks at every token alike (queries and keys are zero) and moves the mean of their tones into the first
token; the feed-forward part is zero; the pooler keeps the tone, and the classifier calls it positive, negative or, near
zero, neutral. The order of its labels is that of ProsusAI's FinBERT.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors.numpy import save_file

from actors.predictor.text.bert import INPUTS, OUTPUT, BertConfig, random_weights, write_bert
from actors.predictor.text.labels import PROBES
from actors.predictor.text.lexicon import Lexicon
from actors.predictor.text.manifest import MANIFEST, MODEL, TOKENIZER, TextManifest

WIDTH = 16
ORDER = ("positive", "negative", "neutral")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def words() -> list[str]:
    """Return a vocabulary: special tokens, characters alone and within words, and the words of the sentences tried."""
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    known = {
        "".join(c for c in word if c.isalpha()).lower()
        for texts in PROBES.values()
        for t in texts
        for word in t.split()
    }
    pieces = [*letters, *(f"##{c}" for c in letters if c.isalnum())]
    return [*SPECIAL, *pieces, *sorted(word for word in known if len(word) > 1)]


def config(layers: int = 1) -> dict[str, Any]:
    """Return a ``config.json`` as transformers writes it."""
    return {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "hidden_size": WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "vocab_size": len(words()),
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "id2label": {str(i): name for i, name in enumerate(ORDER)},
    }


def network(raw: dict[str, Any]) -> BertConfig:
    """Return what a config says of the network."""
    return msgspec.convert(raw, BertConfig)


def weights(tones: dict[str, float] | None = None) -> dict[str, np.ndarray]:
    """Return weights that mean something; ``tones`` in the place of the word list's."""
    found = {name: np.zeros_like(value) for name, value in random_weights(network(config()), 3, 0).items()}
    for name in found:
        if "LayerNorm.weight" in name:
            found[name] += 1.0
    known = tones if tones is not None else Lexicon()._weights
    table = found["bert.embeddings.word_embeddings.weight"]
    for i, word in enumerate(words()):
        tone = float(np.sign(known.get(word, 0.0)))
        table[i, :4] = tone, -tone, 4.0, -4.0
    at = "bert.encoder.layer.0.attention"
    found[f"{at}.self.value.weight"][0, 0] = 1.0
    found[f"{at}.output.dense.weight"][:2, 0] = 30.0, -30.0
    found["bert.pooler.dense.weight"][0, 0] = 2.0
    found["classifier.weight"][:2, 0] = 4.0, -4.0
    found["classifier.bias"][2] = 2.0
    return found


def write_source(folder: Path, **changes: Any) -> Path:
    """Write a folder as a hub publishes it: config.json, vocab.txt, model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config() | changes))
    (folder / "vocab.txt").write_text("\n".join(words()) + "\n")
    save_file(weights(), folder / "model.safetensors")
    return folder


def tokenizer_of(vocabulary: Sequence[str]) -> dict[str, Any]:
    """Return the tokenizer of a vocabulary, as transformers lays it out."""
    ids = {word: i for i, word in enumerate(vocabulary)}
    added = [
        {
            "id": ids[word],
            "content": word,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for word in SPECIAL
    ]
    single = [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": pair,
            "special_tokens": {word: {"id": word, "ids": [ids[word]], "tokens": [word]} for word in ("[CLS]", "[SEP]")},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    }


def tokenizer_json() -> bytes:
    """Return the tokenizer of the hand-written network."""
    return json.dumps(tokenizer_of(words())).encode()


def model_onnx(*, int8: bool = True) -> bytes:
    """Return the hand-written network as a graph."""
    return write_bert(weights(), network(config()), 3, "test", int8=int8)


def write_model(folder: Path, graph: bytes | None = None, **changes: Any) -> Path:
    """Write a model folder whose manifest fits its files; ``changes`` are of the manifest's fields."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {MODEL: model_onnx() if graph is None else graph, TOKENIZER: tokenizer_json()}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    manifest = TextManifest(
        name="tiny",
        kind="sentiment",
        files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        opset=20,
        inputs=INPUTS,
        output=OUTPUT,
        labels=ORDER,
        base="by hand",
        licence="Apache-2.0",
        data="none",
        metrics={},
        honesty="A toy.",
        regenerate="tests/text_support.py",
    )
    told = msgspec.to_builtins(manifest) | changes
    (folder / MANIFEST).write_bytes(msgspec.json.encode(told))
    return folder
