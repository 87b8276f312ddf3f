"""The version of the program that runs."""

from __future__ import annotations


def program_version() -> str:
    """Return the installed distribution's version; in a bare checkout, what the project file says."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tradingd")
    except PackageNotFoundError:
        import tomllib
        from pathlib import Path

        project = Path(__file__).parents[2] / "pyproject.toml"
        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])
