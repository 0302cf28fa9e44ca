"""What went wrong, in one sentence for the person at the terminal, and with which exit code does a command end?

1: something is wrong here or now. 2: called or configured wrongly. Never a stack trace for what a person can put right;
an error of our own keeps its trace.
"""

from __future__ import annotations

import re
import sqlite3

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ticketbot.errors import SettingsError, TicketbotError, UsageError

WRONG, MISUSED = 1, 2
EXPECTED = (TicketbotError, SQLAlchemyError, sqlite3.Error, CommandError, OSError)
# user:password@ in an address, wherever it appears.
PASSWORD = re.compile(r"(://[^:/@\s]*):[^@\s]*@")

# SQLite's words -> what they mean to who runs it.
SQLITE_WORDS = {
    "disk I/O error": "its disk is full or fails",
    "database or disk is full": "its disk is full",
    "unable to open database file": "its file cannot be opened: is the folder there, and may we write to it?",
    "attempt to write a readonly database": "we may not write to it",
    "database is locked": "somebody else holds its lock",
    "database disk image is malformed": "its file is damaged",
    "file is not a database": "its file is damaged, or none of ours",
}


def said(error: BaseException) -> tuple[str, int]:
    """(sentence, exit code) of one of EXPECTED."""
    if isinstance(error, TicketbotError):
        return str(error), MISUSED if isinstance(error, SettingsError | UsageError) else WRONG
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}", WRONG
    return f"the database cannot be used: {of_database(error)}; see: ticketbot doctor", WRONG


def of_database(error: BaseException) -> str:
    """The driver's own first line, without the statement, its values or a password; plainer where we know how."""
    found = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = [line.strip() for line in str(found).splitlines() if line.strip()]
    if not lines:
        return type(found).__name__
    line = without_password(lines[0][:300])
    return f"{SQLITE_WORDS[line]} ({line})" if line in SQLITE_WORDS else line


def without_password(text: str) -> str:
    return PASSWORD.sub(r"\1:…@", text)
