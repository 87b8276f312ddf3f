"""What people see: golden renderings of every table, and the rules that make them.

The golden files are plain text. After a change that is meant, write them anew with ``TRADINGCTL_GOLDEN=write`` and look
at the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.ctl import calls, events, show, status, text, wire
from daemon.cli.ctl.picture import Picture, shared
from daemon.cli.ctl.text import Column, Paint
from daemon.control.methods import METHODS
from tests.cli.ctl.answers import ANSWERS, EVENTS, RESULTS

GOLDEN = Path(__file__).parent / "golden"
PLAIN = Paint(on=False)


def compare(name: str, lines: list[str]) -> None:
    """Compare with the golden file of that name."""
    shown = "".join(f"{line}\n" for line in lines)
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("TRADINGCTL_GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(shown, "utf-8")
    assert file.read_text("utf-8") == shown


@pytest.mark.parametrize("name", sorted(set(ANSWERS) - {"subscribe"}))
def test_lists_and_looks(name: str) -> None:
    """As wide as they are, as in a pipe."""
    compare(name, calls.rendered(METHODS[name], wire.loads(ANSWERS[name]), {}, PLAIN, None))


ON_80 = ["status", "orders", "trades", "alerts", "config.show", "risk", "limits", "breakers", "model"]


@pytest.mark.parametrize("name", ON_80)
def test_on_a_terminal_of_80_columns(name: str) -> None:
    """Text is cut, numbers and times never; what does not fit is left out and the heading says so."""
    lines = calls.rendered(METHODS[name], wire.loads(ANSWERS[name]), {}, PLAIN, 80)
    compare(f"{name}-80", lines)
    assert max(text.width(line) for line in lines if "·" not in line) <= 80


ROW_OF_YEARS = {
    "orders": {
        "ts": "2019-06-04T20:00:00.000Z", "order_id": "O-526", "symbol": "MSFT", "side": "sell", "qty": 86,
        "type": "limit", "tif": "gtc", "limit_px": 130.30172911, "stop_px": 114.90243375, "status": "new", "cum_qty": 0,
        "strategy": "price_model", "reason": "take_profit",
    },
    "trades": {
        "symbol": "AAPL", "side": "long", "qty": 236, "entry_ts": "2018-12-29T20:00:00.000Z", "entry_px": 43.0541081,
        "exit_ts": "2019-06-11T20:00:00.000Z", "exit_px": 47.21942684, "fees": 20.51, "pnl": 977.12, "return": 0.0962,
        "exit_reason": "rebalance", "strategy": "price_model",
    },
    "alerts": {
        "ts": "2019-06-13T20:00:00.000Z", "severity": "warning", "title": "-3.47% at stop-loss of AMD", "count": 1,
        "state": "delivered", "acknowledged": False, "facts": {"return": -0.0347}, "action_taken": "the lot was closed",
        "alert_id": "A-57c3cfc8b8d5",
    },
}  # fmt: skip


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("orders", ("2019-06-04 20:00", "O-526", "sell", "86", "130.30", "114.90", "new")),
        ("trades", ("2018-12-29", "2019-06-11", "+977.12", "+9.62 %", "43.05", "47.2")),
        ("alerts", ("2019-06-13 20:00", "-3.47% at stop-loss of AMD", "A-57c3cfc8b8d5")),
    ],
)
def test_what_matters_stays_on_a_narrow_terminal(name: str, there: tuple[str, ...], columns: int) -> None:
    """Year, price, gain, status and what happened; what can be spared goes, and the heading tells by an ellipsis."""
    answer = wire.loads(json.dumps({"rows": [ROW_OF_YEARS[name]]}))
    heading, row, *_ = calls.rendered(METHODS[name], answer, {"all": True}, PLAIN, columns)
    assert [part for part in there if part not in row] == []
    assert heading.endswith("…") == ((name, columns) != ("orders", 120))
    assert max(text.width(line) for line in (heading, row)) <= columns
    if columns == 120 and name == "orders":
        assert "price_model" in row


def test_times_of_the_minute_keep_their_seconds_where_one_of_them_has_some() -> None:
    """The whole column looks alike; what is no time stays."""
    stamps = ["2019-06-04 20:00:00Z", "2019-06-04 20:00:07.250Z", "-"]
    assert text.shortened(stamps) == ["2019-06-04 20:00:00", "2019-06-04 20:00:07", "-"]
    assert text.shortened([stamps[0], "-"]) == ["2019-06-04 20:00", "-"]
    assert text.shortened(text.shortened(stamps), days=True) == ["2019-06-04", "2019-06-04", "-"]


def test_a_table_taller_than_the_terminal_says_its_heading_at_the_end_too() -> None:
    """Where its rows begin has scrolled away; in a pipe and where it fits, once is enough."""
    answer = wire.loads(json.dumps({"rows": [ROW_OF_YEARS["orders"]] * 30}))
    tall = calls.rendered(METHODS["orders"], answer, {}, PLAIN, 120, 24)
    assert (tall[0], tall[32]) == (tall[31], "30 orders")
    for lines in (None, 50):
        assert calls.rendered(METHODS["orders"], answer, {}, PLAIN, 120, lines)[31] == "30 orders"


@pytest.mark.parametrize(("name", "method"), [(name, name.partition("-")[0]) for name in sorted(RESULTS)])
def test_what_commands_say(name: str, method: str) -> None:
    """One line that says what was done, then what else the answer holds."""
    compare(name, calls.rendered(METHODS[method], wire.loads(RESULTS[name]), {}, PLAIN, None))


def test_events_one_line_each() -> None:
    """Symbol, side and price as people say them; columns of a decision as its strongest entries."""
    compare("events", [events.line(wire.loads(event), PLAIN) for event in EVENTS])


def test_a_round_trip_was_long_or_short_and_not_bought() -> None:
    """Its side is the position's, an order's and a fill's what was done."""
    for kind, words in (("TradeClosed", ("long", "short")), ("OrderFilled", ("buy", "sell"))):
        for side, word in zip((1, -1), words, strict=True):
            event = wire.loads(json.dumps({"type": kind, "symbol": "KO", "qty": 5, "side": side}))
            assert events.what(event, PLAIN) == f"{word} 5 KO"


def picture() -> Picture:
    """Return a picture with everything in it."""
    made = Picture()
    made.status = wire.loads(ANSWERS["status"])
    made.positions = wire.loads(ANSWERS["positions"])["rows"] * 3
    made.orders = wire.loads(ANSWERS["orders"])["rows"] * 4
    made.events.extend(wire.loads(event) for event in EVENTS)
    made.heard_at = 100.0
    return made


@pytest.mark.parametrize(("columns", "rows"), [(120, 45), (80, 24), (60, 16)])
def test_top_fits_every_screen(columns: int, rows: int) -> None:
    """The state stays on top, everything has its place, no line is too long and there are not too many."""
    lines = picture().lines(PLAIN, columns, rows, 100.5)
    compare(f"top-{columns}x{rows}", lines)
    assert len(lines) <= rows
    assert max(text.width(line) for line in lines) <= columns


@pytest.mark.parametrize("columns", [1, 20, 200])
@pytest.mark.parametrize("rows", [1, 2, 5, 100])
def test_top_bears_any_size(columns: int, rows: int) -> None:
    """Absurd terminals cut it, and do not break it."""
    for made in (picture(), Picture()):
        lines = made.lines(Paint(on=True), columns, rows, 500.0)
        assert len(lines) <= rows
        assert max(text.width(line) for line in lines) <= columns


def test_top_says_when_it_is_old() -> None:
    """No answer for a while, or no connection: the numbers are not passed off as new."""
    made = picture()
    assert "heard 1 min 40 s ago" in made.lines(PLAIN, 100, 40, 200.0)[0]
    made.trouble = "the daemon hung up"
    assert made.lines(PLAIN, 100, 40, 200.0)[1] == "what follows is old: the daemon hung up"
    assert Picture().lines(PLAIN, 80, 24, 0.0)[:2] == ["tradingctl top", "waiting for the daemon"]


def test_a_configuration_that_changes_nothing_says_so() -> None:
    """In words, and not as an empty list."""
    nothing = wire.loads('{"schema": "x", "ok": true, "digest": "7c9e", "changes": []}')
    check = calls.rendered(METHODS["config.check"], nothing, {}, PLAIN, None)
    assert check == ["the configuration file holds; a reload would change nothing"]
    assert calls.rendered(METHODS["reload"], nothing, {}, PLAIN, None)[0] == "reload: done, nothing had to change"


def test_a_story_says_the_type_of_an_order_once() -> None:
    """A stop is a stop at its price; of any other type the stop price is named."""
    order = '"symbol":"KO","side":"sell","qty":5,"tif":"gtc","status":"new","client_order_id":"x","stop_px":40.5'
    for kind, terms in (("stop", "stop 40.50"), ("trailing_stop", "trailing_stop stop 40.50")):
        story = wire.loads(f'{{"order": {{"type": "{kind}", {order}}}}}')
        shown = calls.rendered(METHODS["why"], story, {}, PLAIN, None)[0]
        assert shown == f"x: sell 5 KO {terms} gtc: new"


def test_a_story_tells_terms_relatives_and_what_was_on_its_way() -> None:
    """The terms in brackets, price and cost expected at acceptance, the venue's time, entry and sibling at the end."""
    sibling = {"client_order_id": "in-tp", "symbol": "KO", "side": "sell", "qty": 5, "limit_px": 50, "type": "limit"}
    order = {
        "client_order_id": "in-sl",
        "symbol": "KO",
        "side": "sell",
        "qty": 5,
        "type": "trailing_stop",
        "tif": "gtc",
    }
    when = {"ts": "2020-01-02T14:31:00.000Z", "seq": 5}
    told = {
        "order": order | {"status": "new", "terms": {"trail_percent": 5, "bracket_of": "in"}},
        "checks": [
            {"by": "broker", "verdict": "accepted", "order_id": "O-2", "ref_px": 42.5, "expected_cost": 0.25} | when
        ],
        "life": [{"event": "cancel_requested", "effective_at": "2020-01-02T14:31:00.100Z", "reason": "enough"} | when],
        "parent": {"client_order_id": "in", "symbol": "KO", "side": "buy", "qty": 5, "status": "filled"},
        "siblings": [
            sibling | {"status": "canceled", "reason": "OCO"},
            sibling | {"limit_px": None, "terms": {"trail_percent": "2.5"}, "status": "new"},
        ],
    }
    shown = calls.rendered(METHODS["why"], wire.loads(json.dumps(told)), {}, PLAIN, None)
    assert shown[0] == "in-sl: sell 5 KO trailing_stop gtc (trail 5 %, exit of in): new"
    text = "\n".join(shown)
    assert "broker accepted as O-2 with the market at 42.50, expected to cost 0.25" in text
    assert "cancel requested  at the venue 2020-01-02 14:31:00.100Z: enough" in text
    assert "parent      in: buy 5 KO, filled" in text
    assert "sibling     in-tp: sell 5 KO limit 50.00, canceled (OCO)" in text
    assert "sibling     in-tp: sell 5 KO trail 2.5 %, new" in text


@pytest.mark.parametrize(
    ("alike", "heat", "words"),
    [
        ("0", "0", None),
        ("0.4", "0", "cut by 40.00 % of the position aimed at because it moves like what is held (risk.corr"),
        ("0", "0.125", "cut by 12.50 % of the position aimed at because too much would be lost down to stops (risk.ri"),
        ("0.4", "0.125", "(risk.correlation_shrink), and by 12.50 % of what that left because too much would"),
    ],
)
def test_a_story_tells_what_sizing_cut(alike: str, heat: str, words: str | None) -> None:
    """A line of its own with the part and the key behind it; none where the order was left whole."""
    targets = f'"ts":"2026-11-20T15:11:58.000Z","weight":0.1,"cut_correlation":{alike},"cut_heat":{heat}'
    story = wire.loads(f'{{"order": {{"client_order_id": "x"}}, "targets": {{{targets}}}}}')
    sized = [line for line in calls.rendered(METHODS["why"], story, {}, PLAIN, None) if "  size  " in line]
    assert len(sized) == (words is not None)
    assert words is None or words in sized[0]


@pytest.mark.parametrize(("alike", "rest"), [("0", "the position aimed at"), ("0.4", "what that left")])
def test_a_story_tells_which_limit_left_no_room(alike: str, rest: str) -> None:
    """With the key that a person would change."""
    cuts = f'"cut_correlation":{alike},"cut_heat":0,"cut_room":0.25,"cut_limit":"max_sector"'
    targets = f'"ts":"2026-11-20T15:11:58.000Z","weight":0.1,{cuts}'
    story = wire.loads(f'{{"order": {{"client_order_id": "x"}}, "targets": {{{targets}}}}}')
    (sized,) = [line for line in calls.rendered(METHODS["why"], story, {}, PLAIN, None) if "  size  " in line]
    assert f"25.00 % of {rest} because no more room was left (risk.max_sector)" in sized


@pytest.mark.parametrize(
    ("held", "said"),
    [(0, "value at risk: nothing is held"), (2, "value at risk: unknown, too few sessions of what is")],
)
def test_no_value_at_risk_has_its_reason(held: int, said: str) -> None:
    """A portfolio that holds nothing is measured over no sessions, which is not too few of them."""
    tail = '{"method": "historical", "level": 0.95, "horizon": 1, "var": null, "es": null}'
    row = f'{{"portfolio": "main", "positions": {held}, "market": "universe", "sessions": 0, "tails": [{tail}]}}'
    shown = "\n".join(calls.rendered(METHODS["risk"], wire.loads(f'{{"rows": [{row}]}}'), {}, PLAIN, None))
    assert said in shown
    assert ("measured over" in shown) is (held > 0)


def test_a_list_of_orders_says_their_terms_in_words() -> None:
    """One column, behind the prices, and none where no order has any; a narrow terminal may do without."""
    plain = ROW_OF_YEARS["orders"]
    trail = plain | {"terms": {"trail_percent": 5, "oco_group": "g"}}
    shown = calls.rendered(METHODS["orders"], wire.loads(json.dumps({"rows": [plain, trail]})), {}, PLAIN, None)
    assert "terms" in shown[0]
    assert "trail 5 %, OCO g" in shown[2]
    without = calls.rendered(METHODS["orders"], wire.loads(json.dumps({"rows": [plain]})), {}, PLAIN, None)
    assert "terms" not in without[0]


def test_more_is_offered_only_as_far_as_a_list_goes() -> None:
    """A limit the daemon would refuse is not proposed."""
    rows = wire.loads(json.dumps({"rows": [ROW_OF_YEARS["orders"]] * 1000, "more": True}))
    for limit, hint in ((600, "there may be more: --limit 1000 or --since TIME"), (1000, "no more are shown at once")):
        answer = {"rows": rows["rows"][:limit], "more": True}
        last = calls.rendered(METHODS["orders"], answer, {"limit": limit, "all": True}, PLAIN, None)[-1]
        assert last == f"the newest {limit:,}; {hint}"


def test_top_names_the_portfolios_of_breakers_that_are_not_armed() -> None:
    """Several portfolios: how many are armed, then by name those that are not."""
    made = picture()
    rows = [
        {"portfolio": name, "breaker": breaker, "state": "armed", "value": "0.01", "limit": "0.05"}
        for name in ("swing", "core", "play")
        for breaker in ("daily_loss", "drawdown")
    ]
    rows[2]["state"] = "latched"
    made.status["breakers"] = rows
    (line,) = [line for line in made.lines(PLAIN, 80, 40, 100.0) if line.startswith("breakers")]
    assert line == "breakers  5 armed   core daily_loss latched 1.00 % of 5.00 %"


@pytest.mark.parametrize(
    ("room", "needs", "gets"),
    [(10, (3, 4), (3, 4)), (10, (20, 20), (5, 5)), (10, (2, 20), (2, 8)), (10, (20, 2), (8, 2)), (0, (5, 5), (0, 0))],
)
def test_tables_share_the_screen(room: int, needs: tuple[int, int], gets: tuple[int, int]) -> None:
    """Neither takes what it does not need."""
    assert shared(room, *needs) == gets


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ("0", "0 ms"), ("0.0124", "12 ms"), ("0.9996", "1 s"), ("3", "3 s"), ("3.25", "3.2 s"), ("9.96", "10 s"),
        ("59.4", "59 s"), ("59.6", "1 min"), ("120", "2 min"), ("184", "3 min 4 s"), ("3600", "1 h"),
        ("11532.4", "3 h 12 min"), ("86399.9", "1 d"), ("180000", "2 d 2 h"), ("-1", "-1"),
        ("x", "x"), ("1e99", "1e99"), ("nan", "nan"),
    ],
)  # fmt: skip
def test_ages(seconds: str, words: str) -> None:
    """Two units at most, the largest first; what is no age stays as it is."""
    assert text.age(seconds) == words


@pytest.mark.parametrize(
    ("number", "digits", "shown"),
    [
        ("1234567.5", None, "1,234,567.5"), ("1234567.50", None, "1,234,567.5"), ("-0.004", 2, "0.00"),
        ("0.005", 2, "0.00"), ("0.015", 2, "0.02"), ("1e999999999", 2, "1e999999999"),
        ("123456789012345678901234567890.125", 2, "123,456,789,012,345,678,901,234,567,890.12"),
        ("100", None, "100"), ("0.00000001", None, "0.00000001"), ("1E-9", None, "0.000000001"),
        ("0e99999999", None, "0"), ("-5", None, "-5"), ("abc", None, "abc"), ("", None, ""),
    ],
)  # fmt: skip
def test_numbers(number: str, digits: int | None, shown: str) -> None:
    """Grouped by thousands, exact unless places are asked for, and never a float on the way."""
    assert text.grouped(number, digits) == shown


@pytest.mark.parametrize(
    ("evil", "shown"),
    [
        ("\x1b[2J\x1b[31mred", "red"), ("\x1b]0;title\x07x", "x"), ("\x1b]8;;http://e\x1b\\link", "link"),
        ("a\r\nb\tc", "a b c"), ("\x9b31mx", "?31mx"), ("a\x00b", "a?b"), ("\u202eabc", "?abc"),
        ("caf\u00e9 \u6f22", "caf\u00e9 \u6f22"), ("\ud800", "?"), ("\x1b", "?"),
    ],
)  # fmt: skip
def test_text_of_strangers_cannot_drive_the_terminal(evil: str, shown: str) -> None:
    """Sequences go, other controls become a question mark, letters of any script stay."""
    assert text.clean(evil) == shown
    assert "\x1b" not in text.clean(evil)


def test_no_field_of_any_answer_reaches_the_terminal_unclean() -> None:
    """Every text of every answer replaced by an attack: no line holds a control character."""
    attack = "\x1b[2J\x1b]0;x\x07\u202e\x9b\r\n\x00"

    def poisoned(value: Any) -> Any:
        if isinstance(value, wire.Number):
            return value
        if isinstance(value, str):
            return value + attack
        if isinstance(value, dict):
            return {**{name: poisoned(item) for name, item in value.items()}, f"n{attack}": attack}
        return [poisoned(item) for item in value] if isinstance(value, list) else value

    shown: list[str] = []
    for name, answer in {**ANSWERS, **RESULTS}.items():
        if name != "subscribe":
            shown += calls.rendered(METHODS[name.partition("-")[0]], poisoned(wire.loads(answer)), {}, PLAIN, 100)
    shown += [events.line(poisoned(wire.loads(event)), PLAIN) for event in EVENTS]
    made = picture()
    made.status, made.positions, made.orders = poisoned(made.status), poisoned(made.positions), poisoned(made.orders)
    made.trouble = made.deaf = attack
    shown += made.lines(PLAIN, 120, 60, 0.0)
    assert [line for line in shown if not line.isprintable()] == []


@pytest.mark.parametrize(
    "nonsense", ["null", "3", '"x"', "[]", "{}", '{"rows": 3}', '{"rows": [1, null, "x", []]}', '{"rows": [{}]}']
)
def test_answers_of_the_wrong_shape_are_shown_not_fatal(nonsense: str) -> None:
    """A daemon of another version may say anything; nothing raises."""
    for method in METHODS.values():
        calls.rendered(method, wire.loads(nonsense), {}, PLAIN, 80)
    events.line({}, PLAIN)
    made = Picture()
    made.status = {
        name: wire.loads(nonsense)
        for name in ("feeds", "actors", "breakers", "journal", "session", "equity", "model", "notices")
    }
    made.positions = [wire.loads(nonsense)]
    made.lines(PLAIN, 80, 24, 0.0)
    status.render(made.status, PLAIN)


def test_colours_only_where_they_are_wanted() -> None:
    """Plain paint writes none; the other writes pairs that close."""
    coloured = status.render(wire.loads(ANSWERS["status"]), Paint(on=True), room=100)
    plain = status.render(wire.loads(ANSWERS["status"]), PLAIN, room=100)
    assert "\x1b" not in "".join(plain)
    joined = "".join(coloured)
    assert joined.count("\x1b[0m") * 2 == joined.count("\x1b[")
    assert [text.width(line) for line in coloured] == [text.width(line) for line in plain]


def test_columns_of_wide_letters_stay_aligned() -> None:
    """A terminal gives a CJK letter two columns and a combining mark none."""
    lines = text.table([Column("name"), Column("n", True)], [["\u6f22\u5b57", "1"], ["e\u0301", "22"]], PLAIN)
    assert [text.width(line) for line in lines] == [8, 8, 8]


def test_a_list_without_rows_says_so() -> None:
    """Nothing is a sentence, not an empty screen."""
    assert show.listing("orders", {"rows": []}, PLAIN) == ["no orders"]
    assert show.listing("config.show", {"rows": []}, PLAIN) == ["no rows"]


@pytest.mark.parametrize(("breaker", "said"), [("closed", False), ("half_open", True), ("open", True)])
def test_an_inference_host_that_cannot_be_used_is_seen_at_a_glance(breaker: str, *, said: bool) -> None:
    """In a status and on the screen that is watched; one that is well takes no room there."""
    answer = wire.loads(ANSWERS["status"])
    answer["model"]["breaker"] = breaker
    sentence = f"inference host: breaker {breaker}"
    assert any(sentence in line for line in status.parts(answer, PLAIN)) is said
    made = Picture()
    made.status = answer
    assert (f"models    {sentence}" in made.lines(PLAIN, 120, 45, 0.0)) is said


def test_a_model_that_gives_no_answer_is_named_by_whoever_computes_it() -> None:
    """The daemon itself has no host that could refuse."""
    answer = wire.loads(ANSWERS["model"])
    answer["pool"] |= {"pool": "inprocess", "breaker": None, "reason": None}
    said = "! finbert@0123456789ab gives no answer: there is no text model 'finbert'"
    assert calls.rendered(METHODS["model"], answer, {}, PLAIN, None)[-1] == said
