"""What a replay tells the operator beside its figures."""

from __future__ import annotations

from pathlib import Path

from tests_support import replay


def test_sessions_without_bars_are_told(tmp_path: Path) -> None:
    """A file with a hole of three sessions: they count as sessions, so the reader hears of them."""
    bars = tmp_path / "bars.csv"
    days = ["2022-03-01", "2022-03-02", "2022-03-08", "2022-03-09"]
    bars.write_text("ts,symbol,close\n" + "".join(f"{day},AAA,{100 + n}\n" for n, day in enumerate(days)), "utf-8")
    result = replay(tmp_path / "out", strategy="buy_and_hold", bars=(bars,))
    assert "3 of 7 sessions have no bar of any symbol; they count, with a return of 0" in result.notices
    whole = replay(tmp_path / "whole", strategy="buy_and_hold", bars=(bars,), date_to=20220302)
    assert [n for n in whole.notices if "no bar of any symbol" in n] == []


def test_refused_cancels_replaces_and_commands_of_a_script_are_told(tmp_path: Path) -> None:
    """They have no row in orders.csv, so the run says it."""
    bars = tmp_path / "bars.csv"
    bars.write_text("ts,symbol,close\n2024-03-04,ABC,50\n2024-03-05,ABC,51\n2024-03-06,ABC,52\n")
    script = tmp_path / "orders.jsonl"
    script.write_text('{"at": "2024-03-05", "cancel": "ghost"}\n{"at": "2024-03-05", "resume": {"reason": "x"}}\n')
    result = replay(tmp_path / "run", profile="frictionless", bars=(bars,), orders=script)
    [notice] = [n for n in result.notices if n.startswith("the script was refused")]
    assert "WRONG_STATE" in notice or "ghost: UNKNOWN_ORDER" in notice
    assert "and 1 more" in notice
