"""Types of configuration values: exact decimals with bounds that the program can also show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

T = TypeVar("T")


class Section(BaseModel):
    """What every section has in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ReloadableMark:
    """Marks a key that a running daemon takes over when it reloads; every other key needs a restart."""

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Tell editors as well."""
        return handler(schema) | {"x-reloadable": True}


RELOADABLE: Final = ReloadableMark()
_DIGITS_MAX: Final = 40
"""Numbers that need more before or behind the point are shown with an exponent."""
Reloadable = Annotated[T, RELOADABLE]


def plain(value: Decimal) -> str:
    """Format without exponent or trailing zeros: ``0.1``, ``100000``; what is absurd, such as 1E+999, as it is."""
    if abs(value.adjusted()) > _DIGITS_MAX:
        return str(value)
    return format(value.normalize(), "f") if value else "0"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a number may be: ``low <= value <= high``, with at most ``decimals`` decimals; 0 as well where it means off.

    Put into ``Annotated``: it validates, shows itself in ``config show`` and writes itself into the JSON Schema.
    """

    low: str
    high: str
    decimals: int = 8
    off: bool = False

    def text(self) -> str:
        """Return the bounds for people: ``0 (off) or 0.01 to 0.5``."""
        span = f"{self.low} to {self.high}"
        return f"0 (off) or {span}" if self.off else span

    def check(self, value: Any) -> Any:
        """Return ``value`` unchanged, or raise what the loader turns into a sentence."""
        number = Decimal(value)
        if not (Decimal(self.low) <= number <= Decimal(self.high) or (self.off and number == 0)):
            raise PydanticCustomError("bounds", "must be {bounds}", {"bounds": self.text()})
        if number.is_zero() and number.is_signed():  # what was computed and rounded to that was not meant as "off"
            raise PydanticCustomError("bounds", "must be {bounds}, and not minus zero", {"bounds": self.text()})
        exponent = number.normalize().as_tuple().exponent
        if isinstance(exponent, int) and -exponent > self.decimals:
            raise PydanticCustomError("decimals", "has more than {decimals} decimals", {"decimals": self.decimals})
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Refuse booleans before, and what is out of bounds after, the type's own parsing."""
        inner = core_schema.no_info_before_validator_function(_no_bool, handler(source))
        return core_schema.no_info_after_validator_function(self.check, inner)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the bounds as JSON Schema; a decimal may also be written as text."""
        if handler(schema).get("type") == "integer":
            span: JsonSchemaValue = {"type": "integer", "minimum": int(self.low), "maximum": int(self.high)}
        else:
            span = {"type": ["number", "string"], "minimum": float(self.low), "maximum": float(self.high)}
        return {"anyOf": [{"const": 0}, span]} if self.off else span


@dataclass(frozen=True, slots=True)
class Pace:
    """How many times faster than it was recorded something is played: a number above 0, or ``max``: without waiting.

    Put into ``Annotated``: it validates and shows itself as :class:`Bounds` does.
    """

    high: str

    def text(self) -> str:
        """Return what is allowed, for people."""
        return f"above 0 to {self.high} | max"

    def check(self, value: Any) -> Decimal | Literal["max"]:
        """Return the pace, or raise what the loader turns into a sentence."""
        if value == "max":
            return "max"
        try:
            number = Decimal(value) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else None
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite() or not 0 < number <= Decimal(self.high):
            words = 'must be a number above 0 (at most {high}), or "max"'
            raise PydanticCustomError("pace", words, {"high": self.high})
        return number

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Validate by :meth:`check` alone."""
        del source, handler
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return both forms."""
        del schema, handler
        number = {"type": ["number", "string"], "exclusiveMinimum": 0, "maximum": float(self.high)}
        return {"anyOf": [number, {"const": "max"}]}


def _day(value: Any) -> Any:
    """Read a date of TOML or ``YYYY-MM-DD``; keep the text."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        if value == "" or (isinstance(value, str) and date.fromisoformat(value).isoformat() == value):
            return value
    except ValueError:
        pass  # told below
    raise PydanticCustomError("day", "is not a date; write YYYY-MM-DD")


def _zone(value: Any) -> Any:
    try:
        if value == "" or (isinstance(value, str) and ZoneInfo(value)):
            return value
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass  # told below
    raise PydanticCustomError("zone", "is no time zone; use a name such as America/New_York or UTC")


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "is not a number")
    return value


def _comma_list(value: Any) -> Any:
    """Read ``A, B`` as a list, so that one variable or one flag can carry several names."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class CommaList:
    """Marks a tuple of texts that may be written with commas."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Split texts before the type's own parsing."""
        return core_schema.no_info_before_validator_function(_comma_list, handler(source))


Names = Annotated[tuple[str, ...], CommaList()]
Paths = Annotated[tuple[Path, ...], CommaList()]
Day = Annotated[str, BeforeValidator(_day)]
Zone = Annotated[str, BeforeValidator(_zone)]

# Money in the account's currency; the largest cash is what int64 marks can value at 1e-6 (design section 0.6).
Cash = Annotated[Decimal, Bounds("1", "9000000000")]
Amount = Annotated[Decimal, Bounds("0", "9000000000")]
Rate = Annotated[Decimal, Bounds("0", "1")]
CostRate = Annotated[Decimal, Bounds("0", "0.1")]
CostBps = Annotated[Decimal, Bounds("0", "1000", decimals=4)]
# Ratios become floats; the bounds of position, stop, drift and cash buffer are those of contract section 6.
PositionShare = Annotated[Decimal, Bounds("0.01", "0.5", off=True)]
StopShare = Annotated[Decimal, Bounds("0.01", "0.2", off=True)]
DriftShare = Annotated[Decimal, Bounds("0.01", "0.2", off=True)]
BufferShare = Annotated[Decimal, Bounds("0", "0.2")]
LossShare = Annotated[Decimal, Bounds("0.001", "1", off=True)]
GainShare = Annotated[Decimal, Bounds("0.001", "10", off=True)]
Share = Annotated[Decimal, Bounds("0", "1")]
Count = Annotated[int, Bounds("0", "1000000", decimals=0)]
Millis = Annotated[int, Bounds("0", "86400000", decimals=0)]
Seconds = Annotated[int, Bounds("1", "3600", decimals=0)]
Megabytes = Annotated[int, Bounds("0", "1000000", decimals=0)]
