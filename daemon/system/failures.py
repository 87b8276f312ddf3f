"""What goes wrong inside a replay and must reach the operator: failing strategies, refused commands of a script."""

from __future__ import annotations

from collections.abc import Sequence

from actors.messages.inference import StrategyDisabled
from actors.messages.orders import OrderCancelRejected
from actors.predictor.actor import PredictorActor
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import CommandRejected, Envelope, Event


class FailureStop:
    """A tap that gives the run up once the predictor has switched a strategy off for its failures.

    A report on a strategy that did not run would only mislead, and the author's mistake is in the last failure.
    """

    def __init__(self) -> None:
        """Start with no failures to look at; the composition sets them."""
        self.failures: Sequence[str] = ()

    def consume(self, envelope: Envelope, events: list[Event]) -> None:
        """Look for a strategy that was switched off.

        Raises:
            OperatorError: there is one.
        """
        del envelope
        for event in events:
            if type(event) is StrategyDisabled and event.by == PredictorActor.name:
                where = self.failures[-1] if self.failures else f"strategy {event.strategy}"
                raise OperatorError(
                    f"{where} ({event.reason})",
                    code="STRATEGY_FAILED",
                    remedy="mend it and try it with tradingd strategy check, or go on without it by --set"
                    " predictor.on_failure=disable",
                )


class ScriptRefusals:
    """A tap that remembers which cancels, replaces and operator commands of a script were refused.

    Refused orders stand in ``orders.csv``; these have no row there.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.sentences: list[str] = []

    def consume(self, envelope: Envelope, events: list[Event]) -> None:
        """Look for refusals of what a script brought in."""
        if envelope.source != "script":
            return
        for event in events:
            if isinstance(event, OrderCancelRejected):
                self.sentences.append(f"{event.client_order_id}: {event.code}, {event.reason}")
            elif isinstance(event, CommandRejected):
                self.sentences.append(f"{event.message_type.lower()}: {event.code}, {event.reason}")

    def notice(self) -> tuple[str, ...]:
        """Return one sentence for the run, or none."""
        if not self.sentences:
            return ()
        more = len(self.sentences) - 1
        tail = f"; and {more} more, see events.jsonl (--events)" if more else ""
        return (f"the script was refused: {self.sentences[0]}{tail}",)
