"""Tryton 8.2.1 (trytond) on SQLite with a small module: tickets with a category, as an ERP would have them."""

import base64
import json
import os
import subprocess
from pathlib import Path

import requests

from tests.support.loopback import free_port
from tests.support.ticket_systems import end, venv, wait_for

NAME = "desk"
MODEL = "desk.ticket"
MODULE = """
from trytond.model import ModelSQL, fields
from trytond.pool import Pool


class Ticket(ModelSQL):
    __name__ = "desk.ticket"
    name = fields.Char("Name")
    category = fields.Selection([(None, ""), *((one, one) for one in ("reports", "errors", "screens", "tickets"))], "C")
    confidence = fields.Float("Confidence")


def register():
    Pool.register(Ticket, module="ticketdesk", type_="model")
"""
# What an administrator does by hand: the user's application is validated in the client.
KEY = """
import sys
import trytond.config as config
config.update_etc(sys.argv[1])
from trytond.pool import Pool
from trytond.transaction import Transaction
Pool.start()
pool = Pool("desk")
with Transaction().start("desk", 0):
    pool.init()
with Transaction().start("desk", 1):
    (admin,) = pool.get("res.user").search([("login", "=", "admin")])
    application = pool.get("res.user.application")(user=admin, application="rest", state="validated")
    application.save()
    print(application.key)
"""


class Tryton:
    """`files`: the tree of attachments; `database`: for lookups; `key`: of the user application."""

    def __init__(self, folder):
        self.bin = venv("trytond-8.2.1", "trytond==8.2.1")
        self.folder = Path(folder)
        self.files = self.folder / "db" / NAME
        self.database = f"sqlite:///{self.folder / 'db' / NAME}.sqlite"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = self.folder / "trytond.conf"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(self.folder / "site"),
        }

    def run(self, *words, **more):
        options = {"capture_output": True, "text": True, "env": {**self.environment, **more}, "cwd": self.folder}
        done = subprocess.run([str(word) for word in words], **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def __enter__(self):
        self.files.mkdir(parents=True)
        self.files.with_suffix(".sqlite").touch()
        self._install_module(self.folder / "site")
        self.config.write_text(
            f"[database]\nuri = sqlite://\npath = {self.folder / 'db'}\n"
            f"[web]\nlisten = 127.0.0.1:{self.port}\n[email]\nuri = smtp://127.0.0.1:1\n"
        )
        password = self.folder / "password"
        password.write_text("admin-pw-for-tests")
        words = ["-c", self.config, "-d", NAME, "-u", "ticketdesk", "--activate-dependencies", "--email", "a@localhost"]
        self.run(self.bin / "trytond-admin", *words, TRYTONPASSFILE=str(password))
        self.key = self.run(self.bin / "python", "-c", KEY, self.config).strip()
        self.log = open(self.folder / "server.log", "wb")
        words = [str(self.bin / "trytond"), "-c", str(self.config), "-d", NAME]
        self.process = subprocess.Popen(words, env=self.environment, stdout=self.log, stderr=self.log, cwd=self.folder)
        wait_for(self.url + "/", self.process)
        return self

    def __exit__(self, *_):
        end(self.process)
        self.log.close()

    @staticmethod
    def _install_module(site):
        module = site / "ticketdesk"
        module.mkdir(parents=True)
        (module / "__init__.py").write_text(MODULE)
        (module / "tryton.cfg").write_text("[tryton]\nversion=8.2.0\ndepends:\n    ir\n    res\nxml:\n")
        about = site / "ticketdesk-8.2.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: ticketdesk\nVersion: 8.2.0\n")
        (about / "entry_points.txt").write_text("[trytond.modules]\nticketdesk = ticketdesk\n")

    def call(self, method, path, **options):
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = requests.request(method, f"{self.url}/{NAME}/rest/model{path}", headers=headers, timeout=30, **options)
        assert answer.status_code < 300, f"{answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def create(self, jpeg, title="cannot print"):
        """A ticket with a picture: the file lies on disk as soon as its attachment is saved."""
        ticket = self.call("POST", f"/{MODEL}", json={"name": title})["id"]
        self.attach(ticket, jpeg)
        return str(ticket)

    def attach(self, ticket, jpeg):
        data = {"__class__": "bytes", "base64": base64.b64encode(jpeg).decode()}
        values = {"name": "shot.jpg", "resource": f"{MODEL},{ticket}", "data": data}
        self.call("POST", "/ir.attachment", json=values)

    def ticket(self, id_):
        return self.call("GET", f"/{MODEL}/{id_}?f=name&f=category&f=confidence")

    def set(self, id_, **fields):
        """What an agent changes by hand."""
        self.call("PUT", f"/{MODEL}/{id_}", json=fields)

    def notes(self, id_):
        domain = json.dumps([["resource", "=", f"{MODEL},{id_}"]]).encode()
        found = self.call("GET", f"/ir.note?d={base64.urlsafe_b64encode(domain).decode()}&f=message")
        return [one["message"] for one in found]
