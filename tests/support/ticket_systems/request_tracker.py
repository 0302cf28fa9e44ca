"""Request Tracker 5 from its Debian package, on SQLite below a folder of the test, attachments stored on disk."""

import base64
import json
import os
import re
import subprocess
from pathlib import Path

import requests

from tests.support.loopback import free_port
from tests.support.needs import missing
from tests.support.ticket_systems import end, wait_for

HERE = Path(__file__).parent
INSTALLED = Path("/usr/share/request-tracker5")
CONFIG = """Set($rtname, 'test');
Set($Organization, 'test');
Set($WebDomain, '127.0.0.1');
Set($WebPort, {port});
Set($WebPath, '');
Set($DatabaseType, 'SQLite');
Set($DatabaseName, '{folder}/rt.db');
Set($MailCommand, 'mbox');
Set($LogToSTDERR, 'warning');
Set($LogToFile, '');
Set($LogToSyslog, '');
Set(%ExternalStorage, Type => 'Disk', Path => '{folder}/files');
Set($ExternalStorageCutoffSize, 0);
Set($MasonDataDir, '{folder}/mason');
Set($MasonSessionDir, '{folder}/session');
Set($MasonLocalComponentRoot, '{folder}/local');
1;
"""


class RequestTracker:
    """`files`: the tree of the external storage; `database`: for lookups; `tokens` of bot and alice."""

    def __init__(self, folder, hook_url="", hook_token=""):
        if not (INSTALLED / "libexec" / "rt-server").exists():
            missing("Request Tracker is not installed: apt-get install request-tracker5 rt5-db-sqlite")
        self.folder = Path(folder)
        self.files = self.folder / "files"
        self.database = f"sqlite:///{self.folder / 'rt.db'}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = self.folder / "RT_SiteConfig.pm"
        self.environment = {"PATH": os.environ["PATH"] + ":/usr/sbin", "HOME": str(self.folder), "LANG": "C.UTF-8"}
        self.environment |= {"RT_SITE_CONFIG": str(config), "RT_SITE_CONFIG_DIR": str(self.folder / "none")}

        if hook_url:
            page = (HERE.parent.parent.parent / "docs" / "ticket-systems.md").read_text()
            code = re.search(r"```perl\n(.*?)```", page, re.S)[1]
            code = code.replace("https://ticketbot.example.com/inbound/rt", hook_url).replace("THE SECRET", hook_token)
            self.code = code
            self.environment |= {"HOOK_URL": hook_url, "HOOK_CODE": str(self.folder / "scrip.pl")}

    def run(self, *words):
        options = {"capture_output": True, "text": True, "env": self.environment, "cwd": self.folder}
        done = subprocess.run([str(word) for word in words], **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def __enter__(self):
        for name in ("files", "mason", "session", "local", "none"):
            (self.folder / name).mkdir(parents=True)
        text = CONFIG.replace("{port}", str(self.port)).replace("{folder}", str(self.folder))
        (self.folder / "RT_SiteConfig.pm").write_text(text)
        if "HOOK_CODE" in self.environment:
            Path(self.environment["HOOK_CODE"]).write_text(self.code)
        self.run("rt-setup-database-5", "--action", "init")
        self.tokens = json.loads(self.run("perl", HERE / "request_tracker.pl").splitlines()[-1])
        self.log = open(self.folder / "server.log", "wb")
        words = [str(INSTALLED / "libexec" / "rt-server"), "--server", "Standalone", "--port", str(self.port)]
        options = {"env": self.environment, "cwd": self.folder, "stdout": self.log, "stderr": self.log}
        self.process = subprocess.Popen([*words, "--host", "127.0.0.1"], **options)
        wait_for(self.url + "/", self.process)
        return self

    def __exit__(self, *_):
        end(self.process)
        self.log.close()

    def call(self, method, path, user="alice", **options):
        headers = {"Authorization": f"token {self.tokens[user]}"}
        answer = requests.request(method, f"{self.url}/REST/2.0{path}", headers=headers, timeout=60, **options)
        assert answer.status_code < 300, f"{answer.status_code} {answer.text[:500]}"
        return answer.json()

    def create(self, jpeg, title="cannot print", *, moved=True):
        """A ticket with a picture; `moved`: RT's job has moved it from the database to the disk."""
        file = {"FileName": "shot.jpg", "FileType": "image/jpeg", "FileContent": base64.b64encode(jpeg).decode()}
        ticket = {"Queue": "General", "Subject": title, "Content": "see picture", "Attachments": [file]}
        made = self.call("POST", "/ticket", json=ticket)
        if moved:
            self.run("rt-externalize-attachments-5")
        return str(made["id"])

    def field(self, id_, name):
        """All values of a custom field."""
        fields = self.call("GET", f"/ticket/{id_}")["CustomFields"]
        return next(one["values"] for one in fields if one["name"] == name)

    def set(self, id_, **values):
        """What an agent changes by hand."""
        self.call("PUT", f"/ticket/{id_}", json={"CustomFields": values})

    def notes(self, id_):
        """The texts of all comments."""
        found = self.call("GET", f"/ticket/{id_}/history?fields=Type&per_page=100")["items"]
        comments = [one["id"] for one in found if one["Type"] == "Comment"]
        parts = [self.call("GET", f"/transaction/{one}/attachments")["items"] for one in comments]
        texts = [self.call("GET", f"/attachment/{one['id']}") for items in parts for one in items]
        return [base64.b64decode(one["Content"]).decode().strip() for one in texts]
