"""The file channel: JSON lines, appended whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from actors.messages.alerts import AlertRaised
from actors.values.time import format_ts
from daemon.kernel.errors import OperatorError

SCHEMA: Final = "tradingd.alert/1"


class FileChannel:
    """Appends one JSON object a line. An update of an alert is a further line with the same ``alert_id``."""

    name = "file"

    def __init__(self, path: Path) -> None:
        """Open or create the file. A line that a crash cut off is left as it is and closed.

        Raises:
            OperatorError: the file cannot be opened for writing.
        """
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            message = f"the alert file {path} cannot be written: {error.strerror}"
            raise OperatorError(
                message, code="ALERT_FILE", remedy="name a file in a folder you may write to"
            ) from error
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            self._append(b"\n")

    def deliver(self, alert: AlertRaised) -> None:
        """Append one line.

        Raises:
            OSError: the disk refused; the file is as it was.
        """
        record = {
            "schema": SCHEMA,
            "ts": format_ts(alert.ts),
            "alert_id": alert.alert_id,
            "severity": alert.severity.value,
            "key": alert.key,
            "title": alert.title,
            "facts": dict(alert.facts),
            "action_taken": alert.action_taken,
            "next_command": alert.next_command,
            "count": alert.count,
        }
        self._append(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _append(self, data: bytes) -> None:
        before = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            os.ftruncate(self._fd, before)
            raise
