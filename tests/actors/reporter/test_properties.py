"""Invariants of the statistics that hold for any series."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actors.reporter.analytics import basics, drawdown, predictions, sharpe
from actors.reporter.analytics.metrics import MetricInputs, compute
from actors.reporter.analytics.trades import TradeColumns, trade_stats
from actors.reporter.scoreboard import judge
from actors.reporter.tables import number, numbers

returns = hnp.arrays(
    np.float64, st.integers(2, 60), elements=st.floats(-0.3, 0.3, allow_subnormal=False).map(lambda v: round(v, 6))
)
ratios = ("sharpe", "sortino", "omega", "tail_ratio", "skew", "kurtosis_excess", "psr")


@given(returns, st.sampled_from([0.01, 0.05, 0.1, 0.25]))
def test_cvar_is_never_below_var(r: np.ndarray, alpha: float) -> None:
    """The mean of the tail is at least as bad as its edge."""
    value, tail = basics.var_historical(r, alpha), basics.cvar_historical(r, alpha)
    assert value is not None
    assert tail is not None
    assert tail >= value - 1e-12


@given(returns)
def test_drawdown_lies_between_minus_one_and_zero(r: np.ndarray) -> None:
    """A drawdown is a fraction of the peak; the deepest one is the minimum; episodes do not overlap."""
    index = basics.wealth(r)
    dd = drawdown.drawdowns(index)
    assert ((dd >= -1) & (dd <= 0)).all()
    found = drawdown.episodes(index)
    assert min((e.depth for e in found), default=0.0) == dd.min()
    assert all(a.end <= b.peak for a, b in pairwise(found))
    assert all(e.peak < e.trough <= e.end for e in found)


@given(returns, st.floats(0.1, 3.0))
def test_ratios_do_not_depend_on_the_size_of_the_bet(r: np.ndarray, factor: float) -> None:
    """Sharpe, Sortino, omega and the moments are scale-free at rf = 0; deviations scale."""
    assume(not basics.is_flat(r) and float(r.max() - r.min()) > 1e-3)
    a, b = compute(MetricInputs(r)), compute(MetricInputs(r * factor))
    for name in ratios:
        x, y = a[name]["value"], b[name]["value"]
        assert (x is None) == (y is None)
        if x is not None:
            np.testing.assert_allclose(x, y, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(a["volatility"]["value"] * factor, b["volatility"]["value"], rtol=1e-9)


@given(returns)
def test_every_value_is_finite_or_null(r: np.ndarray) -> None:
    """JSON can carry every answer."""
    for name, entry in compute(MetricInputs(r, rf=0.02, benchmark=r[::-1].copy())).items():
        assert entry["value"] is None or np.isfinite(entry["value"]), name


@given(returns)
def test_sharpe_ratio_lies_inside_its_interval(r: np.ndarray) -> None:
    """The interval surrounds the value, and the probabilities agree with its sign."""
    found = {name: entry["value"] for name, entry in compute(MetricInputs(r)).items()}
    if found["sharpe_ci_low"] is not None:
        assert found["sharpe_ci_low"] <= found["sharpe"] <= found["sharpe_ci_high"]
        assert (found["psr"] >= 0.5) == (found["sharpe"] >= 0)


@given(returns)
def test_a_series_against_itself(r: np.ndarray) -> None:
    """Beta 1, alpha 0, no tracking error, and so no information ratio."""
    assume(r.size > 2 and float(r.max() - r.min()) > 1e-3)
    found = {name: entry["value"] for name, entry in compute(MetricInputs(r, benchmark=r)).items()}
    np.testing.assert_allclose(found["beta"], 1.0)
    np.testing.assert_allclose(found["alpha"], 0.0, atol=1e-9)
    assert found["tracking_error"] == 0.0
    assert found["information_ratio"] is None


@given(hnp.arrays(np.float64, st.integers(0, 40), elements=st.integers(-5, 5).map(float)))
def test_trade_statistics_add_up(pnl: np.ndarray) -> None:
    """Wins, losses and ties partition the trades; expectancy is the mean."""
    stats = trade_stats(TradeColumns(pnl))
    assert stats.wins + stats.losses + int((pnl == 0).sum()) == stats.num_trades
    if pnl.size:
        assert stats.expectancy is not None
        np.testing.assert_allclose(stats.expectancy, pnl.mean(), atol=1e-12)
    assert (stats.profit_factor is None) == (stats.losses == 0)


@given(st.integers(0, 200), st.integers(1, 200))
def test_wilson_interval_holds_the_share(hits: int, n: int) -> None:
    """The interval is inside [0, 1] and around the observed share."""
    assume(hits <= n)
    found = basics.wilson(hits, n)
    assert found is not None
    assert 0 <= found[0] <= hits / n + 1e-12
    assert hits / n - 1e-12 <= found[1] <= 1


@given(st.data())
def test_murphy_terms_add_up_to_brier(data: st.DataObject) -> None:
    """Reliability - resolution + uncertainty + the rest within bins is Brier's score."""
    n = data.draw(st.integers(1, 80))
    p = data.draw(hnp.arrays(np.float64, n, elements=st.floats(0, 1)))
    y = data.draw(hnp.arrays(np.float64, n, elements=st.sampled_from([0.0, 1.0])))
    parts, score = predictions.murphy(p, y), predictions.brier(p, y)
    assert parts is not None
    total = parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within_bins"]
    np.testing.assert_allclose(total, score, atol=1e-12)
    error = predictions.calibration_error(p, y)
    assert error is not None
    assert 0 <= error <= 1


@given(st.lists(st.integers(-20, 20), min_size=3, max_size=60))
def test_rank_correlation_ignores_monotone_change(values: list[int]) -> None:
    """Spearman is 1 against any increasing function and -1 against a decreasing one."""
    a = np.array(values, dtype=np.float64)
    assume(len(set(values)) > 1)
    np.testing.assert_allclose(predictions.spearman(a, a**3), 1.0)
    np.testing.assert_allclose(predictions.spearman(a, -a), -1.0)


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0, 2), st.floats(0, 2))
def test_verdicts_agree_with_intervals(value: float, bar: float, below: float, above: float) -> None:
    """An interval that holds the bar is insufficient; else the value decides."""
    low, high = value - below, value + above
    verdict = judge(value, bar, ">", low, high)
    assert (verdict == "insufficient") == (low <= bar <= high)
    if verdict != "insufficient":
        assert (verdict == "pass") == (value > bar)
    assert judge(None, bar, ">", low, high) == "insufficient"


@given(st.floats(0.01, 0.3), st.integers(2, 2000))
def test_track_record_is_where_psr_reaches_its_level(sr: float, n: int) -> None:
    """MinTRL solves PSR = 95 %."""
    need = sharpe.min_track_record(sr, 0.0, 3.0)
    value = sharpe.psr(sr, n, 0.0, 3.0)
    assert need is not None
    assert value is not None
    assume(abs(n - need) > 1e-6)
    assert (value > 0.95) == (n > need)


@given(st.lists(st.floats() | st.none()))
@example([1.0, -0.0, 0.5, 10.0, 1e15])
@example([1e-4, 1e-5, 1e16, 5e-324])
@example([float("inf"), float("nan"), None])
def test_a_column_of_numbers_reads_as_each_of_them(values: list[float | None]) -> None:
    """Whole ones, tiny and huge ones, and what is no number."""
    assert numbers(values) == [number(value) for value in values]
