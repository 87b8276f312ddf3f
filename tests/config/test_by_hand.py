"""Limits that are set by hand are held to what the configuration is."""

from __future__ import annotations

import pytest

from config.by_hand import assignments, lay_over
from config.sources import Loaded, load_settings
from daemon.kernel.errors import ConfigError


def loaded(*sets: str) -> Loaded:
    """Settings as ``--set`` makes them."""
    return load_settings(file=None, profile=None, sets=sets, environ={})


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("max_order_qty=500", ("risk.max_order_qty", "0", "500")),
        ("risk.max_order_qty = 500.50", ("risk.max_order_qty", "0", "500.5")),
        ("symbols.AAPL.max_position=0.1", ("risk.symbols.AAPL.max_position", "0", "0.1")),
        ("symbols.BRK.B.max_order_qty=5", ("risk.symbols.BRK.B.max_order_qty", "0", "5")),
        ("sectors.Health Care=0.2", ("risk.sectors.Health Care", "0", "0.2")),
        ("portfolios.main.max_positions=3", ("risk.portfolios.main.max_positions", "0", "3")),
        ("breakers.slippage.limit=0.005", ("risk.breakers.slippage.limit", "0.01", "0.005")),
        ("breakers.slippage.action=halt", ("risk.breakers.slippage.action", '"block"', '"halt"')),
        ("restricted=AAPL,MSFT", ("risk.restricted", "[]", '["AAPL", "MSFT"]')),
        ('restricted=["AAPL"]', ("risk.restricted", "[]", '["AAPL"]')),
        ("pattern_day_trader=off", ("risk.pattern_day_trader", '"dated"', '"off"')),
        ("self_match_prevention=false", ("risk.self_match_prevention", "true", "false")),
    ],
)
def test_each_kind_of_key_is_read_and_told_as_the_configuration_writes_it(
    text: str, change: tuple[str, str, str]
) -> None:
    """What is told reads back to the same: a later call is laid over it."""
    base = loaded()
    laid = lay_over(base, {}, assignments([text]))
    assert laid.changes == (change,)
    again = lay_over(base, {change[0]: change[2]}, assignments([text]))
    assert (again.settings, again.changes) == (laid.settings, ())


def test_what_was_set_before_lies_below() -> None:
    """Over the configuration, and below what is set now."""
    base = loaded("risk.max_order_qty=50", "risk.max_positions=4")
    laid = lay_over(base, {"risk.max_order_qty": "20"}, assignments(["max_positions=2"]))
    assert (laid.settings.risk.max_order_qty, laid.settings.risk.max_positions) == (20, 2)
    assert laid.changes == (("risk.max_positions", "4", "2"),)
    laid = lay_over(base, {"risk.max_order_qty": "20"}, assignments(["max_order_qty=10"]))
    assert laid.changes == (("risk.max_order_qty", "20", "10"),)


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (("max_positions=30", "max_positions=20"), "risk.max_positions is set twice, to 30 and to 20"),
        (("max_positions=30", "max_order_qty=5", "risk.max_positions = 30"), "risk.max_positions is set twice, to 30"),
        (("symbols.BRK.B.max_position=0.1", "risk.symbols.BRK.B.max_position=0.2"), "risk.symbols.BRK.B.max_position"),
    ],
)
def test_a_key_that_stands_there_twice_is_refused(texts: tuple[str, ...], says: str) -> None:
    """However it is written, and whatever the values: which was meant nobody can tell."""
    with pytest.raises(ConfigError, match=says.replace(".", r"\.")) as refused:
        lay_over(loaded(), {"risk.max_positions": "4"}, assignments(texts))
    assert (refused.value.code, refused.value.remedy) == ("CONFIG_SET", "set it once")


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("max_order_qty", "CONFIG_SET", "no assignment"),
        ("max_order_qty=", "CONFIG_SET", "no assignment"),
        ("=5", "CONFIG_SET", "no assignment"),
        ("risk=5", "CONFIG_SET", "no assignment"),
        ("max_order_qty=nan", "CONFIG_VALUE", "risk.max_order_qty = NaN"),
        ("max_order_qty=inf", "CONFIG_VALUE", "risk.max_order_qty"),
        ("max_order_qty=-1", "CONFIG_VALUE", "risk.max_order_qty"),
        ("max_order_qty=-0.000000001", "CONFIG_VALUE", "risk.max_order_qty"),
        ("max_order_qty=1e999", "CONFIG_VALUE", "risk.max_order_qty"),
        ("max_order_qty=abc", "CONFIG_VALUE", "risk.max_order_qty"),
        ("max_position=0.51", "CONFIG_VALUE", "0.01 to 0.5"),
        ("symbols.AAPL.max_position=0.51", "CONFIG_VALUE", "max_position"),
        ("daily_loss_warn=0.05", "CONFIG_VALUE", "daily_loss_warn is above daily_loss_block"),
        ("max_order_qti=1", "CONFIG_UNKNOWN", "did you mean max_order_qty?"),
        ("symbols.AAPL.max_pos=1", "CONFIG_UNKNOWN", "did you mean max_positio"),
        ("breakers.slippag.limit=1", "CONFIG_UNKNOWN", "did you mean slippage?"),
        ("symbols.AAPL=1", "CONFIG_SET", "one by one"),
        ("symbols=1", "CONFIG_SET", "one by one"),
        ("sectors=1", "CONFIG_SET", "one by one"),
        ("breakers.slippage={limit=0.02}", "CONFIG_SET", "one by one"),
        ("max_order_qty.x=1", "CONFIG_SET", "below one"),
        ("cash_reserve=1.5", "CONFIG_RESTART", "risk.cash_reserve cannot change"),
        ("var_sessions=100", "CONFIG_RESTART", "risk.var_sessions cannot change"),
    ],
)
def test_what_no_configuration_could_say_is_refused(text: str, code: str, says: str) -> None:
    """With the key named; nothing of the call is taken."""
    with pytest.raises(ConfigError) as refused:
        lay_over(loaded(), {}, assignments([text, "max_positions=2"]))
    assert refused.value.code == code
    assert says in str(refused.value)
