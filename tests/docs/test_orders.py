"""ops/orders.md keeps its word: every example is an order that is taken, every code and field stands where it says."""

from __future__ import annotations

import json
import re
import shlex
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from actors.messages.orders import OrderStatus, OrderType, TimeInForce
from actors.reporter import tables, tca_orders
from actors.risk.params import RiskLimits
from daemon.cli.ctl import verbs
from daemon.control.methods import METHODS
from daemon.system.order_fields import TERM_FIELDS
from daemon.system.order_form import ORDER_FIELDS
from daemon.system.script import VERBS, read_script
from system.wired import SYMBOLS, House

PAGE: Final = (Path(__file__).resolve().parents[2] / "ops" / "orders.md").read_text("utf-8")
FENCE: Final = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS: Final = [
    [json.loads(line, parse_float=Decimal) for line in block.splitlines()] for block in FENCE.findall(PAGE)
]
EXAMPLES: Final = [example for block in BLOCKS for example in block]


def at_450() -> House:
    """A core with SPY at 450, in which a position may be as large as its cash."""
    house = House(limits=RiskLimits(replay=False, max_position=0.0))
    house.bar(100, 200, 450)
    return house


def stamp(text: str) -> int:
    """Nanoseconds of a time with an offset."""
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def taken(result: dict[str, Any]) -> bool:
    """Whether an order works or worked; one for this instant may have ended unfilled."""
    return result["status"] in {"new", "partially_filled", "filled", "canceled"} and "code" not in result


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(block[0]["id"]))
def test_every_example_is_taken(block: list[dict[str, Any]]) -> None:
    """The orders of one block one after the other, by the gate and the broker of a real core."""
    house = at_450()
    results = [house.submit(**example) for example in block]
    assert [taken(result) for result in results] == [True] * len(block), results


def test_the_examples_show_every_type_and_term() -> None:
    """Nothing that can be said is left without an example; a locate belongs to short sales only."""
    assert {example.get("type", "market") for example in EXAMPLES} == set(OrderType)
    assert {example["tif"] for example in EXAMPLES if "tif" in example} == set(TimeInForce) - {"day"}
    assert {name for example in EXAMPLES for name in example} >= TERM_FIELDS - {"locate"}


def test_every_field_stands_in_the_table() -> None:
    """A field that is read and not told of is nobody's."""
    table = PAGE.partition("## Fields")[2].partition("## Types")[0]
    assert {name for name in ORDER_FIELDS if f"`{name}`" not in table} == set()


HEADERS: Final = {"orders.csv": tables.ORDERS, "fills.csv": tables.FILLS, "tca.csv": tca_orders.HEADER}
CODES: Final = re.compile(r"""(?:Denial\(|return |Final = |refuse\(|code = )\(?"([A-Z]+(?:_[A-Z]+)+)\"""")
"""How codes stand where orders are judged."""
JUDGES: Final = (
    *("actors/risk/form.py", "actors/risk/terms.py", "daemon/system/order_fields.py", "daemon/system/order_form.py"),
    *("actors/broker/acceptance.py", "actors/values/refusals.py"),
)
OTHERS: Final = {"BAD_LIMIT_PX", "BAD_STOP_PX", "BAD_LOT", "UNKNOWN_ACCOUNT", "DUPLICATE_ORDER"}
"""What the broker would say of an order that no gate had looked at."""


def test_every_code_stands_on_the_page() -> None:
    """Codes of the border, of the gate's form and of the broker's acceptance."""
    root = Path(__file__).resolve().parents[2]
    found = {code for path in JUDGES for code in CODES.findall((root / path).read_text("utf-8"))}
    assert {"BELOW_FILLED", "BAD_TRAIL", "BAD_EXPIRY", "BAD_FIELD", "REDUCE_ONLY_FLAT"} <= found
    assert {code for code in found - OTHERS if f"`{code}`" not in PAGE} == set()


def test_the_line_of_an_orders_file_reads(tmp_path: Path) -> None:
    """As it stands on the page."""
    line = next(line.strip() for line in PAGE.splitlines() if line.startswith('    {"at"'))
    path = tmp_path / "orders.jsonl"
    path.write_text(line, "utf-8")
    index = {symbol: number for number, symbol in enumerate(SYMBOLS)}
    assert len(read_script(path, index, ("main",), int)) == 1


def test_the_orders_file_reads_and_shows_each_verb_that_its_table_names(tmp_path: Path) -> None:
    """Every line is one; verbs and statuses of the table are those of the program."""
    (block,) = re.findall(r"^```jsonl\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    path = tmp_path / "orders.jsonl"
    path.write_text(block, "utf-8")
    lines = read_script(path, {symbol: number for number, symbol in enumerate(SYMBOLS)}, ("main",), stamp)
    assert [type(line.command).__name__ for line in lines] == [
        "SubmitOrder", "ReplaceOrder", "SubmitOrder", "CancelOrder", "Flatten",
    ]  # fmt: skip
    assert all(getattr(line.command, "malformed", None) is None for line in lines)
    table = PAGE.partition("| key | says |")[2].partition("## Fields")[0]
    assert {word for word in (*VERBS, *OrderStatus) if f"`{word}`" not in table} == set()


@pytest.mark.parametrize("line", [line.strip() for line in PAGE.splitlines() if line.startswith("    tradingctl ")])
def test_every_command_line_is_an_order_that_is_taken(line: str) -> None:
    """Its flags exist; what they say, put on the wire, is taken."""
    found = verbs.find(shlex.split(line)[1:])
    assert found is not None
    method, rest = found
    assert method is METHODS["order.submit"]
    wire = verbs.params(method, verbs.parser(method).parse_args(rest))
    sent = json.loads(json.dumps(wire, default=str), parse_float=Decimal)
    house = at_450()
    numbers = {"qty": Decimal(sent["qty"])}
    if "bracket" in sent:
        numbers["bracket"] = {name: Decimal(value) for name, value in sent["bracket"].items()}
    assert taken(house.submit(**{**sent, **numbers}))


@pytest.mark.parametrize("name", ["orders.csv", "fills.csv", "tca.csv"])
def test_every_column_of_a_table_is_told(name: str) -> None:
    """Each in the part of the page that is about its file, and no other."""
    told = PAGE.partition(f"| `{name}` | says |")[2].partition("\n\n")[0]
    columns = {word for row in told.splitlines()[2:] for word in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert columns == set(HEADERS[name].split(","))
