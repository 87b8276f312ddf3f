"""Answers as people read them: any list as a table, any object as aligned pairs, whatever its fields are.

How a field looks follows from its name (``_px`` is a price, ``_age_s`` an age), so that a field the daemon gains later
is shown without a new version of this program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from daemon.cli.ctl import text
from daemon.cli.ctl.text import Column, Paint
from daemon.cli.ctl.wire import Number

_STATES: Final = {
    "green": "active filled live running ok open connected armed delivered enabled ready buy",
    "yellow": "reducing degraded partially_filled pending_new stale warning starting stopping restarting pending"
    " backoff reconnecting disabled cooling ended",
    "red": "halted killed failed rejected denied lost tripped critical dead error latched down quarantined sell",
}
_COLOURS: Final = {word: style for style, words in _STATES.items() for word in words.split()}

_HEADINGS: Final = {
    "ts": "time", "cum_qty": "filled", "avg_px": "avg price", "limit_px": "limit", "stop_px": "stop",
    "market_px": "price", "entry_px": "entry", "exit_px": "exit", "entry_ts": "entered", "exit_ts": "left",
    "last_event_age_s": "last event", "commit_age_s": "last commit", "order_id": "order", "exec_id": "execution",
    "unrealized_pnl": "unrealized", "realized_pnl": "realized", "px_source": "source", "uptime_s": "up",
    "model_id": "model", "alert_id": "alert", "utilization": "used",
}  # fmt: skip

# What a person looking at a list needs, in reading order. The other fields follow; those of _QUIET only with --json.
_FIRST: Final = {
    "orders": "ts order_id symbol side qty type tif limit_px stop_px status cum_qty avg_px strategy reason",
    "fills": "ts order_id symbol side qty price fee liquidity px_source",
    "trades": "symbol side qty entry_ts entry_px exit_ts exit_px fees pnl return exit_reason strategy",
    "positions": "symbol qty avg_px market_px unrealized_pnl realized_pnl",
    "alerts": "ts severity title count state acknowledged facts action_taken next_command alert_id",
    "config": "key value origin default bounds reloadable meaning",
    "health": "name ok state restarts last_event_age_s detail",
    "signals": "ts strategy symbol direction score confidence price",
    "predictions": "ts symbol model horizon prediction score confidence p_up price target_price realized hit",
    "actors": "name state restarts",
    "breakers": "portfolio breaker name state value limit",
    "limits": "limit portfolio bound value utilization",
}
_QUIET: Final = {
    "orders": {"client_order_id", "parent_id"},
    "fills": {"exec_id"},
    "trades": {"mae", "mfe", "entry_confidence"},
    "alerts": {"key", "acknowledged_by", "acknowledged_ts"},
}
_SKIPPED: Final = {"schema"}
_TIMES: Final = {"ts", "at", "time", "since", "until", "started", "ended"}


# ----------------------------------------------------------------------------------------------------- single fields


def heading(name: str) -> str:
    """Return a field's heading."""
    return _HEADINGS.get(name) or text.clean(name).removesuffix("_s").replace("_", " ")


def cell(name: str, value: Any, paint: Paint, *, of: str = "") -> str:
    """Return one value as its field's name asks for; ``of`` names the list it is in."""
    if isinstance(value, Number):
        return _number(of, name, value, paint)
    if isinstance(value, str) and value and _is_time(name):
        return text.moment(value)
    shown = text.listed(value)
    if shown == text.NOTHING:
        return paint("dim", shown)
    return paint(colour(shown), shown) if isinstance(value, str) else shown


def _is_time(name: str) -> bool:
    return name.rpartition("_")[2] in _TIMES


def colour(word: str) -> str:
    """Return the style of a state, side or severity, "" for other words."""
    return _COLOURS.get(word.lower(), "")


def _gain(value: Number, paint: Paint) -> str:
    shown = text.grouped(value, 2, sign=True)
    if not shown.strip("0.,"):
        return shown
    return paint("red" if text.is_negative(value) else "green", shown)


def _loss(value: Number, paint: Paint) -> str:
    shown = text.percent(value)
    return paint("red", shown) if text.is_negative(value) else shown


def _limit(value: Number, paint: Paint) -> str:
    """Limits are counts, money and fractions in one column; a fraction has the point, and less than one before it."""
    del paint
    if value.removeprefix("-").startswith("0."):
        return text.percent(value)
    return text.grouped(value, 2 if "." in value else None)


Form = Callable[[Number, Paint], str]


def _money(value: Number, paint: Paint) -> str:
    del paint
    return text.grouped(value, 2)


def _price(value: Number, paint: Paint) -> str:
    """Return a price with every digit it has, two at least."""
    del paint
    return text.grouped(value, max(2, len(value.rstrip("0").partition(".")[2])))


def _share(value: Number, paint: Paint) -> str:
    del paint
    return text.percent(value)


def _change(value: Number, paint: Paint) -> str:
    del paint
    return text.percent(value, sign=True)


_IN_LISTS: Final[dict[str, Form]] = {
    "breakers.value": _share,
    "breakers.limit": _share,
    "limits.bound": _limit,
    "limits.value": _limit,
    "predictions.realized": _change,
}
# By the last word of a field's name, or by its last two. No regular expressions: compiling them is a tenth of a start.
_BY_WORD: Final[dict[str, Form]] = {
    **dict.fromkeys(("session", "ex_date"), lambda n, _: text.date(n)),
    **dict.fromkeys(("since", "ts", "ns"), lambda n, _: text.moment_of_ns(n)),
    "s": lambda n, _: text.age(n),
    "ms": lambda n, _: f"{text.grouped(n)} ms",
    "bytes": lambda n, _: f"{text.grouped(n)} B",
    "pnl": _gain,
    **dict.fromkeys(("drawdown", "mae", "mfe"), _loss),
    **dict.fromkeys(("return", "ret", "realized_tradable"), _change),
    **dict.fromkeys(("weight", "exposure", "ratio", "fraction", "utilization"), _share),
    **dict.fromkeys(("equity", "cash", "gross", "net", "fee", "fees", "amount", "notional", "reserved"), _money),
    **dict.fromkeys(("available", "commission", "cost", "baseline", "flows"), _money),
    **dict.fromkeys(("px", "price"), _price),
    **dict.fromkeys(("confidence", "score", "p_up", "sigma", "leverage"), lambda n, _: text.grouped(n, 3)),
}


def _number(of: str, name: str, value: Number, paint: Paint) -> str:
    words = name.rsplit("_", 2)
    form = _IN_LISTS.get(f"{of}.{name}") or _BY_WORD.get("_".join(words[-2:])) or _BY_WORD.get(words[-1])
    return text.grouped(value) if form is None else form(value, paint)


# ------------------------------------------------------------------------------------------------- lists and objects


def rows(
    name: str,
    items: Sequence[Any],
    paint: Paint,
    *,
    room: int | None = None,
    indent: str = "",
    depths: Sequence[int] = (),
) -> list[str]:
    """Return a list of objects as a table; columns in which no row has anything are left out.

    Args:
        name: of the list, which decides what comes first.
        items: rows; what is not an object is shown in one column.
        paint: colours.
        room: columns of the terminal, None where it does not matter.
        indent: before each line.
        depths: how far in the first cell of each row stands, in steps; () for not at all.
    """
    records = [item if isinstance(item, dict) else {"value": item} for item in items]
    wanted = [field for field in _FIRST.get(name, "").split() if any(field in record for record in records)]
    others = dict.fromkeys(field for record in records for field in record)
    quiet = _QUIET.get(name, set()) | _SKIPPED
    fields = wanted + [field for field in others if field not in wanted and field not in quiet]
    shown = [f for f in fields if any(r.get(f) not in (None, "", [], {}) for r in records)] or fields
    columns = [
        Column(heading(f), any(isinstance(r.get(f), Number) for r in records), not n or _is_time(f))
        for n, f in enumerate(shown)
    ]
    cells = [[cell(field, record.get(field), paint, of=name) for field in shown] for record in records]
    for row, depth in zip(cells, depths if shown else (), strict=False):
        row[0] = "  " * depth + row[0]
    if room is not None and text.natural_width(columns, cells) + len(indent) > room:
        cells = [[text.shortened(x) if c.whole else x for c, x in zip(columns, row, strict=True)] for row in cells]
    return text.table(columns, cells, paint, room=room, indent=indent)


def thing(value: Any, paint: Paint, *, room: int | None = None, indent: str = "") -> list[str]:
    """Return an object: plain fields as pairs, then each list of objects under its name as a table."""
    if not isinstance(value, dict):
        return [f"{indent}{text.listed(value)}"]
    flat: list[tuple[str, str]] = []
    parts: list[list[str]] = []
    for name, item in value.items():
        if name in _SKIPPED:
            continue
        title = f"{indent}{paint('bold', heading(name))}"
        if isinstance(item, list) and any(isinstance(entry, dict) for entry in item):
            parts.append([title, *rows(name, item, paint, room=room, indent=indent + "  ")])
        elif isinstance(item, dict) and item:
            parts.append([title, *thing(item, paint, room=room, indent=indent + "  ")])
        else:
            flat.append((heading(name), cell(name, item, paint)))
    lines = text.pairs(flat, paint, indent=indent)
    for part in parts:
        lines += ([""] if lines and not indent else []) + part
    return lines or [f"{indent}{paint('dim', 'nothing')}"]


def listing(name: str, result: dict[str, Any], paint: Paint, *, room: int | None = None) -> list[str]:
    """Return ``{"rows": [...]}`` as a table with a last line that says how many there are."""
    items = result.get("rows")
    items = items if isinstance(items, list) else []
    name = name.partition(".")[0]
    noun = name.removesuffix("s") if name.endswith("s") else "row"
    if not items:
        return [paint("dim", f"no {noun}s")]
    if name == "risk":  # few portfolios with many figures: one under the other
        return [line for item in items for line in ["", *thing(item, paint, room=room)]][1:]
    table = tree if name == "actors" else rows
    return [*table(name, items, paint, room=room), paint("dim", text.counted(len(items), noun))]


def tree(name: str, items: Sequence[Any], paint: Paint, *, room: int | None = None) -> list[str]:
    """Return rows that name their parent as a table in which children stand under it, further in."""
    records = [item for item in items if isinstance(item, dict)]
    deep: dict[str, int] = {}
    for record in records:
        parent = record.get("parent")
        deep[str(record.get("name"))] = deep.get(str(parent), -1) + 1 if parent else 0
    depths = [deep[str(record.get("name"))] for record in records]
    shown = [{field: value for field, value in record.items() if field != "parent"} for record in records]
    return rows(name, shown, paint, room=room, depths=depths)
