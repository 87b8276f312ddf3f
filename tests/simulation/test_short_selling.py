"""Short sales in whole runs: who may, what must be located, what a flip becomes, and what exits do to a short.

Frictionless, so that every figure is the rule's own. Derivations stand beside the cases.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from daemon.system.verify import verify_path
from oracle.sheet import DAYS, Run, daily, play, submit

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = DAYS
FLAT = (100, 100, 100, 100)
SHORTS = ("broker.allow_short=true",)
LOCATE = (*SHORTS, "broker.require_locate=true")


def held(run: Run) -> Decimal:
    """Return the position in AAA at the end."""
    rows = [Decimal(row["qty"]) for row in run.table("positions") if row["symbol"] == "AAA"]
    return sum(rows, Decimal(0))


def verified(run: Run) -> None:
    """Every check of ``tradingd verify`` holds."""
    report = verify_path(run.folder)
    assert [check for check in report.checks if not check.ok] == []


# -- who may -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("account", ["cash", "cash_strict", "margin"])
def test_more_than_is_held_is_sold_only_where_shorts_are_allowed(tmp_path: Path, account: str) -> None:
    """50 held: 51 are refused by the gate; with ``allow_short`` they are a sale of 50 and a short sale of 1."""
    script = [submit(TUESDAY, "b", "buy", 50), submit(WEDNESDAY, "s", "sell", 51)]
    sets = [f"broker.account={account}"]
    run = play(tmp_path / "no", daily(*[FLAT] * 3), script, sets=sets)
    assert run.statuses() == {"b": "filled", "s": "denied SHORT_NOT_ALLOWED"}
    run = play(tmp_path / "yes", daily(*[FLAT] * 3), script, sets=[*sets, *SHORTS])
    assert {name: run.order(name)["cum_qty"] for name in ("s", "s-open")} == {"s": "50", "s-open": "1"}
    assert run.order("s-open")["parent_id"] == "s"
    assert held(run) == -1
    verified(run)


def test_a_cash_account_ties_up_a_short_and_half_of_it_again(tmp_path: Path) -> None:
    """150 % of 2,000 x 100 is 300,000: 100,000 of its own and 200,000 of proceeds. Nothing is left to buy one share."""
    second = daily(FLAT, FLAT, FLAT, symbol="BBB", header=False)
    script = [submit(TUESDAY, "s", "sell", 2000), submit(WEDNESDAY, "b", "sell", 1, symbol="BBB")]
    run = play(tmp_path, f"{daily(FLAT, FLAT, FLAT)}\n{second}", script, sets=SHORTS)
    assert run.statuses() == {"s": "filled", "b": "denied CASH"}


@pytest.mark.parametrize(("px", "most"), [(100, 2000), (8, 20_000), (4, 25_000), (2, 40_000)])
def test_short_proceeds_are_no_buying_power(tmp_path: Path, px: float, most: int) -> None:
    """100,000 of equity in a margin account, at $50, $5, $4 and $2.50 a share.

    Half of 100; at 8 the half, 4, is less than the $5 a share it takes to keep it; at 4 the whole price; at 2 $2.50.
    """
    flat = (px, px, px, px)
    script = [submit(TUESDAY, "over", "sell", most + 1), submit(TUESDAY, "most", "sell", most)]
    run = play(tmp_path, daily(flat, flat), script, sets=[*SHORTS, "broker.account=margin"])
    assert run.statuses() == {"over": "denied BUYING_POWER", "most": "filled"}
    verified(run)


def test_half_the_equity_short_leaves_the_other_half_to_buy_with(tmp_path: Path) -> None:
    """1,000 short at 100 need 50,000 of 100,000; the 100,000 of proceeds count nothing, so 1,000 can be bought."""
    second = daily(FLAT, FLAT, FLAT, symbol="BBB", header=False)
    script = [submit(TUESDAY, "s", "sell", 1000), submit(WEDNESDAY, "b", "buy", 5000, symbol="BBB")]
    run = play(tmp_path, f"{daily(FLAT, FLAT, FLAT)}\n{second}", script, sets=[*SHORTS, "broker.account=margin"])
    assert run.order("b")["cum_qty"] == "1000"


# -- locate ------------------------------------------------------------------------------------------------------------


def test_a_short_sale_needs_shares_located(tmp_path: Path) -> None:
    """Without the flag it is rejected, with it it fills."""
    script = [submit(TUESDAY, "naked", "sell", 10), submit(TUESDAY, "found", "sell", 10, locate=True)]
    run = play(tmp_path, daily(FLAT, FLAT), script, sets=LOCATE)
    assert run.statuses() == {"naked": "rejected NO_LOCATE", "found": "filled"}
    assert "10 AAA would be sold short" in run.order("naked")["reason"]


def test_only_what_is_hard_to_borrow_needs_it_where_not_all_do(tmp_path: Path) -> None:
    """BBB is on the list, AAA is not."""
    second = daily(FLAT, FLAT, symbol="BBB", header=False)
    script = [submit(TUESDAY, "a", "sell", 10), submit(TUESDAY, "b", "sell", 10, symbol="BBB")]
    sets = [*SHORTS, "broker.hard_to_borrow=BBB,ZZZ"]
    run = play(tmp_path, f"{daily(FLAT, FLAT)}\n{second}", script, sets=sets)
    assert run.statuses() == {"a": "filled", "b": "rejected NO_LOCATE"}


def test_what_is_held_is_sold_without(tmp_path: Path) -> None:
    """50 held; a sale of 50 is none of a borrower's. The next 10, while those 50 work, would be sold short."""
    script = [
        submit(TUESDAY, "b", "buy", 50),
        submit(WEDNESDAY, "s", "sell", 50, type="limit", limit_px=120, tif="gtc"),
        submit(WEDNESDAY, "more", "sell", 10),
    ]
    run = play(tmp_path, daily(*[FLAT] * 3), script, sets=LOCATE)
    assert run.statuses() == {"b": "filled", "s": "new", "more": "rejected NO_LOCATE"}


def test_of_a_flip_only_the_half_that_opens_needs_it(tmp_path: Path) -> None:
    """50 held, 80 sold: 50 close; the 30 that open are rejected, or filled where shares were found."""
    script = [submit(TUESDAY, "b", "buy", 50), submit(WEDNESDAY, "s", "sell", 80)]
    run = play(tmp_path / "no", daily(*[FLAT] * 3), script, sets=LOCATE)
    assert run.statuses() == {"b": "filled", "s": "filled", "s-open": "rejected NO_LOCATE"}
    assert held(run) == 0
    script[1]["submit"]["locate"] = True
    run = play(tmp_path / "yes", daily(*[FLAT] * 3), script, sets=LOCATE)
    assert run.statuses() == {"b": "filled", "s": "filled", "s-open": "filled"}
    assert held(run) == -30


def test_a_sale_taken_for_what_was_held_sells_no_more_when_that_is_gone(tmp_path: Path) -> None:
    """A sale of 50 waits at 110; 40 of the 50 are sold another way meanwhile. It fills 10; the rest is cancelled."""
    bars = daily(FLAT, FLAT, FLAT, (100, 120, 100, 100))
    script = [
        submit(TUESDAY, "b", "buy", 50),
        submit(WEDNESDAY, "s", "sell", 50, type="limit", limit_px=110, tif="gtc"),
        submit(WEDNESDAY, "exit", "sell", 40, reduce_only=True),
    ]
    run = play(tmp_path, bars, script, sets=LOCATE)
    row = run.order("s")
    assert (row["cum_qty"], row["status"], row["reason"]) == ("10", "canceled", "NO_LOCATE")
    assert held(run) == 0


# -- flips -------------------------------------------------------------------------------------------------------------


def test_a_flip_by_a_stop_closes_first_and_then_opens(tmp_path: Path) -> None:
    """50 held; 80 to be sold at 95 or below. The path falls to 90: both halves trigger at 95 and fill there."""
    bars = daily(FLAT, FLAT, (100, 101, 90, 92))
    script = [submit(TUESDAY, "b", "buy", 50), submit(WEDNESDAY, "s", "sell", 80, type="stop", stop_px=95)]
    run = play(tmp_path, bars, script, sets=SHORTS)
    for name, qty in (("s", "50"), ("s-open", "30")):
        [fill] = run.fills(name)
        assert (fill["qty"], fill["price"]) == (qty, "95")
    assert held(run) == -30
    verified(run)


def test_the_half_that_opens_meets_all_checks_of_an_entry(tmp_path: Path) -> None:
    """10 held of 1,000 in cash: the half that closes passes, 60 short at 100 would need 3,000 free."""
    script = [submit(TUESDAY, "b", "buy", 10), submit(WEDNESDAY, "s", "sell", 70)]
    run = play(tmp_path, daily(*[FLAT] * 3), script, sets=[*SHORTS, "portfolio.cash=1000"])
    assert run.statuses() == {"b": "filled", "s": "filled", "s-open": "denied CASH"}


def bracket(**exits: float) -> dict[str, Any]:
    """Return the field of an order."""
    return {"bracket": exits}


def test_the_bracket_of_a_flip_protects_what_was_opened(tmp_path: Path) -> None:
    """50 held, 80 sold with a target of 90 and a stop of 110: exits for 30, bought back at 90 on Thursday."""
    bars = daily(FLAT, FLAT, FLAT, (100, 101, 88, 95))
    script = [
        submit(TUESDAY, "b", "buy", 50),
        submit(WEDNESDAY, "s", "sell", 80, **bracket(take_profit_px=90, stop_px=110)),
    ]
    run = play(tmp_path, bars, script, sets=SHORTS)
    exits = {n: (run.order(n)["side"], run.order(n)["cum_qty"]) for n in ("s-open-tp", "s-open-sl")}
    assert exits == {"s-open-tp": ("buy", "30"), "s-open-sl": ("buy", "0")}
    assert not [row for row in run.table("orders") if row["client_order_id"] in ("s-tp", "s-sl")]
    assert run.fills("s-open-tp")[0]["price"] == "90"
    assert held(run) == 0
    verified(run)


def test_a_flip_that_must_fill_whole_or_within_a_group_is_denied(tmp_path: Path) -> None:
    """It would be two orders; what closes is named, so that it can be sent by itself."""
    script = [
        submit(TUESDAY, "b", "buy", 50),
        submit(WEDNESDAY, "fok", "sell", 80, tif="fok"),
        submit(WEDNESDAY, "oco", "sell", 80, oco_group="g"),
    ]
    run = play(tmp_path, daily(*[FLAT] * 3), script, sets=SHORTS)
    assert run.statuses() == {"b": "filled", "fok": "denied WOULD_FLIP", "oco": "denied WOULD_FLIP"}
    assert "50 close it" in run.order("fok")["reason"]


def test_of_a_flip_under_a_restriction_only_what_is_held_is_sold(tmp_path: Path) -> None:
    """Short sales of AAA are restricted from Tuesday to Wednesday: of 80 sold 50 are held, 30 would open."""
    status = tmp_path / "status.csv"
    status.write_text(f"ts,symbol,state\n{TUESDAY}T20:00:00Z,AAA,ssr\n")
    script = [submit(TUESDAY, "b", "buy", 50), submit(WEDNESDAY, "s", "sell", 80)]
    run = play(tmp_path, daily(*[FLAT] * 3), script, sets=SHORTS, status=(status,))
    assert run.statuses() == {"b": "filled", "s": "filled", "s-open": "rejected SSR_RESTRICTED"}
    assert held(run) == 0


# -- reduce only -------------------------------------------------------------------------------------------------------


def test_a_cover_that_may_only_reduce_stops_at_flat(tmp_path: Path) -> None:
    """30 short: 50 to buy back are cut to 30; once flat there is nothing to reduce."""
    script = [
        submit(TUESDAY, "s", "sell", 30),
        submit(WEDNESDAY, "c", "buy", 50, reduce_only=True),
        submit(THURSDAY, "again", "buy", 5, reduce_only=True),
    ]
    run = play(tmp_path, daily(*[FLAT] * 4), script, sets=SHORTS)
    assert run.statuses() == {"s": "filled", "c": "filled", "again": "rejected REDUCE_ONLY_FLAT"}
    assert run.order("c")["cum_qty"] == "30"
    assert held(run) == 0


def test_profit_of_a_short_on_paper(tmp_path: Path) -> None:
    """30 sold at 100, 10 bought back at 90 and 20 at 120: 10 x 10 - 20 x 20 = -300."""
    bars = daily(FLAT, FLAT, (90,) * 4, (120,) * 4)
    script = [submit(TUESDAY, "s", "sell", 30), submit(WEDNESDAY, "a", "buy", 10), submit(THURSDAY, "b", "buy", 20)]
    run = play(tmp_path, bars, script, sets=SHORTS)
    assert Decimal(run.table("equity")[-1]["cash"]) == 100_000 - 300
    assert [Decimal(row["pnl"]) for row in run.table("trades")] == [100, -400]
    verified(run)
