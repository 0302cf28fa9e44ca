"""Conditions that an index of some rows serves, spelled as SQLite must read them: written out, not bound."""

from __future__ import annotations

from sqlalchemy import ColumnElement, literal_column

from ticketbot.db.models import File

# A file whose second look is still to come.
UNSETTLED: ColumnElement[bool] = File.state.in_([literal_column("'seen'"), literal_column("'settling'")])
REFUSED: ColumnElement[bool] = File.state == literal_column("'refused'")
