"""With which key are sessions and forms signed?"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ticketbot.settings import Settings


def secret_key(settings: Settings) -> str:
    """web.secret_key, or one made once and kept in data_dir, readable by the owner only."""
    return settings.web.secret_key or _kept(settings.data_dir / "secret_key")


def _kept(path: Path) -> str:
    """Read the key; the first of several processes writes it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        mine = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(mine, path)
        except FileExistsError:
            pass  # another process was quicker: its key counts
        mine.unlink()
    return path.read_text().strip()
