"""Types of configuration values: exact decimals with bounds that the program can also show."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema


def plain(value: Decimal) -> str:
    """Format without exponent or trailing zeros: ``0.1``, ``100000``."""
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
