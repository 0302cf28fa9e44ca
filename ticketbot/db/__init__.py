"""The one database that decides: models, session rules, migrations."""

from ticketbot.db.session import Database, connect

__all__ = ["Database", "connect"]
