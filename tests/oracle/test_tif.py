"""How long an order lives, and what it may do while it does (semantics section 2), case by case on paper."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oracle.sheet import DAYS, Line, Run, daily, dec, minutes, play, submit

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = DAYS
FLAT = (100, 100, 100, 100)
OPEN = f"{TUESDAY}T14:30:00Z"
TENTH = ("broker.participation=0.1",)


def got(run: Run, name: str) -> list[tuple[str, str, str]]:
    """Return an order's fills as (bar's end, shares, price)."""
    return [(f["ts"][11:16], f["qty"], f["price"]) for f in run.fills(name)]


def ends(run: Run, name: str) -> tuple[str, str]:
    """Return how an order ended and how much it got."""
    row = run.order(name)
    return row["status"], row["cum_qty"]


def test_a_day_ends_with_its_session_and_gtc_does_not(tmp_path: Path) -> None:
    """A limit that the Thursday meets: the Tuesday's DAY order has expired, GTC fills, a later DAY fills."""
    bars = daily(FLAT, FLAT, FLAT, (100, 101, 95, 96))
    terms: dict[str, Any] = {"type": "limit", "limit_px": 97}
    script = [
        submit(TUESDAY, "day", "buy", 10, **terms),
        submit(TUESDAY, "gtc", "buy", 10, tif="gtc", **terms),
        submit(THURSDAY, "later", "buy", 10, **terms),
        submit("2024-03-06T21:00:00Z", "overnight", "buy", 10, **terms),
        submit("2024-03-07T21:00:00Z", "after", "buy", 10, **terms),
    ]
    run = play(tmp_path, bars, script)
    assert run.statuses() == {
        "day": "expired",
        "gtc": "filled",
        "later": "filled",
        "overnight": "filled",
        "after": "new",
    }


def test_a_partly_filled_day_order_expires_with_what_it_has(tmp_path: Path) -> None:
    """10 of 25 on a bar of 100; the session's other bar has no volume."""
    bars = minutes((100, 100, 100, 100, 100), (100, 100, 100, 100, 0))
    run = play(tmp_path, bars, [submit(OPEN, "x", "buy", 25)], sets=TENTH)
    assert ends(run, "x") == ("expired", "10")
    assert got(run, "x") == [("14:31", "10", "100")]


@pytest.mark.parametrize(
    ("expire", "status", "when"),
    [
        # The touch is in the bar from 14:32 to 14:33, known at 14:33.
        ("2024-03-05T14:33:00Z", "filled", "14:33"),
        ("2024-03-05T14:32:59.999Z", "expired", None),
        ("2024-03-05T14:32:00Z", "expired", None),
        ("2024-03-06T20:00:00Z", "filled", "14:33"),
    ],
)
def test_good_till_date_is_live_for_bars_that_end_by_then(
    tmp_path: Path, expire: str, status: str, when: str | None
) -> None:
    """What becomes known later does not fill it."""
    bars = minutes(FLAT, FLAT, (100, 101, 97, 98), (98, 98, 96, 97), FLAT)
    run = play(tmp_path, bars, [submit(OPEN, "x", "buy", 10, type="limit", limit_px=97.5, tif="gtd", expire_at=expire)])
    assert ends(run, "x")[0] == status
    assert [f["ts"][11:16] for f in run.fills("x")] == ([] if when is None else [when])


def test_good_till_date_lives_over_nights(tmp_path: Path) -> None:
    """To the Thursday's close, which fills; a day less expires."""
    bars = daily(FLAT, FLAT, FLAT, (100, 101, 95, 96))
    terms: dict[str, Any] = {"type": "limit", "limit_px": 97, "tif": "gtd"}
    script = [
        submit(TUESDAY, "long", "buy", 10, expire_at="2024-03-07T21:00:00Z", **terms),
        submit(TUESDAY, "short", "buy", 10, expire_at="2024-03-06T21:00:00Z", **terms),
    ]
    assert play(tmp_path, bars, script).statuses() == {"long": "filled", "short": "expired"}


IMMEDIATE: list[tuple[str, dict[str, Any], list[tuple[str, str, str]], str]] = [
    # A bar of 200 gives 20.
    ("ioc takes what there is", {"type": "market", "tif": "ioc", "qty": 25}, [("14:32", "20", "100")], "canceled"),
    ("ioc whole", {"type": "market", "tif": "ioc", "qty": 20}, [("14:32", "20", "100")], "filled"),
    ("fok finds too little", {"type": "market", "tif": "fok", "qty": 21}, [], "canceled"),
    ("fok whole", {"type": "market", "tif": "fok", "qty": 20}, [("14:32", "20", "100")], "filled"),
    # Judged at the open of 100: the low of 97 comes too late.
    ("ioc limit below", {"type": "limit", "limit_px": 98, "tif": "ioc", "qty": 5}, [], "canceled"),
    ("fok limit below", {"type": "limit", "limit_px": 98, "tif": "fok", "qty": 5}, [], "canceled"),
    (
        "ioc limit above",
        {"type": "limit", "limit_px": 101, "tif": "ioc", "qty": 25},
        [("14:32", "20", "100")],
        "canceled",
    ),
    (
        "fok limit above",
        {"type": "limit", "limit_px": 101, "tif": "fok", "qty": 20},
        [("14:32", "20", "100")],
        "filled",
    ),
]


@pytest.mark.parametrize(("why", "terms", "fills", "status"), IMMEDIATE, ids=[row[0] for row in IMMEDIATE])
def test_at_once_or_not_at_all(
    tmp_path: Path, why: str, terms: dict[str, Any], fills: list[tuple[str, str, str]], status: str
) -> None:
    """``ioc`` cancels the rest, ``fok`` fills whole or not: at the open of the first bar it is live for."""
    bars = minutes((100, 100, 100, 100, 200), (100, 101, 97, 98, 200), (98, 99, 97, 98, 200))
    body = {"id": "x", "symbol": "AAA", "side": "buy", **terms}
    run = play(tmp_path, bars, [{"at": f"{TUESDAY}T14:31:00Z", "submit": body}], sets=TENTH)
    assert (got(run, "x"), run.order("x")["status"]) == (fills, status), why


def test_at_once_is_over_with_the_first_bar(tmp_path: Path) -> None:
    """The day after there is nothing of it left."""
    script = [submit(TUESDAY, "x", "buy", 10, type="limit", limit_px=98, tif="ioc")]
    run = play(tmp_path, daily(FLAT, FLAT, (97, 97, 97, 97)), script)
    assert ends(run, "x") == ("canceled", "0")


def test_post_only_rests_or_is_refused(tmp_path: Path) -> None:
    """Short of the last price it waits and is met; beyond it it would take."""
    script = [
        submit(TUESDAY, "waits", "buy", 10, type="limit", limit_px=98, post_only=True),
        submit(TUESDAY, "takes", "buy", 10, type="limit", limit_px=101, post_only=True),
    ]
    run = play(tmp_path, daily(FLAT, (100, 101, 97, 98)), script)
    assert run.statuses() == {"waits": "filled", "takes": "rejected POST_ONLY_WOULD_TAKE"}
    assert run.fills("waits")[0]["liquidity"] == "maker"


def test_a_displayed_part_hides_nothing_from_bars(tmp_path: Path) -> None:
    """An iceberg trades as another limit does; the volume's share bounds it."""
    bars = minutes((100, 100, 100, 100, 1000), (100, 101, 97, 98, 200), (98, 98, 96, 97, 200))
    terms: dict[str, Any] = {"type": "limit", "limit_px": 98, "display_qty": 5}
    run = play(tmp_path, bars, [submit(f"{TUESDAY}T14:31:00Z", "x", "buy", 30, **terms)], sets=TENTH)
    assert got(run, "x") == [("14:32", "20", "98"), ("14:33", "10", "98")]


def test_reduce_only_is_cut_to_what_is_held(tmp_path: Path) -> None:
    """At the moment it is met, for every type: five are left when the limit for ten is reached."""
    bars = daily(FLAT, FLAT, FLAT, (100, 105, 99, 104))
    script = [
        submit(MONDAY, "b", "buy", 10),
        submit(TUESDAY, "exit", "sell", 10, type="limit", limit_px=103, tif="gtc", reduce_only=True),
        submit(WEDNESDAY, "some", "sell", 5, reduce_only=True),
    ]
    run = play(tmp_path, bars, script)
    assert [f["qty"] for f in run.fills("exit")] == ["5"]
    assert run.table("positions") == [] or run.table("positions")[0]["qty"] == "0"


REPLACED: list[tuple[str, Line, list[tuple[str, str, str]], str]] = [
    ("a better limit", {"id": "x", "limit_px": 99}, [("14:33", "10", "99")], "filled"),
    ("more", {"id": "x", "qty": 12, "limit_px": 99}, [("14:33", "12", "99")], "filled"),
    ("less", {"id": "x", "qty": 3, "limit_px": 99}, [("14:33", "3", "99")], "filled"),
    ("a worse limit", {"id": "x", "limit_px": 95}, [], "expired"),
]


@pytest.mark.parametrize(("why", "change", "fills", "status"), REPLACED, ids=[row[0] for row in REPLACED])
def test_a_replaced_order_has_its_new_terms(
    tmp_path: Path, why: str, change: Line, fills: list[tuple[str, str, str]], status: str
) -> None:
    """From the bar that begins with the replace on."""
    bars = minutes(FLAT, (100, 100.5, 98.5, 100), (100, 100.5, 98.5, 100), FLAT)
    script: list[Line] = [
        submit(OPEN, "x", "buy", 10, type="limit", limit_px=97),
        {"at": f"{TUESDAY}T14:32:00Z", "replace": change},
    ]
    run = play(tmp_path, bars, script)
    assert (got(run, "x"), run.order("x")["status"]) == (fills, status), why


def test_a_partly_filled_order_can_be_cut_to_what_it_has_or_left_alone(tmp_path: Path) -> None:
    """10 of 30 are filled: 9 is refused and changes nothing, 15 leaves five to fill."""
    bars = minutes(*[(100, 100, 100, 100, 100)] * 4)
    script: list[Line] = [
        submit(OPEN, "x", "buy", 30),
        {"at": f"{TUESDAY}T14:31:00Z", "replace": {"id": "x", "qty": 9}},
        {"at": f"{TUESDAY}T14:31:00Z", "replace": {"id": "x", "qty": 15}},
    ]
    run = play(tmp_path, bars, script, sets=TENTH)
    assert got(run, "x") == [("14:31", "10", "100"), ("14:32", "5", "100")]
    assert ends(run, "x") == ("filled", "15")


def test_a_cancelled_order_keeps_what_it_has(tmp_path: Path) -> None:
    """And nothing more is filled."""
    bars = minutes(*[(100, 100, 100, 100, 100)] * 4)
    script: list[Line] = [
        submit(OPEN, "x", "buy", 30),
        {"at": f"{TUESDAY}T14:32:00Z", "cancel": "x"},
        {"at": f"{TUESDAY}T14:33:00Z", "cancel": "x"},
    ]
    run = play(tmp_path, bars, script, sets=TENTH)
    assert ends(run, "x") == ("canceled", "20")


def test_a_replaced_trigger_moves(tmp_path: Path) -> None:
    """A stop brought up from 95 to 99 sells at 99; brought down it rests."""
    bars = daily(FLAT, FLAT, FLAT, (100, 101, 98, 99))
    script: list[Line] = [submit(MONDAY, "b", "buy", 20)]
    for name, px in (("up", 99), ("down", 90)):
        script += [
            submit(TUESDAY, name, "sell", 10, type="stop", stop_px=95 if name == "up" else 98.5, tif="gtc"),
            {"at": THURSDAY, "replace": {"id": name, "stop_px": px}},
        ]
    run = play(tmp_path, bars, script)
    assert [(f["ts"][:10], Decimal(f["price"])) for f in run.fills("up")] == [(THURSDAY, dec(99))]
    assert run.order("down")["status"] == "new"


def test_a_trail_lives_over_sessions(tmp_path: Path) -> None:
    """From 100: Tuesday's 110 lifts it to 105, Wednesday's 112 to 107, Thursday opens below that at 106."""
    bars = daily(FLAT, (100, 110, 99, 109), (109, 112, 108, 111), (106, 107, 105, 106))
    script = [
        submit(MONDAY, "b", "buy", 10),
        submit(TUESDAY, "x", "sell", 10, type="trailing_stop", trail_amount=5, tif="gtc"),
    ]
    run = play(tmp_path, bars, script)
    assert [(f["ts"][:10], f["price"], f["px_source"]) for f in run.fills("x")] == [(THURSDAY, "106", "open")]


def test_a_triggered_order_stays_triggered(tmp_path: Path) -> None:
    """A stop-limit of the Tuesday's fall is a plain limit on the Thursday."""
    bars = daily(FLAT, (100, 100.5, 96, 96.5), (96.5, 97, 96, 96.5), (97, 99, 96.8, 98))
    script = [
        submit(MONDAY, "b", "buy", 10),
        submit(TUESDAY, "x", "sell", 10, type="stop_limit", stop_px=97, limit_px=98.5, tif="gtc"),
    ]
    run = play(tmp_path, bars, script)
    assert [(f["ts"][:10], f["price"]) for f in run.fills("x")] == [(THURSDAY, "98.5")]


def test_end_of_data_closes_nothing(tmp_path: Path) -> None:
    """What may live on stays new, with the exits of a bracket."""
    script = [submit(TUESDAY, "e", "buy", 10, bracket={"take_profit_px": 120, "stop_px": 80})]
    script.append(submit(TUESDAY, "g", "buy", 10, type="stop", stop_px=130, tif="gtc"))
    run = play(tmp_path, daily(FLAT, FLAT), script)
    assert run.statuses() == {"e": "filled", "e-tp": "new", "e-sl": "new", "g": "new"}
