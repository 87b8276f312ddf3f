"""Tables, progress and the result block."""

from __future__ import annotations

import io
import sys

import pytest

from daemon.cli import render


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


def test_pairs_align_values() -> None:
    """A mapping or a sequence."""
    assert render.pairs({"a": 1, "long": 2}) == "a     1\nlong  2"
    assert render.pairs([("", "x")]) == "  x"


def test_numbers_for_people() -> None:
    """Undefined is a dash, never a zero."""
    assert (render.percent(0.12345), render.percent(None)) == ("+12.35 %", "-")
    assert (render.number(1234.5), render.number(None)) == ("1,234.50", "-")


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
