"""The result block: what a run came to, in about twelve lines of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from daemon.cli.render import metric, number, pairs, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.messages.alerts import AlertRaised
    from daemon.system.replay import ReplayResult

ALERTS_SHOWN: Final = 8
MARKS: Final = {"pass": "pass", "fail": "FAIL", "insufficient": "insufficient"}


def result_block(result: ReplayResult) -> str:
    """Return the block for a finished run; every figure is one of ``metrics.json`` or ``run.json``."""
    document, manifest = result.run.metrics, result.run.manifest
    lines = [*_head(document, manifest, result), *_figures(document), *_foot(result)]
    block = pairs(lines)
    warning = document.get("survivorship")
    return f"{warning}\n\n{block}" if warning else block


def _head(document: Mapping[str, Any], manifest: Mapping[str, Any], result: ReplayResult) -> Iterator[tuple[str, str]]:
    period, seconds = document["period"], sum(result.phases.values())
    symbols = sum(manifest["universe"]["tradable"])
    size = f"{result.bars:,} bars of {symbols} symbols in {period['sessions']:,} sessions"
    yield "replayed", f"{period['from']} to {period['to']}: {size}, {seconds:.1f} s"
    if result.run.halted_since:
        yield "HALTED", f"since {result.run.halted_since[:10]}: nothing was entered after that"
    elif result.run.halts:
        halts = "; ".join(f"{a[:10]} to {(b or 'the end')[:10]}" for a, b, _ in result.run.halts)
        yield "halted", f"{halts} (breakers tripped, trading resumed later)"


def _figures(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    period, costs = document["period"], document["costs"]
    start, end = period["start_equity"], period["end_equity"]
    growth = f"{percent(metric(document, 'total_return'))}, {percent(metric(document, 'cagr'))} a year"
    yield "equity", f"{number(start)} -> {number(end)}  ({growth})"
    for benchmark in document.get("benchmarks", ())[:1]:
        total = benchmark["metrics"].get("total_return", {}).get("value")
        yield "benchmark", f"{percent(total)}  {benchmark['label']}"
    low, high = metric(document, "sharpe_ci_low"), metric(document, "sharpe_ci_high")
    yield "sharpe", f"{number(metric(document, 'sharpe'))}  (95 %: {number(low)} to {number(high)})"
    under = metric(document, "max_drawdown_sessions")
    yield "drawdown", f"{_share(metric(document, 'max_drawdown'))} at most, {number(under, 0)} sessions under water"
    trades = metric(document, "num_trades")
    win, factor = metric(document, "win_rate"), metric(document, "profit_factor")
    yield "trades", f"{number(trades, 0)} round trips, {_share(win)} won, profit factor {number(factor)}"
    parts = ", ".join(f"{name} {number(value)}" for name, value in costs.items() if name in _COSTS and value)
    yield "costs", f"{number(costs.get('total', 0.0))}" + (f"  ({parts})" if parts else "")
    for model, horizons in document["predictions"].items():
        for horizon, quality in horizons.items():
            hits = quality["hit_rate"]
            right = f"{_share(hits['value'])} of {hits['n']:,} directions right"
            yield "predictions", f"{model}, {horizon} ahead: {right} ({_share(hits['low'])} to {_share(hits['high'])})"
    verdicts = [f"{row['name'].replace('_', ' ')} {MARKS[row['verdict']]}" for row in document["scoreboard"]]
    yield "scoreboard", " · ".join(verdicts)


_COSTS: Final = ("commission", "regulatory", "spread", "slippage", "impact")


def _foot(result: ReplayResult) -> Iterator[tuple[str, str]]:
    yield from _alerts(result.alerts)
    yield "report", str(_shown(result.folder / "report.html"))
    yield "next", f"tradingd verify {_shown(result.folder)}"


def _alerts(alerts: Sequence[AlertRaised]) -> Iterator[tuple[str, str]]:
    """Show each kind of alert once with its count, the gravest first."""
    kinds: dict[tuple[str, str], int] = {}
    for alert in alerts:
        kind = (str(alert.severity), alert.title)
        kinds[kind] = kinds.get(kind, 0) + 1
    order = ("critical", "warning", "info")
    ranked = sorted(kinds.items(), key=lambda item: order.index(item[0][0]))
    yield "alerts", f"{len(alerts)} fired" if alerts else "none fired"
    for (severity, title), count in ranked[:ALERTS_SHOWN]:
        yield "", f"{severity}: {title}" + (f" ({count} times)" if count > 1 else "")
    if len(ranked) > ALERTS_SHOWN:
        yield "", f"and {len(ranked) - ALERTS_SHOWN} more kinds, see alerts.csv"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _shown(path: Path) -> Path:
    """Return the path as one would type it here."""
    return path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path
