"""Bad files and options: one sentence that says what, where and what to do, the right exit code, nothing left."""

from __future__ import annotations

import json

import pytest

from tests.robustness.cases import HEADER, Desk, bars


@pytest.mark.parametrize(
    ("symbol", "shown"),
    [
        ('"A,B"', "'A,B'"),
        ('"A\nB"', r"'A\\nB'"),
        ("=1+1", "'=1+1'"),
        ("@SUM(1)", "'@SUM(1)'"),
        ("-A", "'-A'"),
        ("<b>A", "'<b>A'"),
        ("A\x1b[31m", r"\\x1b"),
        ("A\u202eB", r"\\u202e"),
        ('"A""B"', "'A\"B'"),
    ],
)
def test_a_symbol_that_would_break_tables_pages_or_terminals_is_refused(desk: Desk, symbol: str, shown: str) -> None:
    """Cells, formulas, markup and escapes are none of a ticker."""
    desk.write("bars.csv", bars().replace("AAA", symbol, 1))
    sentence = desk.refused(1)
    assert "bars.csv line " in sentence
    assert shown.replace("\\\\", "\\") in sentence
    assert "is no symbol; use letters" in sentence


def test_symbols_as_vendors_write_them_pass(desk: Desk) -> None:
    """Classes, indices, futures, pairs, units, other alphabets."""
    desk.write("bars.csv", bars(3, ("BRK.B", "^GSPC", "ES=F", "BTC/USD", "BF-B", "RDS A", "0700.HK", "株式", "A&B")))
    desk.accepted()


def test_a_file_with_other_separators_says_so(desk: Desk) -> None:
    """Semicolons, as spreadsheets of half the world write them."""
    desk.write("bars.csv", bars().replace(",", ";"))
    assert "separate the cells by commas" in desk.refused(1)


@pytest.mark.parametrize("content", [b"\0" * 5_000, bars().replace("\n", "\r").encode()])
def test_a_strange_file_gives_a_short_sentence(desk: Desk, content: bytes) -> None:
    """What is shown of it is clipped, and no control character reaches the terminal."""
    desk.write("bars.csv", content)
    assert "bars.csv" in desk.refused(1)


def test_dates_before_1970_are_refused_with_their_line(desk: Desk) -> None:
    """Time is counted from there."""
    desk.write("bars.csv", bars().replace("2024", "1950"))
    assert "bars.csv line 2: '1950-01-02' is not a time of these centuries (1970 to 2100)" in desk.refused(1)


def test_a_pipe_or_device_is_no_bar_file(desk: Desk) -> None:
    """It would never end, or end before its digest is known."""
    code, _, err = desk.run("replay", "--bars", "/dev/zero", "--strategy", "momentum", "--out", "run")
    desk.check_sentence(err)
    assert code == 1
    assert "it is a pipe or a device" in err


@pytest.mark.parametrize("price", ["0.00000001", "80000000"])
def test_the_smallest_and_the_largest_prices_run(desk: Desk, price: str) -> None:
    """At 1e-8 an account could buy more shares than a message can count: it buys what can be counted."""
    lines = [line.split(",") for line in bars().splitlines()[1:]]
    desk.write("bars.csv", HEADER + "".join(f"{c[0]},{c[1]},{price},{price},{price},{price},1e15\n" for c in lines))
    desk.accepted("--cash", "9000000000", "--profile", "frictionless")


def test_a_position_beyond_what_can_be_counted_is_denied(desk: Desk) -> None:
    """The second of two orders that together hold more than 64 bits of 1e-8."""
    lines = [line.split(",") for line in bars().splitlines()[1:]]
    desk.write("bars.csv", HEADER + "".join(f"{c[0]},{c[1]},{','.join(['0.00000001'] * 4)},1e15\n" for c in lines))
    submit = {"symbol": "AAA", "side": "buy", "qty": 92233720368}
    script = desk.orders(
        {"at": "2024-01-03", "submit": {"id": "a", **submit}}, {"at": "2024-01-05", "submit": {"id": "b", **submit}}
    )
    desk.accepted("--orders", script, "--profile", "frictionless")
    statuses = [(row["status"], row["reason"][:8]) for row in desk.rows("orders.csv")]
    assert statuses == [("filled", "script"), ("denied", "MAX_QTY:")]


def test_an_account_beyond_what_can_be_counted_stops_with_a_sentence(desk: Desk) -> None:
    """Nine billion shares at 1 rise to 80 million each."""
    lines = [line.split(",") for line in bars().splitlines()[1:]]
    prices = [1 if i < 10 else 80_000_000 for i in range(len(lines))]
    rows = [f"{c[0]},{c[1]},{p},{p},{p},{p},1e15\n" for c, p in zip(lines, prices, strict=True)]
    desk.write("bars.csv", HEADER + "".join(rows))
    script = desk.orders({"at": None, "submit": {"id": "a", "symbol": "AAA", "side": "buy", "qty": 9_000_000_000}})
    sentence = desk.refused(1, "--orders", script, "--profile", "frictionless", "--cash", "9000000000")
    assert "more than a run can count; start with less cash" in sentence


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", ["-1", str(2**63), "9" * 30])
def test_a_seed_that_cannot_be_kept_is_usage(desk: Desk, seed: str) -> None:
    """Generators take no negative one and the ledger none beyond 64 bits."""
    assert "--seed" in desk.refused(2, "--seed", seed)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", ""])
def test_a_zone_that_is_none_is_refused_even_where_it_is_not_needed(desk: Desk, zone: str) -> None:
    """Daily bars need no zone, but the operator meant something."""
    assert "is no time zone; use a name such as America/New_York" in desk.refused(2, "--tz", zone)


@pytest.mark.parametrize("params", ["[" * 100_000, '{"a":' * 3_000, '{"top": ' + "9" * 5_000 + "}", '{"a": "\\ud800"}'])
def test_parameters_no_decoder_can_take_are_usage(desk: Desk, params: str) -> None:
    """Nested too deep, a number too long, half a surrogate pair."""
    assert "--params" in desk.refused(2, "--strategy", "momentum", "--params", params)


@pytest.mark.parametrize("text", ["a = " + "[" * 2_000, "[broker]\nspread_bps = " + "9" * 5_000 + "\n"])
def test_a_configuration_no_decoder_can_take_names_the_file(desk: Desk, text: str) -> None:
    """Exit 78 as for every configuration that does not hold."""
    desk.write("c.toml", text)
    assert "c.toml is nested too deep, or has a number too long" in desk.refused(78, "--config", "c.toml")


def test_a_configuration_with_a_byte_order_mark_is_read(desk: Desk) -> None:
    """As Windows editors save it."""
    desk.write("c.toml", b"\xef\xbb\xbf[risk]\r\nmax_positions = 3\r\n")
    code, out, _ = desk.run("config", "show", "--config", "c.toml", "--origin")
    assert code == 0
    assert next(line for line in out.splitlines() if line.startswith("risk.max_positions ")).split()[1] == "3"


def test_a_long_value_is_clipped_in_the_sentence(desk: Desk) -> None:
    """A screen of digits helps nobody."""
    assert "..." in desk.refused(78, "--set", "risk.max_positions=" + "9" * 3_000)


# -- orders ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"at":null,"submit":{"id":"a","symbol":"AAA","side":"buy","qty":' + "9" * 5_000 + "}}", "a number too long"),
        ('{"at":null,"submit":{"id":"a","symbol":"\\ud800","side":"buy","qty":1}}', "half of a surrogate pair"),
        ('{"at":null,"submit":{"id":"a\\nb","symbol":"AAA","side":"buy","qty":1}}', "all of them printable"),
        ('{"at":null,"halt":{"reason":"\\u001b[31m"}}', "all of them printable"),
        ('{"at":null,"cancel":"' + "x" * 201 + '"}', "at most 200 characters"),
        ('{"at":null,"halt":{"reason":"\\udc00"}}', "half of a surrogate pair"),
        ('{"at":"0001-01-01T00:00:00+23:59","cancel":"a"}', "is not a time of these centuries"),
        ('{"at":"9999-12-31T23:59:59-23:59","cancel":"a"}', "is not a time of these centuries"),
    ],
)
def test_a_line_of_orders_that_cannot_be_read_names_itself(desk: Desk, line: str, says: str) -> None:
    """File, line and reason."""
    sentence = desk.refused(1, "--orders", desk.orders({"at": None, "cancel": "b"}, line))
    assert "orders.jsonl, line 2: " in sentence
    assert says in sentence


def test_orders_saved_by_other_editors_are_read(desk: Desk) -> None:
    """A byte order mark, CRLF and blank lines; a line separator inside a text does not end the line."""
    line = json.dumps({"at": None, "submit": {"id": "a", "symbol": "AAA", "side": "buy", "qty": 1}})
    desk.write("orders.jsonl", b"\xef\xbb\xbf" + line.encode() + b"\r\n\r\n")
    desk.accepted("--orders", "orders.jsonl")
    assert [row["client_order_id"] for row in desk.rows("orders.csv")] == ["a"]
    desk.write("orders.jsonl", line.replace("AAA", "A\u2028A"))
    desk.accepted("--orders", "orders.jsonl")
    assert [row["status"] for row in desk.rows("orders.csv")] == ["denied"]


@pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
def test_an_orders_file_that_is_none_is_named_without_numbers_of_errors(desk: Desk, name: str) -> None:
    """No errno, no repetition."""
    sentence = desk.refused(1, "--orders", name)
    assert f"the orders file {name} cannot be read: " in sentence
    assert "Errno" not in sentence


# -- calculations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("psr --sr 1 --n 5 --benchmark-sr nan", "--benchmark-sr nan must be a finite number"),
        ("mintrl --sr 1 --n 5 --benchmark-sr inf", "--benchmark-sr inf must be a finite number"),
        ("dsr --sr 1 --n 5 --trials 9999999999999999 --trials-variance 1", "--trials N"),
        (f"psr --sr 1 --n {'9' * 30}", "--n "),
        ("metrics --equity e.csv --periods 1e-300", "--periods 1e-300 must be"),
        ("cost --side buy --qty inf --px 50", "--qty: 'inf' is not a finite number"),
        (f"cost --side buy --qty {'9' * 40} --px 50", "is too large"),
        ("cost --side buy --qty 1 --px 50 --vol -1", "--vol -1 is below zero"),
    ],
)
def test_numbers_that_make_no_sense_are_usage(desk: Desk, arguments: str, says: str) -> None:
    """The option is named."""
    desk.write("e.csv", "ts,equity\n2024-01-02,100\n2024-01-03,101\n")
    code, out, err = desk.run("calc", *arguments.split())
    desk.check_sentence(err)
    assert (code, out) == (2, "")
    assert says in err


@pytest.mark.parametrize("when", ["0001-01-01", "9999-12-31", "9999-12-31T23:00:00-05:00"])
def test_a_time_beyond_nanoseconds_is_refused_with_its_line(desk: Desk, when: str) -> None:
    """File, line and column."""
    desk.write("e.csv", f"ts,equity\n{when},100\n2024-01-03,101\n")
    code, _, err = desk.run("calc", "metrics", "--equity", "e.csv")
    desk.check_sentence(err)
    assert code == 1
    assert "e.csv, line 2, column ts" in err


def test_a_cell_beyond_the_csv_reader_is_refused_with_its_line(desk: Desk) -> None:
    """Somebody's binary with a comma in it."""
    desk.write("e.csv", "ts,equity\n" + "x" * 200_000 + "\n")
    code, _, err = desk.run("calc", "metrics", "--equity", "e.csv")
    desk.check_sentence(err)
    assert code == 1
    assert "e.csv, line 2" in err


def test_percent_taken_for_fractions_gives_nulls_not_a_crash(desk: Desk, recwarn: pytest.WarningsRecorder) -> None:
    """Growth of 10,000 % a session overflows when it is annualised."""
    desk.write("r.csv", "ts,return\n2024-01-02,100\n2024-01-03,101\n2024-01-04,99\n")
    code, out, err = desk.run("calc", "metrics", "--returns", "r.csv")
    assert (code, err) == (0, "")
    assert json.loads(out)["metrics"]["cagr"]["value"] is None
    assert not recwarn.list


def test_a_ratio_of_next_to_nothing_has_no_track_record(desk: Desk) -> None:
    """The length would not fit a float."""
    code, out, err = desk.run("calc", "mintrl", "--sr", "1e-200", "--n", "5")
    assert (code, err) == (0, "")
    assert json.loads(out)["value"] is None
