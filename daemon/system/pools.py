"""Which pool answers the core's questions to models: the daemon itself, or the inference host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.predictor.models.manifest import ModelManifest
from actors.predictor.pool.host import HostPool
from actors.predictor.pool.inprocess import InProcessPool
from actors.predictor.pool.texts import HeadlineCache
from config.settings import Settings
from daemon.kernel.errors import OperatorError

if TYPE_CHECKING:
    from actors.predictor.pool.texts import Load

SOCKET: Final = "inference.sock"
SMALL_BYTES: Final = 32 << 20
"""A text model up to this size is computed by the daemon where the host fails; a larger one would starve its loop."""


def socket_path(settings: Settings) -> Path:
    """Return where the inference host listens."""
    named = settings.predictor.host_socket
    return Path(named).expanduser() if named else settings.paths.runtime_dir.expanduser() / SOCKET


def live_pool(
    settings: Settings, models: Iterable[ModelManifest | None], texts: Mapping[str, Load]
) -> InProcessPool | HostPool | None:
    """Return the pool of a daemon, None where no strategy asks a model; a host's is looked for from now on.

    Args:
        settings: ``[predictor] pool`` and what belongs to it.
        models: of the strategies, None where one has none.
        texts: what loads the text models of the run, by their ids.
    """
    tables = [model for model in models if model is not None]
    if not tables and not texts:
        return None
    if settings.predictor.pool == "inprocess":
        return InProcessPool(tables, texts=texts)
    fallback = None
    if settings.predictor.host_fallback:
        small = {model_id: load for model_id, load in texts.items() if _is_small(settings, model_id)}
        fallback = InProcessPool(tables, texts=small, cache=HeadlineCache(0))  # the host pool remembers for both
    pool = HostPool(
        str(socket_path(settings)),
        deadline_s=settings.predictor.deadline_ms / 1000,
        fallback=fallback,
    )
    pool.start(None if fallback is None else partial(fallback.warm))
    return pool


def _is_small(settings: Settings, model_id: str) -> bool:
    """Whether a text model may be computed in the daemon's own process."""
    from actors.predictor.text.manifest import MODEL  # noqa: PLC0415 - only who has news needs it
    from actors.predictor.text.store import ModelStore  # noqa: PLC0415

    if model_id.partition("@")[0] == "lexicon":
        return True
    try:
        folder = ModelStore(settings.paths.state_dir.expanduser()).find(model_id)
        return (folder / MODEL).stat().st_size <= SMALL_BYTES
    except (OperatorError, OSError):
        return False  # only the host has it
