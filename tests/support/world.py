"""A whole installation in a call: an ERP tree with its database, an endpoint, settings in a file.

world = World(tmp_path, receiver.url)
world.add("7", "scan 1.jpg", jpeg_bytes, ticket="T-1")
world.once()  -> what `ticketbot once --until-idle` does, in this process
world.run("models", "list")  -> the command as a process of its own
"""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from ticketbot import flow, settings
from ticketbot.app import App

ROOT = Path(__file__).parent.parent.parent


class World:
    def __init__(self, folder, endpoint_url="", secret="", database_url="", **more):
        self.folder = Path(folder)
        self.tree = self.folder / "attach"
        self.tree.mkdir(parents=True)
        self.erp = self.folder / "erp.db"
        self._erp("CREATE TABLE uploads (user_id TEXT, file_name TEXT, ticket TEXT)")
        self.config = self.folder / "ticketbot.toml"
        lookup = "SELECT ticket FROM uploads WHERE user_id = :user AND file_name = :name"
        lines = [
            "[general]",
            'data_dir = "var"',
            "[database]",
            f'url = "{database_url}"',
            "[sources.erp]",
            'root = "attach"',
            "settle_s = 0",
            "ticket_retry_s = [60, 600]",
            'endpoint = "desk"' if endpoint_url else "",
            f'ticket = [{{kind = "sql", url = "sqlite:///{self.erp}", query = "{lookup}"}}]',
            "[deliver]",
            "ticket_quiet_s = 0",
            "[web]",
            "port = 0",
            "[model]",
            'unproven = "tag"',
        ]
        if endpoint_url:
            host = endpoint_url.split("/")[2]
            lines += ["[endpoints.desk]", f'url = "{endpoint_url}"', f'secret = "{secret}"', 'mode = "live"']
            lines += [f'allow = ["{host}"]']
        self.config.write_text("\n".join(lines) + "\n")
        self.more = {f"TICKETBOT_{name.upper()}": value for name, value in more.items()}

    @property
    def settings(self):
        return settings.load(self.config, self.more)

    def add(self, user, name, data, ticket=None):
        """A file in the tree, and its row in the ERP."""
        path = self.tree / user / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        if ticket:
            self.save_ticket(user, name, ticket)
        return path

    def run(self, *arguments, timeout_s=120):
        """`ticketbot --config … arguments` as a process."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TICKETBOT_")}
        return subprocess.run(
            [sys.executable, "-m", "ticketbot", "--config", str(self.config), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=ROOT,
            env={**environment, **self.more},
        )

    def once(self, later_s=0.0):
        """-> {"steps": …, "pending": …, "stuck": …}; with the clock put forward by `later_s`."""
        app = App(self.settings, now=lambda: time.time() + later_s)
        try:
            return flow.until_idle(app)
        finally:
            app.close()

    def save_ticket(self, user, name, ticket):
        self._erp("INSERT INTO uploads VALUES (?, ?, ?)", user, name, ticket)

    def _erp(self, statement, *values):
        connection = sqlite3.connect(self.erp)
        with connection:
            connection.execute(statement, values)
        connection.close()
