"""How does one event become one line, whatever a file name holds?

`log.info("staged", extra={"picture": sha256})` gives `… INFO ticketbot.collect staged picture=ab12…` or the same as
JSON. Control characters, line breaks and bidi overrides are escaped, so that a name cannot forge a line.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import unicodedata
from contextvars import ContextVar
from typing import Any

from ticketbot.settings import Log

# The id of the request this thread works on; every line it logs has it.
request_id: ContextVar[str] = ContextVar("request_id", default="")
# The sha256 of the picture that a request is about.
picture: ContextVar[str] = ContextVar("picture", default="")
# What a LogRecord has by itself; everything else came in through `extra`.
STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def setup(log: Log) -> None:
    """Send the program's log to stderr in the set format and level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log.format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(log.level.upper())
    # Every tick at INFO, and a WARNING when a step is still busy at its next time, which is how it is meant to be.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def visible(text: str) -> str:
    """Escape what would move the cursor, break the line or reverse the reading direction."""
    if text.isprintable():
        return text
    return "".join(
        _escape(char) if unicodedata.category(char)[0] == "C" or char in "\u2028\u2029" else char for char in text
    )


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """What came with the event, and the request and picture it happened with."""
    found = {key: value for key, value in vars(record).items() if key not in STANDARD}
    around = {"request_id": request_id.get(), "picture": picture.get()}
    return found | {key: value for key, value in around.items() if value and (key != "picture" or key not in found)}


class TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        parts = [when, record.levelname, record.name, visible(record.getMessage())]
        parts += [f"{key}={visible(str(value))}" for key, value in extras(record).items()]
        if record.exc_info:
            parts.append(visible(self.formatException(record.exc_info)))
        return " ".join(parts)


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **extras(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # ASCII: a surrogate or a separator in a name can neither break the line nor the encoder.
        return json.dumps(line, default=str)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()
