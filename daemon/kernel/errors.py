"""Errors split by who is to blame, because that decides what happens next.

``OperatorError``: bad configuration, command or file; shown as one sentence, never a crash.
``VenueError``: the outside world; retried at the edge, becomes a rejection in the core.
``InvariantError``: us; the process stops and comes back from the journal.
"""

from __future__ import annotations


class TradingdError(Exception):
    """Root of all errors raised on purpose; never raised itself."""

    def __init__(self, message: str, *, code: str = "", remedy: str = "") -> None:
        """Build an error.

        Args:
            message: one sentence that says what and where.
            code: stable upper-case identifier, such as ``BAD_QTY``.
            remedy: what to do about it.
        """
        if type(self) is TradingdError:
            reason = "raise one of the children, which say who is to blame"
            raise TypeError(reason)
        super().__init__(message)
        self.message = message
        self.code = code
        self.remedy = remedy

    def __str__(self) -> str:
        """Return the sentence, with the remedy behind it."""
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class OperatorError(TradingdError):
    """The operator's or author's mistake. ``exit_code`` follows ``contract.md`` section 1."""

    exit_code = 1


class UsageError(OperatorError):
    """A command line that makes no sense."""

    exit_code = 2


class RefusedError(OperatorError):
    """Policy, permission or a missing confirmation."""

    exit_code = 5


class ConfigError(OperatorError):
    """Configuration that does not hold."""

    exit_code = 78


class VenueError(TradingdError):
    """The outside world failed or answered nonsense."""


class InvariantError(TradingdError):
    """A promise of our own code is broken; going on would make it worse."""


class FrameAbandonedError(InvariantError):
    """A handler failed after facts of the same frame were folded: the core must be rebuilt from its snapshot."""
