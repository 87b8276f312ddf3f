"""C25: limits that somebody sets through the socket: recorded with old, new, who and why, and kept over restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.messages.risk import LimitsChanged, RestrictionChanged
from config.settings import settings_digest
from config.sources import load_settings
from daemon.system.parity import parity_of
from daemon.system.verify import verify_path
from tests.faults.meddling import playing
from tests.live_support import CallError, Client, daemon

LIMITS = "[risk]\nmax_order_qty = 50\nmin_order_value = 1\n"


def settings(folder: Path, limits: str = LIMITS) -> str:
    """Return a configuration with a limit on the number of shares."""
    return playing(folder, more=limits)


def submit(client: Client, name: str, qty: int, symbol: str = "AAA") -> str:
    """Hand in an order; return its status or the code of its denial."""
    result = client.call("order.submit", symbol=symbol, side="buy", qty=qty, id=name)
    code: str = result.get("code", result["status"])
    return code


def bound(client: Client, name: str) -> Any:
    """Return the bound of a limit as people see it."""
    return next(row["bound"] for row in client.call("limits")["rows"] if row["limit"] == name)


def set_limits(client: Client, *texts: str, **more: Any) -> dict[str, Any]:
    """Set limits by hand."""
    return client.call("limits.set", set=list(texts), **more)


@pytest.mark.parametrize("clean", [True, False], ids=["stopped", "killed"])
def test_c25_a_limit_set_by_hand_is_recorded_and_outlives_restarts_until_the_configuration_changes(
    tmp_path: Path, *, clean: bool
) -> None:
    """With a snapshot and from the journal alone; verify and parity agree with what was decided meanwhile."""
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        with d.client() as client:
            done = set_limits(
                client, "max_order_qty=10", "symbols.BBB.max_order_qty=5", reason="thin", request_id="l-1"
            )
            assert done["changed"] is True
            assert done["changes"] == [
                {"key": "risk.max_order_qty", "old": "50", "new": "10"},
                {"key": "risk.symbols.BBB.max_order_qty", "old": "0", "new": "5"},
            ]
            assert (submit(client, "a", 11), submit(client, "b", 10)) == ("MAX_QTY", "new")
            assert submit(client, "c", 6, "BBB") == "MAX_QTY"
            assert client.call("reload", reason="nothing changed")["changes"] == []
            assert submit(client, "d", 11) == "MAX_QTY"
        d.stop() if clean else d.kill()
        d.start()
        with d.client() as client:
            assert bound(client, "max_order_qty") == 10
            assert (submit(client, "e", 11), submit(client, "f", 6, "BBB")) == ("MAX_QTY", "MAX_QTY")
            # What comes by hand later lies on what was set before, also before the restart.
            set_limits(client, "max_positions=3", reason="later")
            assert submit(client, "g", 11) == "MAX_QTY"
            # The same key answers alike, also over the restart, and does nothing.
            again = set_limits(
                client, "max_order_qty=10", "symbols.BBB.max_order_qty=5", reason="thin", request_id="l-1"
            )
            assert again == done
        first, second = d.events(LimitsChanged)
        assert first.changes == (
            ("risk.max_order_qty", "50", "10"),
            ("risk.symbols.BBB.max_order_qty", "0", "5"),
        )
        assert (first.reason, first.digest) == ("thin", "")
        # Each change names the configuration with it: what a file that says the same would have been called.
        said = LIMITS.replace("50", "10") + "[risk.symbols.BBB]\nmax_order_qty = 5\n"
        d.write(settings(tmp_path, said))
        wanted = load_settings(file=d.config, profile=None, environ={}, sets=())
        assert first.config == settings_digest(wanted.settings)
        assert second.config not in ("", first.config)
        assert first.by.startswith("uid")
        assert (first.old.max_order_qty, first.new.max_order_qty) == (50 * 10**8, 10 * 10**8)
        assert second.old == first.new
        d.kill()
        d.write(settings(tmp_path, LIMITS.replace("50", "40")))
        d.start()
        with d.client() as client:
            assert bound(client, "max_order_qty") == 40
            assert submit(client, "h", 11, "BBB") == "new"
        assert d.stop() == 0
        assert d.events(LimitsChanged)[-1].digest
        assert [check for check in verify_path(d.state).checks if not check.ok] == []
        found = parity_of(d.state, None)
        assert found.equal, found.differences


def test_loosening_says_so_and_tightening_takes_one_step(tmp_path: Path) -> None:
    """Also while the file is broken and no reload would do; what no configuration may say changes nothing."""
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        with d.client() as client:
            d.config.write_text("[risk\n", "utf-8")
            with pytest.raises(CallError, match=r"risk\.max_order_qty 50 -> 60") as refused:
                set_limits(client, "max_order_qty=60")
            assert refused.value.reason == "LOOSENS"
            assert submit(client, "a", 51) == "MAX_QTY"
            assert set_limits(client, "max_order_qty=60", loosen=True)["changed"] is True
            assert submit(client, "b", 51) == "new"
            assert set_limits(client, "max_order_qty=30")["changed"] is True
            assert set_limits(client, "max_order_qty=30")["changed"] is False
            for text, code in (
                ("max_order_qty=nan", "CONFIG_VALUE"),
                ("max_order_qty=abc", "CONFIG_VALUE"),
                ("max_order_qty=-1", "CONFIG_VALUE"),
                ("max_order_qty=1e999", "CONFIG_VALUE"),
                ("max_order_qty=", "CONFIG_SET"),
                ("max_order_quantity=1", "CONFIG_UNKNOWN"),
                ("broker.slippage_bps=0", "CONFIG_UNKNOWN"),
                ("cash_reserve=1.5", "CONFIG_RESTART"),
                ("symbols.ZZZ.max_position=0.1", "BAD_LIMITS"),
                ("sectors.Nowhere=0.1", "BAD_LIMITS"),
                ("portfolios.nobody.max_positions=1", "BAD_LIMITS"),
            ):
                with pytest.raises(CallError) as refused:
                    set_limits(client, text, "max_positions=2", loosen=True)
                assert refused.value.reason == code, text
            assert bound(client, "max_order_qty") == 30
            assert bound(client, "max_positions") == 10
        assert len(d.events(LimitsChanged)) == 2
        d.write(settings(tmp_path))
        assert d.stop() == 0


def test_a_reload_tells_which_limits_set_by_hand_it_ended(tmp_path: Path) -> None:
    """Whoever set them would else believe in them."""
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        with d.client() as client:
            set_limits(client, "max_order_qty=10")
            d.write(settings(tmp_path, LIMITS + "max_positions = 9\n"))
            assert client.call("config.check")["ends_by_hand"] == ["risk.max_order_qty"]
            done = client.call("reload", reason="places")
            assert done["ended_by_hand"] == ["risk.max_order_qty"]
            assert (bound(client, "max_order_qty"), bound(client, "max_positions")) == (50, 9)
        assert d.stop() == 0


def test_a_restricted_symbol_is_denied_from_the_next_order_on_and_after_a_restart(tmp_path: Path) -> None:
    """C18: added, removed, said twice; by the ticker people know."""
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        with d.client() as client:
            done = client.call("restricted.add", symbol="BBB", reason="earnings", request_id="r-1")
            assert (done["symbol"], done["restricted"], done["changed"]) == ("BBB", True, True)
            assert client.call("restricted.add", symbol="BBB", reason="again")["changed"] is False
            assert submit(client, "a", 1, "BBB") == "RESTRICTED"
            with pytest.raises(CallError) as refused:
                client.call("restricted.add", symbol="NOPE")
            assert refused.value.reason == "UNKNOWN_SYMBOL"
        d.kill()
        d.start()
        with d.client() as client:
            assert submit(client, "b", 1, "BBB") == "RESTRICTED"
            assert client.call("restricted.remove", symbol="BBB")["changed"] is True
            assert client.call("restricted.remove", symbol="BBB")["changed"] is False
            assert submit(client, "c", 1, "BBB") == "new"
        assert d.stop() == 0
        assert [e.restricted for e in d.events(RestrictionChanged)] == [True, False]
        assert d.events(RestrictionChanged)[0].reason == "earnings"
