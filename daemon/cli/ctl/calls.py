"""A verb of the table from its command line to the screen: confirm, ask, show, exit code."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Final

from daemon.cli.ctl import client, options, places, show, status, verbs, wire
from daemon.cli.ctl.client import RemoteError
from daemon.cli.ctl.errors import IncompleteError, UnreachableError
from daemon.cli.ctl.kill import FILE
from daemon.cli.ctl.options import PROGRAM
from daemon.cli.ctl.text import Paint, clean, counted, grouped, listed
from daemon.control.methods import Method
from daemon.kernel.errors import ConfigError, RefusedError

TIMEOUT_S: Final = 10.0
_NEVER_OVER: Final = ("fills", "trades")
_LEAST_LIMIT: Final = 100  # rows of a list that named no limit (the table's words for `limit`)
_MOST: Final = 1_000  # rows a list gives at once, likewise
LOOSENS: Final = "LOOSENS"
"""How the daemon refuses limits that let more pass than now, where nobody said that it is meant."""
_SCREEN_LEAST: Final = 10
_OF_CONFIGURATION: Final = {"config.check", "reload"}  # what these refuse is a configuration that does not hold
_LOOKS: Final = {"status", "why", "risk", "limits", "breakers", "model"}
_REFUSED_STATUSES: Final = {"denied", "rejected"}


def run(method: Method, arguments: list[str]) -> int:
    """Run one verb and return its exit code."""
    known = verbs.parser(method).parse_args(arguments)
    params = verbs.params(method, known)
    if method.confirm and not known.yes and not _on_terminal():
        verb = " ".join(method.verb)
        raise RefusedError(f"{verb} needs a confirmation and there is no terminal to ask on", remedy="add --yes")
    path = places.find(places.candidates(known.socket, os.environ))
    if method.confirm and not known.yes:
        _confirm(method, path, known)
    if method.mutating:
        if method.reason == "asked" and not known.reason and not known.yes:
            known.reason = _answer("reason: ")
        if known.reason:
            params["reason"] = known.reason
        params["request_id"] = known.request_id or options.request_id()
    if method.name == "flatten":
        from daemon.cli.ctl import flatten

        return flatten.run(path, params, known)
    if not known.json:
        params |= _screenful(method, params)
    result = _asked(method, path, params, known)
    tell(method, result, params, as_json=known.json)
    if method.name == "unlatch":
        _look_for_file(path)
    return _exit_code(method, result)


def _asked(method: Method, path: str, params: dict[str, Any], known: argparse.Namespace) -> Any:
    """Ask; what only a second word lets through is asked of a person at a terminal, who is told what it is."""
    seconds = known.timeout or method.timeout_s or TIMEOUT_S
    try:
        return ask(method, path, params, seconds)
    except RemoteError as error:
        if error.code != LOOSENS or not _on_terminal():
            raise
        if _answer(f"{clean(error.message)}: go on? [y/N] ").lower() not in {"y", "yes"}:
            raise RefusedError(f"{' '.join(method.verb)} was not confirmed; nothing was changed") from None
    return ask(method, path, params | {"loosen": True}, seconds)


def _screenful(method: Method, params: dict[str, Any]) -> dict[str, Any]:
    """Return the limit of a list that goes back in time and named none: on a terminal what fits, the newest on top.

    Working orders are none of those: all of them matter. Nor is what was asked for as a whole.
    """
    from daemon.cli.ctl.program import height

    lines = height()
    goes_back = method.param("limit") is not None and method.param("since") is not None
    everything = bool(params.get("all"))
    whole = (method.name == "orders" and not everything) or (method.name in _NEVER_OVER and everything)
    if lines is None or "limit" in params or not goes_back or whole:
        return {}
    return {"limit": wire.Number(str(max(lines - show.LINES_AROUND - 1, _SCREEN_LEAST)))}


def ask(method: Method, path: str, params: dict[str, Any], timeout_s: float) -> Any:
    """Ask, and say what an unknown outcome means.

    Raises:
        UnreachableError: no answer; for a command: it may have been taken, and how to find out.
    """
    try:
        return client.ask(path, method.name, params, timeout_s)
    except (UnreachableError, RemoteError) as error:
        if method.name in _OF_CONFIGURATION and isinstance(error, RemoteError) and error.number == client.REFUSED:
            error.exit_code = ConfigError.exit_code
        known = isinstance(error, RemoteError) and error.number != client.OUTCOME_UNKNOWN
        if known or not method.mutating:
            raise
        raise UnreachableError(
            f"{error.message}; {_unknown(method)}", code=error.code, remedy=_way_out(method, params)
        ) from error
    except KeyboardInterrupt:
        if method.mutating:
            options.note(f"{PROGRAM}: {_unknown(method)}; {_way_out(method, params)}")
        raise


def _look_for_file(path: str) -> None:
    """See that the file of ``kill --file-only`` is gone: while it lies there, the daemon is killed again at once.

    Raises:
        IncompleteError: it lies there.
    """
    file = f"{path.rpartition('/')[0] or '.'}/{FILE}"
    if os.path.lexists(file):
        raise IncompleteError(
            f"unlatched, but the file {file} is still there and kills again at once",
            remedy=f"remove it (rm {file}) and unlatch once more",
        )


def _unknown(method: Method) -> str:
    what = "the order" if method.name == "order.submit" else f"the {' '.join(method.verb)}"
    return f"{what} may or may not have been taken"


def _way_out(method: Method, params: dict[str, Any]) -> str:
    again = f"say the same again with --request-id {params['request_id']}, which is done only once and answered alike"
    look = "look at `tradingctl orders --all`" if method.name.startswith("order.") else "look at `tradingctl status`"
    return f"{look}, or {again}"


def _exit_code(method: Method, result: Any) -> int:
    if not isinstance(result, dict):
        return 0
    if method.name == "status":
        return status.exit_code(result)
    if method.name == "order.submit" and result.get("status") in _REFUSED_STATUSES:
        return RefusedError.exit_code
    return 0


# ------------------------------------------------------------------------------------------------------- confirming


def _on_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _confirm(method: Method, path: str, known: argparse.Namespace) -> None:
    """Show where things stand and ask a person.

    Raises:
        RefusedError: the answer is not yes.
    """
    verb = " ".join(method.verb)
    now = client.ask(path, "status", {}, known.timeout or TIMEOUT_S)
    if isinstance(now, dict):
        paint = Paint(on=options.is_fancy(sys.stderr))
        options.note(f"{status.banner(now, paint)}\n{clean(status.origin(now))}")
    if _answer(f"{verb} ({method.doc}): go on? [y/N] ").lower() not in {"y", "yes"}:
        raise RefusedError(f"{verb} was not confirmed; nothing was sent")


def _answer(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


# ---------------------------------------------------------------------------------------------------------- showing


def tell(method: Method, result: Any, params: dict[str, Any], *, as_json: bool) -> None:
    """Print a result."""
    if as_json:
        options.say([wire.dumps(result)])
        return
    from daemon.cli.ctl.program import height, room

    paint = Paint(on=options.is_fancy(sys.stdout))
    options.say(rendered(method, result, params, paint, room(), height()))


def rendered(
    method: Method,
    result: Any,
    params: dict[str, Any],
    paint: Paint,
    columns: int | None,
    lines: int | None = None,
) -> list[str]:
    """Return a result as lines for a terminal of that size; None: as wide and as long as it is."""
    if not isinstance(result, dict):
        return show.thing(result, paint, room=columns)
    if method.name in _LOOKS:
        return _look(method.name, result, paint, columns)
    if isinstance(result.get("rows"), list):
        return [*show.listing(method.name, result, paint, room=columns, height=lines), *_more(method, result, params)]
    if method.mutating:
        return _done(method, result, paint, columns)
    checked = method.name == "config.check"
    return _checked(result, paint, columns) if checked else show.thing(result, paint, room=columns)


def _look(name: str, result: dict[str, Any], paint: Paint, columns: int | None) -> list[str]:
    """Return an answer that has a look of its own."""
    if name == "status":
        return status.render(result, paint, room=columns)
    if name == "why":
        from daemon.cli.ctl import why

        return why.render(result, paint, columns)
    if name == "model":
        from daemon.cli.ctl import model

        return model.render(result, paint, columns)
    from daemon.cli.ctl import risk

    return risk.render(name, result, paint, columns)


def _checked(result: dict[str, Any], paint: Paint, columns: int | None) -> list[str]:
    """Return what a check of the configuration found."""
    changes = result.get("changes")
    if result.get("ok") is not True or not isinstance(changes, list):
        return show.thing(result, paint, room=columns)
    what = counted(len(changes), "key") if changes else "nothing"
    head = f"the configuration file holds; a reload would change {what}"
    lines = [head, *(show.rows("changes", changes, paint, room=columns, indent="  ") if changes else [])]
    ends = result.get("ends_by_hand")
    return [*lines, f"it would end what was set by hand: {listed(ends)}"] if ends else lines


def _more(method: Method, result: dict[str, Any], params: dict[str, Any]) -> list[str]:
    """Return what is not shown and how to see it."""
    rows, limit = len(result["rows"]), int(params.get("limit", _LEAST_LIMIT))
    flags = [name for name in ("all", "since", "limit") if method.param(name) is not None]
    total = result.get("total")
    told = result.get("more")  # a daemon that says so knows; of any other, a full list may have been cut
    cut = result.get("truncated") or told or (isinstance(total, str) and grouped(total) != f"{rows:,}")
    if cut or (told is None and "limit" in flags and rows >= limit > 0):
        of = f" of {grouped(total)}" if isinstance(total, str) else ""
        if rows >= _MOST:
            return [f"the newest {rows:,}{of}; no more are shown at once"]
        hint = f"--limit {min(max(2 * limit, rows), _MOST)}" + (" or --since TIME" if "since" in flags else "")
        return [f"the newest {rows:,}{of}; there may be more: {hint}"]
    if "all" in flags and not params.get("all") and method.name not in _NEVER_OVER:
        return [f"only what is {'held' if method.name == 'positions' else 'open'}; --all shows the rest"]
    return []


def _done(method: Method, result: dict[str, Any], paint: Paint, columns: int | None) -> list[str]:
    """Return what a command did: one line that says it, then what else the answer holds."""
    verb = " ".join(method.verb)
    state, standing = result.get("trading_state"), result.get("status")
    others = {name: value for name, value in result.items() if name != "schema" and value not in (None, "", [])}
    if standing is not None and "client_order_id" in result:
        named = clean(result.get("order_id") or result["client_order_id"])
        head = f"order {named}: {paint(show.colour(str(standing)), clean(standing))}"
        why = "; ".join(clean(result[part]) for part in ("reason", "remedy") if result.get(part))
        code = f" ({clean(result['code'])})" if result.get("code") else ""
        head += f", {why}{code}" if why or code else ""
        done = {"order_id", "status", "reason", "remedy", "code"}
    elif state is not None:
        head = f"{verb}: trading is {paint(f'bold {show.colour(str(state))}'.strip(), clean(state))}"
        if result.get("changed") is False:
            head += ", as it was"
            if isinstance(result.get("detail"), str):
                head = f"{verb}: {clean(result['detail'])}; {head.removeprefix(f'{verb}: ')}"
        canceled = result.get("canceled")
        if isinstance(canceled, list) and canceled:
            head += f"; {counted(len(canceled), 'order')} canceled"
        done = {"trading_state", "changed", "reason", "detail"}
    elif isinstance(result.get("detail"), str):
        head = f"{verb}: {clean(result['detail'])}"
        done = {"detail", "stopping", "positions", "open_orders"}
    else:
        unchanged = result.get("changed") is False or result.get("changes") == []
        head = f"{verb}: done" + (", nothing had to change" if unchanged else "")
        done = {"changed"}
    rest = {name: value for name, value in others.items() if name not in done}
    manifest = rest.get("manifest")
    if isinstance(manifest, dict) and isinstance(manifest.get("files"), list):
        # Hundreds of tapes with a hash each: --json has them, and so has the file.
        rest["manifest"] = {**manifest, "files": f"{len(manifest['files']):,}"}
    return [head, *(show.thing(rest, paint, room=columns, indent="  ") if rest else [])]
