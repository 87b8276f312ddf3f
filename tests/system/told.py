"""A house with a ledger and views behind it: what clients are told of its orders."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from actors.messages.catalogue import codec
from daemon.journal.journal import Manifest
from daemon.journal.sqlite import SqliteJournal
from daemon.system.views import Projector
from daemon.system.views_rows import Views
from daemon.system.views_why import why
from system.wired import SYMBOLS, House


def decoded(value: Any) -> Any:
    """Return a value as a client reads it."""
    return msgspec.json.Decoder(float_hook=Decimal).decode(msgspec.json.encode(value))


class Told:
    """A house whose ledger and views can be asked."""

    def __init__(self, folder: Path, **options: Any) -> None:
        manifest = Manifest("r", "1", "playback", 0, {}, "0" * 64, {}, {"symbols": list(SYMBOLS)}, "2020-01-02")
        self.journal = SqliteJournal(folder / "ledger.db", manifest, codec(), durable=True, batch=1)
        self.house = House(sink=self.journal, **options)
        self.folder = folder

    def views(self) -> Views:
        """Return the views as they stand; close them."""
        projector = Projector(self.folder)
        projector.catch_up()
        projector.stop()
        return Views(self.folder / "views.db")

    def why(self, name: str) -> Any:
        """Return the story of an order, as a client reads it."""
        views = self.views()
        try:
            return decoded(why(views, name))
        finally:
            views.close()
            self.journal.flush()
