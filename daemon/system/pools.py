"""Which pool answers the core's questions to models: the daemon itself, or the inference host."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from config.settings import Settings

SOCKET: Final = "inference.sock"


def socket_path(settings: Settings) -> Path:
    """Return where the inference host listens."""
    named = settings.predictor.host_socket
    return Path(named).expanduser() if named else settings.paths.runtime_dir.expanduser() / SOCKET
