"""A small SVG writer: one canvas, linear and logarithmic axes, the same bytes every time.

Coordinates are rounded to a tenth of a pixel. Text uses generic fonts, nothing is fetched.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

INK: Final = "#1f2937"
MUTED: Final = "#6b7280"
GRID: Final = "#e5e7eb"
AXIS: Final = "#9ca3af"
BLUE: Final = "#1d5fa8"
AMBER: Final = "#d97706"
SLATE: Final = "#64748b"
GREEN: Final = "#15803d"
RED: Final = "#b4232a"
HALT: Final = "#fbdcdc"
FAN_OUTER: Final = "#eef1f5"
FAN_INNER: Final = "#dde3ea"

POINTS_MAX: Final = 1600
LEGEND_GAP: Final = 16
LEGEND_MIN: Final = 8
NARROW: Final = frozenset("iljtfr.,:;'()|I -")
WIDE: Final = frozenset("mwMWABCDEGHKNOPQRSTUVXYZ%&@")
MINUS: Final = "\N{MINUS SIGN}"


class Canvas:
    """Collects elements of one picture of fixed size."""

    def __init__(self, width: int, height: int, title: str) -> None:
        """Start an empty picture; ``title`` is for screen readers."""
        self.width, self.height = width, height
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
            f'aria-label="{escape(title)}" font-family="system-ui,-apple-system,Segoe UI,Roboto,sans-serif" '
            f'font-size="12" fill="{INK}">'
        )
        self.parts = [head]

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str, width: float = 1.0, dash: str = "") -> None:
        """Draw a straight line."""
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<line x1="{px(x1)}" y1="{px(y1)}" x2="{px(x2)}" y2="{px(y2)}" stroke="{stroke}" '
            f'stroke-width="{px(width)}"{extra}/>'
        )

    def rect(
        self, x: float, y: float, w: float, h: float, fill: str, title: str = "", radius: float = 0, opacity: float = 1
    ) -> None:
        """Draw a filled rectangle; a negative height is turned upward."""
        if h < 0:
            y, h = y + h, -h
        extra = f' rx="{px(radius)}"' if radius else ""
        extra += f' fill-opacity="{px(opacity, 2)}"' if opacity != 1 else ""
        head = f'<rect x="{px(x)}" y="{px(y)}" width="{px(max(w, 0.1))}" height="{px(h)}" fill="{fill}"{extra}'
        self.parts.append(f"{head}><title>{escape(title)}</title></rect>" if title else f"{head}/>")

    def text(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str = "start",
        fill: str = INK,
        size: float = 12,
        weight: int = 400,
        rotate: float = 0,
        halo: bool = False,
    ) -> None:
        """Write one line of text; a halo keeps it legible where it crosses a line."""
        extra = f' font-weight="{weight}"' if weight != 400 else ""
        extra += ' paint-order="stroke" stroke="#fff" stroke-width="4"' if halo else ""
        extra += f' transform="rotate({px(rotate)} {px(x)} {px(y)})"' if rotate else ""
        self.parts.append(
            f'<text x="{px(x)}" y="{px(y)}" text-anchor="{anchor}" fill="{fill}" font-size="{px(size)}"{extra}>'
            f"{escape(text)}</text>"
        )

    def path(self, xs: F64, ys: F64, stroke: str, width: float = 1.6, dash: str = "") -> None:
        """Draw a line through points."""
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<path d="{points(xs, ys)}" fill="none" stroke="{stroke}" stroke-width="{px(width)}" '
            f'stroke-linejoin="round"{extra}/>'
        )

    def area(self, xs: F64, upper: F64, lower: F64, fill: str, opacity: float = 1.0) -> None:
        """Fill between two lines over the same x."""
        outline = points(np.concatenate((xs, xs[::-1])), np.concatenate((upper, lower[::-1])))
        extra = f' fill-opacity="{px(opacity, 2)}"' if opacity != 1 else ""
        self.parts.append(f'<path d="{outline}Z" fill="{fill}"{extra}/>')

    def circle(self, x: float, y: float, r: float, fill: str, title: str = "", opacity: float = 1) -> None:
        """Draw a dot."""
        extra = f' fill-opacity="{px(opacity, 2)}"' if opacity != 1 else ""
        head = f'<circle cx="{px(x)}" cy="{px(y)}" r="{px(r)}" fill="{fill}"{extra}'
        self.parts.append(f"{head}><title>{escape(title)}</title></circle>" if title else f"{head}/>")

    def marker(self, x: float, y: float, fill: str, title: str) -> None:
        """Draw a small triangle that stands on ``y``."""
        self.parts.append(
            f'<path d="M{px(x - 4)} {px(y + 7)}L{px(x + 4)} {px(y + 7)}L{px(x)} {px(y)}Z" fill="{fill}">'
            f"<title>{escape(title)}</title></path>"
        )

    def legend(self, x: float, y: float, entries: Sequence[tuple[str, str, str]]) -> None:
        """Draw (label, colour, kind) entries in a row; kind is ``line``, ``dash``, ``box``, ``dot`` or ``mark``.

        Where they would run over the right edge, the longest labels are shortened.
        """
        room = self.width - x - sum(23 + LEGEND_GAP for _ in entries)
        longest = max((len(label) for label, _, _ in entries), default=0)
        while longest > LEGEND_MIN and sum(_text_width(shorten(label, longest)) for label, _, _ in entries) > room:
            longest -= 1
        for whole, colour, kind in entries:
            label = shorten(whole, longest)
            if kind == "box":
                self.rect(x, y - 9, 16, 10, colour, radius=2)
            elif kind == "mark":
                self.marker(x + 8, y - 8, colour, label)
            elif kind == "dot":
                self.circle(x + 9, y - 4, 3.2, colour)
            else:
                self.line(x, y - 4, x + 18, y - 4, colour, 2.2, "5 3" if kind == "dash" else "")
            self.text(x + 23, y, label, fill=MUTED)
            x += 23 + _text_width(label) + LEGEND_GAP

    def done(self) -> str:
        """Return the picture."""
        return "".join([*self.parts, "</svg>"])


def px(value: float, digits: int = 1) -> str:
    """Format a coordinate: at most ``digits`` decimals, no trailing zeros, no negative zero."""
    text = f"{value:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def shorten(text: str, limit: int) -> str:
    """Return text of at most ``limit`` characters, with dots where the end was left out."""
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def _text_width(text: str) -> float:
    """Estimate the width of a line of 12 px text in a common sans-serif, on the wide side."""
    return sum(4.6 if c in NARROW else 9.2 if c in WIDE else 7.2 for c in text)


def points(xs: F64, ys: F64) -> str:
    """Return path data through points; a gap (NaN) starts a new stroke."""
    out: list[str] = []
    pen = "M"
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        if math.isfinite(y):
            out.append(f"{pen}{px(x)} {px(y)}")
            pen = "L"
        else:
            pen = "M"
    return "".join(out)


def thin(values: F64, limit: int = POINTS_MAX) -> npt.NDArray[np.int64]:
    """Return indices that keep a long line's shape: lowest and highest point of each bucket, and both ends."""
    n = values.size
    if n <= limit:
        return np.arange(n, dtype=np.int64)
    edges = np.linspace(0, n, limit // 2 + 1).astype(np.int64)
    keep = [0, n - 1]
    filled = np.where(np.isfinite(values), values, 0.0)
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part = filled[start:end]
        keep += [start + int(part.argmin()), start + int(part.argmax())]
    return np.unique(np.array(keep, dtype=np.int64))


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers between two values."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw), 10 * power)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1-2-5 numbers between two positive values."""
    out = []
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for m in (1, 1.5, 2, 3, 5, 7):
            value = m * 10.0**power
            if low <= value <= high:
                out.append(value)
    return out


Scale = Callable[[F64], F64]


def scale(low: float, high: float, start: float, end: float, log: bool = False) -> Scale:
    """Return a function from data to pixels."""
    if log:
        low, high = math.log(low), math.log(high)
    span = (high - low) or 1.0

    def to_pixels(values: F64) -> F64:
        v = np.log(values) if log else np.asarray(values, dtype=np.float64)
        out: F64 = start + (v - low) / span * (end - start)
        return out

    return to_pixels


def money(value: float) -> str:
    """Format money for an axis: 950, 12.5k, 1.2M."""
    for limit, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{px(value / limit, 2)}{suffix}".replace("-", MINUS)
    return px(value, 2).replace("-", MINUS)


def percent(value: float, digits: int = 1) -> str:
    """Format a fraction as percent."""
    return f"{px(100.0 * value, digits)} %".replace("-", MINUS)


def percent_ticks(ticks: Sequence[float]) -> list[str]:
    """Format neighbouring ticks with as many decimals as their step needs, at most four."""
    step = min((abs(b - a) for a, b in itertools.pairwise(ticks)), default=1.0)
    digits = next((d for d in range(5) if abs(round(100 * step, d) - 100 * step) < 1e-9), 4)
    return [percent(tick, digits) for tick in ticks]
