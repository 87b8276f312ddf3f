"""What a replay does when a strategy fails again and again: stop, and say where."""

from __future__ import annotations

from collections.abc import Sequence

from actors.messages.inference import StrategyDisabled
from actors.predictor.actor import PredictorActor
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Envelope, Event, Market


class FailureStop:
    """A tap that gives the run up once the predictor has switched a strategy off for its failures.

    A report on a strategy that did not run would only mislead, and the author's mistake is in the last failure.
    """

    def __init__(self) -> None:
        """Start with no failures to look at; the composition sets them."""
        self.failures: Sequence[str] = ()

    def observe(self, panel: Market) -> None:
        """Market data fail no strategy."""

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
