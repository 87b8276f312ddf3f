"""Models from elsewhere: what comes in, what does not, and that the old one is in use until the new one is whole."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from actors.predictor.text.graph import Graph
from actors.predictor.text.importing import Asked, _tokenizer, export_model, import_model
from actors.predictor.text.labels import PROBES
from actors.predictor.text.manifest import read_text_manifest
from actors.predictor.text.model import load_text_model
from actors.predictor.text.parity import FULL, PARITY
from actors.predictor.text.store import ModelStore
from actors.predictor.text.trial import try_model
from actors.predictor.text.verify import verify_text_model
from daemon.kernel.errors import OperatorError
from tests.text_support import (
    INPUTS,
    ORDER,
    config,
    model_onnx,
    network,
    tokenizer_json,
    weights,
    write_bert,
    write_model,
    write_source,
)

ROOT = Path(__file__).resolve().parents[4]
TEXTS = [text for group in PROBES.values() for text in group]


@pytest.fixture
def store(tmp_path: Path):
    """Return a store without shipped models."""
    return ModelStore(tmp_path / "state", shipped=tmp_path / "none")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Return weights as a hub publishes them; not to be changed."""
    return write_source(tmp_path_factory.mktemp("hub") / "FinBERT tiny")


def refused(source: Path, store: ModelStore, asked: Asked | None = None) -> OperatorError:
    """Import what must be refused; nothing of it may be left."""
    before = {found.folder for found in store.models()}
    with pytest.raises(OperatorError) as caught:
        import_model(source, store, asked or Asked())
    assert {found.folder for found in store.models()} == before
    assert [path.name for path in store.root.glob(".stage-*")] == []
    assert "\n" not in caught.value.message
    return caught.value


# ------------------------------------------------------------------------------------------------- what comes in


def test_weights_become_a_model_that_means_what_its_config_says(source: Path, store: ModelStore) -> None:
    """Safetensors and vocab.txt in, ONNX in eight bits and tokenizer.json out, no torch anywhere; all checks hold."""
    found = import_model(source, store, Asked(keep_fp32=True))
    assert found.name == "finbert-tiny"
    assert found.manifest is not None
    assert found.manifest.labels == ORDER
    assert store.find("finbert-tiny") == found.folder == store.find(found.manifest.model_id)
    said = {check.name: check.ok for check in verify_text_model(found.folder)}
    assert said.pop("parity")
    assert all(said.values())
    measured = read_text_manifest(found.folder).metrics[PARITY]
    assert measured["n"] == len(TEXTS) + len(TEXTS) - 1
    assert measured["same_label"] == 1.0
    assert 0 < measured["max_difference"] < 0.05


def test_eight_bits_are_compared_with_float32_whether_or_not_it_is_kept(source: Path, store: ModelStore) -> None:
    """At import; what was measured stays in the manifest, the float32 form only where somebody asked for it."""
    kept = import_model(source, store, Asked(keep_fp32=True))
    dropped = import_model(source, store, Asked(name="small"))
    assert kept.manifest is not None
    assert dropped.manifest is not None
    assert dropped.manifest.metrics == kept.manifest.metrics != {}
    assert sorted(path.name for path in dropped.folder.iterdir()) == ["manifest.json", "model.onnx", "tokenizer.json"]
    assert FULL not in dropped.manifest.files
    assert dropped.version == kept.version
    assert all(check.ok for check in verify_text_model(dropped.folder))


def test_the_graph_is_the_same_as_the_weights_own(source: Path, store: ModelStore) -> None:
    """Nothing is lost on the way: the float32 form is what the weights give."""
    folder = import_model(source, store, Asked(fp32=True)).folder
    assert (folder / "model.onnx").read_bytes() == model_onnx(int8=False)
    assert not (folder / FULL).exists()


def test_a_vocabulary_becomes_the_tokenizer_it_stands_for(source: Path, store: ModelStore, tiny: Path) -> None:
    """Small letters where the vocabulary has no others, and the same answers as with a tokenizer.json."""
    folder = import_model(source, store, Asked()).folder
    assert json.loads((folder / "tokenizer.json").read_bytes())["normalizer"]["lowercase"] is True
    texts = [*TEXTS, "PROFIT Rose", "naïve"]
    assert load_text_model(folder).score(texts).tobytes() == load_text_model(tiny).score(texts).tobytes()


def test_the_words_of_bert_become_the_tokenizer_that_is_published_with_them(test_data: Path, tmp_path: Path) -> None:
    """Thirty thousand of them, and the same parts around them."""
    published = test_data / "models" / "minilm_l6_phrasebank"
    if not published.is_dir():
        pytest.skip("the reference model is not among the real test data")
    shutil.copy(published / "vocab.txt", tmp_path / "vocab.txt")
    ours = json.loads(_tokenizer(tmp_path))
    theirs = json.loads((published / "tokenizer.json").read_bytes())
    for part in ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "model"):
        assert ours[part] == theirs[part]


def test_separators_of_other_scripts_are_words(tmp_path: Path) -> None:
    """A line ends where a line feed stands, with or without a carriage return before it, and nowhere else."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "\u2028", "\x85", "profit"]
    for end in ("\n", "\r\n"):
        (tmp_path / "vocab.txt").write_bytes(end.join([*words, ""]).encode())
        assert list(json.loads(_tokenizer(tmp_path))["model"]["vocab"]) == words


def test_what_is_said_of_capital_letters_is_believed(tmp_path: Path, store: ModelStore) -> None:
    """tokenizer_config.json says so."""
    source = write_source(tmp_path / "cased")
    (source / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    folder = import_model(source, store, Asked()).folder
    assert json.loads((folder / "tokenizer.json").read_bytes())["normalizer"]["lowercase"] is False


def test_an_onnx_file_comes_in_with_its_neighbours(tmp_path: Path, store: ModelStore) -> None:
    """As a folder, as a file, and where the optimum exporter puts it."""
    for name in ("model.onnx", "model_quantized.onnx", "onnx/model_quantized.onnx", "mine.onnx"):
        folder = tmp_path / name.replace("/", "-").removesuffix(".onnx").replace("_", "-")
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(model_onnx())
        (folder / "tokenizer.json").write_bytes(tokenizer_json())
        (folder / "config.json").write_text(json.dumps({"id2label": dict(enumerate(ORDER))}))
        named = folder / name if name == "mine.onnx" else folder
        assert import_model(named, store, Asked()).name == folder.name


def test_a_real_model_comes_in_with_labels_said_by_hand(reference: Path, tmp_path: Path, store: ModelStore) -> None:
    """It has no config.json; a wrong order is found out."""
    source = tmp_path / "minilm"
    source.mkdir()
    for name in ("model.onnx", "tokenizer.json"):
        shutil.copy(reference / name, source / name)
    assert refused(source, store).code == "MODEL_LABELS"
    wrong = refused(source, store, Asked(labels=("positive", "negative", "neutral")))
    assert wrong.code == "MODEL_LABELS"
    assert str(source / "model.onnx") in wrong.message
    found = import_model(source, store, Asked(labels=("negative", "neutral", "positive")))
    assert load_text_model(found.folder).score(TEXTS).tobytes() == load_text_model(reference).score(TEXTS).tobytes()


def test_what_is_exported_comes_in_again(source: Path, tmp_path: Path, store: ModelStore) -> None:
    """With everything its manifest says, on another machine."""
    found = import_model(source, store, Asked(keep_fp32=True, licence="mine"))
    manifest = export_model(found.folder, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(["manifest.json", *manifest.files])
    other = ModelStore(tmp_path / "elsewhere", shipped=tmp_path / "none")
    again = import_model(tmp_path / "out", other, Asked())
    assert again.manifest is not None
    assert (again.manifest.model_id, again.manifest.licence) == (manifest.model_id, "mine")
    with pytest.raises(OperatorError, match="exists"):
        export_model(found.folder, tmp_path / "out")


# --------------------------------------------------------------------------------------------- what does not


def test_pickled_weights_are_never_read(tmp_path: Path, store: ModelStore) -> None:
    """ProsusAI's main branch has nothing else; reading one would run what it says."""
    source = write_source(tmp_path / "m")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    error = refused(source, store)
    assert error.code == "MODEL_FORMAT"
    assert "pytorch_model.bin" in error.message


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "model.safetensors"])
def test_links_in_a_source_are_not_followed(tmp_path: Path, store: ModelStore, name: str) -> None:
    """A stranger's folder must not make us read other files of ours."""
    source = write_source(tmp_path / "m")
    (source / name).rename(tmp_path / name)
    (source / name).symlink_to(tmp_path / name)
    error = refused(source, store)
    assert error.code == "MODEL_LINK"
    assert name in error.message
    assert "cp -rL" in error.remedy


@pytest.mark.parametrize("data", [b"", b"\x80\x04", b"\xff" * 64, (1 << 40).to_bytes(8, "little") + b"{}"])
def test_broken_safetensors_are_refused(tmp_path: Path, store: ModelStore, data: bytes) -> None:
    """Empty, another format, a header longer than the file."""
    source = write_source(tmp_path / "m")
    (source / "model.safetensors").write_bytes(data)
    error = refused(source, store)
    assert error.code in {"MODEL_FORMAT", "MODEL_SIZE"}
    assert "model.safetensors" in error.message


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, store: ModelStore) -> None:
    """The tensor is named."""
    source = write_source(tmp_path / "m")
    broken = load_file(source / "model.safetensors")
    broken["classifier.bias"][0] = np.nan
    save_file(broken, source / "model.safetensors")
    error = refused(source, store)
    assert error.code == "MODEL_WEIGHTS"
    assert "classifier.bias" in error.message


def test_labels_exchanged_in_a_config_are_found_out(tmp_path: Path, store: ModelStore) -> None:
    """The order of finbert-tone said of the weights of ProsusAI."""
    source = write_source(tmp_path / "m", id2label={"0": "Neutral", "1": "Positive", "2": "Negative"})
    error = refused(source, store)
    assert error.code == "MODEL_LABELS"
    assert (
        f"{source / 'model.safetensors'} does not mean what its labels say (neutral, positive, negative)"
        in error.message
    )


HALF = ("MODEL_CONFIG", "config.json")
"""What becomes of half a surrogate pair: no file of ours could keep it."""


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda s: (s / "config.json").unlink(), "MODEL_LABELS", "config.json"),
        (lambda s: (s / "config.json").write_text("{"), "MODEL_CONFIG", "config.json"),
        (lambda s: (s / "config.json").write_text("[]"), "MODEL_CONFIG", "config.json"),
        (lambda s: (s / "config.json").write_text(json.dumps(config() | {"_name_or_path": "\ud800"})), *HALF),
        (lambda s: (s / "config.json").write_text(json.dumps(config() | {"\ud800": 1})), *HALF),
        (lambda s: (s / "vocab.txt").unlink(), "TOKENIZER", "holds neither tokenizer.json nor vocab.txt"),
        (lambda s: (s / "vocab.txt").write_bytes(b"\xff\n"), "TOKENIZER", "vocab.txt"),
        (lambda s: (s / "vocab.txt").write_text("a\nb\n"), "TOKENIZER", "[PAD]"),
        (lambda s: (s / "model.safetensors").unlink(), "NO_MODEL", "model.safetensors"),
        (lambda s: [(s / n).write_bytes(b"") for n in ("a.onnx", "b.onnx")], "NO_MODEL", "a.onnx, b.onnx"),
    ],
)
def test_a_source_that_lacks_something_is_refused_by_file(tmp_path, store, change, code: str, said: str) -> None:
    """What is missing or broken is named."""
    source = write_source(tmp_path / "m")
    change(source)
    error = refused(source, store)
    assert (error.code, said in error.message) == (code, True)


def test_a_folder_whose_name_is_no_text_comes_in(tmp_path: Path, store: ModelStore) -> None:
    """As a disk of another system may have it; the manifest, which is UTF-8, says what of it is."""
    source = write_source(tmp_path / os.fsdecode(b"caf\xe9"))
    found = import_model(source, store, Asked(name="tiny"))
    assert found.manifest is not None
    assert (found.manifest.source, found.manifest.regenerate) == ("caf?", "tradingd model import caf?")
    assert read_text_manifest(found.folder) == found.manifest


def test_a_source_that_is_not_there_is_refused(tmp_path: Path, store: ModelStore) -> None:
    """Before anything is made."""
    with pytest.raises(OperatorError) as caught:
        import_model(tmp_path / "nothing", store, Asked())
    assert caught.value.code == "NO_MODEL"
    assert not store.root.exists()


def test_a_graph_that_takes_something_else_is_refused(tmp_path: Path, store: ModelStore) -> None:
    """An image model, say."""
    source = tmp_path / "m"
    source.mkdir()
    g = Graph()
    g.op("Cast", "pixels", output="logits", to=1)
    (source / "model.onnx").write_bytes(g.write(["pixels"], "logits", 3, 20))
    (source / "tokenizer.json").write_bytes(tokenizer_json())
    (source / "config.json").write_text(json.dumps({"id2label": dict(enumerate(ORDER))}))
    error = refused(source, store)
    assert error.code == "MODEL_SCHEMA"
    assert "pixels" in error.message


def test_eight_bits_that_say_something_else_are_refused(source: Path, tmp_path: Path, store: ModelStore) -> None:
    """Beside the model lies a float32 form far surer of itself: the labels agree, the shares do not."""
    folder = import_model(source, store, Asked(keep_fp32=True)).folder
    target = tmp_path / "changed"
    export_model(folder, target)
    other = weights()
    other["classifier.weight"] *= 3
    other["classifier.bias"] *= 2
    (target / FULL).write_bytes(write_bert(other, network(config()), 3, "test", int8=False))
    manifest = json.loads((target / "manifest.json").read_bytes())
    manifest["files"][FULL] = hashlib.sha256((target / FULL).read_bytes()).hexdigest()
    (target / "manifest.json").write_text(json.dumps(manifest))
    error = refused(target, store, Asked(name="other"))
    assert error.code == "MODEL_PARITY"
    assert "model_fp32.onnx differ" in error.message
    assert "--fp32" in error.remedy
    assert [check.name for check in verify_text_model(target) if not check.ok] == ["parity"]


@pytest.mark.parametrize("name", ["..", "a/b", "UPPER", "x" * 65, "-", "a b"])
def test_names_that_are_no_file_names_are_refused(source: Path, store: ModelStore, name: str) -> None:
    """They become folders."""
    assert refused(source, store, Asked(name=name)).code in {"MODEL_NAME", "BAD_MANIFEST"}


def test_the_name_of_a_model_that_ships_is_taken(source: Path, tmp_path: Path) -> None:
    """Nobody shall ask for ours and get another's."""
    write_model(tmp_path / "shipped" / "sentiment")
    store = ModelStore(tmp_path / "state", shipped=tmp_path / "shipped")
    assert refused(source, store, Asked(name="sentiment")).code == "MODEL_NAME"


# ------------------------------------------------------------------------------------- bombs and broken off


def doubling(times: int) -> bytes:
    """Return a graph that lays its input beside itself again and again: small in the file, endless in memory."""
    g = Graph()
    x = g.op("Cast", "input_ids", to=1)
    for _ in range(times):
        x = g.op("Concat", x, x, axis=1)
    total = g.op("ReduceSum", x, g.const("axis", np.array([1])), keepdims=1)
    g.op("Mul", total, g.const("three", np.ones((1, 3), np.float32)), output="logits")
    return g.write(INPUTS, "logits", 3, 20)


def test_a_graph_that_asks_for_all_memory_ends_a_child_only(tmp_path: Path) -> None:
    """Every check of the file holds; two gigabytes of address space end it, and we live to tell."""
    folder = write_model(tmp_path / "m", doubling(40))
    with pytest.raises(OperatorError) as caught:
        try_model(folder, memory=2 * 1024**3, cpu_s=60)
    assert caught.value.code in {"MODEL_TRIAL", "MODEL_OUTPUT"}
    assert "model.onnx" in caught.value.message


def computing() -> bytes:
    """Return a graph that computes thousands of exponentials of four million numbers."""
    g = Graph()
    x = g.op("Cast", g.op("ReduceMin", "input_ids", g.const("axis", np.array([1])), keepdims=1), to=1)
    x = g.op("Expand", x, g.const("shape", np.array([1, 4_000_000])))
    for _ in range(5_000):
        x = g.op("Exp", g.op("Neg", x))
    total = g.op("ReduceSum", x, g.const("axis", np.array([1])), keepdims=1)
    g.op("Mul", total, g.const("three", np.ones((1, 3), np.float32)), output="logits")
    return g.write(INPUTS, "logits", 3, 20)


def test_a_graph_that_computes_too_long_ends_a_child_only(tmp_path: Path) -> None:
    """After three seconds of computing it is over."""
    folder = write_model(tmp_path / "m", computing())
    with pytest.raises(OperatorError) as caught:
        try_model(folder, cpu_s=3)
    assert caught.value.code == "MODEL_TRIAL"
    assert "model.onnx" in caught.value.message


def at_length(length: int, *, times: int) -> bytes:
    """Return the hand-written model, which makes a row of ``times`` numbers more where a text has so many tokens."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(model_onnx(int8=False))
    helper, like = onnx.helper, onnx.numpy_helper.from_array
    for node in model.graph.node:
        node.output[:] = ["plain" if name == "logits" else name for name in node.output]
    model.graph.initializer.extend(
        like(np.asarray(value), name)
        for name, value in (("at", [length]), ("times", [times]), ("least", [1]), ("nil", np.zeros(1, np.float32)))
    )
    for op, inputs, output, told in (
        ("Shape", ["input_ids"], "now", {"start": 1, "end": 2}),
        ("Equal", ["now", "at"], "there", {}),
        ("Cast", ["there"], "so_many", {"to": 7}),
        ("Mul", ["so_many", "times"], "many", {}),
        ("Max", ["many", "least"], "size", {}),
        ("Expand", ["nil", "size"], "row", {}),
        ("ReduceSum", ["row"], "nothing", {"keepdims": 1}),
        ("Add", ["plain", "nothing"], "logits", {}),
    ):
        model.graph.node.append(helper.make_node(op, inputs, [output], **told))
    return model.SerializeToString()


def test_a_graph_that_waits_for_a_text_of_one_length_is_found_out(tmp_path: Path) -> None:
    """No sentence of the trial has 47 tokens: every length is asked about."""
    folder = write_model(tmp_path / "m", at_length(47, times=10**10))
    load_text_model(folder)  # it would have come in
    with pytest.raises(OperatorError) as caught:
        try_model(folder, memory=4 * 1024**3)
    assert caught.value.code in {"MODEL_TRIAL", "MODEL_OUTPUT"}
    try_model(write_model(tmp_path / "n", at_length(47, times=10)))
    write_model(tmp_path / "m", at_length(65, times=10**10))  # longer than a row can be
    try_model(folder, memory=4 * 1024**3)
    told = {
        check.name: check.ok for check in verify_text_model(write_model(tmp_path / "v", at_length(47, times=10**11)))
    }
    assert told == {"manifest": True, "digests": True, "structure": True, "trial": False}


def test_a_trial_ends_with_who_wants_to_know(tmp_path: Path) -> None:
    """Else a killed import leaves behind what may hold eight gigabytes and compute for five minutes."""
    folder = write_model(tmp_path / "m", computing())
    code = "import sys, pathlib, actors.predictor.text.trial as t; t.try_model(pathlib.Path(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=ROOT) as parent:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        while not (found := children.read_text().split()):
            assert parent.poll() is None
        child = os.pidfd_open(int(found[0]))
        parent.kill()
    try:
        assert select.select([child], [], [], 30)[0]
    finally:
        os.close(child)


def test_the_old_model_is_in_use_until_the_new_one_is_whole(tmp_path: Path, store: ModelStore, tiny: Path) -> None:
    """A refused import changes nothing; a good one takes over, and the old version can still be named."""
    first = import_model(tiny, store, Asked(name="tone"))
    changed = weights()
    changed["classifier.bias"][2] = np.nan
    broken = write_source(tmp_path / "broken")
    save_file(changed, broken / "model.safetensors")
    refused(broken, store, Asked(name="tone"))
    assert store.find("tone") == first.folder
    second = import_model(write_source(tmp_path / "good"), store, Asked(name="tone", fp32=True))
    assert store.find("tone") == second.folder != first.folder
    assert store.find(f"tone@{first.version}") == first.folder
    assert [(found.version, found.active) for found in store.models()] == [
        (second.version, True),
        (first.version, False),
    ]
    assert msgspec.json.decode((store.root / "tone" / "active.json").read_bytes()) == {
        "active": second.version,
        "previous": first.version,
    }
    store.activate("tone", first.version)
    assert store.find("tone") == first.folder
    with pytest.raises(OperatorError):
        store.activate("tone", "0" * 12)


def test_a_killed_import_leaves_the_old_model_and_is_swept_away(tmp_path: Path, store: ModelStore, tiny: Path) -> None:
    """SIGKILL while the new files lie half-written beside the store's own."""
    first = import_model(tiny, store, Asked(name="tone"))
    code = (
        "import sys, os; from pathlib import Path; from actors.predictor.text.store import ModelStore\n"
        "with ModelStore(Path(sys.argv[1])).staging() as stage:\n"
        "    (stage / 'model.onnx').write_bytes(b'half'); print(stage, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "state")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    stage = Path(child.stdout.readline().strip())
    with store.staging():
        assert stage.exists()  # its owner lives
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert store.find("tone") == first.folder
    with store.staging():
        assert not stage.exists()


def test_importing_the_same_again_mends_a_damaged_folder(store: ModelStore, tiny: Path) -> None:
    """The version is of the content, so the good files take the place of the damaged ones."""
    first = import_model(tiny, store, Asked())
    (first.folder / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(OperatorError):
        load_text_model(first.folder)
    again = import_model(tiny, store, Asked())
    assert again.folder == first.folder
    digest = hashlib.sha256((again.folder / "model.onnx").read_bytes()).hexdigest()
    assert again.manifest is not None
    assert digest == again.manifest.files["model.onnx"]
    assert [path.name for path in store.root.rglob(".stage-*")] == []


def test_a_model_that_is_imported_again_is_never_away(
    store: ModelStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended at any of its steps, and whatever was kept before: who asks for it meanwhile gets it."""
    want = import_model(source, store, Asked(name="tone", keep_fp32=True)).folder
    texts = ["Profit rose sharply", "Shares plunge"]
    said = load_text_model(want).score(texts).tobytes()
    moves = (Path.rename, Path.replace, Path.unlink)

    def limited(steps: int) -> None:
        left = [steps]

        def wrapped(move, path: Path, *args: object, **how: object) -> object:
            if want in path.parents or path == want or (args and want in Path(str(args[0])).parents):
                left[0] -= 1
                if left[0] < 0:
                    raise InterruptedError
            return move(path, *args, **how)

        for move in moves:
            monkeypatch.setattr(Path, move.__name__, lambda *args, _move=move, **how: wrapped(_move, *args, **how))

    ended = 0
    for keep in (False, True):
        for steps in range(6):
            limited(steps)
            try:
                import_model(source, store, Asked(name="tone", keep_fp32=keep))
            except InterruptedError:
                ended += 1
            monkeypatch.undo()
            assert load_text_model(store.find("tone")).score(texts).tobytes() == said
    assert ended >= 6
    assert (want / FULL).exists()
    import_model(source, store, Asked(name="tone"))
    assert sorted(path.name for path in want.iterdir()) == ["manifest.json", "model.onnx", "tokenizer.json"]


def test_a_folder_in_the_place_of_a_file_is_mended_as_well(store: ModelStore, tiny: Path) -> None:
    """And what else somebody has put there goes."""
    first = import_model(tiny, store, Asked())
    (first.folder / "model.onnx").unlink()
    (first.folder / "model.onnx" / "deep").mkdir(parents=True)
    (first.folder / "stray").write_bytes(b"x")
    import_model(tiny, store, Asked())
    assert load_text_model(store.find(first.name)).model_id == f"{first.name}@{first.version}"
    assert not (first.folder / "stray").exists()


@pytest.mark.parametrize("reference_", ["", "none", "tone@", "tone@000000000000", "..", "tone@../../x", "\x00"])
def test_models_that_are_not_there_are_not_found(store: ModelStore, tiny: Path, reference_: str) -> None:
    """Whatever is typed in their place."""
    import_model(tiny, store, Asked(name="tone"))
    with pytest.raises(OperatorError) as caught:
        load_text_model(store.find(reference_))
    assert caught.value.code == "NO_MODEL"


def test_a_folder_of_a_person_nobody_knows_is_a_folder_that_is_not_there(store: ModelStore) -> None:
    """As a shell passes it on."""
    with pytest.raises(OperatorError, match="~nobody-here/m") as caught:
        load_text_model(store.find("~nobody-here/m"))
    assert caught.value.code == "NO_MODEL"


def test_a_damaged_pointer_or_manifest_is_told_not_guessed(store: ModelStore, tiny: Path) -> None:
    """Which version was in use is not anybody's to guess."""
    found = import_model(tiny, store, Asked(name="tone"))
    manifest = (found.folder / "manifest.json").read_bytes()
    (found.folder / "manifest.json").write_bytes(manifest.replace(b'"name": "tone"', b'"name": "other"'))
    assert "says name other" in store.models()[0].fault
    (found.folder / "manifest.json").write_bytes(b"{")
    assert "manifest.json" in store.models()[0].fault
    (store.root / "tone" / "active.json").write_bytes(b"{")
    with pytest.raises(OperatorError) as caught:
        store.find("tone")
    assert "active.json" in caught.value.message


def test_a_damaged_pointer_of_one_model_is_no_fault_of_another(store: ModelStore, tiny: Path) -> None:
    """What is not installed is told as that, for the list of words takes its place then, and the others are found."""
    import_model(tiny, store, Asked(name="tone"))
    other = import_model(tiny, store, Asked(name="other"))
    (store.root / "nothing").mkdir()
    (store.root / "tone" / "active.json").write_bytes(b"{")
    assert store.find("other") == other.folder
    for name in ("finbert", "nothing", "tiny@0123456789ab"):
        with pytest.raises(OperatorError) as caught:
            store.find(name)
        assert caught.value.code == "NO_MODEL"
        assert "known are: other, tone;" in caught.value.remedy


@pytest.mark.parametrize("broken", ["garbage", "huge", "pipe", "link"])
def test_a_damaged_pointer_is_mended_by_importing_again(store: ModelStore, tiny: Path, broken: str) -> None:
    """As its sentence says; and it is told, not waited for."""
    found = import_model(tiny, store, Asked(name="tone"))
    path = store.root / "tone" / "active.json"
    path.unlink()
    if broken == "pipe":
        os.mkfifo(path)
    elif broken == "link":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"{" if broken == "garbage" else b" " * 5_000)
    with pytest.raises(OperatorError, match=r"active\.json") as caught:
        store.find("tone")
    assert caught.value.code == "BAD_MANIFEST"
    assert "import" in caught.value.remedy
    import_model(tiny, store, Asked(name="tone"))
    assert store.find("tone") == found.folder
    assert sorted(file.name for file in (store.root / "tone").iterdir()) == sorted([found.version, "active.json"])


@pytest.mark.parametrize("name", ["price_5d", "lexicon", "sentiment"])
def test_no_stranger_takes_the_name_of_what_ships(tmp_path: Path, tiny: Path, name: str) -> None:
    """Price models and the list of words ship as well: whoever asks for them by name gets ours."""
    with pytest.raises(OperatorError) as caught:
        import_model(tiny, ModelStore(tmp_path / "state"), Asked(name=name))
    assert caught.value.code == "MODEL_NAME"


def test_a_disk_that_is_full_is_named_and_nothing_is_left(tmp_path: Path, source: Path) -> None:
    """A file that may not grow is as good as a full disk; the version before is in use all the same."""
    store = ModelStore(tmp_path / "state", shipped=tmp_path / "none")
    before = import_model(source, store, Asked(name="tone"))
    told = subprocess.run(
        [sys.executable, "-m", "daemon", "model", "import", str(source), "--name", "tone", "--fp32"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "STATE_DIRECTORY": str(tmp_path / "state")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert "cannot be written" in told.stderr
    assert "see to the disk" in told.stderr
    assert store.find("tone") == before.folder
    assert list(store.root.glob(".stage-*")) == []


def test_a_pipe_or_link_in_the_place_of_a_manifest_is_refused(tmp_path: Path, store: ModelStore, tiny: Path) -> None:
    """It was waited for, for ever, or taken for a folder without one."""
    folder = write_model(tmp_path / "m")
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    with pytest.raises(OperatorError, match=r"manifest\.json is no plain file"):
        read_text_manifest(folder)
    assert refused(folder, store).code == "MODEL_LINK"
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to(tiny / "manifest.json")
    assert refused(folder, store).code == "MODEL_LINK"


def test_a_source_that_is_no_file_is_refused(tmp_path: Path, store: ModelStore) -> None:
    """A device, or a pipe nobody writes into."""
    os.mkfifo(tmp_path / "model.onnx")
    for path in (tmp_path / "model.onnx", Path("/dev/zero")):
        error = refused(path, store)
        assert error.code == "MODEL_LINK"
        assert str(path) in error.message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0, 1.0, 1e300])
def test_a_step_of_the_norms_that_is_none_is_refused_by_its_field(
    tmp_path: Path, store: ModelStore, value: float
) -> None:
    """It stands in the configuration, and that is where a person can look."""
    error = refused(write_source(tmp_path / "hub", layer_norm_eps=value), store)
    assert error.code == "MODEL_CONFIG"
    assert "config.json says layer_norm_eps" in error.message


def test_numbers_numpy_does_not_know_are_named(tmp_path: Path, store: ModelStore) -> None:
    """Half of the models of a hub are in bfloat16: it is no fault of the file."""
    folder = write_source(tmp_path / "hub")
    head = json.dumps({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + b"\0\0")
    error = refused(folder, store)
    assert error.code == "MODEL_FORMAT"
    assert "numbers of the type 'BF16'" in error.message
    assert "float32" in error.remedy


def test_weights_beyond_float32_are_no_numbers(tmp_path: Path, store: ModelStore) -> None:
    """Refused by name, without a warning of numpy's before the sentence (warnings are errors in tests)."""
    folder = write_source(tmp_path / "hub")
    found = load_file(folder / "model.safetensors")
    found["classifier.bias"] = np.array([1e300, 0.0, 0.0])
    save_file(found, folder / "model.safetensors")
    error = refused(folder, store)
    assert error.code == "MODEL_WEIGHTS"
    assert "classifier.bias" in error.message


def test_an_export_is_whole_or_not_there(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk fills up in the middle, the next try finds nothing in its way."""

    def full(path: Path, _data: bytes) -> None:
        raise OperatorError(f"{path} cannot be written: No space left on device", code="MODEL_WRITE")

    with monkeypatch.context() as patch:
        patch.setattr("actors.predictor.text.importing.write_plain", full)
        with pytest.raises(OperatorError, match="cannot be written"):
            export_model(tiny, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    export_model(tiny, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert load_text_model(tmp_path / "out").model_id == load_text_model(tiny).model_id
