"""The service of the demo: settings in a file, `ticketbot serve` as a process of its own, a look into its database."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ticketbot import settings
from ticketbot.db import Database, connect
from ticketbot.errors import NotReady

T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_settings(folder: Path, values: dict[str, dict[str, Any]]) -> Path:
    """A settings file as an admin would write it; JSON's values are TOML's, but for tables in lists."""
    lines = ["# Made by `ticketbot demo`."]
    for section, keys in values.items():
        lines += ["", f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in keys.items())]
    path = folder / "ticketbot.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


class Service:
    """Started by `with`; `said` is its log. Ended with SIGTERM at the end of the `with`."""

    def __init__(self, config: Path) -> None:
        self.settings = settings.load(config, {})
        self.log = config.parent / "service.log"
        self._config = config
        self._db: Database | None = None

    def __enter__(self) -> Service:
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ticketbot", "--config", str(self._config), "serve"],
                stdin=subprocess.DEVNULL,
                stderr=log,
                env=settings.environment_without_ours(),
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._db is not None:
            self._db.close()
        self._process.terminate()
        self._process.wait(60)

    @property
    def db(self) -> Database:
        """The service's database, once it is there."""
        if self._db is None:
            self._db = connect(self.settings.database_url)
        return self._db

    def wait_for(self, what: str, look: Callable[[], T | None], timeout_s: float, tell: Callable[[], None]) -> T:
        """Look again and again until there is something. Raises NotReady with the end of the service's log."""
        until = time.monotonic() + timeout_s
        while (found := look()) is None:
            if self._process.poll() is not None:
                raise NotReady(f"the service ended while the demo waited for {what}:\n{self.last_lines()}")
            if time.monotonic() > until:
                raise NotReady(f"no {what} after {timeout_s:.0f} s; the service's log:\n{self.last_lines()}")
            tell()
            time.sleep(0.25)
        return found

    def last_lines(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])

    def first_admin(self) -> str | None:
        """The one-time link the service printed."""
        for line in self.log.read_text(errors="replace").splitlines():
            if "/invite/" in line:
                return line.rsplit(" ", 1)[-1]
        return None


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)
