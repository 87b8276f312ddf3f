"""Words, numbers and tables for people. Nothing here talks to anybody.

Numbers arrive as text and leave as text: grouping, signs and rounding are done on digits. What the daemon says may hold
anything a news feed or a stranger's order can hold, so every piece of text passes :func:`clean`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

ESCAPE: Final = "\x1b["
GAP: Final = "  "
NOTHING: Final = "-"
MORE: Final = " …"
TEXT_LEAST: Final = 8
_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
_CODES: Final = re.compile(r"\x1b\[[0-9;]*m")
_SEQUENCES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")


def clean(text: object) -> str:
    """Return one line that a terminal prints and does not obey: sequences are dropped, other controls become ?."""
    line = " ".join(_SEQUENCES.sub("", str(text)).split())
    return line if line.isprintable() else "".join(c if c.isprintable() else "?" for c in line)


class Paint(NamedTuple):
    """Colours, or none."""

    on: bool = False

    def __call__(self, style: str, text: str) -> str:
        """Return text in a style (``bold``, ``dim``, ``red`` ...); "" and plain output leave it as it is."""
        if not self.on or not style or not text:
            return text
        codes = ";".join(_STYLES[name] for name in style.split())
        return f"{ESCAPE}{codes}m{text}{ESCAPE}0m"


def width(text: str) -> int:
    """Return how many columns a terminal needs: colours none, wide East Asian letters two, combining marks none."""
    plain = _CODES.sub("", text)
    if plain.isascii():
        return len(plain)
    return sum(_columns(c) for c in plain)


def _columns(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def fit(text: str, room: int) -> str:
    """Return text with at most so many columns, colours kept and closed, cut with an ellipsis."""
    if width(text) <= room:
        return text
    if room <= 0:
        return ""
    kept, left, coloured = [], room - 1, False
    for piece in re.split(r"(\x1b\[[0-9;]*m)", text):
        if piece.startswith(ESCAPE):
            kept.append(piece)
            coloured = piece != f"{ESCAPE}0m"
            continue
        for letter in piece:
            left -= _columns(letter)
            if left < 0:
                return "".join([*kept, "…", f"{ESCAPE}0m" if coloured else ""])
            kept.append(letter)
    return "".join(kept)


def pad(text: str, room: int, *, right: bool = False) -> str:
    """Return text filled with blanks to a width."""
    blanks = " " * max(room - width(text), 0)
    return blanks + text if right else text + blanks


# ---------------------------------------------------------------------------------------------------------- numbers


def grouped(number: object, digits: int | None = None, *, sign: bool = False) -> str:
    """Return a decimal with thousands separators.

    Args:
        number: plain decimal text; anything else is returned clean, as it is.
        digits: places after the point, rounded half to even; None keeps what is there without trailing zeros.
        sign: whether a plus is written too.
    """
    text = clean(number)
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", text) is None:
        return text
    from decimal import ROUND_HALF_EVEN, Context, Decimal

    value = Decimal(text)
    if value.adjusted() not in range(-30, 31):
        return text if value else "0"
    if digits is not None:
        # A context of its own: the default one would round what has more than 28 digits, or refuse it.
        exact = Context(prec=200, rounding=ROUND_HALF_EVEN)
        value = value.quantize(Decimal(1).scaleb(-digits), context=exact)
    shown = f"{value:,f}"
    if digits is None and "." in shown:
        shown = shown.rstrip("0").rstrip(".")
    if not value:
        return shown.lstrip("-")
    return f"+{shown}" if sign and value > 0 else shown


def percent(fraction: object, *, sign: bool = False) -> str:
    """Return a fraction as percent with two places."""
    text = clean(fraction)
    try:
        from decimal import Decimal, InvalidOperation

        value = Decimal(text)
        return f"{grouped(f'{value.scaleb(2):f}', 2, sign=sign)} %"
    except (InvalidOperation, ValueError):
        return text


def is_negative(number: object) -> bool:
    """Whether decimal text is below zero."""
    text = str(number)
    return text.startswith("-") and any(c in "123456789" for c in re.split("[eE]", text)[0])


def age(seconds: object) -> str:
    """Return a duration in its two largest useful units: ``12 ms``, ``3 s``, ``2 min``, ``3 h 12 min``, ``4 d 2 h``."""
    text = clean(seconds)
    try:
        value = float(text)
    except ValueError:
        return text
    if not 0 <= value < 1e12:
        return text
    if value < 1:
        return f"{value * 1000:.0f} ms" if value < 0.9995 else "1 s"
    if value < 9.95:
        return f"{value:.1f}".removesuffix(".0") + " s"
    whole = int(value + 0.5)
    for large, small, size, part in (("d", "h", 86_400, 3_600), ("h", "min", 3_600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {large}" + (f" {rest} {small}" if rest and whole < 100 * size else "")
    return f"{whole} s"


def moment(stamp: object) -> str:
    """Return an RFC 3339 time for people: ``2026-11-20 14:30:05.250Z``, to the millisecond."""
    text = clean(stamp)
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?(Z|\+00:00)", text)
    if found is None:
        return text
    fraction = "" if not (found[3] or "").strip(".0") else found[3][:4].ljust(4, "0")
    return f"{found[1]} {found[2]}{fraction}Z"


def moment_of_ns(nanoseconds: object) -> str:
    """Return nanoseconds since 1970, UTC, as :func:`moment`; what is no such stamp stays a number."""
    if not (str(nanoseconds).isdecimal() and len(str(nanoseconds)) == 19):
        return grouped(nanoseconds)
    from datetime import UTC, datetime

    whole, rest = divmod(int(str(nanoseconds)), 1_000_000_000)
    stamp = datetime.fromtimestamp(whole, UTC)
    return moment(f"{stamp:%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z")


def date(day: object) -> str:
    """Return YYYYMMDD as a date; what is none stays a number."""
    text = str(day)
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if re.fullmatch(r"[12][0-9]{7}", text) else grouped(day)


def clock(stamp: object) -> str:
    """Return the time of day of an RFC 3339 time."""
    return moment(stamp).partition(" ")[2] or clean(stamp)


def brief(stamp: object) -> str:
    """Return month, day and time to the second of an RFC 3339 time: the year stands elsewhere on the screen."""
    shown = moment(stamp)
    return shown[5:19] if shown != clean(stamp) else shown


def shortened(stamps: Sequence[str], *, days: bool = False) -> list[str]:
    """Return what :func:`moment` gave for a column of a narrow table, the year always kept.

    Args:
        stamps: the whole column; seconds are left out where all of them are 0.
        days: the dates alone.
    """
    found = [re.fullmatch(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d)(:\d\d)?(\.\d+)?Z?", stamp) for stamp in stamps]
    whole = all(one is None or (one[3] in {None, ":00"} and not one[4]) for one in found)
    parts = 1 if days else 2 if whole else 3
    return [
        stamp if one is None else f"{one[1]}{f' {one[2]}' * (parts > 1)}{(one[3] or '') * (parts > 2)}"
        for stamp, one in zip(stamps, found, strict=True)
    ]


def counted(count: int, noun: str) -> str:
    """Return ``1 row``, ``2,000 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


# ----------------------------------------------------------------------------------------------------------- tables


class Column(NamedTuple):
    """A column.

    Attributes:
        heading: above it.
        numeric: its cells are numbers, aligned at the point and never cut.
        whole: its cells are never cut.
        least: how many letters of a longer text have to stay, so that it can be read.
    """

    heading: str
    numeric: bool = False
    whole: bool = False
    least: int = TEXT_LEAST


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    paint: Paint,
    *,
    room: int | None = None,
    indent: str = "",
    cut: bool = False,
) -> list[str]:
    """Return an aligned table, heading first.

    Args:
        columns: one per cell of a row.
        rows: cells, already clean and possibly coloured.
        paint: how headings are coloured.
        room: columns of the terminal; text is cut to fit, and what does not fit even so is left out from the right,
            which the heading tells with an ellipsis. None: as wide as it is.
        indent: before each line.
        cut: columns were left out already.
    """
    cells = [list(row) for row in rows]
    for place, column in enumerate(columns):
        if column.numeric:
            for row, cell in zip(cells, _pointed([row[place] for row in cells]), strict=True):
                row[place] = cell
    widths = [max([width(c.heading), *(width(row[i]) for row in cells)]) for i, c in enumerate(columns)]
    shown, more = len(columns), MORE if cut else ""
    if room is not None:
        room -= len(indent)
        while shown > 1 and _least(columns[:shown], widths) > room - len(more):
            shown -= 1
            more = MORE
        widths = _squeezed(columns[:shown], widths[:shown], room - len(more) - len(GAP) * (shown - 1))
    kept = list(zip(columns[:shown], widths, strict=False))
    heads = [paint("dim", pad(fit(column.heading, room), room, right=column.numeric)) for column, room in kept]
    lines = [indent + (GAP.join(heads) + paint("dim", more)).rstrip()]
    for row in cells:
        parts = [pad(fit(text, room), room, right=c.numeric) for text, (c, room) in zip(row, kept, strict=False)]
        lines.append(indent + GAP.join(parts).rstrip())
    return lines


def widths_of(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Return how wide a table is if nothing is cut, and how narrow it can be and still be read.

    Args:
        columns: in order.
        cells: those of each column, top to bottom.
    """
    widths = []
    for column, those in zip(columns, cells, strict=True):
        shown = _pointed(those) if column.numeric else those
        widths.append(max([width(column.heading), *map(width, shown)]))
    return sum(widths) + len(GAP) * (len(columns) - 1), _least(columns, widths)


def _least(columns: Sequence[Column], widths: Sequence[int]) -> int:
    """Return how narrow a table can be and still be read: numbers whole, of text the least that it needs."""
    needed = [
        w if c.numeric or c.whole else min(w, max(width(c.heading), c.least))
        for c, w in zip(columns, widths, strict=False)
    ]
    return sum(needed) + len(GAP) * (len(columns) - 1)


def _pointed(cells: Sequence[str]) -> list[str]:
    """Fill numbers on the right so that their points stand under each other; what is no number stays as it is."""
    places = []
    for cell in cells:
        plain = _CODES.sub("", cell)
        found = re.fullmatch(r"[+-]?[0-9,]+(\.[0-9]+)?", plain)
        places.append(None if found is None else len(found[1] or ""))
    most = max((place for place in places if place is not None), default=0)
    return [cell if place is None else cell + " " * (most - place) for cell, place in zip(cells, places, strict=True)]


def _squeezed(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Take from the widest text column until all fit; numbers are never cut, they would lie."""
    fitted = list(widths)
    while sum(fitted) > room:
        free = [
            i
            for i, c in enumerate(columns)
            if not (c.numeric or c.whole) and fitted[i] > max(width(c.heading), c.least)
        ]
        if not free:
            break
        fitted[max(free, key=lambda i: fitted[i])] -= 1
    return fitted


def pairs(items: Sequence[tuple[str, str]], paint: Paint, *, indent: str = "", room: int | None = None) -> list[str]:
    """Return ``name  value`` lines with the values under each other, broken between words within ``room`` columns."""
    names = max((width(name) for name, _ in items), default=0)
    before = len(indent) + names + len(GAP)
    lines = []
    for name, value in items:
        first, *others = wrapped(value, None if room is None else room - before)
        lines.append(f"{indent}{paint('dim', pad(name, names))}{GAP}{first}".rstrip())
        lines += [f"{' ' * before}{line}" for line in others]
    return lines


def wrapped(sentence: str, room: int | None) -> list[str]:
    """Return a text as lines of at most ``room`` columns where its words allow it; at least one line."""
    if room is None or width(sentence) <= room:
        return [sentence]
    lines = [""]
    for word in sentence.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and width(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def listed(value: Any) -> str:
    """Return a list or a small object in words."""
    if isinstance(value, dict):
        return ", ".join(f"{clean(name)}={listed(item)}" for name, item in value.items()) or NOTHING
    if isinstance(value, list):
        return ", ".join(listed(item) for item in value) or NOTHING
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return clean(value)
