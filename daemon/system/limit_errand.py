"""``limits.set``: limits that somebody sets by hand, from the call to the core and its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from actors.messages.control import SetLimits
from actors.messages.limits import RiskLimits
from actors.risk.looser import loosened
from config.by_hand import assignments, lay_over
from config.sources import Loaded
from daemon.control.calls import Call, Outcome
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
    command = SetLimits(wanted, laid.changes, reason, call.peer.by)
    if not laid.changes:
        return reply_of(call, command, [])
    return await in_core(Input(command, "control", call=call))


def _key(name: str) -> str:
    """Return a limit's key in the configuration, where times are said in milliseconds, those of breakers in seconds."""
    if not name.endswith("_ns"):
        return f"risk.{name}"
    return f"risk.{name.removesuffix('_ns')}{'_s' if name.startswith('breakers.') else '_ms'}"


def _told(changes: tuple[tuple[str, str, str], ...]) -> str:
    said = [f"{key} {old} -> {new}" for key, old, new in changes[:NAMED_MAX]]
    return ", ".join(said) + (", ..." if len(changes) > NAMED_MAX else "")
