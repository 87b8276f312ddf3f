"""The result block of a run for a terminal: about twelve aligned lines."""

from __future__ import annotations

import re
import textwrap
from typing import Any, Final

from actors.reporter.record import RunResult

LABEL: Final = 14
_MARKS: Final = {"pass": "32", "fail": "31", "insufficient": "33"}
_VERDICT: Final = re.compile("pass|fail|insufficient")


def summary_lines(result: RunResult, width: int = 100, color: bool = False) -> list[str]:
    """Return the block.

    Args:
        result: of ``write_run_folder``.
        width: of the terminal; longer lines are broken under their text.
        color: whether to use ANSI colours.
    """
    doc = result.metrics
    m = {name: entry["value"] for name, entry in doc["metrics"].items()}
    period = doc["period"]
    rows = [
        ("period", f"{period['from']} to {period['to']}, {period['sessions']:,} sessions"),
        ("equity", f"{_num(period['start_equity'])} -> {_num(period['end_equity'])}"),
        ("return", _return_text(doc, m)),
        (
            "sharpe",
            (
                f"{_num(m['sharpe'])}  (95 %: {_num(m['sharpe_ci_low'])} to {_num(m['sharpe_ci_high'])},"
                f" rf {_pct(period['rf'], 0)})"
            ),
        ),
        ("max drawdown", _drawdown_text(doc, m)),
        ("trades", f"{_num(m['num_trades'], 0)} closed, win rate {_pct(m['win_rate'])}, {_factor(m)}"),
        ("costs", _cost_text(doc)),
        ("exposure", f"{_pct(m['exposure_gross'])} mean gross, {_pct(m['time_in_market'])} of sessions in the market"),
        *_prediction_rows(doc),
        ("vs random", _random_text(doc)),
        ("scoreboard", _scoreboard_text(doc)),
    ]
    if result.halted_since is not None:
        rows.insert(0, ("HALTED", f"since {result.halted_since[:10]}: {result.halts[-1][2]}"))
    elif result.halts:
        rows.append(("halts", f"{len(result.halts)} on the way, first on {result.halts[0][0][:10]}; active at the end"))
    if doc["survivorship"]:
        rows.append(("survivorship", doc["survivorship"]))
    lines: list[str] = []
    for label, text in rows:
        lines += _wrap(label, text, width, color)
    return lines


def _wrap(label: str, text: str, width: int, color: bool) -> list[str]:
    head = f"{label:<{LABEL}}"
    shown = f"\033[1m{head}\033[0m" if color else head
    parts = textwrap.wrap(text, max(width - LABEL, 30)) or [""]
    if color and label == "scoreboard":
        parts = [_VERDICT.sub(lambda found: f"\033[{_MARKS[found[0]]}m{found[0]}\033[0m", part) for part in parts]
    return [shown + parts[0], *(" " * LABEL + part for part in parts[1:])]


def _pct(value: float | None, digits: int = 1) -> str:
    return "n/a" if value is None else f"{100 * value:,.{digits}f} %"


def _num(value: float | None, digits: int = 2) -> str:
    return "n/a" if value is None else f"{value:,.{digits}f}"


def _return_text(doc: dict[str, Any], m: dict[str, Any]) -> str:
    text = f"{_pct(m['total_return'])} ({_pct(m['cagr'])} a year)"
    parts = [f"{b['label']} {_pct(b['metrics'].get('total_return', {}).get('value'))}" for b in doc["benchmarks"]]
    return f"{text}; " + "; ".join(parts) if parts else text


def _drawdown_text(doc: dict[str, Any], m: dict[str, Any]) -> str:
    ongoing = ", ongoing" if doc["metrics"]["max_drawdown"].get("ongoing") else ""
    return f"{_pct(m['max_drawdown'])} over {_num(m['max_drawdown_sessions'], 0)} sessions{ongoing}"


def _factor(m: dict[str, Any]) -> str:
    return f"profit factor {_num(m['profit_factor'])}"


def _cost_text(doc: dict[str, Any]) -> str:
    costs, start = doc["costs"], doc["period"]["start_equity"]
    share = f" ({_pct(costs['total'] / start)} of the starting cash)" if start else ""
    names = ("commission", "regulatory", "spread", "slippage", "impact")
    parts = ", ".join(f"{name} {costs[name]:,.0f}" for name in names if costs[name])
    return f"{costs['total']:,.2f}{share}" + (f": {parts}" if parts else "")


def _prediction_rows(doc: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for model, horizons in doc["predictions"].items():
        for horizon, q in horizons.items():
            hit = q["hit_rate"]
            if hit["value"] is None:
                continue
            low, high = hit["block_low"], hit["block_high"]
            if low is None:
                low, high = hit["low"], hit["high"]
            bounds = f"95 %: {_pct(low)} to {_pct(high)}, n {hit['n']:,}"
            rows.append(("predictions", f"{model} {horizon}: {_pct(hit['value'])} right ({bounds})"))
    return rows[:3] or [("predictions", "none matured")]


def _random_text(doc: dict[str, Any]) -> str:
    random = doc["random"]
    if random is None or random["return_percentile"] is None:
        return "n/a: no freedom of choice to compare with"
    share = 100 * random["return_percentile"]
    return f"better than {share:.1f} % of {random['count']:,} random portfolios (95 % needed), same exposure and costs"


def _scoreboard_text(doc: dict[str, Any]) -> str:
    return ", ".join(f"{row['name'].replace('_', ' ')} {row['verdict']}" for row in doc["scoreboard"])
