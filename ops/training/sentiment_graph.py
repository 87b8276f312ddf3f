"""The trained sentiment network as weights under their published names, and its tokenizer with fewer words.

``actors.predictor.text.bert`` writes the graph of these weights, as it writes that of an imported FinBERT.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actors.predictor.text.bert import BertConfig, write_bert

Array = npt.NDArray[Any]

SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
NAMES: Final = {
    "out": "attention.output.dense",
    "norm_1": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm_2": "output.LayerNorm",
}
"""Parts of a layer: ours and those of the published weights."""


def published(state: Mapping[str, Array]) -> dict[str, Array]:
    """Return the weights of ``sentiment_net.Net`` by the names of ``transformers``."""
    width = state["words.weight"].shape[1]
    at = "bert.embeddings"
    found = {
        f"{at}.word_embeddings.weight": state["words.weight"],
        f"{at}.position_embeddings.weight": state["positions.weight"],
        # Its first row went into the positions before training; there is no second segment.
        f"{at}.token_type_embeddings.weight": np.zeros((1, width), np.float32),
    }
    for kind in ("weight", "bias"):
        found[f"{at}.LayerNorm.{kind}"] = state[f"norm.{kind}"]
        found[f"classifier.{kind}"] = state[f"head.{kind}"]
        for i in range(layers(state)):
            mine, theirs = f"layers.{i}", f"bert.encoder.layer.{i}"
            parts = np.split(state[f"{mine}.qkv.{kind}"], 3)
            for part, value in zip(("query", "key", "value"), parts, strict=True):
                found[f"{theirs}.attention.self.{part}.{kind}"] = value
            for ours, name in NAMES.items():
                found[f"{theirs}.{name}.{kind}"] = state[f"{mine}.{ours}.{kind}"]
    return found


def layers(state: Mapping[str, Array]) -> int:
    """Return the number of layers."""
    return sum(1 for name in state if name.endswith(".qkv.weight"))


def build(state: Mapping[str, Array], *, heads: int, epsilon: float, temperature: float, int8: bool) -> bytes:
    """Return the graph of a trained network.

    Args:
        state: the network's weights by torch's names (``sentiment_net.Net``).
        heads: attention heads.
        epsilon: of the layer norms.
        temperature: logits are divided by it, so that what the softmax gives is calibrated.
        int8: eight bits, else float32.
    """
    weights = published(state)
    for kind in ("weight", "bias"):
        weights[f"classifier.{kind}"] = weights[f"classifier.{kind}"] / np.float32(temperature)
    config = BertConfig(
        model_type="bert",
        hidden_size=state["words.weight"].shape[1],
        num_hidden_layers=layers(state),
        num_attention_heads=heads,
        intermediate_size=len(state["layers.0.up.bias"]),
        max_position_embeddings=len(state["positions.weight"]),
        vocab_size=len(state["words.weight"]),
        layer_norm_eps=epsilon,
        type_vocab_size=1,
    )
    return write_bert(weights, config, len(weights["classifier.bias"]), "the network", int8=int8, mean=True)


def keep_words(tokenizer: Mapping[str, Any], seen: Iterable[int], whole: int) -> list[int]:
    """Return the rows of the vocabulary to keep, ascending.

    Kept are the special tokens, every single character and every word piece (so that whatever had tokens before has
    tokens after), the tokens ``seen`` in training, and the first ``whole`` words in the vocabulary's own order, which
    is that of their frequency in English. The words that go are spelt in pieces. Unused rows go.
    """
    vocabulary: Mapping[str, int] = tokenizer["model"]["vocab"]
    keep = {vocabulary[token] for token in SPECIAL} | set(seen)
    words = 0
    for token, row in sorted(vocabulary.items(), key=lambda item: item[1]):
        if token.startswith("[") and len(token) > 1:
            continue
        if token.startswith("##") or len(token) == 1:
            keep.add(row)
        elif words < whole:
            words += 1
            keep.add(row)
    return sorted(keep)


def trim(tokenizer: Mapping[str, Any], kept: Sequence[int], tokens_max: int) -> dict[str, Any]:
    """Return a tokenizer of the kept rows, renumbered in their order, that cuts at ``tokens_max`` and does not pad."""
    new = {row: i for i, row in enumerate(kept)}
    vocabulary = {token: new[row] for token, row in tokenizer["model"]["vocab"].items() if row in new}
    specials = {
        name: {**entry, "ids": [vocabulary[token] for token in entry["tokens"]]}
        for name, entry in tokenizer["post_processor"]["special_tokens"].items()
    }
    return {
        **tokenizer,
        "truncation": {"max_length": tokens_max, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": None,
        "added_tokens": [{**entry, "id": vocabulary[entry["content"]]} for entry in tokenizer["added_tokens"]],
        "post_processor": {**tokenizer["post_processor"], "special_tokens": specials},
        "model": {
            **tokenizer["model"],
            "vocab": dict(sorted(vocabulary.items(), key=lambda item: item[1])),
        },
    }


def tokenizer_json(tokenizer: Mapping[str, Any]) -> bytes:
    """Return the bytes of a tokenizer file, one token a line."""
    return (json.dumps(tokenizer, ensure_ascii=False, indent=1) + "\n").encode()
