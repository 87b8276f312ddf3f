"""The report's pictures of distributions: months, returns, trades, calibration. Inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actors.reporter import svg
from actors.reporter.analytics.basics import NORMAL, var_historical
from actors.reporter.charts import LEFT, MONTHS, RIGHT, WIDTH
from actors.reporter.svg import Canvas

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


BAR_MAX: Final = 40


def _nothing(title: str, why: str) -> str:
    """Return a low picture that says why there is none."""
    canvas = Canvas(WIDTH, 56, title)
    canvas.text(WIDTH / 2, 32, why, "middle", svg.MUTED)
    return canvas.done()


def monthly_returns(sessions: I64, returns: F64) -> dict[int, dict[int, float]]:
    """Return {year: {month: compounded return}}; month 0 is the year."""
    out: dict[int, dict[int, float]] = {}
    for date, r in zip(sessions.tolist(), returns.tolist(), strict=True):
        year, month = date // 10_000, date // 100 % 100
        row = out.setdefault(year, {})
        row[month] = (1.0 + row.get(month, 0.0)) * (1.0 + r) - 1.0
        row[0] = (1.0 + row.get(0, 0.0)) * (1.0 + r) - 1.0
    return out


def _shade(value: float, span: float) -> tuple[str, str]:
    """Return fill and text colours: white at zero, green up, red down."""
    strength = min(abs(value) / span, 1.0) ** 0.75 if span > 0 else 0.0
    target = (22, 121, 64) if value >= 0 else (180, 35, 42)
    mixed = [round(255 + (c - 255) * strength * 0.88) for c in target]
    light = 0.2126 * mixed[0] + 0.7152 * mixed[1] + 0.0722 * mixed[2]
    return "#{:02x}{:02x}{:02x}".format(*mixed), "#ffffff" if light < 135 else svg.INK


def _tenths(value: float) -> str:
    text = f"{100 * value:.1f}"
    return "0.0" if text == "-0.0" else text.replace("-", svg.MINUS)


def heatmap(sessions: I64, returns: F64) -> str:
    """Draw monthly returns by year, with the year's return in the last column."""
    table = monthly_returns(sessions, returns)
    height = 26
    canvas = Canvas(WIDTH, 30 + height * len(table) + 4, "Monthly returns")
    left, step = 56.0, (WIDTH - RIGHT - 56.0 - 12.0) / 13.0
    for i, name in enumerate((*MONTHS, "Year")):
        x = left + step * (i + 0.5) + (12 if i == 12 else 0)
        canvas.text(x, 18, name, "middle", svg.MUTED, weight=600 if i == 12 else 400)
    months = [v for row in table.values() for m, v in row.items() if m]
    span = max(float(np.quantile(np.abs(months), 0.9)), 1e-4) if months else 1.0
    years = [row[0] for row in table.values()]
    year_span = max(*(abs(v) for v in years), 1e-4) if years else 1.0
    for line, (year, row) in enumerate(table.items()):
        y = 28 + height * line
        canvas.text(left - 10, y + 17, str(year), "end", svg.INK, weight=600)
        for month in range(1, 14):
            value = row.get(month if month < 13 else 0)
            x = left + step * (month - 1) + (12 if month == 13 else 0)
            if value is None:
                canvas.rect(x + 1, y + 1, step - 2, height - 2, "#f6f7f9", radius=3)
                continue
            fill, ink = _shade(value, year_span if month == 13 else span)
            name = MONTHS[month - 1] if month < 13 else "year"
            canvas.rect(x + 1, y + 1, step - 2, height - 2, fill, f"{name} {year}: {svg.percent(value, 2)}", 3)
            weight = 600 if month == 13 else 400
            canvas.text(x + step / 2, y + 17, _tenths(value), "middle", ink, 11.5, weight)
    return canvas.done()


def distribution(returns: F64) -> str:
    """Draw the histogram of session returns with a normal of the same mean and deviation, and VaR and CVaR's tail."""
    top, bottom = 34, 232
    spread = float(returns.std(ddof=1)) if returns.size > 1 else 0.0
    if spread <= 0 or not math.isfinite(spread):
        return _nothing("Distribution of session returns", "every session returned the same: nothing to draw")
    canvas = Canvas(WIDTH, 268, "Distribution of session returns")
    limit = float(max(np.quantile(np.abs(returns), 0.995), 2.5 * spread)) * 1.05
    bins = 61
    counts, edges = np.histogram(np.clip(returns, -limit, limit), bins=bins, range=(-limit, limit))
    x = svg.scale(-limit, limit, LEFT, WIDTH - RIGHT)
    width = 2 * limit / bins
    mean = float(returns.mean())
    centres = np.linspace(-limit, limit, 161)
    bell = np.array([NORMAL.pdf((c - mean) / spread) for c in centres.tolist()]) / spread * returns.size * width
    y = svg.scale(0.0, max(float(counts.max()), float(bell.max())) * 1.05, bottom, top)
    ticks = svg.nice_ticks(-limit, limit, 8)
    for tick, text in zip(ticks, svg.percent_ticks(ticks), strict=True):
        at = float(x(np.array([tick]))[0])
        canvas.line(at, top, at, bottom, svg.GRID)
        canvas.text(at, bottom + 16, text, "middle", svg.MUTED)
    risk = var_historical(returns, 0.05) or 0.0
    lefts, tops = x(edges[:-1]), y(counts.astype(np.float64))
    step = float(lefts[1] - lefts[0])
    for i, count in enumerate(counts.tolist()):
        if count:
            colour = svg.RED if edges[i] + width / 2 < -risk else svg.BLUE
            title = f"{svg.percent(float(edges[i]), 2)} to {svg.percent(float(edges[i + 1]), 2)}: {count}"
            canvas.rect(float(lefts[i]) + 0.6, float(tops[i]), step - 1.2, bottom - float(tops[i]), colour, title)
    canvas.path(x(centres), y(bell), svg.INK, 1.3, "4 3")
    at = float(x(np.array([-risk]))[0])
    canvas.line(at, top, at, bottom, svg.RED, 1.4)
    canvas.text(at - 6, top - 4, f"VaR 95 %: {svg.percent(risk, 2)}", "end", svg.RED, 11.5, 600)
    canvas.line(LEFT, bottom, WIDTH - RIGHT, bottom, svg.AXIS)
    canvas.text(LEFT - 8, bottom + 4, "0", "end", svg.MUTED)
    canvas.text(LEFT - 8, float(tops.min()) + 4, f"{int(counts.max())}", "end", svg.MUTED)
    entries = [("sessions", svg.BLUE, "box"), ("worst 5 %", svg.RED, "box"), ("normal", svg.INK, "dash")]
    canvas.legend(LEFT, 16, entries)
    return canvas.done()


def trades_chart(pnl: F64, labels: Sequence[str]) -> str:
    """Draw the profit of every trade in order of exit with the running total, and wins against losses.

    Args:
        pnl: ``[n]`` net profits in money.
        labels: what a trade's tooltip says.
    """
    top, bottom, split = 34, 236, 640
    n = int(pnl.size)
    if n == 0:
        return _nothing("Profit and loss by trade", "no trade was closed")
    canvas = Canvas(WIDTH, 262, "Profit and loss by trade, wins and losses")
    total = np.concatenate(([0.0], np.cumsum(pnl)))
    right = min(float(split), LEFT + n * BAR_MAX)  # a handful of trades are bars, not walls
    x = svg.scale(0, n, LEFT, right)
    low, high = min(float(pnl.min()), 0.0), max(float(pnl.max()), 0.0)
    pad = 0.06 * ((high - low) or 1.0)
    y = svg.scale(low - pad, high + pad, bottom, top)
    for tick in svg.nice_ticks(low - pad, high + pad, 5):
        at = float(y(np.array([tick]))[0])
        canvas.line(LEFT, at, split, at, svg.GRID if tick else svg.AXIS)
        canvas.text(LEFT - 8, at + 4, svg.money(tick), "end", svg.MUTED)
    zero = float(y(np.zeros(1))[0])
    step = (right - LEFT) / n
    gap = 0.8 if step > 4 else 0.15 * step
    for i, (value, at) in enumerate(zip(pnl.tolist(), y(pnl).tolist(), strict=True)):
        colour = svg.GREEN if value > 0 else svg.RED
        title = labels[i] if n <= 600 else ""
        canvas.rect(LEFT + i * step + gap / 2, zero, step - gap, at - zero, colour, title)
    span = svg.scale(float(total.min()), float(total.max()) or 1.0, bottom - 6, top + 6)
    keep = svg.thin(total, 800)
    canvas.path(x(keep.astype(np.float64)), span(total[keep]), svg.BLUE, 1.8)
    shown = f"sum of profits (own scale, ends at {svg.money(float(total[-1]))})"
    entries = [("win", svg.GREEN, "box"), ("loss", svg.RED, "box"), (shown, svg.BLUE, "line")]
    canvas.legend(LEFT, 16, entries)
    count = f"{n:,} trades in order of exit" if n > 1 else "1 trade"
    canvas.text((LEFT + split) / 2, bottom + 18, count, "middle", svg.MUTED)
    _wins_and_losses(canvas, pnl, split + 34)
    return canvas.done()


def _wins_and_losses(canvas: Canvas, pnl: F64, left: float) -> None:
    won, lost = pnl[pnl > 0], pnl[pnl < 0]
    rows: tuple[tuple[str, float, float, Callable[[float], str]], ...] = (
        ("number", float(won.size), float(lost.size), "{:,.0f}".format),
        ("total", float(won.sum()), -float(lost.sum()), svg.money),
        (
            "average",
            float(won.mean()) if won.size else 0.0,
            -float(lost.mean()) if lost.size else 0.0,
            svg.money,
        ),
        ("largest", float(won.max(initial=0.0)), -float(lost.min(initial=0.0)), svg.money),
    )
    width = WIDTH - RIGHT - left
    for i, (name, good, bad, text) in enumerate(rows):
        y = 46 + i * 49
        both = (good + bad) or 1.0
        edge = left + width * good / both
        canvas.text(left, y, name, fill=svg.MUTED)
        canvas.text(WIDTH - RIGHT, y, f"{text(good)} : {text(bad)}", "end", weight=600)
        canvas.rect(left, y + 7, width, 16, "#f1f3f5", radius=3)
        if good:
            canvas.rect(left, y + 7, max(edge - left - 1, 1), 16, svg.GREEN, radius=3)
        if bad:
            canvas.rect(edge + 1, y + 7, max(WIDTH - RIGHT - edge - 1, 1), 16, svg.RED, radius=3)


def reliability(table: Sequence[dict[str, Any]], base: float | None) -> str:
    """Draw observed against forecast frequencies with Wilson bars; the diagonal is perfect calibration."""
    size = 300
    canvas = Canvas(size, size, "Reliability of probabilities")
    values = [row[k] for row in table for k in ("forecast", "low", "high")] + ([base] if base is not None else [])
    low = max(0.0, math.floor((min(values, default=0.0) - 0.02) * 20) / 20)
    high = min(1.0, math.ceil((max(values, default=1.0) + 0.02) * 20) / 20)
    x, y = svg.scale(low, high, 46, size - 12), svg.scale(low, high, size - 42, 10)
    ticks = svg.nice_ticks(low, high, 5)
    for tick, text in zip(ticks, svg.percent_ticks(ticks), strict=True):
        at, up = float(x(np.array([tick]))[0]), float(y(np.array([tick]))[0])
        canvas.line(at, 10, at, size - 42, svg.GRID)
        canvas.line(46, up, size - 12, up, svg.GRID)
        corner = at > size - 16
        canvas.text(size if corner else at, size - 26, text, "end" if corner else "middle", svg.MUTED, 11)
        canvas.text(40, up + 4, text, "end", svg.MUTED, 11)
    ends = np.array([low, high])
    canvas.path(x(ends), y(ends), svg.AXIS, 1.2, "4 3")
    if base is not None:
        up = float(y(np.array([base]))[0])
        canvas.line(46, up, size - 12, up, svg.AMBER, 1.2, "2 3")
        canvas.text(size - 14, up - 5, "base rate", "end", svg.AMBER, 11)
    for row in table:
        at = float(x(np.array([row["forecast"]]))[0])
        bounds = y(np.array([row["low"], row["high"]]))
        canvas.line(at, float(bounds[0]), at, float(bounds[1]), svg.BLUE, 1.4)
        shown = f"{row['n']:,}: forecast {svg.percent(row['forecast'])}, observed {svg.percent(row['observed'])}"
        canvas.circle(at, float(y(np.array([row["observed"]]))[0]), 4, svg.BLUE, shown)
    canvas.text((46 + size - 12) / 2, size - 8, "forecast probability of a rise", "middle", svg.MUTED, 11)
    return canvas.done()
