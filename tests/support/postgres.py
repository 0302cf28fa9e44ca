"""A real PostgreSQL from Debian's packages: a cluster of its own in a temporary folder, on a loopback port of its own.

PostgreSQL refuses to run as root, so as root it is started as the user `postgres` that Debian's package made.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.loopback import free_port

BIN = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """The folder of initdb and pg_ctl, newest version first; None when PostgreSQL is not installed."""
    versions = sorted(BIN.glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]), reverse=True)
    return versions[0].parent if versions else None


class Cluster:
    """start(), stop(), restart(immediate=True); `url(name)` for a database of that name."""

    def __init__(self, bin_dir: Path, *, durable: bool = False) -> None:
        self.bin = bin_dir
        self.folder = Path(tempfile.mkdtemp(prefix="ticketbot-pg-"))
        self.port = free_port()
        self.as_user = "postgres" if os.geteuid() == 0 else None
        if self.as_user:
            account = pwd.getpwnam(self.as_user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self._run("initdb", "-D", self.data, "-U", "ticketbot", "-A", "trust", "-E", "UTF8", "--no-sync")
        lines = [
            f"port = {self.port}",
            "listen_addresses = '127.0.0.1'",
            f"unix_socket_directories = '{self.folder}'",
            "max_connections = 200",
            f"fsync = {'on' if durable else 'off'}",
        ]
        with open(Path(self.data) / "postgresql.conf", "a") as file:
            file.write("\n".join(lines) + "\n")

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def url(self, name: str = "postgres") -> str:
        return f"postgresql+psycopg://ticketbot@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-w", "-l", str(self.folder / "log"), "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def remove(self) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.bin / program), *arguments],
            user=self.as_user,
            group=self.as_user,
            extra_groups=[],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe would stay open in the server and never end
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            timeout=60,
        )
        if done.returncode:
            log = self.folder / "log"
            raise RuntimeError(f"{program} failed ({done.returncode}): {log.read_text() if log.exists() else ''}")
