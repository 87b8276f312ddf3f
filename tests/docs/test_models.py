"""The page on text models says what is so."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from actors.predictor.text import checks, cleaning, lexicon, parity, trial
from actors.predictor.text.labels import PROBES
from actors.predictor.text.manifest import LABELS
from actors.predictor.text.model import load_text_model
from actors.predictor.text.store import ModelStore
from daemon.cli.tradingd import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "ops" / "models.md").read_text("utf-8")
CODE = re.compile(r'"((?:MODEL|HUB|BAD|NO)_[A-Z_]+|HUB|TOKENIZER|EXISTS)"')


def test_every_refusal_is_in_the_table_and_no_other() -> None:
    """Codes are what scripts hold on to."""
    raised = {
        code
        for path in sorted((ROOT / "actors" / "predictor" / "text").glob("*.py"))
        for code in CODE.findall(path.read_text("utf-8"))
    }
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, flags=re.MULTILINE))
    assert raised - told == {"EXISTS"}  # of export, which is no refusal of a model
    assert told <= raised


def test_the_numbers_on_the_page_are_those_of_the_program() -> None:
    """Limits."""
    assert f"more than {checks.SIZES_MAX['model.onnx'] // checks.MIB} MiB" in PAGE
    assert f"a tokenizer of more than {checks.SIZES_MAX['tokenizer.json'] // checks.MIB};" in PAGE
    assert f"{checks.ELEMENTS_MAX // 1_000_000} million elements" in PAGE
    assert f"opset {checks.OPSETS[0]} to {checks.OPSETS[1]}" in PAGE
    assert f"first {cleaning.RAW_MAX:,} characters" in PAGE
    assert f"less than {parity.SAME_MIN:.0%} of the labels".replace("%", " %") in PAGE
    assert f"more than {parity.DIFFERENCE_MAX} on average" in PAGE
    assert f"more than {trial.MEMORY_MAX // 1024**3} GiB of memory, or {trial.CPU_S} seconds" in PAGE
    assert sum(len(texts) for texts in PROBES.values()) == 18
    assert 180 < len(lexicon._STEMS.split()) < 220


def test_the_line_on_the_page_is_what_is_printed() -> None:
    """Word for word; the last digits are the processor's."""
    told = json.loads(next(line for line in PAGE.splitlines() if line.startswith("{")))
    model = load_text_model(ModelStore(ROOT / "nowhere").find("sentiment"))
    row = model.score([told["text"]])[0].tolist()
    assert (told["schema"], told["model"]) == ("tradingd.sentiment/1", model.model_id)
    assert told["label"] == LABELS[row.index(max(row))]
    assert list(told["p"]) == list(LABELS)
    assert list(told["p"].values()) == pytest.approx(row, abs=0.002)


def command_lines() -> list[str]:
    """Every line of the shell blocks, without what stands behind it."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("line", command_lines())
def test_every_command_on_the_page_parses(line: str) -> None:
    """Names and options of each are those of the program."""
    arguments = shlex.split(line)
    assert arguments.pop(0) == "tradingd"
    command = typer.main.get_command(app)
    context = command.make_context("tradingd", arguments, resilient_parsing=True)
    while hasattr(command, "commands"):
        name = arguments.pop(0)
        command = command.commands[name]
        context = typer.Context(command, info_name=name, parent=context)
    assert command.make_context(command.name, arguments) is not None
