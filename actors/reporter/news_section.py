"""What the run folder says of the news: two tables, and the report's section with a small picture for each symbol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from actors.reporter import svg
from actors.reporter.charts import TimeAxis
from actors.reporter.news_story import FIGURES, NewsStory, series
from actors.reporter.record import RunRecord
from actors.reporter.svg import Canvas
from actors.reporter.tables import cell, numbers, stamp, table

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

HEADLINES: Final = "ts,news_id,source,symbols,status,negative,neutral,positive,flags,model,text"
SENTIMENT: Final = f"ts,session,symbol,{','.join(FIGURES)},flags"
PICTURES: Final = 24
ROWS: Final = 12
NEUTRAL: Final = 0.05
"""A score nearer to 0 is drawn as a tick across it: a stroke so short would not be seen."""
WIDTH: Final = 336
HEIGHT: Final = 104
_LEFT: Final = 6
_RIGHT: Final = 6
_TOP: Final = 24
_MIDDLE: Final = 70
_BOTTOM: Final = 86


def headlines_csv(news: NewsStory, symbols: Sequence[str]) -> str:
    """Return every headline and what became of it."""
    rows = []
    for row in news.headlines:
        p = ",".join(numbers([None, None, None] if row.p is None else list(row.p)))
        names = " ".join(symbols[i] for i in row.symbols)
        rows.append(
            f"{stamp(row.ts)},{cell(row.news_id)},{cell(row.source)},{cell(names)},{cell(row.status)},{p},"
            f"{' '.join(row.flags)},{cell(row.model_id)},{cell(row.text)}"
        )
    return table(HEADLINES, rows)


def sentiment_csv(news: NewsStory, symbols: Sequence[str]) -> str:
    """Return every symbol's figures at each session's end at which it had a headline within the window."""
    rows = []
    for found in news.measured:
        date = f"{found.session // 10_000}-{found.session // 100 % 100:02d}-{found.session % 100:02d}"
        columns = [numbers(_known(found.columns[name])) for name in FIGURES]
        figures = zip(*columns, strict=True)
        for symbol, values, flags in zip(found.ids.tolist(), figures, found.flags, strict=True):
            rows.append(f"{stamp(found.ts)},{date},{cell(symbols[symbol])},{','.join(values)},{' '.join(flags)}")
    return table(SENTIMENT, rows)


def _known(values: F64) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def context(
    record: RunRecord, news: NewsStory, document: dict[str, Any] | None, sessions: I64
) -> dict[str, Any] | None:
    """Return what the template shows; None where there were no news.

    Args:
        record: of the run.
        news: its facts.
        document: ``sentiment`` of ``metrics.json``.
        sessions: exchange dates, ``[S]``.
    """
    if document is None:
        return None
    index = record.universe.index()
    shown = document["by_symbol"][:PICTURES] if sessions.size > 1 else []
    return {
        "d": document,
        "pictures": [_picture(row, news, index[row["symbol"]], sessions) for row in shown],
        "more_symbols": len(document["by_symbol"]) - len(shown),
        "sources": document["by_source"][:ROWS],
        "more_sources": max(0, len(document["by_source"]) - ROWS),
        "flags": document["by_flag"][:ROWS],
        "more_flags": max(0, len(document["by_flag"]) - ROWS),
        "settings": record.config.get("predictor", {}).get("sentiment", {}),
    }


def _picture(row: dict[str, Any], news: NewsStory, symbol: int, sessions: I64) -> Markup:
    score = series(news, symbol, sessions, "score")
    today = series(news, symbol, sessions, "today")
    unusual = series(news, symbol, sessions, "unusual")
    return Markup(small(row, score, today, unusual, sessions))  # noqa: S704 - built by our writer, which escapes


def small(row: dict[str, Any], score: F64, today: F64, unusual: F64, sessions: I64) -> str:
    """Draw a symbol's score at each session's end, between -1 and 1, over the headlines of each session.

    Args:
        row: of ``by_symbol``.
        score: ``[S]``, NaN where there is none.
        today: headlines, ``[S]``.
        unusual: 1 where they are many, ``[S]``.
        sessions: exchange dates, ``[S]``.
    """
    name = row["symbol"]
    canvas = Canvas(WIDTH, HEIGHT, f"Sentiment of {name} by session")
    # What rounds to zero is none below it.
    tone = "" if row["tone"] is None else f", mean {round(row['tone'], 2) + 0.0:+.2f}".replace("-", svg.MINUS)
    canvas.text(_LEFT, 14, name, weight=600)
    canvas.text(WIDTH - _RIGHT, 14, f"{row['headlines']:,} headlines{tone}", "end", svg.MUTED, 11)
    x = svg.scale(0, max(sessions.size, 1), _LEFT, WIDTH - _RIGHT)
    y = svg.scale(-1.0, 1.0, _MIDDLE, _TOP)
    _years(canvas, x, sessions)
    zero = float(y(np.zeros(1))[0])
    canvas.rect(_LEFT, _TOP, WIDTH - _LEFT - _RIGHT, _MIDDLE - _TOP, svg.GRID, opacity=0.35)
    canvas.line(_LEFT, zero, WIDTH - _RIGHT, zero, svg.AXIS, 0.7)
    at = x(np.arange(sessions.size, dtype=np.float64) + 0.5)
    wide = max(0.8, (WIDTH - _LEFT - _RIGHT) / max(sessions.size, 1))
    base, level = np.full(sessions.size, zero), y(score)
    with np.errstate(invalid="ignore"):
        _strokes(canvas, at, base, level, score >= NEUTRAL, svg.GREEN, wide)
        _strokes(canvas, at, base, level, score <= -NEUTRAL, svg.RED, wide)
        _strokes(canvas, at, base - 1.5, base + 1.5, np.abs(score) < NEUTRAL, svg.SLATE, wide)
        some, odd = today > 0, unusual > 0
    most = float(today[some].max()) if some.any() else 1.0
    ground, high = np.full(sessions.size, float(_BOTTOM)), _BOTTOM - (_BOTTOM - _MIDDLE - 3) * today / most
    _strokes(canvas, at, ground, high, some & ~odd, svg.SLATE, wide)
    _strokes(canvas, at, ground, high, some & odd, svg.AMBER, wide)
    return canvas.done()


def _strokes(canvas: Canvas, at: F64, begin: F64, end: F64, which: Bools, colour: str, wide: float) -> None:
    """Draw an upright stroke for each session of ``which``, as one path: a picture a symbol must stay small."""
    strokes = "".join(
        f"M{svg.px(x)} {svg.px(y1)}V{svg.px(y2)}"
        for x, y1, y2 in zip(at[which].tolist(), begin[which].tolist(), end[which].tolist(), strict=True)
    )
    if strokes:
        canvas.parts.append(f'<path d="{strokes}" fill="none" stroke="{colour}" stroke-width="{svg.px(wide)}"/>')


def _years(canvas: Canvas, x: svg.Scale, sessions: I64) -> None:
    last = -math.inf
    for position, label in TimeAxis(sessions).ticks():
        at = float(x(np.array([position - 1.0]))[0])
        canvas.line(at, _TOP, at, _BOTTOM, svg.GRID)
        if at - last > 8.0 * len(label) and at < WIDTH - _RIGHT - 4.0 * len(label):
            canvas.text(at + 2, HEIGHT - 6, label, fill=svg.MUTED, size=10)
            last = at
