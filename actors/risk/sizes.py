"""How large one order may be: shares, value, share of average daily volume, and what is normal for who sends it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from actors.messages.market import BarPanel
from actors.messages.orders import SubmitOrder
from actors.risk.form import Denial
from actors.risk.limits import NO_LIMIT, OrderTerms
from actors.risk.params import RiskLimits
from actors.values.average_volume import AverageVolume
from actors.values.fixed import FIXED_MAX, SCALE, div_round, fmt, mul, to_fixed
from actors.values.plain import in_cents

NORMAL_NUMERATOR: Final = 9
NORMAL_DENOMINATOR: Final = 10
"""Nine in ten of the earlier orders are at most what is normal."""

Key = tuple[str, str, str]
"""Portfolio, strategy and purpose."""
OPENING: Final = "(opening)"
"""Purpose of what opens a position, whatever its reason; the reason is that of what adds to one."""


class Volumes:
    """Average daily volumes as the gate knows them; a fold of the tape.

    Where bars have no volume column the rule is off (``semantics.md`` section 1); where a symbol's average is not known
    for another reason, its entries pass or are denied as ``deny_unknown_adv`` says.

    Attributes:
        on: whether any limit asks for volumes.
        fraction: of the average an entry may have in a symbol without a limit of its own, units of 1e-8.
        floor: a quantity that no average forbids where that limit binds, units of 1e-8; -1 for not known yet.
    """

    __slots__ = ("_adv", "_daily", "_deny", "_has_column", "floor", "fraction", "on")

    def __init__(self, n_symbols: int, *, daily: bool) -> None:
        """Begin without any session."""
        self.on = False
        self.fraction = 0
        self._adv = AverageVolume(n_symbols, daily=daily)
        self._daily = daily
        self._has_column: bool | None = None
        """Whether bars have volumes; None before the first bar."""
        self._deny = False
        self.floor = FIXED_MAX

    def adopt(self, limits: RiskLimits) -> None:
        """Measure by these limits from now on."""
        own = any(symbol.max_order_adv for symbol in limits.symbols.values())
        self._deny = limits.deny_unknown_adv
        self.fraction = to_fixed(limits.max_order_adv)
        self.on = bool(self.fraction or own or self._deny)
        self.floor = -1 if self.on else FIXED_MAX

    def fold_bars(self, panel: BarPanel) -> None:
        """Count a panel's volumes; a late correction changes no average."""
        volume = panel.volume
        if volume is None:
            if self._has_column is None:
                self._has_column = False
                self.floor = -1
        elif not panel.revision:
            if self._has_column is False:  # the rule was off, and what it says by now was not asked for yet
                self.floor = -1
            self._has_column = True
            whole = bool(np.minimum.reduce(volume) >= 0.0 and np.add.reduce(volume) < np.inf)  # false for NaN
            if not whole:  # what cannot be a volume is as unknown as one that is missing
                volume = np.where((volume >= 0.0) & (volume < np.inf), volume, np.nan)
            self._adv.add(None if panel.dense else panel.ids, volume, has_null=not whole)
            if self._daily:
                self.floor = -1

    def fold_closed(self) -> None:
        """A session ended: its volumes are in the averages from now on."""
        self._adv.end_session()
        self.floor = -1

    def split(self, symbol: int, numerator: int, denominator: int) -> None:
        """Count what is known of a symbol in the shares behind a split."""
        self._adv.split(symbol, numerator, denominator)
        self.floor = -1

    def move(self, symbol: int, new: int) -> None:
        """Let another symbol go on where this one ends."""
        self._adv.move(symbol, new)
        self.floor = -1

    def of(self, symbol: int) -> int | None:
        """Return a symbol's average in units of 1e-8 shares, None where it is not known."""
        found = self._adv.of(symbol)
        return found if found or self._adv.knows(symbol) else None

    def _lowest(self) -> int:
        if self._has_column is False:
            return FIXED_MAX
        least, all_known = self._adv.least()
        if self._deny and not all_known:
            return 0
        if not self.fraction or least == math.inf:
            return FIXED_MAX
        # A little less than exact, as this is arithmetic of floats: what lies between is decided by whole numbers.
        return int(min(least * self.fraction * (1.0 - 1e-9), FIXED_MAX))

    def why(self, symbol: int, name: str, qty: int, fraction: int) -> Denial | None:
        """Return why an entry of ``qty`` is too large for its symbol's average; ``fraction`` of it may be asked for."""
        if self.floor < 0:
            self.floor = self._lowest()
            if qty <= self.floor and fraction == self.fraction:
                return None
        if self._has_column is False:
            return None
        adv = self.of(symbol)
        if adv is None:
            if not self._deny:
                return None
            reason = f"the average daily volume of {name} is not known; wait for a session of volumes, or allow it"
            return Denial("UNKNOWN_ADV", f"{reason} with risk.unknown_adv")
        if fraction and qty * SCALE > adv * fraction:
            most = adv * fraction // SCALE
            reason = (
                f"the order is {_percent(qty, adv)} of {name}'s average daily volume of {fmt(adv)}, "
                f"and {fmt(100 * fraction)} % is the most; order {fmt(most)} or less"
            )
            return Denial("MAX_ADV", reason, fmt(qty), fmt(most))
        return None

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [self._has_column, self._adv.snapshot()]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._has_column, adv = state
        self._adv.restore(adv)
        self.floor = -1


def _percent(qty: int, adv: int) -> str:
    return f"{fmt(div_round(qty * 100 * SCALE, adv))} %" if adv else "more than all"


class NormalSizes:
    """Values of the last entries by portfolio, strategy and purpose; a fold of acceptances.

    Attributes:
        on: whether anything can be unusual.
        low: value of an order that is unusual for nobody, in units of 1e-16; the quiet path compares with it alone.
    """

    __slots__ = ("_least", "_multiple", "_values", "low", "on")

    def __init__(self, limits: RiskLimits) -> None:
        """Begin with none."""
        self._values: dict[Key, list[int]] = {}
        self.low = NO_LIMIT
        self.adopt(limits)

    def adopt(self, limits: RiskLimits) -> None:
        """Compare by these limits from now on."""
        self._multiple = to_fixed(limits.unusual_size)
        self._least = limits.unusual_size_orders
        self.on = self._multiple > 0 and self._least > 0
        self.look()

    def fold(self, key: Key, value: int) -> None:
        """An entry of this value (units of 1e-8) was accepted."""
        values = self._values.get(key)
        if values is None:
            values = self._values[key] = []
        values.append(value)
        have = len(values) - self._least
        if have > 0:
            del values[:have]
            self.low = min(self.low, value * self._multiple)  # what leaves can only raise it
        elif not have:
            self.low = min(self.low, min(values) * self._multiple)

    def look(self) -> None:
        """Set ``low`` anew from what is remembered."""
        least = min((min(v) for v in self._values.values() if len(v) >= self._least), default=None)
        self.low = NO_LIMIT if least is None else least * self._multiple

    def why(self, key: Key, value: int) -> Denial | None:
        """Return why an entry of this value (units of 1e-16) is unusual for who sends it."""
        values = self._values.get(key)
        if values is None or len(values) < self._least:
            return None
        normal = _normal(values[-self._least :])
        portfolio, strategy, purpose = key
        if purpose != OPENING:
            # Topping up is small as a rule, and a position that lost most of itself to its stops is opened anew.
            opened = self._values.get((portfolio, strategy, OPENING), ())
            normal = max(normal, _normal(opened) if len(opened) >= self._least else max(opened, default=0))
        if value <= normal * self._multiple:
            return None
        whose = f"of {strategy}" if strategy else "without a strategy"
        what = "that open a position" if purpose == OPENING else f"that add to a position ({purpose})"
        shown = fmt(div_round(value, SCALE))
        reason = (
            f"{fmt(normal)} is normal for entries {whose} {what} (nine in ten of the last {self._least} were no "
            f"larger), and this one is worth {shown}, more than {fmt(self._multiple)} times that; split it, or raise "
            "risk.unusual_size"
        )
        return Denial("UNUSUAL_SIZE", reason, shown, fmt(mul(normal, self._multiple)))

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [[list(key), values] for key, values in self._values.items()]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._values = {(p, strategy, purpose): list(values) for (p, strategy, purpose), values in state}
        self.look()


def _normal(values: Sequence[int]) -> int:
    """Return the smallest value that nine in ten of ``values`` do not exceed."""
    return sorted(values)[-(-len(values) * NORMAL_NUMERATOR // NORMAL_DENOMINATOR) - 1]


class Sizes:
    """The gate's checks of one order's size, in their order, over what it remembers of volumes and orders."""

    __slots__ = ("_least", "_symbols", "normal", "volumes")

    def __init__(self, symbols: tuple[str, ...], limits: RiskLimits, *, daily: bool) -> None:
        """Build with nothing known of volumes and earlier orders."""
        self._symbols = symbols
        self.volumes = Volumes(len(symbols), daily=daily)
        self.normal = NormalSizes(limits)
        self.adopt(limits)

    def adopt(self, limits: RiskLimits) -> None:
        """Judge by these limits from now on."""
        self._least = limits.min_order_value * SCALE
        self.volumes.adopt(limits)
        self.normal.adopt(limits)

    def why(  # noqa: PLR0911 - one return per check
        self, order: SubmitOrder, qty: int, px: int, equity: int, terms: OrderTerms, *, opens: bool
    ) -> Denial | None:
        """Return why an entry is too large or too small.

        Args:
            order: the entry.
            qty: its whole quantity, or the new one of a replace.
            px: what it is judged at, 0 where no price is known: then only its shares are counted.
            equity: of the portfolio.
            terms: the limits that bind it.
            opens: whether nothing is held in its symbol.
        """
        if qty > terms.qty:
            reason = f"the order is larger than {fmt(terms.qty)} shares; split it"
            return Denial("MAX_QTY", reason, fmt(qty), fmt(terms.qty))
        volumes = self.volumes
        if qty > volumes.floor or terms.adv != volumes.fraction:
            denial = volumes.why(order.symbol, self._symbols[order.symbol], qty, terms.adv)
            if denial is not None:
                return denial
        if not px:
            return None
        # Compared as products of two fixed-point numbers: exact, and without a division.
        value = qty * px
        if value < self._least:
            least = fmt(self._least // SCALE)
            return Denial("MIN_NOTIONAL", f"the order is worth less than {least}; make it larger", _shown(value), least)
        if value > terms.small:
            cap = max(terms.value * SCALE, equity * terms.fraction)
            if value > cap and (terms.value or terms.fraction):
                return _too_large(value, cap)
            if terms.named_value and value > terms.named_value * SCALE:
                return _too_large(value, terms.named_value * SCALE)
        if value > self.normal.low:
            return self.normal.why((order.portfolio, order.strategy, OPENING if opens else order.reason), value)
        return None


def _too_large(value: int, cap: int) -> Denial:
    shown, most = _shown(value), _shown(cap)
    reason = f"the order is worth more than {in_cents(shown, most)[1]}; make it smaller"
    return Denial("MAX_NOTIONAL", reason, shown, most)


def _shown(product: int) -> str:
    """Write a product of two fixed-point numbers as a plain decimal."""
    return fmt(div_round(product, SCALE))
