"""What a person should know of quotes and trades, before they wait for something that will not happen."""

from __future__ import annotations

from actors.feed.recording import Recording
from config.settings import Settings


def tick_notices(settings: Settings, recording: Recording) -> list[str]:
    """Return a sentence for each thing that the configuration asks for and that ticks cannot give."""
    if not recording.n_ticks:
        return []
    told = []
    if recording.history is None and settings.predictor.strategies:
        told.append(
            "there are quotes or trades but no bars: strategies decide on bars, so they decide nothing here; give bars "
            "of the same time (orders that are submitted or scripted fill on quotes and trades)"
        )
    if settings.broker.same_event_fill:
        told.append(
            "broker.same_event_fill does nothing where quotes or trades are matched: a market order meets the next "
            "quote or trade; it is for symbols that have bars only"
        )
    return told
