"""``tradingd sentiment``: what a model makes of texts."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer

from daemon.cli.options import AsJson, ConfigFile, Sets
from daemon.cli.render import counting, note, one_line, say, table
from daemon.kernel.errors import OperatorError, UsageError

if TYPE_CHECKING:
    from actors.predictor.text.lexicon import Lexicon
    from actors.predictor.text.model import TextModel

EXAMPLE: Final = """\b
Example: tradingd sentiment "Shares plunge after the profit warning" "The meeting is on Tuesday"
         tradingd sentiment --file headlines.txt --json | jq .label"""
SHOWN: Final = 100
LINE_MAX: Final = 1 << 20
"""Bytes of a line that are read: more than any model looks at."""


def sentiment(
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="Texts; default: lines of stdin.", show_default=False),
    ] = None,
    *,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="Texts, one a line, UTF-8; - is stdin.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A name from tradingd model list, NAME@VERSION, a model folder (with a slash), or lexicon.",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Say how negative, neutral or positive texts are, one line a text; no network, no account.

    Without --model it is the model that ships, or, where none is there, a list of words, which says so in "model". A
    text a model cannot judge (empty, other scripts) gets no label.
    """
    if texts and file is not None:
        message = "texts come from the command line or from --file, not from both"
        raise UsageError(message, code="SENTIMENT", remedy="leave one of them out")
    lines: Iterable[str]
    if texts:
        lines = texts
    elif file is not None and str(file) != "-":
        lines = _lines_of(file)
    elif sys.stdin is not None and (file is not None or not sys.stdin.isatty()):
        lines = _lines_in(sys.stdin.buffer)
    else:
        message = "there is no text"
        raise UsageError(message, code="SENTIMENT", remedy='say one: tradingd sentiment "Profit rose sharply"')
    asked = open_model(model, config, sets)
    if as_json:
        from actors.values.plain import without_exponents

        for answer in _answers(asked, lines):
            say(without_exponents(json.dumps(answer, ensure_ascii=False, allow_nan=False)))
            sys.stdout.flush()
        return
    rows = []
    with counting("judged") as count:
        for answer in _answers(asked, lines):
            rows.append(_cells(answer))
            count("texts", len(rows))
    say(table(["tone", "negative", "neutral", "positive", "text"], rows, right=["negative", "neutral", "positive"]))
    note(f"by {asked.model_id}")


def open_model(reference: str | None, config: Path | None, sets: list[str] | None) -> TextModel | Lexicon:
    """Return the model a person means; without a name the one that ships, or else the list of words with a note."""
    from actors.predictor.text.lexicon import NAME, Lexicon
    from actors.predictor.text.model import load_text_model
    from actors.predictor.text.store import DEFAULT, ModelStore
    from actors.predictor.text.trial import try_model
    from config.sources import load_settings

    if reference == NAME:
        return Lexicon()
    loaded = load_settings(file=config, profile=None, sets=sets or (), environ=os.environ)
    store = ModelStore(loaded.settings.paths.state_dir.expanduser())
    if reference is None and not store.has(DEFAULT):
        lexicon = Lexicon()
        note(f"no model is installed: judged by {lexicon.model_id}, a list of words; tradingd model fetch finbert")
        return lexicon
    folder = store.find(reference or DEFAULT)
    if not store.holds(folder):
        try_model(folder, judge=False)  # nobody has: what was imported was tried then
    return load_text_model(folder)


def _lines_of(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            yield from _lines_in(file)
    except OSError as error:
        message = f"--file {path} cannot be read: {error.strerror}"
        raise OperatorError(message, code="SENTIMENT", remedy="name a text file with one text a line") from None


def _lines_in(file: BinaryIO) -> Iterator[str]:
    """Yield lines as they come; of one without end the beginning."""
    while line := file.readline(LINE_MAX):
        yield _decoded(line)
        while len(line) == LINE_MAX and not line.endswith(b"\n"):
            line = file.readline(LINE_MAX)


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r\n")


def _answers(model: TextModel | Lexicon, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield one answer a text, in order; a text nobody can judge has neither label nor probabilities."""
    from actors.predictor.text.manifest import LABELS

    for text in lines:  # one by one: the answer to a line of a pipe does not wait for the next
        row = model.score([text])[0].tolist()
        judged = not math.isnan(row[0])
        yield {
            "schema": "tradingd.sentiment/1",
            "text": text.encode("utf-8", "replace").decode("utf-8"),
            "label": LABELS[row.index(max(row))] if judged else None,
            "p": dict(zip(LABELS, row, strict=True)) if judged else None,
            "model": model.model_id,
        }


def _cells(answer: dict[str, Any]) -> list[str]:
    text = one_line(answer["text"])
    shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
    if answer["p"] is None:
        return ["-", "", "", "", shown]
    return [answer["label"], *(f"{p:.3f}" for p in answer["p"].values()), shown]
