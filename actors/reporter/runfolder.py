"""The run folder of ``contract.md`` section 3, written into a staging folder; ``run.json`` comes last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.messages.risk import TradingState
from actors.reporter import tables
from actors.reporter.evaluation import Evaluation, document, evaluate
from actors.reporter.events import write_events
from actors.reporter.news_section import headlines_csv, sentiment_csv
from actors.reporter.news_story import document as news_document
from actors.reporter.performance import curve
from actors.reporter.record import SURVIVORSHIP, RunRecord, RunResult
from actors.reporter.story import EquityPoint, Story, gather
from actors.reporter.tca_orders import tca_csv
from actors.values.plain import without_exponents
from actors.values.time import format_ts
from daemon.journal.journal import StoredFrame

SCHEMA: Final = "tradingd.run/1"
_CHUNK: Final = 1 << 20
UNSEALED: Final = "0" * 64
"""Stands where the seal goes while the seal is computed."""

__all__ = ["UNSEALED", "sealed", "sha256", "write_events", "write_run_folder"]


def write_run_folder(record: RunRecord, frames: Iterable[StoredFrame], staging: Path) -> RunResult:
    """Write everything but ``ledger.db`` and ``events.jsonl`` into ``staging``, which exists.

    ``run.json`` is written last and lists the SHA-256 of every other file found there. All files but ``run.json``
    depend only on the inputs, the configuration and the seed.

    Raises:
        OSError: the folder cannot be written.
    """
    story = gather(frames)
    evaluation = evaluate(record, story)
    for name, text in _tables(record, story, evaluation).items():
        (staging / name).write_bytes(text.encode())
    metrics = document(record, evaluation)
    news = news_document(record, story.news, evaluation.curve.sessions)
    if news is not None:
        metrics["sentiment"] = news
    (staging / "metrics.json").write_bytes(_json(metrics))
    halts = _halts(story)
    html = _report(record, story, evaluation, metrics)
    (staging / "report.html").write_bytes(html.encode())
    manifest = _manifest(record, story, staging, halts)
    (staging / "run.json").write_bytes(sealed(manifest))
    return RunResult(
        folder=staging,
        metrics=metrics,
        manifest=manifest,
        alerts=record.alerts,
        halted_since=halts[-1][0] if halts and halts[-1][1] is None else None,
        halts=halts,
    )


def _report(record: RunRecord, story: Story, evaluation: Evaluation, metrics: dict[str, Any]) -> str:
    from actors.reporter.report import render_report  # noqa: PLC0415 - the template engine is loaded only for a report

    return render_report(record, story, evaluation, metrics)


def _json(value: Any) -> bytes:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return without_exponents(text).encode() + b"\n"


def sealed(manifest: dict[str, Any]) -> bytes:
    """Return ``run.json`` with the SHA-256 of itself, zeros in its place: no byte can change unseen."""
    manifest["seal"] = UNSEALED
    manifest["seal"] = hashlib.sha256(_json(manifest)).hexdigest()
    return _json(manifest)


def _halts(story: Story) -> tuple[tuple[str, str | None, str], ...]:
    return tuple((format_ts(a), None if b is None else format_ts(b), reason) for a, b, reason in story.halts())


def _tables(record: RunRecord, story: Story, e: Evaluation) -> dict[str, str]:
    symbols = record.universe.symbols
    several = len(story.opening) > 1
    last = tables.last_closes(record.universe, record.in_last_units(record.session_closes))
    out = {
        "equity.csv": tables.equity_csv(e.curve, _marks(record, story)),
        "orders.csv": tables.orders_csv(story, symbols, several),
        "fills.csv": tables.fills_csv(story, symbols, several),
        "trades.csv": tables.trades_csv(story, symbols, several),
        "tca.csv": tca_csv(e.tca, several),
        "positions.csv": tables.positions_csv(story, symbols, last, several),
        "predictions.csv": tables.predictions_csv(story, symbols),
        "signals.csv": tables.signals_csv(story, symbols, record.gates),
        "alerts.csv": tables.alerts_csv(record.alerts),
    }
    if e.primary is not None:
        out["benchmark.csv"] = tables.benchmark_csv(e.curve.stamps[1:].tolist(), e.primary.returns)
    if story.news:
        out["headlines.csv"] = headlines_csv(story.news, symbols)
        out["sentiment.csv"] = sentiment_csv(story.news, symbols)
    if several:
        out["portfolios.csv"] = tables.portfolios_csv({name: curve(story, name) for name in story.opening})
    return out


def _marks(record: RunRecord, story: Story) -> list[EquityPoint] | None:
    if record.equity_rows != "bar":
        return None
    return story.combined_marks()


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _manifest(
    record: RunRecord, story: Story, staging: Path, halts: tuple[tuple[str, str | None, str], ...]
) -> dict[str, Any]:
    universe = record.universe
    files = sorted(p for p in staging.rglob("*") if p.is_file() and p.name != "run.json")
    state = story.state
    return {
        "schema": SCHEMA,
        "version": record.version,
        "mode": record.mode,
        "seed": record.seed,
        "started": record.started,
        "ended": record.ended,
        "event_digest": record.event_digest,
        "config_digest": record.config_digest,
        "data": {"label": record.data_label, "adjustment": str(universe.adjustment), "digests": record.digests},
        "liquidity": "known" if record.volume_known else "unknown",
        "close_only": record.close_only,
        "interval": record.interval,
        "from": record.from_date,
        "to": record.to_date,
        "universe": {
            "symbols": list(universe.symbols),
            "sectors": list(universe.sectors),
            "tradable": [universe.is_tradable(i) for i in range(len(universe))],
            "benchmark": universe.benchmark,
        },
        "portfolios": [{"name": name, "cash": msgspec.Raw(cash.encode())} for name, cash in record.portfolios],
        "strategies": list(record.strategies),
        "command": record.command,
        "trading_state": str(state),
        "halted": state in (TradingState.HALTED, TradingState.KILLED),
        "halts": [{"from": a, "until": b, "reason": reason} for a, b, reason in halts],
        "survivorship": SURVIVORSHIP if record.survivorship else None,
        "notices": list(record.notices),
        "quality": record.quality,
        "frames": story.frames,
        "events": story.events,
        "config": record.config,
        "files": {p.relative_to(staging).as_posix(): sha256(p) for p in files},
    }
