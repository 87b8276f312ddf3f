"""``tradingd verify`` on damaged folders: every change is found, none of them stops it."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from config.sources import load_settings
from daemon.kernel.errors import OperatorError
from daemon.system.options import ReplayOptions
from daemon.system.replay import run_replay
from daemon.system.verify import verify_path
from tests.robustness.cases import bars


def play(folder: Path, name: str, strategy: str) -> Path:
    """Run over the folder's bars."""
    flags = {("predictor", "strategies"): ([strategy], "test")}
    settings = load_settings(file=None, profile="plan", sets=(), environ={}, flags=flags).settings
    run_replay(ReplayOptions(out=folder / name, bars=(folder / "bars.csv",), events=True), settings)
    return folder / name


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two runs over the same bars, which nobody may change."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "bars.csv").write_text(bars(8))
    return play(folder, "one", "buy_and_hold"), play(folder, "two", "mean_reversion")


@pytest.fixture
def copy(runs: tuple[Path, Path], tmp_path: Path) -> Path:
    """Return a copy of a run to damage."""
    return Path(shutil.copytree(runs[0], tmp_path / "run"))


def names(folder: Path) -> list[str]:
    """Return the files of a run."""
    return sorted(p.name for p in folder.iterdir())


def found(folder: Path) -> bool:
    """Whether verify finds something wrong; it must not raise."""
    return not verify_path(folder).ok


def test_the_copy_is_sound(copy: Path) -> None:
    """What follows would prove nothing otherwise."""
    assert verify_path(copy).ok


@pytest.mark.parametrize("damage", ["gone", "empty", "noise", "half", "longer", "folder", "device", "pipe", "other"])
def test_every_file_is_missed_or_recognised(copy: Path, runs: tuple[Path, Path], damage: str) -> None:
    """One file at a time, in every way a file can be wrong; a pipe or a device does not hang it."""
    for name in names(copy):
        path = copy / name
        content = path.read_bytes()
        foreign = (runs[1] / name).read_bytes()
        if damage == "other" and foreign == content:
            continue
        path.unlink()
        match damage:
            case "empty":
                path.touch()
            case "noise":
                path.write_bytes(bytes(range(256)) * 12)
            case "half":
                path.write_bytes(content[: len(content) // 2])
            case "longer":
                path.write_bytes(content + b"\n")
            case "folder":
                path.mkdir()
            case "device":
                path.symlink_to("/dev/zero")
            case "pipe":
                os.mkfifo(path)
            case "other":
                path.write_bytes(foreign)
        assert found(copy), name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(content)
    assert verify_path(copy).ok


def flip(folder: Path, chance: random.Random, name: str) -> int:
    """Flip one bit of a file; return where."""
    path = folder / name
    content = bytearray(path.read_bytes())
    at = chance.randrange(len(content))
    content[at] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return at


@pytest.mark.parametrize("count", [5, pytest.param(200, marks=pytest.mark.long)])
def test_no_flipped_bit_goes_unseen(copy: Path, count: int) -> None:
    """In any file of the folder, run.json itself included: it is sealed by its own digest."""
    chance = random.Random(1)  # noqa: S311 - no secret
    for name in names(copy):
        content = (copy / name).read_bytes()
        for _ in range(count):
            at = flip(copy, chance, name)
            assert found(copy), f"{name} at {at}"
            (copy / name).write_bytes(content)


@pytest.mark.parametrize("count", [40, pytest.param(500, marks=pytest.mark.long)])
def test_no_flipped_bit_of_a_ledger_alone_stops_verify(copy: Path, count: int) -> None:
    """Some lie in space SQLite does not use; none may end in anything but a report or a sentence."""
    chance = random.Random(2)  # noqa: S311 - no secret
    ledger = copy / "ledger.db"
    content = ledger.read_bytes()
    for _ in range(count):
        flip(copy, chance, "ledger.db")
        try:
            verify_path(ledger)
        except OperatorError:
            assert ledger.exists()  # it is no longer recognised as one, which is an answer too
        ledger.write_bytes(content)


VALUES = (None, 5, -1, "x", b"\xff", b"null", b"{}", 1.5, 2**62)
RUN_COLUMNS = (
    "run_id",
    "version",
    "mode",
    "seed",
    "config_digest",
    "manifest",
    "status",
    "event_digest",
    "frames",
    "chain",
)
FRAME_COLUMNS = ("ts", "ts_event", "source", "input", "n", "body", "causes", "hash", "seq")


@pytest.mark.parametrize(
    ("table", "column"), [*(("run", c) for c in RUN_COLUMNS), *(("frame", c) for c in FRAME_COLUMNS)]
)
def test_no_row_of_the_ledger_can_say_anything_else(copy: Path, table: str, column: str) -> None:
    """Any column of the run row or of a frame, with values of every type; the ledger is judged alone."""
    ledger = copy / "ledger.db"
    content = ledger.read_bytes()
    where = "" if table == "run" else " WHERE seq = 9"
    for value in VALUES:
        with closing(sqlite3.connect(ledger)) as db:
            dump = list(db.iterdump())
            try:
                db.execute(f"UPDATE {table} SET {column} = ?{where}", (value,))  # noqa: S608 - constants
                db.commit()
            except sqlite3.Error:
                continue  # the schema does not take it
            changed = list(db.iterdump()) != dump
        assert changed == found(ledger), (column, value)
        ledger.write_bytes(content)


def test_a_manifest_of_any_shape_is_a_finding(copy: Path) -> None:
    """Keys with values of every type, and documents that are none."""
    path = copy / "run.json"
    good = json.loads(path.read_text())
    values = (None, 5, -1.5, "x", [], {}, [1], True, {"a": {"b": 1}})
    documents = [{**good, key: value} for key in good for value in values if good[key] != value]
    documents += [{k: v for k, v in good.items() if k != key} for key in good]
    documents += [{"files": {"../x": "a"}}, {"files": {"": "a"}}, {"files": {"ledger.db": 5}}]
    texts = [json.dumps(document) for document in documents]
    texts += ["null", "[]", "5", '"x"', "{}", "[" * 100_000, '{"files":{"a\\u0000b":"x"}}', '{"files":{"\\ud800":"x"}}']
    for text in texts:
        path.write_text(text)
        assert found(copy), text[:200]
