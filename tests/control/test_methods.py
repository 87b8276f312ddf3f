"""The table of methods, and what is said to a call that does not fit it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.control.calls import Role
from daemon.control.methods import METHODS, Method
from daemon.control.params import TEXT_MAX, Checked, Problem, check_params, find_method, printable

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = {
    "actors",
    "alert.ack",
    "alert.test",
    "alerts",
    "backup",
    "breaker.reset",
    "breakers",
    "cash.deposit",
    "cash.withdraw",
    "config.check",
    "config.show",
    "fills",
    "flatten",
    "halt",
    "health",
    "journal.head",
    "kill",
    "limits",
    "limits.set",
    "log.level",
    "model",
    "model.list",
    "order.cancel",
    "order.replace",
    "order.submit",
    "orders",
    "positions",
    "predictions",
    "reduce",
    "reload",
    "restricted.add",
    "restricted.remove",
    "resume",
    "risk",
    "shutdown",
    "signals",
    "snapshot",
    "status",
    "strategy.disable",
    "strategy.enable",
    "subscribe",
    "trades",
    "unlatch",
    "why",
}
SAFE = {"kill", "halt", "reduce", "flatten"}
VALUES: dict[str, Any] = {
    "text": "x",
    "number": Decimal("1.5"),
    "integer": 3,
    "bool": True,
    "object": {},
    "texts": ["x"],
}


def good(method: Method) -> dict[str, Any]:
    """Return parameters that fit."""
    found = {p.name: p.choices[0] if p.choices else VALUES[p.type] for p in method.params}
    return found | ({"reason": "why", "request_id": "r1"} if method.mutating else {})


def problem(name: str, params: dict[str, Any]) -> Problem:
    """Return what is wrong with a call."""
    found = check_params(METHODS[name], params)
    assert isinstance(found, Problem), found
    return found


def test_the_table_is_the_contract() -> None:
    """Section 5, as far as there is something behind it."""
    assert set(METHODS) == CONTRACT


def test_the_table_needs_the_standard_library_only() -> None:
    """The command line imports it: a kill must not need a package."""
    code = "import sys, daemon.control.params; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    answer = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(answer.stdout.split()) <= set(sys.stdlib_module_names) | {"daemon", "__main__", "_distutils_hack"}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_row_is_whole(method: Method) -> None:
    """Words for people, an example that is this verb, flags that do not clash, a role that exists."""
    assert method.doc
    assert not method.doc.endswith(".")
    words = shlex.split(method.example)
    assert words[: 1 + len(method.verb)] == ["tradingctl", *method.verb]
    flags = {word for word in words if word.startswith("--")}
    known = {param.flag for param in method.params} | ({"--reason"} if method.mutating else set())
    assert flags <= known | ({"--yes"} if method.confirm else set())
    assert Role[method.role.upper()] >= Role.VIEWER
    names = [param.name for param in method.params]
    assert len(set(names)) == len(names)
    assert not {"reason", "request_id", "json", "socket"} & set(names)
    assert (method.reason == "none") == (method.kind == "read")
    assert ("--yes" in words) == method.confirm
    assert ("--reason" in words) or method.reason != "asked"


def test_halting_needs_less_than_resuming() -> None:
    """Every step in the safe direction is an operator's; what loosens is an admin's, who is asked why."""
    for name in (*SAFE, "order.cancel", "strategy.disable", "alert.ack", "restricted.add"):
        assert METHODS[name].role == "operator", name
        assert METHODS[name].reason == "optional", name
    for name in ("resume", "unlatch"):
        assert METHODS[name].role == "admin", name
        assert METHODS[name].reason == "asked", name
    for name in ("breaker.reset", "strategy.enable", "cash.deposit", "cash.withdraw", "limits.set"):
        assert METHODS[name].role == "admin", name
    for name in ("reload", "shutdown", "log.level", "snapshot", "backup"):
        assert METHODS[name].role == "admin", name
    assert {name for name, method in METHODS.items() if method.lane == 0} == SAFE
    asking = {"resume", "flatten", "unlatch", "restricted.remove"}
    assert {name for name, method in METHODS.items() if method.confirm} == asking
    assert [name for name, method in METHODS.items() if method.lenient] == ["kill"]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_what_fits_passes(method: Method) -> None:
    """With every parameter, and with only those that are needed; null is not given."""
    params = good(method)
    found = check_params(method, params)
    assert isinstance(found, Checked)
    if method.mutating:
        assert (found.reason, found.request_id) == ("why", "r1")
    if not method.lenient:
        assert found.params == {k: v for k, v in params.items() if k not in ("reason", "request_id")}
    needed = {param.name: params[param.name] for param in method.params if param.required}
    rest = dict.fromkeys((param.name for param in method.params if not param.required), None)
    found = check_params(method, needed | rest)
    assert isinstance(found, Checked)
    assert found.params == needed


@pytest.mark.parametrize("method", [m for m in METHODS.values() if not m.lenient], ids=lambda m: m.name)
def test_what_does_not_fit_is_named(method: Method) -> None:
    """An unknown name, a missing one, a wrong type: each says which."""
    found = check_params(method, good(method) | {"nonsense": 1})
    assert isinstance(found, Problem)
    assert (found.reason, found.field) == ("UNKNOWN_PARAM", "nonsense")
    for param in method.params:
        if param.required:
            left = {k: v for k, v in good(method).items() if k != param.name}
            found = check_params(method, left)
            assert isinstance(found, Problem)
            assert (found.reason, found.field) == ("MISSING_PARAM", param.name)
            assert method.example in found.remedy
        if not param.judged:
            for wrong in ({"object": []}.get(param.type, {}), 1.5, []) if param.type != "texts" else ({}, [1], "x"):
                found = check_params(method, good(method) | {param.name: wrong})
                assert isinstance(found, Problem), (param, wrong)
                assert (found.reason, found.field) == ("BAD_PARAM", param.name)


def test_reads_take_no_reason() -> None:
    """They change nothing, so nobody has to answer for them."""
    assert problem("status", {"reason": "x"}).reason == "UNKNOWN_PARAM"


@pytest.mark.parametrize(
    ("word", "meant"), [("limt_px", "limit_px"), ("Symbol", "symbol"), ("requestid", "request_id")]
)
def test_a_misspelt_parameter_is_guessed(word: str, meant: str) -> None:
    """It says which one was meant."""
    params = {"symbol": "SPY", "side": "buy", "qty": 1, word: 1}
    assert problem("order.submit", params).remedy == f"did you mean {meant}?"


def test_a_misspelt_method_is_guessed() -> None:
    """So is a method; what is like nothing is pointed at the help."""
    found = find_method("positons")
    assert isinstance(found, Problem)
    assert found.remedy == "did you mean positions?"
    found = find_method("%s%n'; DROP TABLE orders; --")
    assert isinstance(found, Problem)
    assert "tradingctl --help" in found.remedy
    assert find_method("kill") is METHODS["kill"]


@pytest.mark.parametrize("value", [True, 1.5, "1", None, [], Decimal("NaN"), Decimal("Infinity")])
def test_numbers_are_numbers(value: object) -> None:
    """Not truths, not floats, not text, not infinite; null is missing."""
    found = problem("cash.deposit", {"amount": value, "reason": "x"})
    assert found.reason == ("MISSING_PARAM" if value is None else "BAD_PARAM")


@pytest.mark.parametrize("value", ["", " ", "x" * (TEXT_MAX + 1), "a\nb", "\x1b[2J", "\u202e", "\x00", 5, ["x"]])
def test_text_is_one_printable_line(value: object) -> None:
    """Because it is shown in logs and terminals."""
    assert problem("strategy.disable", {"strategy": value}).reason == "BAD_PARAM"
    assert problem("resume", {"reason": value}).field == "reason"


@pytest.mark.parametrize("value", ["", "x" * 65, "a\nb", 5, [], True])
def test_an_idempotency_key_is_short_text(value: object) -> None:
    """Anything else would be kept for ever under a name nobody can say again."""
    assert problem("halt", {"request_id": value}).field == "request_id"


@pytest.mark.parametrize("value", ["x\ny", "x" * 1000, 5, None, {}, "\x1b[2J"])
def test_the_safe_direction_is_not_refused_for_how_its_reason_is_worded(value: object) -> None:
    """It is cut and cleaned instead."""
    for name in ("halt", "reduce", "flatten", "kill"):
        found = check_params(METHODS[name], {"reason": value})
        assert isinstance(found, Checked)
        assert len(found.reason) <= TEXT_MAX
        assert found.reason.isprintable()


@given(
    params=st.dictionaries(
        st.text(max_size=80),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()),
        max_size=12,
    )
)
def test_a_kill_is_never_refused_for_its_parameters(params: dict[str, Any]) -> None:
    """What is misspelt must not go on trading; it is told what was not understood."""
    found = check_params(METHODS["kill"], params)
    assert isinstance(found, Checked)
    assert found.params == {}
    assert all(name.isprintable() and len(name) <= 40 for name in found.ignored)


def test_orders_are_judged_by_the_desk() -> None:
    """What can be read but is nonsense becomes a denied order that stands in the journal."""
    params = {"symbol": 5, "side": "hold", "qty": "ten", "limit_px": None, "tif": []}
    found = check_params(METHODS["order.submit"], params)
    assert isinstance(found, Checked)
    assert found.params == {"symbol": 5, "side": "hold", "qty": "ten", "tif": []}


def test_choices_are_told() -> None:
    """And the nearest is guessed."""
    found = problem("log.level", {"level": "warn"})
    assert "debug, info, warning, error" in found.message
    assert found.remedy == "did you mean warning?"


@given(text=st.text(max_size=2000))
def test_printable_text_is_printable(text: str) -> None:
    """One line, short, nothing a terminal obeys."""
    found = printable(text)
    assert len(found) <= TEXT_MAX
    assert not found or found.isprintable()
