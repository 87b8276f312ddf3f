"""Answers as people read them: any list as a table, any object as aligned pairs, whatever its fields are.

How a field looks follows from its name (``_px`` is a price, ``_age_s`` an age), so that a field the daemon gains later
is shown without a new version of this program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
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
    "orders": "ts order_id symbol side qty type tif limit_px stop_px terms status cum_qty avg_px strategy reason",
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
}
# What is left out first where the terminal is too narrow for all of it.
_SPARE: Final = {
    "orders": "avg_px tif reason strategy cum_qty terms type",
    "fills": "px_source liquidity fee",
    "trades": "fees strategy side exit_reason",
    "alerts": "facts acknowledged state action_taken count next_command",
    "predictions": "target_price p_up score strategy model",
    "signals": "decision horizon p_up price",
    "config": "reloadable bounds default origin",
    "breakers": "entries_blocked equity baseline",
}
# Sentences, which may be cut, and what has to stay of them; other words are names and need this much.
_PROSE: Final = {
    "title": 30, "detail": 24, "facts": 16, "reason": 11, "action_taken": 16, "next_command": 20, "meaning": 24,
    "status": 8, "type": 8, "terms": 12, "value": 10, "default": 8, "bounds": 12, "origin": 12, "headline": 30,
}  # fmt: skip
_NAME_LEAST: Final = 16
LINES_AROUND: Final = 3
"""Below a table: how many rows, what is not shown, and the next prompt."""
_QUIET: Final = {
    "orders": {"client_order_id", "parent_id", "trail"},
    "fills": {"exec_id", "ref_px", "spread", "slippage", "impact", "commission", "regulatory"},
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
    if name == "terms" and isinstance(value, dict):
        from daemon.cli.ctl import terms

        return terms.words(value)
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


Form = Callable[[Number, Paint], str]


def _money(value: Number, paint: Paint) -> str:
    del paint
    return text.grouped(value, 2)


def _price(value: Number, paint: Paint, *, places: int | None = None) -> str:
    """Return a price with every digit it has, two at least; ``places`` at most, and two more below 1."""
    del paint
    has = len(value.rstrip("0").partition(".")[2])
    if places is not None:
        has = min(has, places + 2 if value.removeprefix("-").startswith("0.") else places)
    return text.grouped(value, max(2, has))


def _share(value: Number, paint: Paint) -> str:
    del paint
    return text.percent(value)


def _change(value: Number, paint: Paint) -> str:
    del paint
    return text.percent(value, sign=True)


_IN_LISTS: Final[dict[str, Form]] = {
    "breakers.value": _share,
    "breakers.limit": _share,
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
    **dict.fromkeys(("available", "commission", "cost", "baseline", "flows", "margin", "excess", "power"), _money),
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
    if name == "orders" and any(record.get("trail") for record in records):
        from daemon.cli.ctl import terms

        records = [terms.standing(record) for record in records]
    wanted = [field for field in _FIRST.get(name, "").split() if any(field in record for record in records)]
    others = dict.fromkeys(field for record in records for field in record)
    quiet = _QUIET.get(name, set()) | _SKIPPED
    fields = wanted + [field for field in others if field not in wanted and field not in quiet]
    shown = [f for f in fields if any(r.get(f) not in (None, "", [], {}) for r in records)] or fields
    columns = {f: _column(f, [r.get(f) for r in records], first=not n) for n, f in enumerate(shown)}
    cells = {f: [cell(f, record.get(f), paint, of=name) for record in records] for f in shown}
    for depth, place in zip(depths if shown else (), range(len(records)), strict=False):
        cells[shown[0]][place] = "  " * depth + cells[shown[0]][place]
    if room is not None:
        _narrow(name, records, columns, cells, room - len(indent))
    drawn = list(zip(*(cells[f] for f in columns), strict=True)) if columns else [() for _ in records]
    cut = len(columns) < len(shown)
    return text.table(list(columns.values()), drawn, paint, room=room, indent=indent, cut=cut)


def _column(field: str, values: Sequence[Any], *, first: bool) -> Column:
    numeric = any(isinstance(value, Number) for value in values)
    return Column(heading(field), numeric, first or _is_time(field), _PROSE.get(field, _NAME_LEAST))


def _narrow(
    name: str, records: Sequence[dict[str, Any]], columns: dict[str, Column], cells: dict[str, list[str]], room: int
) -> None:
    """Give up, one after the other, what is missed least, until a table fits; the first column always stays.

    Seconds that are all 0, digits of prices behind the fourth, the columns that the list can spare, digits of prices
    behind the second, the times of day. What does not fit even so is :func:`daemon.cli.ctl.text.table`'s to cut.
    """
    spare = [field for field in _SPARE.get(name, "").split() if field in columns]
    steps: list[Callable[[], object]] = [
        lambda: _shorten(columns, cells),
        lambda: _round(records, columns, cells, 4),
        *(partial(columns.pop, field) for field in spare),
        lambda: _round(records, columns, cells, 2),
        lambda: _shorten(columns, cells, days=True),
    ]
    before = len(columns)
    for n, step in enumerate(steps):
        natural, least = text.widths_of(list(columns.values()), [cells[field] for field in columns])
        if (least if n else natural) <= room - (len(text.MORE) if len(columns) < before else 0):
            return
        step()


def _shorten(columns: dict[str, Column], cells: dict[str, list[str]], *, days: bool = False) -> None:
    for field in columns:
        if _is_time(field):
            cells[field] = text.shortened(cells[field], days=days)


def _round(
    records: Sequence[dict[str, Any]], columns: dict[str, Column], cells: dict[str, list[str]], places: int
) -> None:
    for field in columns:
        if _BY_WORD.get(field.rpartition("_")[2]) is _price:
            for place, record in enumerate(records):
                value = record.get(field)
                if isinstance(value, Number):
                    cells[field][place] = _price(value, Paint(), places=places)


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


def listing(
    name: str, result: dict[str, Any], paint: Paint, *, room: int | None = None, height: int | None = None
) -> list[str]:
    """Return ``{"rows": [...]}`` as a table with a last line that says how many there are.

    A table taller than ``height``, the lines of the terminal, says its heading at the end once more.
    """
    items = result.get("rows")
    items = items if isinstance(items, list) else []
    name = name.partition(".")[0]
    noun = name.removesuffix("s") if name.endswith("s") else "row"
    if not items:
        return [paint("dim", f"no {noun}s")]
    lines = (tree if name == "actors" else rows)(name, items, paint, room=room)
    again = lines[:1] if height is not None and len(lines) + LINES_AROUND > height else []
    return [*lines, *again, paint("dim", text.counted(len(items), noun))]


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
