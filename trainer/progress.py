"""How far are we? Lines for people on stderr, or one JSON object a line on stdout for the service."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field

EVERY_S = 2.0


@dataclass
class Progress:
    """`say` reports at most every EVERY_S seconds a stage, and always its beginning and its end."""

    as_json: bool = False
    quiet: bool = False
    _stage: str = ""
    _said_at: float = field(default=-EVERY_S)

    def say(self, stage: str, done: float = 0, total: float = 0) -> None:
        now = time.monotonic()
        if stage == self._stage and done < total and now - self._said_at < EVERY_S:
            return
        self._stage, self._said_at = stage, now
        if self.as_json:
            sys.stdout.write(json.dumps({"stage": stage, "done": done, "total": total}) + "\n")
            sys.stdout.flush()
        elif not self.quiet:
            sys.stderr.write(f"{stage}: {done:g} of {total:g}\n" if total else f"{stage}\n")

    def note(self, text: str) -> None:
        """Something people should read, in the log in any case."""
        sys.stderr.write(f"{text}\n")


def shown(text: str) -> str:
    """A stranger's name or address, fit for a terminal and a line."""
    return "".join(char if char.isprintable() else "?" for char in text[:200])
