"""``report.html``: one self-contained page, no script, nothing fetched, the same bytes for the same run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from actors.messages.alerts import AlertRaised
from actors.reporter import charts, costs_section, news_section, pictures, risk_section, svg
from actors.reporter.analytics.definitions import DEFINITIONS
from actors.reporter.analytics.drawdown import drawdowns
from actors.reporter.charts import Line, Marks, TimeAxis
from actors.reporter.evaluation import Evaluation
from actors.reporter.performance import curve
from actors.reporter.record import SURVIVORSHIP, RunRecord
from actors.reporter.story import Story
from actors.reporter.summary import YEAR, enough_digits, why_no_random
from actors.reporter.tables import last_closes, position_rows
from actors.values.fixed import SCALE
from actors.values.time import format_ts

F64 = npt.NDArray[np.float64]

TEMPLATES: Final = Path(__file__).parent / "templates"
SHORT_SAMPLE: Final = 20  # below this a ratio is greyed: it is defined, but says little
TRADES_SHOWN: Final = 8
ALERTS_SHOWN: Final = 25
SEVERITIES: Final = ("critical", "warning", "info")
INTERVALS: Final = {"sharpe": ("sharpe_ci_low", "sharpe_ci_high")}
HIDDEN: Final = ("sharpe_ci_low", "sharpe_ci_high")

MINUS: Final = "\N{MINUS SIGN}"
SIMULATED_FILLS: Final = {
    "bars": (
        "Orders fill in a simulator: market orders at the next tradable price after the decision, resting orders by the"
        " bar's path open, nearer extreme, other extreme, close. No real venue was asked."
    ),
    "ticks": (
        "On quotes an order trades with the opposite touch, and what is displayed there fills once, not twice; on"
        " prints a limit fills by those through it, or behind the queue that was there first. A symbol that ticked in a"
        " session is matched on ticks; its bars only mark. No real venue was asked."
    ),
}
SIMULATED: Final = (
    "Costs are a model (commission, spread, slippage, impact); a real broker's differ.",
    "Not simulated: your own effect on later prices, borrow recalls, halts the data do not show, taxes, outages.",
)
SIMULATED_CLOSE_ONLY: Final = (
    "The data have closes only (open = high = low = close): an order decided at one close fills at the next close,"
    " stops and targets are seen only at closes, and opening and closing auctions are refused."
)
SIMULATED_NO_VOLUME: Final = (
    "Volume is not known (liquidity: unknown): no participation cap and no volume-based impact apply, so fills of any"
    " size are taken as possible."
)
SIMULATED_TOTAL: Final = (
    "Prices are total-return adjusted: dividends are inside the prices and never booked; share counts and per-share"
    " fees are synthetic."
)


def render_report(record: RunRecord, story: Story, evaluation: Evaluation, metrics: dict[str, Any]) -> str:
    """Return the page. Depends on nothing but its arguments: no clock, folder, locale or time zone."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"pct": pct, "brief": brief, "num": num, "money": money, "shown": shown}
    template = environment.get_template("report.html.j2")
    return template.render(**_context(record, story, evaluation, metrics))


def pct(value: float | None, digits: int = 2) -> str:
    """Format a fraction as percent, "n/a" for None."""
    return "n/a" if value is None else f"{_plain(100.0 * value, digits)} %"


def brief(value: float | None) -> str:
    """Format a fraction as percent to one place, or to as many as it takes to see that it is not 0."""
    return "n/a" if value is None else pct(value, enough_digits(value, 1))


def num(value: float | None, digits: int = 2) -> str:
    """Format a number, "n/a" for None."""
    return "n/a" if value is None else _plain(value, digits)


def _plain(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    return text.replace("-", MINUS if float(text.replace(",", "")) else "")  # what rounds to zero has no sign


def money(value: float | None, digits: int = 2) -> str:
    """Format money with thousands separators, "n/a" for None."""
    return num(value, digits)


def shown(value: float | None, unit: str) -> str:
    """Format a value by the unit of its definition."""
    if unit == "percent":
        return pct(value)
    if unit in ("count", "sessions", "days"):
        return num(value, 0 if value is None or float(value).is_integer() or abs(value) >= 100 else 1)
    return num(value, 2 if unit == "money" else 3)


def _by_count(item: tuple[tuple[str, str], int]) -> tuple[int, tuple[str, str]]:
    return -item[1], item[0]


def _day(ts: int) -> str:
    return format_ts(ts)[:10]


def _context(record: RunRecord, story: Story, e: Evaluation, metrics: dict[str, Any]) -> dict[str, Any]:
    halts = story.halts()
    open_halt = halts[-1] if halts and halts[-1][1] is None else None
    return {
        "record": record,
        "e": e,
        "doc": metrics,
        "period": metrics["period"],
        "m": {name: entry["value"] for name, entry in e.metrics.items()},
        "halted": {"since": _day(open_halt[0]), "state": str(story.state), "reason": open_halt[2]}
        if open_halt
        else None,
        "state": str(story.state),
        "halts": [{"from": _day(a), "until": _day(b) if b is not None else None, "reason": why} for a, b, why in halts],
        "survivorship": SURVIVORSHIP if record.survivorship else None,
        "groups": _groups(e, story),
        "benchmarks": _benchmark_rows(e),
        "charts": _charts(record, story, e),
        "predictions": _prediction_rows(e),
        "gates": _gate_rows(story),
        "refusals": [(who, code, n) for (who, code), n in sorted(story.refusals.items(), key=_by_count)],
        "limits": [(name, action, n) for (name, action), n in sorted(story.limits.items(), key=_by_count)],
        "failures": [(s, error, count) for (s, error), count in sorted(story.failures.items())],
        "disabled": [(_day(ts), event.strategy, event.reason) for ts, event in story.disabled],
        "trades": _trade_rows(record, story),
        "positions": _position_rows(record, story, e),
        "alerts": [_alert_row(a) for a in sorted(record.alerts, key=_by_gravity)[:ALERTS_SHOWN]],
        "alerts_total": len(record.alerts),
        "severities": [(name, n) for name, n in _severities(record).items() if n],
        "breakers": [(_day(ts), b.breaker, b.value, b.limit, b.action, b.cause) for ts, b in story.breakers],
        "costs": _cost_rows(e),
        "risk": risk_section.context(record, e.var, _marks(record, story, e)),
        "news": news_section.context(record, story.news, metrics.get("sentiment"), e.curve.sessions),
        "MINUS": MINUS,
        "tca": costs_section.context(metrics["costs"]["shortfall"]),
        "simulated": _simulated(record),
        "quality": _quality(record),
        "portfolios": _portfolio_rows(story),
        "why_no_random": why_no_random(metrics),
        "year": YEAR,
        "luck": _luck(e, record.periods),
        "counts": {
            "orders": len(story.orders),
            "fills": len(story.fills),
            "events": story.events,
            "frames": story.frames,
        },
        "short": e.curve.sessions.size < SHORT_SAMPLE,
    }


def _groups(e: Evaluation, story: Story) -> list[dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    trades = e.trades.pnl.size
    for name, definition in DEFINITIONS.items():
        if name in HIDDEN:
            continue
        entry = e.metrics[name]
        interval = None
        if name in INTERVALS:
            low, high = (e.metrics[k]["value"] for k in INTERVALS[name])
            interval = f"{num(low)} to {num(high)}" if low is not None and high is not None else None
        elif name == "win_rate":
            row = next((c for c in e.scoreboard if c.name == "win_rate" and c.n == trades), None)
            interval = f"{pct(row.low, 1)} to {pct(row.high, 1)}" if row and row.low is not None else None
        note = "ongoing" if entry.get("ongoing") else ""
        if name == "dsr":
            note = "one strategy, no search: no trials to deflate by" if entry["value"] is None else ""
        row_out = {
            "name": name,
            "label": definition.label,
            "value": shown(entry["value"], definition.unit),
            "n": entry["n"],
            "formula": definition.formula,
            "source": definition.source,
            "id": definition.id,
            "interval": interval,
            "note": note,
            "grey": entry["n"] < SHORT_SAMPLE and not (definition.unit == "money" and story.fills),
            "hide": name == "tail_ratio" and entry["n"] < 100,
        }
        groups.setdefault(definition.group, []).append(row_out)
    return [{"title": title, "rows": [r for r in rows if not r["hide"]]} for title, rows in groups.items()]


def _benchmark_rows(e: Evaluation) -> list[dict[str, Any]]:
    names = ("total_return", "cagr", "volatility", "sharpe", "max_drawdown")
    rows = [{"label": "Strategy", "rule": "", "strategy": True} | {k: e.metrics[k]["value"] for k in names}]
    for b in e.benchmarks:
        found = e.benchmark_metrics[b.name]
        rows.append({"label": b.label, "rule": b.rule, "strategy": False} | {k: found[k]["value"] for k in names})
    return rows


def _marks(record: RunRecord, story: Story, e: Evaluation) -> Marks:
    stamps = e.curve.stamps

    def at(ts: int) -> float:
        return float(np.searchsorted(stamps, ts, side="left"))

    end = float(e.curve.sessions.size)
    halts = [
        (at(a), end if b is None else min(at(b), end), f"halted {_day(a)} to {_day(b) if b else 'the end'}: {why}")
        for a, b, why in story.halts()
    ]
    alerts = [(min(at(a.ts), end), str(a.severity), f"{_day(a.ts)} {a.severity}: {a.title}") for a in record.alerts]
    return Marks(halts, alerts)


def _charts(record: RunRecord, story: Story, e: Evaluation) -> dict[str, Markup]:
    c = e.curve
    if c.sessions.size < 2:
        return {}
    axis, marks = TimeAxis(c.sessions), _marks(record, story, e)
    start = float(c.equity[0])
    lines = [Line("strategy", c.index * start, svg.BLUE)]
    colours = {"equal_weight": (svg.AMBER, False), "index": (svg.SLATE, True)}
    lines += [Line(b.label, b.equity, colours[b.name][0], colours[b.name][1]) for b in e.benchmarks]
    fan = e.random.fan * start if e.random is not None and e.random.fan.shape[1] == c.index.size else None
    if e.random is not None and e.random.return_percentile is None:
        fan = None
    other = next((line for line in lines[1:]), None)
    labels = [
        f"{record.universe.symbols[t.symbol]} {_day(t.exit_ts)}: {money(t.pnl / SCALE)} ({pct(t.ret)}), {t.exit_reason}"
        for t in story.trades
    ]
    out = {
        "equity": charts.equity_chart(axis, lines, fan, marks),
        "underwater": charts.underwater_chart(axis, c.index, other, marks),
        "heatmap": pictures.heatmap(c.sessions, c.returns),
        "distribution": pictures.distribution(c.returns),
        "trades": pictures.trades_chart(e.trades.pnl, labels),
        "exposure": charts.exposure_chart(axis, c.gross, c.net, e.positions, marks),
    }
    return {name: Markup(text) for name, text in out.items()}  # noqa: S704 - built by our writer, which escapes


def _prediction_rows(e: Evaluation) -> list[dict[str, Any]]:
    rows = []
    for model, by_horizon in e.predictions.items():
        for horizon, q in by_horizon.items():
            picture = None
            if q["reliability"]:
                drawn = pictures.reliability(q["reliability"], q["base_rate_up"])
                picture = Markup(drawn)  # noqa: S704 - built by our writer, which escapes
            rows.append({"model": model, "horizon": horizon, "q": q, "picture": picture})
    return rows


def _gate_rows(story: Story) -> list[dict[str, Any]]:
    totals: dict[str, int] = {}
    for _, signal in story.signals:
        totals[signal.strategy] = totals.get(signal.strategy, 0) + len(signal.ids) // 4
    denied: dict[str, int] = {}
    for _, event in story.denied:
        if event.code == "CONFIDENCE":
            denied[event.order.strategy] = denied.get(event.order.strategy, 0) + 1
    return [
        {
            "strategy": name,
            "signals": total,
            "cut_buy": story.cuts.get(name, [0, 0])[0],
            "cut_sell": story.cuts.get(name, [0, 0])[1],
            "denied": denied.get(name, 0),
            "smaller": story.smaller.get(name),
        }
        for name, total in sorted(totals.items())
    ]


def _trade_rows(record: RunRecord, story: Story) -> dict[str, list[dict[str, Any]]]:
    ranked = sorted(story.trades, key=lambda t: (-t.pnl, t.exit_ts, t.lot_id))
    best = [t for t in ranked if t.pnl > 0][:TRADES_SHOWN]
    worst = [t for t in reversed(ranked) if t.pnl < 0][:TRADES_SHOWN]
    symbols = record.universe.symbols
    reasons: dict[str, list[float]] = {}
    for t in story.trades:
        entry = reasons.setdefault(t.exit_reason, [0, 0, 0.0])
        entry[0] += 1
        entry[1] += t.pnl > 0
        entry[2] += t.pnl / SCALE

    def row(t: Any) -> dict[str, Any]:
        return {
            "symbol": symbols[t.symbol],
            "side": "long" if t.side > 0 else "short",
            "qty": num(t.qty / SCALE, 0 if t.qty % SCALE == 0 else 4),
            "entry": _day(t.entry_ts),
            "entry_px": num(t.entry_px / SCALE),
            "exit": _day(t.exit_ts),
            "exit_px": num(t.exit_px / SCALE),
            "pnl": t.pnl / SCALE,
            "ret": t.ret,
            "mae": t.mae,
            "mfe": t.mfe,
            "reason": t.exit_reason,
            "strategy": t.strategy,
        }

    return {
        "best": [row(t) for t in best],
        "worst": [row(t) for t in worst],
        "reasons": [
            {"reason": name, "n": int(n), "wins": int(wins), "pnl": pnl}
            for name, (n, wins, pnl) in sorted(reasons.items(), key=lambda item: (-item[1][0], item[0]))
        ],
    }


def _position_rows(record: RunRecord, story: Story, e: Evaluation) -> list[dict[str, Any]]:
    equity = float(e.curve.equity[-1]) if e.curve.equity.size else math.nan
    rows = []
    for portfolio, symbol, qty, average, market, unrealized, realized in position_rows(
        story, last_closes(record.universe, record.in_last_units(record.session_closes))
    ):
        value = None if market is None else qty / SCALE * market / SCALE
        rows.append(
            {
                "portfolio": portfolio,
                "symbol": record.universe.symbols[symbol],
                "sector": record.universe.sector(symbol),
                "qty": num(qty / SCALE, 0 if qty % SCALE == 0 else 4),
                "open": qty != 0,
                "avg": None if average is None else average / SCALE,
                "market": None if market is None else market / SCALE,
                "weight": value / equity if value is not None and equity > 0 else None,
                "unrealized": None if unrealized is None else unrealized / SCALE,
                "realized": realized / SCALE,
            }
        )
    return sorted(rows, key=lambda r: (not r["open"], -(r["weight"] or 0.0), str(r["symbol"]), r["portfolio"]))


def _by_gravity(alert: AlertRaised) -> tuple[int, int, str]:
    return SEVERITIES.index(str(alert.severity)), -alert.ts, alert.alert_id


def _severities(record: RunRecord) -> dict[str, int]:
    counts = dict.fromkeys(SEVERITIES, 0)
    for alert in record.alerts:
        counts[str(alert.severity)] += 1
    return counts


def _alert_row(alert: AlertRaised) -> dict[str, Any]:
    return {
        "day": _day(alert.ts),
        "severity": str(alert.severity),
        "title": alert.title,
        "facts": ", ".join(f"{name.replace('_', ' ')} {_fact(value)}" for name, value in alert.facts),
        "action": "" if alert.action_taken == "none" else alert.action_taken,
    }


def _fact(value: str) -> str:
    """Return a fact of an alert for people: long decimals are cut, ``alerts.csv`` has them whole."""
    text = str(value)
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number) or len(text.partition(".")[2]) <= 4:
        return text.replace("-", MINUS) if text.startswith("-") else text
    return num(number, 2 if abs(number) >= 1 else 4)


def _quality(record: RunRecord) -> dict[str, Any]:
    """Return what the feed counted: totals, and rejects by kind with how many symbols they met."""
    totals = {name.replace("_", " "): value for name, value in record.quality.items() if name != "rejects"}
    kinds: dict[str, list[dict[str, Any]]] = {}
    for reject in record.quality.get("rejects", ()):
        kinds.setdefault(reject["kind"], []).append(reject)
    rows = []
    for kind, found in kinds.items():
        first = min(found, key=lambda r: r["line"])
        count = sum(r["count"] for r in found)
        where = f"{first['file']} {first['unit']} {first['line']}"
        rows.append({"kind": kind.replace("_", " "), "count": count, "symbols": len(found), "where": where})
    return {"totals": totals, "rejects": rows}


def _portfolio_rows(story: Story) -> list[dict[str, Any]]:
    """Return one row a portfolio where there are several: they trade apart and are added up above."""
    if len(story.opening) < 2:
        return []
    rows = []
    for name in story.opening:
        c = curve(story, name)
        if not c.sessions.size:
            continue
        trades = [t.pnl for t in story.trades if t.portfolio == name]
        rows.append(
            {
                "name": name,
                "start": float(c.equity[0]),
                "end": float(c.equity[-1]),
                "total_return": float(c.index[-1]) - 1.0,
                "max_drawdown": float(drawdowns(c.index).min()),
                "trades": len(trades),
                "win_rate": sum(p > 0 for p in trades) / len(trades) if trades else None,
                "gross": float(c.gross.mean()),
            }
        )
    return rows


def _cost_rows(e: Evaluation) -> list[dict[str, Any]]:
    start = float(e.curve.equity[0]) if e.curve.equity.size else 0.0
    value = e.costs["traded_value"]
    return [
        {
            "name": name,
            "money": amount,
            "of_cash": amount / start if start else None,
            "bps": 1e4 * amount / value if value else None,
        }
        for name, amount in e.costs.items()
        if name != "traded_value"
    ]


def _luck(e: Evaluation, periods: float) -> str | None:
    """Say in a sentence what the Sharpe ratio is worth."""
    psr, track, sharpe = (e.metrics[k]["value"] for k in ("psr", "min_trl", "sharpe"))
    n = int(e.curve.sessions.size)
    if psr is None or sharpe is None:
        return None
    first = f"With {n:,} sessions, the probability that the true Sharpe ratio is above zero is {pct(psr, 1)}"
    if track is None:
        return f"{first}; the measured one is not above zero, so no track record would prove skill."
    enough = "long enough" if n >= track else "too short"
    return (
        f"{first}; a Sharpe ratio of {num(sharpe)} needs {track:,.0f} sessions ({track / periods:.1f} years) for 95 %"
        f" confidence, so this record is {enough}."
    )


def _simulated(record: RunRecord) -> list[str]:
    out = [*(SIMULATED_FILLS[kind] for kind in record.fed), *SIMULATED]
    if record.close_only:
        out.append(SIMULATED_CLOSE_ONLY)
    if not record.volume_known:
        out.append(SIMULATED_NO_VOLUME)
    if record.universe.adjustment == "total":
        out.append(SIMULATED_TOTAL)
    if record.mode == "replay":
        sessions = int(record.config.get("risk", {}).get("replay_resume_sessions", 0))
        lasts = f"a drawdown halt after {sessions} sessions" if sessions else "a drawdown halt never"
        out.append(f"In a replay a daily-loss halt ends with its session and {lasts}; live, both wait for a person.")
    return [*out, *record.assumptions]
