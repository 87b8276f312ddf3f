"""Client order ids that the program makes of somebody's: the exits of a bracket, the half of a flip that opens.

They belong to the order they are made of: nobody else may use them while they can still come up.
"""

from __future__ import annotations

from typing import Final

DUPLICATE: Final = "DUPLICATE"
"""Code of the denial of an order whose id is taken."""
TAKE_PROFIT: Final = "-tp"
STOP_LOSS: Final = "-sl"
EXIT_ENDINGS: Final = (TAKE_PROFIT, STOP_LOSS)
_OPENING: Final = "-open"
_LENGTH: Final = len(TAKE_PROFIT)


def exit_ids(entry: str) -> tuple[str, str]:
    """Return the client order ids of a bracket's target and stop."""
    return entry + TAKE_PROFIT, entry + STOP_LOSS


def entry_of(name: str) -> str:
    """Return the entry whose exit would have this id, "" where it is no exit's."""
    return name[:-_LENGTH] if name[-_LENGTH:] in EXIT_ENDINGS else ""


def belongs_to_another(name: str, code: str) -> bool:
    """Tell whether a denial with this code leaves the id to the exit of a bracket, which may come up later."""
    return code == DUPLICATE and bool(entry_of(name))


def opening_id(flip: str) -> str:
    """Return the client order id of the half that opens, of an order that turns a position around."""
    return flip + _OPENING


def opens_a_flip(name: str, parent: str) -> bool:
    """Tell whether an order is the half that opens, by its id and its parent's; nobody else can name a parent so."""
    return bool(parent) and name == parent + _OPENING
