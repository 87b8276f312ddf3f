"""How a command of ``tradingctl`` can fail; each class is one exit code of ``contract.md`` section 1."""

from __future__ import annotations

from daemon.kernel.errors import OperatorError


class NotRunningError(OperatorError):
    """Nothing listens where the daemon's socket should be."""

    exit_code = 3


class UnreachableError(OperatorError):
    """The daemon could not be heard: time-out, broken connection or garbage. What was asked may have happened."""

    exit_code = 4


class ConnectionBrokenError(UnreachableError):
    """The connection ended before the answer; asking again with the same request id is safe."""


class SilentError(UnreachableError):
    """No answer in time."""


class IncompleteError(OperatorError):
    """What was asked has begun but is not finished, such as a portfolio that is not flat."""

    exit_code = 6
