"""Roundup 2.6.0: one classic tracker on SQLite with two own fields, internal notes and a signing webhook."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import requests

from tests.support.loopback import free_port
from tests.support.ticket_systems import end, venv, wait_for

HERE = Path(__file__).parent
CATEGORIES = ("reports", "errors", "screens", "tickets")
FIELDS = 'keyword=Multilink("keyword"),'


class Roundup:
    def __init__(self, hook_url="", hook_secret="hook-secret-for-tests"):
        self.bin = venv("roundup-2.6.0", "roundup==2.6.0")
        # As root the server becomes `nobody`, who may not look into pytest's own folders.
        self.folder = Path(tempfile.mkdtemp(prefix="roundup-"))
        self.folder.chmod(0o755)
        self.tracker = self.folder / "tracker"
        self.files = self.tracker / "db" / "files"
        self.database = f"sqlite:///{self.tracker / 'db' / 'db'}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/tracker"
        self.hook_secret = hook_secret
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "HOOK_URL": hook_url}
        self.environment["HOOK_SECRET"] = hook_secret

    def admin(self, *words):
        command = [str(self.bin / "roundup-admin"), "-i", str(self.tracker), *words]
        run = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        assert run.returncode == 0, run.stderr + run.stdout

    def __enter__(self):
        options = [f"tracker_web={self.url}/", "admin_email=admin@localhost", "mail_domain=localhost"]
        options += ["mail_host=127.0.0.1", f"mail_debug={self.folder}/mail.log", "password_pbkdf2_default_rounds=10000"]
        self.admin("install", "classic", "sqlite", ",".join(options))
        schema = self.tracker / "schema.py"
        text = schema.read_text()
        assert FIELDS in text
        text = text.replace(
            FIELDS, f"{FIELDS}\n                category=String(),\n                confidence=Number(),", 1
        )
        schema.write_text(text)
        shutil.copy(HERE / "roundup_hook.py", self.tracker / "detectors" / "webhook.py")
        self.admin("initialise", "admin-pw")
        for name in ("bot", "alice"):
            self.admin(
                "create", "user", f"username={name}", f"password={name}-pw", f"address={name}@localhost", "roles=User"
            )
        for keyword in CATEGORIES:
            self.admin("create", "keyword", f"name={keyword}")
        words = [str(self.bin / "roundup-server"), "-n", "127.0.0.1", "-p", str(self.port), "-t", "thread"]
        if os.getuid() == 0:  # it refuses to run as root
            subprocess.run(["chown", "-R", "nobody", str(self.tracker)], check=True)
            words += ["-u", "nobody"]
        self.log = open(self.folder / "server.log", "wb")
        words.append(f"tracker={self.tracker}")
        self.process = subprocess.Popen(words, env=self.environment, stdout=self.log, stderr=self.log, cwd=self.folder)
        wait_for(self.url + "/", self.process)
        return self

    def __exit__(self, *_):
        end(self.process)
        self.log.close()
        shutil.rmtree(self.folder)

    def call(self, method, path, user="alice", **options):
        headers = {"X-Requested-With": "rest", "Origin": self.url.rsplit("/", 1)[0], "Referer": self.url + "/"}
        headers |= {"Accept": "application/json", **options.pop("headers", {})}
        address = f"{self.url}/rest/data{path}"
        answer = requests.request(method, address, auth=(user, f"{user}-pw"), headers=headers, timeout=20, **options)
        assert answer.status_code < 300, answer.text
        return answer.json()["data"]

    def create(self, jpeg, title="cannot print"):
        """An issue with a picture: the file is uploaded first, so it lies on disk before its issue."""
        form = {"name": "shot.jpg", "type": "image/jpeg"}
        file = self.call("POST", "/file", data=form, files={"content": ("shot.jpg", jpeg, "image/jpeg")})["id"]
        return self.call("POST", "/issue", json={"title": title, "files": [file]})["id"]

    def issue(self, id_):
        return self.call("GET", f"/issue/{id_}?@verbose=2")["attributes"]

    def keywords(self, id_):
        return sorted(one["name"] for one in self.issue(id_)["keyword"])

    def notes(self, id_):
        """The contents of all messages of an issue."""
        messages = self.issue(id_)["messages"]
        return [self.call("GET", f"/msg/{one['id']}/content")["data"] for one in messages]

    def set(self, id_, user="alice", **fields):
        """What an agent changes by hand."""
        etag = self.call("GET", f"/issue/{id_}")["@etag"]
        return self.call("PATCH", f"/issue/{id_}", user, json=fields, headers={"If-Match": etag})
