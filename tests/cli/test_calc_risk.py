"""``tradingd calc var``, ``calc stress`` and ``calc correlation``: what they answer, and how they fail."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.cli.tradingd import main

DAY = date(2020, 1, 1)


def wide(path: Path, columns: dict[str, np.ndarray], holes: dict[str, list[int]] | None = None) -> Path:
    """Write one column a symbol, with empty cells in some rows."""
    names = list(columns)
    lines = [",".join(["ts", *names])]
    for t in range(len(columns[names[0]])):
        cells = ["" if t in (holes or {}).get(name, []) else repr(float(columns[name][t])) for name in names]
        lines.append(",".join([str(DAY + timedelta(t)), *cells]))
    path.write_text("\n".join([*lines, ""]))
    return path


def answered(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """Return the document of a command that succeeds."""
    code = main(["calc", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Return the exit code and the sentence of a command that fails."""
    code = main(["calc", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tradingd: ")
    assert err.count("\n") == 1
    return code, err


def series(sessions: int = 300) -> dict[str, np.ndarray]:
    """Return three correlated series."""
    rng = np.random.default_rng(9)
    market = rng.normal(0.0004, 0.01, sessions)
    a, b = 1.2 * market + rng.normal(0, 0.01, sessions), 0.5 * market + rng.normal(0, 0.008, sessions)
    return {"SPY": market, "A": a, "B": b}


@pytest.fixture
def returns(tmp_path: Path) -> Path:
    """Three series; B has holes."""
    return wide(tmp_path / "wide.csv", series(), {"B": list(range(7, 300, 50))})


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A long, B short, the market beside."""
    path = tmp_path / "weights.csv"
    path.write_text("symbol,value,sector\nA,0.6,Energy\nB,-0.2,Financials\nSPY,0.3,\n")
    return path


# ---------------------------------------------------------------------------------------------------------------- var


def test_var_of_a_series(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Sixty losses from 0.1 to 6.0 %: 5.705 % at 95 %, shortfall 5.9 % (``tests/actors/risk/test_var.py``)."""
    path = wide(tmp_path / "r.csv", {"return": np.array([-k / 1000 for k in range(1, 61)])})
    found = answered(capsys, "var", "--returns", path, "--method", "historical", "--level", "0.95")
    assert found["schema"] == "tradingd.var/1"
    assert (found["value"], found["es"], found["n"]) == (pytest.approx(0.05705), pytest.approx(0.059), 60)
    assert found["inputs"] == {"method": "historical", "level": 0.95, "horizon": 1}
    assert found["components"] is None
    assert "Rockafellar" in found["definition"]
    with_more = answered(capsys, "var", "--returns", path, "--horizon", "2")
    assert (with_more["value"], with_more["n"]) == (None, 59)
    assert with_more["scaling"].startswith("overlapping windows of 2")


@pytest.mark.parametrize("method", ["historical", "normal"])
@pytest.mark.parametrize("horizon", [1, 10])
def test_var_of_weights_has_parts_that_sum_to_it(
    capsys: pytest.CaptureFixture[str], returns: Path, weights: Path, method: str, horizon: int
) -> None:
    """Over the sessions common to all that is held: six of 300 have a hole."""
    arguments = ("var", "--returns", returns, "--weights", weights, "--method", method, "--horizon", horizon)
    found = answered(capsys, *arguments)
    assert sum(part["var"] for part in found["components"]) == pytest.approx(found["value"])
    assert sum(part["es"] for part in found["components"]) == pytest.approx(found["es"])
    assert found["es"] >= found["value"]
    assert [part["symbol"] for part in found["components"]] == ["A", "B", "SPY"]
    if horizon == 1:
        assert found["n"] == 294


def test_methods_agree_within_their_errors(capsys: pytest.CaptureFixture[str], returns: Path, weights: Path) -> None:
    """Monte Carlo draws from the very normal that the normal method solves: within four of its standard errors."""
    base = ("var", "--returns", returns, "--weights", weights, "--method")
    simulated, solved = answered(capsys, *base, "montecarlo"), answered(capsys, *base, "normal")
    assert simulated["value"] == pytest.approx(solved["value"], abs=4 * simulated["standard_error"])
    assert simulated["inputs"]["draws"] == 100_000
    again = answered(capsys, *base, "montecarlo")
    assert again == simulated
    other = answered(capsys, *base, "montecarlo", "--seed", 43)
    assert other["value"] != simulated["value"]


def test_more_symbols_than_sessions_can_be_simulated(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Eighty symbols over 70 sessions: their covariance is only semi-definite."""
    rng = np.random.default_rng(3)
    columns = {f"S{i}": rng.normal(0, 0.01, 70) for i in range(80)}
    path = wide(tmp_path / "many.csv", columns)
    held = tmp_path / "w.csv"
    held.write_text("symbol,value\n" + "".join(f"S{i},0.0125\n" for i in range(80)))
    base = ("var", "--returns", path, "--weights", held, "--method")
    simulated, solved = answered(capsys, *base, "montecarlo"), answered(capsys, *base, "normal")
    assert simulated["value"] == pytest.approx(solved["value"], abs=4 * simulated["standard_error"])


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (("--method", "guess"), 2, "--method guess is none of historical, normal, montecarlo"),
        (("--level", "1"), 2, "--level 1.0 must be 0.5 or more and below 1"),
        (("--level", "nan"), 2, "--level nan must be"),
        (("--level", "0.4"), 2, "--level 0.4 must be"),
        (("--horizon", "0"), 2, "--horizon 0 must be a number of sessions"),
        (("--horizon", "253"), 2, "--horizon 253 must be"),
        (("--draws", "10"), 2, "--draws 10 must be"),
        ((), 2, "has 3 series, and no --weights FILE says how much"),
    ],
)
def test_var_refuses_what_makes_no_sense_in_a_sentence(
    capsys: pytest.CaptureFixture[str], returns: Path, arguments: tuple[str, ...], code: int, what: str
) -> None:
    """With the exit code of a misuse."""
    found, sentence = refused(capsys, "var", "--returns", returns, *arguments)
    assert found == code
    assert what in sentence


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("symbol,value\nZ,1\n", "names Z, and"),
        ("symbol,value\nA,0\n", "holds nothing"),
        ("symbol,value\nA,0.5\nA,0.5\n", "A comes twice"),
        ("symbol,value\nA,nan\n", "is not finite"),
        ("symbol,value\nA,\n", "is not a number; write one such as 0.0123"),
        ("symbol,value\nA,40000\n", "A = 40000 is no fraction of equity; divide values by equity"),
        ("symbol,value\nA,-100.1\n", "A = -100.1 is no fraction of equity"),
        ("symbol,value\n", "has a header and no rows"),
        ("name,value\nA,1\n", "there is no column symbol"),
    ],
)
def test_weights_that_cannot_be_held_are_refused_in_a_sentence(
    capsys: pytest.CaptureFixture[str], returns: Path, tmp_path: Path, content: str, what: str
) -> None:
    """Naming file and line."""
    path = tmp_path / "w.csv"
    path.write_text(content)
    code, sentence = refused(capsys, "var", "--returns", returns, "--weights", path)
    assert code == 1
    assert what in sentence


def test_a_column_that_comes_twice_is_refused(capsys: pytest.CaptureFixture[str], returns: Path) -> None:
    """Nobody can say which one is meant, and an answer by name could have only one of them."""
    returns.write_text(returns.read_text().replace("ts,SPY,A,B", "ts,SPY,A,A"))
    code, sentence = refused(capsys, "correlation", "--returns", returns)
    assert code == 1
    assert "line 1: column 'A' comes twice; one column a symbol" in sentence


def test_a_file_that_is_not_there_is_named_with_what_to_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """And one that is no text."""
    code, sentence = refused(capsys, "var", "--returns", tmp_path / "none.csv")
    assert code == 1
    assert "none.csv cannot be read: No such file or directory; name a CSV file that this user may read" in sentence
    (tmp_path / "bin.csv").write_bytes(bytes([255, 254]))
    assert "it is not UTF-8 text; save it as" in refused(capsys, "var", "--returns", tmp_path / "bin.csv")[1]


def test_a_loss_of_more_than_all_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, weights: Path) -> None:
    """Percent written where fractions are meant."""
    path = wide(tmp_path / "w2.csv", {name: values * 100 for name, values in series().items()})
    code, sentence = refused(capsys, "var", "--returns", path, "--weights", weights)
    assert code == 1
    assert "a loss of more than 100 %; write fractions" in sentence


# ------------------------------------------------------------------------------------------------------------- stress


def test_stress_by_sector_beta_and_own_scenario(
    capsys: pytest.CaptureFixture[str], returns: Path, weights: Path, tmp_path: Path
) -> None:
    """2008: energy -46.76 %, financials -82.62 %, the market itself -56.78 %.

    0.6 x 0.4676 - 0.2 x 0.8262 + 0.3 x 0.5678 = 0.28566. The user's own: A named with -50 %, the others by beta.
    """
    own = tmp_path / "mine.toml"
    own.write_text('title = "Mine"\nmarket = -0.1\n[symbols]\nA = -0.5\n')
    base = ("stress", "--weights", weights, "--returns", returns, "--benchmark", "SPY")
    found = answered(capsys, *base, "--scenario", own)
    rows = {row["scenario"]: row for row in found["rows"]}
    assert rows["crisis-2008"]["loss"] == pytest.approx(0.28566)
    slope = found["inputs"]["betas"]["B"]
    assert rows["mine"]["loss"] == pytest.approx(0.3 - 0.2 * 0.1 * slope + 0.03)
    assert found["value"] == max(row["loss"] for row in rows.values())
    assert rows["crisis-2008"]["source"].startswith("S&P")
    only = answered(capsys, *base, "--scenario", own, "--own-only")
    assert [row["scenario"] for row in only["rows"]] == ["mine"]


def test_stress_without_returns_takes_betas_as_one(capsys: pytest.CaptureFixture[str], weights: Path) -> None:
    """And says so; what needs deviations is unknown."""
    rows = {row["scenario"]: row for row in answered(capsys, "stress", "--weights", weights)["rows"]}
    assert rows["pandemic-2020"]["loss"] == pytest.approx(0.6 * 0.589 - 0.2 * 0.455 + 0.3 * 0.3392)
    assert rows["pandemic-2020"]["assumed_betas"] == 1
    assert rows["correlation-one"]["loss"] is None
    assert (rows["sector-shock"]["sector"], rows["sector-shock"]["loss"]) == ("Energy", pytest.approx(0.12))


def test_stress_without_sectors_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The fall of one sector is unknown; losses have nine digits: 0.4 x 0.5678 + 0.3 x 0.5678 = 0.39746."""
    path = tmp_path / "w.csv"
    path.write_text("symbol,value\nA,0.4\nB,0.3\n")
    rows = {row["scenario"]: row for row in answered(capsys, "stress", "--weights", path)["rows"]}
    assert (rows["sector-shock"]["loss"], rows["sector-shock"]["note"]) == (None, "no symbol held has a sector")
    assert rows["crisis-2008"]["loss"] == 0.39746
    assert rows["crisis-2008"]["note"] == "no symbol held has a sector: those of the scenario touch none"
    assert rows["correlation-one"]["note"] == "deviations are not known: too few sessions"


def test_stress_tells_names_in_a_users_file_that_nothing_held_has(
    capsys: pytest.CaptureFixture[str], weights: Path, tmp_path: Path
) -> None:
    """A typo in a sector is no loss of nothing without a word; the program's own files name all sectors there are."""
    own = tmp_path / "mine.toml"
    own.write_text("market = -0.1\n[sectors]\nEnegry = -0.5\nenergy = -0.3\n[symbols]\na = -0.9\n")
    rows = {row["scenario"]: row for row in answered(capsys, "stress", "--weights", weights, "--scenario", own)["rows"]}
    assert rows["mine"]["unmatched"] == ["sectors.Enegry", "symbols.a"]
    assert rows["crisis-2008"]["unmatched"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (("--benchmark", "SPY"), 2, "--benchmark names a column of --returns FILE, which is missing"),
        (("--own-only",), 2, "--own-only leaves nothing without --scenario FILE"),
        (("--scenario", "none.toml"), 1, "none.toml cannot be read"),
    ],
)
def test_stress_refuses_in_a_sentence(
    capsys: pytest.CaptureFixture[str], weights: Path, arguments: tuple[str, ...], code: int, what: str
) -> None:
    """What is missing."""
    found, sentence = refused(capsys, "stress", "--weights", weights, *arguments)
    assert found == code
    assert what in sentence


# -------------------------------------------------------------------------------------------------------- correlation


def test_correlations_are_those_of_numpy_over_common_sessions(
    capsys: pytest.CaptureFixture[str], returns: Path
) -> None:
    """Nine digits, ones in the diagonal; a series without dispersion has none."""
    found = answered(capsys, "correlation", "--returns", returns)
    columns = series()
    assert found["value"]["SPY"]["A"] == pytest.approx(np.corrcoef(columns["SPY"], columns["A"])[0, 1], abs=1e-9)
    keep = [t for t in range(300) if t % 50 != 7]
    expected = np.corrcoef(columns["A"][keep], columns["B"][keep])[0, 1]
    assert found["value"]["A"]["B"] == pytest.approx(expected, abs=1e-9)
    assert found["value"]["B"]["B"] == 1.0
    assert found["n"] == 300
    unknown = answered(capsys, "correlation", "--returns", returns, "--least", 301)
    assert (unknown["value"]["SPY"]["A"], unknown["mean"]) == (None, None)


def test_correlation_needs_two_series_and_two_sessions(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One column is no pair."""
    path = wide(tmp_path / "one.csv", {"return": np.array([0.1, 0.2])})
    assert "has one series, and a correlation needs two" in refused(capsys, "correlation", "--returns", path)[1]
    code, sentence = refused(capsys, "correlation", "--returns", path, "--least", 1)
    assert code == 2
    assert "--least 1 must be" in sentence


@pytest.mark.parametrize("command", ["var", "stress", "correlation"])
def test_help_shows_an_example(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """One that begins like the command."""
    assert main(["calc", command, "--help"]) == 0
    assert f"Example: tradingd calc {command} --" in " ".join(capsys.readouterr().out.split())
