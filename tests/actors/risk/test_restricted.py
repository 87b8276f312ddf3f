"""The restricted list: nothing is entered, what is held may be closed; names of limits are those of the run."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages.control import Reload, RestrictSymbol
from actors.messages.limits import PortfolioLimits, SymbolLimits
from actors.messages.market import CorporateAction
from actors.messages.orders import BUY, SELL, OrderType
from actors.messages.risk import LimitsChanged, RestrictionChanged
from daemon.kernel.errors import ConfigError
from daemon.kernel.message import CommandRejected

LIMIT = OrderType.LIMIT


def limits(base, **changes):
    """Return wide limits with some of them set."""
    return msgspec.structs.replace(base, **changes)


def test_a_symbol_put_on_the_list_is_not_entered_from_the_next_signal_on(world, wide):
    """On new and on replace; exits and other symbols go on, a restart changes nothing."""
    w = world(limits(wide))
    w.hold(5)
    assert w.submit(BUY, 1, client_order_id="a", type=LIMIT, limit_px=90) == "ok"
    (event,) = w.process(RestrictSymbol(0, True, "under review", "anna"))
    assert event == RestrictionChanged(0, True, "under review", "anna")
    for again in (lambda: None, w.split, w.refold):
        again()
        denied = w.denial(BUY, 1)
        assert denied.code == "RESTRICTED"
        assert "A is on the restricted list (under review, by anna)" in denied.reason
        assert w.replace("a", 2) == "RESTRICTED"
        assert w.submit(BUY, 1, symbol=1) == "ok"
    assert w.submit(SELL, 5) == "ok"
    w.process(RestrictSymbol(0, False, "reviewed", "anna"))
    assert w.submit(BUY, 1) == "ok"


def test_the_configurations_names_are_on_the_list(world, wide):
    """An operator cannot take them off; a reload can."""
    w = world(limits(wide, restricted=("B",)))
    assert [w.submit(BUY, 1, symbol=n) for n in range(3)] == ["ok", "RESTRICTED", "ok"]
    (refused,) = w.process(RestrictSymbol(1, False, "please", "anna"))
    assert (type(refused), refused.code) == (CommandRejected, "RESTRICTED_BY_CONFIG")
    w.process(RestrictSymbol(2, True, "mine", "anna"))
    (changed,) = w.process(Reload("d", "anna", limits(wide, restricted=("A",))))
    assert isinstance(changed, LimitsChanged)
    assert [w.submit(BUY, 1, symbol=n) for n in range(3)] == ["RESTRICTED", "ok", "RESTRICTED"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (RestrictSymbol(9, True, "x", "anna"), "UNKNOWN_SYMBOL"),
        (RestrictSymbol(-1, True, "x", "anna"), "UNKNOWN_SYMBOL"),
        (RestrictSymbol(0, False, "x", "anna"), "NOT_RESTRICTED"),
        (RestrictSymbol(1, True, "x", "anna"), "RESTRICTED_ALREADY"),
    ],
)
def test_what_changes_nothing_is_refused(world, wide, command, code):
    """With its own code."""
    w = world(limits(wide, restricted=("B",)))
    (refused,) = w.process(command)
    assert refused.code == code


def test_a_restriction_goes_on_under_the_new_name(world, wide):
    """A is renamed to C."""
    w = world(limits(wide))
    w.process(RestrictSymbol(0, True, "under review", "anna"))
    w.process(CorporateAction(w.clock.now(), w.session.date, 0, "rename", 0, None, 2))
    assert w.submit(BUY, 1, symbol=2) == "RESTRICTED"


@pytest.mark.parametrize(
    ("changes", "key", "name"),
    [
        ({"restricted": ("A", "NOPE")}, "restricted", "NOPE"),
        ({"symbols": {"NOPE": SymbolLimits(max_position=0.1)}}, "symbols", "NOPE"),
        ({"sectors": {"Tehc": 0.2}}, "sectors", "Tehc"),
        ({"portfolios": {"mian": PortfolioLimits(max_positions=1)}}, "portfolios", "mian"),
    ],
)
def test_limits_of_what_the_run_does_not_have_are_refused_at_the_start_and_at_a_reload(world, wide, changes, key, name):
    """A name that is misspelt would limit nothing; the old limits stay in force."""
    with pytest.raises(ConfigError) as caught:
        world(limits(wide, **changes), sectors=("Tech", "Tech", "Oil"))
    assert caught.value.code == "BAD_LIMITS"
    assert f"risk.{key} names '{name}'" in str(caught.value)
    w = world(limits(wide, max_order_qty=10**9), sectors=("Tech", "Tech", "Oil"))
    (refused,) = w.process(Reload("d", "anna", limits(wide, **changes)))
    assert (type(refused), refused.code) == (CommandRejected, "BAD_LIMITS")
    assert w.submit(BUY, 11) == "MAX_QTY"


@pytest.mark.parametrize("again", ["", "split", "refold"])
def test_the_configuration_restricts_what_a_name_is_called_by_now(world, wide, again):
    """A is C by now, and is put on the list by a reload: entries in C are denied until a reload takes A from it."""
    w = world(wide)
    w.process(CorporateAction(w.clock.now(), w.session.date, 0, "rename", 0, None, 2))
    listed = msgspec.structs.replace(wide, restricted=("A",))
    w.process(Reload("d", "anna", listed))
    if again:
        getattr(w, again)()
    assert (w.submit(BUY, 1, symbol=2), w.submit(BUY, 1, symbol=1)) == ("RESTRICTED", "ok")
    (refused,) = w.process(RestrictSymbol(2, False, "over", "anna"))
    assert refused.code == "RESTRICTED_BY_CONFIG"
    w.process(Reload("e", "anna", wide))
    assert w.submit(BUY, 1, symbol=2) == "ok"
