"""`ticketbot serve` of a World as real processes, on a port of its own.

with Service(world) as service:
    service.wait_ready()
    service.get("/healthz")
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import requests

from tests.support.loopback import free_port
from tests.support.world import ROOT

START_S = 30  # on a machine that is busy with other tests


class Service:
    """`ticketbot serve` of a World, on a port of its own."""

    def __init__(self, world, command=("serve",), **environment):
        self.port = free_port()
        variables = {
            "TICKETBOT_WEB__PORT": str(self.port),
            "TICKETBOT_GENERAL__BASE_URL": self.url(""),
            "TICKETBOT_LOG__FORMAT": "json",
            **environment,
        }
        self.log = open(world.folder / "serve.log", "w")  # noqa: SIM115 - closed in __exit__
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ticketbot", "--config", str(world.config), *command],
            stderr=self.log,
            cwd=ROOT,
            env={**os.environ, **world.more, **variables},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        self.log.close()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path, **options):
        with requests.Session() as session:
            session.trust_env = False
            return session.get(self.url(path), timeout=10, allow_redirects=False, **options)

    def wait_ready(self):
        """-> seconds from the start to the first 200."""
        while time.monotonic() - self.started < START_S:
            assert self.process.poll() is None, self.said()
            try:
                if self.get("/healthz").status_code == 200:
                    return time.monotonic() - self.started
            except requests.ConnectionError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"not ready in {START_S} s: {self.said()}")

    def children(self):
        """{pid: process} of web and worker."""
        return {child.pid: child for child in psutil.Process(self.process.pid).children()}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(45)

    def said(self):
        return Path(self.log.name).read_text()

    def events(self):
        return [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]


def eventually(check, timeout_s=START_S):
    until = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.05)
    return found
