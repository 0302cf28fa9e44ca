"""A real MariaDB for tests, in a folder of its own, on a loopback port."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pymysql

from tests.support.loopback import free_port
from tests.support.needs import missing
from tests.support.ticket_systems import end


class MariaDB:
    """with MariaDB(folder) as found: found.url, found.execute("CREATE TABLE …")"""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.server = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
        self.installer = shutil.which("mariadb-install-db")
        if not self.server or not self.installer:
            missing("MariaDB is not installed (apt-get install mariadb-server)")
        self.port = free_port()
        self.url = f"mysql+pymysql://reader:reader-pw@127.0.0.1:{self.port}/erp"

    def __enter__(self):
        data = self.folder / "data"
        own = ["--no-defaults", f"--datadir={data}"]
        if os.getuid() == 0:
            own.append("--user=root")
        made = subprocess.run([self.installer, *own, "--auth-root-authentication-method=normal"], capture_output=True)
        assert made.returncode == 0, made.stderr
        socket = self.folder / "s"
        words = [self.server, *own, f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={socket}"]
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen([*words, "--innodb-buffer-pool-size=16M"], stdout=self.log, stderr=self.log)
        ends_at = time.monotonic() + 60
        while not socket.exists():
            assert self.process.poll() is None and time.monotonic() < ends_at, (self.folder / "log").read_text()
            time.sleep(0.1)
        self.connection = pymysql.connect(unix_socket=str(socket), user="root", autocommit=True)
        self.execute("CREATE DATABASE erp")
        # A reader who could write: it is we who must not.
        for host in ("%", "localhost"):
            self.execute(f"CREATE USER reader@'{host}' IDENTIFIED BY 'reader-pw'")
            self.execute(f"GRANT ALL ON erp.* TO reader@'{host}'")
        self.execute("USE erp")
        return self

    def __exit__(self, *_):
        self.connection.close()
        end(self.process)
        self.log.close()

    def execute(self, statement, *values):
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall()
