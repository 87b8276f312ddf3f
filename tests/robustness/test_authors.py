"""Strategy files as authors write them at their worst."""

from __future__ import annotations

import json

import pytest

from tests.robustness.cases import Desk

IMPORTS = """
import sys
from typing import Annotated
from actors.api import Meta, PanelWindow, Params, Scores, Signal, strategy

"""


def author(desk: Desk, body: str, *, decorator: str = "@strategy(lookback=5)", form: str = "def mine(w, p):") -> None:
    """Write s.py with one strategy."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    desk.write("s.py", f"{IMPORTS}{decorator}\n{form}\n{lines}")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import sys\nsys.exit(3)\n", "s.py:2: SystemExit: 3"),
        ("class Odd(BaseException): pass\nraise Odd('q')\n", "s.py:2: Odd: q"),
        ("raise KeyboardInterrupt\n", "s.py:1: KeyboardInterrupt"),
        ("x = 1\0", "SyntaxError"),
    ],
)
def test_a_file_that_ends_its_own_import_is_refused(desk: Desk, source: str, says: str) -> None:
    """Whatever it raises, the exit code and the sentence are ours."""
    desk.write("s.py", source)
    assert says in desk.refused(1, "--strategy", "s.py")


@pytest.mark.parametrize(
    ("decorator", "form", "says"),
    [
        ("@strategy(name=5)", "def mine(w, p):", "5 cannot be a strategy's name"),
        ("@strategy(name='')", "def mine(w, p):", "'' cannot be a strategy's name"),
        ("@strategy(name='a,b')", "def mine(w, p):", "'a,b' cannot be a strategy's name"),
        ("@strategy(name='<i>')", "def mine(w, p):", "'<i>' cannot be a strategy's name"),
        ("@strategy(bar=5)", "def mine(w, p):", "bar must be text such as '5m' or '1d', not 5"),
        ("@strategy(horizon=1.5)", "def mine(w, p):", "horizon must be text"),
        ("@strategy(fields='close')", "def mine(w, p):", "fields must be a tuple such as ('close',)"),
        (
            "@strategy(lookback=lambda p: 1 / 0)",
            "def mine(w, p):",
            "its lookback cannot be computed: ZeroDivisionError",
        ),
        ("@strategy()", "async def mine(w, p):", "is a coroutine or generator"),
    ],
)
def test_nonsense_in_the_decorator_is_refused_with_its_line(desk: Desk, decorator: str, form: str, says: str) -> None:
    """Before any bar is read by it."""
    author(desk, "return Signal(0.5)", decorator=decorator, form=form)
    sentence = desk.refused(1, "--strategy", "s.py")
    assert "s.py:6: " in sentence
    assert says in sentence


def test_a_generator_is_no_strategy(desk: Desk) -> None:
    """It would never run."""
    author(desk, "yield Signal(0.5)")
    assert "is a coroutine or generator" in desk.refused(1, "--strategy", "s.py")


def test_defaults_outside_their_own_bounds_are_refused(desk: Desk) -> None:
    """Nobody could write them down and get the same run."""
    params = "class P(Params):\n    fast: Annotated[int, Meta(ge=2, le=60)] = 100\n"
    author(desk, "return None", decorator=f"{params}@strategy(params=P)")
    assert "the defaults of its parameters do not hold: Expected `int` <= 60" in desk.refused(1, "--strategy", "s.py")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("raise ValueError('a\\nb\\0<script>')", "raised ValueError"),
        ("sys.exit(0)", "raised SystemExit"),
        ("raise KeyboardInterrupt", "raised KeyboardInterrupt"),
        ("class Odd(BaseException): pass\nraise Odd", "raised Odd"),
        ("raise GeneratorExit", "raised GeneratorExit"),
        ("def deep(n): return deep(n + 1)\nreturn deep(0)", "raised RecursionError"),
        ("return Signal(0.5, reason='\\ud800')", "reason_not_text"),
        ("w.close[0] = 1", "raised ValueError"),
        ("w.close.flags.writeable = True", "raised ValueError"),
        ("return (1, 2)", "not_a_signal"),
        ("return Signal(float('nan'))", "score_not_finite"),
    ],
)
def test_a_strategy_that_fails_ends_the_run_in_one_sentence_or_is_left_out_on_request(
    desk: Desk, body: str, error: str
) -> None:
    """Three failures in a row: file and line, no folder; or, when asked for, a complete run without it."""
    author(desk, body)
    sentence = desk.refused(1, "--strategy", "s.py")
    assert "s.py:" in sentence
    assert error in sentence
    assert not (desk.folder / "run").exists()
    code, _, _ = desk.replay("--strategy", "s.py", "--set", "predictor.on_failure=disable")
    assert code == 0
    notices = json.loads((desk.folder / "run" / "run.json").read_text())["notices"]
    assert any("s.py:" in notice and error in notice for notice in notices)
    assert any(row["key"] == "strategy_disabled:mine" for row in desk.rows("alerts.csv"))
    assert desk.run("verify", "run")[0] == 0


def test_what_a_strategy_prints_does_not_get_into_the_json(desk: Desk) -> None:
    """Standard output is the document and nothing else."""
    author(desk, "print('hello')\nreturn None", decorator="print('import')\n@strategy()")
    code, out, err = desk.replay("--strategy", "s.py", "--json")
    assert code == 0
    assert json.loads(out)["schema"] == "tradingd.metrics/1"
    assert err.startswith("import\nhello")


def test_markup_in_reasons_stays_text(desk: Desk) -> None:
    """The page shows it, no browser runs it."""
    author(desk, "return Signal(1.0, reason='</script><script>alert(1)</script>')")
    run = desk.folder / "run"
    code, _, _ = desk.replay("--strategy", "s.py")
    assert code == 0
    assert "<script>alert(1)" in desk.rows("signals.csv")[0]["reason"]
    assert "<script>alert(1)" not in (run / "report.html").read_text()


@pytest.mark.parametrize("command", ["check", "show"])
def test_what_a_strategy_prints_does_not_get_into_the_json_of_other_commands(desk: Desk, command: str) -> None:
    """Nor into tables that somebody greps."""
    author(desk, "print('hello')\nreturn Signal(0.5)", decorator="print('import')\n@strategy()")
    _, out, err = desk.run("strategy", command, "s.py", "--json")
    assert json.loads(out)["schema"].startswith("tradingd.strategy")
    assert "import" in err
