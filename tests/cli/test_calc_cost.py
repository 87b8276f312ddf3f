"""``tradingd calc cost`` and ``tradingd calc tca``: what they answer, and how they fail."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.tradingd import main
from tests.tests_support import ROOT, replay

BASE = ("calc", "cost", "--side", "buy", "--qty", "1000", "--px", "50")


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run in this process; return exit code, stdout and stderr."""
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def cost(capsys: pytest.CaptureFixture[str], *more: str, base: tuple[str, ...] = BASE) -> dict[str, Any]:
    """The document of a successful ``calc cost``."""
    code, out, err = answer(capsys, *base, *more)
    assert (code, err) == (0, "")
    document: dict[str, Any] = json.loads(out)
    assert document["schema"] == "tradingd.cost/1"
    assert sum(document["parts"].values()) == pytest.approx(document["total"], abs=1e-9)
    assert sum(document["of_impact"].values()) == pytest.approx(document["parts"]["impact"], abs=1e-9)
    return document


def test_the_plan_with_a_known_volume(capsys: pytest.CaptureFixture[str]) -> None:
    """1,000 at 50, ADV 2,000,000, volatility 2 %.

    Half spread 0.75 bps of 50 = 0.00375, slippage 5 bps = 0.025, impact 2 % x sqrt(1,000 / 2,000,000) = 0.0447213595 %
    of 50 = 0.02236068: price 50.05111068. Commission 0.1 % of 50,051.11068 = 50.05111068.
    """
    found = cost(capsys, "--adv", "2000000", "--vol", "0.02")
    assert found["parts"] == {
        "commission": 50.05111068, "regulatory": 0.0, "spread": 3.75, "slippage": 25.0, "impact": 22.36068,
    }  # fmt: skip
    assert found["px"] == 50.05111068
    assert found["bps"] == pytest.approx(1e4 * 101.16179068 / 50_000, rel=1e-12)


def test_impact_is_proportional_to_volatility(capsys: pytest.CaptureFixture[str]) -> None:
    """Twice the volatility, twice the impact; without it the broker's own rate of 2 %."""
    twice = cost(capsys, "--adv", "2000000", "--vol", "0.04")["parts"]["impact"]
    assert twice == 44.72136
    assert cost(capsys, "--adv", "2000000")["parts"]["impact"] == 22.36068


def test_without_a_volume_impact_is_linear(capsys: pytest.CaptureFixture[str]) -> None:
    """0.1 % per 100,000: of 50,000 that is 0.05 %, 25 dollars."""
    found = cost(capsys)
    assert (found["parts"]["impact"], found["inputs"]["impact"], found["inputs"]["adv"]) == (25.0, "linear", None)


def test_profiles_and_keys_are_those_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    """ibkr: 1,000 x $0.005; frictionless: nothing; a quoted spread of 4 bps is half of 4 bps of 50,000: 10."""
    assert cost(capsys, "--profile", "ibkr")["parts"]["commission"] == 5.0
    assert cost(capsys, "--profile", "frictionless")["total"] == 0.0
    assert cost(capsys, "--spread-bps", "4")["parts"]["spread"] == 10.0
    kept = cost(capsys, "--set", "broker.impact_permanent=0.4")["of_impact"]
    assert kept == {"temporary": 15.0, "permanent": 10.0}
    assert cost(capsys, "--set", "broker.min_commission=60")["parts"]["commission"] == 60.0


def test_the_rate_of_the_impact_is_that_of_the_model_in_force(capsys: pytest.CaptureFixture[str]) -> None:
    """0.1 % per 100,000 where impact is linear, whatever volume is given; none has no rate."""
    linear = cost(capsys, "--adv", "2000000", "--set", "broker.impact=linear")["inputs"]
    assert (linear["impact"], linear["impact_rate"]) == ("linear", 0.001)
    none = cost(capsys, "--set", "broker.impact=none")["inputs"]
    assert (none["impact"], none["impact_rate"]) == ("none", 0.0)
    assert cost(capsys, "--adv", "2000000")["inputs"]["impact_rate"] == 0.02


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (("--vol", "0.02"), "--vol changed nothing: impact is the square-root one only"),
        (("--time", "09:31"), "--time changed nothing: the spread is fixed"),
        (("--vol-ratio", "2"), "--vol-ratio changed nothing: the spread is fixed"),
        (("--bar-volume", "9"), "--bar-volume changed nothing: broker.slippage_volume_share is 0"),
        (("--date", "2024-06-03"), "--date changed nothing: only a sale"),
    ],
)
def test_an_option_that_changes_nothing_is_named(
    capsys: pytest.CaptureFixture[str], more: tuple[str, str], why: str
) -> None:
    """The document is that without it; the note is no part of it."""
    code, out, err = answer(capsys, *BASE, *more)
    assert (code, json.loads(out)["parts"]) == (0, cost(capsys)["parts"])
    assert err.startswith(f"note: {why}")


def test_slippage_by_volume_and_the_dynamic_spread(capsys: pytest.CaptureFixture[str]) -> None:
    """0.1 x (1,000 / 10,000)^2 of 50,000 is 50, beside 25; at 09:30, twice the usual range: 2 x 1.4 x 3.75 = 10.5."""
    found = cost(capsys, "--set", "broker.slippage_volume_share=0.1", "--bar-volume", "10000")
    assert found["parts"]["slippage"] == 75.0
    dynamic = ("--set", "broker.spread_model=dynamic")
    assert cost(capsys, *dynamic, "--time", "09:30", "--vol-ratio", "2")["parts"]["spread"] == 10.5
    assert cost(capsys, *dynamic)["parts"]["spread"] == 3.75


def test_a_sale_pays_the_fees_of_its_date(capsys: pytest.CaptureFixture[str]) -> None:
    """1,000 at 50 on 2024-06-03 under alpaca: $27.80 per million is 1.39, $0.000166 x 1,000 is 0.17, cents up.

    Slippage, spread and impact of that profile are the plan's, so the value is a little below 50,000.
    """
    base = ("calc", "cost", "--side", "sell", "--qty", "1000", "--px", "50")
    found = cost(capsys, "--profile", "alpaca", "--date", "2024-06-03", base=base)
    assert found["parts"]["regulatory"] == pytest.approx(1.39 + 0.17, abs=1e-9)
    assert found["inputs"]["date"] == "2024-06-03"
    code, _, err = answer(capsys, *base, "--profile", "alpaca", "--date", "1999-01-04")
    assert code == 1
    assert "1999" in err


def test_a_limit_that_rests_pays_commission_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """A bid of 49: 0.1 % of 49,000. A limit of 50.01 is taken, but for no more than a cent a share."""
    rests = cost(capsys, "--limit", "49")
    assert (rests["parts"]["commission"], rests["total"], rests["liquidity"]) == (49.0, 49.0, "maker")
    taken = cost(capsys, "--limit", "50.01")
    assert (taken["px"], taken["liquidity"]) == (50.01, "taker")
    assert taken["parts"]["spread"] + taken["parts"]["slippage"] + taken["parts"]["impact"] == pytest.approx(10)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--qty", "0"), "--qty 0 must be above zero"),
        (("--qty", "-5"), "--qty -5 is below zero"),
        (("--px", "abc"), "'abc' is not a number"),
        (("--px", "nan"), "is not a finite number"),
        (("--qty", "0.000000001"), "more than 8 decimals"),
        (("--side", "short"), "--side short is neither buy nor sell"),
        (("--time", "9:31pm"), "--time 9:31pm is no time of day"),
        (("--vol-ratio", "-2"), "--vol-ratio -2 is below zero"),
        (("--time", "25:00", "--set", "broker.spread_model=dynamic"), "--time 25:00 is no time of day"),
        (("--date", "tomorrow"), "--date tomorrow is not a date"),
        (("--profile", "free"), "--profile free is unknown"),
        (("--vol", "2"), "--vol 2 is more than 1, which is 100 % a day; it is a fraction, such as 0.02"),
    ],
)
def test_bad_options_are_refused(capsys: pytest.CaptureFixture[str], more: tuple[str, ...], says: str) -> None:
    """One sentence on stderr, nothing on stdout, the code of a usage error."""
    code, out, err = answer(capsys, *BASE, *more)
    assert (code, out) == (2, "")
    assert says in err


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """Both commands, and the list of all names them."""
    for name in ("cost", "tca"):
        code, out, _ = answer(capsys, "calc", name, "--help")
        assert code == 0
        assert f"tradingd calc {name} --" in " ".join(out.split())
    _, out, _ = answer(capsys, "calc", "--help")
    assert {"cost", "tca"} <= {line.split()[0] for line in out.splitlines() if line.strip()}


def on_terminal(*arguments: str) -> str:
    """Run on a terminal of its own; return what it shows."""
    parent, child = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TRADINGD_DEBUG")}
    done = subprocess.Popen(
        [sys.executable, "-m", "daemon", *arguments],
        stdout=child, stderr=child, cwd=ROOT, env=env | {"TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(child)
    shown = b""
    while True:
        try:
            block = os.read(parent, 65536)
        except OSError:  # Linux ends a terminal whose other side closed with EIO
            break
        if not block:
            break
        shown += block
    os.close(parent)
    assert done.wait() == 0
    return shown.decode()


def large_of(orders: Path) -> Path:
    """The same order over many shares, in a file beside it."""
    path = orders.with_name("large.csv")
    path.write_text(orders.read_text().replace(",buy,10,", ",buy,12345678.5,"))
    return path


def test_a_terminal_gets_a_table(tmp_path: Path) -> None:
    """Parts with money and basis points, and the price."""
    shown = on_terminal(*BASE, "--adv", "2000000")
    assert [line.split()[0] for line in shown.splitlines() if line.startswith(("slippage", "total"))] == [
        "slippage", "total",
    ]  # fmt: skip
    assert "50.05111068" in shown
    assert shown.splitlines()[-1].split(None, 1)[1] == "profile plan, impact sqrt"
    assert on_terminal(*BASE).splitlines()[-1].endswith("impact linear, as no --adv was given")
    orders, fills = tmp_path / "orders.csv", tmp_path / "fills.csv"
    orders.write_text("order_id,ts,symbol,side,qty,decision_px,arrival_px\nO-1,2024-01-02,A,buy,10,10,10.1\n")
    fills.write_text("order_id,qty,price,fee\nO-1,10,10.3,1\n")
    large = on_terminal("calc", "tca", "--orders", str(large_of(orders)), "--fills", str(fills))
    assert "10/12,345,678.5" in large
    shown = on_terminal("calc", "tca", "--orders", str(orders), "--fills", str(fills))
    # Delay 10 x 0.1, execution 10 x 0.2, fee 1: 4, of 100 that is 400 bps.
    assert [row.split()[-6:] for row in shown.splitlines() if row.startswith("O-1")] == [
        ["1.00", "2.00", "0.00", "1.00", "4.00", "400.00"]
    ]
    assert [row.split()[3:5] for row in shown.splitlines() if row.startswith("O-1")] == [["filled", "10/10"]]


def test_a_run_folder_is_analysed_again_from_its_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The sums of ``metrics.json`` and those of ``calc tca`` on the folder's files are the same, and so is each row."""
    out = tmp_path / "run"
    replay(out, strategy="momentum", date_from=20190102, date_to=20190628)
    orders, fills = str(out / "orders.csv"), str(out / "fills.csv")
    code, text, _ = answer(capsys, "calc", "tca", "--orders", orders, "--fills", fills)
    assert code == 0
    document = json.loads(text)
    told = json.loads((out / "metrics.json").read_text())["costs"]["shortfall"]
    with (out / "tca.csv").open() as handle:
        rows = {row["order_id"]: row for row in csv.DictReader(handle) if row["order_id"]}
    open_ends = 0
    for row in document["rows"]:
        mine = rows.get(row["order_id"])
        if mine is None:  # the gate denied it
            continue
        if row["total"] is None:
            open_ends += 1
            assert row["status"] in ("new", "partially_filled")
            continue
        for name in ("delay", "execution", "opportunity", "fees", "total"):
            assert row[name] == pytest.approx(float(mine[name]), abs=1e-9), (row["order_id"], name)
    assert told["filled"] == document["filled"] > 20
    if not open_ends:
        assert document["total"] == pytest.approx(told["total"], abs=1e-6)
    manifest = json.loads((out / "run.json").read_text())
    assert "tca.csv" in manifest["files"]
    assert main(["verify", str(out)]) == 0
    capsys.readouterr()


def test_times_without_an_offset_need_a_zone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """10:00 in New York is 15:00 UTC in January: the quote of that second is the decision, mid 10."""
    orders, fills, quotes = (tmp_path / name for name in ("orders.csv", "fills.csv", "quotes.csv"))
    orders.write_text("order_id,ts,symbol,side,qty\nO-1,2024-01-02T15:00:00Z,A,buy,10\n")
    fills.write_text("order_id,qty,price,fee\nO-1,10,10.3,1\n")
    quotes.write_text("ts,symbol,bid,ask\n2024-01-02 10:00:00.000000001,A,1,2\n")
    files = ("calc", "tca", "--orders", str(orders), "--fills", str(fills), "--quotes", str(quotes))
    code, _, err = answer(capsys, *files)
    assert (code, "has no offset; name the zone of such times with --tz" in err) == (1, True)
    quotes.write_text("ts,symbol,bid,ask\n2024-01-02 10:00:00.000,A,9.9,10.1\n2024-01-02 10:00:00.000000001,A,1,2\n")
    code, out, err = answer(capsys, *files, "--tz", "America/New_York")
    assert (code, err) == (0, "")
    assert json.loads(out)["rows"][0]["decision_px"] == 10.0
    code, _, err = answer(capsys, *files, "--tz", "Nowhere")
    assert (code, "--tz Nowhere is no time zone" in err) == (2, True)
    quotes.write_text("ts,symbol,bid,ask\n2024-11-03 01:30:00,A,9.9,10.1\n")
    code, _, err = answer(capsys, *files, "--tz", "America/New_York")
    assert (code, "comes twice or never where the clocks of America/New_York change" in err) == (1, True)


def test_an_unreadable_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One sentence, exit code 1."""
    missing = tmp_path / "none.csv"
    code, out, err = answer(capsys, "calc", "tca", "--orders", str(missing), "--fills", str(missing))
    assert (code, out) == (1, "")
    assert "none.csv cannot be read" in err
