"""The report's pictures of a run over time: equity, drawdowns, exposure. Inline SVG, 900 units wide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.reporter import svg
from actors.reporter.analytics.drawdown import drawdowns, episodes
from actors.reporter.svg import Canvas, Scale

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

WIDTH: Final = 900
LEFT: Final = 62
RIGHT: Final = 14
FEW_ALERTS: Final = 60
ALERT_COLOURS: Final = {"critical": svg.RED, "warning": svg.AMBER}
VAR_95: Final = "#efc58f"
VAR_99: Final = "#dc9da0"
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Line(msgspec.Struct, frozen=True):
    """A line of money over the run: ``values [n + 1]``, the base point first."""

    label: str
    values: F64
    colour: str
    dashed: bool = False


class Marks(msgspec.Struct, frozen=True):
    """What is marked on the time axis: halted stretches and alerts, by position 0..n."""

    halts: Sequence[tuple[float, float, str]] = ()
    alerts: Sequence[tuple[float, str, str]] = ()


class TimeAxis(msgspec.Struct, frozen=True):
    """Positions 0..n of the base point and the sessions; ``sessions [n]`` are dates YYYYMMDD."""

    sessions: I64

    @property
    def n(self) -> int:
        """Number of sessions."""
        return int(self.sessions.size)

    def ticks(self) -> list[tuple[int, str]]:
        """Return (position, label): years, or months and days where the run is short."""
        dates = self.sessions.tolist()
        years = [
            (i + 1, str(d // 10_000)) for i, d in enumerate(dates) if i == 0 or d // 10_000 != dates[i - 1] // 10_000
        ]
        if len(years) > 3:
            step = -(-len(years) // 14)
            return years[1::step] if years[0][0] == 1 and dates[0] % 10_000 > 115 else years[::step]
        months = [(i + 1, d) for i, d in enumerate(dates) if i == 0 or d // 100 != dates[i - 1] // 100]
        if len(months) > 3:
            step = -(-len(months) // 12)
            return [(i, f"{MONTHS[d // 100 % 100 - 1]} {d // 10_000}") for i, d in months[::step]]
        step = max(1, -(-len(dates) // 8))
        return [(i + 1, f"{d % 100} {MONTHS[d // 100 % 100 - 1]}") for i, d in list(enumerate(dates))[::step]]


def _frame(canvas: Canvas, axis: TimeAxis, x: Scale, top: float, bottom: float, marks: Marks, labels: bool) -> None:
    for start, end, title in marks.halts:
        a, b = x(np.array([start, max(end, start + axis.n / WIDTH)]))
        canvas.rect(float(a), top, float(b - a), bottom - top, svg.HALT, title)
    last = -1e9
    for position, label in axis.ticks():
        at = float(x(np.array([float(position)]))[0])
        canvas.line(at, top, at, bottom, svg.GRID)
        if labels and at - last > 7.0 * len(label):
            edge = at > WIDTH - RIGHT - 2.5 * len(label)  # a label in the corner ends there
            canvas.text(at, bottom + 16, label, "end" if edge else "middle", svg.MUTED)
            last = at


def _y_axis(canvas: Canvas, y: Scale, ticks: Sequence[float], texts: Sequence[str]) -> None:
    for tick, text in zip(ticks, texts, strict=True):
        at = float(y(np.array([tick]))[0])
        canvas.line(LEFT, at, WIDTH - RIGHT, at, svg.GRID)
        canvas.text(LEFT - 8, at + 4, text, "end", svg.MUTED)


def _draw(canvas: Canvas, x: Scale, y: Scale, values: F64, colour: str, width: float = 1.6, dash: str = "") -> None:
    keep = svg.thin(values)
    canvas.path(x(keep.astype(np.float64)), y(values[keep]), colour, width, dash)


def _alerts(canvas: Canvas, x: Scale, marks: Marks, at: float) -> None:
    """Mark alerts: triangles while there are few; of many the lesser ones are strokes, so that the grave stand out."""
    many = len(marks.alerts) > FEW_ALERTS
    taken: set[tuple[int, bool]] = set()
    for position, severity, title in sorted(marks.alerts, key=lambda a: a[1] == "critical"):
        where = float(x(np.array([position]))[0])
        stroke = many and severity != "critical"
        place = round(where if stroke else where / 3), stroke
        if place in taken:
            continue
        taken.add(place)
        if stroke:
            canvas.line(where, at, where, at + 7, "#f0b86a" if severity == "warning" else "#c3cad4")
        else:
            canvas.marker(where, at, ALERT_COLOURS.get(severity, svg.SLATE), title)


def equity_chart(axis: TimeAxis, lines: Sequence[Line], fan: F64 | None, marks: Marks) -> str:
    """Draw equity with benchmarks above and drawdown below; the first line is the strategy.

    Args:
        axis: the sessions.
        lines: money ``[n + 1]`` each.
        fan: ``[5, n + 1]`` money quantiles of random portfolios, or None.
        marks: halts and alerts.
    """
    top, middle, low_top, bottom = 34, 318, 336, 428
    canvas = Canvas(WIDTH, 470, "Equity of the strategy and its benchmarks, with drawdown")
    stack = [line.values for line in lines] + ([fan[0], fan[-1]] if fan is not None else [])
    values = np.concatenate(stack)
    values = values[np.isfinite(values) & (values > 0)]
    low, high = float(values.min()), float(values.max())
    log = high / low > 2.5
    pad = 1.04
    low, high = (low / pad, high * pad) if log else (low - 0.04 * (high - low), high + 0.04 * (high - low))
    if high <= low:
        low, high = low * 0.99, high * 1.01
    x = svg.scale(0, max(axis.n, 1), LEFT, WIDTH - RIGHT)
    y = svg.scale(low, high, middle, top, log)
    _frame(canvas, axis, x, top, middle, marks, labels=False)
    ticks = svg.log_ticks(low, high) if log else svg.nice_ticks(low, high)
    _y_axis(canvas, y, ticks, [svg.money(t) for t in ticks])
    if fan is not None:
        keep = svg.thin(fan[2], 500)
        at = x(keep.astype(np.float64))
        canvas.area(at, y(fan[4][keep]), y(fan[0][keep]), "#94a3b8", 0.16)
        canvas.area(at, y(fan[3][keep]), y(fan[1][keep]), "#94a3b8", 0.2)
    for line in reversed(lines):
        main = line is lines[0]
        _draw(canvas, x, y, line.values, line.colour, 2.2 if main else 1.5, "5 3" if line.dashed else "")
    entries = [(line.label, line.colour, "dash" if line.dashed else "line") for line in lines]
    if fan is not None:
        entries.append(("random portfolios, 5-95 %", "#d3dae3", "box"))
    if marks.halts:
        entries.append(("halted", svg.HALT, "box"))
    canvas.legend(LEFT, 16, entries)
    if log:
        canvas.text(LEFT + 6, top + 14, "log scale", fill=svg.AXIS, size=11)
    depth = drawdowns(lines[0].values)
    _depth_panel(canvas, axis, x, depth, low_top, bottom, marks)
    _alerts(canvas, x, marks, bottom + 22)
    if marks.alerts:
        canvas.text(LEFT - 8, bottom + 30, "alerts", "end", svg.MUTED, 11)
    return canvas.done()


def _depth_panel(
    canvas: Canvas, axis: TimeAxis, x: Scale, depth: F64, top: float, bottom: float, marks: Marks
) -> Scale:
    floor = min(float(depth.min()) * 1.08, -0.005)
    y = svg.scale(floor, 0.0, bottom, top)
    _frame(canvas, axis, x, top, bottom, marks, labels=True)
    ticks = svg.nice_ticks(floor, 0.0, 3)
    _y_axis(canvas, y, ticks, svg.percent_ticks(ticks))
    keep = svg.thin(depth)
    at = x(keep.astype(np.float64))
    canvas.area(at, y(np.zeros(keep.size)), y(depth[keep]), svg.RED, 0.22)
    canvas.path(at, y(depth[keep]), svg.RED, 1.2)
    return y


def underwater_chart(axis: TimeAxis, index: F64, benchmark: Line | None, marks: Marks, worst: int = 5) -> str:
    """Draw drawdowns of the strategy and its benchmark; the ``worst`` are numbered by depth."""
    top, bottom = 34, 250
    canvas = Canvas(WIDTH, 282, "Drawdowns of the strategy and its benchmark")
    depth = drawdowns(index)
    other = drawdowns(benchmark.values) if benchmark is not None else None
    floor = min(float(depth.min()), float(other.min()) if other is not None else 0.0) * 1.08
    floor = min(floor, -0.005)
    x = svg.scale(0, max(axis.n, 1), LEFT, WIDTH - RIGHT)
    y = svg.scale(floor, 0.0, bottom, top)
    _frame(canvas, axis, x, top, bottom, marks, labels=True)
    ticks = svg.nice_ticks(floor, 0.0, 5)
    _y_axis(canvas, y, ticks, svg.percent_ticks(ticks))
    keep = svg.thin(depth)
    at = x(keep.astype(np.float64))
    canvas.area(at, y(np.zeros(keep.size)), y(depth[keep]), svg.RED, 0.2)
    if other is not None and benchmark is not None:
        _draw(canvas, x, y, other, benchmark.colour, 1.3)
    canvas.path(at, y(depth[keep]), svg.RED, 1.6)
    ranked = sorted(episodes(index), key=lambda e: (e.depth, e.peak))[:worst]
    for number, episode in enumerate(ranked, 1):
        if episode.depth > -0.002:
            continue
        cx, cy = float(x(np.array([float(episode.trough)]))[0]), float(y(np.array([episode.depth]))[0])
        cy = min(cy, bottom - 10.0)
        canvas.circle(cx, cy, 8.5, svg.RED, f"{svg.percent(episode.depth, 2)}, {episode.sessions} sessions")
        canvas.text(cx, cy + 4, str(number), "middle", "#ffffff", 11, 600)
    entries = [("strategy", svg.RED, "line")]
    if benchmark is not None:
        entries.append((benchmark.label, benchmark.colour, "line"))
    if marks.halts:
        entries.append(("halted", svg.HALT, "box"))
    canvas.legend(LEFT, 16, entries)
    return canvas.done()


def exceptions_chart(axis: TimeAxis, realised: F64, var_95: F64, var_99: F64, marks: Marks) -> str:
    """Draw what each session returned against the value at risk told the evening before; ``[n]`` each, NaN for none.

    Sessions that lost more are dots: of the 95 % level amber, of the 99 % level red.
    """
    top, bottom = 34, 250
    canvas = Canvas(WIDTH, 282, "Session returns and value at risk, with exceptions")
    shown = np.where(np.isfinite(realised), realised, 0.0)
    floor = min(float(shown.min()), -float(np.nan_to_num(var_99).max()), -0.005) * 1.06
    ceiling = max(float(shown.max()) * 1.06, 0.005)
    x = svg.scale(0, max(axis.n, 1), LEFT, WIDTH - RIGHT)
    y = svg.scale(floor, ceiling, bottom, top)
    _frame(canvas, axis, x, top, bottom, marks, labels=True)
    ticks = svg.nice_ticks(floor, ceiling, 6)
    _y_axis(canvas, y, ticks, svg.percent_ticks(ticks))
    for values, colour, width in ((realised, "#a9bdd6", 0.8), (-var_95, VAR_95, 1.1), (-var_99, VAR_99, 1.1)):
        keep = svg.thin(values)
        canvas.path(x(keep.astype(np.float64) + 1.0), y(values[keep]), colour, width)
    with np.errstate(invalid="ignore"):
        beyond_95, beyond_99 = -realised > var_95, -realised > var_99
    for at in np.flatnonzero(beyond_95 | beyond_99).tolist():
        is_grave = bool(beyond_99[at])
        date = int(axis.sessions[at])
        told = f"{svg.percent(-float(var_95[at]), 2)} at 95 %, {svg.percent(-float(var_99[at]), 2)} at 99 %"
        title = f"{_date(date)}: {svg.percent(float(realised[at]), 2)} against {told}" if is_grave else ""
        where = float(x(np.array([at + 1.0]))[0]), float(y(np.array([realised[at]]))[0])
        canvas.circle(*where, 2.6 if is_grave else 2.0, svg.RED if is_grave else svg.AMBER, title)
    entries = [("session return", "#a9bdd6", "line"), ("VaR 95 %", VAR_95, "line"), ("VaR 99 %", VAR_99, "line")]
    entries += [("lost more than at 95 %", svg.AMBER, "dot"), ("than at 99 %", svg.RED, "dot")]
    if marks.halts:
        entries.append(("halted", svg.HALT, "box"))
    canvas.legend(LEFT, 16, entries)
    return canvas.done()


def _date(date: int) -> str:
    return f"{date // 10_000}-{date // 100 % 100:02d}-{date % 100:02d}"


def exposure_chart(axis: TimeAxis, gross: F64, net: F64, positions: F64, marks: Marks) -> str:
    """Draw gross and net exposure over equity above, and the number of positions below; ``[n]`` each."""
    top, middle, low_top, bottom = 34, 186, 204, 258
    canvas = Canvas(WIDTH, 290, "Exposure and number of positions")
    x = svg.scale(0, max(axis.n, 1), LEFT, WIDTH - RIGHT)
    low, high = min(0.0, float(net.min()) * 1.05), max(0.1, float(gross.max()) * 1.05)
    y = svg.scale(low, high, middle, top)
    _frame(canvas, axis, x, top, middle, marks, labels=False)
    ticks = svg.nice_ticks(low, high, 4)
    _y_axis(canvas, y, ticks, svg.percent_ticks(ticks))
    keep = svg.thin(gross)
    at = x(keep.astype(np.float64) + 1.0)
    canvas.area(at, y(gross[keep]), y(np.zeros(keep.size)), svg.BLUE, 0.22)
    canvas.path(at, y(gross[keep]), svg.BLUE, 1.2)
    if not np.allclose(gross, net):
        canvas.path(at, y(net[keep]), svg.AMBER, 1.3)
    most = max(1.0, float(positions.max()))
    y2 = svg.scale(0.0, most * 1.1, bottom, low_top)
    _frame(canvas, axis, x, low_top, bottom, marks, labels=True)
    counts = [0.0, most]
    _y_axis(canvas, y2, counts, [f"{c:.0f}" for c in counts])
    keep = svg.thin(positions)
    canvas.area(x(keep.astype(np.float64) + 1.0), y2(positions[keep]), y2(np.zeros(keep.size)), svg.SLATE, 0.45)
    entries = [("gross exposure", svg.BLUE, "line")]
    if not np.allclose(gross, net):
        entries.append(("net exposure", svg.AMBER, "line"))
    entries.append(("positions held (below)", "#b4bcc8", "box"))
    canvas.legend(LEFT, 16, entries)
    return canvas.done()
