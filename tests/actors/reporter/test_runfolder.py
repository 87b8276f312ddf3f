"""The run folder: complete, adding up, the same bytes everywhere."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest

from actors.messages.columns import pack_f64, pack_i32
from actors.messages.limits import RiskLimits
from actors.messages.orders import OrderDenied, OrderRejected, SubmitOrder
from actors.messages.portfolio import CashFlowed, EntriesCut, EquityMarked, SessionRolled, TargetsProposed
from actors.messages.risk import LimitBreached, LimitsChanged
from actors.reporter.calc import calc_metrics
from actors.reporter.events import EventWriter
from actors.reporter.performance import curve
from actors.reporter.record import RunResult
from actors.reporter.report import MINUS
from actors.reporter.runfolder import write_events, write_run_folder
from actors.reporter.story import gather
from actors.reporter.summary import summary_lines
from actors.reporter.tables import cell, number
from actors.values.fixed import SCALE
from actors.values.universe import Universe
from daemon.journal.journal import StoredFrame
from daemon.kernel.message import InputQuarantined

HEADERS = {
    "equity.csv": "ts,equity,cash,gross,net,drawdown",
    "orders.csv": "order_id,client_order_id,ts,symbol,side,type,tif,qty,limit_px,stop_px,status,cum_qty,avg_px,reason,"
    "strategy,parent_id,terms,decision_px,arrival_px,end_ts,end_px,missed_qty,expected_cost",
    "fills.csv": "ts,order_id,exec_id,symbol,side,qty,price,px_source,fee,liquidity,ref_px,spread,slippage,impact,"
    "commission",
    "trades.csv": "symbol,side,qty,entry_ts,entry_px,exit_ts,exit_px,fees,pnl,return,mae,mfe,entry_confidence,"
    "exit_reason,strategy",
    "positions.csv": "symbol,qty,avg_px,market_px,unrealized_pnl,realized_pnl",
    "predictions.csv": "ts,symbol,model,horizon,prediction,score,confidence,p_up,price,target_price,realized,"
    "realized_tradable,hit",
}


def rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV."""
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def written(make_run, tmp_path_factory) -> tuple[RunResult, Path]:
    """A run of 300 sessions with a halt in the middle."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "ledger.db").write_bytes(b"ledger")
    record, frames = make_run(halt=(200, 220))
    return write_run_folder(record, frames, folder), folder


def test_columns_are_those_of_the_contract(written) -> None:
    """Every table starts with exactly the promised columns and has unix line ends."""
    _, folder = written
    for name, header in HEADERS.items():
        data = (folder / name).read_bytes()
        assert data.split(b"\n", 1)[0].decode() == header
        assert b"\r" not in data
        assert data.endswith(b"\n")


def test_manifest_lists_the_digest_of_every_other_file(written) -> None:
    """``run.json`` knows every file, the ledger included, and repeats the survivorship sentence."""
    result, folder = written
    manifest = json.loads((folder / "run.json").read_text())
    there = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.name != "run.json"}
    assert manifest["files"] == there
    assert "ledger.db" in there
    assert manifest["schema"] == "tradingd.run/1"
    assert manifest["survivorship"].startswith("The 20 embedded companies were chosen")
    assert manifest["halts"][0]["reason"] == "drawdown 21 %"
    assert result.halted_since is None


def test_money_adds_up(written) -> None:
    """End equity = starting cash + realised + unrealised - fees, to the last digit; fills rebuild cash."""
    _, folder = written
    equity, fills = rows(folder / "equity.csv"), rows(folder / "fills.csv")
    positions = rows(folder / "positions.csv")
    fees = sum(Decimal(f["fee"]) for f in fills)
    profit = sum(Decimal(p["unrealized_pnl"]) + Decimal(p["realized_pnl"]) for p in positions)
    assert Decimal(equity[0]["equity"]) == 100_000
    assert Decimal(equity[-1]["equity"]) == 100_000 + profit - fees
    signs = {"buy": -1, "sell": 1}
    cash = 100_000 + sum(signs[f["side"]] * Decimal(f["qty"]) * Decimal(f["price"]) for f in fills) - fees
    assert abs(Decimal(equity[-1]["cash"]) - cash) < Decimal("0.00001")


def test_equity_rows_are_the_starting_cash_and_each_session_close(written) -> None:
    """One row more than sessions; drawdown is equity over its running maximum."""
    result, folder = written
    found = rows(folder / "equity.csv")
    assert len(found) == result.metrics["period"]["sessions"] + 1 == 301
    values = np.array([float(r["equity"]) for r in found])
    depth = values / np.maximum.accumulate(values) - 1
    assert np.array([float(r["drawdown"]) for r in found]) == pytest.approx(depth, abs=1e-12)
    assert min(depth) == pytest.approx(result.metrics["metrics"]["max_drawdown"]["value"])


def test_metrics_can_be_recomputed_from_the_tables(written) -> None:
    """``calc metrics`` on the folder's own files gives the numbers of ``metrics.json``."""
    result, folder = written
    files = {name: folder / f"{name}.csv" for name in ("equity", "benchmark", "trades")}
    document = calc_metrics(files["equity"], None, files["benchmark"], files["trades"], rf=0.02, seed=7)
    intervals = {row["name"]: (row["verdict"], row["low"], row["high"]) for row in document["scoreboard"]}
    for row in result.metrics["scoreboard"]:
        if row["name"] in intervals and row["name"] != "beat_benchmark":  # whose label names the file
            wanted = (row["verdict"], pytest.approx(row["low"]), pytest.approx(row["high"]))
            assert intervals[row["name"]] == wanted, row["name"]
    again = document["metrics"]
    more = {"turnover", "commission_total", "slippage_total", "max_drawdown_intraday"}  # need fills and marks
    for name, entry in result.metrics["metrics"].items():
        if name in more:
            continue
        expected = entry["value"]
        assert again[name]["value"] == (None if expected is None else pytest.approx(expected, rel=1e-9)), name
        assert again[name]["n"] == entry["n"], name


def test_predictions_are_marked_right_or_wrong(written) -> None:
    """Prediction, target and hit follow from score, price and realised return."""
    result, folder = written
    found = rows(folder / "predictions.csv")
    judged = [r for r in found if r["hit"]]
    assert len(found) == 300 * 20
    for r in judged[:200]:
        assert r["prediction"] == ("BUY" if float(r["score"]) > 0 else "SELL")
        assert (r["hit"] == "true") == ((float(r["score"]) > 0) == (float(r["realized"]) > 0))
    assert all(r["realized"] == "" and r["hit"] == "" for r in found[-20:])
    quality = result.metrics["predictions"]["net@1"]["1d"]
    assert quality["hit_rate"]["n"] == len(judged)
    assert quality["hit_rate"]["hits"] == sum(r["hit"] == "true" for r in judged)


def test_gates_are_shown_by_signal(written) -> None:
    """A signal below its side's confidence gate is marked as cut."""
    _, folder = written
    for r in rows(folder / "signals.csv")[:500]:
        needed = 0.65 if float(r["score"]) > 0 else 0.60  # a score of zero counts as the sell side
        assert r["gate"] == ("passed" if float(r["confidence"]) >= needed else "cut")


def test_denied_orders_stand_in_the_table_with_their_code(written) -> None:
    """A denial names its code and survives commas and quotes; its unknown symbol is shown as typed."""
    _, folder = written
    denied = [r for r in rows(folder / "orders.csv") if r["status"] == "denied"]
    assert {r["reason"] for r in denied} == {'UNKNOWN_SYMBOL: not "known", or so', 'CONFIDENCE: not "known", or so'}
    assert all(r["symbol"] == "X,Y" and r["order_id"] == "" for r in denied)


@pytest.fixture
def zone() -> Iterator[None]:
    """Tokyo, and back."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_bytes_do_not_depend_on_folder_zone_or_wall_time(written, make_run, tmp_path) -> None:
    """Elsewhere, in another zone, at another time: every file but ``run.json`` has the same bytes."""
    _, folder = written
    record, frames = make_run(halt=(200, 220))
    other = tmp_path / "ein anderer Ort"
    other.mkdir()
    later = msgspec.structs.replace(record, started="2031-05-05T00:00:00.000Z", ended="2031-05-05T00:00:01.000Z")
    write_run_folder(later, frames, other)
    for path in other.iterdir():
        if path.name != "run.json":
            assert path.read_bytes() == (folder / path.name).read_bytes(), path.name


class Page(HTMLParser):
    """Checks nesting and gathers references and text."""

    VOID = ("meta", "br", "link", "img", "input", "hr")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []
        self.text: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        """Push a tag."""
        self.tags.append(tag)
        self.references += [v for k, v in attrs if k in ("href", "src", "srcset", "data", "action")]
        self.ids += [v for k, v in attrs if k == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, _attrs) -> None:
        """Note an empty element."""
        self.tags.append(tag)

    def handle_endtag(self, tag) -> None:
        """Pop a tag that must be the open one."""
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        """Keep text outside styles."""
        if data.strip() and self.open and self.open[-1] != "style":
            self.text.append(data.strip())


def page(path: Path) -> Page:
    """Parse a report."""
    parser = Page()
    parser.feed(path.read_text(encoding="utf-8"))
    assert parser.open == []
    return parser


def test_report_is_self_contained(written) -> None:
    """Well-formed, no script, nothing fetched: links only go to places on the page."""
    _, folder = written
    found = page(folder / "report.html")
    assert {"script", "link", "img", "iframe"}.isdisjoint(found.tags)
    assert all(r.startswith("#") and r[1:] in found.ids for r in found.references)
    text = (folder / "report.html").read_text()
    assert "url(" not in text
    assert "@import" not in text
    assert found.tags.count("svg") == 8


def test_pictures_are_well_formed_xml(written) -> None:
    """Every picture parses, without NaN or infinity in it."""
    _, folder = written
    text = (folder / "report.html").read_text()
    parts = ["<svg" + part.split("</svg>")[0] + "</svg>" for part in text.split("<svg")[1:]]
    for part in parts:
        ET.fromstring(part)  # noqa: S314 - our own output
        assert "nan" not in part.replace("dominant", "").lower()
        assert "inf" not in part.lower()


def test_report_opens_with_the_state_and_the_survivorship_sentence(written, make_run, tmp_path) -> None:
    """The first line says whether the run is halted, since when and why; the second what returns are worth."""
    _, folder = written
    first, second = page(folder / "report.html").text[1:3]
    assert first.startswith("Active at the end. Halted 1 time on the way: 2015-10-09 to 2015-11-06")
    record, frames = make_run(sessions=150, halt=(100, None))
    result = write_run_folder(record, frames, tmp_path)
    text = page(tmp_path / "report.html").text
    assert text[1].startswith("Halted since 2015-05-22: drawdown 21 %")
    assert result.halted_since == "2015-05-22T21:00:00.000Z"
    assert "Survivorship." in (second, *text[2:4])


def test_report_escapes_what_others_wrote(make_run, tmp_path) -> None:
    """Names and notices cannot become markup."""
    record, frames = make_run(sessions=80)
    evil = "<script>alert(1)</script>"
    record = msgspec.structs.replace(record, notices=(evil,), strategies=(evil,), data_label=evil)
    write_run_folder(record, frames, tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("sessions", [0, 1, 2, 15])
def test_short_runs_have_a_folder_too(make_run, tmp_path, sessions: int) -> None:
    """No session, one or a few: nulls and n/a, no crash."""
    record, frames = make_run(sessions=max(sessions, 1))
    if sessions == 0:
        frames = frames[:1]
    result = write_run_folder(record, frames, tmp_path)
    assert result.metrics["metrics"]["sharpe"]["value"] is None
    page(tmp_path / "report.html")
    assert any("n/a" in line for line in summary_lines(result))


def test_run_without_any_frame(make_run, tmp_path) -> None:
    """An empty journal gives empty tables with headers."""
    record, _ = make_run(sessions=5)
    write_run_folder(record, [], tmp_path)
    assert (tmp_path / "equity.csv").read_text() == HEADERS["equity.csv"] + "\n"
    page(tmp_path / "report.html")


def test_summary_has_about_twelve_lines(written) -> None:
    """Aligned, within the width, with the sentences that matter; colours only when asked."""
    result, _ = written
    lines = summary_lines(result, 100, color=False)
    assert 11 <= len(lines) <= 17
    assert all(len(line) <= 100 for line in lines)
    text = "\n".join(lines)
    assert "Equal-weight buy and hold" in text
    assert "absolute returns here are no evidence" in " ".join(text.split())
    assert "\033" not in text
    assert "\033[1m" in summary_lines(result, 100, color=True)[0]


def test_summary_of_an_idle_run_says_what_stopped_it(make_run, tmp_path) -> None:
    """No n/a puzzles: why there is no order, no Sharpe ratio and no place among random portfolios."""
    record, _ = make_run(sessions=30)
    dates = record.session_dates.tolist()
    start = frame(1, 10**18, CashFlowed("main", 100 * SCALE, "start", 100 * SCALE, ()))
    frames = [start, *(frame(i + 2, 10**18 + 10 * i + 10, rolled(d, 100, "main")) for i, d in enumerate(dates))]
    text = "\n".join(summary_lines(write_run_folder(record, frames, tmp_path), 100))
    assert "no orders     no strategy gave a signal (is the lookback longer" in text
    assert "vs random     n/a: nothing was held" in text
    assert "n/a to n/a" not in text
    assert "a year" not in text
    assert MINUS + "0.0" not in (tmp_path / "report.html").read_text("utf-8")


def test_what_limits_and_sizing_kept_a_run_from_is_told(make_run, tmp_path) -> None:
    """By code in the summary; of sizing how often, how much and why in the report.

    One name loses half to its likeness, another a fifth to heat, a third all of it to both; the second also half of its
    rest, 60 % in all, and a fourth a quarter for want of room: (0.5 + 0.6 + 1 + 0.25) / 4 is 58.8 %. Of 120 sessions
    the fiftieth has an order that is refused.
    """
    record, frames = make_run(sessions=120)
    cut = TargetsProposed(
        "main", "m", 999, b"", b"", 0, 0, "schedule", cut_ids=pack_i32([1, 2, 3]),
        cut_correlation=pack_f64([0.5, 0.0, 0.5]), cut_heat=pack_f64([0.0, 0.2, 1.0]),
    )  # fmt: skip
    limits = "max_sector", "max_net"
    roomless = EntriesCut("main", "m", 999, pack_i32([2, 4]), pack_f64([0.5, 0.25]), limits)
    result = write_run_folder(record, [*frames, frame(frames[-1].seq + 1, frames[-1].ts, roomless, cut)], tmp_path)
    text = " ".join("\n".join(summary_lines(result, 200)).split())
    assert "refused 1 of " in text
    assert "orders (UNKNOWN_SYMBOL 1): see orders.csv; 4 entries made smaller by sizing" in text
    assert result.metrics["activity"]["denied_by"] == {"UNKNOWN_SYMBOL": 1}
    shown = re.sub(r"<[^>]+>|\s+", " ", (tmp_path / "report.html").read_text("utf-8"))
    assert "m 4 58.8 % 1 2 2 2" in " ".join(shown.split())


def test_report_shows_rejects_as_a_table(make_run, tmp_path) -> None:
    """What the feed refused is told by kind, with a count and the first place, never as raw data."""
    record, frames = make_run(sessions=30)
    rejects = [
        {"kind": "not_finite", "symbol": s, "count": 2, "file": "b.csv", "unit": "line", "line": n}
        for s, n in (("A", 9), ("B", 4))
    ]
    quality = {"rows_read": 1234, "rows_rejected": 4, "rejects": rejects}
    write_run_folder(msgspec.structs.replace(record, quality=quality), frames, tmp_path)
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "rows read 1,234" in html
    assert (
        '<td>not finite</td><td class="r">4</td><td class="r">2</td><td class="muted small">b.csv line 4</td>' in html
    )
    assert "&#39;kind&#39;" not in html


def test_events_are_decoded(make_run, tmp_path) -> None:
    """A line per event: symbols for ids, decimals for money, lists for columns."""
    record, frames = make_run(sessions=70)
    path = tmp_path / "events.jsonl"
    count = write_events(frames, record.universe, path)
    lines = [json.loads(line, parse_float=Decimal) for line in path.read_text().splitlines()]
    assert count == len(lines) == sum(len(f.events) for f in frames)
    kinds = {line["type"]: line for line in reversed(lines)}
    assert kinds["CashFlowed"]["cash"] == 100_000
    assert kinds["SignalsReady"]["ids"][:2] == ["S000", "S001"]
    fill = kinds["OrderFilled"]
    assert fill["symbol"].startswith("S0")
    assert fill["last_px"] == Decimal(str(fill["last_px"]))
    assert len(kinds["PredictionsScored"]["realized"]) == 20
    assert all(abs(v) < 1 for v in kinds["PredictionsScored"]["realized"])
    assert kinds["OrderDenied"]["order"]["symbol"] is None
    assert kinds["SignalsReady"]["price"][0] > 10


def rolled(session: int, equity: int, name: str = "main") -> SessionRolled:
    """A session's close, all in cash."""
    return SessionRolled(name, session, equity * SCALE, equity * SCALE, 0, 0, 0, equity * SCALE, 0.0)


def frame(seq: int, ts: int, *events: object) -> StoredFrame:
    """A frame."""
    return StoredFrame(seq, ts, ts, "test", None, list(events), [])


def test_returns_are_net_of_deposits() -> None:
    """A deposit half way through a session is no profit, and counts half in that session's base."""
    flow, more = (
        CashFlowed("main", 100 * SCALE, "start", 100 * SCALE, ()),
        CashFlowed("main", 50 * SCALE, "more", 0, ()),
    )
    frames = [frame(1, 0, flow), frame(2, 10, rolled(1, 110)), frame(3, 15, more), frame(4, 20, rolled(2, 180))]
    found = curve(gather(frames))
    assert found.returns.tolist() == pytest.approx([0.10, (180 - 110 - 50) / (110 + 25)])
    assert found.index[-1] == pytest.approx(1.1 * (1 + 20 / 135))


def test_several_portfolios_are_added_up() -> None:
    """The curve of all is the sum; each has its own too."""
    flows = [CashFlowed(name, 100 * SCALE, "start", 100 * SCALE, ()) for name in ("a", "b")]
    frames = [frame(1, 0, *flows), frame(2, 10, rolled(1, 110, "a"), rolled(1, 90, "b"))]
    story = gather(frames)
    assert curve(story).equity.tolist() == [200, 200]
    assert curve(story, "a").returns.tolist() == pytest.approx([0.1])
    assert curve(story, "b").returns.tolist() == pytest.approx([-0.1])


def test_resend_does_not_replace_the_first_order() -> None:
    """Two denials under one client order id are two rows."""
    order = SubmitOrder("x", "main", 0, 1, SCALE)
    story = gather([frame(1, 0, OrderDenied(order, "A", "a")), frame(2, 1, OrderDenied(order, "DUPLICATE", "b"))])
    assert [row.reason for row in story.orders.values()] == ["A: a", "DUPLICATE: b"]


def test_numbers_and_cells_are_plain() -> None:
    """No exponent, no NaN, shortest that reads back; texts cannot break lines."""
    assert [number(v) for v in (1e-9, -0.5, 3.0, 1e22, float("nan"), None)] == [
        "0.000000001",
        "-0.5",
        "3",
        "1" + "0" * 22,
        "",
        "",
    ]
    assert cell('a "b", c\nd') == '"a ""b"", c d"'


def test_out_of_sample_dates_alone_are_judged(make_run, tmp_path) -> None:
    """With a training window inside the run the scoreboard sees only what lies behind it; the metrics see all."""
    record, frames = make_run()
    result = write_run_folder(msgspec.structs.replace(record, oos_from=20151001), frames, tmp_path)
    board = {row["name"]: row for row in result.metrics["scoreboard"]}
    judged = sum(1 for date in record.session_dates.tolist() if date >= 20151001)
    assert board["return"]["n"] == board["sharpe"]["n"] == judged < 300
    values = [float(r["equity"]) for r in rows(tmp_path / "equity.csv")]
    assert board["return"]["value"] == pytest.approx(values[-1] / values[300 - judged] - 1)
    opened = [r for r in rows(tmp_path / "trades.csv") if r["entry_ts"] >= "2015-10-01"]
    assert board["win_rate"]["n"] == len(opened) < result.metrics["metrics"]["num_trades"]["value"]
    assert result.metrics["metrics"]["sharpe"]["n"] == 300


def test_equity_by_bar_has_a_row_per_mark(make_run, tmp_path) -> None:
    """On request every mark is a row; the metrics stay on session closes, the intraday drawdown beside them."""
    record, frames = make_run(sessions=100)
    low = EquityMarked("main", 50_000 * SCALE, 50_000 * SCALE, 0, 0)
    at = frames[90].ts - 3_600 * 10**9
    frames = [*frames[:90], frame(0, at, low), *frames[90:]]
    result = write_run_folder(msgspec.structs.replace(record, equity_rows="bar"), frames, tmp_path)
    assert len(rows(tmp_path / "equity.csv")) == 1 + 100 + 1
    metrics = result.metrics["metrics"]
    assert metrics["max_drawdown"]["value"] > -0.3
    assert metrics["max_drawdown_intraday"]["value"] < -0.4
    assert metrics["sharpe"]["n"] == 100


def test_refusals_are_counted_by_who_refused() -> None:
    """The gate's denials, the broker's rejections and quarantined inputs are told apart."""
    order = SubmitOrder("x", "main", 0, 1, SCALE)
    events = (
        OrderDenied(order, "COLLAR", ""),
        OrderDenied(order, "COLLAR", ""),
        OrderRejected("o1", order, "AUCTION_CLOSED", ""),
        InputQuarantined("predictor", "BarPanel", "ValueError"),
        LimitBreached("main", "daily_loss", 0.02, 0.018, "warn"),
    )
    story = gather([frame(1, 0, *events)])
    assert story.refusals == {
        ("gate", "COLLAR"): 2,
        ("broker", "AUCTION_CLOSED"): 1,
        ("quarantine", "predictor: ValueError"): 1,
    }
    assert story.limits == {("daily_loss", "warn"): 1}


def test_several_portfolios_are_told_apart_in_the_tables(make_run, tmp_path) -> None:
    """With more than one portfolio rows name theirs in a last column, and each has its own equity."""
    record, _ = make_run(sessions=2)
    flows = [CashFlowed(name, 100 * SCALE, "start", 100 * SCALE, ()) for name in ("a", "b")]
    order = SubmitOrder("x", "b", 0, 1, SCALE)
    first, second = record.session_dates.tolist()
    frames = [
        frame(1, 10**18, *flows),
        frame(2, 10**18 + 10, OrderDenied(order, "CASH", "none left")),
        frame(3, 10**18 + 20, rolled(first, 110, "a"), rolled(first, 100, "b")),
        frame(4, 10**18 + 30, rolled(second, 120, "a"), rolled(second, 90, "b")),
    ]
    write_run_folder(record, frames, tmp_path)
    assert rows(tmp_path / "orders.csv")[0]["portfolio"] == "b"
    assert [r["equity"] for r in rows(tmp_path / "equity.csv")] == ["200", "210", "210"]
    apart = [(r["portfolio"], r["equity"]) for r in rows(tmp_path / "portfolios.csv")]
    assert apart == [("a", "100"), ("a", "110"), ("a", "120"), ("b", "100"), ("b", "100"), ("b", "90")]
    html = (tmp_path / "report.html").read_text("utf-8")
    assert '<section id="portfolios">' in html
    assert f"{MINUS}10.00 %" in html  # b, on its own


def test_limits_in_an_event_are_plain_decimals():
    """A change of limits names money as money, not as units of 1e-8."""
    values = EventWriter(Universe(symbols=("AAA",))).values(LimitsChanged(RiskLimits(), RiskLimits(), "me", "d"))
    told = msgspec.json.decode(msgspec.json.encode(values))
    assert (told["new"]["max_order_value"], told["old"]["cash_reserve"]) == (50_000, 1.02)
