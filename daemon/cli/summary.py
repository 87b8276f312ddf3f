"""The result block: what a run came to, in a dozen lines, the alerts that fired and where everything is."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from daemon.cli.render import GAP, is_fancy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.messages.alerts import AlertRaised
    from daemon.system.replay import ReplayResult

ALERTS_SHOWN: Final = 8
SEVERITIES: Final = ("critical", "warning", "info")


def result_block(result: ReplayResult) -> str:
    """Return the block for a finished run; its figures are those of ``metrics.json``."""
    from actors.reporter.summary import LABEL, summary_lines

    width = shutil.get_terminal_size((100, 24)).columns
    seconds = sum(result.phases.values())
    phases = ", ".join(f"{name} {spent:.1f} s" for name, spent in result.phases.items())
    folder = shown(result.folder)
    lines = [
        f"{'replayed':<{LABEL}}{result.bars:,} bars in {result.instants:,} instants, {seconds:.1f} s ({phases})",
        *summary_lines(result.run, width=width, color=is_fancy(sys.stdout)),
        *alert_lines(result.alerts, LABEL),
        f"{'report':<{LABEL}}{folder / 'report.html'}",
        f"{'next':<{LABEL}}tradingd verify {folder}",
    ]
    return "\n".join(lines)


def alert_lines(alerts: Sequence[AlertRaised], label: int) -> list[str]:
    """Return each kind of alert once with its count, the gravest first, behind a label of that width."""
    kinds: dict[tuple[str, str], int] = {}
    for alert in alerts:
        kind = (str(alert.severity), alert.title)
        kinds[kind] = kinds.get(kind, 0) + 1
    ranked = sorted(kinds.items(), key=lambda item: SEVERITIES.index(item[0][0]))
    texts = [f"{len(alerts):,} fired" if alerts else "none fired"]
    texts += [
        f"{GAP}{severity}: {title}" + (f" ({count} times)" if count > 1 else "")
        for (severity, title), count in ranked[:ALERTS_SHOWN]
    ]
    if len(ranked) > ALERTS_SHOWN:
        texts.append(f"{GAP}and {len(ranked) - ALERTS_SHOWN} more kinds: see alerts.csv")
    return [f"{'alerts' if i == 0 else '':<{label}}{text}" for i, text in enumerate(texts)]


def shown(path: Path) -> Path:
    """Return the path as one would type it here."""
    return path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path
