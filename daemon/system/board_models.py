"""Models, and what computes them, as people ask for them: versions, queue, latency, breaker, headline cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from actors.predictor.pool.host import PoolFacts

if TYPE_CHECKING:
    from daemon.system.board import Board


def model_answer(board: Board) -> dict[str, Any]:
    """Return the answer to ``tradingctl model``: one row a model in use, and the pool behind them."""
    facts = board.facts.inference
    served = {} if facts is None or facts.standing is None else {m.model_id: m.served for m in facts.standing.models}
    rows = [{**row, "kind": "table"} for row in board.model_rows()]
    if board.facts.text_model:
        rows.append({"model": board.facts.text_model, "state": "active", "kind": "text"})
    for row in rows:
        row["served_by_host"] = served.get(str(row["model"]))
    return {"schema": "tradingd.model/1", "rows": rows, "pool": None if facts is None else pool_row(facts)}


def pool_row(facts: PoolFacts) -> dict[str, Any]:
    """Return how a pool does; times in milliseconds, shares of one."""
    asked = facts.cache_hits + facts.cache_misses
    row: dict[str, Any] = {
        "pool": facts.pool,
        "breaker": facts.breaker or None,
        "reason": facts.reason or None,
        "opened": facts.opened,
        "queue": facts.queue,
        "answered": facts.answered,
        "degraded": facts.degraded,
        "unavailable": facts.unavailable,
        "late": facts.late,
        "p50_ms": facts.p50_ms,
        "p99_ms": facts.p99_ms,
        "headline_cache": {
            "hit_rate": round(facts.cache_hits / asked, 6) if asked else None,
            "hits": facts.cache_hits,
            "misses": facts.cache_misses,
            "size": facts.cache_size,
        },
        "host": None,
        "refused": [msgspec.to_builtins(refused) for refused in facts.refused],
    }
    standing = facts.standing
    if standing is not None:
        row["host"] = {
            "backend": standing.backend,
            "state": standing.state if facts.breaker != "open" else "unreachable",
            "workers": standing.workers,
            "busy": standing.busy,
            "queue": standing.queue,
            "served": standing.served,
            "failed": standing.failed,
            "late": standing.late,
            "restarts": standing.restarts,
            "p50_ms": standing.p50_ms,
            "p99_ms": standing.p99_ms,
        }
    return row


def pool_in_short(facts: PoolFacts | None) -> dict[str, Any]:
    """Return what a status says of the pool: who computes, and whether the host can be used."""
    if facts is None or facts.pool == "none":
        return {}
    return {"pool": facts.pool, **({"breaker": facts.breaker} if facts.breaker else {})}
