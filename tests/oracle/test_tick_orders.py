"""Brackets, groups, icebergs, times in force and queues on ticks, case by case on paper (semantics section 2)."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oracle.sheet import Line, Run, dec, play
from oracle.tape import FREE, clock, filled, order, play_tape, row_time, wanted, write

STILL = (99.99, 500, 100.01, 500)
BOOK = (100, 300, 100.02, 300)
EXITS = {"take_profit_px": 100.2, "stop_px": 99.8}
SHORTS = ("broker.allow_short=true", "broker.account=margin")


def at(bid: float, ask: float, size: int = 500) -> tuple[float, int, float, int]:
    """Return a quote with the same size on both sides."""
    return (bid, size, ask, size)


def run_on(folder: Path, first: Any, tape: list[Any], *script: Line, sets: tuple[str, ...] = ()) -> Run:
    """Run orders on what stands at 14:30:01 and what comes every ten seconds from 14:31:10."""
    rows = [(clock(1, 30), "AAA", first), *((row_time(n), "AAA", row) for n, row in enumerate(tape, start=1))]
    return play_tape(folder, rows, list(script), sets=sets)


def test_a_target_is_met_on_a_quote(tmp_path: Path) -> None:
    """In at the ask of 100.01; a bid of 100.19 is short of the target, one of 100.21 is sold to."""
    run = run_on(tmp_path, STILL, [STILL, at(100.19, 100.21), at(100.21, 100.23)], entry(10))
    assert filled(run, "e") == wanted([(1, "10", "100.01")], "quote")
    assert filled(run, "e-tp") == wanted([(3, "10", "100.21")], "quote")
    assert run.order("e-sl")["status"] == "canceled"


def test_a_stop_is_triggered_by_one_quote_and_filled_by_the_next(tmp_path: Path) -> None:
    """The bid of 99.80 triggers, 99.70 is what there is then."""
    run = run_on(tmp_path, STILL, [STILL, at(99.8, 99.82), at(99.7, 99.72)], entry(10))
    assert filled(run, "e-sl") == wanted([(3, "10", "99.7")], "quote")
    assert run.order("e-tp")["status"] == "canceled"


def test_exits_do_not_meet_the_quote_of_their_entry(tmp_path: Path) -> None:
    """Bought at 99.77 with a stop at 99.80 and the bid at 99.75: the next quote triggers, the one after it fills."""
    tape = [at(99.75, 99.77), at(99.76, 99.78), at(99.74, 99.76)]
    run = run_on(tmp_path, STILL, tape, entry(10))
    assert filled(run, "e") == wanted([(1, "10", "99.77")], "quote")
    assert filled(run, "e-sl") == wanted([(3, "10", "99.74")], "quote")


def test_exits_follow_what_the_entry_gets(tmp_path: Path) -> None:
    """30, then 70; the target sells the 100 to bids for 60 and 200."""
    tape = [at(99.99, 100.01, 30), at(99.99, 100.02, 90), at(100.25, 100.27, 60), at(100.24, 100.26, 200)]
    run = run_on(tmp_path, STILL, tape, entry(100))
    assert filled(run, "e") == wanted([(1, "30", "100.01"), (2, "70", "100.02")], "quote")
    assert filled(run, "e-tp") == wanted([(3, "60", "100.25"), (4, "40", "100.24")], "quote")
    assert (run.order("e-tp")["qty"], run.order("e-tp")["status"]) == ("100", "filled")
    assert (run.order("e-sl")["status"], run.order("e-sl")["cum_qty"]) == ("canceled", "0")


def test_exits_that_are_out_end_the_entry(tmp_path: Path) -> None:
    """30 of 100 came in and went out at the target; what more came in would stand without exits."""
    tape = [at(99.99, 100.01, 30), at(100.25, 100.27, 30), at(99.99, 100.01, 500)]
    limit = {"type": "limit", "limit_px": 100.05}
    run = run_on(tmp_path, STILL, tape, entry(100, **limit))
    assert filled(run, "e-tp") == wanted([(2, "30", "100.25")], "quote")
    assert (run.order("e")["status"], run.order("e")["cum_qty"]) == ("canceled", "30")


def entry(qty: int, **terms: Any) -> Line:
    """Return a buy with exits 0.20 on either side."""
    return order(clock(0), "e", "buy", qty, bracket=EXITS, **terms)


def test_a_bracket_on_prints(tmp_path: Path) -> None:
    """In by the next print; the target of 100.20 by one through it, at its price."""
    tape = [(100.05, 100), (100.2, 100), (100.21, 4), (100.3, 100)]
    run = run_on(tmp_path, (100, 500), tape, entry(10))
    assert filled(run, "e") == wanted([(1, "10", "100.05")], "trade")
    assert filled(run, "e-tp") == wanted([(3, "4", "100.2"), (4, "6", "100.2")], "trade")
    assert run.order("e-sl")["status"] == "canceled"


def test_a_group_on_quotes(tmp_path: Path) -> None:
    """Both would pay the ask of 99.90; the older gets it, the other ends."""
    script = [
        order(clock(0), name, "buy", 10, type="limit", limit_px=px, oco_group="g")
        for name, px in (("a", 99.92), ("b", 99.95))
    ]
    run = run_on(tmp_path, STILL, [at(99.88, 99.9)], *script)
    assert filled(run, "a") == wanted([(1, "10", "99.9")], "quote")
    assert run.statuses() == {"a": "filled", "b": "canceled"}


def test_a_partial_fill_reduces_the_group_within_the_quote(tmp_path: Path) -> None:
    """Four of ten for the first leave six for the second, of which it gets what is displayed later."""
    script = [
        order(clock(0), "a", "buy", 10, type="limit", limit_px=99.92, oco_group="g"),
        order(clock(1), "b", "buy", 10, type="limit", limit_px=99.95, oco_group="g"),
    ]
    run = run_on(tmp_path, STILL, [at(99.88, 99.9, 4), at(99.92, 99.94, 50)], *script)
    assert filled(run, "a") == wanted([(1, "4", "99.9")], "quote")
    assert filled(run, "b") == wanted([(2, "6", "99.94")], "quote")
    assert run.statuses() == {"a": "canceled", "b": "filled"}


@pytest.mark.parametrize(("expire", "fills"), [(20, [(2, "10", "99.95")]), (19.999, []), (15, [])])
def test_good_till_date_on_ticks(tmp_path: Path, expire: float, fills: list[tuple[int, str, str]]) -> None:
    """The quote that would fill comes at :20."""
    terms = {"type": "limit", "limit_px": 99.95, "tif": "gtd", "expire_at": clock(expire)}
    run = run_on(tmp_path, STILL, [STILL, at(99.93, 99.95), STILL], order(clock(0), "x", "buy", 10, **terms))
    assert filled(run, "x") == wanted(fills, "quote")
    assert run.order("x")["status"] == ("filled" if fills else "expired")


def test_a_day_order_ends_with_its_session_and_gtc_lives_on(tmp_path: Path) -> None:
    """The ask comes down on the Wednesday."""
    rows = [(clock(1, 30), "AAA", STILL), ("2024-03-06T15:00:00.000Z", "AAA", at(99.93, 99.95))]
    script = [order(clock(0), name, "buy", 10, type="limit", limit_px=99.95, tif=name) for name in ("day", "gtc")]
    run = play_tape(tmp_path, rows, script)
    assert run.statuses() == {"day": "expired", "gtc": "filled"}


def test_reduce_only_on_ticks_is_cut_to_what_is_held(tmp_path: Path) -> None:
    """Five are left when the limit for ten is met."""
    script = [
        order(clock(0), "in", "buy", 10),
        order(clock(15), "out", "sell", 10, type="limit", limit_px=100.1, reduce_only=True),
        order(clock(16), "some", "sell", 5),
    ]
    run = run_on(tmp_path, STILL, [STILL, STILL, at(100.2, 100.22)], *script)
    assert filled(run, "some") == wanted([(2, "5", "99.99")], "quote")
    assert filled(run, "out") == wanted([(3, "5", "100.2")], "quote")


# -- the queue ---------------------------------------------------------------------------------------------------------


def joined(qty: int = 500, px: float = 100, **terms: Any) -> Line:
    """Return a limit that joins the bid."""
    return order(clock(0), "x", "buy", qty, type="limit", limit_px=px, **terms)


def test_every_slice_of_an_iceberg_queues_anew(tmp_path: Path) -> None:
    """300 are ahead: 320 reach the slice of 10. The next slice stands behind the 300 that are displayed."""
    tape = [(100, 320), (100, 290), (100, 15), (100, 320)]
    # 290 leave 10 ahead of the second slice; of 15 it gets 5; of the next 320 the other 5, and no more.
    run = run_on(tmp_path, BOOK, tape, joined(30, display_qty=10))
    assert filled(run, "x") == wanted([(1, "10", "100"), (3, "5", "100"), (4, "5", "100")], "trade")


def test_an_iceberg_is_whole_for_what_goes_through_it(tmp_path: Path) -> None:
    """Whoever sells below its price has met all of it."""
    run = run_on(tmp_path, BOOK, [(99.99, 100)], joined(30, display_qty=10))
    assert sum(int(row["qty"]) for row in run.fills("x")) == 30


def test_who_stood_at_a_price_the_bid_has_left_is_gone(tmp_path: Path) -> None:
    """The bid falls to 99.98: nobody else bids 100 any more. What comes back to 100 stands behind us."""
    tape = [(99.98, 200, 100.02, 300), (100, 400, 100.02, 300), (100, 60)]
    run = run_on(tmp_path, BOOK, tape, joined())
    assert filled(run, "x") == wanted([(3, "60", "100")], "trade")


def test_below_the_bid_nobody_knows_who_is_ahead(tmp_path: Path) -> None:
    """A print at 99.99 while 100 is bid says nothing; once 99.99 is the bid its 200 are ahead."""
    tape = [(99.99, 900), (99.99, 200, 100.01, 300), (99.99, 150), (99.99, 90)]
    run = run_on(tmp_path, BOOK, tape, joined(500, 99.99))
    assert filled(run, "x") == wanted([(4, "40", "99.99")], "trade")


def test_a_new_price_queues_anew(tmp_path: Path) -> None:
    """Moved from 99.99 to 100, where 300 stand: 290 do not reach it, 30 more do with 20."""
    script: list[Line] = [joined(50, 99.99), {"at": clock(5), "replace": {"id": "x", "limit_px": 100}}]
    run = run_on(tmp_path, BOOK, [(100, 290), (100, 30)], *script)
    assert filled(run, "x") == wanted([(2, "20", "100")], "trade")


def test_less_of_an_order_keeps_its_place(tmp_path: Path) -> None:
    """200 of 300 have traded when it is cut from 500 to 400."""
    script: list[Line] = [joined(), {"at": clock(15), "replace": {"id": "x", "qty": 400}}]
    run = run_on(tmp_path, BOOK, [(100, 200), (100, 150)], *script)
    assert filled(run, "x") == wanted([(2, "50", "100")], "trade")


def test_two_at_one_price_share_what_reaches_them(tmp_path: Path) -> None:
    """350 less 300 ahead: 30 for the older, 20 for the other."""
    other = order(clock(1), "y", "buy", 30, type="limit", limit_px=100)
    run = run_on(tmp_path, BOOK, [(100, 350)], joined(30), other)
    assert filled(run, "x") == wanted([(1, "30", "100")], "trade")
    assert filled(run, "y") == wanted([(1, "20", "100")], "trade")


def test_a_sale_queues_at_the_ask(tmp_path: Path) -> None:
    """300 are offered at 100.02 before it; of 330 it gets 30."""
    script = [order(clock(0), "x", "sell", 50, type="limit", limit_px=100.02)]
    run = run_on(tmp_path, BOOK, [(100.02, 330)], *script, sets=SHORTS)
    assert filled(run, "x") == wanted([(1, "30", "100.02")], "trade")


def test_a_market_order_waits_for_a_quote_where_there_are_quotes(tmp_path: Path) -> None:
    """The print between does not fill it."""
    run = run_on(tmp_path, BOOK, [(100, 900), (100, 300, 100.03, 300)], order(clock(0), "x", "buy", 10))
    assert filled(run, "x") == wanted([(2, "10", "100.03")], "quote")


def test_a_symbol_without_ticks_is_matched_on_its_bars(tmp_path: Path) -> None:
    """In one run both have minutes, and AAA has quotes besides."""
    prices = {"AAA": "100,101,99,100", "BBB": "50,50.5,49,50"}
    lines = [f"2024-03-05T14:{m}:00Z,{symbol},{px},1000" for m in range(30, 36) for symbol, px in prices.items()]
    bars = "\n".join(["ts,symbol,open,high,low,close,volume", *lines])
    rows = [(clock(1, 30), "AAA", STILL), (row_time(1), "AAA", STILL)]
    script = [
        order(clock(0), "a", "buy", 10),
        order(clock(0), "b", "buy", 10, symbol="BBB", type="limit", limit_px=49.5),
    ]
    run = play(tmp_path, bars, script, "frictionless", FREE, **write(tmp_path, rows))
    assert filled(run, "a") == wanted([(1, "10", "100.01")], "quote")
    assert filled(run, "b") == [("2024-03-05T14:32:00.000Z", "10", dec("49.5"), "intrabar")]


def test_positions_are_marked_by_ticks(tmp_path: Path) -> None:
    """At the last mid: ten bought at 100.01 are worth 1,005 and have gained 4.90."""
    run = run_on(tmp_path, STILL, [STILL, at(100.49, 100.51)], order(clock(0), "x", "buy", 10))
    last = run.table("equity")[-1]
    assert Decimal(last["equity"]) - Decimal(last["cash"]) == 1005
    [position] = run.table("positions")
    assert (Decimal(position["market_px"]), Decimal(position["unrealized_pnl"])) == (dec("100.5"), dec("4.9"))
