"""django-helpdesk 2.6.1: one Django project on SQLite, a queue, custom fields, two staff users (bot, agent)."""

import os
import subprocess
from pathlib import Path

import requests

from tests.support.loopback import free_port
from tests.support.ticket_systems import end, venv, wait_for

HERE = Path(__file__).parent
PACKAGES = ("django-helpdesk==2.6.1", "gunicorn")


class DjangoHelpdesk:
    def __init__(self, folder, hook_url="", throttle=""):
        self.bin = venv("django-helpdesk-2.6.1", *PACKAGES)
        self.folder = Path(folder)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.media = self.folder / "media"
        self.media.mkdir(parents=True)
        self.throttle_file = self.folder / "throttle"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "STATE": str(self.folder),
            "DJANGO_SETTINGS_MODULE": "hd.settings",
            "PYTHONPATH": str(HERE),
            "HD_THROTTLE": throttle,
            "HELPDESK_NEW_TICKET_WEBHOOK_URLS": hook_url,
            "HELPDESK_FOLLOWUP_WEBHOOK_URLS": hook_url,
        }

    def __enter__(self):
        for command in (["django-admin", "migrate", "-v", "0"], ["python", str(HERE / "hd" / "init.py")]):
            run = subprocess.run(
                [str(self.bin / command[0]), *command[1:]], env=self.environment, capture_output=True, text=True
            )
            assert run.returncode == 0, run.stderr
        words = [str(self.bin / "gunicorn"), "-w", "1", "--threads", "4", "-b", f"127.0.0.1:{self.port}"]
        words.append("django.core.wsgi:get_wsgi_application()")
        self.log = open(self.folder / "server.log", "wb")
        self.process = subprocess.Popen(words, env=self.environment, stdout=self.log, stderr=self.log)
        wait_for(f"{self.url}/api/", self.process)
        return self

    def __exit__(self, *_):
        end(self.process)
        self.log.close()

    def call(self, method, path, user="agent", **options):
        answer = requests.request(method, self.url + path, auth=(user, f"{user}-pw"), timeout=20, **options)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def create(self, jpeg, title="cannot print", name="shot.jpg"):
        """A ticket with a picture; its id."""
        data = {"queue": 1, "title": title, "description": "see picture", "priority": 3}
        data["submitter_email"] = "alice@example.com"
        files = {"attachment": (name, jpeg, "image/jpeg")}
        return str(self.call("POST", "/api/tickets/", data=data, files=files)["id"])

    def ticket(self, id_):
        return self.call("GET", f"/api/tickets/{id_}/")

    def set(self, id_, **fields):
        """What an agent changes by hand."""
        return self.call("PATCH", f"/api/tickets/{id_}/", json=fields)

    def notes(self, id_):
        return [one for one in self.ticket(id_)["followup_set"] if not one["public"]]
