"""Random bar files and scripts through the whole system: a run that verifies, or one sentence and nothing left."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.kernel.errors import OperatorError
from daemon.system.verify import verify_path
from tests.robustness.cases import HEADER, bars, sessions
from tests_support import replay

QUICK = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
MORE = settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))

ODD_CELLS = ("", "nan", "inf", "-1", "0", "1e-9", "1e400", "abc", "9e7", '"', "1;2", "\0", "é", "'", "=1")
ODD_TIMES = ("", "2024-01-06", "2024-13-01", "2024-01-02T15:00:00Z", "2024-01-02T10:00:00", "1969-12-31", "x")
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    "",
    "x",
    "NaN",
    -1,
    0,
    1.5,
    1e-9,
    10**25,
    [],
    {},
    [1],
    {"a": 1},
    "=1",
)
WHEN = st.sampled_from(
    [None, "2024-01-03", "2024-01-05T15:00:00Z", "2024-01-10T09:30:00-05:00", "1999-01-01", "2099-01-01"]
)

days = st.sampled_from([str(d) for d in sessions(10)])
prices = st.one_of(st.floats(1, 500).map(lambda x: f"{x:.4f}"), st.sampled_from(["0.00000001", "80000000", *ODD_CELLS]))
volumes = st.one_of(st.integers(0, 10**6).map(str), st.sampled_from(["1e15", *ODD_CELLS]))


@st.composite
def bar_lines(draw: st.DrawFn) -> list[str]:
    """Return rows of which most are bars: sometimes sorted, sometimes with odd cells, times, or numbers of cells."""
    lines = []
    for _ in range(draw(st.integers(0, 25))):
        px = draw(st.floats(1, 500))
        cells = [draw(days), draw(st.sampled_from("AB")), *(f"{px * k:.4f}" for k in (1.0, 1.02, 0.98, 1.01)), "5000"]
        lines.append(cells)
    if draw(st.integers(0, 4)):
        lines.sort()
    for cells in lines:
        if draw(st.integers(0, 9)) == 0:
            cells[draw(st.integers(2, 6))] = draw(prices)
        if draw(st.integers(0, 19)) == 0:
            cells[6] = draw(volumes)
        if draw(st.integers(0, 199)) == 0:
            cells[0] = draw(st.sampled_from(ODD_TIMES))
        if draw(st.integers(0, 199)) == 0:
            cells[draw(st.integers(1, 6)) :] = draw(st.lists(st.sampled_from(ODD_CELLS), max_size=8))
    return [",".join(cells) for cells in lines]


amounts = st.one_of(st.integers(1, 2_000), st.floats(0.01, 300).map(lambda x: round(x, 2)), st.sampled_from(ODD_VALUES))
ids = st.sampled_from(["a", "b", "c", "d", "=1,", "x" * 200])
submits = st.fixed_dictionaries(
    {
        "id": ids,
        "symbol": st.sampled_from(["AAA", "BBB", "ZZZ"]),
        "side": st.sampled_from(["buy", "sell"]),
        "qty": amounts,
    },
    optional={
        "type": st.sampled_from(["market", "limit", "stop", "stop_limit", *ODD_VALUES]),
        "tif": st.sampled_from(["day", "gtc", "ioc", *ODD_VALUES]),
        "limit_px": amounts,
        "stop_px": amounts,
        "reduce_only": st.sampled_from([True, False, "x"]),
        "color": st.just("red"),
    },
)
replaces = st.fixed_dictionaries({"id": ids}, optional={"qty": amounts, "limit_px": amounts, "stop_px": amounts})
controls = st.sampled_from(["halt", "reduce", "resume", "flatten", "kill"])
actions = st.one_of(
    submits.map(lambda body: {"submit": body}),
    submits.map(lambda body: {"submit": body}),
    replaces.map(lambda body: {"replace": body}),
    ids.map(lambda order: {"cancel": order}),
    st.builds(lambda verb, why: {verb: {"reason": why}}, controls, st.sampled_from(["why", "=1<b>"])),
)
waits = st.fixed_dictionaries(
    {"order": ids, "status": st.sampled_from(["filled", "new", "canceled", "denied", "expired"])}
)


@st.composite
def orders(draw: st.DrawFn) -> dict[str, Any]:
    """Return a line; few of them wait for another one."""
    waiting = draw(st.integers(0, 14)) == 7
    return {**({"after": draw(waits)} if waiting else {"at": draw(WHEN)}), **draw(actions)}


def run_or_refuse(files: dict[str, str], **options: Any) -> None:
    """Run over the files and verify; nothing but an operator's error may come out, and it leaves nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in files.items():
            (folder / file).write_bytes(text.encode())
        paths = {key: folder / value for key, value in options.pop("paths", {}).items()}
        try:
            replay(folder / "run", bars=(folder / "bars.csv",), **paths, **options)
        except OperatorError as error:
            said = str(error)
        else:
            said = ""
        if said:
            assert sorted(p.name for p in folder.iterdir()) == sorted(files)
            return
        report = verify_path(folder / "run")
        assert report.ok, [check for check in report.checks if not check.ok]
        assert sorted(p.name for p in folder.iterdir()) == sorted([*files, "run"])


def check_bars(lines: list[str], strategy: str) -> None:
    """Run a strategy over lines of bars."""
    run_or_refuse({"bars.csv": HEADER + "".join(f"{line}\n" for line in lines)}, strategy=strategy)


def check_orders(lines: list[dict[str, Any]], profile: str, strategy: str | None) -> None:
    """Run a script beside a strategy or alone."""
    script = "".join(f"{json.dumps(line)}\n" for line in lines)
    files = {"bars.csv": bars(8), "orders.jsonl": script}
    run_or_refuse(files, paths={"orders": "orders.jsonl"}, profile=profile, strategy=strategy)


STRATEGIES = st.sampled_from(["buy_and_hold", "mean_reversion"])
PROFILES = st.sampled_from(["plan", "frictionless", "ibkr"])


@QUICK
@given(bar_lines(), STRATEGIES)
def test_any_bar_file_gives_a_run_that_verifies_or_a_sentence(lines: list[str], strategy: str) -> None:
    """Whatever stands in its cells."""
    check_bars(lines, strategy)


@pytest.mark.long
@MORE
@given(bar_lines(), STRATEGIES)
def test_very_many_bar_files(lines: list[str], strategy: str) -> None:
    """The same, for as long as it takes."""
    check_bars(lines, strategy)


@QUICK
@given(st.lists(orders(), min_size=1, max_size=12), PROFILES, st.one_of(st.none(), STRATEGIES))
def test_any_script_gives_a_run_that_verifies_or_a_sentence(
    lines: list[dict[str, Any]], profile: str, strategy: str | None
) -> None:
    """Whatever a scripted trader asks for, and whenever."""
    check_orders(lines, profile, strategy)


@pytest.mark.long
@MORE
@given(st.lists(orders(), min_size=1, max_size=12), PROFILES, st.one_of(st.none(), STRATEGIES))
def test_very_many_scripts(lines: list[dict[str, Any]], profile: str, strategy: str | None) -> None:
    """The same, for as long as it takes."""
    check_orders(lines, profile, strategy)
