"""The machine: settings file, data folder, room, clock."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ticketbot.operate import plainly
from ticketbot.operate.checks.finding import Finding, Patient, fault, note, ok

MB = 2**20
# With less, /readyz says no and the database may fail at any moment.
ROOM_LEAST_MB = 16
ROOM_GOOD_MB = 1024
SKEW_S = 2.0
# Nobody runs this before it was written: a machine whose clock starts in 1970 or 2000.
WRITTEN_AT = 1_790_000_000.0
SECRET_FILES = ("secret.key", "secret_key")


def me() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def settings_file(patient: Patient) -> Iterator[Finding]:
    path = patient.config
    if path is None:
        yield note("settings file", "none was named: defaults and the environment only", "ticketbot init writes one")
        return
    mode = path.stat().st_mode
    if _holds_secrets(path) and mode & stat.S_IROTH:
        yield fault(
            "settings file", f"{path} holds a password or secret and everybody may read it", f"chmod 640 {path}"
        )
        return
    if mode & stat.S_IWOTH:
        yield fault("settings file", f"everybody may change {path}", f"chmod 640 {path}")
        return
    yield ok("settings file", f"{path}, every key known")


def data_folder(patient: Patient) -> Iterator[Finding]:
    folder = patient.settings.data_dir
    if not folder.is_dir():
        yield fault(
            "data folder", f"{folder} does not exist", f"mkdir -p {folder}; chown {me()} {folder}; ticketbot init"
        )
        return
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        yield fault("data folder", f"{me()} cannot write to {folder}: {error.strerror}", f"chown -R {me()} {folder}")
        return
    staging = folder / "staging"
    try:
        with tempfile.TemporaryFile(dir=staging if staging.exists() else folder) as file:
            file.write(b"x")
    except OSError as error:
        yield fault("data folder", f"{me()} cannot write to {staging}: {error.strerror}", f"chown -R {me()} {folder}")
        return
    open_to_all = [name for name in SECRET_FILES if (folder / name).is_file() and _others_may_read(folder / name)]
    if open_to_all:
        paths = " ".join(str(folder / name) for name in open_to_all)
        yield fault("data folder", f"everybody may read the key {open_to_all[0]}", f"chmod 600 {paths}")
        return
    if os.geteuid() == 0:
        yield note("data folder", "this runs as root; files made now are root's", "run doctor as the service's user")
    yield ok("data folder", f"{folder} can be written")


def disk(patient: Patient) -> Iterator[Finding]:
    folder = patient.settings.data_dir
    if not folder.is_dir():
        return
    free_mb = shutil.disk_usage(folder).free // MB
    inodes = os.statvfs(folder)
    if free_mb < ROOM_LEAST_MB or (inodes.f_files and inodes.f_favail < 1000):
        yield fault("disk", f"{free_mb:,} MB and {inodes.f_favail:,} files are free in {folder}", "make room")
    elif free_mb < ROOM_GOOD_MB:
        yield note("disk", f"only {free_mb:,} MB are free in {folder}", "make room, or set staging.keep_days")
    else:
        yield ok("disk", f"{free_mb:,} MB free")


def clock(patient: Patient) -> Iterator[Finding]:
    """Against the disk (a file server has a clock of its own). Databases and receivers are compared in their checks."""
    now = patient.now()
    if now < WRITTEN_AT:
        yield fault(
            "clock", f"it says {time.strftime('%Y-%m-%d', time.gmtime(now))}", "set it: timedatectl set-ntp true"
        )
        return
    if patient.settings.data_dir.is_dir():
        with tempfile.TemporaryFile(dir=patient.settings.data_dir) as file:
            file.write(b"x")
            file.flush()
            away_s = os.fstat(file.fileno()).st_mtime - patient.now()
        if abs(away_s) > SKEW_S:
            yield fault("clock", f"the disk of data_dir is {away_s:+.0f} s away from ours", "set both clocks by NTP")
            return
    yield ok("clock", time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now)))


def _holds_secrets(path: Path) -> bool:
    text = path.read_text(errors="replace")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    words = ("whsec_", "secret_key", "password")
    return any(
        (any(word in line for word in words) and '""' not in line) or plainly.PASSWORD.search(line) for line in lines
    )


def _others_may_read(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IROTH | stat.S_IRGRP))
