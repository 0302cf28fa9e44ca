"""A real Redis on a loopback port of its own, and what a test does to it."""

import shutil
import socket
import subprocess
import tempfile
import time

from tests.support.loopback import free_port
from tests.support.needs import missing


def program():
    """Where redis-server is; skips (or fails in CI) when it is not installed."""
    found = shutil.which("redis-server")
    if found is None:
        missing("redis-server is not installed (apt-get install redis-server)")
    return found


class Redis:
    """with Redis() as redis: redis.url; redis.say("FLUSHALL"); redis.stop(); redis.start()"""

    def __init__(self):
        self.program, self.port = program(), free_port()
        self.folder = tempfile.mkdtemp(prefix="ticketbot-redis-")
        self.process = None

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder]
        self.process = subprocess.Popen([self.program, *words], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while True:
            try:
                assert self.say("PING") == b"+PONG"
                return self
            except OSError:
                assert time.monotonic() < until, "Redis did not start"
                time.sleep(0.02)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def say(self, *words):
        """One command, and the first line of the answer."""
        said = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one.encode()) for one in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(said)
            return connection.makefile("rb").readline().rstrip()

    __enter__ = start

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
