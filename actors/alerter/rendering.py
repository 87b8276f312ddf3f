"""Words for people: titles under ten words with the number first, facts as plain decimals, one command to type."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from actors.messages.alerts import AlertRaised
from actors.values.fixed import SCALE, fmt
from actors.values.time import format_ts

TITLE_WORDS_MAX: Final = 9
_CENT: Final = Decimal("0.01")

ALERT_COLUMNS: Final = ("ts", "alert_id", "severity", "key", "title", "facts", "action_taken", "count")


def percent(ratio: float, *, signed: bool = True) -> str:
    """Write a fraction as a percentage: ``-5.3%``, ``+10%``, ``1.8%``."""
    text = f"{ratio * 100:.2f}".rstrip("0").rstrip(".")
    if text == "-0":
        text = "0"
    return f"+{text}%" if signed and not text.startswith("-") else f"{text}%"


def money(amount: int) -> str:
    """Write an amount in units of 1e-8 for a title: ``$110,240.00``, ``-$312.50``."""
    value = (Decimal(amount) / SCALE).quantize(_CENT, rounding=ROUND_HALF_EVEN)
    return f"-${-value:,}" if value < 0 else f"${value:,}"


def plain(ratio: float) -> str:
    """Write a fraction as a plain decimal."""
    text = f"{ratio:.9f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def title(text: str) -> str:
    """Keep a title under ten words, whatever a name in it looks like."""
    words = text.split()
    return text if len(words) <= TITLE_WORDS_MAX else " ".join(words[:TITLE_WORDS_MAX]) + "…"


def line(alert: AlertRaised) -> str:
    """Write an alert as one line of text: time, severity, title, what was done, what to type."""
    parts = [f"{format_ts(alert.ts)} {alert.severity.upper():<8} {alert.title}"]
    if alert.count > 1:
        parts[0] += f" (x{alert.count})"
    if alert.action_taken:
        parts.append(alert.action_taken)
    if alert.next_command:
        parts.append(f"next: {alert.next_command}")
    return " | ".join(parts)


def alert_rows(alerts: list[AlertRaised]) -> list[tuple[str | int, ...]]:
    """Return the rows of ``alerts.csv`` in the order of :data:`ALERT_COLUMNS`."""
    return [
        (
            format_ts(a.ts),
            a.alert_id,
            a.severity.value,
            a.key,
            a.title,
            "; ".join(f"{name}={value}" for name, value in a.facts),
            a.action_taken,
            a.count,
        )
        for a in alerts
    ]


__all__ = ["ALERT_COLUMNS", "alert_rows", "fmt", "line", "money", "percent", "plain", "title"]
