"""``tradingd calc``: files and moments in, values out, one sentence for what is wrong."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from actors.reporter.calc import Moments, calc_dsr, calc_metrics, calc_mintrl, calc_psr
from daemon.kernel.errors import OperatorError, UsageError

SERIES = [0.01, -0.02, 0.03, -0.01, 0.005, -0.015, 0.02, 0, -0.005, 0.012]


def write(path: Path, header: str, rows: list[str]) -> Path:
    """Write a CSV."""
    path.write_text("\n".join([header, *rows, ""]))
    return path


@pytest.fixture
def returns(tmp_path: Path) -> Path:
    """Ten returns."""
    return write(tmp_path / "r.csv", "ts,return", [f"2022-01-{i + 3:02d},{r}" for i, r in enumerate(SERIES)])


def test_metrics_of_returns(returns: Path) -> None:
    """Schema, period and golden values."""
    found = calc_metrics(returns=returns)
    assert found["schema"] == "tradingd.metrics/1"
    assert found["period"]["sessions"] == 10
    assert found["metrics"]["sharpe"] == {"value": 2.7131308858869154, "definition": "sharpe/1", "n": 10}
    assert found["metrics"]["num_trades"]["value"] is None


def test_equity_and_returns_of_the_same_curve_agree(returns: Path, tmp_path: Path) -> None:
    """An equity file with its base point gives the same metrics, compressed or not."""
    values = 100 * np.cumprod([1.0, *(1 + r for r in SERIES)])
    text = "\n".join(["ts,equity", *(f"2022-01-{i + 2:02d},{v!r}" for i, v in enumerate(values.tolist())), ""])
    path = tmp_path / "e.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    a, b = calc_metrics(equity=path)["metrics"], calc_metrics(returns=returns)["metrics"]
    for name in ("total_return", "sharpe", "sortino", "max_drawdown", "ulcer_index", "cvar_95"):
        assert a[name]["value"] == pytest.approx(b[name]["value"], rel=1e-9), name


def test_intraday_rows_become_sessions(tmp_path: Path) -> None:
    """Ratios are on daily returns: of several rows a day the last counts, after the base point."""
    rows = [
        "2022-01-03T14:30:00Z,100",
        "2022-01-03T21:00:00Z,101",
        "2022-01-04T15:00:00Z,150",
        "2022-01-04T21:00:00Z,102",
    ]
    found = calc_metrics(equity=write(tmp_path / "e.csv", "ts,equity", rows))
    assert found["period"]["sessions"] == 2
    bars = ["2022-01-03T15:00:00Z,0.01", "2022-01-03T16:00:00Z,0.01", "2022-01-04T15:00:00Z,0.02"]
    found = calc_metrics(returns=write(tmp_path / "r.csv", "ts,return", bars))
    assert found["period"]["sessions"] == 2
    assert found["metrics"]["total_return"]["value"] == pytest.approx(1.01 * 1.01 * 1.02 - 1)


def test_benchmark_is_joined_by_date(returns: Path, tmp_path: Path) -> None:
    """Only common dates count; no common date is an error."""
    rows = [f"2022-01-{i + 5:02d},{r / 2}" for i, r in enumerate(SERIES[2:])]
    found = calc_metrics(returns=returns, benchmark=write(tmp_path / "b.csv", "ts,return", rows))["metrics"]
    assert found["beta"] == {"value": pytest.approx(2.0), "definition": "beta/1", "n": 8}
    far = write(tmp_path / "far.csv", "ts,return", ["1999-01-04,0.01", "1999-01-05,0.02"])
    with pytest.raises(OperatorError, match="no date in common"):
        calc_metrics(returns=returns, benchmark=far)


def test_trades_need_only_pnl(returns: Path, tmp_path: Path) -> None:
    """A file with one column pnl gives the trade statistics."""
    path = write(tmp_path / "t.csv", "symbol,pnl", ["A,10", "B,-5", "C,0", "D,20"])
    found = {name: entry["value"] for name, entry in calc_metrics(returns=returns, trades=path)["metrics"].items()}
    assert (found["num_trades"], found["win_rate"], found["profit_factor"]) == (4, 0.5, 6.0)
    assert (found["avg_win"], found["avg_loss"], found["payoff_ratio"]) == (15.0, -5.0, 3.0)
    assert found["expectancy"] == found["avg_trade"] == 6.25
    assert found["avg_holding_sessions"] is None


@pytest.mark.parametrize(
    ("header", "rows", "sentence"),
    [
        ("ts,return", ["2022-01-03,abc"], r"line 2, column return: 'abc' is not a number"),
        ("ts,return", ["2022-01-03,0.1", "2022-01-04,nan"], r"line 3, column return: 'nan' is not finite"),
        ("ts,return", ["2022-01-03,inf"], r"line 2, column return: 'inf' is not finite"),
        ("ts,return", ["2022-01-04,0.1", "2022-01-03,0.1"], r"line 3, column ts: the time goes backward"),
        ("ts,return", ["2022-01-04,0.1", "2022-01-04,0.1"], r"line 3, column ts: the time repeats"),
        ("ts,return", ["2022-01-04T10:00:00,0.1"], r"line 2, column ts: .* is not a time; write a date"),
        ("ts,return", ["2022-13-04,0.1"], r"line 2, column ts: '2022-13-04' is not a time"),
        ("ts,return", ["2022-01-04"], r"line 2, column return: the line is too short"),
        ("ts,return", ["2022-01-04,-1.5"], r"a loss of more than 100 %"),
        ("ts,return", [], r"has a header and no rows"),
        ("time,return", ["2022-01-04,0.1"], r"there is no column ts, only time, return"),
        ("ts", ["2022-01-04"], r"there is no column beside ts"),
        ("ts,A,B", ["2022-01-04,1,2"], r"has 2 series"),
    ],
)
def test_bad_files_are_named_with_line_and_column(tmp_path: Path, header: str, rows: list[str], sentence: str) -> None:
    """One sentence with file, line and column."""
    path = write(tmp_path / "bad.csv", header, rows)
    with pytest.raises(OperatorError, match=sentence) as caught:
        calc_metrics(returns=path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_empty_and_binary_files(tmp_path: Path) -> None:
    """Each is told apart."""
    with pytest.raises(OperatorError, match=r"cannot be read: No such file"):
        calc_metrics(returns=tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(OperatorError, match="is empty"):
        calc_metrics(returns=tmp_path / "empty.csv")
    (tmp_path / "bin.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OperatorError, match="not UTF-8"):
        calc_metrics(returns=tmp_path / "bin.csv")
    (tmp_path / "fake.csv.gz").write_bytes(b"ts,return\n")
    with pytest.raises(OperatorError, match=r"cannot be read: Not a gzipped file"):
        calc_metrics(returns=tmp_path / "fake.csv.gz")


def test_equity_must_stay_above_zero(tmp_path: Path) -> None:
    """A curve that touches zero has no returns; one row has none either."""
    path = write(tmp_path / "e.csv", "ts,equity", ["2022-01-03,100", "2022-01-04,0"])
    with pytest.raises(OperatorError, match=r"line 3, column equity: 0\.0 is not above zero"):
        calc_metrics(equity=path)
    with pytest.raises(OperatorError, match="has 1 rows, and a return needs two"):
        calc_metrics(equity=write(tmp_path / "one.csv", "ts,equity", ["2022-01-03,100"]))


def test_nonsense_options_are_usage_errors(returns: Path) -> None:
    """Both or neither file, periods and rates out of range."""
    with pytest.raises(UsageError, match="exactly one"):
        calc_metrics()
    with pytest.raises(UsageError, match="--periods"):
        calc_metrics(returns=returns, periods=0)
    with pytest.raises(UsageError, match="--rf"):
        calc_metrics(returns=returns, rf=-1)


def test_psr_by_file_and_by_moments_agree(returns: Path) -> None:
    """The moments it reports reproduce the value."""
    found = calc_psr(returns)
    inputs = found["inputs"]
    again = calc_psr(moments=Moments(inputs["sr"], inputs["n"], inputs["skew"], inputs["kurt"]))
    assert set(found) == {"schema", "value", "inputs", "definition"}
    assert again["value"] == found["value"]
    assert found["value"] == calc_metrics(returns=returns)["metrics"]["psr"]["value"]


def test_dsr_of_the_paper_by_moments() -> None:
    """The worked example through the command's own function."""
    found = calc_dsr(moments=Moments(2.5 / math.sqrt(250), 1250, -3.0, 10.0), trials=100, trials_variance=0.5 / 250)
    assert found["value"] == pytest.approx(0.9003968344493903, abs=1e-14)
    assert found["inputs"]["benchmark_sr"] == pytest.approx(0.11317200186513214, abs=1e-15)


def test_dsr_of_a_wide_file_judges_the_best_trial(tmp_path: Path) -> None:
    """Number and variance of the trials follow from the columns, and cost the best of them its shine."""
    values = np.random.default_rng(6).normal(0, 0.01, (250, 30))
    days = np.arange("2021-01-01", "2021-09-08", dtype="datetime64[D]")[:250]
    lines = [f"{d}," + ",".join(map(repr, row)) for d, row in zip(days, values.tolist(), strict=True)]
    path = write(tmp_path / "w.csv", "ts," + ",".join(f"T{i}" for i in range(30)), lines)
    found = calc_dsr(path)
    assert found["inputs"]["trials"] == 30
    best = calc_psr(moments=Moments(*(found["inputs"][k] for k in ("sr", "n", "skew", "kurt"))))
    assert best["value"] > 0.95
    assert found["value"] < 0.9


def test_mintrl_is_null_without_an_edge() -> None:
    """No track record proves a Sharpe ratio that is not above its benchmark."""
    assert calc_mintrl(moments=Moments(0.05, 100), benchmark_sr=0.05)["value"] is None
    assert calc_mintrl(moments=Moments(1 / math.sqrt(252), 100))["value"] == pytest.approx(684.15, abs=0.005)


def test_impossible_moments_are_refused(returns: Path) -> None:
    """Excess kurtosis given for raw, too few observations, missing trials, a level out of range."""
    with pytest.raises(UsageError, match="raw kurtosis"):
        calc_psr(moments=Moments(0.1, 100, 0.0, 0.0))
    with pytest.raises(UsageError, match="at least 2"):
        calc_psr(moments=Moments(0.1, 1))
    with pytest.raises(UsageError, match="either --returns"):
        calc_psr()
    with pytest.raises(UsageError, match="--trials N"):
        calc_dsr(returns)
    with pytest.raises(UsageError, match="--trials-variance"):
        calc_dsr(returns, trials=5)
    with pytest.raises(UsageError, match="--level"):
        calc_mintrl(returns, level=1.0)


def test_flat_returns_have_no_sharpe_ratio(tmp_path: Path) -> None:
    """Said in a sentence, not as infinity."""
    path = write(tmp_path / "flat.csv", "ts,return", ["2022-01-03,0.01", "2022-01-04,0.01"])
    with pytest.raises(OperatorError, match="without dispersion"):
        calc_psr(path)
