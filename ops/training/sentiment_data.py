"""The labelled sentences of the sentiment model: reading, near-duplicates, the parts.

Two sets, neither of which is in the repository (their texts may not be passed on):

* ``twitter_financial_train.csv.gz``, columns ``text,label``: the training part of zeroshot/twitter-financial-news-
  sentiment, MIT. Training, validation and test come from it.
* ``phrasebank_train.csv.gz``, columns ``sentence,label,agree``: Financial PhraseBank, CC BY-NC-SA. Measured on as
  another domain, never trained on.

Labels are words: negative (bearish), neutral, positive (bullish).
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LABELS: Final = ("negative", "neutral", "positive")
"""The order of the model's logits."""
TWITTER: Final = "twitter_financial_train.csv.gz"
PHRASEBANK: Final = "phrasebank_train.csv.gz"

TEST_SHARE: Final = 0.15
VALIDATION_SHARE: Final = 0.10
NEAR: Final = 0.7
"""Two texts are near-duplicates when their sets of words have at least this Jaccard similarity."""
SALT: Final = "tradingd sentiment split 1"

_URL: Final = re.compile(r"https?://\S+|www\.\S+")
_MENTION: Final = re.compile(r"[@$][a-z][a-z0-9._-]*")
_NOT_WORD: Final = re.compile(r"[^\w%$]+")


@dataclass(frozen=True)
class Example:
    """A text and its label as an index into LABELS; ``agree`` is PhraseBank's share of annotators, else empty."""

    text: str
    label: int
    agree: str = ""


def read(path: Path) -> list[Example]:
    """Return the rows of one of the two files.

    Raises:
        SystemExit: the file is missing, or has other columns or labels.
    """
    if not path.is_file():
        raise SystemExit(f"{path.name} is not in {path.parent}; name its folder with --data or in TRADINGD_TEST_DATA")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        column = "sentence" if "sentence" in (reader.fieldnames or ()) else "text"
        try:
            return [Example(row[column], LABELS.index(row["label"]), row.get("agree") or "") for row in reader]
        except (KeyError, ValueError) as error:
            raise SystemExit(f"{path.name} is not the set that is meant: {error!r}") from None


def key(text: str) -> str:
    """Return what makes a text a duplicate: its words without case, addresses, cashtags, mentions, punctuation."""
    text = unicodedata.normalize("NFKC", text).lower()
    return " ".join(_NOT_WORD.sub(" ", _MENTION.sub(" ", _URL.sub(" ", text))).split())


def unique(examples: Iterable[Example]) -> list[tuple[str, Example]]:
    """Return one example a key, in order of keys; texts that were given two labels equally often are dropped."""
    same: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        same[key(example.text)].append(example)
    kept = []
    for words, group in sorted(same.items()):
        votes = Counter(example.label for example in group).most_common(2)
        if words and (len(votes) == 1 or votes[0][1] > votes[1][1]):
            label = votes[0][0]
            texts = sorted(example.text for example in group if example.label == label)
            kept.append((words, Example(texts[0], label, group[0].agree)))
    return kept


def near_groups(keys: Sequence[str], near: float = NEAR) -> list[int]:
    """Return for each key the number of its group: near-duplicates, and what is near to those, belong together.

    Candidates share one of a text's rarest words: two sets of Jaccard similarity ``j`` cannot be disjoint in the first
    ``len - ceil(j * len) + 1`` words of a common order.
    """
    words = [frozenset(k.split()) for k in keys]
    count = Counter(word for text in words for word in text)
    parent = list(range(len(keys)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    index: dict[str, list[int]] = defaultdict(list)
    for i, text in enumerate(words):
        ordered = sorted(text, key=lambda word: (count[word], word))
        prefix = ordered[: len(ordered) - -(-int(near * 1000) * len(ordered) // 1000) + 1]
        for j in {j for word in prefix for j in index[word]}:
            shared = len(text & words[j])
            if shared >= near * (len(text) + len(words[j]) - shared):
                parent[root(i)] = root(j)
        for word in prefix:
            index[word].append(i)
    return [root(i) for i in range(len(keys))]


def split(examples: Iterable[Example]) -> dict[str, list[Example]]:
    """Return ``train``, ``validation`` and ``test``: the same whatever the order of the rows, stratified by label.

    Whole groups of near-duplicates go to one part. Within a label (that of a group's first text) groups stand in the
    order of a hash of their first key; the first are the test part, the next the validation part.
    """
    kept = unique(examples)
    groups: dict[int, list[int]] = defaultdict(list)
    for i, group in enumerate(near_groups([words for words, _ in kept])):
        groups[group].append(i)
    by_label: dict[int, list[list[int]]] = defaultdict(list)
    for members in groups.values():
        by_label[kept[members[0]][1].label].append(members)
    parts: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for _, members_of in sorted(by_label.items()):
        ordered = sorted(members_of, key=lambda members: _order(kept[members[0]][0]))
        total, seen = sum(len(members) for members in ordered), 0
        for members in ordered:
            share = seen / total
            part = "test" if share < TEST_SHARE else "validation" if share < TEST_SHARE + VALIDATION_SHARE else "train"
            parts[part] += [kept[i][1] for i in members]
            seen += len(members)
    return {part: sorted(rows, key=lambda e: _order(key(e.text))) for part, rows in parts.items()}


def _order(words: str) -> str:
    return hashlib.sha256(f"{SALT}\n{words}".encode()).hexdigest()
