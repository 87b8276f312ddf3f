"""The command line as a clumsy user meets it: what comes out, and what is left in the folder."""

from __future__ import annotations

import csv
import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from daemon.cli.tradingd import main

HEADER = "ts,symbol,open,high,low,close,volume\n"
TALK = ("note: ", "replay ")
_HOLIDAYS = (date(2024, 1, 1), date(2024, 1, 15), date(2024, 2, 19))


def sessions(n: int) -> list[date]:
    """Return the first sessions of 2024 in New York."""
    days = (date(2024, 1, 1) + timedelta(i) for i in range(80))
    return [d for d in days if d.weekday() < 5 and d not in _HOLIDAYS][:n]


def bars(n: int = 12, symbols: tuple[str, ...] = ("AAA", "BBB"), price: float = 100.0) -> str:
    """Return daily bars of 2024 as CSV."""
    lines = []
    for k, day in enumerate(sessions(n)):
        for j, symbol in enumerate(symbols):
            px = price * (1 + 0.01 * ((k * 7 + j * 3) % 5) + 0.002 * k)
            cells = (px, px * 1.01, px * 0.99, px * 1.001)
            lines.append(f"{day},{symbol},{','.join(f'{c:.8f}' for c in cells)},1000000\n")
    return HEADER + "".join(lines)


class Desk:
    """A folder with good bars in it, and the program at hand."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.write("bars.csv", bars())

    def write(self, name: str, text: str | bytes) -> Path:
        """Put a file into the folder."""
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command; return exit code, stdout and what stderr says beside talk and progress."""
        self._capsys.readouterr()
        code = main(arguments)
        out, err = self._capsys.readouterr()
        return code, out, "\n".join(line for line in err.splitlines() if not line.startswith(TALK))

    def replay(self, *arguments: str) -> tuple[int, str, str]:
        """Replay ``bars.csv`` into ``run``; a strategy is named unless orders are."""
        trader = () if "--orders" in arguments or "--strategy" in arguments else ("--strategy", "buy_and_hold")
        return self.run("replay", "--bars", "bars.csv", "--out", "run", *trader, *arguments)

    def refused(self, code: int, *arguments: str) -> str:
        """Replay and expect one sentence, this exit code and nothing new in the folder; return the sentence."""
        before = sorted(p.name for p in self.folder.iterdir())
        found, out, err = self.replay(*arguments)
        self.check_sentence(err)
        assert (found, out) == (code, "")
        assert sorted(p.name for p in self.folder.iterdir()) == before
        return err

    @staticmethod
    def check_sentence(err: str) -> None:
        """One line for people: no traceback, no blame on the program, nothing a terminal would choke on."""
        assert err.startswith("tradingd: ")
        assert err.count("\n") == 0
        assert "fault of the program" not in err
        assert err.isprintable()
        assert len(err) < 1_500

    def accepted(self, *arguments: str) -> Path:
        """Replay, expect success and a run folder that verifies; return the folder."""
        code, _, err = self.replay(*arguments)
        assert (code, err) == (0, "")
        code, _, err = self.run("verify", "run")
        assert (code, err) == (0, "")
        return self.folder / "run"

    def rows(self, name: str) -> list[dict[str, str]]:
        """Read a table of the run."""
        with (self.folder / "run" / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def orders(self, *lines: object) -> str:
        """Write orders.jsonl and return its name."""
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        self.write("orders.jsonl", text + "\n")
        return "orders.jsonl"
