"""The order benchmark does what it says: every contender the same job, every order counted once, nothing denied.

How fast it was, it prints; nothing here measures time.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT

BENCH = ROOT / "ops" / "bench"
NAMES = ("job", "own", "order_job", "order_floors", "own_orders", "peers", "table", "orders")
SYMBOLS = 3
DECISIONS = 389
"""A session has 390 minute bars, and nothing is sent with the last."""
ORDERS = SYMBOLS * DECISIONS
SESSION = [390]


@pytest.fixture(scope="module")
def bench():
    """The scripts as modules, found as the script itself finds them: beside it."""
    before = set(sys.modules)
    sys.path.insert(0, str(BENCH))
    try:
        yield {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(BENCH))
        for name in set(NAMES) - before:
            sys.modules.pop(name, None)


def run(*words: str) -> str:
    """Run a script of the folder; return what it prints."""
    done = subprocess.run(
        [sys.executable, str(BENCH / words[0]), *words[1:]], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("way", ["script", "decision"])
def test_orders_that_rest_are_all_accepted_and_cancelled(bench: dict[str, ModuleType], tmp_path: Path, way: str):
    """One session: each of 3 x 389 orders is accepted, cancelled at the next bar, and stands in the ledger."""
    facts = bench["own_orders"].arrange("rest", way, SESSION, SYMBOLS, tmp_path / "ledger.db")()
    counted = bench["own_orders"].counted(tmp_path / "ledger.db")
    assert facts["orders"] == counted["OrderAccepted"] == counted["OrderCanceled"] == ORDERS
    assert counted["OrderFilled"] == counted["OrderDenied"] == counted["OrderRejected"] == 0
    # A row for the deposit, one for each bar (its mark of equity) and one for the session's roll; as inputs of their
    # own, the orders and their cancels have one each on top.
    assert counted["rows"] == 1 + 390 + 1 + (2 * ORDERS if way == "script" else 0)


@pytest.mark.parametrize("way", ["script", "decision"])
def test_market_orders_are_all_filled_by_the_next_bar(bench: dict[str, ModuleType], tmp_path: Path, way: str):
    """One session: each of 3 x 389 orders is accepted and filled whole, and the ledger reads back."""
    facts = bench["own_orders"].arrange("fill", way, SESSION, SYMBOLS, tmp_path / "ledger.db")()
    counted = bench["own_orders"].counted(tmp_path / "ledger.db")
    assert facts["orders"] == counted["OrderAccepted"] == counted["OrderFilled"] == ORDERS
    assert counted["OrderCanceled"] == counted["OrderDenied"] == counted["OrderRejected"] == 0


@pytest.mark.parametrize(("shape", "end"), [("rest", "OrderCanceled"), ("fill", "OrderFilled")])
def test_the_bare_loop_does_the_same_job(bench: dict[str, ModuleType], shape: str, end: str):
    """What is compared with has the same orders and the same ends."""
    counts = bench["order_floors"].bare_loop(shape, SESSION, SYMBOLS)
    assert counts["orders"] == counts["OrderAccepted"] == counts[end] == ORDERS
    assert counts["OrderDenied"] == 0


def test_bare_sqlite_gets_exactly_the_rows_of_the_ledger(bench: dict[str, ModuleType], tmp_path: Path):
    """The floor is that of the same bytes."""
    bench["own_orders"].arrange("rest", "script", SESSION, SYMBOLS, tmp_path / "ledger.db")()
    _, _, rows = bench["order_floors"].sqlite_rows(tmp_path / "ledger.db", tmp_path / "copy.db")
    assert rows == 1 + 390 + 1 + 2 * ORDERS
    select = "SELECT seq, ts, ts_event, source, input, n, body, causes, hash FROM frame ORDER BY seq"
    read = bench["own_orders"].open_readonly
    ours, theirs = read(tmp_path / "ledger.db"), read(tmp_path / "copy.db")
    try:
        assert ours.execute(select).fetchall() == theirs.execute(select).fetchall()
    finally:
        ours.close()
        theirs.close()


def test_the_last_bar_of_a_session_sends_nothing(bench: dict[str, ModuleType]):
    """390 orders of 1 symbol: 389 with the first session's 390 bars, 1 with the first of the second's two."""
    job = bench["order_job"]
    assert job.sessions_for(390, 1) == [390, 2]
    assert job.sessions_for(1000, 500) == [3]
    minute, day = 60 * 10**9, 86_400 * 10**9
    assert job.ends([390, 2]) == {job.OPEN_NS + 390 * minute, job.OPEN_NS + day + 2 * minute}


def test_orders_a_second_are_those_of_the_middle_repeat(bench: dict[str, ModuleType]):
    """1,000 orders in 1, 2 and 4 s: 500 a second, 100 times too few for 50,000; in 1 s of CPU 1,000 of them."""
    facts = {"rows": 500, "events": 2000, "bytes": 3000}
    result = {"wall": [4.0, 1.0, 2.0], "cpu": [1.0, 1.0, 1.0], "orders": 1000, "facts": facts}
    (row, missing) = bench["orders"]._rows_of_replay({"tradingd, so": result, "nautilus": {"problem": "not here"}})
    assert row == ["tradingd", "so", "500", "100.00", "1,000", "2000.00", "1000.00", "0.50", "2.00", "3"]
    assert missing[:2] == ["nautilus", "not here"]


def test_one_command_prints_every_contender_and_no_order_denied(tmp_path: Path):
    """The whole benchmark on 1,000 orders, without peers and without a daemon."""
    answer = json.loads(
        run("orders.py", "--quick", "--orders", "1000", "--no-peers", "--no-live", "--json", "--keep", str(tmp_path))
    )
    assert sorted(answer["replay"]) == ["fill", "rest"]
    for found in answer["replay"].values():
        ours = {name: result for name, result in found.items() if name.startswith("tradingd")}
        assert len(ours) == 3
        for result in ours.values():
            assert result["orders"] == result["facts"]["OrderAccepted"] == 1000
            assert result["wall"][0] > 0
        assert sum(name.startswith("bare") for name in found) == 4
    assert list(tmp_path.iterdir()) == [], "no ledger is left behind"


def test_orders_over_the_socket_are_acknowledged_one_by_one(tmp_path: Path):
    """A real daemon answers every order; the disk is measured before and after."""
    rows = json.loads(run("order_socket.py", "100", str(tmp_path)))
    assert list(rows) == [
        "8 KiB page, fdatasync",
        "1 in flight",
        "10 in flight",
        "100 in flight",
        "8 KiB page, at the end",
    ]
    for row in rows.values():
        assert row["rate"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
