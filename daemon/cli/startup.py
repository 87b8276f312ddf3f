"""What must hold before a command that trades starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from daemon.kernel.errors import ConfigError

DISTRIBUTION: Final = "tradingd"
PACKAGES: Final = ("daemon", "actors", "config")


def check_packages(owners: Mapping[str, Sequence[str]] | None = None) -> None:
    """Refuse to start where another distribution has put files into our packages.

    ``daemon``, ``actors`` and ``config`` are common names. Installing, say, python-daemon beside us merges two
    programs into one folder without a word; nothing that happens after that can be trusted.

    Args:
        owners: package -> distributions that install into it; None asks the environment.

    Raises:
        ConfigError: naming the intruder.
    """
    if owners is None:
        from importlib.metadata import packages_distributions

        owners = packages_distributions()
    for package in PACKAGES:
        for owner in owners.get(package, ()):
            if owner != DISTRIBUTION:
                message = (
                    f"the distribution {owner} installs into our package {package!r}, so this environment is mixed"
                )
                remedy = f"install {DISTRIBUTION} into a virtual environment of its own"
                raise ConfigError(message, code="PACKAGES", remedy=remedy)
