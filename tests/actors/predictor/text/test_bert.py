"""The graph written from a BERT's weights: against numpy, against torch, and eight bits against float32."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from actors.predictor.pool.session import open_session
from actors.predictor.text.bert import BertConfig, quantise, random_weights, read_config, write_bert
from actors.predictor.text.checks import check_model
from daemon.kernel.errors import OperatorError
from tests.text_support import config

SMALL = BertConfig("bert", 32, 3, 4, 64, 40, 100)


def sharper(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return random weights large enough for a softmax to be far from even, and biases that are not zero."""
    rng = np.random.default_rng(9)
    return {
        name: value * 8 if "LayerNorm" not in name else value + rng.normal(0, 0.2, value.shape).astype(np.float32)
        for name, value in weights.items()
    } | {
        name: rng.normal(0, 0.3, value.shape).astype(np.float32)
        for name, value in weights.items()
        if name.endswith(".bias") and "LayerNorm" not in name
    }


def plain_bert(
    w: dict[str, np.ndarray], c: BertConfig, ids: np.ndarray, mask: np.ndarray, kinds: np.ndarray
) -> np.ndarray:
    """BERT as Devlin et al. (2019) describe it, a row at a time, in float64."""
    get = {name: value.astype(np.float64) for name, value in w.items()}

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ get[f"{name}.weight"].T + get[f"{name}.bias"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + c.layer_norm_eps)
        return scaled * get[f"{name}.weight"] + get[f"{name}.bias"]

    def softmax(x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    gelu = np.vectorize(lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))))
    e = "bert.embeddings"
    answers = []
    for row, seen, kind in zip(ids, mask, kinds, strict=True):
        x = get[f"{e}.word_embeddings.weight"][row] + get[f"{e}.token_type_embeddings.weight"][kind]
        x = norm(x + get[f"{e}.position_embeddings.weight"][: len(row)], f"{e}.LayerNorm")
        for i in range(c.num_hidden_layers):
            at = f"bert.encoder.layer.{i}"
            q, k, v = (linear(x, f"{at}.attention.self.{part}") for part in ("query", "key", "value"))
            d = c.hidden_size // c.num_attention_heads
            heads = []
            for h in range(c.num_attention_heads):
                part = slice(h * d, (h + 1) * d)
                scores = q[:, part] @ k[:, part].T / math.sqrt(d)
                heads.append(softmax(np.where(seen[None, :] == 1, scores, -np.inf)) @ v[:, part])
            x = norm(
                x + linear(np.concatenate(heads, 1), f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm"
            )
            x = norm(
                x + linear(gelu(linear(x, f"{at}.intermediate.dense")), f"{at}.output.dense"), f"{at}.output.LayerNorm"
            )
        answers.append(linear(np.tanh(linear(x[0], "bert.pooler.dense")), "classifier"))
    return np.array(answers)


def ask(graph: bytes, ids: np.ndarray, mask: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Return the logits of a graph."""
    session = open_session(graph, Path("model.onnx"))
    return session.run(["logits"], {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds})[0]


@pytest.fixture
def rows():
    """Return ids, mask (some rows end early) and segments of five rows of twelve tokens."""
    rng = np.random.default_rng(3)
    ids = rng.integers(0, SMALL.vocab_size, (5, 12))
    mask = (np.arange(12) < np.array([12, 5, 9, 1, 12])[:, None]).astype(np.int64)
    return ids, mask, rng.integers(0, 2, (5, 12))


def test_the_graph_is_the_network(rows) -> None:
    """Float32 against a plain float64 BERT: equal but for rounding, masks and segments included."""
    weights = sharper(random_weights(SMALL, 3, seed=1))
    graph = write_bert(weights, SMALL, 3, "test", int8=False)
    check_model(graph, Path("model.onnx"))
    expected = plain_bert(weights, SMALL, *rows)
    assert np.ptp(expected, axis=0).min() > 0.1  # else anything would be near it
    np.testing.assert_allclose(ask(graph, *rows), expected, atol=2e-5)


def test_eight_bits_stay_near(rows) -> None:
    """Seven bits of weights: the step is 1/63 of a column's largest, so answers move by a few hundredths."""
    weights = random_weights(SMALL, 3, seed=2)
    weights["classifier.weight"] *= 50
    full = ask(write_bert(weights, SMALL, 3, "test", int8=False), *rows)
    eight = ask(write_bert(weights, SMALL, 3, "test", int8=True), *rows)
    assert 0 < np.abs(full - eight).max() < 0.06 * np.ptp(full)


def test_eight_bits_of_a_row_do_not_depend_on_the_rows_beside_it(rows) -> None:
    """A scale for each token: bit for bit, even in one batch."""
    graph = write_bert(random_weights(SMALL, 3, seed=2), SMALL, 3, "test", int8=True)
    together = ask(graph, *rows)
    for i in range(5):
        alone = ask(graph, *(part[i : i + 1] for part in rows))
        assert alone.tobytes() == together[i : i + 1].tobytes()


def test_the_same_weights_give_the_same_file() -> None:
    """The version in a model's name is of its bytes."""
    weights = random_weights(SMALL, 3, seed=1)
    assert write_bert(weights, SMALL, 3, "a", int8=True) == write_bert(weights, SMALL, 3, "b", int8=True)


def test_quantised_columns_are_within_half_a_step() -> None:
    """Matrix ~ values * step, |values| <= 63, the error at most half a step of its column."""
    matrix = np.random.default_rng(4).normal(0, [1.0, 10.0, 0.001], (200, 3)).astype(np.float32)
    values, step = quantise(matrix)
    assert values.dtype == np.int8
    assert np.abs(values).max(axis=0).tolist() == [63, 63, 63]
    assert (np.abs(values * step - matrix) <= 0.501 * step).all()


def test_old_names_of_the_norms_are_read(rows) -> None:
    """Checkpoints of TensorFlow's time say gamma and beta."""
    weights = random_weights(SMALL, 3, seed=1)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in weights.items()
    }
    assert any("gamma" in name for name in old)
    assert write_bert(old, SMALL, 3, "x", int8=True) == write_bert(weights, SMALL, 3, "x", int8=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "roberta"),
        ("hidden_act", "gelu_new"),
        ("position_embedding_type", "relative_key"),
        ("hidden_size", "many"),
        ("num_attention_heads", 7),
        ("num_attention_heads", 0),
        ("num_hidden_layers", 10**6),
    ],
)
def test_networks_that_are_not_this_one_are_refused(field: str, value: object) -> None:
    """By the field of config.json."""
    with pytest.raises(OperatorError) as caught:
        read_config(config() | {field: value}, "m/config.json")
    assert caught.value.code == "MODEL_CONFIG"
    assert "m/config.json" in caught.value.message


@pytest.mark.parametrize("fault", ["missing", "shape", "nan"])
def test_weights_that_do_not_fit_are_refused_by_name(fault: str) -> None:
    """A tensor that is missing, of another shape, or holds what is no number."""
    weights = random_weights(SMALL, 3, seed=1)
    name = "bert.encoder.layer.1.output.dense.weight"
    if fault == "missing":
        del weights[name]
    elif fault == "shape":
        weights[name] = weights[name].T
    else:
        weights[name][3, 3] = np.nan
    with pytest.raises(OperatorError) as caught:
        write_bert(weights, SMALL, 3, "m/model.safetensors", int8=True)
    assert caught.value.code == "MODEL_WEIGHTS"
    assert "m/model.safetensors" in caught.value.message
    assert name in caught.value.message


@pytest.mark.long
def test_torch_says_the_same(rows, tmp_path: Path) -> None:
    """Transformers' BertForSequenceClassification, where torch is installed for training."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    weights = sharper(random_weights(SMALL, 3, seed=1))
    raw = {name: getattr(SMALL, name) for name in SMALL.__struct_fields__}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    theirs = transformers.BertForSequenceClassification(transformers.BertConfig(**raw, num_labels=3)).eval()
    state = {name: torch.from_numpy(value.copy()) for name, value in weights.items()}
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert unexpected == []
    assert [name for name in missing if "position_ids" not in name] == []
    with torch.no_grad():
        expected = theirs(
            **dict(zip(("input_ids", "attention_mask", "token_type_ids"), map(torch.from_numpy, rows), strict=True))
        )
    ours = ask(write_bert(weights, SMALL, 3, "test", int8=False), *rows)
    np.testing.assert_allclose(ours, expected.logits.numpy(), atol=2e-5)
