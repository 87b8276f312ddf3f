"""How large an order may be: share of average daily volume, and what is normal for who sends it."""

from __future__ import annotations

import math

import msgspec
import pytest

from actors.messages.limits import SymbolLimits
from actors.messages.market import CorporateAction
from actors.messages.orders import BUY, SELL, CancelOrder, OrderType
from actors.values.fixed import SCALE, to_fixed
from tests.actors.risk.feeding import day, show

LIMIT = OrderType.LIMIT


def limits(base, **changes):
    """Return wide limits with some of them set."""
    return msgspec.structs.replace(base, **changes)


@pytest.fixture
def known(world, wide):
    """Return a daily world in which A trades 1,000 shares a session, B an unknown number, C none."""

    def build(**changes):
        w = world(limits(wide, max_order_adv=0.05, **changes), daily=True, cash=10_000_000)
        for _ in range(3):
            day(w, [100.0] * 3, [1_000.0, math.nan, 0.0])
        show(w, [100.0] * 3, [1_000.0, math.nan, 0.0])
        return w

    return build


# -- average daily volume ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("qty", "verdict"), [(49, "ok"), (50, "ok"), (51, "MAX_ADV")])
def test_an_entry_has_at_most_its_share_of_average_volume_on_new_and_on_replace(known, qty, verdict):
    """5 % of 1,000 are 50 shares."""
    w = known()
    assert w.submit(BUY, qty) == verdict
    assert w.submit(BUY, 1, client_order_id="a", type=LIMIT, limit_px=90) == "ok"
    assert w.replace("a", qty) == verdict


def test_the_denial_names_share_average_and_the_most(known):
    """51 of 1,000 are 5.1 %."""
    denied = known().denial(BUY, 51)
    assert (denied.code, denied.value, denied.limit) == ("MAX_ADV", "51", "50")
    assert "5.1 % of A's average daily volume of 1000" in denied.reason
    assert "order 50 or less" in denied.reason


def test_a_reduction_is_never_too_large_for_the_market(known):
    """300 shares are held of 1,000 a day: they may all be sold."""
    w = known()
    w.hold(300)
    assert w.submit(SELL, 300) == "ok"


def test_where_nobody_trades_nothing_is_entered(known):
    """C's volume is known to be zero; 5 % of that are no shares."""
    denied = known().denial(BUY, 1, symbol=2)
    assert (denied.code, denied.limit) == ("MAX_ADV", "0")


@pytest.mark.parametrize("again", ["", "split"])
def test_volumes_that_come_later_make_averages_unknown_at_once(world, wide, again):
    """Bars had no volumes, so the rule was off; from the first volume on it is not, with a restart and without."""
    w = world(limits(wide, max_order_adv=0.05, deny_unknown_adv=True), price=None)
    show(w, [100.0] * 3)
    assert w.submit(BUY, 1) == "ok"
    show(w, [100.0] * 3, [1_000.0] * 3)
    if again:
        getattr(w, again)()
    assert w.submit(BUY, 1) == "UNKNOWN_ADV"


@pytest.mark.parametrize(("deny", "verdict"), [(False, "ok"), (True, "UNKNOWN_ADV")])
def test_an_unknown_average_passes_or_is_denied_as_configured(known, deny, verdict):
    """Of B no session's volume is known."""
    w = known(deny_unknown_adv=deny)
    assert w.submit(BUY, 500, symbol=1) == verdict
    assert w.submit(BUY, 50) == "ok"
    w.hold(10, symbol=1)
    assert w.submit(SELL, 10, symbol=1) == "ok"


@pytest.mark.parametrize("volume", [math.nan, math.inf, -1_000.0])
def test_what_cannot_be_a_volume_is_an_unknown_one(world, wide, volume):
    """It neither lets anything through nor spoils the average of the others."""
    w = world(limits(wide, max_order_adv=0.05, deny_unknown_adv=True), daily=True)
    day(w, [100.0] * 3, [volume, 1_000.0, 1_000.0])
    show(w, [100.0] * 3, [volume, 1_000.0, 1_000.0])
    assert w.submit(BUY, 1) == "UNKNOWN_ADV"
    assert w.submit(BUY, 50, symbol=1) == "ok"
    assert w.submit(BUY, 51, symbol=1) == "MAX_ADV"


def test_a_huge_volume_limits_nothing(world, wide):
    """1e300 shares a day are beyond what any order can have."""
    w = world(limits(wide, max_order_adv=0.05), daily=True, cash=1_000_000)
    day(w, [1.0] * 3, [1e300] * 3)
    show(w, [1.0] * 3, [1e300] * 3)
    assert w.submit(BUY, 500_000) == "ok"


@pytest.mark.parametrize("deny", [False, True])
def test_without_a_volume_column_the_rule_is_off(world, wide, deny):
    """There is nothing to measure against, and the run says so."""
    w = world(limits(wide, max_order_adv=0.05, deny_unknown_adv=deny), daily=True, cash=10_000_000)
    day(w, [100.0] * 3)
    assert w.submit(BUY, 50_000) == "ok"


def test_before_the_first_session_of_volumes_an_average_is_unknown(world, wide):
    """Bars of a session that is not over are in no average."""
    w = world(limits(wide, max_order_adv=0.05, deny_unknown_adv=True), price=None)
    assert w.submit(BUY, 1) == "UNKNOWN_ADV"
    show(w, [100.0] * 3, [400.0] * 3)
    show(w, [100.0] * 3, [600.0] * 3)
    assert w.submit(BUY, 1) == "UNKNOWN_ADV"
    w.close()
    w.open()
    show(w, [100.0] * 3, [400.0] * 3)
    assert w.submit(BUY, 50) == "ok"  # 5 % of 400 + 600
    assert w.submit(BUY, 51) == "MAX_ADV"


def test_a_symbols_own_share_binds_where_it_is_tighter(known):
    """2 % of 1,000 are 20; 50 % of it would be looser than the general 5 %."""
    w = known(symbols={"A": SymbolLimits(max_order_adv=0.02)})
    assert w.submit(BUY, 20) == "ok"
    assert w.submit(BUY, 21) == "MAX_ADV"
    w = known(symbols={"A": SymbolLimits(max_order_adv=0.5)})
    assert w.submit(BUY, 50) == "ok"
    assert w.submit(BUY, 51) == "MAX_ADV"


def test_behind_a_split_averages_are_in_the_new_shares(known):
    """Four for one: 1,000 old shares a day are 4,000 new ones, of which 200 are 5 %."""
    w = known()
    w.close()
    w.open()
    w.process(CorporateAction(w.clock.now(), w.session.date, 0, "split", 4 * SCALE, None, None, 4, 1))
    assert w.submit(BUY, 200) == "ok"
    assert w.submit(BUY, 201) == "MAX_ADV"


def test_behind_a_reverse_split_less_is_allowed_at_once(world, wide):
    """One for four: 1,000 old shares a day are 250 new ones, of which 12.5 are 5 %; before, 50 were, of all."""
    w = world(limits(wide, max_order_adv=0.05), daily=True)
    day(w, [100.0] * 3, [1_000.0] * 3)
    show(w, [100.0] * 3, [1_000.0] * 3)
    assert w.submit(BUY, 50) == "ok"
    w.process(CorporateAction(w.clock.now(), w.session.date, 0, "split", SCALE // 4, None, None, 1, 4))
    assert (w.submit(BUY, 12), w.submit(BUY, 13)) == ("ok", "MAX_ADV")


def test_a_restart_keeps_the_averages(known):
    """Snapshot, fresh actors."""
    w = known()
    w.split()
    assert w.submit(BUY, 50) == "ok"
    assert w.submit(BUY, 51) == "MAX_ADV"


# -- what is normal ------------------------------------------------------------------------------------------------


def rounds(w, sizes, **fields):
    """Enter and leave again, so that every entry opens a position."""
    for qty in sizes:
        n = w.n
        assert w.submit(BUY, qty, strategy="s", reason="signal", decision=n, **fields) == "ok"
        w.fill((f"c{w.n}", qty, 100))
        assert w.submit(SELL, qty, strategy="s", reason="signal", decision=n, **fields) == "ok"
        w.fill((f"c{w.n}", qty, 100))


@pytest.mark.parametrize(("qty", "verdict"), [(99, "ok"), (100, "ok"), (101, "UNUSUAL_SIZE")])
def test_ten_times_what_is_normal_is_unusual_on_new_and_on_replace(world, wide, qty, verdict):
    """Nine of ten entries had at most 10 shares; the tenth had 60 and is not what is normal."""
    w = world(limits(wide, unusual_size=10.0, unusual_size_orders=10))
    rounds(w, [1, 2, 3, 4, 5, 6, 7, 8, 10, 60])
    order = {"strategy": "s", "reason": "signal"}
    assert w.submit(BUY, 1, client_order_id="a", type=LIMIT, limit_px=100, **order) == "ok"
    assert w.replace("a", qty) == verdict
    w.split()
    assert w.submit(BUY, qty, **order) == verdict


@pytest.mark.parametrize("again", ["", "split"])
def test_what_is_unusual_of_one_who_trades_little_is_found_beside_others_who_trade_much(world, wide, again):
    """Nine of ten of s had 1 share, so 11 are too many; those of t had 50, and u, with one order, has no normal."""
    w = world(limits(wide, unusual_size=10.0, unusual_size_orders=10))
    for strategy, sizes in (("s", [1] * 9 + [60]), ("t", [50] * 10), ("u", [1])):
        for qty in sizes:
            fields = {"strategy": strategy, "reason": "signal", "decision": w.n}
            for side in (BUY, SELL):
                assert w.submit(side, qty, **fields) == "ok"
                w.fill((f"c{w.n}", qty, 100))
        if again:
            getattr(w, again)()
    for strategy, qty, verdict in (("s", 11, "UNUSUAL_SIZE"), ("t", 500, "ok"), ("u", 11, "ok")):
        order = {"strategy": strategy, "reason": "signal", "type": LIMIT, "limit_px": 100}
        assert w.submit(BUY, qty, client_order_id=strategy, **order) == verdict
        if verdict == "ok":
            w.process(CancelOrder(strategy, "test"))


def test_the_denial_says_what_is_normal(world, wide):
    """10 shares at 100."""
    w = world(limits(wide, unusual_size=10.0, unusual_size_orders=5))
    rounds(w, [10] * 5)
    denied = w.denial(BUY, 200, strategy="s", reason="signal")
    assert (denied.code, denied.value, denied.limit) == ("UNUSUAL_SIZE", "20000", "10000")
    assert "1000 is normal for entries of s that open a position" in denied.reason


def test_with_fewer_orders_nothing_is_known_to_be_normal(world, wide):
    """Four of five."""
    w = world(limits(wide, unusual_size=10.0, unusual_size_orders=5))
    rounds(w, [1] * 4)
    assert w.submit(BUY, 500, strategy="s", reason="signal") == "ok"


def test_what_is_normal_is_of_each_strategy_and_portfolio_alone(world, wide):
    """Another strategy, and another portfolio of the same one, have not sent anything yet."""
    w = world(limits(wide, unusual_size=10.0, unusual_size_orders=5), portfolios=("main", "other"))
    rounds(w, [1] * 5)
    assert w.submit(BUY, 200, strategy="s", reason="signal") == "UNUSUAL_SIZE"
    assert w.submit(BUY, 200, strategy="t", reason="signal") == "ok"
    assert w.submit(BUY, 200, strategy="s", reason="signal", portfolio="other") == "ok"


def test_topping_up_does_not_make_opening_unusual_nor_opening_anew_what_is_left(world, wide):
    """Positions are opened with 100 shares and topped up by one; a remainder of 5 may be brought back to 100."""
    w = world(limits(wide, unusual_size=10.0, unusual_size_orders=5), cash=1_000_000)
    rounds(w, [100])
    w.hold(5)
    for _ in range(6):
        assert w.submit(BUY, 1, strategy="s", reason="rebalance", decision=w.n) == "ok"
    assert w.submit(BUY, 95, strategy="s", reason="rebalance") == "ok"
    assert w.submit(BUY, 1_001, strategy="s", reason="rebalance") == "UNUSUAL_SIZE"  # above ten times 100


def test_reductions_are_neither_unusual_nor_normal(world, wide):
    """Six sales of 300 shares leave entries of one share normal, and the last sale of all passes."""
    w = world(limits(wide, unusual_size=10.0, unusual_size_orders=5))
    rounds(w, [1] * 5)
    w.hold(900)
    assert w.submit(SELL, 900, strategy="s", reason="signal") == "ok"
    assert w.submit(BUY, 200, strategy="s", reason="signal", symbol=1) == "UNUSUAL_SIZE"


def test_old_orders_are_forgotten(world, wide):
    """The last five count: they were of 100 shares, so 1,000 are no more than usual."""
    w = world(limits(wide, unusual_size=10.0, unusual_size_orders=5), cash=1_000_000)
    for size in (1, 10, 100):
        rounds(w, [size] * 5)
    assert w.submit(BUY, 1_001, strategy="s", reason="signal") == "UNUSUAL_SIZE"
    assert w.submit(BUY, 1_000, strategy="s", reason="signal") == "ok"


@pytest.mark.parametrize(
    ("name", "value", "at", "over"),
    [
        ("max_order_qty", 10 * SCALE, 10, 11),
        ("max_order_value", to_fixed(1_000), 10, 11),
    ],
)
def test_limits_by_symbol_and_portfolio_bind_beside_the_general_ones(world, wide, name, value, at, over):
    """The tighter one speaks, on new and on replace; other symbols know nothing of it."""
    w = world(limits(wide, symbols={"A": SymbolLimits(**{name: value})}))
    for symbol, verdict in ((0, "MAX_QTY" if name == "max_order_qty" else "MAX_NOTIONAL"), (1, "ok")):
        assert w.submit(BUY, at, symbol=symbol) == "ok"
        assert w.submit(BUY, over, symbol=symbol) == verdict
        name_of = f"a{symbol}"
        assert w.submit(BUY, 1, symbol=symbol, client_order_id=name_of, type=LIMIT, limit_px=100) == "ok"
        assert w.replace(name_of, at) == "ok"
        assert w.replace(name_of, over) == verdict


def test_a_limit_of_its_own_binds_at_itself_where_the_general_one_has_grown(world, wide):
    """1,000, or a fifth of 100,000 where that is more; 5,000 for A: 20 and 50 shares pass, 51 do not."""
    own = {"A": SymbolLimits(max_order_value=5_000 * SCALE)}
    w = world(limits(wide, max_order_value=1_000 * SCALE, max_order_fraction=0.2, symbols=own))
    assert [w.submit(BUY, qty) for qty in (20, 50, 51)] == ["ok", "ok", "MAX_NOTIONAL"]
    assert [w.submit(BUY, qty, symbol=1) for qty in (200, 201)] == ["ok", "MAX_NOTIONAL"]


def test_without_a_price_an_order_is_neither_too_large_nor_too_small_in_value(world, wide):
    """Where no reference is asked for: its shares alone are counted."""
    w = world(limits(wide, min_order_value=100 * SCALE, max_order_qty=10 * SCALE), price=None)
    assert [w.submit(BUY, qty) for qty in (1, 10, 11)] == ["ok", "ok", "MAX_QTY"]
