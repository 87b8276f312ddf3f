"""Tables, progress and the result block."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from actors.messages.alerts import AlertRaised, Severity
from actors.values.time import DAY_NS
from daemon.cli import render
from daemon.cli.summary import ALERTS_SHOWN, alert_lines, shown


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_tables_align_text_left_and_numbers_right() -> None:
    """Columns are as wide as their widest cell; no trailing blanks."""
    text = render.table(["name", "n"], [["a", 1], ["long name", 1234]], right=["n"])
    assert text.splitlines() == ["name          n", "---------  ----", "a             1", "long name  1234"]
    assert render.table(["a", "b"], []).splitlines() == ["a  b", "-  -"]


def test_tables_fit_a_terminal_and_stay_one_line_a_row_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The widest column is broken between words; every word is still there."""
    rows = [["short", "a sentence that says at some length what was found"], ["b", "x" * 50]]
    assert max(map(len, render.table(["check", "found"], rows, width=40).splitlines())) <= 40
    words = " ".join(render.table(["check", "found"], rows, width=40).split())
    assert "a sentence that says at some" in words
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(len, render.table(["check", "found"], rows).splitlines())) <= 40
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert len(render.table(["check", "found"], rows).splitlines()) == 4


def test_a_table_too_wide_for_any_terminal_keeps_its_headings() -> None:
    """Others are broken within words, down to twelve characters; the first, the name, only between them."""
    lines = render.table(["key", "n"], [["name.of_a_setting", "1234567890123456"]], width=5).splitlines()
    assert lines == [
        "key                n",
        "-----------------  ------------",
        "name.of_a_setting  123456789012",
        "                   3456",
    ]


def test_nouns_follow_their_count() -> None:
    """One key, two keys."""
    assert [render.counted(n, "key") for n in (0, 1, 2000)] == ["0 keys", "1 key", "2,000 keys"]


def test_pairs_align_values() -> None:
    """A mapping or a sequence."""
    assert render.pairs({"a": 1, "long": 2}) == "a     1\nlong  2"
    assert render.pairs([("", "x")]) == "  x"


def test_json_refuses_what_json_cannot_say() -> None:
    """NaN must have become null long before."""
    with pytest.raises(ValueError, match="JSON compliant"):
        render.say_json({"x": float("nan")})


@pytest.mark.parametrize("dumb", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_is_plain_where_it_wants_to(dumb: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR and TERM=dumb; a pipe always."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert render.is_fancy(Terminal())
    assert not render.is_fancy(io.StringIO())
    for name, value in dumb.items():
        monkeypatch.setenv(name, value)
    assert not render.is_fancy(Terminal())


def test_progress_without_terminal_is_a_line_every_ten_percent(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, however often it is called; a total of 0 says nothing."""
    with render.progress("replay") as update:
        assert update is not None
        for done in range(1001):
            update(done, 1000)
        update(5, 0)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line.split()[1] for line in captured.err.splitlines()] == [str(p) for p in range(10, 101, 10)]


def counted_for(seconds: float, terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what is shown of a check that takes so long and tells ten times a second."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    now = 0.0
    with render.counting("verify", clock=lambda: now) as update:
        for tenth in range(int(seconds * 10)):
            update("chain", tenth * 1_000)
            now += 0.1
    return terminal.getvalue()


def test_a_check_that_takes_long_says_on_a_terminal_what_it_is_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the third second on, a few times a second, on one line that is wiped at the end; never in a pipe."""
    assert counted_for(1.9, Terminal(), monkeypatch) == ""
    shown = counted_for(3.0, Terminal(), monkeypatch).split("\r")
    assert shown[1].strip() == "verify chain 20,000  2 s"
    assert 4 <= len(shown) - 3 <= 6
    assert shown[-2].strip() == shown[-1] == ""
    assert counted_for(3.0, io.StringIO(), monkeypatch) == ""


def test_progress_on_a_terminal_is_a_bar_on_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """It vanishes when the run is over, so that the result block stands alone."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with render.progress("replay") as update:
        assert update is not None
        update(500, 1000)
        update(1000, 1000)
    assert "replay" in terminal.getvalue()


def test_quiet_progress_calls_nothing() -> None:
    """The caller may skip its bookkeeping."""
    with render.progress("x", quiet=True) as update:
        assert update is None


def alert(n: int, severity: Severity, key: str, title: str) -> AlertRaised:
    """Return an alert of the n-th day of 1970."""
    return AlertRaised(f"a{n}", key, n * DAY_NS, severity, title, ())


def test_alerts_are_shown_once_a_kind_the_gravest_first() -> None:
    """With how often each fired and its last case; what does not fit is counted."""
    assert alert_lines([], 10) == ["alerts    none fired"]
    raised = [
        alert(0, Severity.INFO, "milestone:main:0.1", "+10 %"),
        alert(1, Severity.CRITICAL, "breaker:main", "halted"),
    ]
    raised += [alert(i, Severity.WARNING, f"stop_loss:main:S{i}", f"stop of S{i}") for i in range(1200)]
    raised.append(alert(3, Severity.WARNING, "large_move:GE", "GE moved"))
    assert alert_lines(raised, 10) == [
        "alerts    1,203 fired",
        "            critical: 1970-01-02 halted",
        "            warning: stop loss, 1,200 times, last: 1973-04-14 stop of S1199",
        "            warning: 1970-01-04 GE moved",
        "            info: 1970-01-01 +10 %",
    ]
    many = [alert(i, Severity.INFO, f"kind{i}:x", "x") for i in range(ALERTS_SHOWN + 3)]
    assert alert_lines(many, 10)[-1] == "            and 3 more kinds: see alerts.csv"


def test_paths_are_shown_as_one_would_type_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative below the working directory, else as they are."""
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "demo") == Path("demo")
    assert shown(Path("demo")) == Path("demo")
    assert shown(tmp_path.parent / "other") == tmp_path.parent / "other"
