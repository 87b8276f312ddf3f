"""What the fold over frames makes of orders and predictions."""

from __future__ import annotations

import numpy as np
import pytest

from actors.messages.columns import pack_f64, pack_i32, pack_i64, unpack_i32
from actors.messages.inference import PredictionsScored, StrategyDisabled, StrategyFailed
from actors.messages.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderReplaced,
    SubmitOrder,
)
from actors.messages.portfolio import PositionAdjusted, PositionChanged, SignalsReady
from actors.reporter.performance import horizon_instants, realized_of
from actors.reporter.story import Story, gather
from actors.reporter.tables import orders_csv
from actors.values.fixed import SCALE
from daemon.journal.journal import StoredFrame


def told(*events: object) -> Story:
    """A story of events, one frame each."""
    return gather(StoredFrame(i, i, i, "test", None, [event], []) for i, event in enumerate(events, 1))


def order(name: str, limit: int | None = None) -> SubmitOrder:
    """Buy ten."""
    return SubmitOrder(name, "main", 0, 1, 10 * SCALE, limit_px=limit, reason="script")


def fill(kind: type, name: str, last: int, cum: int) -> object:
    """A fill of ``last`` shares at 5, ``cum`` in all."""
    return kind(
        f"o-{name}", name, f"o-{name}-{cum}", "main", 0, 1, last * SCALE, 5 * SCALE, 5 * SCALE, cum * SCALE,
        (10 - cum) * SCALE, 5 * SCALE, 0, 0, 0, 0, 0, "open", "taker", "", "script", "", None, False,
    )  # fmt: skip


def states(story: Story) -> dict[str, list[str]]:
    """The table's rows by client order id."""
    lines = orders_csv(story, ("SPY",)).splitlines()[1:]
    return {cells[1]: cells for cells in (line.split(",") for line in lines)}


def test_orders_end_in_their_last_state() -> None:
    """Accepted, filled in parts, cancelled, expired, rejected: status, quantity, price and reason are the last."""
    found = states(
        told(
            OrderAccepted("o-new", order("new"), 0),
            OrderAccepted("o-part", order("part"), 0),
            fill(OrderPartiallyFilled, "part", 4, 4),
            OrderAccepted("o-full", order("full"), 0),
            fill(OrderPartiallyFilled, "full", 4, 4),
            fill(OrderFilled, "full", 6, 10),
            OrderAccepted("o-gone", order("gone"), 0),
            OrderCanceled("o-gone", "gone", 0, "operator"),
            OrderAccepted("o-old", order("old"), 0),
            OrderExpired("o-old", "old", 0, "day"),
            OrderRejected("o-no", order("no"), "CLOSE_ONLY", "no auction"),
        )
    )
    status, cum, average, reason = 10, 11, 12, 13
    assert {name: row[status] for name, row in found.items()} == {
        "new": "new",
        "part": "partially_filled",
        "full": "filled",
        "gone": "canceled",
        "old": "expired",
        "no": "rejected",
    }
    assert (found["part"][cum], found["part"][average]) == ("4", "5")
    assert (found["gone"][reason], found["new"][reason]) == ("operator", "script")
    assert found["no"][reason] == "CLOSE_ONLY: no auction"


def test_replaced_terms_are_the_ones_shown() -> None:
    """A replace keeps the order and changes its terms."""
    story = told(
        OrderAccepted("o-a", order("a", 4 * SCALE), 0), OrderReplaced("o-a", "a", 12 * SCALE, 5 * SCALE, None, 0)
    )
    row = states(story)["a"]
    assert (row[7], row[8], row[9], row[10]) == ("12", "5", "", "new")


def test_events_of_unknown_orders_do_not_fail() -> None:
    """A journal that starts in the middle tells less, but does not break."""
    story = told(
        OrderCanceled("o-x", "x", 0, ""),
        OrderReplaced("o-x", "x", SCALE, None, None, 0),
        fill(OrderFilled, "x", 10, 10),
    )
    assert story.orders == {}
    assert story.costs.fills == 1


def test_traded_value_is_price_times_quantity() -> None:
    """Ten at five are fifty."""
    assert told(fill(OrderFilled, "a", 10, 10)).costs.traded_value == 50 * SCALE


def test_strategies_that_fail_are_counted() -> None:
    """By strategy and kind of error; switching off is kept with its time."""
    story = told(*[StrategyFailed("m", 1, 0, "ValueError")] * 3, StrategyDisabled("m", "errors", "daemon"))
    assert story.failures == {("m", "ValueError"): 3}
    assert [(ts, e.strategy) for ts, e in story.disabled] == [(4, "m")]


def signal(strategy: str, ids: list[int], model: str = "net@1") -> SignalsReady:
    """Equal scores for some symbols."""
    column = pack_f64(np.ones(len(ids)))
    return SignalsReady(
        strategy, 1, "1d", pack_i32(ids), column, column, b"", pack_i64(np.full(len(ids), SCALE)), model=model
    )


def test_two_strategies_behind_one_model_are_scored_apart() -> None:
    """The strategy, not the model, says which signals a score belongs to."""
    a, b = signal("a", [0]), signal("b", [0])
    scores = [
        PredictionsScored("net@1", 1, "1d", pack_i32([0]), pack_f64([r]), pack_f64([r]), name)
        for name, r in (("a", 0.1), ("b", -0.2))
    ]
    story = told(a, b, *scores)
    assert realized_of(story, a, unpack_i32(a.ids))[0].tolist() == [0.1]
    assert realized_of(story, b, unpack_i32(b.ids))[0].tolist() == [-0.2]


def test_scores_are_matched_by_symbol() -> None:
    """A score for fewer symbols, or in another order, lands on the right ones; the rest has not matured."""
    a = signal("a", [3, 1, 2])
    scored = PredictionsScored("net@1", 1, "1d", pack_i32([2, 3]), pack_f64([0.2, 0.3]), pack_f64([0.02, 0.03]))
    realized, tradable = realized_of(told(a, scored), a, unpack_i32(a.ids))
    np.testing.assert_array_equal(realized, [0.3, np.nan, 0.2])
    np.testing.assert_array_equal(tradable, [0.03, np.nan, 0.02])


@pytest.mark.parametrize(
    ("horizon", "interval", "expected"),
    [("5d", "1d", 5), ("30m", "5m", 6), ("1d", "1m", 1), ("7m", "5m", 2), ("soon", "1d", 1)],
)
def test_horizons_in_decisions(horizon: str, interval: str, expected: int) -> None:
    """How many neighbouring decisions overlap; 1 where the units differ or the text is not an interval."""
    assert horizon_instants(horizon, interval) == expected


def test_positions_follow_corporate_actions() -> None:
    """Ten at a cost of 50 are forty after a split, stand under a new name after a rename, and are gone once delisted.

    What was realised goes along: 3 for a fraction at the split, -20 at the delisting, -17 in all.
    """
    s = SCALE
    bought = PositionChanged("main", "x", 0, 10 * s, 50 * s, 0, 0, 0, None, (), ())
    split = PositionAdjusted("main", 0, "split", 0, 40 * s, 49 * s, 3 * s, 3 * s, 0, (), (), 4, 1)
    rename = PositionAdjusted("main", 0, "rename", 1, 40 * s, 49 * s, 0, 0, 0, (), ())
    delist = PositionAdjusted("main", 1, "delist", 1, 0, 0, -20 * s, -20 * s, 0, (), ())
    story = told(bought, split)
    found = story.holdings["main", 0]
    assert (found.qty, found.cost, found.realized) == (40 * s, 49 * s, 3 * s)
    story = told(bought, split, rename)
    assert {key: (h.qty, h.cost, h.realized) for key, h in story.holdings.items()} == {
        ("main", 1): (40 * s, 49 * s, 3 * s)
    }
    story = told(bought, split, rename, delist)
    assert [(h.qty, h.cost, h.realized) for h in story.holdings.values()] == [(0, 0, -17 * s)]
