"""``risk``, ``limits`` and ``breakers`` as people read them, in 80 columns: what is near its end first."""

from __future__ import annotations

from typing import Any, Final

from daemon.cli.ctl import show, text
from daemon.cli.ctl.text import NOTHING, Column, Paint, clean, grouped, percent
from daemon.cli.ctl.wire import Number

NEAR: Final = 0.9
"""Use from which a limit is marked where the daemon does not say so itself."""
MARK: Final = " !"
_INDENT: Final = "  "
_LISTED: Final = 10
"""Parts of the value at risk that are shown."""
_LOSSES: Final = ("daily_loss", "drawdown")
_METHODS: Final = {"historical": "historical", "normal": "normal", "montecarlo": "Monte Carlo"}


def render(name: str, result: dict[str, Any], paint: Paint, room: int | None) -> list[str]:
    """Return the answer to ``risk``, ``limits`` or ``breakers`` as lines for a terminal of so many columns."""
    rows = _objects(result.get("rows"))
    if name == "risk":
        return [line for row in rows for line in ["", *_portfolio(row, paint, room)]][1:] or [paint("dim", "no risks")]
    if name == "limits":
        return _limits(rows, _objects(result.get("by_hand")), paint, room)
    lines = _breakers(rows, paint, room)
    return [*lines, *_locks(result, paint, room)]


def value(unit: str, number: Any) -> str:
    """Return a measure in its unit; a dash where it is not known or off."""
    if isinstance(number, bool):
        return "on" if number else "off"
    if number is None or number == "":
        return NOTHING
    if unit == "share":
        return percent(number)
    if unit == "seconds":
        return text.age(number)
    if unit == "money":
        return grouped(number, 2)
    return grouped(number, 3).rstrip("0").rstrip(".") + {"multiple": " x", "per_second": "/s"}.get(unit, "")


# -- breakers, one a row -----------------------------------------------------------------------------------------


def phrase(row: dict[str, Any], paint: Paint, *, owned: bool = False) -> str:
    """Return a breaker with its state and how near it is, for a line that has several."""
    name = clean(row.get("breaker") or row.get("name") or "?")
    if owned and row.get("portfolio"):
        name = f"{clean(row['portfolio'])} {name}"
    if row.get("subject"):
        name += f" ({clean(row['subject'])})"
    state = clean(row.get("state", "?"))
    unit = str(row.get("unit") or "share")
    used = " of ".join(value(unit, row[part]) for part in ("value", "limit") if row.get(part) is not None)
    return f"{name} {paint(show.colour(state), state)} {used}".rstrip()


def notable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the breakers that a look at everything has room for: those that are not armed, and those of losses."""
    told = [row for row in rows if row.get("state") != "armed"]
    return told + [row for row in rows if row.get("state") == "armed" and row.get("breaker") in _LOSSES]


def uses(items: Any, paint: Paint) -> list[str]:
    """Return a phrase for each limit of a list, such as ``max_position 93.67 % ! (AAPL)``."""
    told = []
    for row in _objects(items):
        cells = _use(row, paint)
        about = f" ({cells[6]})" if cells[6] else ""
        told.append(f"{cells[0]} {cells[4]}{f' {cells[5]}' if cells[5] else ''}{about}")
    return told


def _breakers(rows: list[dict[str, Any]], paint: Paint, room: int | None) -> list[str]:
    if not rows:
        return [paint("dim", "no breakers")]
    columns = [Column("breaker", whole=True), Column("of", least=6), Column("about", least=6)]
    columns += [Column("state", whole=True), Column("value", numeric=True), Column("limit", numeric=True)]
    columns += [Column("then", whole=True)]
    cells = []
    for row in rows:
        state, unit = clean(row.get("state", "?")), str(row.get("unit") or "share")
        cells.append(
            [
                clean(row.get("breaker") or row.get("name") or "?"),
                clean(row.get("portfolio") or "all"),
                clean(row.get("subject") or ""),
                paint(show.colour(state), state),
                value(unit, row.get("value")),
                value(unit, row.get("limit")) if row.get("limit") is not None else "off",
                clean(row.get("action") or ""),
            ]
        )
    if not any(cell[2] for cell in cells):
        columns, cells = columns[:2] + columns[3:], [cell[:2] + cell[3:] for cell in cells]
    lines = text.table(columns, cells, paint, room=room)
    for row in rows:
        lines += _why(row, paint, room)
    return lines


def _why(row: dict[str, Any], paint: Paint, room: int | None) -> list[str]:
    """Tell of a breaker that is not armed, or blocks the day's entries: since when, why, until when, the way out."""
    name, state = clean(row.get("breaker") or row.get("name") or "?"), clean(row.get("state", "?"))
    of = f" of {clean(row['portfolio'])}" if row.get("portfolio") else ""
    about = f" ({clean(row['subject'])})" if row.get("subject") else ""
    blocked = row.get("entries_blocked") is True
    if state == "armed" and not blocked:
        return []
    since = f" since {text.moment(row['since'])}" if row.get("since") else ""
    cause = f": {clean(row['cause'])}" if row.get("cause") else ""
    told = f"! {name}{of}{about} {state}{since}{cause}"
    if blocked:
        told += "; entries are blocked for the day"
    reset = f"tradingctl breaker reset {name}"
    reset += f" --portfolio {clean(row['portfolio'])}" if row.get("portfolio") else ""
    reset += f" --subject {clean(row['subject'])}" if row.get("subject") else ""
    ends = _ends(row)
    after = {"latched": "waits for", "cooling": f"armed again {ends or 'with the next look'}, or by"}
    after["tripped"] = "armed again once the cause is over, or by"
    way = f"{_INDENT}{after.get(state, 'armed again by')}"
    out = [f"{way} {reset}"]
    if room is not None and text.width(out[0]) > room:
        out = [way, f"{_INDENT}{_INDENT}{reset}"]  # a command is not broken
    return [*(paint("yellow", line) for line in _wrapped(told, room)), *out]


def _ends(row: dict[str, Any]) -> str:
    """Return when something ends by itself: a moment, sessions, or both."""
    parts = [f"after {text.moment(row['until'])}"] if row.get("until") else []
    left = row.get("sessions_left")
    if left is not None:
        opened = "the next session has opened" if str(left) == "1" else f"{grouped(left)} more sessions have opened"
        parts.append(f"once {opened}")
    return " and ".join(parts)


def _locks(result: dict[str, Any], paint: Paint, room: int | None) -> list[str]:
    """Tell of protections and the restricted list; nothing where there is nothing."""
    lines: list[str] = []
    for lock in _objects(result.get("locks")):
        what = clean(lock.get("symbol") or "every symbol")
        told = f"! entries of {clean(lock.get('portfolio', '?'))} in {what} are locked ({clean(lock.get('rule', '?'))})"
        lines += [
            paint("yellow", told),
            *_wrapped(f"{clean(lock.get('reason', ''))}; enter {_ends(lock)}", room, _INDENT),
        ]
    restricted = _objects(result.get("restricted"))
    if restricted:
        lines += ["", "restricted, what is held may be closed:"]
        lines += show.rows("restricted", restricted, paint, room=room, indent=_INDENT)
    return lines


# ----------------------------------------------------------------------------------------------------------- limits


def _limits(rows: list[dict[str, Any]], by_hand: list[dict[str, Any]], paint: Paint, room: int | None) -> list[str]:
    """Return limits in use, the nearest to its end first; then the others that are on; then the names of the rest."""
    if not rows:
        return [paint("dim", "no limits")]
    used = [row for row in rows if row.get("utilization") is not None and row.get("bound") is not None]
    used.sort(key=lambda row: (row.get("limit") == "cash", -_float(row["utilization"])))
    other = [row for row in rows if row not in used and row.get("bound") not in (None, False)]
    off = dict.fromkeys(_name(row) for row in rows if row not in used and row.get("bound") in (None, False))
    several = len(dict.fromkeys(row.get("portfolio") for row in used if row.get("portfolio"))) > 1
    columns = [Column("limit", whole=True), Column("of", least=6), Column("value", numeric=True)]
    columns += [Column("bound", numeric=True), Column("used", numeric=True), Column("", whole=True), Column("about")]
    cells = [_use(row, paint) for row in used]
    if not several:
        columns, cells = [columns[0], *columns[2:]], [[cell[0], *cell[2:]] for cell in cells]
    lines = text.table(columns, cells, paint, room=room) if cells else []
    if other:
        named = [Column("limit", whole=True), Column("bound", numeric=True)]
        others = [[_name(row), _bound(row)] for row in other]
        lines += ["", *_side_by_side(named, others, paint, room)]
    if off:
        lines += ["", *_wrapped(f"off: {', '.join(off)}", room)]
    if by_hand:
        said = ", ".join(f"{clean(row.get('key', '?'))} = {clean(row.get('value', '?'))}" for row in by_hand)
        until = "until [risk] of the configuration changes"
        lines += ["", *(paint("yellow", line) for line in _wrapped(f"set by hand, {until}: {said}", room))]
    return lines


def _side_by_side(columns: list[Column], cells: list[list[str]], paint: Paint, room: int | None) -> list[str]:
    """Return a narrow table in two halves beside each other where there is room for both."""
    half = (len(cells) + 1) // 2
    left, right = (text.table(columns, part, paint) for part in (cells[:half], cells[half:]))
    wide = max(map(text.width, left))
    if room is None or not cells[half:] or wide + 4 + max(map(text.width, right)) > room:
        return text.table(columns, cells, paint, room=room)
    right += [""] * (len(left) - len(right))
    return [f"{text.pad(one, wide)}    {two}".rstrip() for one, two in zip(left, right, strict=True)]


def _use(row: dict[str, Any], paint: Paint) -> list[str]:
    share = _float(row["utilization"])
    near = row.get("warn") is True or ("warn" not in row and share >= NEAR)
    full = share >= 1 and near
    style = "red" if full else "yellow" if near else ""
    shown = percent(row["utilization"])
    return [
        _name(row),
        clean(row.get("portfolio") or "all"),
        value(_unit(row), row.get("value")),
        _bound(row),
        paint(style, shown) if near else shown,
        paint(style, MARK.strip()) if near else "",
        clean(row.get("subject") or row.get("symbol") or ""),
    ]


def _name(row: dict[str, Any]) -> str:
    return clean(row.get("limit", "?")) + ("*" if row.get("by_hand") is True else "")


def _bound(row: dict[str, Any]) -> str:
    return value(_unit(row), row.get("bound"))


def _unit(row: dict[str, Any]) -> str:
    """Return a limit's unit; of a daemon that says none, what its number looks like."""
    unit, bound = row.get("unit"), row.get("bound")
    if unit:
        return str(unit)
    return "share" if isinstance(bound, Number) and str(bound).startswith("0.") else "count"


# ------------------------------------------------------------------------------------------------------------- risk


def _portfolio(row: dict[str, Any], paint: Paint, room: int | None) -> list[str]:
    """Return one portfolio: money, exposure, losses, what is measured; null is a dash, and unknown is said."""
    state = clean(row.get("trading_state", "?"))
    lines = [f"{paint('bold', clean(row.get('portfolio', '?')))}  {paint(show.colour(state), state)}"]
    largest = (
        f"{clean(row['largest_symbol'])} {percent(row.get('largest_weight'))}" if row.get("largest_symbol") else ""
    )
    groups = [
        [("equity", "money"), ("cash", "money"), ("reserved", "money"), ("available", "money")],
        [("gross", "money"), ("net", "money"), ("gross_exposure", "share"), ("net_exposure", "share")],
        [("leverage", "multiple"), ("positions", "count")],
        [("daily_pnl", "pnl"), ("drawdown", "share")],
        [("initial_margin", "money"), ("maintenance_margin", "money")],
        [("margin_excess", "money"), ("buying_power", "money")],
        [("heat", "share"), ("slippage", "share"), ("fill_rate", "share")],
        [("beta", "count"), ("correlation", "count"), ("sharpe_30", "count")],
    ]
    for group in groups:
        said = [f"{paint('dim', show.heading(n))} {_figure(row, n, unit, paint)}" for n, unit in group if n in row]
        if group[0][0].endswith(("margin", "excess")) and all(row.get(name) is None for name, _ in group):
            continue  # no margin account
        if group[0][0] == "leverage" and largest:
            said.append(f"{paint('dim', 'largest')} {largest}")
        if said:
            lines += _joined(said, room)
    if row.get("entries_blocked") is True:
        lines.append(_INDENT + paint("yellow", "entries are blocked for the day"))
    if row.get("market"):
        lines += _wrapped(_measured_of(row), room, _INDENT)
    return [*lines, *_tails(row, paint, room), *_tables(row, paint, room)]


def _figure(row: dict[str, Any], name: str, unit: str, paint: Paint) -> str:
    number = row.get(name)
    if unit == "pnl" or name == "drawdown":
        return show.cell(name, number, paint)
    return value(unit, number)


def _measured_of(row: dict[str, Any]) -> str:
    sessions = row.get("sessions") if str(row.get("positions")) != "0" else None
    told = f"measured over {grouped(sessions)} sessions against {clean(row['market'])}" if sessions is not None else ""
    closest = row.get("closest")
    if isinstance(closest, dict) and closest.get("correlation") is not None:
        told += f"; closest are {text.listed(closest.get('symbols'))} ({grouped(closest['correlation'], 2)})"
    return told


def _tails(row: dict[str, Any], paint: Paint, room: int | None) -> list[str]:
    """Return value at risk and expected shortfall, one line a method and horizon."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for tail in _objects(row.get("tails")):
        level = str(tail.get("level"))
        line = found.setdefault((clean(tail.get("method", "?")), clean(tail.get("horizon", "?"))), {})
        for name in ("var", "es"):
            line[f"{name} {level}"] = value("share", tail.get(name))
    if not found:
        return []
    if all(cell == NOTHING for line in found.values() for cell in line.values()):
        flat = str(row.get("positions")) == "0"
        why = "nothing is held" if flat else "unknown, too few sessions of what is held"
        return ["", f"{_INDENT}value at risk: {why}"]
    heads = list(dict.fromkeys(name for line in found.values() for name in line))
    heads.sort(key=lambda head: head.partition(" ")[2])
    columns = [Column("value at risk", whole=True), Column("sessions", numeric=True)]
    columns += [Column(_head(head), numeric=True) for head in heads]
    cells = [
        [_METHODS.get(method, method), horizon, *(line.get(head, NOTHING) for head in heads)]
        for (method, horizon), line in found.items()
    ]
    return ["", *text.table(columns, cells, paint, room=room, indent=_INDENT)]


def _head(head: str) -> str:
    name, _, level = head.partition(" ")
    return f"{'VaR' if name == 'var' else 'ES'} {percent(level).replace('.00', '')}"


def _tables(row: dict[str, Any], paint: Paint, room: int | None) -> list[str]:
    lines: list[str] = []
    parts = _objects(row.get("components"))
    if parts:
        columns = [Column("part of it (historical, 95 %)", whole=True)]
        columns += [Column(name, numeric=True) for name in ("weight", "VaR", "ES", "marginal")]
        cells = [
            [clean(part.get("symbol", "?"))]
            + [value("share", part.get(name)) for name in ("weight", "var", "es")]
            + [value("count", part.get("marginal"))]
            for part in parts[:_LISTED]
        ]
        lines += ["", *text.table(columns, cells, paint, room=room, indent=_INDENT)]
        lines += [f"{_INDENT}and {len(parts) - _LISTED} more: --json"] if len(parts) > _LISTED else []
    sectors = _objects(row.get("sectors"))
    if sectors:
        columns = [Column("sector", whole=True), Column("gross", numeric=True), Column("net", numeric=True)]
        cells = [[clean(s.get("sector", "?")), *(value("share", s.get(n)) for n in ("gross", "net"))] for s in sectors]
        lines += ["", *text.table(columns, cells, paint, room=room, indent=_INDENT)]
    stress = _objects(row.get("stress"))
    if stress:
        columns = [Column("stress", least=24), Column("loss", numeric=True), Column("worst"), Column("", numeric=True)]
        cells = [
            [
                _scenario(one),
                value("share", one.get("loss")),
                clean(one.get("worst") or ""),
                value("share", one.get("worst_loss")) if one.get("worst") else "",
            ]
            for one in stress
        ]
        lines += ["", *text.table(columns, cells, paint, room=room, indent=_INDENT)]
    return lines


def _scenario(row: dict[str, Any]) -> str:
    """Return a scenario's title with the sector it is of, and what its loss leaves out or why it is unknown."""
    more = clean("; ".join(str(row[name]) for name in ("sector", "note") if row.get(name)))
    title = clean(row.get("title") or row.get("scenario", "?"))
    return f"{title} ({more})" if more else title


# ------------------------------------------------------------------------------------------------------------ lines


def _joined(parts: list[str], room: int | None) -> list[str]:
    """Return phrases on as few lines as they fit in."""
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]}   {part}" if lines[-1] else _INDENT + part
        if room is not None and lines[-1] and text.width(longer) > room:
            lines.append(_INDENT + part)
        else:
            lines[-1] = longer
    return lines


def _wrapped(sentence: str, room: int | None, indent: str = "") -> list[str]:
    lines = [""]
    for word in sentence.split():
        longer = f"{lines[-1]} {word}" if lines[-1] else indent + word
        if room is not None and lines[-1] and text.width(longer) > room:
            lines.append(f"{indent}{_INDENT}{word}")
        else:
            lines[-1] = longer
    return lines if lines != [""] else []


def _float(number: Any) -> float:
    try:
        return float(str(number))
    except ValueError:
        return 0.0


def _objects(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
