"""What commands show: plain text and JSON on stdout, talk and progress on stderr.

Colour and moving bars only on a terminal that wants them (``NO_COLOR``, ``TERM=dumb`` and pipes do not).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TextIO

Progress = Callable[[int, int], None]
GAP: Final = "  "
WORD_MAX: Final = 300


def say(text: str) -> None:
    """Print data or an answer: one line on stdout."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """Print talk: one line on stderr."""
    sys.stderr.write(f"{text}\n")


def one_line(text: str) -> str:
    """Return text as one line that a terminal can show: no control characters, no endless words."""
    words = [
        word if len(word) <= WORD_MAX else f"{word[: WORD_MAX // 2]}...{word[-WORD_MAX // 2 :]}"
        for word in text.split()
    ]
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(words))


def say_json(document: object) -> None:
    """Print a document as JSON."""
    from actors.values.plain import without_exponents

    say(without_exponents(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)))


def is_fancy(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows colour and moving lines."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> str:
    """Return an aligned plain-text table.

    Args:
        columns: headings.
        rows: cells, as many as headings.
        right: headings of the columns whose cells are numbers, aligned to the right.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    numeric = [name in right for name in columns]

    def line(row: Sequence[str]) -> str:
        parts = [cell.rjust(w) if num else cell.ljust(w) for cell, w, num in zip(row, widths, numeric, strict=True)]
        return GAP.join(parts).rstrip()

    rule = GAP.join("-" * width for width in widths)
    return "\n".join([line(columns), rule, *(line(row) for row in cells)])


def pairs(items: Mapping[str, object] | Sequence[tuple[str, object]]) -> str:
    """Return ``name  value`` lines with the values aligned."""
    entries = list(items.items()) if isinstance(items, Mapping) else list(items)
    width = max((len(name) for name, _ in entries), default=0)
    return "\n".join(f"{name.ljust(width)}{GAP}{value}" for name, value in entries)


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Progress | None]:
    """Show how far a run is: a bar with the time left on a terminal, else a line every ten percent.

    Yields:
        What to call with (done, total), or None when quiet.
    """
    if quiet:
        yield None
    elif is_fancy(sys.stderr):
        with _bar(label) as update:
            yield update
    else:
        yield _lines(label)


@contextmanager
def _bar(label: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None)

        yield update


def _lines(label: str) -> Progress:
    started = time.monotonic()
    shown = 0

    def update(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // total if total else 0
        if percent >= shown + 10:
            shown = percent - percent % 10
            note(f"{label} {shown:3d} %  {time.monotonic() - started:.1f} s")

    return update
