"""Sections of the daemon: nested keys from every source, folders, what stays out of a run's digest."""

from __future__ import annotations

import ast
import json
from decimal import Decimal
from pathlib import Path

import pytest

from config import show
from config.settings import Settings, playback_tree, settings_digest, settings_tree
from config.sources import Loaded, load_settings
from daemon.kernel.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def load(*sets: str, text: str = "", folder: Path | None = None, profile: str | None = None, **environ: str) -> Loaded:
    """Load with ``text`` as a file ``my.toml`` in ``folder``."""
    file = None
    if folder is not None:
        file = folder / "my.toml"
        file.write_text(text, "utf-8")
    return load_settings(file=file, profile=profile, sets=sets, environ=environ)


# -------------------------------------------------------------------------------------------------------- nested keys


def test_a_nested_key_comes_from_file_environment_and_set_in_that_order(tmp_path: Path) -> None:
    """The later source wins, and the origin says which it was."""
    text = "[feed.playback]\nspeed = 2\n"
    key = "feed.playback.speed"
    variable = {"TRADINGD_FEED__PLAYBACK__SPEED": "3.5"}
    first = load(text=text, folder=tmp_path)
    assert (first.settings.feed.playback.speed, first.origins[key]) == (2, str(tmp_path / "my.toml"))
    second = load(text=text, folder=tmp_path, **variable)
    assert (second.settings.feed.playback.speed, second.origins[key]) == (Decimal("3.5"), next(iter(variable)))
    third = load(f"{key}=max", text=text, folder=tmp_path, **variable)
    assert (third.settings.feed.playback.speed, third.origins[key]) == ("max", "--set")


def test_keys_that_python_reserves_are_written_as_people_write_them(tmp_path: Path) -> None:
    """``from`` and ``to`` take a TOML date or a text, from a file, a variable and a flag."""
    text = '[feed.playback]\nfrom = 2020-01-02\nto = "2020-12-31"\n'
    playback = load(text=text, folder=tmp_path).settings.feed.playback
    assert (playback.from_date, playback.to_date) == ("2020-01-02", "2020-12-31")
    assert (playback.from_day, playback.to_day) == (20200102, 20201231)
    playback = load("feed.playback.to=2020-02-29", TRADINGD_FEED__PLAYBACK__FROM="2020-02-01").settings.feed.playback
    assert (playback.from_day, playback.to_day) == (20200201, 20200229)
    assert Settings().feed.playback.from_day is None


def test_a_whole_nested_table_may_be_given_at_once() -> None:
    """An inline table means its keys, each with its origin."""
    loaded = load('feed.playback={source = "sp500", speed = "max"}')
    assert (loaded.settings.feed.playback.source, loaded.settings.feed.playback.speed) == ("sp500", "max")
    assert loaded.origins == {"feed.playback.source": "--set", "feed.playback.speed": "--set"}


def test_files_to_play_are_found_beside_the_file_that_names_them(tmp_path: Path) -> None:
    """Relative paths of a file are relative to it; absolute ones and a home stay; a variable may use commas."""
    text = '[feed.playback]\nbars = ["a.csv", "/data/b.csv"]\nquotes = "q1.csv, q2.csv"\nnews = ["~/n.csv"]\n'
    playback = load(text=text, folder=tmp_path).settings.feed.playback
    assert playback.bars == (tmp_path / "a.csv", Path("/data/b.csv"))
    assert playback.quotes == (tmp_path / "q1.csv", tmp_path / "q2.csv")
    assert playback.news == (Path("~/n.csv"),)
    assert playback.given
    assert not Settings().feed.playback.given
    playback = load(TRADINGD_FEED__PLAYBACK__BARS="x.csv, y.csv").settings.feed.playback
    assert playback.bars == (Path("x.csv"), Path("y.csv"))


WRONG = [
    ("feed.playback.sped=2", "--set: unknown key feed.playback.sped; did you mean feed.playback.speed?"),
    ("feed.playbak.speed=2", "--set: unknown key feed.playbak.speed; did you mean feed.playback?"),
    ("feed.playback.speed.x=2", "--set: unknown key feed.playback.speed.x; did you mean feed.playback.speed?"),
    (
        "feed.playback.from_date=2020-01-01",
        "--set: unknown key feed.playback.from_date; did you mean feed.playback.from?",
    ),
    ("feed.playback=5", "--set: feed.playback is a section; write [feed.playback] and its keys below"),
    (
        "feed.playback.speed=0",
        '--set: feed.playback.speed = 0 must be a number above 0 (at most 1000000000), or "max"',
    ),
    ("feed.playback.speed=-1", "--set: feed.playback.speed = -1 must be a number above 0"),
    ("feed.playback.speed=nan", "--set: feed.playback.speed = NaN must be a number above 0"),
    ("feed.playback.speed=inf", "--set: feed.playback.speed = Infinity must be a number above 0"),
    ("feed.playback.speed=true", "--set: feed.playback.speed = true must be a number above 0"),
    ("feed.playback.speed=fast", '--set: feed.playback.speed = "fast" must be a number above 0'),
    ("feed.playback.speed=1000000001", "--set: feed.playback.speed = 1000000001 must be a number above 0"),
    ("feed.playback.from=2020-13-01", '--set: feed.playback.from = "2020-13-01" is not a date; write YYYY-MM-DD'),
    ("feed.playback.from=20200101", '--set: feed.playback.from = "20200101" is not a date; write YYYY-MM-DD'),
    (
        "feed.playback.from=2020-01-01T00:00:00",
        '--set: feed.playback.from = "2020-01-01T00:00:00" is not a date; write YYYY-MM-DD',
    ),
    ("feed.playback.tz=Mars/Base", '--set: feed.playback.tz = "Mars/Base" is no time zone; use a name such as'),
    ("feed.playback.tz=/etc/passwd", '--set: feed.playback.tz = "/etc/passwd" is no time zone'),
    ("feed.playback.source=sp50", '--set: feed.playback.source = "sp50" must be one of "", sp500; did you mean sp500?'),
    ("feed.playback.interval=5x", '--set: feed.playback.interval = "5x" is not an interval'),
    ("control.admin_group=a b", '--set: control.admin_group = "a b" is not a group\'s name'),
    ("control.connections_max=3", "--set: control.connections_max = 3 must be 4 to 1000"),
    ("logging.level=loud", '--set: logging.level = "loud" must be one of debug, info, warning, error'),
    ("service.stall_ms=1.5", "--set: service.stall_ms = 1.5 is not a whole number"),
]


@pytest.mark.parametrize(("text", "sentence"), WRONG)
def test_a_wrong_key_of_the_daemon_is_told_in_one_sentence(text: str, sentence: str) -> None:
    """Source, key, what is wrong; exit code 78."""
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value).startswith(sentence)
    assert caught.value.exit_code == 78


def test_rules_between_keys_of_the_playback() -> None:
    """Two sources, or a range that ends before it begins, are refused with the section's name."""
    with pytest.raises(ConfigError, match=r"configuration: \[feed\.playback\] bars and source are both given"):
        load("feed.playback.bars=x.csv", "feed.playback.source=sp500")
    with pytest.raises(ConfigError, match=r"\[feed\.playback\] from is after to"):
        load("feed.playback.from=2021-01-01", "feed.playback.to=2020-01-01")


def test_a_misspelt_nested_variable_is_refused_with_the_right_name() -> None:
    """The environment is as strict as a file."""
    with pytest.raises(ConfigError, match=r"did you mean TRADINGD_FEED__PLAYBACK__SPEED\?"):
        load(TRADINGD_FEED__PLAYBACK__SPEDE="1")


def test_a_moment_is_no_date(tmp_path: Path) -> None:
    """TOML knows both; only a date will do."""
    with pytest.raises(ConfigError, match=r"from = 2020-01-02 00:00:00 is not a date; write YYYY-MM-DD"):
        load(text="[feed.playback]\nfrom = 2020-01-02T00:00:00\n", folder=tmp_path)


def test_a_wrong_path_in_a_list_is_told(tmp_path: Path) -> None:
    """The sentence names the key, not the place inside it."""
    with pytest.raises(ConfigError, match=r"feed\.playback\.bars = \[5\] is not a path"):
        load(text="[feed.playback]\nbars = [5]\n", folder=tmp_path)


# ------------------------------------------------------------------------------------------------------------ folders


def test_the_runtime_folder_follows_systemd_then_the_session_then_the_state_folder(tmp_path: Path) -> None:
    """A file overrides all three; a relative XDG_RUNTIME_DIR counts as none."""
    session = {"XDG_RUNTIME_DIR": "/run/user/7"}
    loaded = load(RUNTIME_DIRECTORY="/run/tradingd:/run/x", **session)
    assert (loaded.settings.paths.runtime_dir, loaded.origins["paths.runtime_dir"]) == (
        Path("/run/tradingd"),
        "RUNTIME_DIRECTORY",
    )
    assert load(**session).settings.paths.runtime_dir == Path("/run/user/7/tradingd")
    assert load("paths.state_dir=/s").settings.paths.runtime_dir == Path("/s/run")
    assert load("paths.state_dir=/s", XDG_RUNTIME_DIR="x").settings.paths.runtime_dir == Path("/s/run")
    text = '[paths]\nruntime_dir = "r"\n'
    assert load(text=text, folder=tmp_path, **session).settings.paths.runtime_dir == tmp_path / "r"


# ------------------------------------------------------------------------------------------------------------ profile


def test_a_file_may_name_its_profile_and_the_command_line_overrides_it(tmp_path: Path) -> None:
    """The profile's row says who named it."""
    text = 'profile = "frictionless"\n'
    loaded = load(text=text, folder=tmp_path)
    assert (loaded.profile, loaded.settings.broker.commission_rate) == ("frictionless", 0)
    row = show.rows(loaded)[0]
    assert (row.key, row.value, row.default, row.origin) == (
        "profile",
        '"frictionless"',
        '"plan"',
        str(tmp_path / "my.toml"),
    )
    over = load(text=text, folder=tmp_path, profile="ibkr")
    assert (over.profile, over.origins["profile"]) == ("ibkr", "--profile")
    assert load().profile == "plan"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('profile = "ibrk"\n', r"my\.toml: unknown profile ibrk; did you mean ibkr\?"),
        ("profile = 5\n", r'my\.toml: profile is not text; write profile = "plan"'),
    ],
)
def test_a_wrong_profile_in_a_file_is_told(text: str, sentence: str, tmp_path: Path) -> None:
    """The sentence names the file."""
    with pytest.raises(ConfigError, match=sentence):
        load(text=text, folder=tmp_path)


# ------------------------------------------------------------------------------------------------------------- digest


@pytest.mark.parametrize(
    "change",
    [
        "paths.runtime_dir=/x",
        "feed.playback.source=sp500",
        "feed.playback.speed=max",
        "feed.staleness_ms=1",
        "control.requests_per_s=1",
        "journal.commit_batch=1",
        "retention.tape_days=1",
        "service.stall_ms=50",
        "logging.level=debug",
        "predictor.call_budget_ms=1",
        "predictor.call_overruns_max=1",
        "alerter.console=info",
    ],
)
def test_what_changes_no_result_is_not_in_the_digest(change: str) -> None:
    """A replay and a playback of the same data are the same run, however the daemon runs."""
    assert settings_digest(load(change).settings) == settings_digest(Settings())


def test_the_guard_against_jumps_changes_results_and_older_digests_stay() -> None:
    """Of the whole section only what decides which prices are seen counts, and only where it is set."""
    assert "feed" not in settings_tree(Settings())
    assert settings_tree(load("feed.max_jump=0").settings)["feed"] == {"max_jump": "0"}
    assert settings_tree(load("feed.jump_confirmations=5").settings)["feed"] == {"jump_confirmations": 5}
    assert settings_tree(load("feed.staleness_ms=1").settings) == settings_tree(Settings())


def test_warmup_changes_results_and_older_digests_stay() -> None:
    """The key is in the tree only where it is set: a run from before it existed keeps its digest."""
    assert "warmup" not in settings_tree(Settings())["predictor"]
    assert settings_digest(load("predictor.warmup=5").settings) != settings_digest(Settings())
    # Of the release before the daemon, with the same settings.
    assert settings_digest(load("predictor.strategies=momentum", "portfolio.cash=5").settings) == (
        "0ddb8a97a6e828cd5e99e849de6acea760edf2f92dca198715d0eb8ef88b7110"
    )


@pytest.mark.parametrize(
    "change", ["stop=atr", "stop_multiple=2", "stop_lookback=10", "trail_percent=4", "time_stop_sessions=5"]
)
def test_stops_change_results_and_older_digests_stay(change: str, tmp_path: Path) -> None:
    """Also what came later to a portfolio is in the tree only where it is set, for the portfolio that sets it."""
    text = '[[portfolio]]\nname = "a"\n[[portfolio]]\nname = "b"\n'
    name, _, value = change.partition("=")
    plain = load(text=text, folder=tmp_path).settings
    changed = load(f"portfolio.b.{change}", text=text, folder=tmp_path).settings
    assert {name} == settings_tree(changed)["portfolio"][1].keys() - settings_tree(plain)["portfolio"][1].keys()
    assert str(settings_tree(changed)["portfolio"][1][name]) == value
    assert settings_tree(changed)["portfolio"][0] == settings_tree(plain)["portfolio"][0]
    # Of the version before there were any, with the same settings.
    assert settings_digest(load("portfolio.cash=5", "portfolio.stop_loss=0.05").settings) == (
        "81ba8a140c47771454f18807c2a9b6871bc1844ee000248cf06d36c832f1ee1b"
    )


def test_the_playback_tree_says_what_is_seen_and_not_how_fast(tmp_path: Path) -> None:
    """Files by name, dates, stamps; neither folder nor speed."""
    text = '[feed.playback]\nbars = ["a.csv"]\nfrom = 2020-01-02\nspeed = 5\n'
    tree = playback_tree(load(text=text, folder=tmp_path).settings)
    assert (tree["bars"], tree["from"], tree["to"], tree["free_running"]) == (["a.csv"], "2020-01-02", "", False)
    assert "speed" not in tree
    json.dumps(tree)
    other = playback_tree(load("feed.playback.free_running=true").settings)
    assert other != playback_tree(Settings())


# --------------------------------------------------------------------------------------------------------------- show


def test_rows_schema_and_toml_know_nested_keys_and_what_a_reload_takes(tmp_path: Path) -> None:
    """Every form of the configuration tells the same."""
    loaded = load("feed.playback.from=2020-01-02", "feed.playback.speed=max", "feed.playback.bars=a b.csv")
    rows = {row.key: row for row in show.rows(loaded)}
    speed = rows["feed.playback.speed"]
    assert (speed.value, speed.default, speed.bounds, speed.origin, speed.reloadable) == (
        '"max"',
        "1",
        "above 0 to 1000000000 | max",
        "--set",
        False,
    )
    assert rows["feed.playback.adjustment"].bounds == '"" | raw | split | total'
    assert (rows["risk.max_position"].reloadable, rows["logging.level"].reloadable) == (True, True)
    assert all(row.meaning for row in rows.values())
    document = json.loads(show.schema())
    playback = document["$defs"]["PlaybackSettings"]["properties"]
    assert "from" in playback
    assert "from_date" not in playback
    assert document["properties"]["profile"]["default"] == "plan"
    assert document["$defs"]["LoggingSettings"]["properties"]["level"]["x-reloadable"] is True
    again = tmp_path / "again.toml"
    again.write_text(show.to_toml(loaded.settings, comments=True), "utf-8")
    assert load_settings(file=again, profile=None, sets=(), environ={}).settings == (
        load_settings(
            file=None,
            profile=None,
            sets=(*loaded.request.sets[:2], f"feed.playback.bars={tmp_path}/a b.csv"),
            environ={},
        ).settings
    )


RELOADABLE_SECTIONS = {"risk", "logging", "retention"}
FIXED_IN_THEM = {
    "risk.cash_reserve",
    "risk.replay_resume_sessions",
    "risk.unknown_adv",
    "risk.correlation_sessions",
    "risk.var_sessions",
    "risk.scenarios",
}


def test_what_a_reload_takes_over_is_limits_and_service_never_what_a_run_means() -> None:
    """The list of the marks, written out a second time."""
    rows = show.rows(load())
    marked = {row.key for row in rows if row.reloadable}
    wanted = {row.key for row in rows if row.key.partition(".")[0] in RELOADABLE_SECTIONS} - FIXED_IN_THEM
    assert marked == wanted
    assert len(marked) > 20


# -------------------------------------------------------------------------------------------------- keys have an effect


def test_every_key_is_read_by_somebody() -> None:
    """A key that nothing looks at is a promise nobody keeps."""
    read: set[str] = set()
    for room in ("daemon", "actors", "config"):
        for module in (ROOT / room).rglob("*.py"):
            tree = ast.parse(module.read_text("utf-8"))
            read |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    aliases = {"from": "from_date", "to": "to_date"}
    leaves = {row.key: row.key.rpartition(".")[2] for row in show.rows(load())}
    assert [key for key, leaf in leaves.items() if aliases.get(leaf, leaf) not in read] == []
