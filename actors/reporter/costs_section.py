"""The report's section on what trading cost: a waterfall of the shortfall and tables by what orders have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from markupsafe import Markup

from actors.reporter import svg
from actors.reporter.summary import what_became
from actors.reporter.svg import Canvas

WIDTH: Final = 900
LEFT: Final = 62
RIGHT: Final = 14
ROWS_MAX: Final = 12
TITLES: Final = {"strategy": "By strategy", "type": "By order type", "symbol": "By symbol", "hour": "By hour"}
STEPS: Final = (
    ("delay", "Delay"),
    ("spread", "Half spread"),
    ("slippage", "Slippage"),
    ("impact", "Impact"),
    ("timing", "Timing"),
    ("opportunity", "Opportunity"),
    ("fees", "Fees"),
)
_BENCHMARKS: Final = {
    "arrival": "Arrival price",
    "vwap": "Average price of the interval (VWAP)",
    "close": "Close of the day",
}


class Step(msgspec.Struct, frozen=True):
    """A bar of the waterfall: money, positive is a cost."""

    label: str
    money: float


def steps(document: dict[str, Any]) -> list[Step]:
    """Return the parts of the shortfall in the order in which they arise; unknown ones are left out."""
    parts = document | document["of_execution"]
    return [Step(label, parts[name]) for name, label in STEPS if parts[name] is not None]


def waterfall(found: Sequence[Step], total: float) -> str:
    """Draw the parts as bars that hang on each other, and their sum."""
    top, bottom = 22, 226
    canvas = Canvas(WIDTH, 262, "From the paper portfolio's result to the real one: what each part of trading cost")
    ends = np.cumsum([0.0, *(step.money for step in found)])
    low, high = min(0.0, float(ends.min()), total), max(0.0, float(ends.max()), total)
    pad = 0.08 * (high - low or 1.0)
    y = svg.scale(low - (pad if low < 0 else 0.0), high + (pad if high > 0 else 0.0), bottom, top)
    at = [float(v) for v in y(ends)]
    for tick in svg.nice_ticks(low, high, 4):
        level = float(y(np.array([tick]))[0])
        canvas.line(LEFT, level, WIDTH - RIGHT, level, svg.GRID)
        canvas.text(LEFT - 8, level + 4, svg.money(tick), "end", svg.MUTED)
    zero = float(y(np.array([0.0]))[0])
    canvas.line(LEFT, zero, WIDTH - RIGHT, zero, svg.AXIS)
    slot = (WIDTH - RIGHT - LEFT) / (len(found) + 1)
    wide = 0.62 * slot
    for i, step in enumerate(found):
        x = LEFT + slot * i + (slot - wide) / 2
        colour = svg.RED if step.money > 0 else svg.GREEN
        _bar(canvas, x, wide, (at[i], at[i + 1]), colour, step)
        canvas.line(x + wide, at[i + 1], x + slot, at[i + 1], svg.AXIS, dash="2 2")
        canvas.text(x + wide / 2, bottom + 20, step.label, "middle", svg.MUTED)
    x = LEFT + slot * len(found) + (slot - wide) / 2
    _bar(canvas, x, wide, (zero, float(y(np.array([total]))[0])), svg.BLUE, Step("Shortfall", total))
    canvas.text(x + wide / 2, bottom + 20, "Shortfall", "middle", svg.INK, weight=600)
    return canvas.done()


def _bar(canvas: Canvas, x: float, wide: float, span: tuple[float, float], colour: str, step: Step) -> None:
    upper, lower = min(span), max(span)
    canvas.rect(x, upper, wide, max(lower - upper, 0.8), colour, f"{step.label}: {step.money:,.2f}", opacity=0.85)
    figure = f"{step.money:,.0f}"
    figure = figure.replace("-", svg.MINUS if float(figure.replace(",", "")) else "")
    canvas.text(x + wide / 2, upper - 5, figure, "middle", size=11, halo=True)


def context(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the template shows, or None where no order was analysed.

    Args:
        document: ``costs.shortfall`` of ``metrics.json``.
    """
    if not document["analysed"]:
        return None
    found = steps(document)
    expected = document["expected"]
    return {
        "d": document,
        "became": what_became(document),
        "picture": Markup(waterfall(found, document["total"])),  # noqa: S704 - built by our writer, which escapes
        "benchmarks": [(label, document["benchmarks"][name]) for name, label in _BENCHMARKS.items()],
        "expected": expected if expected["orders"] else None,
        "groups": [_group(title, document["by"][name], name) for name, title in TITLES.items()],
    }


def _group(title: str, rows: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the rows of one grouping: hours in order, else the largest value first, and how many are left out."""
    ranked = sorted(rows.items(), key=lambda item: (-item[1]["value"], item[0]))
    shown = sorted(ranked[:ROWS_MAX]) if name == "hour" else ranked[:ROWS_MAX]
    return {
        "title": title,
        "rows": [{"label": _label(label, name)} | row for label, row in shown],
        "left_out": len(ranked) - len(shown),
    }


def _label(label: str, name: str) -> str:
    if name == "hour":
        return f"{label}:00"
    if name == "type":
        return label.replace("_", " ")
    return label or "none: scripts, by hand, cuts by a breaker"
