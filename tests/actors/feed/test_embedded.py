"""The embedded data: 20 stocks and the index, read without importing the package they come in."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from actors.feed.history import History, HistorySpec, open_history
from actors.feed.ports import embedded
from actors.messages.market import BarPanel
from actors.values.time import parse_interval
from actors.values.universe import Adjustment
from daemon.kernel.errors import OperatorError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def history() -> History:
    """Return the whole data set."""
    return open_history(HistorySpec(source="sp500"))


def test_the_embedded_data_have_the_documented_shape(history: History):
    """20 symbols, every New York session from 1990-01-02 to 2022-12-28, no row lost."""
    assert len(history.universe) == 20
    assert (history.sessions[0].date, history.sessions[-1].date) == (19900102, 20221228)
    assert history.n_instants == len(history.sessions) == 8313
    assert history.n_bars == 8313 * 20
    assert history.quality.rows_read == history.quality.rows_used == 8313 * 20
    assert history.quality.rejects == ()
    assert history.daily
    assert history.interval.text == "1d"


def test_the_embedded_data_say_what_they_are(history: History):
    """Total adjustment, closes only, no volumes, survivors; sectors for every symbol."""
    assert history.adjustment is history.universe.adjustment is Adjustment.TOTAL
    assert history.close_only
    assert not history.volume_known
    assert "survived to 2022" in history.label
    assert all(history.universe.sector(i) for i in range(20))
    assert history.universe.sector(history.universe.index()["XOM"]) == "Energy"


def test_known_prices_are_where_they_belong(history: History):
    """First and last closes of AAPL and XOM, as the package's file has them."""
    dates, closes = history.session_closes()
    at = history.universe.index()
    assert dates[0] == 19900102
    assert closes[0, at["AAPL"]] == 0.264
    assert closes[-1, at["XOM"]] == 106.627
    panel = next(m for m in history.inputs() if isinstance(m, BarPanel))
    assert panel.close_only
    assert panel.dense
    assert panel.volume is None
    assert panel.close_fx[at["AAPL"]] == 26_400_000
    assert panel.open is panel.close


def test_the_index_is_the_benchmark_and_says_price_only(history: History):
    """The S&P 500 comes beside the universe, never in it."""
    label, dates, closes = history.benchmark_closes()
    assert "price only" in label
    assert (dates[0], dates[-1], len(dates)) == (19900102, 20221228, 8313)
    assert closes[0] == 359.69
    assert history.universe.benchmark == "SP500"
    assert "SP500" not in history.universe.symbols


def test_symbols_dates_and_benchmark_are_selected():
    """A filter cuts symbols and dates; the benchmark may be one of the twenty and stay outside the universe."""
    spec = HistorySpec(
        source="sp500", symbols=("XOM", "AAPL"), from_date=20150101, to_date=20221231, benchmark="JPM",
        sectors={"XOM": "Oil"},
    )  # fmt: skip
    history = open_history(spec)
    assert history.universe.symbols == ("AAPL", "XOM")
    assert history.universe.sectors == ("Information Technology", "Oil")
    assert (history.sessions[0].date, history.sessions[-1].date) == (20150102, 20221228)
    label, dates, closes = history.benchmark_closes()
    assert label.startswith("JPM")
    assert len(dates) == len(closes) == len(history.sessions)
    quality = history.quality
    assert quality.rows_read == quality.rows_used + quality.rows_filtered
    assert quality.rows_used == 3 * len(history.sessions)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (HistorySpec(source="sp501"), "no embedded source 'sp501'; use --source sp500"),
        (HistorySpec(source="sp500", adjustment=Adjustment.RAW), "adjusted for splits and dividends, not raw"),
        (HistorySpec(source="sp500", interval=parse_interval("5m")), "5m is finer than the data"),
        (HistorySpec(source="sp500", symbols=("TSLA",)), "has no bars of TSLA; choose among AAPL"),
        (HistorySpec(source="sp500", symbols=("SP500",)), "SP500 is an index and cannot be traded"),
        (HistorySpec(source="sp500", benchmark="SPY"), "no bars of the benchmark SPY"),
        (HistorySpec(source="sp500", from_date=20230101), "no bars in the range --from 2023-01-01"),
    ],
)
def test_wishes_the_data_cannot_fulfil_are_refused(spec: HistorySpec, sentence: str):
    """Each in one sentence with what to do."""
    with pytest.raises(OperatorError) as caught:
        open_history(spec)
    assert sentence in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    """Without the package the sentence says what to install."""
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package_anywhere")
    with pytest.raises(OperatorError, match="no_such_package_anywhere is not installed; install it with: pip install"):
        embedded.read_embedded()


@pytest.mark.parametrize(
    "content", [b"not gzip", gzip.compress(b"Date,SP500\n1990-01-02,abc\n"), gzip.compress(b"")[:9]]
)
def test_damaged_data_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes):
    """A damaged file is no traceback."""
    for name in (embedded.STOCKS, embedded.INDEX):
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(embedded, "_folder", lambda: tmp_path)
    with pytest.raises(OperatorError, match=r"the embedded data are damaged: .*; reinstall it"):
        embedded.read_embedded()


def test_other_symbols_than_expected_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Another release of the package with other companies would make every figure incomparable."""
    for name in (embedded.STOCKS, embedded.INDEX):
        (tmp_path / name).write_bytes(gzip.compress(b"Date,SP500\n1990-01-02,359.69\n"))
    monkeypatch.setattr(embedded, "_folder", lambda: tmp_path)
    with pytest.raises(OperatorError, match="hold other symbols than expected"):
        embedded.read_embedded()


def test_nothing_heavy_is_imported():
    """Reading the embedded data loads neither the package, nor pandas, nor polars."""
    code = (
        "import sys; from actors.feed.history import HistorySpec, open_history; "
        "open_history(HistorySpec(source='sp500')); "
        "print([m for m in ('skfolio', 'pandas', 'polars', 'sklearn', 'exchange_calendars') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_panels_and_session_closes_agree(history: History):
    """The block used for benchmarks holds what the panels show."""
    _, closes = history.session_closes()
    rows = np.array([m.close for m in history.inputs() if isinstance(m, BarPanel)])
    assert np.array_equal(rows, closes)
