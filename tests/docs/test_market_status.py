"""The page on market status says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from actors.feed.jumps import JumpRule
from actors.values.halts import STATES
from config.settings import Settings
from oracle.sheet import DAYS, minutes, play, submit

PAGE = Path(__file__).resolve().parents[2] / "ops" / "market-status.md"


def test_the_file_on_the_page_is_replayed(tmp_path: Path) -> None:
    """Minutes from 14:30 on, each at 100; an order that is there from the start of each waits as the page says.

    ``a`` comes in at 14:31, in the halt: the first bar that begins behind it is that of 14:34, known at 14:35. ``b``
    comes in at 14:36, in the market's halt, and fills in the bar of 14:37.
    """
    [text] = re.findall(r"```csv\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    path = tmp_path / "status.csv"
    path.write_text(text)
    script = [
        submit(f"{DAYS[1]}T14:31:00Z", "entry", "buy", 1),
        submit(f"{DAYS[1]}T14:30:30Z", "a", "buy", 10, type="limit", limit_px=101),
        submit(f"{DAYS[1]}T14:35:30Z", "b", "buy", 10, type="limit", limit_px=101),
    ]
    run = play(tmp_path, minutes(*[(100, 100, 100, 100)] * 9), script, status=(path,))
    assert run.statuses() == {"entry": "denied SYMBOL_HALTED", "a": "filled", "b": "filled"}
    assert [fill["ts"][11:16] for name in ("a", "b") for fill in run.fills(name)] == ["14:35", "14:38"]


def test_states_and_defaults_are_those_of_the_page() -> None:
    """Every state stands in the table, and the guard's defaults in the text."""
    page = PAGE.read_text("utf-8")
    assert all(f"`{state}`" in page for state in STATES)
    feed = Settings().feed
    assert f"`feed.max_jump` ({feed.max_jump};" in page
    assert f"`feed.jump_confirmations` ({feed.jump_confirmations})" in page
    assert JumpRule(0.5).confirmations == feed.jump_confirmations
