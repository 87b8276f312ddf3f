"""The whole system: equal runs are equal, a changed run is found out, mistakes leave nothing behind."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from actors.reporter.runfolder import sealed
from actors.values.universe import Adjustment
from daemon.kernel.errors import OperatorError, UsageError
from daemon.system.replay import ReplayResult
from daemon.system.verify import verify_path
from tests_support import ROOT, replay

TABLES = ("equity", "orders", "fills", "trades", "positions", "predictions", "signals", "alerts")


def failing(folder: Path) -> list[str]:
    """Return the names of the checks that do not hold."""
    return [check.name for check in verify_path(folder).checks if not check.ok]


def test_a_run_folder_is_complete(year_run: ReplayResult) -> None:
    """Every file of the contract is there, listed with its digest, and the run verifies."""
    names = {p.name for p in year_run.folder.iterdir()}
    expected = {f"{name}.csv" for name in TABLES}
    expected |= {"run.json", "metrics.json", "report.html", "ledger.db", "events.jsonl"}
    assert expected <= names
    manifest = json.loads((year_run.folder / "run.json").read_text())
    assert set(manifest["files"]) == names - {"run.json"}
    assert manifest["event_digest"] == year_run.digest
    assert "survived to 2022" in manifest["survivorship"]
    assert failing(year_run.folder) == []


def test_every_line_of_events_is_json_in_order(year_run: ReplayResult) -> None:
    """The events file can be read by anyone."""
    last = 0
    kinds = set()
    for line in (year_run.folder / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        assert event["seq"] >= last
        last = event["seq"]
        kinds.add(event["type"])
    assert {"OrderFilled", "PositionChanged", "SignalsReady", "PredictionsScored", "SessionRolled"} <= kinds


def test_equal_inputs_give_equal_bytes_in_other_folders_and_time_zones(tmp_path: Path) -> None:
    """Two processes, two time zones, two hash seeds, two folders: one digest, equal CSV, metrics and report."""
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]);"
        "from tests_support import replay;"
        "replay(Path(sys.argv[1]), strategy=['price_model', 'momentum'], date_from=20190101, date_to=20190630)"
    )
    digests = []
    for zone, seed, name in (("UTC", "1", "a"), ("Asia/Tokyo", "2", "deeper/b")):
        environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name), str(ROOT / "tests")], check=True, env=environment
        )
        digests.append(json.loads((tmp_path / name / "run.json").read_text())["event_digest"])
    assert digests[0] == digests[1]
    for name in (*(f"{table}.csv" for table in TABLES), "metrics.json", "report.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "deeper" / "b" / name).read_bytes(), name


def test_the_durable_ledger_holds_the_same_events(tmp_path: Path) -> None:
    """Writing as live does changes nothing but the speed."""
    fast = replay(tmp_path / "fast", strategy="momentum", date_from=20200101, date_to=20200430)
    durable = replay(tmp_path / "durable", strategy="momentum", date_from=20200101, date_to=20200430, durable=True)
    assert fast.digest == durable.digest
    assert failing(tmp_path / "durable") == []
    assert not [p.name for p in (tmp_path / "durable").iterdir() if p.name.startswith("ledger.db-")]


def test_another_seed_config_or_date_is_another_run(year_run: ReplayResult, tmp_path: Path) -> None:
    """The digest is not blind."""
    other = replay(
        tmp_path / "run",
        strategy=["price_model", "momentum"],
        sets=["broker.slippage_bps=6"],
        date_from=20180101,
        date_to=20181231,
    )
    assert other.digest != year_run.digest


@pytest.fixture
def copy(year_run: ReplayResult, tmp_path: Path) -> Path:
    """Return a copy of the year's run that may be damaged."""
    folder = tmp_path / "copy"
    shutil.copytree(year_run.folder, folder)
    return folder


@pytest.mark.parametrize("table", ["fills", "trades", "equity", "orders", "predictions", "signals", "positions"])
def test_one_changed_byte_of_a_table_is_found_and_named(copy: Path, table: str) -> None:
    """The file's digest and, where the ledger tells the table, the table itself."""
    path = copy / f"{table}.csv"
    data = bytearray(path.read_bytes())
    place = len(data) // 2
    while not chr(data[place]).isdigit():
        place += 1
    data[place] = ord("0") + (data[place] - ord("0") + 1) % 10
    path.write_bytes(bytes(data))
    found = failing(copy)
    assert "files" in found
    if table != "positions":
        assert f"table:{table}.csv" in found


def test_a_forged_table_with_a_forged_digest_is_still_found(copy: Path) -> None:
    """Whoever also corrects run.json has not corrected the ledger."""
    import hashlib  # noqa: PLC0415 - only here

    path = copy / "fills.csv"
    path.write_text(path.read_text().replace(",buy,", ",sell,", 1))
    manifest = json.loads((copy / "run.json").read_text())
    manifest["files"]["fills.csv"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (copy / "run.json").write_text(json.dumps(manifest))
    assert failing(copy) == ["manifest", "table:fills.csv"]
    (copy / "run.json").write_bytes(sealed(manifest))
    assert failing(copy) == ["table:fills.csv"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE frame SET body = (SELECT body FROM frame WHERE n = 3 LIMIT 1) WHERE seq = (SELECT max(seq) FROM frame)",
        "UPDATE frame SET ts = ts - 1 WHERE seq = (SELECT max(seq) FROM frame)",
        "DELETE FROM frame WHERE seq = (SELECT min(seq) FROM frame WHERE n > 4)",
        "UPDATE run SET seed = seed + 1",
    ],
)
def test_one_changed_row_of_the_ledger_is_found_and_named(copy: Path, statement: str) -> None:
    """The hash chain names the first row that is not as written."""
    db = sqlite3.connect(copy / "ledger.db")
    assert db.execute(statement).rowcount == 1
    db.commit()
    db.close()
    assert "hash_chain" in failing(copy)
    assert "hash_chain" in failing(copy / "ledger.db")


def test_missing_and_foreign_files_are_found(copy: Path) -> None:
    """Nothing can be taken out of a run or put into it unseen."""
    (copy / "trades.csv").unlink()
    (copy / "notes.txt").write_text("mine")
    [check] = [c for c in verify_path(copy).checks if c.name == "files"]
    assert "trades.csv is missing" in check.detail
    assert "notes.txt is not listed" in check.detail


def test_verify_of_nothing_is_one_sentence(tmp_path: Path) -> None:
    """A folder without a run, a path without anything."""
    with pytest.raises(OperatorError, match="not a run folder"):
        verify_path(tmp_path)
    with pytest.raises(OperatorError, match="no ledger at"):
        verify_path(tmp_path / "nowhere")


def test_a_failed_run_leaves_nothing_behind(tmp_path: Path) -> None:
    """No folder, no staging folder."""
    with pytest.raises(OperatorError):
        replay(tmp_path / "run", strategy="momentum", date_from=20300101)
    with pytest.raises(UsageError, match="nothing to trade"):
        replay(tmp_path / "run", date_from=20180101)
    assert list(tmp_path.iterdir()) == []


def test_scripted_orders_go_through_the_same_gate(tmp_path: Path) -> None:
    """A script's order, cancel, replace, and what comes after a fill; denials carry their code."""
    bars = tmp_path / "bars.csv"
    bars.write_text(
        "ts,symbol,open,high,low,close,volume\n"
        "2024-03-04,ABC,50,51,49,50,1000000\n"
        "2024-03-05,ABC,50,52,49,51,1000000\n"
        "2024-03-06,ABC,51,53,50,52,1000000\n"
        "2024-03-07,ABC,52,54,51,53,1000000\n"
    )
    script = tmp_path / "orders.jsonl"
    lines = [
        {"at": None, "submit": {"id": "first", "symbol": "ABC", "side": "buy", "qty": 10}},
        {"after": {"order": "first", "status": "filled"}, "submit": {"id": "out", "symbol": "ABC", "side": "sell",
         "qty": 10, "type": "limit", "tif": "gtc", "limit_px": 53.5}},
        {"at": "2024-03-06", "replace": {"id": "out", "limit_px": 52.5}},
        {"at": "2024-03-06", "submit": {"id": "zero", "symbol": "ABC", "side": "buy", "qty": 0}},
        {"at": "2024-03-06", "submit": {"id": "who", "symbol": "XYZ", "side": "buy", "qty": 1}},
        {"at": "2024-03-06", "submit": {"id": "text", "symbol": "ABC", "side": "buy", "qty": "10"}},
        {"at": "2024-03-06", "submit": {"id": "rest", "symbol": "ABC", "side": "buy", "qty": 1, "type": "limit",
         "tif": "gtc", "limit_px": 10}},
        {"at": "2024-03-07", "cancel": "rest"},
        {"at": "2024-03-08", "cancel": "never"},
    ]  # fmt: skip
    script.write_text("\n".join(json.dumps(line) for line in lines))
    result = replay(tmp_path / "run", profile="frictionless", bars=(bars,), orders=script)
    with (tmp_path / "run" / "orders.csv").open(newline="") as handle:
        orders = {row["client_order_id"]: row for row in csv.DictReader(handle)}
    assert (orders["first"]["status"], orders["first"]["avg_px"]) == ("filled", "50")
    assert (orders["out"]["status"], orders["out"]["avg_px"]) == ("filled", "52.5")
    assert orders["rest"]["status"] == "canceled"
    for name, code in (("zero", "BAD_QTY"), ("who", "UNKNOWN_SYMBOL"), ("text", "BAD_QTY")):
        assert orders[name]["status"] == "denied"
        assert orders[name]["reason"].startswith(code)
    assert any("1 scripted line" in notice for notice in result.notices)
    assert failing(tmp_path / "run") == []


def test_kill_cancels_everything_and_closes_nothing(tmp_path: Path) -> None:
    """After a kill no order passes, the position stays."""
    bars = tmp_path / "bars.csv"
    days = ["2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07"]
    bars.write_text("ts,symbol,open,high,low,close\n" + "".join(f"{day},ABC,50,51,49,50\n" for day in days))
    script = tmp_path / "orders.jsonl"
    order = {"symbol": "ABC", "side": "buy", "qty": 10}
    lines = [
        {"at": None, "submit": {"id": "held", **order}},
        {"at": None, "submit": {"id": "rests", **order, "type": "limit", "limit_px": 40, "tif": "gtc"}},
        {"at": "2024-03-06", "kill": {"reason": "enough"}},
        {"at": "2024-03-06", "submit": {"id": "late", **order}},
        {"at": "2024-03-07", "resume": {"reason": "too early"}},
        {"at": "2024-03-07", "submit": {"id": "later", **order}},
    ]
    script.write_text("\n".join(json.dumps(line) for line in lines))
    replay(tmp_path / "run", profile="frictionless", bars=(bars,), orders=script)
    with (tmp_path / "run" / "orders.csv").open(newline="") as handle:
        status = {row["client_order_id"]: row["status"] for row in csv.DictReader(handle)}
    assert status == {"held": "filled", "rests": "canceled", "late": "denied", "later": "denied"}
    with (tmp_path / "run" / "positions.csv").open(newline="") as handle:
        assert [row["qty"] for row in csv.DictReader(handle)] == ["10"]
    assert failing(tmp_path / "run") == []


def test_a_run_with_equity_at_every_bar_verifies_too(tmp_path: Path) -> None:
    """`reporter.equity = "bar"` gives a row per bar, and the ledger tells the same rows."""
    bars = tmp_path / "bars.csv"
    rows = [f"2024-03-04T{15 + i // 60:02}:{i % 60:02}:00Z,ABC,50,51,49,{50 + i % 2},1000000" for i in range(90)]
    bars.write_text("\n".join(["ts,symbol,open,high,low,close,volume", *rows]))
    replay(
        tmp_path / "run",
        strategy="buy_and_hold",
        profile="frictionless",
        bars=(bars,),
        sets=["reporter.equity=bar"],
    )
    assert len((tmp_path / "run" / "equity.csv").read_text().splitlines()) == 1 + 1 + 90
    assert failing(tmp_path / "run") == []


def test_two_strategies_of_one_name_are_refused(tmp_path: Path) -> None:
    """Their signals, orders and scores could not be told apart."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(
            "from actors.api import strategy\n\n@strategy(name='same')\ndef f(w, p):\n    return None\n"
        )
    with pytest.raises(UsageError, match="both registered as same"):
        replay(tmp_path / "run", strategy=[str(tmp_path / "a.py"), str(tmp_path / "b.py")])
    assert not (tmp_path / "run").exists()


def test_a_split_before_the_first_session_divides_what_lies_before_it_once(tmp_path: Path) -> None:
    """Two for one on the 4th, played from the 8th on with four sessions before: 100 / 2, 102 / 2, then as traded."""
    closes = {"02": 100, "03": 102, "04": 51, "05": 52, "08": 53, "09": 54}
    bars, actions, reads = tmp_path / "bars.csv", tmp_path / "actions.csv", tmp_path / "reads.py"
    bars.write_text("ts,symbol,close\n" + "".join(f"2024-01-{day},ABC,{px}\n" for day, px in closes.items()))
    actions.write_text("ex_date,symbol,kind,value\n2024-01-04,ABC,split,2\n")
    reads.write_text(
        "from actors.api import Signal, strategy\n\n\n@strategy(lookback=5, horizon=1)\ndef reads(w, p):\n"
        '    """With what it sees."""\n    return Signal(0.5, reason=" ".join(f"{px:g}" for px in w.close))\n'
    )
    replay(
        tmp_path / "run",
        strategy=f"{reads}:reads",
        bars=(bars,),
        actions=(actions,),
        adjustment=Adjustment.RAW,
        date_from=20240108,
        sets=["predictor.warmup=4"],
    )
    with (tmp_path / "run" / "signals.csv").open(newline="") as handle:
        assert [row["reason"] for row in csv.DictReader(handle)] == ["50 51 51 52 53", "51 51 52 53 54"]
