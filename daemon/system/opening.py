"""What a start says in words: what is played, and what the configuration asks for that will not come about.

And what a start would say, of a configuration that nobody starts yet.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from actors.risk.limits import check_names
from actors.risk.stress import unmatched
from actors.values.time import format_ts
from config.params import portfolio_specs
from config.risk_params import risk_limits
from config.settings import Settings
from daemon.control.roles import Groups
from daemon.journal.opened import OpenedLedger
from daemon.kernel.errors import ConfigError, OperatorError
from daemon.system.bindings import strategy_bindings
from daemon.system.keys import in_keys, speak_of_keys
from daemon.system.live_core import LiveCore
from daemon.system.news import damaged_text_model, news_notices
from daemon.system.options import DEFAULT_SEED
from daemon.system.scenarios import load_scenarios
from daemon.system.start import Data, open_data, pace_of
from daemon.system.tick_notices import tick_notices

NAMED_MAX: Final = 5
"""Names told in one sentence."""


def rehearse(settings: Settings) -> list[str]:
    """Open what a start would open, but for the ledger; return what a person should know, a sentence each.

    Files, dates, symbols, strategies, models, groups, and what limits name. Without anything to play the configuration
    may still be a replay's, which takes its data from the command line.

    Raises:
        ConfigError: the start would be refused.
    """
    control = settings.control
    try:
        Groups.named(admin=control.admin_group, operator=control.operator_group, viewer=control.viewer_group)
        load_scenarios(settings.risk.scenarios)
        if not settings.feed.playback.given:
            strategy_bindings(settings)
            return [
                "[feed.playback] names nothing to play: tradingd run needs a source or files there; replay does not"
            ]
        data = open_data(settings, seed=DEFAULT_SEED)
        portfolios = [spec.name for spec in portfolio_specs(settings)]
        check_names(risk_limits(settings, replay=False), data.recording.universe, portfolios)
    except OperatorError as error:
        speak_of_keys(error)
        error.exit_code = ConfigError.exit_code
        raise
    noticed = [*map(in_keys, data.recording.notices), *tick_notices(settings, data.recording)]
    told = [
        *news_notices(settings, data.spec, "feed.playback.news"),
        *damaged_text_model(settings, data.spec.sentiment),
    ]
    return [*noticed, *told, *_of_scenarios(settings, data)]


def playing(settings: Settings, data: Data, core: LiveCore) -> str:
    """Return what is played, of when, how fast and from where on, in one phrase."""
    recording, playback = data.recording, settings.feed.playback
    first, last = (_date(session.date) for session in (recording.sessions[0], recording.sessions[-1]))
    speed = pace_of(settings)
    pace = "as fast as it can" if speed is None else "in real time" if speed == 1 else f"{speed:,g} times as fast"
    count = len(recording.universe.symbols)
    shown = "" if recording.label.startswith(f"{count} ") else f", {count} symbol{'s' * (count != 1)}"
    parts = [recording.label + shown, f"{first} to {last}" if first != last else first, pace]
    parts += ["free-running"] if playback.free_running else []
    if core.feed_n:
        parts.append(f"going on behind {format_ts(core.feed_ts)}")
    return ", ".join(parts)


def warnings(settings: Settings, data: Data, opened: OpenedLedger) -> list[str]:
    """Return what a person should know before they wait for something that will not happen; a sentence each."""
    return [
        *tick_notices(settings, data.recording),
        *news_notices(settings, data.spec, "feed.playback.news"),
        *damaged_text_model(settings, data.spec.sentiment),
        *_of_cash(settings, opened),
    ]


def cold(settings: Settings, data: Data, core: LiveCore) -> str:
    """Say for how long a beginning may pass without a decision, because features look back over what was not shown."""
    rows, warmup = core.core.predictor.warmup_rows(), settings.predictor.warmup
    if not data.recording.interval.is_daily or rows <= warmup:
        return ""
    return (
        f"strategies look back over {rows:,} sessions, and predictor.warmup shows them {warmup:,} before the first: "
        f"{rows - warmup:,} may pass without a decision"
    )


def _of_scenarios(settings: Settings, data: Data) -> list[str]:
    """Tell what the user's scenarios name and no symbol of the run is: meant for others, or a typo that shocks none."""
    universe = data.recording.universe
    found = []
    for scenario in load_scenarios(settings.risk.scenarios, own_only=True):
        names = unmatched(scenario, universe.symbols, universe.sectors)
        if names:
            more = ", ..." if len(names) > NAMED_MAX else ""
            found.append(f"scenario {scenario.name}: no symbol of this run is {', '.join(names[:NAMED_MAX])}{more}")
    return found


def _of_cash(settings: Settings, opened: OpenedLedger) -> list[str]:
    """Tell where a portfolio's cash was changed since the last run: what it is then was decided by its first."""
    if opened.run is None:
        return []
    config = opened.run.manifest_dict().get("config", {})
    before = {row["name"]: Decimal(str(row["cash"])) for row in config.get("portfolio", ())}
    return [
        f"portfolio {spec.name}: cash was changed from {before[spec.name]:,} to {spec.cash:,}, which changes nothing: "
        "the opening deposit is booked once, when the ledger begins; use tradingctl cash deposit or withdraw"
        for spec in settings.portfolio
        if spec.name in before and before[spec.name] != spec.cash
    ]


def _date(day: int) -> str:
    return f"{day // 10_000}-{day // 100 % 100:02}-{day % 100:02}"
