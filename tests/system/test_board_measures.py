"""Measures of risk on a board: what `risk` and `limits` show of them, and what they cost the core."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.messages.control import Reload, SetLimits
from actors.messages.market import SessionOpened
from actors.risk.params import RiskLimits
from actors.values import Session
from config.sources import load_settings
from daemon.kernel.errors import OperatorError
from daemon.system.board import Board, build_board
from daemon.system.board_facts import ShellFacts
from daemon.system.board_measures import Measurer, observe
from daemon.system.opening import rehearse
from daemon.system.options import ReplayOptions
from daemon.system.replay import run_replay
from daemon.system.scenarios import load_scenarios
from system.wired import MINUTE, OPEN, House

MS = 1_000_000
WIDE = RiskLimits(
    max_order_value=0,
    max_order_fraction=0.0,
    max_position=0.0,
    daily_loss_halt=0.0,
    max_drawdown=0.0,
    stale_ns=0,
    max_leverage=2.0,
    max_var=0.05,
    utilization_warn=0.9,
    replay=False,
)

BEFORE = msgspec.structs.replace(WIDE, max_var=0.0)
"""While there are no sessions: a value at risk that is not known lets next to nothing in."""


def opened(house: House, day: int) -> None:
    """Open the session so many days after the first."""
    date = int((datetime(2020, 1, 2, tzinfo=UTC) + timedelta(day)).strftime("%Y%m%d"))
    house.now = OPEN + day * 1440 * MINUTE
    house.clock.advance_to(house.now)
    house.session = Session(date, house.now, house.now + 390 * MINUTE, day)
    house.put(SessionOpened(house.now, house.session))


def lived(sessions: int, symbols: int = 3) -> House:
    """Return a house that bought two symbols and saw so many sessions of one bar each close behind it."""
    rng = np.random.default_rng(2)
    house = House(limits=BEFORE)
    prices = np.array([100.0, 200.0, 300.0])
    house.bar(*prices)
    house.submit(id="a", qty=100)
    house.submit(id="b", symbol="MSFT", qty=50, side="buy")
    house.bar(*prices)
    for day in range(1, sessions + 1):
        house.close()
        prices = prices * (1 + rng.normal(0.0005, 0.012, symbols))
        opened(house, day)
        house.bar(*np.round(prices, 2))
    house.close()
    house.put(Reload("later", "operator", WIDE))
    return house


def measurer(house: House) -> Measurer:
    """Return one with the program's scenarios."""
    return Measurer(house.universe, load_scenarios(), 7, 0.02, 252)


def board(house: House, who: Measurer | None, now_ns: int = 0) -> Board:
    """Build a board."""
    facts = ShellFacts(version="1", run_id="r", mode="live", started_ns=0, commit_ns=0, seq=1)
    return build_board(house.core, house.universe, facts, now_ns=now_ns, measurer=who)


def decoded(value: Any) -> Any:
    """Return a value as a client reads it."""
    return msgspec.json.Decoder(float_hook=Decimal).decode(msgspec.json.encode(value))


@pytest.fixture(scope="module")
def old() -> House:
    """Return a house with 80 sessions behind it; no test lets anything in."""
    return lived(80)


def test_risk_tells_what_is_measured(old: House) -> None:
    """By method, level and horizon, with parts, sectors and stress, against the history itself."""
    (row,) = decoded(board(old, measurer(old)).risk())
    core = old.core
    pf = core.portfolio.portfolios[0]
    equity = pf.equity(core.portfolio.marks.px, core.portfolio.marks.px_f) / 1e8
    weights = np.array([100, 50]) * core.portfolio.marks.px_f[:2] / equity
    pnl = core.risk.history.returns()[:, :2] @ weights
    assert float(row["var_95"]) == pytest.approx(-np.quantile(pnl, 0.05), abs=1e-8)
    assert (row["sessions"], len(row["tails"]), len(row["stress"])) == (80, 12, 6)
    assert float(row["es_99"]) >= float(row["var_99"]) > 0
    assert {part["symbol"] for part in row["components"]} == {"AAPL", "MSFT"}
    assert sum(float(part["var"]) for part in row["components"]) == pytest.approx(float(row["var_95"]), abs=1e-8)
    assert row["sectors"] == [{"sector": "none", "gross": row["gross_exposure"], "net": row["net_exposure"]}]
    assert (row["market"], row["closest"]["symbols"]) == ("universe", ["AAPL", "MSFT"])
    assert row["sharpe_30"] is not None
    assert float(row["heat"]) == pytest.approx(float(row["gross_exposure"]), abs=1e-8)  # no stop works
    assert (row["slippage"], row["fill_rate"]) == (None, None)  # the last session had no order


def test_draws_reach_as_far_back_as_is_asked_for(old: House) -> None:
    """Fewer drawn than there are sessions: more are drawn, and they are the same each time."""
    short = Measurer(old.universe, (), 7, 0.0, 10)
    seen = observe(old.core)
    tail = short.of(seen)[0].tail("montecarlo", 0.95)
    normal = short.of(seen)[0].tail("normal", 0.95)
    assert tail is not None
    assert normal is not None
    assert tail.var == pytest.approx(normal.var, rel=0.05)
    assert Measurer(old.universe, (), 7, 0.0, 10).of(seen) == short.of(seen)


def test_what_is_not_known_is_null() -> None:
    """A daemon that has just begun: numbers where there are some, nulls where not, and no board without a measurer."""
    house = lived(2)
    (row,) = decoded(board(house, measurer(house)).risk())
    unknown = ("var_95", "es_95", "var_99", "var_95_10", "es_99_10", "beta", "correlation", "sharpe_30", "closest")
    assert [row[name] for name in unknown] == [None] * len(unknown)
    assert row["components"] == []
    assert float(row["heat"]) > 0
    (bare,) = decoded(board(house, None).risk())
    assert bare.keys() == row.keys()
    assert (bare["tails"], bare["heat"], bare["sessions"]) == ([], None, None)


def test_the_days_fills_are_told() -> None:
    """Both orders of the first session were filled whole, and cost what the broker's slippage is."""
    house = House(limits=BEFORE)
    house.bar(100, 200, 300)
    house.submit(id="a", qty=100)
    house.bar(100, 200, 300)
    (row,) = decoded(board(house, measurer(house)).risk())
    assert row["fill_rate"] == 1
    track = house.core.risk.tracks.of["main"]
    assert float(row["slippage"]) == pytest.approx(track.today.cost * 1e8 / track.today.traded, abs=1e-9)
    house.close()
    (ended,) = decoded(board(house, measurer(house)).risk())
    assert ended["fill_rate"] == 1  # in the evening the session that has ended is told


def test_limits_tell_their_use(old: House) -> None:
    """Leverage and value at risk over their bounds."""
    shown = board(old, measurer(old))
    rows = {row["limit"]: row for row in decoded(shown.limits_in_use())}
    (risk,) = decoded(shown.risk())
    assert float(rows["max_leverage"]["utilization"]) == pytest.approx(float(risk["leverage"]) / 2, abs=1e-8)
    assert float(rows["max_var"]["value"]) == pytest.approx(float(risk["var_95"]), abs=1e-8)
    assert rows["max_var"]["warn"] is False


def test_the_core_is_copied_from_at_most_every_100_ms(old: House) -> None:
    """A board within 100 ms shows the same copy; what was computed for it is computed once."""
    who = measurer(old)
    first, soon, late = (board(old, who, now * MS) for now in (0, 99, 100))
    assert first.observed is soon.observed
    assert late.observed is not first.observed
    assert first.observed is not None
    assert who.of(first.observed) is who.of(first.observed)


def test_other_limits_and_another_core_are_seen_at_once() -> None:
    """Whoever changes a limit sees its use against the new one; a core that was started again is not the old one."""
    house = lived(1)
    who = measurer(house)
    before = board(house, who)
    tighter = msgspec.structs.replace(house.core.risk.limits, max_leverage=1.0)
    house.put(SetLimits(tighter, (("max_leverage", "2", "1"),), "a test", "a test"), "control")
    after = board(house, who, MS)
    rows = [{row["limit"]: row for row in decoded(b.limits_in_use())} for b in (before, after)]
    assert [int(row["max_leverage"]["bound"]) for row in rows] == [2, 1]
    other = lived(1)
    assert board(other, who, 2 * MS).observed is not after.observed


def test_measures_of_an_old_board_are_of_its_own_time(old: House) -> None:
    """What was copied is not moved by what comes later."""
    house = lived(61)
    seen = observe(house.core)
    who = measurer(house)
    before = who.of(seen)
    opened(house, 70)
    house.bar(1.0, 2.0, 3.0)
    house.close()
    assert who.of(observe(house.core)) != before
    assert who.of(seen) == before


def test_a_scenario_of_the_users_is_put_through(tmp_path: Path, old: House) -> None:
    """Named in the configuration, shown beside the program's own."""
    path = tmp_path / "mine.toml"
    path.write_text('title = "Mine"\n[symbols]\nAAPL = -0.5\n')
    loaded = load_settings(file=None, profile=None, environ={}, sets=(f"risk.scenarios={path}",))
    who = Measurer(old.universe, load_scenarios(loaded.settings.risk.scenarios), 7, 0.0, 252)
    (row,) = decoded(board(old, who).risk())
    mine = next(impact for impact in row["stress"] if impact["scenario"] == "mine")
    assert (mine["title"], mine["worst"]) == ("Mine", "AAPL")
    assert float(mine["loss"]) > 0


def test_a_scenario_that_cannot_be_read_stops_a_replay_before_it_begins(tmp_path: Path) -> None:
    """One sentence, and no folder."""
    path = tmp_path / "bad.toml"
    path.write_text("market = -3\n")
    sets = (f"risk.scenarios={path}", "predictor.strategies=buy_and_hold")
    loaded = load_settings(file=None, profile=None, environ={}, sets=sets)
    with pytest.raises(OperatorError, match="scenario bad: market = -3 is no shock"):
        run_replay(ReplayOptions(source="sp500", out=tmp_path / "run"), loaded.settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ('restricted = ["NOPE"]', "risk.restricted names 'NOPE'"),
        ("[risk.symbols.NOPE]\nmax_position = 0.1", "risk.symbols names 'NOPE'"),
        ("[risk.sectors]\nNope = 0.2", "risk.sectors names 'Nope'"),
        ("[risk.portfolios.nope]\nmax_position = 0.1", "risk.portfolios names 'nope'"),
        ('[risk.sectors]\nMine = 0.2\n[universe.sectors]\nAAPL = "Mine"', None),
    ],
)
def test_config_check_refuses_limits_of_what_a_start_would_not_have(
    tmp_path: Path, table: str, named: str | None
) -> None:
    """A misspelt name would limit nothing."""
    file = tmp_path / "c.toml"
    file.write_text(f'[feed.playback]\nsource = "sp500"\n[risk]\n{table}\n', "utf-8")
    settings = load_settings(file=file, profile=None, sets=(), environ={}).settings
    if named is None:
        assert rehearse(settings) == []
        return
    with pytest.raises(OperatorError, match=named) as refused:
        rehearse(settings)
    assert refused.value.exit_code == 78


def test_config_check_reads_scenarios_as_a_start_would(tmp_path: Path) -> None:
    """A bad file is found before the daemon is started."""
    path = tmp_path / "bad.toml"
    path.write_text("markets = -0.3\n")
    sets = (f"risk.scenarios={path}", "feed.playback.source=sp500")
    loaded = load_settings(file=None, profile=None, environ={}, sets=sets)
    with pytest.raises(OperatorError, match="scenario bad: markets is no key of a scenario"):
        rehearse(loaded.settings)
