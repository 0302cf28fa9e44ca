"""Is a backup what its backup.json says? Read again, not believed."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from ticketbot.contracts import bundle
from ticketbot.contracts.files import sha256_of
from ticketbot.errors import BundleRefused, UsageError

MANIFEST = "backup.json"
FORMAT_VERSION = 1


def read(folder: Path) -> dict[str, Any]:
    """backup.json of a folder. Raises UsageError when it is no backup, or one of a newer format."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{folder} is not a backup: it has no {MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / MANIFEST} cannot be read: {error}") from None
    if not isinstance(found, dict) or found.get("format_version") != FORMAT_VERSION:
        version = found.get("format_version") if isinstance(found, dict) else None
        raise UsageError(f"{folder} is a backup of format {version}; this program reads {FORMAT_VERSION}")
    return found


def backup(folder: Path) -> dict[str, Any]:
    """Every file by its hash, the database by its own check and its rows, every bundle. Raises UsageError.

    -> backup.json
    """
    found = read(folder)
    for name, expected in found["files"].items():
        path = folder / name
        if not path.is_file():
            raise UsageError(f"the backup {folder} lacks {name}")
        if sha256_of(path) != expected:
            raise UsageError(f"{name} in the backup {folder} is damaged (its sha256 differs)")
    if found["database"].endswith(".db"):
        _sqlite(folder / found["database"], found["rows"])
    else:
        _dump(folder / found["database"])
    for model_id in found["models"]:
        try:
            bundle.read(folder / "models" / model_id)
        except BundleRefused as error:
            raise UsageError(f"the model {model_id} in the backup {folder}: {error}") from None
    return found


def _sqlite(path: Path, rows: dict[str, int]) -> None:
    """Read as it lies, without a lock or a WAL: nothing is written beside it."""
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        said = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        counts = {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in rows}  # noqa: S608
    except sqlite3.Error as error:
        raise UsageError(f"the database in the backup cannot be read: {error}") from None
    finally:
        connection.close()
    if said != "ok":
        raise UsageError(f"the database in the backup is damaged: {said.splitlines()[-1]}")
    if wrong := [name for name in rows if counts[name] != rows[name]]:
        raise UsageError(f"the table {wrong[0]} in the backup has {counts[wrong[0]]} rows instead of {rows[wrong[0]]}")


def _dump(path: Path) -> None:
    done = subprocess.run(["pg_restore", "--list", str(path)], capture_output=True, text=True)  # noqa: S607 - by PATH
    if done.returncode != 0:
        raise UsageError(f"the dump in the backup cannot be read: {done.stderr.strip().splitlines()[-1]}")
