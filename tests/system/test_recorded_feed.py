"""Quotes, trades and headlines in a replay: read beside the bars or alone, and named in the manifest."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.kernel.errors import OperatorError
from daemon.system.verify import verify_path
from tests_support import ROOT, replay

BARS = "ts,symbol,open,high,low,close,volume\n" + "".join(
    f"2024-01-{day:02d},{symbol},{px},{px + 1},{px - 1},{px},100000\n"
    for day in (2, 3, 4, 5)
    for symbol, px in (("A", 100 + day), ("B", 50 - day))
)
QUOTES = "ts,symbol,bid_px,bid_size,ask_px,ask_size\n2024-01-03T15:00:00Z,A,101,100,102,100\n"
QUOTES += "2024-01-03T15:00:01Z,B,0,0,48,5\n"
TRADES = "ts,symbol,price,size\n2024-01-03T15:00:00Z,A,101.5,10\n2024-01-04T20:00:00Z,B,47,10\n"
NEWS = "ts,symbols,headline\n2024-01-03T15:00:00Z,A,something happened\n"
ORDERS = (
    '{"at": null, "submit": {"id": "a", "symbol": "A", "side": "buy", "qty": 10, "type": "market", "tif": "gtc"}}\n'
)


def files(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Write one file of each kind."""
    found = {}
    for kind, text in {"bars": BARS, "quotes": QUOTES, "trades": TRADES, "news": NEWS}.items():
        (folder / f"{kind}.csv").write_text(text, "utf-8")
        found[kind] = (folder / f"{kind}.csv",)
    (folder / "orders.jsonl").write_text(ORDERS, "utf-8")
    return found


def test_ticks_beside_daily_bars_mark_meanwhile_and_change_no_fill_of_another_session(tmp_path: Path) -> None:
    """The order filled on the bar of a session without ticks; closes mark as before; every file is in the manifest."""
    data = files(tmp_path)
    orders = tmp_path / "orders.jsonl"
    plain = replay(tmp_path / "plain", orders=orders, bars=data["bars"])
    full = replay(tmp_path / "full", orders=orders, **data)
    assert full.digest != plain.digest  # equity is stated in the minutes of the ticks, too
    for name in ("fills.csv", "equity.csv", "trades.csv"):
        assert (full.folder / name).read_bytes() == (plain.folder / name).read_bytes(), name
    manifest = (full.folder / "run.json").read_text("utf-8")
    for (path,) in data.values():
        assert hashlib.sha256(path.read_bytes()).hexdigest() in manifest, path


def test_ticks_alone_fill_and_mark(tmp_path: Path) -> None:
    """Bought at the ask of 102 behind the order; at the close A is worth the last print, 101.5: 10 x -0.5 = -5."""
    data = files(tmp_path)
    (tmp_path / "quotes.csv").write_text(QUOTES + "2024-01-03T15:00:02Z,A,101,100,102,100\n", "utf-8")
    (tmp_path / "orders.jsonl").write_text(ORDERS.replace("null", '"2024-01-03T15:00:01Z"'), "utf-8")
    ticks = {"quotes": data["quotes"], "trades": data["trades"]}
    result = replay(tmp_path / "run", orders=tmp_path / "orders.jsonl", profile="frictionless", **ticks)
    assert result.bars == 0
    assert result.notices == ()
    [_, fill] = (result.folder / "fills.csv").read_text("utf-8").splitlines()
    assert fill.startswith("2024-01-03T15:00:02.000Z,O-1,O-1-1,A,buy,10,102,quote,0,taker,101.5,5,0,0,0")
    equity = [row.split(",")[1] for row in (result.folder / "equity.csv").read_text("utf-8").splitlines()[1:]]
    assert equity == ["100000", "99995", "99995"]
    [_, held] = (result.folder / "positions.csv").read_text("utf-8").splitlines()
    assert held == "A,10,102,101.5,-5,0"
    assert verify_path(result.folder).ok


def test_an_order_at_the_very_beginning_is_judged_at_the_first_price_that_ticks(tmp_path: Path) -> None:
    """As on bars: before anything traded the gate may know it, so `"at": null` is no order without a reference."""
    quotes = tmp_path / "quotes.csv"
    head = "ts,symbol,bid_px,bid_size,ask_px,ask_size\n"
    quotes.write_text(head + "2024-01-03T14:30:01Z,A,99,100,101,60\n2024-01-03T14:30:02Z,A,99,100,101,80\n", "utf-8")
    (tmp_path / "orders.jsonl").write_text(ORDERS.replace('"qty": 10', '"qty": 70'), "utf-8")
    orders = tmp_path / "orders.jsonl"
    result = replay(
        tmp_path / "run", orders=orders, quotes=(quotes,), sets=("broker.slippage_bps=0", "broker.impact=none")
    )
    rows = [row.split(",") for row in (result.folder / "fills.csv").read_text("utf-8").splitlines()[1:]]
    # 60 are displayed at 101; the next quote displays 80 at the same price, of which 60 are taken: the last 10 fill.
    assert [(row[0], row[5], row[6]) for row in rows] == [
        ("2024-01-03T14:30:01.000Z", "60", "101"),
        ("2024-01-03T14:30:02.000Z", "10", "101"),
    ]
    late = head + "2024-01-03T14:31:01Z,A,99,100,101,60\n"
    quotes.write_text(late, "utf-8")
    [row] = (
        (replay(tmp_path / "late", orders=orders, quotes=(quotes,)).folder / "orders.csv").read_text().splitlines()[1:]
    )
    assert "NO_REF_PRICE" in row


def test_a_bad_file_of_ticks_stops_the_run_before_it_begins(tmp_path: Path) -> None:
    """Nothing is left behind."""
    data = files(tmp_path)
    (tmp_path / "trades.csv").write_text("ts,symbol\n2024-01-03T15:00:00Z,A\n", "utf-8")
    with pytest.raises(OperatorError, match=r"trades\.csv has no column price"):
        replay(tmp_path / "run", orders=tmp_path / "orders.jsonl", **data)
    assert not (tmp_path / "run").exists()


def test_the_command_line_takes_files_of_each_kind(tmp_path: Path) -> None:
    """Each may be given more than once, and the command in the report says so."""
    data = files(tmp_path)
    (tmp_path / "more.csv").write_text(TRADES.replace("2024-01-03", "2024-01-02"), "utf-8")
    words = [sys.executable, "-m", "daemon", "replay", "--orders", str(tmp_path / "orders.jsonl"), "--json"]
    for kind, (path,) in data.items():
        words += [f"--{kind}", str(path)]
    words += ["--trades", str(tmp_path / "more.csv"), "--out", str(tmp_path / "run")]
    answer = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    report = (tmp_path / "run" / "report.html").read_text("utf-8")
    for name in ("quotes.csv", "trades.csv", "more.csv", "news.csv"):
        assert name in report
    nothing = [sys.executable, "-m", "daemon", "replay", "--news", str(data["news"][0])]
    answer = subprocess.run(nothing, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "there is no data" in answer.stderr
