"""The result block of a run for a terminal: about twelve aligned lines."""

from __future__ import annotations

import re
import textwrap
from typing import Any, Final

from actors.reporter.record import RunResult

LABEL: Final = 14
_PLACES_MAX: Final = 4
_CODES_MAX: Final = 4
YEAR: Final = 252  # sessions; what took less is not scaled to a year, as GIPS demands
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
        (
            "period",
            f"{period['from']} to {period['to']}, {period['sessions']:,} session{'s' * (period['sessions'] != 1)}",
        ),
        ("equity", f"{_num(period['start_equity'])} -> {_num(period['end_equity'])}"),
        ("return", _return_text(doc, m)),
        ("sharpe", _sharpe_text(m, period["rf"])),
        ("max drawdown", _drawdown_text(doc, m)),
        *_script_row(doc),
        ("trades", _trades_text(m)),
        ("costs", _cost_text(doc)),
        ("exposure", f"{_pct(m['exposure_gross'])} mean gross, {_pct(m['time_in_market'])} of sessions in the market"),
        *_prediction_rows(doc),
        *_news_row(doc),
        *(_idle_row(doc) or _refused_row(doc)),
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
        lines += wrapped(label, text, width, color)
    return lines


def wrapped(label: str, text: str, width: int, color: bool) -> list[str]:
    """Return a labelled text broken to the width, its further lines under its first."""
    head = f"{label:<{LABEL}}"
    shown = f"\033[1m{head}\033[0m" if color else head
    parts = textwrap.wrap(text, max(width - LABEL, 30)) or [""]
    if color and label == "scoreboard":
        parts = [_VERDICT.sub(lambda found: f"\033[{_MARKS[found[0]]}m{found[0]}\033[0m", part) for part in parts]
    return [shown + parts[0], *(" " * LABEL + part for part in parts[1:])]


def enough_digits(fraction: float, digits: int) -> int:
    """Return how many places a percentage takes, ``digits`` or those that show that it is not 0, four at most."""
    found = digits
    while found < _PLACES_MAX and round(100 * fraction, found) == 0:
        found += 1
    return digits if round(100 * fraction, found) == 0 else found


def _pct(value: float | None, digits: int = 1) -> str:
    if value is None:
        return "n/a"
    text = f"{100 * value:,.{enough_digits(value, digits)}f} %"
    return text if any(digit in text for digit in "123456789") else text.removeprefix("-")


def _num(value: float | None, digits: int = 2) -> str:
    return "n/a" if value is None else f"{value:,.{digits}f}"


def _return_text(doc: dict[str, Any], m: dict[str, Any]) -> str:
    text = _pct(m["total_return"])
    if doc["period"]["sessions"] >= YEAR:
        text += f" ({_pct(m['cagr'])} a year)"
    parts = [f"{b['label']} {_pct(b['metrics'].get('total_return', {}).get('value'))}" for b in doc["benchmarks"]]
    return f"{text}; " + "; ".join(parts) if parts else text


def _sharpe_text(m: dict[str, Any], rf: float) -> str:
    if m["sharpe"] is None:
        return "n/a: too few different returns"
    if m["sharpe_ci_low"] is None:
        return f"{_num(m['sharpe'])}  (rf {_pct(rf, 0)})"
    return f"{_num(m['sharpe'])}  (95 %: {_num(m['sharpe_ci_low'])} to {_num(m['sharpe_ci_high'])}, rf {_pct(rf, 0)})"


def _trades_text(m: dict[str, Any]) -> str:
    if not m["num_trades"]:
        return "none closed"
    count, factor = _num(m["num_trades"], 0), _num(m["profit_factor"])
    return f"{count} closed, win rate {_pct(m['win_rate'])}, profit factor {factor}"


def _drawdown_text(doc: dict[str, Any], m: dict[str, Any]) -> str:
    if not m["max_drawdown"]:
        return "none"
    ongoing = ", ongoing" if doc["metrics"]["max_drawdown"].get("ongoing") else ""
    lasted = m["max_drawdown_sessions"]
    return f"{_pct(m['max_drawdown'])} over {_num(lasted, 0)} session{'s' * (lasted != 1)}{ongoing}"


def what_became(group: dict[str, Any]) -> str:
    """Return how the orders of a group of ``costs.shortfall`` ended, as a phrase without what none of them did."""
    ends = [("filled", group["filled"]), ("partly filled", group["partially_filled"]), ("expired", group["expired"])]
    ends += [("canceled", group["canceled"]), ("refused", group["denied"] + group["rejected"])]
    ends.append(("still working", group["orders"] - sum(count for _, count in ends)))
    return ", ".join(f"{count:,} {name}" for name, count in ends if count)


def _script_row(doc: dict[str, Any]) -> list[tuple[str, str]]:
    """Say what became of the orders that no strategy gave, where there are any."""
    by = doc["costs"]["shortfall"]["by"]["strategy"].get("")
    if by is None:
        return []
    cutting = doc["activity"]["cutting"]
    who = "to cut or close positions" if cutting else "scripted or by hand"
    if 0 < cutting < by["orders"]:
        who = f"of no strategy ({cutting:,} to cut or close positions, the others scripted or by hand)"
    return [("orders", f"{by['orders']:,} {who}: {what_became(by)}; each in orders.csv, its cost in tca.csv")]


def _idle_row(doc: dict[str, Any]) -> list[tuple[str, str]]:
    """Say where the way from signal to fill ended, in a run without a fill."""
    a = doc["activity"]
    if a["fills"]:
        return []
    if a["orders"]:
        most = f", {a['denied']:,} refused, most often {a['most_denied']}" if a["most_denied"] else ""
        return [("no fills", f"{a['orders']:,} order{'s' * (a['orders'] != 1)}{most}: see orders.csv")]
    if not a["signals"]:
        return [("no orders", "no strategy gave a signal (is the lookback longer than the data?), no script an order")]
    rest = "" if a["cut"] >= a["signals"] else "; the rest asked for nothing that could be traded"
    gates = "risk.min_confidence_buy, risk.min_confidence_sell"
    return [("no orders", f"{a['cut']:,} of {a['signals']:,} signals were below the gates {gates}{rest}")]


def _refused_row(doc: dict[str, Any]) -> list[tuple[str, str]]:
    """Say what limits kept a run from doing, the most frequent first; nothing where they kept it from nothing."""
    a = doc["activity"]
    said = []
    if a["denied"]:
        codes = [f"{code} {count:,}" for code, count in a["denied_by"].items()]
        more = f" and {len(codes) - _CODES_MAX} more" if len(codes) > _CODES_MAX else ""
        most = f"{', '.join(codes[:_CODES_MAX])}{more}"
        said.append(f"{a['denied']:,} of {a['orders']:,} orders ({most}): see orders.csv")
    if a["made_smaller"]:
        said.append(f"{a['made_smaller']:,} entries made smaller by sizing")
    return [("refused", "; ".join(said))] if said else []


def _cost_text(doc: dict[str, Any]) -> str:
    costs, start = doc["costs"], doc["period"]["start_equity"]
    share = f" ({_pct(costs['total'] / start)} of the starting cash)" if start else ""
    names = ("commission", "regulatory", "spread", "slippage", "impact", "borrow", "interest")
    parts = ", ".join(f"{name} {costs[name]:,.0f}" for name in names if costs[name])
    received = f"; dividends {costs['dividends']:,.2f}" if costs.get("dividends") else ""
    return f"{costs['total']:,.2f}{share}" + (f": {parts}" if parts else "") + received


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


def _news_row(doc: dict[str, Any]) -> list[tuple[str, str]]:
    """Say how many headlines came in, what became of them and how far they reach, in a run with news."""
    news = doc.get("sentiment")
    if news is None:
        return []
    symbols, scored = news["coverage"]["symbols"], news["coverage"]["symbol_sessions_scored"]
    by = f" by {', '.join(news['models'])}" if news["models"] else ""
    counts = [f"{news['scored']:,} scored{by}"]
    counts += [
        f"{count:,} {name}"
        for name, count in (
            ("abstained from", news["abstained"]),
            *news["unanswered"].items(),
            ("waiting at the end", news["waiting"]),
        )
        if count
    ]
    told = f"{news['headlines']:,} headline{'s' * (news['headlines'] != 1)} ({', '.join(counts)})"
    told += f" of {symbols['count']:,} of {symbols['of']:,} symbols"
    return [("news", f"{told}; a tone at {_pct(scored['share'])} of their session ends")]


def _random_text(doc: dict[str, Any]) -> str:
    random = doc["random"]
    if random is None or random["return_percentile"] is None:
        return f"n/a: {why_no_random(doc)}"
    share = 100 * random["return_percentile"]
    return f"better than {share:.1f} % of {random['count']:,} random portfolios (95 % needed), same exposure and costs"


def why_no_random(doc: dict[str, Any]) -> str:
    """Say why a run has no place among random portfolios."""
    if doc["random"] is not None:
        return str(doc["random"]["reason"])
    if not doc["metrics"]["time_in_market"]["value"]:
        return "nothing was held at a session's close"
    return "it takes two sessions and two symbols"


def _scoreboard_text(doc: dict[str, Any]) -> str:
    return ", ".join(f"{row['name'].replace('_', ' ')} {row['verdict']}" for row in doc["scoreboard"])
