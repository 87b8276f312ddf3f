"""Benchmarks against closed forms, and the verdicts built on them."""

from __future__ import annotations

import numpy as np
import pytest

from actors.reporter.analytics.metrics import MetricInputs, compute
from actors.reporter.analytics.trades import TradeColumns, profit_factor_interval
from actors.reporter.benchmarks import CostRates, equal_weight, index, random_portfolios
from actors.reporter.scoreboard import scoreboard

FREE = CostRates()


def walk(sessions: int, symbols: int, seed: int = 1) -> np.ndarray:
    """Random closes."""
    rng = np.random.default_rng(seed)
    return np.round(100 * np.cumprod(1 + rng.normal(0.0003, 0.012, (sessions, symbols)), axis=0), 2)


def test_buy_and_hold_of_one_symbol_is_the_closed_form() -> None:
    """Whole shares at the next open with spread, slippage and commission; the rest stays cash."""
    opens, closes = np.array([[10.0], [10.5], [11.0]]), np.array([[10.2], [10.8], [12.0]])
    costs = CostRates(commission_rate=0.001, slippage=0.0005, spread=0.0002)
    found = equal_weight(opens, closes, 0, 1000.0, costs, close_only=False)
    assert found is not None
    paid = 10.5 * (1 + 0.0005 + 0.0001)
    shares = int(1000 / (paid * 1.001))
    spent = shares * paid * 1.001
    expected = [1000, 1000, 1000 - spent + shares * 10.8, 1000 - spent + shares * 12.0]
    assert found.equity == pytest.approx(expected)


def test_close_only_data_buys_at_the_next_close() -> None:
    """Without opens the purchase is at the close, and the rule says so."""
    closes = np.array([[10.0], [20.0], [30.0]])
    found = equal_weight(np.full_like(closes, np.nan), closes, 0, 100.0, FREE, close_only=True)
    assert found is not None
    assert found.equity.tolist() == [100, 100, 100, 150]
    assert "closes only" in found.rule


def test_symbol_without_a_price_is_left_out() -> None:
    """Money is split among what can be bought; a later gap is valued at the last price, not at nothing."""
    closes = np.array([[10.0, np.nan], [10.0, 5.0], [np.nan, 5.0], [12.0, 6.0]])
    found = equal_weight(closes, closes, 0, 100.0, FREE, close_only=True)
    assert found is not None
    assert found.equity.tolist() == [100, 100, 100, 100, 120]


def test_nothing_to_buy_gives_no_benchmark() -> None:
    """A decision after the last session, or no prices, is None."""
    closes = walk(5, 2)
    assert equal_weight(closes, closes, 4, 100.0, FREE, close_only=False) is None
    assert equal_weight(closes, np.full_like(closes, np.nan), 0, 100.0, FREE, close_only=False) is None


def test_index_is_scaled_and_labelled_price_only() -> None:
    """The index starts at the first session's close with the same money."""
    found = index(np.array([2000.0, 2100.0, 1900.0]), 100.0, "S&P 500")
    assert found is not None
    assert found.equity == pytest.approx([100, 100, 105, 95])
    assert "price only" in found.label
    own = index(np.array([10.0, 11.0]), 100.0, "AAPL (total prices)")
    assert own is not None
    assert own.label == "AAPL (total prices)"  # which says already what is in it
    assert index(np.array([np.nan, 2000.0]), 100.0, "S&P 500") is None


def random(closes: np.ndarray, returns: np.ndarray, positions: int, seed: int = 1, **changes: object):
    """Random portfolios with full exposure from the first close and a swap a week."""
    n = closes.shape[0]
    arguments = {
        "exposure": np.ones(n),
        "turnover": np.where(np.arange(n) % 5 == 0, 0.25, 0.0),
        "cost_drag": np.zeros(n),
        "count": 300,
    } | changes
    return random_portfolios(
        closes, strategy_returns=returns, positions=positions, seed=seed, periods=252, rf=0.02, **arguments
    )


def test_random_portfolios_hold_the_market_on_average() -> None:
    """Their median is near the mean symbol, their spread is real, and the seed decides."""
    closes = walk(500, 20)
    returns = np.zeros(500)
    a, b, c = random(closes, returns, 5), random(closes, returns, 5), random(closes, returns, 5, seed=2)
    assert a.median_return == b.median_return
    assert a.median_return != c.median_return
    market = float(np.prod(1 + (closes[1:] / closes[:-1] - 1).mean(axis=1)) - 1)
    assert a.median_return == pytest.approx(market, abs=0.06)
    assert a.p95_return > a.median_return + 0.05


def test_costs_of_the_strategy_are_charged_to_chance() -> None:
    """A daily drag lowers every random portfolio by the same factor."""
    closes = walk(300, 10)
    free, charged = (random(closes, np.zeros(300), 4, cost_drag=np.full(300, drag)) for drag in (0.0, 0.001))
    ratio = (1 + charged.median_return) / (1 + free.median_return)
    assert ratio == pytest.approx((1 - 0.001) ** 300, rel=0.01)


def test_no_exposure_means_no_return() -> None:
    """Random portfolios of a strategy that stays in cash stay in cash, and there is nothing to compare."""
    found = random(walk(100, 10), np.zeros(100), 4, exposure=np.zeros(100), turnover=np.zeros(100))
    assert found.fan == pytest.approx(np.ones_like(found.fan))
    assert found.return_percentile is None


def test_holding_every_symbol_leaves_no_freedom() -> None:
    """With all symbols held a percentile means nothing."""
    found = random(walk(100, 6), np.zeros(100), 6)
    assert found.return_percentile is None
    assert "every symbol" in found.reason


def test_two_outcomes_are_no_distribution() -> None:
    """One of two symbols leaves chance two stories to tell: no percentile, and the reason is said."""
    found = random(walk(100, 2), np.zeros(100), 1)
    assert found.return_percentile is None
    assert found.sharpe_percentile is None
    assert "too few symbols" in found.reason
    assert random(walk(100, 10), np.zeros(100), 3).reason == ""


def test_a_handful_of_sessions_neither_beats_nor_loses_to_chance() -> None:
    """As with the drawdown, fewer than twenty sessions are insufficient for a verdict on luck."""
    for n, wanted in ((10, "insufficient"), (40, "fail")):
        returns = np.full(n, -0.01)
        metrics = compute(MetricInputs(returns, rf=0.02))
        rows = scoreboard(metrics, returns, None, None, random(walk(n, 10), returns, 3))
        assert {row.name: row.verdict for row in rows}["beat_random"] == wanted


def test_clairvoyance_beats_chance_and_bad_luck_does_not() -> None:
    """The best symbol of each day stands at the top, the worst at the bottom."""
    closes = walk(200, 10)
    daily = np.vstack((np.zeros((1, 10)), closes[1:] / closes[:-1] - 1))
    assert random(closes, daily.max(axis=1), 3).return_percentile == 1.0
    assert random(closes, daily.min(axis=1), 3).return_percentile == 0.0


def test_unpriced_symbols_are_not_drawn() -> None:
    """A symbol that never has a price contributes nothing and does not thin the exposure."""
    closes = np.hstack((np.tile(100 * 1.001 ** np.arange(100)[:, None], (1, 3)), np.full((100, 7), np.nan)))
    found = random(closes, np.zeros(100), 5)
    assert found.fan[:, -1] == pytest.approx(np.full(5, 1.001**99))


def board(returns: np.ndarray, pnl: list[float], benchmark: np.ndarray | None = None) -> dict[str, str]:
    """Verdicts by name."""
    metrics = compute(MetricInputs(returns, rf=0.02))
    pair = None if benchmark is None else ("bench", benchmark)
    return {row.name: row.verdict for row in scoreboard(metrics, returns, TradeColumns(np.array(pnl)), pair)}


def test_clear_success_passes_everything() -> None:
    """Steady gains and many wins pass each criterion."""
    rng = np.random.default_rng(1)
    found = board(rng.normal(0.002, 0.005, 1000), [2.0] * 300 + [-1.0] * 100, rng.normal(0, 0.005, 1000))
    assert set(found.values()) == {"pass"}


def test_clear_failure_fails_everything() -> None:
    """Steady losses fail each criterion."""
    rng = np.random.default_rng(1)
    found = board(rng.normal(-0.002, 0.005, 1000), [1.0] * 100 + [-2.0] * 300, rng.normal(0, 0.005, 1000))
    assert set(found.values()) == {"fail"}


def test_too_little_data_is_insufficient_not_a_pass() -> None:
    """Ten sessions and two trades prove nothing, however good they look."""
    found = board(np.array([0.01, 0.02] * 5), [5.0, 4.0])
    assert found["win_rate"] == found["profit_factor"] == found["max_drawdown"] == "insufficient"


def test_no_trades_and_no_returns_is_insufficient() -> None:
    """Nulls are insufficient."""
    assert set(board(np.zeros(50), []).values()) == {"insufficient", "pass"}
    assert board(np.zeros(50), [])["max_drawdown"] == "pass"
    assert board(np.zeros(50), [])["sharpe"] == "insufficient"


def test_zero_profit_trades_are_not_wins() -> None:
    """Nine hundred trades at zero and one hundred wins are a 10 % win rate."""
    assert board(np.full(30, 0.001), [0.0] * 900 + [1.0] * 100)["win_rate"] == "fail"


def test_profit_factor_interval_spans_chance() -> None:
    """The bootstrap interval holds the sample's own value and depends on the seed only."""
    pnl = np.random.default_rng(4).normal(0.2, 1, 400)
    low, high = profit_factor_interval(pnl, 1) or (0.0, 0.0)
    value = pnl[pnl > 0].sum() / -pnl[pnl < 0].sum()
    assert low < value < high
    assert (low, high) == profit_factor_interval(pnl, 1)


@pytest.mark.parametrize("n", [2, 7, 1001, 70_001])
def test_blocks_of_a_bootstrap_are_the_draws_of_one(n: int) -> None:
    """Many, some and single replicates a block against all draws at once, to the last bit."""
    pnl = np.random.default_rng(n).normal(0.5, 100, n)
    pnl[::17] = 0
    draws = pnl[np.random.default_rng(3).integers(0, n, size=(101, n))]
    gains, losses = np.where(draws > 0, draws, 0.0).sum(axis=1), -np.where(draws < 0, draws, 0.0).sum(axis=1)
    factors = np.sort(np.divide(gains, losses, out=np.full(101, np.inf), where=losses > 0))
    # Of 101 in order, a twentieth on both sides: floor(0.05 x 101) = 5 from below, ceil(0.95 x 101) = 96 from above.
    assert profit_factor_interval(pnl, 3, 101, 0.9) == (factors[5], factors[95])
