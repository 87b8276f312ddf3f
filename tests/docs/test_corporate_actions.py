"""The page on corporate actions says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from actors.values.universe import Adjustment
from oracle.sheet import DAYS, play, submit

PAGE = Path(__file__).resolve().parents[2] / "ops" / "corporate-actions.md"


def test_the_file_on_the_page_is_replayed(tmp_path: Path) -> None:
    """10 at 40 are 40 at 10; 0.82 on each are 32.80; renamed, they are paid out at 9.50: 412.80 for 400."""
    [text] = re.findall(r"```csv\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    path = tmp_path / "actions.csv"
    path.write_text(text)
    closes = {DAYS[0]: 40, DAYS[1]: 10, DAYS[2]: 10, DAYS[3]: 10, DAYS[4]: 10}
    names = {DAYS[3]: "BBB"}
    rows = [f"{day},{names.get(day, 'AAA')},{px},{px},{px},{px}" for day, px in closes.items() if day != DAYS[4]]
    rows.append(f"{DAYS[4]},CCC,1,1,1,1")
    bars = "\n".join(["ts,symbol,open,high,low,close", *rows])
    script = [submit(None, "a", "buy", 10)]
    run = play(tmp_path, bars, script, actions=(path,), adjustment=Adjustment.RAW)
    assert run.table("equity")[-1]["equity"] == "100012.8"
    assert run.document["costs"]["dividends"] == 32.8
