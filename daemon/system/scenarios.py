"""Stress scenarios from files: those that come with the program, then the user's (``[risk] scenarios``)."""

from __future__ import annotations

import os
import stat
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
UNREADABLE: Final = "name the TOML file of a scenario that this user may read"


def load_scenarios(paths: Iterable[Path] = (), *, own_only: bool = False) -> tuple[Scenario, ...]:
    """Read the program's scenarios and those at ``paths``, each called like its file.

    A file that is called like one of the program's replaces it; ``own_only`` leaves the program's out.

    Raises:
        OperatorError: one sentence naming the file: it cannot be read, is no TOML or no scenario, or comes twice.
    """
    found = {} if own_only else {path.stem: read_scenario(path) for path in sorted(FOLDER.glob("*.toml"))}
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
        # A pipe that nobody writes to would hold up the start, or a reload, for ever.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as handle:
            if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
                raise OperatorError(f"{path} is no regular file", code="BAD_SCENARIO", remedy=UNREADABLE)
            data = handle.read(SIZE_MAX + 1)
        if len(data) > SIZE_MAX:
            raise OperatorError(f"{path} is larger than a scenario can be", code="BAD_SCENARIO", remedy=stress.REMEDY)
        document = tomllib.loads(data.decode())
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise OperatorError(message, code="BAD_SCENARIO", remedy=UNREADABLE) from None
    except UnicodeDecodeError:
        raise OperatorError(f"{path} is not UTF-8 text", code="BAD_SCENARIO", remedy=stress.REMEDY) from None
    except tomllib.TOMLDecodeError as error:
        raise OperatorError(f"{path} is not TOML: {error}", code="BAD_SCENARIO", remedy=stress.REMEDY) from None
    return parse_scenario(path.stem, document)
