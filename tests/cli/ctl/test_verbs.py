"""Verbs end to end: what goes over the wire, what comes back as text and as exit code. Real process, real socket."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.ctl.answers import ANSWERS
from tests.cli.ctl.conftest import Run
from tests.cli.ctl.stub import Refuse, Stub

ACCEPTED = (
    '{"schema":"tradingd.order/1","order_id":"o-1","client_order_id":"op-1","status":"new","qty":10,"reserved":4510.35}'
)


# ------------------------------------------------------------------------------------------------------ the wire


def test_an_order_is_sent_with_its_numbers_as_typed(run: Run, socket_path: Path) -> None:
    """450.10 stays 450.10 and 17 digits stay 17 digits; hello and the call travel in one write."""
    with Stub(socket_path, {"order.submit": ACCEPTED}) as stub:
        done = run(
            *("order", "submit", "--symbol", "SPY", "--side", "buy", "--qty", "10", "--type", "limit"),
            *("--limit-px", "450.10", "--stop-px", "0.12345678901234567", "--reduce-only", "--request-id", "k-1"),
            *("--bracket", '{"take_profit_px": 460.10}'),
        )
    assert done.returncode == 0, done.stderr
    line = stub.lines[1].decode()
    assert '"limit_px": 450.10,' in line
    assert '"stop_px": 0.12345678901234567,' in line
    assert '{"take_profit_px": 460.10}' in line
    assert stub.asked[1][1] == {
        "symbol": "SPY",
        "side": "buy",
        "qty": 10,
        "type": "limit",
        "limit_px": 450.1,
        "stop_px": 0.12345678901234567,
        "reduce_only": True,
        "bracket": {"take_profit_px": 460.1},
        "request_id": "k-1",
    }
    assert stub.asked[0] == ("hello", {"api": 1, "client": "tradingctl"})
    assert len(stub.chunks) == 1
    assert done.stdout == (
        "order o-1: new\n  client order id  op-1\n  qty              10\n  reserved         4,510.35\n"
    )


def test_a_bracket_is_its_json_or_a_flag_for_each_part(call: Run, socket_path: Path) -> None:
    """Numbers as typed; the same part twice is a usage error, and nothing is sent."""
    entry = ("order", "submit", "--symbol", "SPY", "--side", "buy", "--qty", "10")
    flags = ("--bracket-take-profit-px", "460.10", "--bracket-trail-percent", "2.50", "--bracket-activation-px", "455")
    with Stub(socket_path, {"order.submit": ACCEPTED}) as stub:
        assert call(*entry, *flags).returncode == 0
        assert call(*entry, "--bracket", '{"take_profit_px": 460}', "--bracket-stop-px", "440").returncode == 0
        twice = call(*entry, "--bracket", '{"stop_px": 439}', "--bracket-stop-px", "440")
        assert call(*entry).returncode == 0
    assert '{"take_profit_px": 460.10, "trail_percent": 2.50, "activation_px": 455}' in stub.lines[1].decode()
    sent = [params.get("bracket") for method, params in stub.asked if method == "order.submit"]
    assert sent[1:] == [{"take_profit_px": 460, "stop_px": 440}, None]
    assert (twice.returncode, "stop_px of bracket is given twice" in twice.stderr) == (2, True)


def test_every_mutating_verb_makes_a_key_of_its_own(run: Run, socket_path: Path) -> None:
    """Two calls without --request-id have different keys of 32 hex digits."""
    with Stub(
        socket_path, {"halt": '{"schema":"tradingd.trading_state/1","trading_state":"halted","changed":true}'}
    ) as stub:
        assert run("halt").returncode == 0
        assert run("halt", "--reason", "news").returncode == 0
    first, second = (params for method, params in stub.asked if method == "halt")
    assert len(bytes.fromhex(first["request_id"])) == 16
    assert first["request_id"] != second["request_id"]
    assert second["reason"] == "news"
    assert "reason" not in first


def test_a_folder_is_the_one_that_is_meant_here(call: Run, socket_path: Path) -> None:
    """The daemon stands somewhere else: a relative place, or one's own home, is sent as it is seen from here."""
    with Stub(socket_path, {"backup": '{"schema":"tradingd.backup/1","path":"x"}'}) as stub:
        for typed in ("kept", "~/kept", "/mnt/kept", "--to=../kept"):
            assert call("backup", typed).returncode == 0
        assert call("backup").returncode == 0
    sent = [params.get("to") for method, params in stub.asked if method == "backup"]
    assert sent == [f"{Path.cwd()}/kept", f"{socket_path.parent}/kept", "/mnt/kept", f"{Path.cwd().parent}/kept", None]


def test_reads_send_only_what_was_typed(call: Run, socket_path: Path) -> None:
    """A list takes --all, --since, --limit; common options stand before or behind the verb."""
    with Stub(socket_path, ANSWERS) as stub:
        done = call("--json", "orders", "--all", "--since", "2026-11-20", "--limit", "20")
        again = call("orders", "--json")
    assert stub.asked[1] == ("orders", {"all": True, "since": "2026-11-20", "limit": 20})
    assert stub.asked[3] == ("orders", {})
    assert json.loads(done.stdout) == json.loads(again.stdout) == json.loads(ANSWERS["orders"])


def test_json_is_the_answer_on_one_line_with_every_digit(run: Run, socket_path: Path) -> None:
    """Numbers keep the text they came as, trailing zeros too; nothing in it can drive a terminal."""
    answer = '{"equity": 101234.56000000, "big": 123456789012345678901234567890, "e": 1E-9, "t": "\\u001b[2J\u009b"}'
    with Stub(socket_path, {"risk": answer}) as stub:
        done = run("risk", "--json")
    assert stub.asked[1] == ("risk", {})
    assert '"equity": 101234.56000000' in done.stdout
    assert "123456789012345678901234567890" in done.stdout
    assert "1E-9" in done.stdout
    assert done.stdout.count("\n") == 1
    assert "\x1b" not in done.stdout
    assert "\x9b" not in done.stdout
    assert json.loads(done.stdout) == json.loads(answer)


@pytest.mark.parametrize(
    "typed",
    [
        ("order", "cancel", "o-1"),
        ("order", "cancel", "--id", "o-1"),
        ("--json", "order", "cancel", "o-1", "--reason", "x"),
    ],
)
def test_a_positional_parameter_may_be_said_by_its_name(call: Run, socket_path: Path, typed: tuple[str, ...]) -> None:
    """Flags are field names for every field."""
    with Stub(socket_path, {"order.cancel": ACCEPTED}) as stub:
        assert call(*typed).returncode == 0
    assert stub.asked[1][1]["id"] == "o-1"


# ----------------------------------------------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("state", "feed", "code"),
    [
        ("active", "live", 0),
        ("active", "lost", 151),
        ("active", "ended", 151),
        ("reducing", "live", 151),
        ("halted", "lost", 150),
        ("killed", "lost", 152),
        ("?", "live", 151),
    ],
)
def test_status_is_an_exit_code(run: Run, call: Run, socket_path: Path, state: str, feed: str, code: int) -> None:
    """152 killed, else 150 halted, else 151 degraded or reducing, else 0; an unknown state is not health."""
    status = {
        "trading_state": state,
        "feeds": [{"name": "p", "state": feed}],
        "actors": [{"name": "core", "state": "running"}],
    }
    with Stub(socket_path, {"status": status}):
        done = run("status")
        with_json = call("status", "--json")
    assert (done.returncode, with_json.returncode) == (code, code)
    assert json.loads(with_json.stdout) == status


@pytest.mark.parametrize(
    ("refusal", "code", "sentence"),
    [
        (
            Refuse(-32004, "BREAKER_LATCHED", "daily_loss is latched", "reset it first"),
            5,
            "daily_loss is latched; reset it first (BREAKER_LATCHED)",
        ),
        (Refuse(-32001, "FORBIDDEN", "resume needs the role admin"), 5, "resume needs the role admin (FORBIDDEN)"),
        (Refuse(-32602, "BAD_PARAM", "reason is text"), 2, "reason is text (BAD_PARAM)"),
        (Refuse(-32603, "INTERNAL", "the daemon made a mistake"), 1, "the daemon made a mistake (INTERNAL)"),
        (Refuse(-32002, "BUSY", "too many commands wait"), 4, "too many commands wait (BUSY)"),
        (Refuse(-32006, "NOT_DURABLE", "done, but not on disk"), 6, "done, but not on disk (NOT_DURABLE)"),
        (Refuse(-1, "NEW\x1b[2J", "evil \x1b]0;title\x07words\nlines"), 5, "evil words lines (NEW)"),
    ],
)
def test_a_refusal_is_one_clean_sentence(
    call: Run, socket_path: Path, refusal: Refuse, code: int, sentence: str
) -> None:
    """Errors go to stderr with the remedy and the stable code."""
    with Stub(socket_path, {"resume": refusal}):
        done = call("resume", "--yes", "--reason", "checked")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == f"tradingctl: {sentence}\n"


@pytest.mark.parametrize(("number", "code"), [(-32004, 78), (-32001, 5)])
@pytest.mark.parametrize("name", ["config.check", "reload"])
def test_a_configuration_that_does_not_hold_is_exit_code_78(
    call: Run, socket_path: Path, name: str, number: int, code: int
) -> None:
    """As `tradingd config check` says it; whoever may not ask is still told so with 5."""
    with Stub(socket_path, {name: Refuse(number, "WHY", "x")}):
        assert call(*name.split(".")).returncode == code


def test_a_denied_order_is_an_answer_with_exit_code_5(run: Run, socket_path: Path) -> None:
    """It is durable and shown on stdout; a script sees that it was not taken."""
    denied = {
        "order_id": None,
        "client_order_id": "op-1",
        "status": "denied",
        "code": "MAX_QTY",
        "reason": "too large",
        "remedy": "split it",
    }
    with Stub(socket_path, {"order.submit": denied}):
        done = run("order", "submit", "--symbol", "SPY", "--side", "buy", "--qty", "1e9")
    assert done.returncode == 5
    assert done.stdout == "order op-1: denied, too large; split it (MAX_QTY)\n  client order id  op-1\n"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ((), "say what to do"),
        (("oder",), "did you mean"),
        (("order",), "say what to do with order: order submit, order cancel, order replace"),
        (("order", "submitt"), "did you mean `tradingctl order submit`?"),
        (("order", "submit", "--symbol", "SPY", "--side", "buy"), "order submit needs --qty"),
        (("order", "submit", "--symbol", "SPY", "--side", "up", "--qty", "1"), "'up' is not one of buy, sell"),
        (
            ("order", "submit", "--symbol", "SPY", "--side", "buy", "--qty", "1_000"),
            "'1_000' is not a plain decimal number",
        ),
        (
            ("order", "submit", "--symbol", "SPY", "--side", "buy", "--qty", "nan"),
            "'nan' is not a plain decimal number",
        ),
        (("order", "submit", "--symbol", "\udcff", "--side", "buy", "--qty", "1"), "is not UTF-8 text"),
        (
            ("order", "submit", "--bracket", "[1]", "--symbol", "S", "--side", "buy", "--qty", "1"),
            "is not a JSON object",
        ),
        (("order", "cancel"), "order cancel needs ID"),
        (("order", "cancel", "a", "--id", "b"), "given twice"),
        (("orders", "--limit", "1.5"), "'1.5' is not a whole number"),
        (("status", "--timeout", "0"), "is no span of seconds above 0"),
        (("status", "--jsn"), "unrecognized arguments: --jsn"),
        (("log", "level", "loud"), "'loud' is not one of debug, info, warning, error"),
    ],
)
def test_usage_errors_are_one_sentence_and_exit_code_2(call: Run, typed: tuple[str, ...], told: str) -> None:
    """Nothing is sent, nothing is looked for: there is no socket here."""
    done = call(*typed)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


# --------------------------------------------------------------------------------------------- where the daemon is


def test_no_socket_is_exit_code_3_and_names_the_places(run: Run, folder: Path) -> None:
    """The error says where it looked, in the daemon's own order."""
    done = run(
        "status",
        environ={
            "TRADINGD_SOCKET": "",
            "RUNTIME_DIRECTORY": f"{folder}/a:{folder}/b",
            "XDG_RUNTIME_DIR": f"{folder}/x",
        },
    )
    assert (done.returncode, done.stdout) == (3, "")
    places = [f"{folder}/a/control.sock", f"{folder}/b/control.sock", "/run/tradingd/control.sock"]
    places += [f"{folder}/x/tradingd/control.sock", f"{folder}/.local/state/tradingd/run/control.sock"]
    assert ", ".join(places) in done.stderr


@pytest.mark.parametrize("variable", ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "STATE_DIRECTORY", "HOME"])
def test_the_socket_is_found_where_the_daemon_puts_it(run: Run, folder: Path, variable: str) -> None:
    """Each default of the configuration is looked at."""
    below = {
        "RUNTIME_DIRECTORY": "",
        "XDG_RUNTIME_DIR": "tradingd",
        "STATE_DIRECTORY": "run",
        "HOME": ".local/state/tradingd/run",
    }
    place = folder / below[variable] / "control.sock"
    place.parent.mkdir(parents=True, exist_ok=True)
    with Stub(place, ANSWERS):
        assert run("status", environ={"TRADINGD_SOCKET": "", variable: str(folder)}).returncode == 151


def test_a_stale_socket_of_a_dead_daemon_is_exit_code_3(run: Run, socket_path: Path) -> None:
    """Somebody died there: named, and not taken for another daemon's."""
    with Stub(socket_path):
        pass
    done = run("status")
    assert done.returncode == 3
    assert f"nobody listens on {socket_path}" in done.stderr


def test_a_path_too_long_for_a_socket_is_explained(run: Run, folder: Path) -> None:
    """The limit of the kernel is named instead of a system error."""
    deep = folder / ("d" * 100) / "control.sock"
    deep.parent.mkdir()
    here = Path.cwd()
    os.chdir(deep.parent)
    try:
        with Stub(Path("control.sock")):
            done = run("status", "--socket", str(deep))
    finally:
        os.chdir(here)
    assert done.returncode == 2
    assert "107 bytes" in done.stderr


def test_a_file_that_is_no_socket_is_not_the_daemon(run: Run, socket_path: Path) -> None:
    """A plain file of that name is passed over."""
    socket_path.write_text("")
    assert run("status").returncode == 3
