"""``tradingctl status``: the state of the house in one look, and as an exit code for scripts."""

from __future__ import annotations

from typing import Any, Final

from daemon.cli.ctl import risk, show, text
from daemon.cli.ctl.text import Paint

KILLED, HALTED, DEGRADED = 152, 150, 151
STALE_S: Final = 5.0
_BREAKER: Final = ("portfolio", "breaker", "name", "subject", "state", "value", "limit")
_FINE: Final = {"running", "ok", "live", "connected", "open", "ready", "started", "idle", "done", "stopped"}


def exit_code(status: dict[str, Any]) -> int:
    """Return 152 killed, else 150 halted, else 151 degraded or reducing, else 0.

    An unknown state is not health: it counts as degraded.
    """
    state = status.get("trading_state")
    if state == "killed":
        return KILLED
    if state == "halted":
        return HALTED
    return DEGRADED if state != "active" or troubles(status) else 0


def troubles(status: dict[str, Any]) -> list[str]:
    """Return what is not as it should be although trading may go on: actors and feeds, one phrase each."""
    found = []
    for kind in ("actors", "feeds"):
        for part in _objects(status.get(kind)):
            state = str(part.get("state", "unknown"))
            named = f"{kind[:-1]} {text.clean(part.get('name', '?'))}"
            if kind == "feeds" and state == "ended":
                found.append(f"{named} has ended: no prices come any more, so no order fills")
            elif state.lower() not in _FINE:
                found.append(f"{named} is {text.clean(state)}")
    return found


def notices(status: dict[str, Any]) -> list[str]:
    """Return what a person should see: the daemon's own sentences, a board that is no longer renewed, troubles."""
    told = status.get("notices")
    found = [text.clean(notice) for notice in told] if isinstance(told, list) else []
    stale = _seconds(status.get("board_age_s"))
    if stale > STALE_S:
        found.append(f"these numbers are {text.age(stale)} old: the core no longer renews them")
    return found + troubles(status)


def _seconds(value: Any) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def banner(status: dict[str, Any], paint: Paint) -> str:
    """Return the one line that matters: state, why, since when, which run."""
    state = text.clean(status.get("trading_state", "unknown"))
    word = paint(f"bold {show.colour(state) or 'yellow'}", state.upper())
    reason = text.clean(status.get("state_reason") or "")
    return word + (f"  {reason}" if reason else "")


def origin(status: dict[str, Any]) -> str:
    """Return which program and run is speaking."""
    parts = [f"tradingd {text.clean(status.get('version', '?'))}", text.clean(status.get("mode", ""))]
    session = status.get("session")
    if isinstance(session, dict):
        session = " ".join(text.listed(part) for part in session.values() if part not in (None, ""))
    parts.append(f"session {text.clean(session)}" if session not in (None, "") else "no session")
    if status.get("uptime_s") is not None:
        parts.append(f"up {text.age(status['uptime_s'])}")
    parts.append(f"run {text.clean(status['run_id'])}" if status.get("run_id") else "")
    return " · ".join(part for part in parts if part)


def figures(status: dict[str, Any], paint: Paint) -> list[str]:
    """Return money and counts in two aligned lines."""
    day = status.get("daily_pnl")
    today = show.cell("daily_pnl", day, paint)
    if status.get("daily_return") is not None:
        today += f" ({text.percent(status['daily_return'], sign=True)})"
    upper = [
        ("equity", show.cell("equity", status.get("equity"), paint)),
        ("today", today),
        ("drawdown", show.cell("drawdown", status.get("drawdown"), paint)),
    ]
    lower = [
        ("cash", show.cell("cash", status.get("cash"), paint)),
        ("positions", _count(status.get("positions"))),
        ("open orders", _count(status.get("open_orders"))),
        ("alerts", _alerts(status, paint)),
    ]
    money = max(text.width(upper[0][1]), text.width(lower[0][1]))
    lines = []
    for line in (upper, lower):
        first = f"{paint('dim', text.pad(line[0][0], 7))} {text.pad(line[0][1], money, right=True)}"
        lines.append("   ".join([first, *(f"{paint('dim', name)} {value}" for name, value in line[1:])]))
    return lines


def _count(value: Any) -> str:
    return f"{len(value):,}" if isinstance(value, list | dict) else text.grouped(text.listed(value))


def _alerts(status: dict[str, Any], paint: Paint) -> str:
    """Return how many alerts no channel has confirmed, and how many critical ones nobody has acknowledged."""
    waiting, unseen = _count(status.get("alerts_pending")), _count(status.get("alerts_unacknowledged"))
    said = [f"{waiting} pending"] if waiting not in {"0", text.NOTHING} else []
    said += [f"{unseen} to acknowledge"] if unseen not in {"0", text.NOTHING} else []
    return paint("yellow", ", ".join(said)) if said else waiting


def parts(status: dict[str, Any], paint: Paint, *, room: int | None = None) -> list[str]:
    """Return feeds, actors, breakers, model and journal."""
    lines: list[str] = []
    for name in ("feeds", "breakers"):
        items = status.get(name)
        if isinstance(items, list) and items:
            if name == "breakers":
                items = [_breaker(row) for row in risk.notable(_objects(items))]
            lines += ["", f"  {paint('bold', name)}", *show.rows(name, items, paint, room=room, indent="    ")]
        else:
            lines += ["", f"  {paint('bold', name)}  {paint('dim', 'none')}"]
    lines += ["", f"  {paint('bold', 'actors')}  {'   '.join(actors(status, paint))}"]
    last = [("model", model(status)), ("journal", journal(status))]
    lines += ["", *text.pairs(last, paint, indent="  ", room=room)]
    return lines


def _breaker(row: dict[str, Any]) -> dict[str, Any]:
    """Return a breaker as a row of the look, its numbers in their unit."""
    shown: dict[str, Any] = {part: row[part] for part in _BREAKER if part in row}
    unit = row.get("unit")
    if unit not in (None, "share"):
        shown |= {part: risk.value(str(unit), row[part]) for part in ("value", "limit") if row.get(part) is not None}
    return shown


def actors(status: dict[str, Any], paint: Paint) -> list[str]:
    """Return how many actors run, then those a person should look at: not running, or started again."""
    rows = _objects(status.get("actors"))
    running = [row for row in rows if row.get("state") == "running"]
    said = [paint("green", f"{len(running):,} running")] if running else []
    for row in rows:
        state, restarts = text.clean(row.get("state", "?")), text.clean(row.get("restarts") or "0")
        if state != "running" or restarts != "0":
            told = text.clean(row.get("name", "?"))
            told += f" {paint(show.colour(state) or 'yellow', state)}" if state != "running" else ""
            said.append(told + (paint("yellow", f" (restarted {restarts} x)") if restarts != "0" else ""))
    return said or [paint("dim", "none")]


def model(status: dict[str, Any]) -> str:
    """Return the model in one phrase."""
    value = status.get("model")
    if not isinstance(value, dict):
        return text.listed(value)
    others = value.get("others")
    named = [_model(one) for one in (value, *_objects(others)) if one.get("model") not in (None, "")]
    if value.get("text_model"):
        named.append(f"{text.clean(value['text_model'])} (text)")
    said = ", ".join(named) or "none"
    return f"{said}; {told}" if (told := host(status)) else said


def host(status: dict[str, Any]) -> str:
    """Say that the inference host cannot be used; "" where it can, or where there shall be none."""
    value = status.get("model")
    breaker = value.get("breaker") if isinstance(value, dict) else None
    return f"inference host: breaker {text.clean(breaker)}" if breaker not in (None, "closed") else ""


def _model(value: dict[str, Any]) -> str:
    parts = [text.clean(value[name]) for name in ("strategy", "state", "horizon") if value.get(name)]
    if value.get("trained_from") and value.get("trained_to"):
        parts.append(f"trained on {text.clean(value['trained_from'])} to {text.clean(value['trained_to'])}")
    name = text.clean(value["model"])
    return f"{name} ({', '.join(parts)})" if parts else name


def journal(status: dict[str, Any]) -> str:
    """Return how far the journal is and how fresh."""
    value = status.get("journal")
    if not isinstance(value, dict):
        return text.listed(value)
    seq = f"seq {text.grouped(text.listed(value.get('seq')))}"
    commit = value.get("commit_age_s")
    return seq if commit is None else f"{seq}, last commit {text.age(commit)} ago"


def render(status: dict[str, Any], paint: Paint, *, room: int | None = None) -> list[str]:
    """Return the whole look."""
    lines = [banner(status, paint), paint("dim", origin(status)), ""]
    lines += [f"  {line}" for line in figures(status, paint)]
    lines += parts(status, paint, room=room)
    worries = notices(status)
    if worries:
        lines += ["", *(paint("yellow", f"! {worry}") for worry in worries)]
    return lines
