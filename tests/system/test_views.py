"""Views against the run folder of the same run: two ways from the same ledger to the same rows."""

from __future__ import annotations

import csv
import shutil
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.kernel.errors import OperatorError
from daemon.system.order_form import FieldError
from daemon.system.replay import ReplayResult
from daemon.system.views import Projector
from daemon.system.views_readers import view_readers
from daemon.system.views_rows import Filter, Views, ViewsError, filter_of
from daemon.system.when import TimeReader
from system.wired import make_call

ALL = Filter(everything=True, limit=10**9)
CONTRACT = {
    "orders": "order_id client_order_id ts symbol side type tif qty limit_px stop_px status cum_qty avg_px reason"
    " strategy parent_id",
    "fills": "ts order_id exec_id symbol side qty price px_source fee liquidity",
    "trades": "symbol side qty entry_ts entry_px exit_ts exit_px fees pnl return mae mfe entry_confidence exit_reason"
    " strategy",
    "predictions": "ts symbol model horizon prediction score confidence p_up price target_price realized"
    " realized_tradable hit",
}


def cells(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return rows as the text of their cells, as a CSV has them."""
    out = []
    for row in rows:
        cell: dict[str, str] = {}
        for name, value in row.items():
            if isinstance(value, msgspec.Raw):
                cell[name] = bytes(value).decode()
            else:
                cell[name] = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        out.append(cell)
    return out


def table(folder: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV of the run folder."""
    with (folder / name).open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def projected(year_run: ReplayResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the year's ledger and the views made from it."""
    folder = tmp_path_factory.mktemp("views")
    shutil.copy(year_run.folder / "ledger.db", folder / "ledger.db")
    projector = Projector(folder)
    projector.catch_up()
    assert projector.stop()
    assert projector.gauges().lag == 0
    return folder


@pytest.fixture
def views(projected: Path) -> Any:
    """The year's views."""
    found = Views(projected / "views.db")
    yield found
    found.close()


@pytest.mark.parametrize("name", ["orders", "fills", "trades", "predictions"])
def test_lists_equal_the_tables_of_the_run_folder_row_by_row(year_run: ReplayResult, views: Views, name: str) -> None:
    """Every cell of every row, the columns of the contract first and none that the table has not; newest first."""
    answer = getattr(views, name)(ALL)
    expected = table(year_run.folder, f"{name}.csv")
    found = cells(answer["rows"])
    assert len(expected) > 20
    if name == "predictions":  # rows of one decision keep their order, decisions come newest first
        expected.sort(key=lambda row: (row["ts"], row["model"]))
        found.sort(key=lambda row: (row["ts"], row["model"]))
    else:
        found.reverse()
    columns = list(found[0])
    assert found == [{name: row[name] for name in columns} for row in expected]
    assert columns == [name for name in expected[0] if name in columns]
    assert " ".join(columns).startswith(CONTRACT[name])
    assert (answer["schema"], answer["more"]) == (f"tradingd.{name}/1", False)


def test_signals_equal_the_table_but_for_the_gate(year_run: ReplayResult, views: Views) -> None:
    """The gate is the reporter's word; everything else is there."""
    found = sorted(cells(views.signals(ALL)["rows"]), key=lambda row: (row["ts"], row["strategy"]))
    expected = table(year_run.folder, "signals.csv")
    for row in expected:
        del row["gate"]
    assert found == sorted(expected, key=lambda row: (row["ts"], row["strategy"]))


def test_positions_are_those_of_the_folder(year_run: ReplayResult, projected: Path) -> None:
    """Quantity, and what was realised by average cost."""
    db = sqlite3.connect(projected / "views.db")
    found = {row[0]: row[1:] for row in db.execute("SELECT symbol, qty, realized FROM positions")}
    db.close()
    expected = table(year_run.folder, "positions.csv")
    assert {row["symbol"]: (Decimal(row["qty"]), Decimal(row["realized_pnl"])) for row in expected} == {
        symbol: (Decimal(qty) / 10**8, Decimal(realized) / 10**8) for symbol, (qty, realized) in found.items()
    }


def test_equity_at_the_closes_is_the_folders_curve(year_run: ReplayResult, views: Views) -> None:
    """Session by session; the first row of the folder is the starting cash."""
    expected = table(year_run.folder, "equity.csv")[1:]
    found = cells(views.equity(ALL)["rows"])[::-1]
    names = ("ts", "equity", "cash", "gross", "net")
    assert [tuple(row[n] for n in names) for row in found] == [tuple(row[n] for n in names) for row in expected]


def test_postings_sum_to_zero_and_daily_returns_compound(year_run: ReplayResult, projected: Path) -> None:
    """Double entry survives the projection; so does what was earned."""
    db = sqlite3.connect(projected / "views.db")
    assert db.execute("SELECT sum(amount) FROM postings").fetchone()[0] == 0
    (cash,) = db.execute("SELECT sum(amount) FROM postings WHERE account = 'cash'").fetchone()
    growth = 1.0
    for (ret,) in db.execute("SELECT daily_return FROM performance_metrics ORDER BY session"):
        growth *= 1.0 + ret
    last = table(year_run.folder, "equity.csv")[-1]
    db.close()
    assert Decimal(cash) / 10**8 == Decimal(last["cash"])
    assert growth == pytest.approx(float(last["equity"]) / 100_000, rel=1e-6)


def test_plain_sql_shows_signals_and_predictions_too(year_run: ReplayResult, projected: Path) -> None:
    """Whoever opens the file with another program finds rows, not packed columns."""
    db = sqlite3.connect(projected / "views.db")
    found = db.execute("SELECT symbol, prediction, realized FROM predictions ORDER BY seq, rowid").fetchall()
    signals = db.execute("SELECT count(*) FROM signals").fetchone()[0]
    db.close()
    expected = table(year_run.folder, "predictions.csv")
    assert signals == len(expected) == len(found)
    assert sorted((s, p, r is None) for s, p, r in found) == sorted(
        (row["symbol"], row["prediction"], row["realized"] == "") for row in expected
    )


# -- filters -----------------------------------------------------------------------------------------------------------


def test_rows_are_limited_and_say_that_there_are_more(year_run: ReplayResult, views: Views) -> None:
    """The newest ones, and no more than asked for."""
    every = cells(views.orders(ALL)["rows"])
    answer = views.orders(Filter(everything=True, limit=7))
    assert (cells(answer["rows"]), answer["more"]) == (every[:7], True)
    assert views.orders(Filter(everything=True, limit=len(every)))["more"] is False
    assert len(views.predictions(Filter(limit=3))["rows"]) == 3


@pytest.mark.parametrize("name", ["orders", "fills", "trades", "predictions"])
def test_symbol_strategy_and_time_select_what_they_say(year_run: ReplayResult, views: Views, name: str) -> None:
    """Each filter against the whole list, filtered here."""
    ask = getattr(views, name)
    every = cells(ask(ALL)["rows"])
    symbol = every[len(every) // 2]["symbol"]
    ts = "exit_ts" if name == "trades" else "ts"
    since = every[len(every) // 3][ts]
    stamp = TimeReader(None, "UTC")(since)
    change = {"everything": True, "limit": 10**9}
    assert cells(ask(Filter(symbol=symbol, **change))["rows"]) == [row for row in every if row["symbol"] == symbol]
    assert cells(ask(Filter(since_ts=stamp, **change))["rows"]) == [row for row in every if row[ts] >= since]
    assert ask(Filter(since_ts=2**62, **change))["rows"] == []
    assert ask(Filter(symbol="NONE", **change))["rows"] == []
    if name != "predictions":
        strategy = every[0].get("strategy", "momentum")
        found = cells(ask(Filter(strategy=strategy, **change))["rows"])
        assert 0 < len(found) < len(every)
        assert [row for row in found if row.get("strategy", strategy) != strategy] == []


def test_rows_behind_a_frame_are_found_by_its_number(views: Views) -> None:
    """Seq and time select alike: stamps never go back."""
    answer = views.fills(ALL)
    with views.reading() as (db, _):
        seq = db.execute("SELECT seq FROM fills ORDER BY n LIMIT 1 OFFSET 30").fetchone()[0]
        later = db.execute("SELECT count(*) FROM fills WHERE seq > ?", (seq,)).fetchone()[0]
    assert len(views.fills(Filter(since_seq=seq, limit=10**9))["rows"]) == later < len(answer["rows"])
    assert views.fills(Filter(since_seq=answer["as_of_seq"]))["rows"] == []
    every = views.predictions(ALL)["rows"]
    some = views.predictions(Filter(since_seq=seq, strategy="momentum", limit=10**9))["rows"]
    assert 0 < len(some) < len(every)
    assert {row["model"] for row in some} == {"momentum"}


def test_working_orders_are_the_default(year_run: ReplayResult, views: Views) -> None:
    """Those that are over show only when asked for."""
    expected = [row for row in table(year_run.folder, "orders.csv") if row["status"] in ("new", "partially_filled")]
    found = cells(views.orders(Filter(limit=10**9))["rows"])[::-1]
    assert found == [{name: row[name] for name in found[0]} for row in expected]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1_001}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": "10"}, "limit"),
        ({"since": "yesterday"}, "since"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named(params: dict[str, Any], field: str) -> None:
    """Before the views are asked."""
    with pytest.raises(FieldError) as caught:
        filter_of(make_call("orders", **params), TimeReader(None, "UTC"))
    assert caught.value.field == field


def test_since_is_a_time_a_date_or_a_sequence_number() -> None:
    """As people and programs write it."""
    read = TimeReader(None, "UTC")
    assert filter_of(make_call("fills", since="2020-01-02"), read).since_ts == 1_577_923_200_000_000_000
    assert filter_of(make_call("fills", since=17), read).since_seq == 17
    assert filter_of(make_call("fills", all=True, symbol="SPY"), read) == Filter(True, limit=1_000, symbol="SPY")
    assert filter_of(make_call("trades"), read).limit == 100
    assert filter_of(make_call("trades", all=True, limit=7), read).limit == 7
    assert filter_of(make_call("orders"), read).limit == 1_000  # of those that work none may be missed


def test_readers_answer_the_control_surface(views: Views) -> None:
    """One per list method; a name nobody knows is an operator's error."""
    readers = view_readers(views, TimeReader(None, "UTC"))
    assert sorted(readers) == ["alerts", "fills", "orders", "predictions", "signals", "trades", "why"]
    outcome = readers["trades"](make_call("trades", limit=2))
    assert outcome.result is not None
    assert len(outcome.result["rows"]) == 2
    with pytest.raises(OperatorError, match="no order is called 'nobody'"):
        readers["why"](make_call("why", order_id="nobody"))


def test_hostile_names_are_values_never_sql(views: Views) -> None:
    """Nothing is executed, nothing is found."""
    for text in ("'; DROP TABLE orders; --", "\x00", "\u202e", "x" * 10_000, '" OR 1=1 --'):
        assert views.orders(Filter(everything=True, symbol=text, strategy=text))["rows"] == []
        with pytest.raises(OperatorError, match="no order is called"):
            view_readers(views, TimeReader(None, "UTC"))["why"](make_call("why", order_id=text))
    assert views.orders(ALL)["rows"]


def test_without_a_file_the_reader_says_to_ask_again(tmp_path: Path) -> None:
    """While the views are being built."""
    with pytest.raises(ViewsError, match="being built") as caught:
        Views(tmp_path / "views.db").orders(ALL)
    assert caught.value.code == "VIEWS_UNAVAILABLE"
    (tmp_path / "views.db").write_bytes(b"this is no database, and long enough to be sure of that" * 100)
    with pytest.raises(ViewsError, match="cannot be read at the moment"):
        Views(tmp_path / "views.db").orders(ALL)
