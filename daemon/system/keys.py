"""Sentences of the readers of market data, which speak of a replay's flags, in the words of a configuration file."""

from __future__ import annotations

import re
from typing import Final

from daemon.kernel.errors import OperatorError

_FLAG: Final = re.compile(r"--(from|to|tz|adjustment|interval|bars|quotes|trades|source|benchmark)\b")


def in_keys(sentence: str) -> str:
    """Return a sentence with each flag of ``tradingd replay`` replaced by the key that means the same to a daemon."""
    return _FLAG.sub(lambda found: f"{'universe' if found[1] == 'benchmark' else 'feed.playback'}.{found[1]}", sentence)


def speak_of_keys(error: OperatorError) -> None:
    """Let an error speak of keys."""
    error.message, error.remedy = in_keys(error.message), in_keys(error.remedy)
