"""What holds of every run, whatever is traded on whatever market: random programs through the whole program, audited.

No trade through a limit, no fill beyond quantity, participation or what is displayed or printed; cash and postings
conserve; lots agree with average cost; nothing leaves a terminal state; exits never exceed their entry; the same run
twice has the same digest, and one that is interrupted anywhere ends like one that is not.
"""

from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from oracle.audit import audit, check_participation, check_tape
from oracle.programs import CASH, HELD, Author, World, bars_file, opening, text, write_ticks
from oracle.sheet import Run, play
from oracle.tape import FREE, play_tape

SOME = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a seed does not shrink
)
SEEDS = st.integers(0, 10**9)
COSTS = {
    "frictionless": (),
    "plan": ("broker.participation=0.1",),
    "ibkr": ("broker.regulatory_fees=true",),
}
SHORT = ("broker.allow_short=true", "broker.account=margin", "risk.cash_reserve=0")


def rng_of(seed: int) -> random.Random:
    """Return a generator that repeats."""
    return random.Random(seed)  # noqa: S311


def of_bars(
    folder: Path, seed: int, profile: str, sets: tuple[str, ...], *, daily: bool, volumes: bool, wild: bool = False
) -> tuple[World, Run]:
    """Play a program on bars; a wild one begins with little, so that it often goes short."""
    world = Author(rng_of(seed), daily=daily, volumes=volumes, wild=wild).write()
    script = [opening(15 if wild else HELD), *(line for _, line, _ in world.commands)]
    wide = [*FREE[1:-1], f"portfolio.cash={CASH}"]
    return world, play(folder, bars_file(world), script, profile, [*wide, *sets], events=True)


@SOME
@given(seed=SEEDS, profile=st.sampled_from(sorted(COSTS)), daily=st.booleans())
def test_runs_on_bars_are_sound(tmp_path_factory: pytest.TempPathFactory, seed: int, profile: str, daily: bool) -> None:
    """With and without costs, with volumes that bound what fills."""
    folder = tmp_path_factory.mktemp("bars")
    share = Decimal("0.1")
    sets = (*COSTS[profile], f"broker.participation={share}")
    world, run = of_bars(folder, seed, profile, sets, daily=daily, volumes=True)
    audit(run)
    budgets = {text(bar.end)[:19]: int((bar.volume or 0) * share) for bar in world.bars}
    first = run.table("fills")[0]
    budgets.setdefault(first["ts"][:19], int(first["qty"]))
    check_participation(run, budgets)


@SOME
@given(seed=SEEDS, profile=st.sampled_from(sorted(COSTS)), daily=st.booleans(), volumes=st.booleans())
def test_wild_runs_are_sound(
    tmp_path_factory: pytest.TempPathFactory, seed: int, profile: str, daily: bool, volumes: bool
) -> None:
    """Flips on margin, brackets of every kind whose fills are partial, exits that are cancelled or replaced, halts."""
    folder = tmp_path_factory.mktemp("wild")
    sets = (*COSTS[profile], f"broker.participation={'0.1' if volumes else '0'}", *SHORT)
    _, run = of_bars(folder, seed, profile, sets, daily=daily, volumes=volumes, wild=True)
    audit(run)


@SOME
@given(seed=SEEDS, profile=st.sampled_from(sorted(COSTS)), quoted=st.booleans(), printed=st.booleans())
def test_runs_on_ticks_are_sound(
    tmp_path_factory: pytest.TempPathFactory, seed: int, profile: str, quoted: bool, printed: bool
) -> None:
    """On quotes, on prints, on both; with latency half of the time."""
    folder = tmp_path_factory.mktemp("ticks")
    program = write_ticks(rng_of(seed), with_quotes=quoted, with_prints=printed or not quoted)
    sets = [*COSTS[profile], f"broker.latency_ms={seed % 2 * 3000}", *SHORT]
    run = play_tape(folder, program.rows, program.script, profile, sets, events=True)
    audit(run)
    share = {"frictionless": None}.get(profile, Decimal("0.1"))
    check_tape(run, folder, share)


@SOME
@given(seed=SEEDS, daily=st.booleans())
def test_the_same_run_twice_is_the_same(tmp_path_factory: pytest.TempPathFactory, seed: int, daily: bool) -> None:
    """Event digest and tables, to the last byte."""
    runs = [of_bars(tmp_path_factory.mktemp("twice"), seed, "plan", (), daily=daily, volumes=True)[1] for _ in range(2)]
    assert digest(runs[0]) == digest(runs[1])
    for name in ("orders", "fills", "equity", "positions", "trades"):
        first, second = ((run.folder / f"{name}.csv").read_bytes() for run in runs)
        assert first == second


def digest(run: Run) -> Any:
    """Return a run's event digest."""
    return json.loads((run.folder / "run.json").read_text())["event_digest"]


def test_the_auditor_sees_what_is_wrong(tmp_path: Path) -> None:
    """A size shown in a quote that was smaller, or a print that was, is found out."""
    program = write_ticks(rng_of(3), with_quotes=True, with_prints=False)
    run = play_tape(tmp_path, program.rows, program.script, events=True)
    check_tape(run, tmp_path)
    quotes = tmp_path / "quotes.csv"
    header, *rows = quotes.read_text().splitlines()
    thin = [",".join([*row.split(",")[:3], "1", row.split(",")[4], "1"]) for row in rows]
    quotes.write_text("\n".join([header, *thin]))
    with pytest.raises(AssertionError):
        check_tape(run, tmp_path)
