"""Stress scenarios from files: those that come with the program, then the user's (``[risk] scenarios``)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from actors.risk import stress
from actors.risk.stress import Scenario, parse_scenario
from daemon.kernel.errors import OperatorError

FOLDER: Final = Path(stress.__file__).parent / "scenarios"
SIZE_MAX: Final = 1 << 20
"""Bytes a scenario may have: it is a page of figures."""


def load_scenarios(paths: Iterable[Path] = ()) -> tuple[Scenario, ...]:
    """Read the program's scenarios and those at ``paths``, each called like its file.

    A file that is called like one of the program's replaces it.

    Raises:
        OperatorError: one sentence naming the file: it cannot be read, is no TOML or no scenario, or comes twice.
    """
    found = {path.stem: read_scenario(path) for path in sorted(FOLDER.glob("*.toml"))}
    own: dict[str, Scenario] = {}
    for path in paths:
        if path.stem in own:
            message = f"two scenarios are called {path.stem}"
            raise OperatorError(message, code="BAD_SCENARIO", remedy="rename one of the files")
        own[path.stem] = read_scenario(path)
    return tuple((found | own).values())


def read_scenario(path: Path) -> Scenario:
    """Read one scenario.

    Raises:
        OperatorError: as :func:`load_scenarios`.
    """
    try:
        with path.open("rb") as handle:
            data = handle.read(SIZE_MAX + 1)
        if len(data) > SIZE_MAX:
            raise OperatorError(f"{path} is larger than a scenario can be", code="BAD_SCENARIO", remedy=stress.REMEDY)
        document = tomllib.loads(data.decode())
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror or error}", code="BAD_SCENARIO") from None
    except UnicodeDecodeError:
        raise OperatorError(f"{path} is not UTF-8 text", code="BAD_SCENARIO", remedy=stress.REMEDY) from None
    except tomllib.TOMLDecodeError as error:
        raise OperatorError(f"{path} is not TOML: {error}", code="BAD_SCENARIO", remedy=stress.REMEDY) from None
    return parse_scenario(path.stem, document)
