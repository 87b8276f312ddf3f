"""The ten checks pass what is sound and name what is not; the scaffold passes them."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from actors.api import PanelWindow, Params, Scores, Signal, Struct, Window, spec_of, strategy
from actors.predictor.check import check_strategy
from actors.predictor.registry import BUILT_IN
from actors.predictor.scaffold import new_strategy
from daemon.kernel.errors import OperatorError, UsageError

NAMES = (
    "signature and parameters",
    "deterministic",
    "order of symbols does not matter",
    "no files, processes, sockets or sleep",
    "inputs are left alone",
    "answers are within bounds",
    "gaps and short windows",
    "latency",
    "the future does not matter",
    "same answer through the rings",
)
DETERMINISTIC, ORDER, NO_IO, READ_ONLY, BOUNDS, GAPS, LATENCY, CAUSAL, RINGS = NAMES[1:]


def failed(function, **options) -> list[str]:
    """Return the names of the checks a decorated function fails."""
    return [r.name for r in check_strategy(spec_of(function), **options) if not r.ok]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_passes_all_ten(name) -> None:
    """In order, with something to say for each."""
    results = check_strategy(name)
    assert tuple(r.name for r in results) == NAMES
    assert [r for r in results if not r.ok] == []
    assert all(r.detail for r in results)


class Count(Struct):
    """State."""

    n: int = 0


def test_a_sound_fold_passes() -> None:
    """State is no memory in the sense of the checks."""

    @strategy(lookback=2)
    def s(state: Count, w: Window, p: Params) -> tuple[Count, Signal]:
        return Count(state.n + 1), Signal(1 / (state.n + 2))

    assert failed(s) == []


counter = [0]


def test_memory_between_calls_is_found() -> None:
    """A module's variable makes a replay differ from the run."""

    @strategy()
    def s(w: Window, p: Params) -> Signal:
        counter[0] += 1
        return Signal((counter[0] % 7) / 10)

    assert DETERMINISTIC in failed(s)


def test_randomness_is_found() -> None:
    """Nothing may be drawn."""

    @strategy()
    def s(w: Window, p: Params) -> Signal:
        return Signal(random.random())  # noqa: S311 - the point of the test

    assert DETERMINISTIC in failed(s)


def test_dependence_on_the_order_of_symbols_is_found() -> None:
    """The first column is nobody in particular."""

    @strategy()
    def s(w: PanelWindow, p: Params) -> Scores:
        return Scores(np.linspace(-1, 1, w.close.shape[1]))

    assert failed(s) == [ORDER]


@pytest.mark.parametrize(
    "act",
    [
        lambda: Path(__file__).read_bytes(),
        lambda: time.sleep(3),
        lambda: socket.socket().close(),
        lambda: subprocess.run([sys.executable, "-c", ""], check=False),
    ],
    ids=["file", "sleep", "socket", "process"],
)
def test_contact_with_the_outside_is_found(act) -> None:
    """What a decision needs must be in its window."""
    assert failed(noisy(act)) == [NO_IO]


def noisy(act):
    """Return a strategy that acts while the I/O check listens, and only then, so that the others stay fast."""
    from actors.predictor import check  # noqa: PLC0415 - looks at whether the check listens

    @strategy(lookback=1)
    def s(w: Window, p: Params) -> Signal:
        if check._recording and w.symbol == "AAA" and not check._recording[-1]:
            act()
        return Signal(0.5)

    return s


hoard: list[object] = []


@pytest.mark.parametrize("keep", [lambda w: w.close, lambda w: w.close[-2:], lambda w: w])
def test_keeping_a_view_is_found(keep) -> None:
    """Views change under those who keep them."""

    @strategy(lookback=3)
    def s(w: Window, p: Params) -> Signal:
        hoard.append(keep(w))
        return Signal(0.5)

    try:
        assert READ_ONLY in failed(s)
    finally:
        hoard.clear()


def test_writing_into_the_window_is_found() -> None:
    """It also fails when run."""

    @strategy(lookback=3)
    def s(w: PanelWindow, p: Params) -> Scores:
        w.close[np.isnan(w.close)] = 0.0
        return Scores(np.zeros(w.close.shape[1]))

    assert READ_ONLY in failed(s)


def test_reaching_for_more_than_the_lookback_through_base_is_found() -> None:
    """The ring behind the view holds older rows."""

    @strategy(lookback=4)
    def s(w: PanelWindow, p: Params) -> Scores:
        everything = w.close
        while isinstance(everything.base, np.ndarray):
            everything = everything.base
        past = np.nanmean(everything[:, 0])
        return Scores(np.full(w.close.shape[1], np.tanh(past / 100 - 1)))

    assert CAUSAL in failed(s) or RINGS in failed(s)


def test_answers_out_of_bounds_are_found_with_file_and_line() -> None:
    """The detail is the sentence of the failure."""

    @strategy()
    def s(w: Window, p: Params) -> Signal:
        return Signal(2.0)

    result = next(r for r in check_strategy(spec_of(s)) if r.name == BOUNDS)
    assert not result.ok
    assert __file__ in result.detail


def test_a_strategy_that_never_answers_is_found() -> None:
    """Most often its lookback is shorter than what it waits for."""

    @strategy(lookback=5)
    def s(w: Window, p: Params) -> Signal | None:
        return Signal(0.5) if len(w) > 5 else None

    assert failed(s) == [BOUNDS]


def test_short_windows_are_tried() -> None:
    """The first bar of a run is a window of one."""

    @strategy(lookback=5)
    def s(w: Window, p: Params) -> Signal:
        return Signal(float(np.tanh(w.close[-5])))

    assert GAPS in failed(s)


def test_a_budget_that_is_not_met_is_found() -> None:
    """Judged by the middle call."""

    @strategy(budget_ms=1e-4)
    def s(w: Window, p: Params) -> Signal:
        return Signal(0.5)

    assert failed(s) == [LATENCY]


def test_bad_parameters_end_the_checks_early() -> None:
    """There is nothing to run."""
    (result,) = check_strategy("momentum", {"lookback": 1})
    assert not result.ok
    assert "$.lookback" in result.detail


def test_a_new_strategy_passes_the_checks_and_its_own_test(tmp_path) -> None:
    """Three files; the test file runs as it is."""
    paths = new_strategy("my_idea", tmp_path)
    assert [p.name for p in paths] == ["my_idea.py", "test_my_idea.py", "my_idea.params.json"]
    results = check_strategy(f"{paths[0]}:my_idea", paths[2].read_text())
    assert [r for r in results if not r.ok] == []
    names: dict[str, object] = {"__file__": str(paths[1]), "__name__": "test_my_idea"}
    exec(compile(paths[1].read_text(), str(paths[1]), "exec"), names)  # noqa: S102 - what was just written
    names["test_passes_the_ten_checks"]()  # type: ignore[operator]


def test_nothing_is_overwritten(tmp_path) -> None:
    """Not even one of the three."""
    (tmp_path / "test_idea.py").write_text("precious")
    with pytest.raises(OperatorError, match=r"test_idea\.py is there already"):
        new_strategy("idea", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["test_idea.py"]


@pytest.mark.parametrize("name", ["my-idea", "class", "1st", "Idea", ""])
def test_a_name_that_python_does_not_know_is_refused(tmp_path, name) -> None:
    """The file is imported as a module."""
    with pytest.raises(UsageError, match="cannot be a strategy's name"):
        new_strategy(name, tmp_path)
