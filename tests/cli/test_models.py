"""``tradingd model`` and ``tradingd sentiment`` as a person meets them."""

from __future__ import annotations

import io
import json
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from actors.predictor.text.graph import Graph
from actors.predictor.text.labels import PROBES
from daemon.cli import backup
from daemon.cli.tradingd import main
from tests.text_support import write_model, write_source

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Return a caller of the program with a state directory of its own: exit code, stdout, stderr."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def installed(tmp_path: Path, ask) -> Path:
    """Import the hand-written model as ``tiny``."""
    source = write_source(tmp_path / "hub")
    code, _, err = ask("model", "import", source, "--name", "tiny", "--keep-fp32")
    assert (code, err) == (0, "")
    return source


def run(*arguments: str, state: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the program in a process of its own, with a pipe for standard input."""
    return subprocess.run(
        [sys.executable, "-m", "daemon", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "STATE_DIRECTORY": str(state)},
        input=stdin,
        capture_output=True,
        check=False,
    )


def answers(out: str | bytes) -> list[dict]:
    """Return the JSON lines."""
    return [json.loads(line) for line in out.splitlines()]


# --------------------------------------------------------------------------------------------------- sentiment


def test_one_json_line_a_text(installed: Path, ask) -> None:
    """The fields of the contract, in order of the texts; shares add up to one and the label is the largest."""
    texts = [PROBES["negative"][0], PROBES["neutral"][0], PROBES["positive"][0]]
    code, out, err = ask("sentiment", *texts, "--model", "tiny", "--json")
    assert (code, err) == (0, "")
    found = answers(out)
    assert [row["text"] for row in found] == texts
    assert [row["label"] for row in found] == ["negative", "neutral", "positive"]
    for row in found:
        assert row["schema"] == "tradingd.sentiment/1"
        assert list(row["p"]) == ["negative", "neutral", "positive"]
        assert max(row["p"], key=row["p"].get) == row["label"]
        assert sum(row["p"].values()) == pytest.approx(1, abs=3e-6)
        assert row["model"].startswith("tiny@")
    assert "e-" not in out.replace("pre-", "")


def test_lines_of_a_pipe_are_answered_one_by_one(installed: Path, tmp_path: Path) -> None:
    """Empty lines and broken bytes have answers, too: as many lines out as in; the next one need not have come yet."""
    lines = b"Profit rose sharply\n\n\xff\xfe Shares fell\r\n"
    done = run("sentiment", "--model", "tiny", "--json", state=tmp_path / "state", stdin=lines)
    assert (done.returncode, done.stderr) == (0, b"")
    found = answers(done.stdout)
    assert [row["label"] for row in found] == ["positive", None, "negative"]
    assert found[1]["p"] is None
    assert found[1]["text"] == ""
    with subprocess.Popen(
        [sys.executable, "-m", "daemon", "sentiment", "--model", "tiny", "--json"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "STATE_DIRECTORY": str(tmp_path / "state")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for text, label in (("Profit rose", "positive"), ("Shares fell", "negative")):
            child.stdin.write(f"{text}\n".encode())
            child.stdin.flush()
            assert json.loads(child.stdout.readline())["label"] == label
        child.stdin.close()
        assert child.wait() == 0


def test_a_file_is_read_line_by_line(installed: Path, tmp_path: Path, ask) -> None:
    """A file that is not there is told."""
    path = tmp_path / "headlines.txt"
    path.write_text("Profit rose\nShares fell\n")
    code, out, _ = ask("sentiment", "--file", path, "--model", "tiny", "--json")
    assert [row["label"] for row in answers(out)] == ["positive", "negative"]
    assert code == 0
    code, out, err = ask("sentiment", "--file", tmp_path / "none", "--model", "tiny")
    assert (code, out) == (1, "")
    assert "cannot be read" in err
    assert ask("sentiment", "text", "--file", path)[0] == 2


def test_a_dash_is_stdin(tmp_path: Path) -> None:
    """As everywhere."""
    piped = run("sentiment", "--model", "lexicon", "--file", "-", "--json", state=tmp_path, stdin=b"Profit rose\n")
    assert (piped.returncode, [answer["label"] for answer in answers(piped.stdout)]) == (0, ["positive"])


@pytest.mark.parametrize("arguments", [(), ("--file", "-")])
def test_without_a_standard_input_there_is_no_text(
    ask, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """A process that was started with it closed has none."""
    monkeypatch.setattr(sys, "stdin", None)
    code, out, err = ask("sentiment", "--model", "lexicon", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("tradingd: there is no text")


def test_a_line_without_end_is_one_text(tmp_path: Path, ask) -> None:
    """Three megabytes in a line, and the next line is still the next text."""
    path = tmp_path / "long.txt"
    path.write_text("profit rose " * 250_000 + "\nShares plunge\n")
    code, out, _ = ask("sentiment", "--file", path, "--model", "lexicon", "--json")
    assert code == 0
    assert [row["label"] for row in answers(out)] == ["positive", "negative"]


def test_people_get_a_table(installed: Path, ask) -> None:
    """With the model named beside it; what a terminal would obey is not sent to it."""
    code, out, err = ask("sentiment", "Profit rose \x1b]0;owned\x07", "", "--model", "tiny")
    assert code == 0
    assert out.splitlines()[0].split() == ["tone", "negative", "neutral", "positive", "text"]
    assert out.splitlines()[2].startswith("positive")
    assert "\x1b" not in out
    assert "\x07" not in out
    assert err.startswith("by tiny@")


def test_a_list_of_words_says_what_it_is(ask) -> None:
    """Asked for by name; its name stands in every answer."""
    code, out, err = ask("sentiment", "Shares plunge", "--model", "lexicon", "--json")
    assert (code, err) == (0, "")
    (row,) = answers(out)
    assert row["label"] == "negative"
    assert row["model"].startswith("lexicon@")


def test_a_model_that_is_not_there_is_told(ask) -> None:
    """It is not replaced by another in silence."""
    code, out, err = ask("sentiment", "text", "--model", "finbert", "--json")
    assert (code, out) == (1, "")
    assert "there is no text model 'finbert'" in err


def test_without_a_name_a_model_or_the_list_answers(ask) -> None:
    """The model that ships where there is one; else the list, with a note."""
    code, out, err = ask("sentiment", "Shares plunge after the profit warning", "--json")
    assert code == 0
    (row,) = answers(out)
    assert row["label"] == "negative"
    assert row["model"].startswith("lexicon@") == ("a list of words" in err)


def test_a_model_folder_may_be_named_by_path(tmp_path: Path, ask) -> None:
    """With a slash in it."""
    folder = write_model(tmp_path / "m")
    code, out, _ = ask("sentiment", "Profit rose", "--model", folder, "--json")
    assert (code, answers(out)[0]["label"]) == (0, "positive")


# ------------------------------------------------------------------------------------------------------ models


def test_a_terminal_sees_that_an_import_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network of FinBERT's size takes a quarter of a minute; a pipe is told nothing, as other tests hold."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert main(["model", "import", str(write_source(tmp_path / "hub")), "--name", "tiny"]) == 0
    assert "import hub" in terminal.getvalue()
    assert main(["model", "verify", "tiny"]) == 0
    assert "verify tiny" in terminal.getvalue()
    assert "import hub" not in capsys.readouterr().out


def test_what_to_type_next_finds_the_model(tmp_path: Path, ask) -> None:
    """Also where it was not installed into the state directory that is meant by itself."""
    elsewhere = f"paths.state_dir={tmp_path / 'not here'}"
    _, out, _ = ask("model", "import", write_source(tmp_path / "m"), "--name", "tiny", "--set", elsewhere)
    command = shlex.split(out.partition("next: tradingd ")[2])
    assert ask(*command)[0] == 0
    assert ask("sentiment", "--model", "tiny", "Profit rose sharply")[0] == 1


def test_models_are_listed_and_shown(installed: Path, ask) -> None:
    """What ships and what was brought in, each with its version."""
    code, out, _ = ask("model", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)["rows"]}
    assert code == 0
    assert rows["tiny"]["origin"] == "installed"
    assert rows["tiny"]["in_use"] is True
    assert rows["tiny"]["bytes"] > 10_000
    assert rows["price_5d"]["kind"] == "price"
    code, out, _ = ask("model", "show", "tiny", "--json")
    shown = json.loads(out)
    assert shown["model"] == f"tiny@{rows['tiny']['version']}"
    assert shown["labels"] == ["positive", "negative", "neutral"]
    assert shown["metrics"]["int8_vs_fp32"]["same_label"] == 1
    assert json.loads(ask("model", "show", "price_5d", "--json")[1])["name"] == "price_5d"
    for name in ("tiny", "price_5d"):
        code, out, _ = ask("model", "show", name)
        assert code == 0
        assert name in out


def test_a_folder_nobody_has_tried_is_tried_before_it_is_asked(tmp_path: Path, ask) -> None:
    """It asks for ten gigabytes a token, which no check of the file can see; the program that was asked takes none."""
    g = Graph()
    size = g.op("Mul", g.op("Shape", "input_ids", start=1, end=2), g.const("many", np.array([2_500_000_000])))
    row = g.op("Expand", g.const("one", np.ones(1, np.float32)), size)
    total = g.op("ReduceSum", row, g.const("axis", np.array([0])), keepdims=1)
    g.op("Mul", total, g.const("three", np.ones((1, 3), np.float32)), output="logits")
    folder = write_model(tmp_path / "bomb", g.write(("input_ids",), "logits", 3, 20), inputs=["input_ids"])
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for command in (("sentiment", "Profit rose", "--model"), ("model", "verify")):
        code, out, err = ask(*command, folder)
        assert code != 0
        assert "model.onnx" in out + err
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 512 * 1024  # KiB


def test_a_good_folder_is_asked_where_it_lies(tmp_path: Path, ask) -> None:
    """With a slash it is a folder; nothing is installed."""
    folder = write_model(tmp_path / "m")
    code, out, _ = ask("sentiment", "Profit rose sharply", "--model", folder, "--json")
    assert (code, answers(out)[0]["label"]) == (0, "positive")
    assert ask("model", "verify", folder)[0] == 0


def test_verify_tells_each_check_and_fails_on_a_damaged_file(installed: Path, tmp_path: Path, ask) -> None:
    """Exit 0 only if all hold."""
    code, out, _ = ask("model", "verify", "tiny", "--json")
    found = json.loads(out)
    assert (code, found["ok"]) == (0, True)
    assert [check["name"] for check in found["checks"]][-1] == "parity"
    assert ask("model", "verify", "price_5d")[0] == 0
    (path,) = (tmp_path / "state").rglob("model.onnx")
    path.write_bytes(path.read_bytes()[:-1])
    code, out, err = ask("model", "verify", "tiny")
    assert code == 1
    assert "does not verify: digests" in err
    assert ask("sentiment", "Profit rose", "--model", "tiny")[0] == 1


def test_a_strangers_manifest_gets_nowhere_near_the_terminal(tmp_path: Path, ask) -> None:
    """What it says of itself is shown without what a terminal would obey."""
    evil = "\x1b]0;owned\x07\u202e\r\nBcc:"
    folder = write_model(tmp_path / "m", base=evil, honesty=evil, metrics={evil: {evil: 1.0}})
    assert ask("model", "import", folder, "--name", "evil")[0] == 0
    for command in (("list",), ("show", "evil"), ("verify", "evil")):
        code, out, err = ask("model", *command)
        assert code == 0
        assert not any(c in out + err for c in "\x1b\x07\u202e\r")


def test_a_refused_import_is_one_sentence(tmp_path: Path, ask) -> None:
    """And nothing is installed."""
    source = write_source(tmp_path / "bad", id2label={"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"})
    code, out, err = ask("model", "import", source)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "id2label" in err
    assert "tiny" not in ask("model", "list")[1]
    code, _, err = ask("model", "import", source, "--labels", "positive,negative,neutral", "--name", "tiny")
    assert (code, err) == (0, "")


def test_what_is_no_model_is_told_before_what_its_labels_are(tmp_path: Path, ask) -> None:
    """Of a folder without a model, or a file that is none, it is no use to say that labels are missing."""
    (tmp_path / "notes.txt").write_text("no model\n")
    code, _, err = ask("model", "import", tmp_path)
    assert (code, err.count("\n")) == (1, 1)
    assert f"{tmp_path} holds no .onnx and no model.safetensors" in err
    code, _, err = ask("model", "import", tmp_path / "notes.txt")
    assert (code, err.count("\n")) == (1, 1)
    assert "notes.txt" in err
    assert "id2label" not in err


def test_figures_are_tables_a_terminal_has_room_for(tmp_path: Path, ask) -> None:
    """One for each group of sets that were measured alike, longer side down; the same at import as when shown."""
    metrics = {"tweets": {"n": 3.0, "accuracy": 0.75}, "prose": {"n": 4.0, "accuracy": 0.5}, "int8": {"same": 1.0}}
    folder = write_model(tmp_path / "m", metrics=metrics)
    code, out, _ = ask("model", "import", folder, "--name", "measured")
    tables = """
measure   tweets  prose
--------  ------  -----
n              3      4
accuracy    0.75    0.5

measure  int8
-------  ----
same        1
"""
    assert code == 0
    assert tables in out
    assert tables in ask("model", "show", "measured")[1]
    assert max(len(line) for line in ask("model", "show", "sentiment")[1].partition("\nmeasure")[2].splitlines()) <= 90


def test_a_price_model_is_meant_by_its_version_too(ask) -> None:
    """As tradingctl and the list name it; it is not exported, and says so."""
    model = json.loads(ask("model", "show", "price_5d", "--json")[1])["model"]
    assert ask("model", "show", model) == ask("model", "show", "price_5d")
    assert ask("model", "verify", model)[0] == 0
    assert "no text model 'price_5d@0'" in ask("model", "show", "price_5d@0")[2]
    code, _, err = ask("model", "export", model, "out")
    assert (code, err.count("\n")) == (1, 1)
    assert "price_5d is a price model" in err


def test_an_exported_model_is_imported_elsewhere(installed: Path, tmp_path: Path, ask) -> None:
    """The folder is all that has to travel."""
    code, out, _ = ask("model", "export", "tiny", tmp_path / "out", "--json")
    assert code == 0
    assert str(tmp_path / "out" / "model.onnx") in json.loads(out)["files"]
    code, out, _ = ask("model", "import", tmp_path / "out", "--json", "--name", "again")
    assert code == 0
    assert (
        json.loads(out)["model"].partition("@")[2] == json.loads(ask("model", "show", "tiny", "--json")[1])["model"][5:]
    )


def test_an_older_version_is_taken_back_into_use(installed: Path, ask) -> None:
    """It never went away."""
    before = json.loads(ask("model", "show", "tiny", "--json")[1])["model"]
    assert ask("model", "import", installed, "--name", "tiny", "--fp32")[0] == 0
    after = json.loads(ask("model", "show", "tiny", "--json")[1])["model"]
    assert after != before
    assert ask("model", "use", before)[:2] == (0, f"tiny is now {before}\n")
    assert json.loads(ask("model", "show", "tiny", "--json")[1])["model"] == before
    assert answers(ask("sentiment", "Profit rose", "--model", after, "--json")[1])[0]["model"] == after
    for reference in ("tiny", "tiny@", "tiny@000000000000", "../tiny@000000000000", "price_5d"):
        code, _, err = ask("model", "use", reference)
        assert code == 1
        assert "there is no installed model" in err


def test_a_backup_names_the_models_it_leaves_out(installed: Path, tmp_path: Path, ask) -> None:
    """Only what lies in the state directory and is in use: what ships is in the package."""
    model = json.loads(ask("model", "show", "tiny", "--json")[1])["model"]
    assert ask("model", "import", installed, "--name", "tiny", "--fp32")[0] == 0
    assert ask("model", "use", model)[0] == 0
    assert backup._models(tmp_path / "state") == [model]
    assert backup._models(tmp_path / "elsewhere") == []
    assert "not in it" in ask("backup", "--help")[1]


def test_fetching_what_nobody_knows_or_where_nobody_should_is_refused(ask) -> None:
    """Before any connection."""
    code, _, err = ask("model", "fetch", "gpt")
    assert code == 1
    assert "known are: finbert" in err
    code, _, err = ask("model", "fetch", "finbert", "--hub", "http://example.invalid")
    assert code == 1
    assert "HTTPS" in err
    assert ask("model", "fetch")[0] == 2


def test_help_names_the_commands(ask) -> None:
    """What the contract lists and is built."""
    _, out, err = ask("model")
    for command in ("list", "show", "fetch", "import", "use", "export", "verify"):
        assert command in out + err
