"""Where settings come from, which source wins, and what every mistake is told."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from config.settings import PROFILES
from config.sources import Loaded, load_settings
from daemon.kernel.errors import ConfigError


def load(
    text: str = "",
    *,
    tmp_path: Path | None = None,
    profile: str | None = None,
    sets: tuple[str, ...] = (),
    environ: dict[str, str] | None = None,
    flags: dict[tuple[str, ...], tuple[object, str]] | None = None,
) -> Loaded:
    """Load with ``text`` as the file ``my.toml``."""
    file = None
    if text:
        assert tmp_path is not None
        file = tmp_path / "my.toml"
        file.write_text(text, "utf-8")
    return load_settings(file=file, profile=profile, sets=sets, environ=environ or {}, flags=flags)


# ------------------------------------------------------------------------------------------------------ precedence


def test_each_source_overrides_the_one_before(tmp_path: Path) -> None:
    """Defaults < profile < file < environment < --set < flag, seen by adding one at a time."""
    key = "broker.commission_rate"

    def rate(loaded: Loaded) -> tuple[Decimal, str]:
        return loaded.settings.broker.commission_rate, loaded.origins.get(key, "default")

    file = str(tmp_path / "my.toml")
    text = "[broker]\ncommission_rate = 0.002\n"
    environ = {"TRADINGD_BROKER__COMMISSION_RATE": "0.003"}
    sets = ("broker.commission_rate=0.004",)
    flags = {("broker", "commission_rate"): ("0.005", "--flag")}
    assert rate(load()) == (Decimal("0.001"), "default")
    assert rate(load(profile="frictionless")) == (Decimal(0), "profile frictionless")
    assert rate(load(text, tmp_path=tmp_path, profile="frictionless")) == (Decimal("0.002"), file)
    assert rate(load(text, tmp_path=tmp_path, environ=environ)) == (
        Decimal("0.003"),
        "TRADINGD_BROKER__COMMISSION_RATE",
    )
    assert rate(load(text, tmp_path=tmp_path, environ=environ, sets=sets)) == (Decimal("0.004"), "--set")
    assert rate(load(text, tmp_path=tmp_path, environ=environ, sets=sets, flags=flags)) == (Decimal("0.005"), "--flag")


def test_the_last_set_wins() -> None:
    """Repeating --set is no error."""
    assert load(sets=("broker.slippage_bps=1", "broker.slippage_bps=2")).settings.broker.slippage_bps == 2


def test_profile_reaches_every_portfolio_below_its_own_words(tmp_path: Path) -> None:
    """A profile speaks of all portfolios, a file of each, --set of all or one."""
    text = '[[portfolio]]\nname = "a"\n[[portfolio]]\nname = "b"\nstop_loss = 0.05\n'
    loaded = load(
        text, tmp_path=tmp_path, profile="frictionless", sets=("portfolio.cash=7", "portfolio.B.take_profit=0.5")
    )
    a, b = loaded.settings.portfolio
    assert (a.name, a.stop_loss, a.cash, a.take_profit) == ("a", 0, 7, 0)
    assert (b.name, b.stop_loss, b.cash, b.take_profit) == ("b", Decimal("0.05"), 7, Decimal("0.5"))
    assert loaded.origins["portfolio.a.stop_loss"] == "profile frictionless"
    assert loaded.origins["portfolio.b.stop_loss"] == str(tmp_path / "my.toml")


def test_environment_addresses_one_portfolio_by_name(tmp_path: Path) -> None:
    """TRADINGD_PORTFOLIO__NAME__KEY means one portfolio, without the name all."""
    text = '[[portfolio]]\nname = "Alpha"\n[[portfolio]]\nname = "beta"\n'
    environ = {"TRADINGD_PORTFOLIO__CASH": "5", "TRADINGD_PORTFOLIO__ALPHA__CASH": "6"}
    assert [p.cash for p in load(text, tmp_path=tmp_path, environ=environ).settings.portfolio] == [6, 5]


def test_variables_without_a_double_underscore_are_not_configuration() -> None:
    """TRADINGD_DEBUG and other programs' variables are left alone."""
    assert load(environ={"TRADINGD_DEBUG": "1", "OTHER__KEY": "x"}).origins == {}


def test_systemd_names_the_state_folder(tmp_path: Path) -> None:
    """STATE_DIRECTORY is the default of paths.state_dir, and the first of several counts; a file overrides it."""
    environ = {"STATE_DIRECTORY": "/var/lib/tradingd:/other"}
    loaded = load(environ=environ)
    assert loaded.settings.paths.state_dir == Path("/var/lib/tradingd")
    assert loaded.origins["paths.state_dir"] == "STATE_DIRECTORY"
    assert load('[paths]\nstate_dir = "s"\n', tmp_path=tmp_path, environ=environ).settings.paths.state_dir == (
        tmp_path / "s"
    )


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    """A configuration can be read from anywhere and means the same files."""
    text = '[paths]\nstate_dir = "state"\n[predictor]\nstrategies = ["momentum", "mine/s.py:f"]\n'
    settings = load(text, tmp_path=tmp_path).settings
    assert settings.paths.state_dir == tmp_path / "state"
    assert settings.predictor.strategies == ("momentum", f"{tmp_path}/mine/s.py:f")


def test_lists_may_be_written_with_commas_or_as_toml() -> None:
    """One variable carries several names; digits stay names."""
    assert load(environ={"TRADINGD_UNIVERSE__SYMBOLS": "AAPL, MSFT"}).settings.universe.symbols == ("AAPL", "MSFT")
    assert load(sets=('universe.symbols=["A","B"]',)).settings.universe.symbols == ("A", "B")
    assert load(sets=("universe.symbols=7203",)).settings.universe.symbols == ("7203",)


def test_text_values_need_no_quotes_and_may_have_them() -> None:
    """`nan` is a ticker where a ticker is wanted."""
    assert load(sets=("universe.benchmark=nan",)).settings.universe.benchmark == "nan"
    assert load(sets=('universe.benchmark="SPY"',)).settings.universe.benchmark == "SPY"


def test_parameters_of_a_strategy_are_found_under_the_name_behind_the_colon() -> None:
    """Parameters are free-form here; numbers become plain floats, with their origin kept key by key."""
    loaded = load(
        sets=("predictor.strategies=a.py:mine,momentum", "predictor.params.mine.fast=3"),
        environ={"TRADINGD_PREDICTOR__PARAMS__MOMENTUM__EDGE": "0.1"},
    )
    assert loaded.settings.predictor.params == {"mine": {"fast": 3}, "momentum": {"edge": 0.1}}
    assert loaded.origins["predictor.params.mine.fast"] == "--set"


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_is_valid_by_itself(profile: str) -> None:
    """No profile contradicts a bound or a rule between keys."""
    assert load(profile=profile).profile == profile


def test_profiles_say_what_the_semantics_say() -> None:
    """Spot values of semantics sections 3 and 4."""
    ibkr, alpaca = load(profile="ibkr").settings.broker, load(profile="alpaca").settings.broker
    assert (ibkr.commission_per_share, ibkr.min_commission, ibkr.max_commission_rate, ibkr.regulatory_fees) == (
        Decimal("0.005"),
        1,
        Decimal("0.01"),
        False,
    )
    assert (ibkr.commission_rate, ibkr.slippage_bps) == (0, 5)
    assert (alpaca.commission_rate, alpaca.regulatory_fees, alpaca.spread_bps) == (0, True, Decimal("1.5"))
    institutional = load(profile="institutional").settings
    assert (institutional.risk.max_position, institutional.portfolio[0].min_weight) == (Decimal("0.02"), 0)
    assert load(profile="swing").settings.risk.max_positions == 5


# ---------------------------------------------------------------------------------------------------------- errors

SENTENCES = [
    ("broker.comission_rate=1", "--set: unknown key broker.comission_rate; did you mean broker.commission_rate?"),
    ("brokr.account=cash", "--set: unknown key brokr.account; did you mean broker.account?"),
    ("portfolio.csah=1", "--set: unknown key portfolio.csah; did you mean portfolio.cash?"),
    ("portfolio.other.cash=1", "--set: unknown portfolio other; known are main"),
    ("portfolio.allow_short=true", "--set: unknown key portfolio.allow_short; did you mean broker.allow_short?"),
    ("risk.max_jump=0", "--set: unknown key risk.max_jump; did you mean feed.max_jump?"),
    ("risk.zzz.y=1", "--set: unknown key risk.zzz.y; known are min_order_value, "),
    ("broker", "--set broker is no assignment; write --set section.key=value"),
    ("risk=1", "--set risk=1 is no assignment; write --set section.key=value"),
    ("broker.commission_rate=abc", '--set: broker.commission_rate = "abc" is not a number'),
    ("broker.commission_rate=true", "--set: broker.commission_rate = true is not a number"),
    ("broker.slippage_bps=nan", "--set: broker.slippage_bps = NaN is not a finite number"),
    ("broker.slippage_bps=inf", "--set: broker.slippage_bps = Infinity is not a finite number"),
    ("broker.slippage_bps=0.00001", "--set: broker.slippage_bps = 0.00001 has more than 4 decimals"),
    ("portfolio.cash=0.000000001", "--set: portfolio.main.cash = 0.000000001 must be 1 to 9000000000"),
    ("risk.stale_sessions=1.5", "--set: risk.stale_sessions = 1.5 is not a whole number"),
    ("broker.allow_short=maybe", '--set: broker.allow_short = "maybe" is neither true nor false'),
    (
        "broker.account=csh",
        '--set: broker.account = "csh" must be one of cash, cash_strict, margin; did you mean cash?',
    ),
    (
        "predictor.decision_interval=5x",
        '--set: predictor.decision_interval = "5x" is not an interval; write a whole number and s, m, h or d, such as',
    ),
    ("universe.calendar=", '--set: universe.calendar = "" is not a calendar\'s name'),
    ("universe.symbols=A,B,A", "configuration: [universe] symbols names A twice"),
    ("portfolio.name=9x", '--set: portfolio.main.name = "9x" is not a name; start with a letter'),
    ("risk.min_order_value=60000", "configuration: [risk] min_order_value is above max_order_value"),
    ("risk.daily_loss_warn=0.03", "configuration: [risk] daily_loss_warn is above daily_loss_block"),
    ("portfolio.min_weight=0.3", "configuration: [portfolio.main] min_weight is above max_weight"),
    (
        "risk.max_position=0.02",
        "configuration: portfolio.main.min_weight (0.05) is above risk.max_position (0.02), so no entry could pass",
    ),
    ("predictor.params.x=1", "--set: predictor.params holds a table for each strategy; write [predictor.params.NAME]"),
    ("predictor.params.momentum.fast=1", "--set: unknown strategy in predictor.params.momentum; no source names one"),
    ("portfolio.cash=1e999999999", "--set: portfolio.main.cash = 1E+999999999 must be 1 to 9000000000"),
    ("portfolio.cash=1e1000000000000000000", '--set: portfolio.main.cash = "1e1000000000000000000" is not a number'),
]


@pytest.mark.parametrize(("text", "sentence"), SENTENCES)
def test_a_wrong_assignment_is_told_in_one_sentence(text: str, sentence: str) -> None:
    """Source, key, what is wrong and what to do; exit code 78."""
    with pytest.raises(ConfigError) as caught:
        load(sets=(text,))
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 78


FILES = [
    ("[broker]\ncomission_rate = 1\n", "unknown key broker.comission_rate; did you mean broker.commission_rate?"),
    ("[rsk]\nx = 1\n", "unknown rsk; did you mean risk?"),
    ("broker = 5\n", "broker is a section; write [broker] and its keys below"),
    ("[broker\n", "is not valid TOML: expected ']' at the end of a table declaration (at line 1, column 8)"),
    ("portfolio = 5\n", "portfolio is a list of tables; head each portfolio with [[portfolio]]"),
    ("[[portfolio]]\n[[portfolio]]\n", "one of several portfolios has no name"),
    ('[[portfolio]]\nname="a"\n[[portfolio]]\nname="a"\n', "two portfolios are named a; give each its own name"),
    (
        '[[portfolio]]\nname="a"\nlot_size=0.1\n[[portfolio]]\nname="b"\n',
        "lot_size differs between portfolios; one market has one lot size",
    ),
    ("portfolio = []\n", "there is no portfolio"),
    ("[risk]\nmax_position = 0.6\n", "risk.max_position = 0.6 must be 0 (off) or 0.01 to 0.5"),
    ("[predictor]\nparams = 5\n", "predictor.params holds a table for each strategy"),
    (
        '[predictor]\nstrategies = ["momentum"]\n[predictor.params.momentun]\nfast = 1\n',
        "unknown strategy in predictor.params.momentun; did you mean momentum?",
    ),
    ("[universe]\nsymbols = 5\n", "universe.symbols = 5 is not a list"),
    ("[universe]\nsymbols = [5]\n", "universe.symbols = [5] is not text"),
    ("[broker]\ncommission_rate = 1\nslippage_bps = -1\n", "must be 0 to 0.1; also "),
    ("[broker]\ncommission_rate = 1\nslippage_bps = -1\n", "broker.slippage_bps = -1 must be"),
    ("[broker]\nslippage_bps = 1e1000000000000000000\n", "is nested too deep, or has a number too long"),
]


@pytest.mark.parametrize(("text", "sentence"), FILES)
def test_a_wrong_file_is_told_in_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    """The sentence names the file, or says that it is a rule between keys."""
    with pytest.raises(ConfigError) as caught:
        load(text, tmp_path=tmp_path)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith((str(tmp_path / "my.toml"), "configuration: "))


def test_a_missing_or_unreadable_file_is_told(tmp_path: Path) -> None:
    """Not there, a folder, or not text: each in its own words."""
    for path, words in (
        (tmp_path / "none.toml", "none.toml does not exist; make one with: tradingd config init"),
        (tmp_path, "cannot be read: Is a directory"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_settings(file=path, profile="plan", sets=(), environ={})
    binary = tmp_path / "b.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_settings(file=binary, profile="plan", sets=(), environ={})


def test_a_misspelt_variable_is_refused_with_the_right_name() -> None:
    """The environment is as strict as a file."""
    with pytest.raises(ConfigError) as caught:
        load(environ={"TRADINGD_BROKER__COMISSION_RATE": "1"})
    assert str(caught.value) == (
        "TRADINGD_BROKER__COMISSION_RATE: unknown configuration variable;"
        " did you mean TRADINGD_BROKER__COMMISSION_RATE?"
    )
    with pytest.raises(ConfigError, match=r"^TRADINGD_BROKER__COMMISSION_RATE: broker\.commission_rate = "):
        load(environ={"TRADINGD_BROKER__COMMISSION_RATE": "x"})


def test_an_unknown_profile_is_refused() -> None:
    """With the nearest name."""
    with pytest.raises(ConfigError, match=r"unknown profile frictionles; did you mean frictionless\?"):
        load(profile="frictionles")


def test_sectors_are_a_table_by_symbol(tmp_path: Path) -> None:
    """Each symbol has its own origin; a variable keeps the symbol's case."""
    text = '[universe.sectors]\nAAPL = "Technology"\n"BRK.B" = "Financials"\n'
    loaded = load(
        text,
        tmp_path=tmp_path,
        environ={"TRADINGD_UNIVERSE__SECTORS__XOM": "Energy"},
        sets=("universe.sectors.AAPL=Tech",),
    )
    assert loaded.settings.universe.sectors == {"AAPL": "Tech", "BRK.B": "Financials", "XOM": "Energy"}
    assert loaded.origins["universe.sectors.AAPL"] == "--set"
    with pytest.raises(ConfigError, match=r"universe\.sectors is a table of sectors by symbol"):
        load("[universe]\nsectors = 5\n", tmp_path=tmp_path)
    with pytest.raises(ConfigError, match=r"universe\.sectors\.AAPL = 5 is not text"):
        load("[universe.sectors]\nAAPL = 5\n", tmp_path=tmp_path)


def test_a_strategy_file_without_function_is_found_beside_the_configuration(tmp_path: Path) -> None:
    """Also by a portfolio that follows it, and by its parameters under the file's name."""
    text = (
        '[predictor]\nstrategies = ["mine.py"]\n[predictor.params.mine]\nx = 1\n'
        '[[portfolio]]\nname = "a"\nstrategies = ["mine.py"]\n'
    )
    settings = load(text, tmp_path=tmp_path).settings
    assert settings.predictor.strategies == (str(tmp_path / "mine.py"),)
    assert settings.portfolio[0].strategies == settings.predictor.strategies
    assert settings.predictor.params == {"mine": {"x": 1}}
