"""``limits.set``: limits that somebody sets by hand, from the call to the core and its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from actors.messages.control import SetLimits
from actors.messages.limits import RiskLimits
from actors.risk.looser import loosened
from config.by_hand import assignments, lay_over
from config.settings import settings_digest
from config.sources import Loaded
from daemon.control.calls import Call, Outcome
from daemon.kernel.errors import ConfigError
from daemon.system.core_ports import Input
from daemon.system.desk_reply import reply_of
from daemon.system.order_form import FieldError
from daemon.system.start import limits_of

NAMED_MAX = 5
"""Keys told in one sentence."""

InCore = Callable[[Input], Awaitable[Outcome]]


class Standing(msgspec.Struct, frozen=True):
    """What limits are set on top of: the configuration, what was set by hand since, and what both make."""

    loaded: Loaded
    by_hand: Mapping[str, str]
    limits: RiskLimits


async def set_limits(call: Call, standing: Standing, in_core: InCore) -> Outcome:
    """Set limits, and answer once that is durable.

    What lets more pass than now has to say so (``loosen``): the safe direction takes one step, the other two.

    Raises:
        ConfigError: a key or value that no configuration could have.
        FieldError: LOOSENS: it would loosen, and does not say so.
    """
    laid = lay_over(standing.loaded, standing.by_hand, assignments(call.params["set"]))
    wanted = limits_of(laid.settings)
    looser = loosened(standing.limits, wanted)
    if looser and call.params.get("loosen") is not True:
        named = ", ".join(map(_key, looser[:NAMED_MAX])) + (", ..." if len(looser) > NAMED_MAX else "")
        raise FieldError(
            f"this lets more pass than now: {_told(laid.changes)} (loosens {named})",
            field="loosen",
            code="LOOSENS",
            remedy="say that it is meant: --yes, or loosen on the wire",
        )
    reason = call.reason or f"{call.method} by an operator"
    command = SetLimits(wanted, laid.changes, reason, call.peer.by, settings_digest(laid.settings))
    if not laid.changes:
        return reply_of(call, command, [])
    return await in_core(Input(command, "control", call=call))


def check_vanished(old: Loaded, new: Loaded) -> None:
    """Refuse to take over a file in which limits are missing that were there: half of it may not be written yet (C28).

    What is missing has its default, which may be no limit at all. Where nothing is loosened by it, it is none of ours.

    Raises:
        ConfigError: naming what is missing.
    """
    gone = [key for key in old.origins if key.startswith("risk.") and key not in new.origins]
    looser = loosened(limits_of(old.settings), limits_of(new.settings)) if gone else []
    if looser:
        named = ", ".join(gone[:NAMED_MAX]) + (", ..." if len(gone) > NAMED_MAX else "")
        verb = "is" if len(gone) == 1 else "are"
        passes = ", ".join(map(_key, looser[:NAMED_MAX]))
        message = f"{named} {verb} not in {new.file or 'the configuration'} any more, which lets more pass ({passes})"
        remedy = "write the value that is meant, 0 for none; a restart takes the file as it is"
        raise ConfigError(message, code="CONFIG_VANISHED", remedy=remedy)


def _key(name: str) -> str:
    """Return a limit's key in the configuration, where times are said in milliseconds, those of breakers in seconds."""
    if not name.endswith("_ns"):
        return f"risk.{name}"
    return f"risk.{name.removesuffix('_ns')}{'_s' if name.startswith('breakers.') else '_ms'}"


def _told(changes: tuple[tuple[str, str, str], ...]) -> str:
    said = [f"{key} {old} -> {new}" for key, old, new in changes[:NAMED_MAX]]
    return ", ".join(said) + (", ..." if len(changes) > NAMED_MAX else "")
