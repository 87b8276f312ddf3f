"""Finding strategies, binding parameters, and the sentences for what does not work."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from actors.predictor import registry
from actors.predictor.registry import BUILT_IN, bind, describe, list_strategies, resolve
from daemon.kernel.errors import OperatorError

GOOD = '''
from __future__ import annotations
from typing import Annotated
from actors.api import Meta, Params, Signal, Window, strategy

class P(Params):
    """Parameters."""
    fast: Annotated[int, Meta(ge=2, le=60)] = 10
    slow: int = 30

@strategy(params=P, lookback=lambda p: p.slow)
def mine(w: Window, p: P) -> Signal | None:
    """Say nothing."""
    return None
'''


def write(folder, text, name="my.py"):
    """Write a strategy file."""
    path = folder / name
    path.write_text(text)
    return path


def refusal(function, *arguments, **named) -> str:
    """Return the one sentence of a refusal."""
    with pytest.raises(OperatorError) as caught:
        function(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_built_ins_are_listed_with_form_and_summary() -> None:
    """Every built-in has a documented one-line summary."""
    rows = {row.name: row for row in list_strategies()}
    assert set(BUILT_IN) <= set(rows)
    assert rows["momentum"].form == "panel"
    assert rows["price_model"].form == "model"
    assert all(rows[name].summary.endswith(".") and rows[name].origin == "built-in" for name in BUILT_IN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_description_tells_everything_without_running(name) -> None:
    """Schema with bounds, lookback and horizon of the defaults."""
    shown = describe(name)
    assert shown.name == name
    assert shown.lookback >= 1
    assert "$defs" in shown.params or shown.params.get("type") == "object"
    assert len(shown.doc) > 150


def test_bounds_are_in_the_schema() -> None:
    """What the optimiser searches is what the check enforces."""
    definition = next(iter(describe("momentum").params["$defs"].values()))
    assert definition["properties"]["lookback"]["minimum"] == 5
    assert definition["properties"]["lookback"]["maximum"] == 500


def test_a_strategy_in_a_file_is_found_relative_to_the_base(tmp_path) -> None:
    """With and without the function's name."""
    write(tmp_path, GOOD)
    for reference in ("my.py:mine", "my.py"):
        binding = bind(reference, '{"fast": 5}', base=tmp_path)
        assert (binding.name, binding.params.fast, binding.params.slow) == ("mine", 5, 30)
        assert binding.origin == str(tmp_path / "my.py")
    assert bind(str(tmp_path / "my.py"), alias="other").name == "other"


def test_an_edited_file_is_seen(tmp_path) -> None:
    """Each resolution reads the file anew."""
    path = write(tmp_path, GOOD)
    assert resolve(f"{path}:mine")[0].rows(bind(f"{path}:mine").params) == 30
    write(tmp_path, GOOD.replace("slow: int = 30", "slow: int = 40"))
    assert bind(f"{path}:mine").params.slow == 40


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ('{"fast": 61}', "strategy mine: Expected `int` <= 60 - at `$.fast`"),
        ({"fast": 1}, "strategy mine: Expected `int` >= 2 - at `$.fast`"),
        ({"fast": "ten"}, "strategy mine: Expected `int`, got `str` - at `$.fast`"),
        ({"fst": 10}, "unknown field `fst`"),
        ('{"fast": }', "the parameters of strategy mine are no JSON"),
        ("[1, 2]", "strategy mine: Expected `object`, got `array`"),
        ({"slow": 0}, "lookback must be a whole number from 1"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(tmp_path, params, match) -> None:
    """One sentence with strategy and field."""
    write(tmp_path, GOOD)
    assert match in refusal(bind, "my.py:mine", params, base=tmp_path)


def test_an_unknown_parameter_lists_the_known_ones(tmp_path) -> None:
    """Misspelling is the most common mistake."""
    write(tmp_path, GOOD)
    assert "its parameters are: fast, slow" in refusal(bind, "my.py:mine", {"fst": 1}, base=tmp_path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("def f(:\n", "my.py:1: SyntaxError: "),
        ("\nimport no_such_thing\n", "my.py:2: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("x = 1\ny = x / 0\n", "my.py:2: ZeroDivisionError: division by zero"),
        ("def f():\n    raise RuntimeError('no')\nf()\n", "my.py:2: RuntimeError: no"),
        ("x = 1\n", "has no strategy in it"),
        (GOOD.replace("(params=P", "(api=9, params=P"), "my.py:11: strategy mine was written for API 9"),
        (
            GOOD + GOOD.partition("class P")[2].join(["class P", ""]).replace("def mine", "def yours"),
            "several strategies",
        ),
        ("\0", "my.py"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(tmp_path, text, match) -> None:
    """File, line and kind, whatever the author's mistake is."""
    write(tmp_path, text)
    assert match in refusal(bind, "my.py", base=tmp_path)


def test_a_missing_file_or_function_says_what_is_there(tmp_path) -> None:
    """Names of what could have been meant."""
    write(tmp_path, GOOD + "\ndef helper(w, p): ...\n")
    assert "there is no strategy file" in refusal(bind, "your.py:mine", base=tmp_path)
    assert "'nine' is not there; strategies there: mine" in refusal(bind, "my.py:nine", base=tmp_path)
    assert "'helper' is not decorated with @strategy" in refusal(bind, "my.py:helper", base=tmp_path)


def test_a_misspelt_name_gets_a_suggestion() -> None:
    """Or the list."""
    assert "did you mean 'momentum'?" in refusal(bind, "momentun")
    assert "known are buy_and_hold, " in refusal(bind, "xyzzy")


def test_installed_strategies_come_from_entry_points(tmp_path, monkeypatch) -> None:
    """The entry point's name is the strategy's; a broken one is listed with the reason and hurts nobody else."""
    write(tmp_path, GOOD, "installed_strategy_for_test.py")
    write(tmp_path, "import nothing_like_it\n", "broken_strategy_for_test.py")
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        EntryPoint("theirs", "installed_strategy_for_test:mine", registry.GROUP),
        EntryPoint("wrong", "installed_strategy_for_test:P", registry.GROUP),
        EntryPoint("broken", "broken_strategy_for_test:f", registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.GROUP else [])
    binding = bind("theirs", {"fast": 3})
    assert (binding.name, binding.params.fast) == ("theirs", 3)
    assert binding.origin == "entry point installed_strategy_for_test:mine"
    rows = {row.name: row for row in list_strategies()}
    assert rows["theirs"].summary == "Say nothing."
    assert "nothing_like_it" in rows["broken"].summary
    assert "is no strategy" in refusal(bind, "wrong")


def test_importing_the_actor_stays_light() -> None:
    """No frames, models or calendars at import: msgspec and numpy only."""
    heavy = [
        "onnxruntime",
        "pandas",
        "polars",
        "sklearn",
        "skfolio",
        "scipy",
        "matplotlib",
        "exchange_calendars",
        "ray",
    ]
    imports = "import sys, actors.predictor.actor, actors.predictor.registry"
    code = f"{imports}; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
