"""``model`` as people read it: which models are in use, and how whoever computes them does."""

from __future__ import annotations

from typing import Any

from daemon.cli.ctl import show, text
from daemon.cli.ctl.text import NOTHING, Paint, clean, grouped, percent

_STATES = {"closed": "green", "half_open": "yellow", "open": "red"}


def render(result: dict[str, Any], paint: Paint, room: int | None) -> list[str]:
    """Return the answer to ``model`` as lines."""
    rows = [row for row in result.get("rows") or [] if isinstance(row, dict)]
    told = [{name: value for name, value in row.items() if value not in (None, "")} for row in rows]
    lines = show.rows("models", told, paint, room=room) if told else [paint("dim", "no models")]
    pool = result.get("pool")
    if isinstance(pool, dict) and pool.get("pool") != "none":  # nobody asks a model
        lines += ["", *text.pairs(_pool(pool, paint), paint, room=room)]
        said = [clean(pool["reason"])] if pool.get("reason") else []
        host = pool.get("pool") == "host"
        said += [_refused(row, host=host) for row in pool.get("refused") or [] if isinstance(row, dict)]
        lines += [paint("yellow", line) for told in said for line in text.wrapped(f"! {told}", room)]
    return lines


def _pool(pool: dict[str, Any], paint: Paint) -> list[tuple[str, str]]:
    found = [("computed by", _by(pool, paint))]
    found.append(("latency", f"p50 {_ms(pool, 'p50_ms')}, p99 {_ms(pool, 'p99_ms')}; {_n(pool, 'queue')} waiting"))
    answers = f"{_n(pool, 'answered')} answered, {_n(pool, 'unavailable')} without an answer"
    if pool.get("breaker"):
        answers += f", {_n(pool, 'degraded')} by the daemon in the host's place, {_n(pool, 'late')} too late"
    found.append(("requests", answers))
    host = pool.get("host")
    if isinstance(host, dict):
        who = f"{clean(host.get('state', '?'))}, {_n(host, 'workers')} workers ({clean(host.get('backend', '?'))})"
        doing = f"{_n(host, 'busy')} busy, {_n(host, 'queue')} waiting, {_n(host, 'restarts')} restarts"
        found.append(("host", f"{who}: {doing}, p50 {_ms(host, 'p50_ms')}, p99 {_ms(host, 'p99_ms')}"))
    cache = pool.get("headline_cache")
    if isinstance(cache, dict):
        rate = cache.get("hit_rate")
        known = "nothing asked yet" if rate is None else f"{percent(rate)} known"
        found.append(("headlines", f"{known}, {_n(cache, 'size')} remembered"))
    return found


def _refused(row: dict[str, Any], *, host: bool) -> str:
    if not host:
        return f"{clean(row.get('model_id', '?'))} gives no answer: {clean(row.get('reason', '?'))}"
    who = "the daemon computes it itself" if row.get("here") else "nobody computes it"
    return f"the host refuses {clean(row.get('model_id', '?'))}, {who}: {clean(row.get('reason', '?'))}"


def _by(pool: dict[str, Any], paint: Paint) -> str:
    if pool.get("pool") != "host":
        return "the daemon itself"
    state = clean(pool.get("breaker", "?"))
    again = f", opened {_n(pool, 'opened')} x" if str(pool.get("opened", "0")) != "0" else ""
    return f"the inference host, breaker {paint(_STATES.get(state, ''), state)}{again}"


def _ms(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return NOTHING if value is None else f"{grouped(value, 2)} ms"


def _n(row: dict[str, Any], name: str) -> str:
    return grouped(row.get(name) or 0)
