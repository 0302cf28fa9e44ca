"""How do secrets lie in the database, and where is the key?

Encrypted with Fernet (AES-128-CBC + HMAC-SHA256). The master key is `web.secret_key` when it is set (several machines
need the same one), else 32 random bytes in data_dir/secret.key, made once with mode 0600. Every purpose gets a key of
its own, derived from the master, so that none of them says anything about another.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ticketbot.errors import SettingsError
from ticketbot.settings import Settings

KEY_FILE = "secret.key"
KEY_BYTES = 32


def derived_key(settings: Settings, purpose: str) -> bytes:
    """32 bytes for one purpose ("session", "endpoint secrets"), the same at every start. Raises SettingsError."""
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=purpose.encode()).derive(_master(settings))


def encrypt(settings: Settings, purpose: str, text: str) -> str:
    return _box(settings, purpose).encrypt(text.encode()).decode()


def decrypt(settings: Settings, purpose: str, token: str) -> str:
    """The text again. Raises SettingsError when it was encrypted with another key."""
    try:
        return _box(settings, purpose).decrypt(token.encode()).decode()
    except InvalidToken:
        raise SettingsError(
            f"{purpose}: encrypted with another key; put web.secret_key or {KEY_FILE} back as it was, or make new ones"
        ) from None


def _box(settings: Settings, purpose: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(derived_key(settings, purpose)))


def _master(settings: Settings) -> bytes:
    if settings.web.secret_key:
        return hashlib.sha256(settings.web.secret_key.encode()).digest()
    path = settings.data_dir / KEY_FILE
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = _make(path)
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    if len(key) != KEY_BYTES:
        raise SettingsError(f"{path} does not hold {KEY_BYTES} bytes; put it back from a backup, or set web.secret_key")
    return key


def _make(path: Path) -> bytes:
    """Write a new key whole, then link it into place: of two processes at once one wins, and both read that one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
    finally:
        os.unlink(draft)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path.read_bytes()
