"""Figures as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

INSTANT_US = 40.0
SYMBOL_US = 0.05
FILL_US = 12.0
RATES = {("2 daily", "all trade"): 60e3, ("20 minute", "all trade"): 500e3}
RATES |= {("500 daily", "all trade"): 3e6, ("500 daily", "few trade"): 10e6}
"""Bars a second by (size, load), where the plan of the house names a figure."""


def budget_us(symbols: int, fills_per_instant: float) -> float:
    """Return what an instant may cost."""
    return INSTANT_US + SYMBOL_US * symbols + FILL_US * fills_per_instant


def rows_of_own(answer: dict[str, Any]) -> list[list[str]]:
    """Return the lines about this program: what an instant costs beside what it may cost."""
    rows = []
    for size in answer["sizes"]:
        for load, own in size["own"].items():
            instants = own["facts"]["instants"]
            per_instant = own["fills"] / instants
            us = 1e6 * own["wall_median"] / instants
            budget = budget_us(size["symbols"], per_instant)
            rate = size["bars"] / own["wall_median"]
            wanted = RATES.get((size["name"], load))
            rows.append(
                [
                    size["name"],
                    load,
                    f"{us:,.0f}",
                    f"{budget:,.0f}",
                    f"{us / budget:.2f}",
                    f"{per_instant:.2f}",
                    f"{own['facts']['orders'] / own['wall_median']:,.0f}",
                    short(rate),
                    short(wanted) if wanted else "",
                    f"{wanted / rate:.2f}" if wanted else "",
                ]
            )
    return rows


def rows_of_all(answer: dict[str, Any]) -> list[list[str]]:
    """Return the lines about every contender: bars a CPU second, and this program's as a multiple of it."""
    rows = []
    for size in answer["sizes"]:
        ours = size["bars"] / size["own"]["all trade"]["cpu_median"]
        entries = [("tradingd", size["own"]["all trade"]), *size["others"].items()]
        for name, result in entries:
            if "problem" in result:
                rows.append([size["name"], name, result["problem"], "", "", "", "", ""])
                continue
            rate = size["bars"] / result["cpu_median"]
            rows.append(
                [
                    size["name"],
                    name,
                    short(rate),
                    f"{ours / rate:.3g}",
                    f"{result['cpu_median']:.3f}",
                    f"{result['wall_median']:.3f}",
                    f"{result['load']:.2f}",
                    f"{result['fills']:,}",
                ]
            )
    return rows


def rows_of_phases(answer: dict[str, Any]) -> list[list[str]]:
    """Return the lines about a complete run."""
    rows = []
    for size in answer["sizes"]:
        found = size["phases"]
        rows.append([size["name"], *(f"{found[name]:.2f}" for name in ("load", "replay", "report"))])
    return rows


def render(answer: dict[str, Any]) -> str:
    """Return everything as text."""
    versions: dict[str, str] = {}
    for size in answer["sizes"]:
        for result in size["others"].values():
            found = result.get("facts", {})
            versions |= {name: value for name, value in found.items() if isinstance(value, str)}
    parts = [
        "Synthetic bars (seeded random walks): good for measuring speed, and for nothing else.",
        f"Python {answer['python']}, " + ", ".join(f"{name} {version}" for name, version in versions.items()),
        "",
        "tradingd: an instant, against its budget of 40 us + 50 ns a symbol + 12 us a fill (wall, medians)",
        grid(
            (
                "size",
                "load",
                "us/instant",
                "budget",
                "used",
                "fills/instant",
                "orders/s",
                "bars/s",
                "wanted",
                "wanted/got",
            ),
            rows_of_own(answer),
        ),
        "(an instant of daily bars is three inputs: the session's opening, its bars, its closing)",
        "",
        "The same job on the same file (one core, medians; ratio: tradingd's bars per CPU second over theirs)",
        grid(
            ("size", "contender", "bars/CPU-s", "ratio", "cpu s", "wall s", "load s", "fills"),
            rows_of_all(answer),
        ),
        "",
        "A complete `tradingd replay --durable`, seconds",
        grid(("size", "load", "replay", "report"), rows_of_phases(answer)),
    ]
    return "\n".join(parts)


def short(rate: float) -> str:
    """Format a rate: 512 k, 3.21 M."""
    if rate >= 1e6:
        return f"{rate / 1e6:.2f} M"
    return f"{rate / 1e3:,.0f} k" if rate >= 1e4 else f"{rate / 1e3:.1f} k"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns: text to the left, figures to the right."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]

    def cells(line: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i < 2 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([cells(lines[0]), rule, *(cells(line) for line in lines[1:])])
