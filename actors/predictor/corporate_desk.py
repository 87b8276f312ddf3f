"""The predictor's part in corporate actions: history is said in the new units, so that features see no jump.

Splits scale bars, last prices and what waits to be scored; a rename lets the new symbol go on with the old one's
history. Dividends stay in the prices as they traded. The state of a fold-form strategy begins anew at a split: what it
has made of prices cannot be said in other units by anybody but its author.

A restored run is warmed with rows from before its snapshot, actions among them. What the snapshot holds has seen them
already; only the rings that are filled anew have not.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.messages.market import CorporateAction
from actors.predictor.ledger import PredictionLedger
from actors.predictor.runner import Bars
from actors.predictor.states import StateStore
from daemon.kernel.actor import CoreActor, observes


class Acted:
    """Which actions were seen: all before ``ts``, and at it those of these symbols and kinds.

    Attributes:
        ts: of the newest action, nanoseconds UTC; 0 before the first.
        keys: (symbol, kind, value) of those stamped with it.
    """

    __slots__ = ("keys", "ts")

    def __init__(self) -> None:
        self.ts = 0
        self.keys: list[tuple[int, str, int]] = []

    def note(self, action: CorporateAction) -> bool:
        """Fold an action; tell whether it is new."""
        key = (action.symbol, action.kind, action.value)
        if action.ts < self.ts or (action.ts == self.ts and key in self.keys):
            return False
        if action.ts > self.ts:
            self.ts, self.keys = action.ts, []
        self.keys.append(key)
        return True


class CorporateDesk(CoreActor):
    """Follows corporate actions; the actor adds everything else."""

    ledger: PredictionLedger
    _bars: Sequence[Bars]
    _acted: Acted

    @observes(CorporateAction)
    def fold_action(self, action: CorporateAction) -> None:
        """Say history in the units, and under the names, that hold from now on."""
        fresh = self._acted.note(action)
        symbol = action.symbol
        if action.kind == "split":
            ratio = action.numerator, action.denominator
            for bars in self._bars:
                bars.split(symbol, *ratio, again=not fresh)
            if fresh:
                self.ledger.split(symbol, *ratio)
                for states in self._states():
                    states.forget(symbol)
                self._news_acted(action)
        elif action.kind == "rename" and action.renamed_to is not None:
            new = action.renamed_to
            for bars in self._bars:
                bars.move(symbol, new, again=not fresh)
            if fresh:
                self.ledger.move(symbol, new)
                for states in self._states():
                    states.move(symbol, new)
                self._news_acted(action)

    def _news_acted(self, action: CorporateAction) -> None:
        """Let the news of a symbol follow a split or rename."""
        raise NotImplementedError

    def _states(self) -> list[StateStore]:
        return [runner.states for bars in self._bars for runner in bars.runners if runner.states is not None]
