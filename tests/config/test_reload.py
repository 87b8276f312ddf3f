"""A reload takes over everything that changed or nothing (F60, C28)."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from config.reload import Change, reload_settings
from config.settings import settings_digest
from config.sources import Loaded, load_settings
from daemon.kernel.errors import ConfigError

BASE = """
[risk]
max_position = 0.2
[predictor]
strategies = ["momentum"]
[predictor.params.momentum]
fast = 3
slow = 9
"""


def started(folder: Path, text: str = BASE, *sets: str) -> tuple[Path, Loaded]:
    """Return the file and what was read from it."""
    file = folder / "tradingd.toml"
    file.write_text(text, "utf-8")
    return file, load_settings(file=file, profile=None, sets=sets, environ={})


def test_reloadable_changes_are_listed_with_both_values(tmp_path: Path) -> None:
    """The plan holds the new settings as a whole and their digest."""
    file, old = started(tmp_path)
    file.write_text(BASE.replace("0.2", "0.1") + '[logging]\nlevel = "debug"\n', "utf-8")
    plan = reload_settings(old)
    assert plan.changes == (
        Change("risk.max_position", "0.2", "0.1"),
        Change("logging.level", '"info"', '"debug"'),
    )
    assert plan.loaded.settings.risk.max_position == Decimal("0.1")
    assert plan.digest == settings_digest(plan.loaded.settings) != settings_digest(old.settings)
    assert plan.touches("risk")
    assert plan.touches("logging")
    assert not plan.touches("alerter")
    assert old.settings.risk.max_position == Decimal("0.2")


def test_nothing_changed_is_a_plan_without_changes(tmp_path: Path) -> None:
    """Other spellings and another order of the same values are no change."""
    file, old = started(tmp_path)
    file.write_text(
        '[predictor]\nstrategies = "momentum"\n[predictor.params.momentum]\nslow = 9\nfast = 3\n'
        "[risk]\nmax_position = 2e-1\n",
        "utf-8",
    )
    assert reload_settings(old).changes == ()


REFUSED = {
    "syntax error": ("[risk\nmax_position = 0.1\n", "is not valid TOML"),
    "unknown key": ("[risk]\nmax_postion = 0.1\n", "did you mean risk.max_position?"),
    "NaN limit": ("[risk]\nmax_position = nan\n", "is not a finite number"),
    "infinite limit": ("[risk]\nmax_order_value = inf\n", "is not a finite number"),
    "limit out of bounds": ("[risk]\nmax_position = 0.9\n", "must be 0 (off) or 0.01 to 0.5"),
    "text for a limit": ('[risk]\nmax_order_qty = "abc"\n', "is not a number"),
    "limits that contradict each other": ("[risk]\ndaily_loss_warn = 0.5\n", "daily_loss_warn is above"),
    "not text": ("\udcff", "is not UTF-8 text"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_f60_a_file_that_does_not_hold_leaves_the_old_settings(name: str, tmp_path: Path) -> None:
    """F60: syntax error, unknown key, NaN limit and the like: one sentence, and what is in force stays in force."""
    file, old = started(tmp_path)
    text, words = REFUSED[name]
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        reload_settings(old)
    assert words in str(caught.value)
    assert str(file) in str(caught.value) or "configuration:" in str(caught.value)
    assert old.settings.risk.max_position == Decimal("0.2")
    file.write_text(BASE, "utf-8")
    assert reload_settings(old).changes == ()


def test_f60_a_file_that_is_gone_leaves_the_old_settings(tmp_path: Path) -> None:
    """F60: an editor may remove it for a moment; the defaults must not slip in."""
    file, old = started(tmp_path)
    file.unlink()
    with pytest.raises(ConfigError, match="does not exist"):
        reload_settings(old)


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_what_is_no_file_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    """A pipe that nobody writes to would hold up every change of limits behind it, a device has no end."""
    file, old = started(tmp_path)
    file.unlink()
    if kind == "fifo":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="is not a regular file") as refused:
        reload_settings(old)
    assert refused.value.code == "CONFIG_FILE"


def test_a_limit_taken_out_of_the_file_is_its_default_and_told(tmp_path: Path) -> None:
    """C28: missing is not "no limit"."""
    file, old = started(tmp_path, "[risk]\nmax_position = 0.1\n")
    file.write_text("", "utf-8")
    assert reload_settings(old).changes == (Change("risk.max_position", "0.1", "0.2"),)


def test_a_key_that_needs_a_restart_refuses_the_whole_reload(tmp_path: Path) -> None:
    """Also what could have been taken over stays out; the sentence names the keys and the exit."""
    file, old = started(tmp_path)
    file.write_text(
        BASE.replace("0.2", "0.1").replace("fast = 3", "fast = 4") + "[broker]\nslippage_bps = 1\n", "utf-8"
    )
    with pytest.raises(ConfigError) as caught:
        reload_settings(old)
    assert str(caught.value) == (
        "predictor.params, broker.slippage_bps cannot change while the daemon runs, so nothing was taken over;"
        " take the change back, or restart the daemon"
    )
    assert caught.value.code == "CONFIG_RESTART"


def test_portfolios_neither_come_nor_go(tmp_path: Path) -> None:
    """A portfolio is money; many keys are named only in part."""
    file, old = started(tmp_path, '[[portfolio]]\nname = "a"\n')
    file.write_text('[[portfolio]]\nname = "b"\n', "utf-8")
    with pytest.raises(ConfigError, match=r"^portfolio\.a\.name, .* and \d+ more cannot change"):
        reload_settings(old)


def test_command_line_and_environment_of_the_start_still_count(tmp_path: Path) -> None:
    """What --set said at the start wins over the file that was changed since."""
    file, old = started(tmp_path, BASE, "risk.max_position=0.15")
    file.write_text(BASE.replace("0.2", "0.1"), "utf-8")
    assert reload_settings(old).changes == ()
