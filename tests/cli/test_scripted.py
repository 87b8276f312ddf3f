"""What a replay of scripted orders or of ticks says at its end: nobody has to open a table for it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from daemon.cli.tradingd import main

BARS = "ts,symbol,open,high,low,close,volume\n" + "".join(
    f"2022-03-{day:02d},ABC,100,101,99,100,1000000\n" for day in (1, 2, 3, 4, 7)
)
QUOTES = (
    "ts,symbol,bid_px,bid_size,ask_px,ask_size\n"
    "2022-03-01T14:30:00Z,ABC,99.98,500,100.02,500\n"
    "2022-03-01T14:30:01Z,ABC,99.99,500,100.01,500\n"
)
TRADES = "ts,symbol,price,size\n2022-03-01T14:30:02Z,ABC,100,300\n"
BUY = '"symbol": "ABC", "side": "buy", "qty": 10'


def replayed(folder: Path, capsys: pytest.CaptureFixture[str], orders: str, *flags: str) -> tuple[str, str]:
    """Replay orders; return the block and the notes, each on one line."""
    (folder / "orders.jsonl").write_text(orders, "utf-8")
    assert main(["replay", *flags, "--orders", str(folder / "orders.jsonl"), "--out", str(folder / "run")]) == 0
    said = capsys.readouterr()
    return " ".join(said.out.split()), " ".join(said.err.split())


def of_bars(folder: Path, capsys: pytest.CaptureFixture[str], orders: str, *flags: str) -> tuple[str, str]:
    """Replay orders on five days of bars."""
    (folder / "bars.csv").write_text(BARS, "utf-8")
    return replayed(folder, capsys, orders, "--bars", str(folder / "bars.csv"), "--adjustment", "split", *flags)


def test_the_block_tells_what_a_breaker_sold_from_what_a_script_ordered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten shares at 100 are 1 % of 100,000; above 0.6 % the breaker cuts them once, to six."""
    (tmp_path / "c.toml").write_text(
        '[risk.breakers.exposure]\nlimit = 0.006\naction = "deleverage"\nreset = "operator"\n', "utf-8"
    )
    order = f'{{"at": null, "submit": {{"id": "a", {BUY}}}}}\n'
    block, _ = of_bars(tmp_path, capsys, order, "--config", str(tmp_path / "c.toml"))
    told = "orders 2 of no strategy (1 to cut or close positions, the others scripted or by hand): 2 filled; each in"
    assert told in block


def test_the_block_counts_what_became_of_the_orders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A market order fills, a limit of 95 rests, one for a day expires, an unknown symbol is refused."""
    block, _ = of_bars(
        tmp_path,
        capsys,
        f'{{"at": null, "submit": {{"id": "a", {BUY}}}}}\n'
        f'{{"at": null, "submit": {{"id": "b", {BUY}, "type": "limit", "limit_px": 95, "tif": "gtc"}}}}\n'
        f'{{"at": null, "submit": {{"id": "c", {BUY}, "type": "limit", "limit_px": 95}}}}\n'
        '{"at": null, "submit": {"id": "d", "symbol": "XYZ", "side": "buy", "qty": 10}}\n',
    )
    assert "orders 4 scripted or by hand: 1 filled, 1 expired, 1 refused, 1 still working; each in orders.csv" in block


def test_lines_dated_before_the_data_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong year would else go unseen: the order comes in at the beginning, the opening of the first session."""
    line = f'{{"at": "2021-03-01T15:00:00Z", "submit": {{"id": "a", {BUY}}}}}\n'
    _, notes = of_bars(tmp_path, capsys, line)
    assert "note: 1 scripted line dated before the data came in where they begin, at 2022-03-01T14:30:00.000Z" in notes
    _, notes = of_bars(tmp_path, capsys, line.replace("2021", "2022"))
    assert "dated before the data" not in notes


def test_a_script_that_orders_nothing_is_not_blamed_on_a_strategy_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, dated behind the data."""
    block, notes = of_bars(tmp_path, capsys, f'{{"at": "2023-03-01T15:00:00Z", "submit": {{"id": "a", {BUY}}}}}\n')
    assert "no script an order" in block
    assert "1 scripted line never came in" in notes


def test_ticks_are_counted_where_there_are_no_bars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two quotes and a print; nothing is said of bars."""
    (tmp_path / "quotes.csv").write_text(QUOTES, "utf-8")
    (tmp_path / "trades.csv").write_text(TRADES, "utf-8")
    files = ["--quotes", str(tmp_path / "quotes.csv"), "--trades", str(tmp_path / "trades.csv")]
    block, notes = replayed(tmp_path, capsys, f'{{"at": null, "submit": {{"id": "a", {BUY}}}}}\n', *files)
    assert "replay 100 %" in notes
    assert block.startswith("replayed 3 quotes and prints, ")
    assert "2022-03-01 to 2022-03-01, 1 session " in block
    assert "1 scripted or by hand: 1 filled" in block
    report = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "quotes and prints · 1 symbol ·" in report
    assert "matched on ticks" in report
    assert "bar's path" not in report.replace("&#39;", "'")


def test_sizes_of_ticks_are_liquidity_that_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tape of sizes caps every fill, so nobody is told that any size may fill; quotes without sizes cap none."""
    (tmp_path / "trades.csv").write_text(TRADES, "utf-8")
    replayed(
        tmp_path, capsys, f'{{"at": null, "submit": {{"id": "a", {BUY}}}}}\n', "--trades", str(tmp_path / "trades.csv")
    )
    assert json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))["liquidity"] == "known"
    assert "liquidity: unknown" not in (tmp_path / "run" / "report.html").read_text("utf-8")
    bare = "\n".join(",".join(row.split(",")[i] for i in (0, 1, 2, 4)) for row in QUOTES.splitlines())
    (tmp_path / "quotes.csv").write_text(bare + "\n", "utf-8")
    replayed(
        tmp_path, capsys, f'{{"at": null, "submit": {{"id": "a", {BUY}}}}}\n', "--quotes", str(tmp_path / "quotes.csv")
    )
    assert json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))["liquidity"] == "unknown"


def test_every_order_of_a_table_of_costs_stands_in_one_of_its_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One filled, one canceled by hand, one refused: a row of the report counts each of them."""
    of_bars(
        tmp_path,
        capsys,
        f'{{"at": "2022-03-01T22:00Z", "submit": {{"id": "a", {BUY}}}}}\n'
        f'{{"at": "2022-03-01T22:00Z", "submit": {{"id": "b", {BUY}, "type": "limit", "limit_px": 95}}}}\n'
        '{"at": "2022-03-01T23:00Z", "cancel": "b"}\n'
        '{"at": "2022-03-01T22:00Z", "submit": {"id": "d", "symbol": "ABC", "side": "buy", "qty": 0}}\n',
    )
    report = (tmp_path / "run" / "report.html").read_text("utf-8")
    (row,) = re.findall(r"<tr><td>ABC</td>(.*?)</tr>", report.partition("By symbol")[2].partition("By hour")[0])
    assert re.findall(r">([\d,]+)</td>", row)[:5] == ["3", "1", "1", "0", "1"]


def test_the_report_of_a_week_counts_what_works_still_and_scales_nothing_to_a_year(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every order stands in the sentence about the shortfall; a growth of five days is no rate of a year."""
    of_bars(
        tmp_path,
        capsys,
        f'{{"at": "2022-03-01T22:00Z", "submit": {{"id": "a", {BUY}}}}}\n'
        f'{{"at": null, "submit": {{"id": "b", {BUY}, "type": "limit", "limit_px": 95, "tif": "gtc"}}}}\n',
    )
    report = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "of 2 orders (1 filled, 1 still working):" in report
    table = report.partition("<h2>Benchmarks</h2>")[2].partition("</section>")[0]
    strategy, hold = re.findall(r"<tr><td>.*?</tr>", table)
    for row in (strategy, hold):
        total, cagr = re.findall(r'<td class="r">(.*?)</td>', row)[:2]
        assert (total.endswith(" %"), cagr) == (True, "n/a")


def test_with_daily_bars_a_day_order_of_the_middle_of_a_session_ends_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the page on orders warns: 15:00 is inside the bar of 1 March; the same order at 22:00 is for 2 March."""
    line = f'{{"at": "2022-03-01T15:00:00Z", "submit": {{"id": "a", {BUY}}}}}\n'
    block, _ = of_bars(tmp_path, capsys, line)
    assert "1 scripted or by hand: 1 expired" in block
    block, _ = of_bars(tmp_path, capsys, line.replace("T15", "T22"))
    assert "1 scripted or by hand: 1 filled" in block
