"""What commands show: plain text and JSON on stdout, talk and progress on stderr.

Colour and moving bars only on a terminal that wants them (``NO_COLOR``, ``TERM=dumb`` and pipes do not).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Final, TextIO

Progress = Callable[[int, int], None]
Count = Callable[[str, int], None]
COUNT_S: Final = 0.2
GAP: Final = "  "
COLUMN_MIN: Final = 12
WORD_MAX: Final = 300


def say(text: str) -> None:
    """Print data or an answer: one line on stdout."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """Print talk: one line on stderr, if anybody is there to read it; what else is done does not depend on that."""
    try:
        sys.stderr.write(f"{text}\n")
    except OSError:  # the reader of the pipe is gone, or the terminal; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


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


def counted(count: int, noun: str) -> str:
    """Return ``1 key``, ``2 keys``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = (), width: int | None = None
) -> str:
    """Return an aligned plain-text table.

    Args:
        columns: headings.
        rows: cells, as many as headings.
        right: headings of the columns whose cells are numbers, aligned to the right.
        width: characters a line may have; the widest columns are broken to fit. None: a terminal's, and as many as
            it takes in a pipe, so that a row stays a line.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    if width is None and sys.stdout.isatty():
        width = shutil.get_terminal_size((100, 24)).columns
    if width is not None:
        words = [max(len(w) for row in [columns, *cells] for w in row[i].split() or [""]) for i in range(len(columns))]
        widths = _fitted(widths, words, width - len(GAP) * (len(columns) - 1))
    numeric = [name in right for name in columns]

    def lines(row: Sequence[str]) -> Iterator[str]:
        broken = [textwrap.wrap(cell, w) or [""] for cell, w in zip(row, widths, strict=True)]
        for parts in zip_longest(*broken, fillvalue=""):
            aligned = [p.rjust(w) if num else p.ljust(w) for p, w, num in zip(parts, widths, numeric, strict=True)]
            yield GAP.join(aligned).rstrip()

    rule = GAP.join("-" * width for width in widths)
    return "\n".join([*lines(columns), rule, *(line for row in cells for line in lines(row))])


def _fitted(widths: Sequence[int], words: Sequence[int], room: int) -> list[int]:
    """Take from the widest column until all fit: first between words, then within them, but never from the first."""
    fitted = list(widths)
    for least in (words, [widths[0], *(min(word, COLUMN_MIN) for word in words[1:])]):
        while sum(fitted) > room:
            free = [i for i, w in enumerate(fitted) if w > least[i]]
            if not free:
                break
            fitted[max(free, key=lambda i: fitted[i])] -= 1
    return fitted


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
def counting(label: str, *, after_s: float = 2.0, clock: Callable[[], float] = time.monotonic) -> Iterator[Count]:
    """Show on a terminal what a check is at once it takes long; nothing elsewhere, and nothing is left of it.

    Args:
        label: in front of it.
        after_s: seconds in which nothing is shown.
        clock: tells them.

    Yields:
        What to call with what is being looked at and how many rows of it were.
    """
    fancy = is_fancy(sys.stderr)
    begin = clock()
    shown = begin + after_s - COUNT_S
    width = 0

    def update(what: str, done: int) -> None:
        nonlocal shown, width
        if fancy and clock() - shown >= COUNT_S:
            shown = clock()
            text = f"{label} {what}" + (f" {done:,}" if done else "") + f"  {shown - begin:.0f} s"
            sys.stderr.write(f"\r{text.ljust(width)}")
            sys.stderr.flush()
            width = len(text)

    try:
        yield update
    finally:
        if width:
            sys.stderr.write(f"\r{' ' * width}\r")


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
