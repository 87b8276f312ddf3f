"""The run's universe: every symbol the core may see, each with a small integer id fixed for the run."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Adjustment(StrEnum):
    """What a source has already folded into its prices (``semantics.md`` section 1)."""

    RAW = "raw"
    SPLIT = "split"
    TOTAL = "total"


class Universe(msgspec.Struct, frozen=True):
    """Symbol <-> id, and what is known of each symbol.

    Ids are positions in ``symbols``; panels carry ids, never names. ``tradable[i]`` is false for symbols that
    are only observed (an index, a benchmark). ``sectors[i]`` is "" where unknown.
    """

    symbols: tuple[str, ...]
    sectors: tuple[str, ...] = ()
    tradable: tuple[bool, ...] = ()
    adjustment: Adjustment = Adjustment.RAW
    benchmark: str | None = None

    def __post_init__(self) -> None:
        """Refuse duplicates and parallel tuples of another length."""
        if len(dict.fromkeys(self.symbols)) != len(self.symbols):
            twice = next(s for i, s in enumerate(self.symbols) if s in self.symbols[:i])
            message = f"the symbol {twice} is in the universe twice"
            raise ValueError(message)
        for name, values in (("sectors", self.sectors), ("tradable", self.tradable)):
            if values and len(values) != len(self.symbols):
                message = f"{name} has {len(values)} entries for {len(self.symbols)} symbols"
                raise ValueError(message)

    def __len__(self) -> int:
        """Return the number of symbols."""
        return len(self.symbols)

    def index(self) -> dict[str, int]:
        """Return a new mapping symbol -> id; keep it, it is not cached."""
        return {symbol: i for i, symbol in enumerate(self.symbols)}

    def is_tradable(self, symbol_id: int) -> bool:
        """Whether orders may be placed in the symbol; never in an id outside the universe, such as -1."""
        return 0 <= symbol_id < len(self.symbols) and (not self.tradable or self.tradable[symbol_id])

    def sector(self, symbol_id: int) -> str:
        """Return the sector, "" where unknown or where the id is outside the universe."""
        return self.sectors[symbol_id] if 0 <= symbol_id < len(self.sectors) else ""


def sector_numbers(universe: Universe) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the names of the sectors and by symbol the number of its own.

    Symbols without one are one sector together, called "". Where no symbol has one, nothing is known of sectors: both
    are empty.
    """
    if not any(universe.sectors):
        return (), ()
    names = tuple(sorted(dict.fromkeys(universe.sectors)))
    number = {name: n for n, name in enumerate(names)}
    return names, tuple(number[name] for name in universe.sectors)
