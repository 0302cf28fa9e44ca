"""Redmine from its Debian package, an instance of its own on SQLite below a folder of the test."""

import json
import os
import subprocess
import time
from pathlib import Path

import requests

from tests.support.loopback import free_port
from tests.support.needs import missing
from tests.support.ticket_systems import end, wait_for

HERE = Path(__file__).parent
INSTALLED = Path("/usr/share/redmine")
START_S = 240


class Redmine:
    """`files`: the tree of attachments; `database`: for lookups; `fields`: ids of category, confidence and tags."""

    def __init__(self, folder):
        if not (INSTALLED / "bin" / "rails").exists():
            missing("Redmine is not installed: apt-get install redmine redmine-sqlite")
        self.folder = Path(folder)
        self.files = self.folder / "files"
        self.database = f"sqlite:///{self.folder / 'redmine.db'}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        for name in ("config", "files", "log", "tmp", "public"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "config" / "database.yml").write_text(
            f"production:\n  adapter: sqlite3\n  database: {self.folder / 'redmine.db'}\n  timeout: 10000\n"
        )
        (self.folder / "config" / "secret_key.txt").write_text("0123456789abcdef" * 4)
        made = self.folder / "made.json"
        # Debian's Redmine keeps its sites below its own folder; the name of one may lead out of it.
        site = os.path.relpath(self.folder, INSTALLED / "instances")
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "RAILS_ENV": "production"}
        environment |= {"REDMINE_INSTANCE": site, "MADE": str(made), "PORT": str(self.port), "LANG": "C.UTF-8"}
        self.log = open(self.folder / "server.log", "wb")
        words = [str(INSTALLED / "bin" / "rails"), "runner", str(HERE / "redmine.rb")]
        self.process = subprocess.Popen(words, env=environment, cwd=INSTALLED, stdout=self.log, stderr=self.log)
        ends_at = time.monotonic() + START_S
        while not made.exists():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
            assert time.monotonic() < ends_at, "Redmine was not set up in time"
            time.sleep(0.2)
        wait_for(self.url + "/", self.process)
        vars(self).update(json.loads(made.read_text()))
        return self

    def __exit__(self, *_):
        end(self.process)
        self.log.close()

    def call(self, method, path, user="alice", status=(200, 201, 204), **options):
        headers = {"X-Redmine-API-Key": self.keys[user], **options.pop("headers", {})}
        answer = requests.request(method, self.url + path, headers=headers, timeout=60, **options)
        assert answer.status_code in status, f"{answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content.strip() else None

    def create(self, jpeg, title="cannot print"):
        """An issue with a picture: it is uploaded first, so it lies on disk before its issue."""
        headers = {"Content-Type": "application/octet-stream"}
        upload = self.call("POST", "/uploads.json?filename=shot.jpg", data=jpeg, headers=headers)["upload"]
        uploads = [{"token": upload["token"], "filename": "shot.jpg", "content_type": "image/jpeg"}]
        issue = {"project_id": self.project, "subject": title, "uploads": uploads, "priority_id": 2}
        return str(self.call("POST", "/issues.json", json={"issue": issue})["issue"]["id"])

    def field(self, id_, name):
        issue = self.call("GET", f"/issues/{id_}.json")["issue"]
        return next(one.get("value") for one in issue["custom_fields"] if one["id"] == self.fields[name])

    def set(self, id_, **values):
        """What an agent changes by hand."""
        fields = [{"id": self.fields[name], "value": value} for name, value in values.items()]
        self.call("PUT", f"/issues/{id_}.json", json={"issue": {"custom_fields": fields}})

    def notes(self, id_):
        """Private notes, as an agent who may see them reads them."""
        journals = self.call("GET", f"/issues/{id_}.json?include=journals")["issue"]["journals"]
        return [one["notes"] for one in journals if one.get("notes") and one["private_notes"]]
