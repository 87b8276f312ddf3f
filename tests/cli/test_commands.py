"""The commands: what they answer, how they fail, and what they must not import."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from daemon.cli import backup, tradingd
from daemon.cli.tradingd import app, main
from daemon.kernel.errors import InvariantError, OperatorError, VenueError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = [
    "msgspec",
    "numpy",
    "polars",
    "pandas",
    "pydantic",
    "rich",
    "skfolio",
    "onnxruntime",
    "exchange_calendars",
    "anyio",
]


def run(*arguments: str, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a person would."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "100"} | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run in this process; return exit code, stdout and stderr."""
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


# ------------------------------------------------------------------------------------------------- start-up budgets


@pytest.mark.parametrize("command", ["tradingd", "tradingctl"])
def test_help_imports_nothing_heavy(command: str) -> None:
    """What --help imports is what makes it slow; a list cannot flicker as a stopwatch does."""
    code = (
        f"import sys; from daemon.cli.{command} import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', *sorted(set(sys.modules) & set({HEAVY!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout or "usage" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["LOADED"]


def test_tradingctl_is_standard_library_only() -> None:
    """A kill must not depend on any package."""
    code = (
        "import sys; before = set(sys.modules); import daemon.cli.tradingctl\n"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(tops - set(sys.stdlib_module_names) - {'daemon'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# --------------------------------------------------------------------------------------------------- the whole tree


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the path of every command."""
    found = []
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found += commands(command, (*path, name)) if inner else [(*path, name)]
    return found


ALL = commands(typer.main.get_command(app))


def test_the_commands_are_those_of_the_contract() -> None:
    """Nothing is missing of what this version has, and nothing is a placeholder."""
    assert {" ".join(path) for path in ALL} == {
        "demo",
        "replay",
        "verify",
        "routes",
        "version",
        "run",
        "parity",
        "install-service",
        "backup",
        "restore",
        "sentiment",
        "inference",
        *(f"model {name}" for name in ("list", "show", "fetch", "import", "use", "export", "verify")),
        *(
            f"calc {name}"
            for name in ("metrics", "psr", "dsr", "mintrl", "cost", "tca", "var", "stress", "correlation")
        ),
        *(f"strategy {name}" for name in ("list", "show", "new", "check")),
        *(f"config {name}" for name in ("show", "check", "schema", "init")),
    }


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """--help exits 0 and every option has a description."""
    code, out, _ = answer(capsys, *path, "--help")
    assert code == 0
    assert "Usage: tradingd" in out
    options = re.findall(r"^  (--?\S.*)$", out, re.MULTILINE)
    assert options
    bare = [line for line in options if re.fullmatch(r"\S+( [A-Z.=<>a-z]+)?", line)]
    following = {line for line in bare if re.search(re.escape(line) + r"\n {10,}\S", out)}
    assert [line for line in bare if line not in following] == []


@pytest.mark.parametrize(
    "path", [p for p in ALL if p not in {("config", "init"), ("run",), ("inference",)}], ids=" ".join
)
def test_every_command_that_shows_something_takes_json(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """The schema is JSON itself; init writes a file and shows nothing; the daemons are asked by tradingctl."""
    assert "--json" in answer(capsys, *path, "--help")[1]


# ------------------------------------------------------------------------------------------------- errors and codes

WRONG = [
    (["--foo"], 2, "tradingd: no such option: --foo; see tradingd --help"),
    (["replai"], 2, "tradingd: no such command 'replai'. Did you mean 'replay'?; see tradingd --help"),
    (
        ["config", "chek"],
        2,
        "tradingd: no such command 'chek'. Did you mean 'check', 'schema'?; see tradingd config --help",
    ),
    (["verify"], 2, "tradingd: missing argument 'PATH'; see tradingd verify --help"),
    (["calc", "psr", "--sr", "x"], 2, "tradingd: invalid value for '--sr'"),
    (["calc", "psr", "--sr", "1"], 2, "tradingd: --sr and --n belong together; give both, or --returns FILE"),
    (["calc", "psr", "--returns", "none.csv"], 1, "tradingd: none.csv"),
    (["replay"], 2, "tradingd: there is no data; give --bars PATH or --source sp500"),
    (["replay", "--bars", "a.csv", "--source", "sp500"], 2, "tradingd: both --bars and --source are given"),
    (["replay", "--source", "nyse"], 2, "tradingd: --source nyse is unknown; choose from sp500"),
    (["replay", "--source", "sp500", "--profile", "x"], 2, "tradingd: --profile x is unknown; choose from plan, "),
    (
        ["replay", "--source", "sp500", "--from", "2020-13-01"],
        2,
        "tradingd: --from 2020-13-01 is not a date; write YYYY-MM-DD",
    ),
    (
        ["replay", "--source", "sp500", "--from", "2020-02-01", "--to", "2020-01-01"],
        2,
        "tradingd: --from 2020-02-01 is after --to 2020-01-01; exchange them",
    ),
    (["replay", "--source", "sp500", "--interval", "5x"], 2, "tradingd: --interval: '5x' is not an interval"),
    (
        ["replay", "--source", "sp500", "--adjustment", "x"],
        2,
        "tradingd: --adjustment x is unknown; choose raw, split or total",
    ),
    (["replay", "--source", "sp500", "--params", "{}"], 2, "tradingd: --params belongs to no --strategy"),
    (["replay", "--source", "sp500", "--strategy", "m", "--params", "{"], 2, "tradingd: --params is not JSON: "),
    (
        ["replay", "--source", "sp500", "--strategy", "m", "--params", "[1]"],
        2,
        "tradingd: --params is not a JSON object",
    ),
    (
        ["replay", "--source", "sp500", "--strategy", "m", "--params", "@none.json"],
        2,
        "tradingd: --params @none.json cannot be read: No such file or directory",
    ),
    (
        ["replay", "--source", "sp500", "--strategy", "a", "--strategy", "b", "--params", '{"a": 1}'],
        2,
        "tradingd: --params: a is not an object of parameters",
    ),
    (
        ["replay", "--source", "sp500", "--cash", "lots"],
        78,
        'tradingd: --cash: portfolio.main.cash = "lots" is not a number',
    ),
    (["replay", "--source", "sp500", "--set", "broker.x=1"], 78, "tradingd: --set: unknown key broker.x"),
    (["config", "check", "none.toml"], 78, "tradingd: the configuration file none.toml does not exist"),
    (["config", "check", "--set", "risk.max_position=0.9"], 78, "tradingd: --set: risk.max_position = 0.9 must be"),
    (["strategy", "show", "momentun"], 1, "tradingd: there is no strategy 'momentun'; did you mean 'momentum'?"),
    (["verify", "none"], 1, "tradingd: "),
]


@pytest.mark.parametrize(("arguments", "code", "sentence"), WRONG, ids=lambda value: str(value)[:60])
def test_a_mistake_is_told_in_one_sentence_with_its_code(
    arguments: list[str],
    code: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On stderr, one line, no traceback; stdout stays empty and nothing is left on disk."""
    monkeypatch.chdir(tmp_path)
    found, out, err = answer(capsys, *arguments)
    assert err.startswith(sentence)
    assert (found, out) == (code, "")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OperatorError("the file\nis bad", remedy="mend it"), 1, "tradingd: the file is bad; mend it"),
        (VenueError("the venue is down"), 1, "tradingd: the venue is down"),
        (InvariantError("cash is negative"), 1, "tradingd: cash is negative"),
        (PermissionError(13, "Permission denied", "/x"), 1, "tradingd: /x: permission denied"),
        (
            ZeroDivisionError("by\nzero"),
            1,
            "tradingd: a fault of the program, not yours: ZeroDivisionError: by zero; run it",
        ),
        (KeyboardInterrupt(), 130, "tradingd: interrupted"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_error_becomes_one_sentence(
    error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever escapes a command."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(tradingd, "app", fail)
    found, _, err = answer(capsys)
    assert err.startswith(words)
    assert (found, err.count("\n"), "Traceback" in err) == (code, 1, False)


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_debug_shows_the_traceback(how: str, tmp_path: Path) -> None:
    """--debug anywhere on the line, or TRADINGD_DEBUG=1."""
    arguments = ["daemon", "config", "check", "none.toml"]
    done = (
        run(*arguments, "--debug", cwd=tmp_path) if how == "flag" else run(*arguments, cwd=tmp_path, TRADINGD_DEBUG="1")
    )
    assert done.returncode == 78
    assert "Traceback" in done.stderr
    assert "Traceback" not in run(*arguments, cwd=tmp_path, TRADINGD_DEBUG="0").stderr


def test_module_and_program_are_the_same_with_codes_of_the_shell(tmp_path: Path) -> None:
    """`python -m daemon` exits as main says, with the answer on stdout only."""
    done = run("daemon", "config", "check", "none.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (78, "")
    done = run("daemon", "version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tradingd ")


def test_a_checkout_without_its_requirements_says_what_to_install() -> None:
    """``python -m daemon`` before any installation: a sentence and exit 1, no traceback."""
    bare = [sys.executable, "-I", "-S", "-c", "import runpy, sys; sys.path.insert(0, '.'); runpy.run_module('daemon')"]
    found = subprocess.run(bare, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    assert found.returncode == 1
    assert found.stderr.startswith("tradingd: typer is not installed; run: ")
    assert found.stderr.count("\n") == 1


def test_a_closed_pipe_ends_quietly() -> None:
    """`tradingd config show | head -1` prints no traceback."""
    shell = f"{sys.executable} -m daemon config schema | head -c 10"
    done = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    assert done.stderr == ""


def test_a_group_without_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    """With the code of a usage error."""
    code, _, err = answer(capsys, "calc")
    assert code == 2
    assert err.startswith("Usage: tradingd calc")


# ---------------------------------------------------------------------------------------------------------- answers


def test_versions_agree(capsys: pytest.CaptureFixture[str]) -> None:
    """Both programs and both forms."""
    text = answer(capsys, "version")[1].split()[1]
    assert answer(capsys, "--version") == (0, f"tradingd {text}\n", "")
    assert json.loads(answer(capsys, "version", "--json")[1]) == {"schema": "tradingd.version/1", "version": text}
    assert run("daemon.cli.tradingctl", "version").stdout == f"tradingctl {text}\n"
    assert json.loads(run("daemon.cli.tradingctl", "version", "--json").stdout)["version"] == text
    assert run("daemon.cli.tradingctl", "--socket", "none.sock", "halt").returncode == 3


def test_config_show_prints_every_key_with_its_origin(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As a table, and as JSON with all columns."""
    file = tmp_path / "my.toml"
    file.write_text("[broker]\nslippage_bps = 7\n", "utf-8")
    code, out, _ = answer(capsys, "config", "show", "--origin", "--config", str(file), "--profile", "swing")
    lines = {line.split()[0]: line for line in out.splitlines()[2:]}
    assert code == 0
    assert lines["broker.slippage_bps"].endswith(str(file))
    assert lines["risk.max_positions"].endswith("profile swing")
    assert lines["broker.account"].endswith("default")
    rows = json.loads(answer(capsys, "config", "show", "--json")[1])["rows"]
    assert {row["key"] for row in rows} == set(lines)


UNSTARTABLE = [
    ('[feed.playback]\nbars = ["nope.csv"]', "cannot read "),
    ('[feed.playback]\nsource = "sp500"\n[predictor]\nstrategies = ["momentumm"]', "did you mean 'momentum'?"),
    ('[predictor]\nstrategies = ["momentumm"]', "did you mean 'momentum'?"),
    ('[feed.playback]\nsource = "sp500"\nfrom = 2031-01-01', "in the range feed.playback.from 2031-01-01; the data"),
    ('[feed.playback]\nsource = "sp500"\n[universe]\nsymbols = ["ZZZ"]', "has no bars of ZZZ"),
    ('[feed.playback]\nsource = "sp500"\n[control]\nadmin_group = "no-such-group"', "names the group 'no-such-group'"),
]


@pytest.mark.parametrize(("text", "sentence"), UNSTARTABLE)
def test_config_check_refuses_what_a_start_would_refuse(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, sentence: str
) -> None:
    """Files, dates, symbols, strategies and groups, with the sentence and the exit code of the start."""
    file = tmp_path / "t.toml"
    file.write_text(text, "utf-8")
    code, out, err = answer(capsys, "config", "check", str(file))
    assert (code, out) == (78, "")
    assert err.startswith("tradingd: ")
    assert sentence in err


def test_the_list_of_commands_is_whole_sentences(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a terminal of 80 columns; and a list of trading days is told by its ends."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = answer(capsys, "--help")
    commands = out.partition("Commands:")[2].partition("Start with")[0]
    assert (code, "backup" in commands, "..." in commands) == (0, True, False)
    told = [backup._days(days) for days in ((), (20190102,), (20190104, 20190102, 20190103))]
    assert told == ["none", "20190102", "3, 20190102 to 20190104"]


def test_config_check_says_that_there_is_nothing_to_play(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A replay may have such a file, a daemon not; with something to play there is nothing to say."""
    file = tmp_path / "t.toml"
    file.write_text('[predictor]\nstrategies = ["momentum"]', "utf-8")
    code, out, err = answer(capsys, "config", "check", str(file))
    assert (code, f"{file}: ok; " in out) == (0, True)
    assert err.startswith("note: [feed.playback] names nothing to play: tradingd run needs")
    assert len(json.loads(answer(capsys, "config", "check", str(file), "--json")[1])["notices"]) == 1
    file.write_text('[feed.playback]\nsource = "sp500"', "utf-8")
    code, out, err = answer(capsys, "config", "check", str(file))
    assert (code, f"{file}: ok; " in out, err) == (0, True, "")


def test_config_init_writes_a_file_that_passes_the_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """And never over an existing one."""
    file = tmp_path / "t.toml"
    assert answer(capsys, "config", "init", str(file))[0] == 0
    below = tmp_path / ".config" / "tradingd" / "tradingd.toml"
    assert answer(capsys, "config", "init", str(below))[0] == 0, "as install-service --user says"
    assert below.read_text("utf-8") == file.read_text("utf-8")
    code, out, _ = answer(capsys, "config", "check", str(file))
    assert code == 0
    assert f"{file}: ok; " in out
    assert json.loads(answer(capsys, "config", "check", str(file), "--json")[1])["ok"] is True
    before = file.read_bytes()
    code, _, err = answer(capsys, "config", "init", str(file))
    assert (code, err) == (1, f"tradingd: {file} exists already; name another file\n")
    assert file.read_bytes() == before


def test_calc_answers_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Moments or a file; values as JSON numbers or null."""
    code, out, _ = answer(capsys, "calc", "psr", "--sr", "0.1", "--n", "101")
    document = json.loads(out)
    assert (code, document["schema"]) == (0, "tradingd.psr/1")
    assert document["value"] == pytest.approx(0.8407, abs=1e-3)  # Phi(0.1 * 10 / sqrt(1 + 0.5 * 0.01))
    returns = tmp_path / "r.csv"
    returns.write_text("ts,return\n2020-01-02,0.01\n2020-01-03,-0.01\n2020-01-06,0.02\n", "utf-8")
    document = json.loads(answer(capsys, "calc", "metrics", "--returns", str(returns))[1])
    assert document["metrics"]["total_return"]["value"] == pytest.approx(1.01 * 0.99 * 1.02 - 1)
    defined = {row["name"]: row for row in json.loads(answer(capsys, "calc", "metrics", "--definitions")[1])["rows"]}
    assert list(defined) == list(document["metrics"])
    assert all(row["formula"] and row["id"] == document["metrics"][n]["definition"] for n, row in defined.items())
    assert json.loads(answer(capsys, "calc", "mintrl", "--sr", "-0.1", "--n", "10")[1])["value"] is None
    document = json.loads(
        answer(capsys, "calc", "dsr", "--sr", "0.1", "--n", "101", "--trials", "1", "--trials-variance", "0")[1]
    )
    assert document["schema"] == "tradingd.dsr/1"


def test_strategy_life(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """List, show, start one of one's own, check it, break it."""
    monkeypatch.chdir(tmp_path)
    rows = json.loads(answer(capsys, "strategy", "list", "--json")[1])["rows"]
    assert {"momentum", "mean_reversion", "multi_factor", "buy_and_hold"} <= {row["name"] for row in rows}
    assert "lookback" in answer(capsys, "strategy", "show", "momentum")[1]
    assert json.loads(answer(capsys, "strategy", "show", "momentum", "--json")[1])["name"] == "momentum"
    assert answer(capsys, "strategy", "new", "my_idea")[0] == 0
    code, out, _ = answer(capsys, "strategy", "check", "my_idea.py:my_idea", "--params", "@my_idea.params.json")
    assert (code, out.count(" yes ")) == (0, 10)
    file = tmp_path / "bad.py"
    file.write_text(
        (tmp_path / "my_idea.py").read_text("utf-8").replace("return Signal(", "return Signal(9.0 + "), "utf-8"
    )
    file.write_text(file.read_text("utf-8").replace("score=", ""), "utf-8")
    code, out, err = answer(capsys, "strategy", "check", "bad.py:my_idea", "--json")
    assert code == 1
    assert json.loads(out)["ok"] is False
    assert err.startswith("tradingd: bad.py:my_idea fails: ")
