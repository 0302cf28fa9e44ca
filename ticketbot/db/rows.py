"""Plain statements: how many rows did that change, and how does this driver want it spelled?

A conditional UPDATE that changed none means a colleague was quicker.
"""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult, Result

from ticketbot.db.session import Database


def rows(result: Result[Any]) -> int:
    """The row count of an INSERT, UPDATE or DELETE."""
    return cast("CursorResult[Any]", result).rowcount


def spelled(db: Database, query: str) -> str:
    """A plain statement with `?` for its values, in the words of this database's driver."""
    return query if db.is_sqlite else query.replace("?", "%s")
