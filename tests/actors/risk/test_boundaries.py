"""Every denial code of the gate has its boundary: just inside passes, just outside is denied, on new and on replace.

Codes are found in the source, so that a check that is added without a case here fails.
"""

from __future__ import annotations

import ast
import re

import msgspec
import pytest

from actors.messages.control import Reload
from actors.messages.risk import TradingState
from actors.risk.params import FIXED_FOR_A_RUN
from actors.values.refusals import BELOW_FILLED
from tests.actors.risk.boundaries import CASES
from tests.conftest import ROOT

NO_DENIAL = {"BAD_ACCOUNT"}
"""Refusals of a configuration."""
NEVER_ON_REPLACE = {
    "UNKNOWN_PORTFOLIO", "UNKNOWN_SYMBOL", "NOT_TRADABLE", "DELISTED", "BAD_SIDE", "BAD_TIF", "BAD_EXPIRY", "BAD_TRAIL",
    "BAD_DISPLAY", "BAD_FIELD", "DUPLICATE",
    # Nothing works any more while killed; a replace is no new order; the place of what works is taken already.
    "KILLED", "ORDER_RATE", "SYMBOL_ORDER_RATE", "MAX_POSITIONS",
}  # fmt: skip
"""What a replace cannot change, or cannot meet."""


def codes() -> set[str]:
    """Return every code that a module that knows denials can give."""
    found = {state.name for state in TradingState if state is not TradingState.ACTIVE}
    found.add(BELOW_FILLED)  # gate and venue say it in the same words
    for path in (ROOT / "actors" / "risk").glob("*.py"):
        text = path.read_text("utf-8")
        if not re.search(r"\bDenial\b", text):
            continue
        found |= {
            node.value
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", node.value)
        }
    return found - NO_DENIAL


def test_every_code_has_a_boundary():
    """On new; on replace, too, unless a replace can never meet it."""
    assert codes() == {case.code for case in CASES}
    on_new = {case.code for case in CASES if case.how.startswith("new")}
    on_replace = {case.code for case in CASES if case.how.startswith("replace")}
    assert codes() - on_new == {"TERMINAL_ORDER", "UNKNOWN_ORDER", BELOW_FILLED}
    assert codes() - on_replace == NEVER_ON_REPLACE


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}, {case.how}")
@pytest.mark.parametrize("again", ["", "split"])
def test_just_inside_passes_and_just_outside_is_denied(world, wide, case, again):
    """Two worlds alike in all but the last thing that happens; also where what came before was restored."""
    for act, verdict in ((case.inside, "ok"), (case.outside, case.code)):
        w = world(msgspec.structs.replace(wide, **case.limits), **case.world)
        case.before(w)
        if again:
            w.split()
        assert act(w) == verdict


@pytest.mark.parametrize("case", [case for case in CASES if case.limits], ids=lambda case: f"{case.code}, {case.how}")
def test_limits_that_a_reload_brings_bind_as_those_of_the_start(world, wide, case):
    """At the same boundaries, from the first price on."""
    limits = msgspec.structs.replace(wide, **case.limits)
    for act, verdict in ((case.inside, "ok"), (case.outside, case.code)):
        fixed = {name: getattr(limits, name) for name in FIXED_FOR_A_RUN}
        w = world(msgspec.structs.replace(wide, **fixed), **{**case.world, "price": None})
        w.process(Reload("d", "anna", limits))
        w.limits = limits
        price = case.world.get("price", 100.0)
        if price is not None:
            w.bar([price] * len(w.universe))
        case.before(w)
        assert act(w) == verdict
