"""``tradingd inference``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from config.settings import Settings
    from daemon.inference.options import HostOptions


def inference(
    *,
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="Configuration; tradingd config init writes one.")
    ],
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="On top of the file; repeatable.")
    ] = None,
) -> int:
    """Compute models for the daemon, in a process of its own, on the socket that [predictor] host_socket names.

    It trades nothing and keeps nothing: stop, kill or restart it at any time. [inference] says what computes.

    Example: tradingd inference --config daemon.toml
    """
    import os

    from config.sources import load_settings
    from daemon.inference.host import run_host
    from daemon.service.logging import Logs
    from daemon.system.version import program_version

    settings = load_settings(file=config, profile=None, sets=tuple(sets or ()), environ=os.environ).settings
    logs = Logs(
        level=settings.logging.level,
        form=settings.logging.format,
        repeats_per_minute=settings.logging.repeats_per_minute,
    ).start()
    try:
        return run_host(host_options(settings), f"tradingd {program_version()}", os.environ, logs.stop)
    finally:
        logs.stop()


def host_options(settings: Settings) -> HostOptions:
    """Return what the host is told of a configuration."""
    from daemon.inference.options import HostOptions, RayOptions
    from daemon.system.pools import socket_path

    section, ray = settings.inference, settings.inference.ray
    return HostOptions(
        socket=str(socket_path(settings)),
        group=section.group,
        pool=section.pool,
        workers=section.workers,
        state_dir=str(settings.paths.state_dir.expanduser()),
        ray=RayOptions(
            address=ray.address,
            token_file=ray.token_file,
            network=ray.network,
            object_store_mb=ray.object_store_mb,
            worker_mb=ray.worker_mb,
        ),
    )
