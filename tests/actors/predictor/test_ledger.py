"""Predictions are scored when their horizon is over: maturity tables, sparse data, close-only data, bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.api import Params, Signal, Window, strategy
from actors.messages.columns import pack_f64, pack_i32, pack_i64, unpack_f64, unpack_i32
from actors.messages.inference import PredictionsScored
from actors.messages.portfolio import SignalsReady
from actors.predictor.ledger import PredictionLedger

CLOSES = np.array([[100.0], [110.0], [99.0], [120.0], [150.0]])
OPENS = np.array([[98.0], [104.0], [108.0], [100.0], [125.0]])


def always(horizon, **options):
    """Return a strategy that always says 0.5."""

    @strategy(name="s", horizon=horizon, **options)
    def s(w: Window, p: Params) -> Signal:
        return Signal(0.5)

    return s


def table(run):
    """Return rows (frame of scoring, decision, realized, tradable) of single-symbol scores, rounded."""
    rows = []
    for at, frame in enumerate(f for f in run.frames if any(type(e) is PredictionsScored for e in f.events)):
        for e in frame.events:
            if type(e) is PredictionsScored:
                r, t = unpack_f64(e.realized), unpack_f64(e.realized_tradable)
                rows.append((at, e.decision, *(None if np.isnan(x[0]) else round(float(x[0]), 6) for x in (r, t))))
    return rows


def test_sessions_mature_at_the_close_n_sessions_later(make_run, feeds) -> None:
    """2d: from close t to close t+2; tradable from open t+1."""
    run = make_run([always("2d")], symbols=1).feed(feeds.daily(CLOSES, OPENS))
    assert table(run) == [
        (0, 1, -0.01, round(99 / 104 - 1, 6)),
        (1, 2, round(120 / 110 - 1, 6), round(120 / 108 - 1, 6)),
        (2, 3, round(150 / 99 - 1, 6), round(150 / 100 - 1, 6)),
    ]
    assert len(run.actor.ledger) == 2


def test_close_only_data_are_tradable_from_the_next_close_on(make_run, feeds) -> None:
    """A one-day horizon is over when its order fills: there is a realized return but no tradable one."""
    run = make_run([always("1d")], symbols=1).feed(feeds.daily(CLOSES, close_only=True))
    assert [row[3] for row in table(run)] == [None] * 4
    assert table(run)[0][2] == 0.1
    run = make_run([always("2d")], symbols=1).feed(feeds.daily(CLOSES, close_only=True))
    assert table(run)[0] == (0, 1, -0.01, round(99 / 110 - 1, 6))


def test_one_day_with_opens_is_tradable_from_open_to_close(make_run, feeds) -> None:
    """The first tradable price is the same bar's open."""
    run = make_run([always("1d")], symbols=1).feed(feeds.daily(CLOSES, OPENS))
    assert table(run)[0] == (0, 1, 0.1, round(110 / 104 - 1, 6))


def test_minutes_mature_at_the_first_panel_at_or_after(make_run, feeds) -> None:
    """3m from minute 1 is minute 4; without a panel then, minute 5."""
    closes = np.arange(100.0, 110.0).reshape(-1, 1)
    opens = closes - 0.5
    present = [None] * 10
    plain = make_run([always("3m")], symbols=1, interval="1m").feed(feeds.minute(closes, opens=opens))
    assert table(plain)[0] == (0, 1, 0.03, round(103 / 100.5 - 1, 6))
    present[3] = []
    run = make_run([always("3m")], symbols=1, interval="1m").feed(feeds.minute(closes, present, opens=opens))
    assert table(run)[0] == (0, 1, 0.04, round(104 / 100.5 - 1, 6))


def test_several_decisions_mature_on_one_panel_in_order(make_run, feeds) -> None:
    """A gap in the data lets three fall due at once."""
    closes = np.arange(100.0, 110.0).reshape(-1, 1)
    present = [None, None, None, [], [], [], None, None, None, None]
    run = make_run([always("2m")], symbols=1, interval="1m").feed(feeds.minute(closes, present))
    assert [row[:2] for row in table(run)[:4]] == [(0, 1), (1, 2), (1, 3), (2, 4)]


def test_a_symbol_without_any_bar_since_has_no_realized_return(make_run, feeds) -> None:
    """S1 stands still: NaN, not zero. When it trades again its last close counts."""
    closes = np.array([[100.0, 10.0], [101.0, 0], [102.0, 0], [103.0, 12.0]])
    run = make_run([always("2d")], symbols=2).feed(feeds.daily(closes, present=[None, [0], [0], None]))
    first = run.events(PredictionsScored)[0]
    assert unpack_i32(first.ids).tolist() == [0, 1]
    assert np.array_equal(unpack_f64(first.realized), [0.02, np.nan], equal_nan=True)
    assert np.isnan(unpack_f64(first.realized_tradable)[1])
    second = run.events(PredictionsScored)[1]
    assert unpack_i32(second.ids).tolist() == [0]


def test_a_score_names_the_signals_it_belongs_to(make_run, feeds) -> None:
    """(strategy, decision, horizon) joins the two."""
    run = make_run([always("1d")], symbols=1).feed(feeds.daily(CLOSES))
    signals = {(e.strategy, e.decision, e.horizon): e.ids for e in run.events(SignalsReady)}
    scored = run.events(PredictionsScored)
    assert len(scored) == 4
    assert all(signals[e.strategy, e.decision, e.horizon] == e.ids for e in scored)
    assert {e.model for e in scored} == {"s"}


def test_session_horizons_of_intraday_decisions_end_at_a_close(make_run, feeds) -> None:
    """1d from anywhere in session 0 is the close of session 1."""
    closes = np.arange(100.0, 220.0).reshape(-1, 1)
    run = make_run([always("1d")], symbols=1, interval="1m", decision="30m").feed(feeds.minute(closes))
    scored = run.events(PredictionsScored)
    assert [e.decision for e in scored] == [1, 2]
    assert [round(float(unpack_f64(e.realized)[0]), 9) for e in scored] == [
        round(219 / 129 - 1, 9),
        round(219 / 159 - 1, 9),
    ]


def test_memory_is_bounded_and_what_is_not_remembered_is_counted(feeds) -> None:
    """Beyond the limit predictions are recorded but not scored."""
    ledger = PredictionLedger(1, limit=3)
    s = feeds.session(0)
    ledger.observe(feeds.panel(s, s.close_ts, [100.0], daily=True))
    for decision in range(5):
        event = signals(decision, "1d", [0], [100.0])
        ledger.add(event, s.close_ts, 0)
    assert (len(ledger), ledger.unremembered) == (3, 2)
    for event in ledger.due_in(1):
        ledger.drop(event)
    assert len(ledger) == 0


def signals(decision, horizon, ids, price):
    """Return an event as the ledger needs it."""
    return SignalsReady(
        strategy="s",
        decision=decision,
        horizon=horizon,
        ids=pack_i32(ids),
        score=pack_f64([0.5] * len(ids)),
        confidence=pack_f64([0.5] * len(ids)),
        p_up=b"",
        price=pack_i64([round(p * 1e8) for p in price]),
        model="s",
    )


def expected(closes, opens, present, t, minutes, n):
    """Compute scores of the decision at row t by plain loops: (realized, tradable) per symbol, or None before due."""
    due = next((r for r in range(t + 1, len(closes)) if r >= t + minutes and present[r]), None)
    if due is None:
        return None
    realized, tradable = [], []
    for i in range(n):
        bars = [r for r in range(t + 1, due + 1) if i in present[r]]
        if i not in present[t]:
            continue
        realized.append(closes[bars[-1]][i] / closes[t][i] - 1 if bars else np.nan)
        tradable.append(closes[bars[-1]][i] / opens[bars[0]][i] - 1 if bars else np.nan)
    return realized, tradable


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    n=st.integers(1, 4),
    rows=st.integers(2, 25),
    minutes=st.integers(1, 6),
    cut=st.integers(0, 25),
)
def test_scores_equal_a_plain_loop_over_any_pattern_of_missing_bars(
    make_run, feeds, prices, data, n, rows, minutes, cut
) -> None:
    """Dense panels, sparse panels, missing panels; split by a snapshot or not: the same numbers."""
    whole = st.just(list(range(n)))
    some = st.lists(st.sampled_from(range(n)), unique=True).map(sorted)
    present = data.draw(st.lists(st.one_of(whole, some), min_size=rows, max_size=rows))
    closes = prices(rows, n)
    opens = closes * 0.99
    asked = [None if p == list(range(n)) else p for p in present]
    inputs = feeds.minute(closes, asked, opens=opens)
    bindings = [always(f"{minutes}m")]
    run = make_run(bindings, symbols=n, interval="1m").feed(inputs[:cut])
    run = run.split(bindings, inputs[:cut], symbols=n, interval="1m").feed(inputs[cut:])
    scored = {e.decision: e for e in run.events(PredictionsScored)}
    decisions = [t for t in range(rows) if present[t]]
    assert len(run.events(SignalsReady)) == len(decisions)
    for number, t in enumerate(decisions, 1):
        want = expected(closes, opens, present, t, minutes, n)
        assert (want is None) == (number not in scored)
        if want is not None:
            got = scored[number]
            assert np.allclose(unpack_f64(got.realized), want[0], atol=2e-9, equal_nan=True)
            assert np.allclose(unpack_f64(got.realized_tradable), want[1], atol=2e-9, equal_nan=True)


def test_a_symbol_silent_for_long_has_no_fair_entry(make_run, feeds) -> None:
    """After 32 panels without a bar the search for a tradable price ends; the realized return is still known."""
    rows = 45
    closes = np.full((rows, 2), 100.0)
    closes[40:, 1] = 120.0
    present = [None] + [[0]] * 39 + [None] * 5
    inputs = feeds.minute(closes, present)
    run = make_run([always("42m")], symbols=2, interval="1m").feed(inputs)
    first = run.events(PredictionsScored)[0]
    assert unpack_f64(first.realized).tolist() == [0.0, 0.2]
    assert np.array_equal(unpack_f64(first.realized_tradable), [0.0, np.nan], equal_nan=True)


@pytest.mark.parametrize("horizon", ["1d", "3m"])
def test_nothing_waits_without_signals(make_run, feeds, horizon) -> None:
    """An abstaining strategy leaves the ledger empty."""

    @strategy(name="s", horizon=horizon)
    def s(w: Window, p: Params) -> None: ...

    run = make_run([s], symbols=1, interval="1m").feed(feeds.minute(np.ones((10, 1))))
    assert len(run.actor.ledger) == 0
