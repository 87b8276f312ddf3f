"""What random portfolios hold: names drawn without replacement and swapped at random, many portfolios at once."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Known = npt.NDArray[np.bool_]
Names = npt.NDArray[np.intp]

# Sums of multiples of this are exact in float64 in any order as long as they stay below 8,192, so a result depends
# neither on the processor nor on the number of threads; on a return it is an error of 5e-13 at most.
QUANTUM: Final = 2.0**-40
ACCEPTED_MIN: Final = 0.25  # of tries at a name that is free; with fewer priced, all of the priced are sorted instead
DENSE: Final = 4  # a product over all names is quicker than looking up those held unless these are fewer than 1 in 4


class RandomHoldings:
    """The names held by ``count`` independent portfolios.

    Every choice is uniform and without replacement: who leaves among the places held, who comes among the names known
    at that moment and not held. So each name is equally likely in each place, and nothing depends on how a name did.

    The places of a portfolio and the names it does not hold are two lists, of which a swap exchanges members chosen by
    as many steps of a Fisher-Yates shuffle as there are names to swap, each step for all portfolios at once. The cost
    is therefore that of the swaps, not of the universe.

    Where fewer names are known than there are places, places stay empty; they hold the number ``width``.

    Args:
        rng: decides everything.
        width: names there are, N.
        positions: places of each portfolio, 1..N.
        count: portfolios.
    """

    def __init__(self, rng: np.random.Generator, width: int, positions: int, count: int) -> None:
        self._rng = rng
        self._width = width
        self._positions = positions
        self._count = count
        self._each = np.arange(count, dtype=np.intp)
        self._held: Names = np.full((positions, count), width, dtype=np.intp)
        self._free: Names | None = None  # [width - positions, count], known while no place is empty
        self._member: F64 | None = None  # [width + 1, count] of 0 and 1; the last row is what empty places write to
        if positions * DENSE >= width:
            self._member = np.zeros((width + 1, count))
        self._full = False
        self.filled: Names = np.zeros(count, dtype=np.intp)

    @property
    def names(self) -> Names:
        """``[count, positions]`` numbers of the names held, ``width`` for an empty place; a copy."""
        return self._held.T.copy()

    def sums(self, values: F64) -> F64:
        """Return ``[count]`` sums of ``values`` (``[width]``, multiples of QUANTUM) over the names held."""
        if self._member is not None:
            # Not "@": its threads cost more than they bring at this size, and a lot where the processor has other work.
            product: F64 = np.einsum("n,nc->c", values, self._member[:-1])
            return product
        total: F64 = np.append(values, 0.0).take(self._held).sum(axis=0)
        return total

    def swap(self, known: Known, swaps: int) -> None:
        """Let ``swaps`` places of each portfolio change hands.

        Who leaves does not come back at once unless there is nobody else. A name that has no price leaves like any
        other, at its last price, but cannot come in.

        Args:
            known: ``[width]`` names that have a price now.
            swaps: places, 1..positions; with ``positions`` the first draw.
        """
        spare = int(np.count_nonzero(known)) - self._positions  # known names that no portfolio can be short of
        away = self._width - self._positions
        if self._full and spare == away:
            swaps = min(swaps, away)  # beyond that they would only come back: a uniform choice of those that do not
            if not swaps:
                return
        if self._full and spare >= swaps and spare - swaps + 1 >= ACCEPTED_MIN * (away - swaps + 1):
            self._exchange(known, swaps)
        else:
            self._sort(known, swaps)

    def _exchange(self, known: Known, swaps: int) -> None:
        if self._free is None:
            self._free = self._others()
        leaving = self._pick(self._held, swaps, None)
        coming = self._pick(self._free, swaps, None if known.all() else known)
        self._replace(leaving, self._free[coming])
        self._free[coming] = self._left

    def _replace(self, places: slice, fresh: Names) -> None:
        """Put ``fresh`` into places and keep who was there in ``_left``."""
        self._left = self._held[places].copy()
        self._held[places] = fresh
        if self._member is not None:
            flat = self._member.reshape(-1)
            flat[self._left * self._count + self._each] = 0.0
            flat[fresh * self._count + self._each] = 1.0

    def _others(self) -> Names:
        """Return ``[width - positions, count]`` names that are not held; no place may be empty."""
        absent = np.ones((self._count, self._width), dtype=np.bool_)
        absent[self._each[:, None], self._held.T] = False
        names = np.nonzero(absent)[1].reshape(self._count, self._width - self._positions)
        return np.ascontiguousarray(names.T)

    def _pick(self, rows: Names, wanted: int, known: Known | None) -> slice:
        """Shuffle each column of ``rows`` just enough that the rows of the answer are a uniform choice of ``wanted``.

        With ``known`` the choice is among known names only, of which each column must have ``wanted`` at least: the
        unknown are drawn again.
        """
        size = rows.shape[0]
        whole = known is None and wanted > size // 2  # then those that are not wanted are fewer to choose
        steps = size - wanted if whole else wanted
        flat = rows.reshape(-1)
        chances = self._rng.random((steps, self._count))
        chances *= np.arange(size, size - steps, -1)[:, None]
        places = chances.astype(np.intp)
        places += np.arange(steps)[:, None]
        places *= self._count
        places += self._each
        for step in range(steps):
            place = places[step]
            found = flat.take(place)
            if known is not None:
                self._again(flat, place, found, step, known)
            flat[place] = rows[step].copy()
            rows[step] = found
        return slice(steps, None) if whole else slice(0, steps)

    def _again(self, flat: Names, place: Names, found: Names, step: int, known: Known) -> None:
        """Draw places from row ``step`` on again until the names found there are known; changes place and found."""
        wrong = np.flatnonzero(~known.take(found))
        while wrong.size:
            drawn = self._rng.integers(step, flat.size // self._count, wrong.size) * self._count + wrong
            names = flat.take(drawn)
            place[wrong] = drawn
            found[wrong] = names
            wrong = wrong[~known.take(names)]

    def _sort(self, known: Known, swaps: int) -> None:
        """Swap with a random key for each known name: slower, but right however few are known or places empty."""
        count, width = self._count, self._width
        columns = np.flatnonzero(known)
        leaving = self._pick(self._held, swaps, None)
        across = self._each[:, None]
        keys = self._rng.random((count, columns.size))
        member = np.zeros((count, width + 1), dtype=np.bool_)
        member[across, self._held[leaving].T] = True
        keys[member[:, columns]] += 2.0  # who just left comes after everybody else
        member[:] = False
        member[across, self._held.T] = True
        member[across, self._held[leaving].T] = False
        keys[member[:, columns]] = 9.0  # who stays is there already
        places = min(swaps, columns.size)
        fresh = np.full((count, swaps), width, dtype=np.intp)
        if places:
            order = np.argpartition(keys, places - 1, axis=1)[:, :places]
            fresh[:, :places] = np.where(np.take_along_axis(keys, order, axis=1) < 4.0, columns[order], width)
        self._replace(leaving, np.ascontiguousarray(fresh.T))
        self.filled = np.count_nonzero(self._held < width, axis=0)
        self._full = bool(self.filled.min() == self._positions)
        self._free = None
