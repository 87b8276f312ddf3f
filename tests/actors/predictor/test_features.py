"""Features, scores and bars against plain definitions."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.api import Params, Window, strategy
from actors.messages.columns import unpack_f64
from actors.messages.portfolio import SignalsReady
from actors.predictor.features.normal import confidence_level
from actors.predictor.features.prices import LOOKBACK, NAMES, price_features
from actors.predictor.registry import bind


def test_the_confidence_level_is_that_of_the_normal_distribution() -> None:
    """Within 4e-4, odd, monotone; the gates .65 and .60 lie at 0.93 and 0.84 deviations."""
    z = np.linspace(-8, 8, 3201)
    exact = np.array([math.erf(x / math.sqrt(2)) for x in z])
    got = confidence_level(z)
    assert np.abs(got - exact).max() < 4e-4
    assert np.allclose(got, -confidence_level(-z), rtol=0, atol=1e-14)
    assert (np.diff(got) >= 0).all()
    assert np.abs(got).max() <= 1
    assert abs(np.interp(0.65, got, z) - 0.9346) < 2e-3
    assert abs(np.interp(0.60, got, z) - 0.8416) < 2e-3
    assert np.isnan(confidence_level(np.array([np.nan]))[0])


def test_features_equal_their_definitions(prices) -> None:
    """Each written out for one symbol."""
    close = prices(LOOKBACK, 3)
    got = dict(zip(NAMES, price_features(close)[1], strict=True))
    x = close[:, 1]
    r = np.diff(np.log(x))
    sd = {n: float(np.std(r[-n:], ddof=1)) for n in (5, 21, 63)}
    want = {
        "ret_1": math.log(x[-1] / x[-2]) / sd[63],
        "ret_5": math.log(x[-1] / x[-6]) / sd[63] / math.sqrt(5),
        "ret_21": math.log(x[-1] / x[-22]) / sd[63] / math.sqrt(21),
        "ret_63": math.log(x[-1] / x[-64]) / sd[63] / math.sqrt(63),
        "vol_5_63": math.log(sd[5] / sd[63]),
        "vol_21_63": math.log(sd[21] / sd[63]),
        "vol_63": math.log(sd[63]),
        "dist_mean_20": math.log(x[-1] / x[-20:].mean()) / sd[63],
        "dist_high_64": math.log(x[-1] / x.max()) / sd[63],
    }
    assert all(abs(got[name] - want[name]) < 1e-9 for name in NAMES)


def test_features_do_not_depend_on_scale_or_company(prices) -> None:
    """A symbol's features are its own."""
    close = prices(80, 4)
    whole = price_features(close)
    assert np.allclose(whole, price_features(close * np.array([0.01, 3.0, 1.0, 900.0])), atol=1e-8)
    assert np.array_equal(price_features(close[:, [2]]), whole[[2]])
    assert np.array_equal(price_features(close[-LOOKBACK:]), whole)


def test_a_gap_makes_features_unknown_and_a_constant_price_does_not_overflow(prices) -> None:
    """NaN for the one, finite numbers for the other."""
    close = prices(LOOKBACK, 3)
    close[10, 0] = np.nan
    close[:, 1] = 5.0
    features = price_features(close)
    assert np.isnan(features[0]).any()
    assert np.isfinite(features[1:]).all()


def last_scores(make_run, feeds, name, closes, params=None):
    """Return the last scores of a built-in on daily closes."""
    run = make_run([bind(name, params)], symbols=closes.shape[1]).feed(feeds.daily(closes))
    return unpack_f64(run.events(SignalsReady)[-1].score)


def test_momentum_is_the_t_statistic_of_the_mean_return(make_run, feeds, prices) -> None:
    """Against numpy's own mean and deviation, latest bars left out."""
    closes = prices(40, 4)
    scores = last_scores(make_run, feeds, "momentum", closes, {"lookback": 30, "skip": 5})
    r = np.diff(np.log(closes[:-5][-31:]), axis=0)
    t = r.mean(axis=0) / (r.std(axis=0, ddof=1) / np.sqrt(30))
    assert np.allclose(scores, [math.erf(x / math.sqrt(2)) for x in t], atol=5e-4)


def test_mean_reversion_is_the_distance_below_the_average(make_run, feeds, prices) -> None:
    """In deviations of the log closes; sign against the move."""
    closes = prices(30, 4)
    scores = last_scores(make_run, feeds, "mean_reversion", closes, {"lookback": 20})
    logs = np.log(closes[-20:])
    z = (logs.mean(axis=0) - logs[-1]) / logs.std(axis=0)
    assert np.allclose(scores, [math.erf(x / math.sqrt(2)) for x in z], atol=5e-4)


def test_multi_factor_ranks_the_universe(make_run, feeds) -> None:
    """Of three calm stocks the steady riser stands first, the steady faller last; the scores are about centred."""
    rows = np.arange(140)[:, None]
    wiggle = 0.001 * np.sin(rows * np.array([1.0, 1.1, 1.2, 1.3]))
    closes = 100 * np.exp(rows * np.array([0.002, 0.0005, -0.0005, -0.002]) + wiggle)
    scores = last_scores(make_run, feeds, "multi_factor", closes, {"w_reversal": 0, "w_volatility": 0})
    assert np.array_equal(np.argsort(scores), [3, 2, 1, 0])
    assert abs(scores.sum()) < 0.01


def test_multi_factor_needs_a_cross_section(make_run, feeds, prices) -> None:
    """Two symbols are none."""
    run = make_run([bind("multi_factor")], symbols=2).feed(feeds.daily(prices(140, 2)))
    assert run.events() == []


def test_a_price_that_never_moves_is_no_signal(make_run, feeds) -> None:
    """Zero, not an overflow, not NaN."""
    closes = np.full((140, 3), 7.0)
    for name in ("momentum", "mean_reversion", "multi_factor"):
        assert last_scores(make_run, feeds, name, closes).tolist() == [0.0, 0.0, 0.0]


def test_buy_and_hold_wants_everything_and_asks_to_be_spared_exits(make_run, feeds) -> None:
    """Score and confidence 1, the flag set."""
    event = make_run([bind("buy_and_hold")]).feed(feeds.daily(np.ones((1, 3)))).events(SignalsReady)[0]
    assert event.buy_and_hold
    assert unpack_f64(event.score).tolist() == unpack_f64(event.confidence).tolist() == [1.0] * 3


@settings(max_examples=60, deadline=None)
@given(data=st.data(), size=st.integers(2, 9), rows=st.integers(1, 45))
def test_aggregated_bars_equal_a_plain_loop(make_run, feeds, prices, data, size, rows) -> None:
    """First open, highest high, lowest low, last close, summed volume per symbol, whatever is missing."""
    n, minutes = 2, 20

    @strategy(bar=f"{size}m", lookback=50, horizon="1d")
    def s(w: Window, p: Params) -> None: ...

    pattern = st.lists(st.sampled_from(range(n)), unique=True).map(sorted)
    present = data.draw(st.lists(pattern, min_size=rows, max_size=rows))
    closes = prices(rows, n)
    opens = closes * 1.01
    volume = np.arange(rows * n, dtype=np.float64).reshape(rows, n)
    inputs = feeds.minute(closes, present, opens=opens, minutes=minutes, volume=volume)
    series = make_run([s], symbols=n, interval="1m").feed(inputs).actor._bars[0].series
    stamps = series.stamps(50).tolist()
    assert stamps == sorted(set(stamps))
    for i in range(n):
        want = []
        for first in range(0, rows, minutes):
            for begin in range(first, min(first + minutes, rows), size):
                end = min(begin + size, first + minutes)
                inside = [r for r in range(begin, min(end, rows)) if i in present[r]]
                # A bar is there once its end or anything after it has come in.
                closed = any(present[r] for r in range(end - 1, rows)) or rows >= first + minutes
                if inside and closed:
                    o, c, v = opens[inside, i], closes[inside, i], volume[inside, i]
                    want.append([o[0], max(o.max(), c.max()), min(o.min(), c.min()), c[-1], v.sum()])
        columns = np.stack([series.ring.view(f)[:, i] for f in ("open", "high", "low", "close", "volume")], axis=1)
        assert columns[~np.isnan(columns[:, 3])].tolist() == want
