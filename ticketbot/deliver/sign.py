"""Is this webhook really from us, unchanged and fresh?

Standard Webhooks 1.0.0, HMAC-SHA256 only: `v1,base64(hmac(secret, id + "." + timestamp + "." + body))`. Receivers may
copy this file. Own code, because the reference package signs naive local times hours off and dies with ValueError,
UnicodeDecodeError or JSONDecodeError on hostile input; both directions are cross-checked against it in the tests.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets as random_source
import time
from collections.abc import Mapping, Sequence

from ticketbot.errors import SettingsError, SignatureRefused

PREFIX = "whsec_"
SECRET_BYTES = (24, 64)  # the specification's bounds
TOLERANCE_S = 300
MAX_SIGNATURES = 10
ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
TIMESTAMP = re.compile(r"[0-9]{1,12}")  # digits only: float() would also take 1e9, nan and " 1"
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


def new_secret() -> str:
    """A new random secret of 32 bytes, `whsec_…`."""
    return PREFIX + base64.b64encode(random_source.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The 24 to 64 key bytes of `whsec_<base64>`. Raises SettingsError, which never shows the secret."""
    text = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    low, high = SECRET_BYTES
    if not secret.startswith(PREFIX) or not low <= len(key) <= high:
        raise SettingsError(f"a webhook secret is {PREFIX} and the base64 of {low} to {high} random bytes")
    return key


def sign(body: bytes, msg_id: str, timestamp: int, secrets: Sequence[str]) -> dict[str, str]:
    """The three headers for these very bytes; one signature a secret (two while a secret is rotated).

    `timestamp` is the Unix second of this attempt; `msg_id` stays the same on every repeat.
    """
    if not ID.fullmatch(msg_id) or not secrets:
        raise ValueError("needs an id of [A-Za-z0-9_-]{1,128} and at least one secret")
    stamp = str(int(timestamp))
    signatures = " ".join(_signature(key_of(secret), msg_id, stamp, body) for secret in secrets)
    return dict(zip(HEADERS, (msg_id, stamp, signatures), strict=True))


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secret_or_secrets: str | Sequence[str],
    *,
    now: float | None = None,
    tolerance_s: float = TOLERANCE_S,
) -> str:
    """The webhook-id when a signature over exactly these bytes is valid and fresh; raises SignatureRefused otherwise.

    Keep the id for at least four days and ignore a second one: the same id is the same event.
    """
    secrets = [secret_or_secrets] if isinstance(secret_or_secrets, str) else list(secret_or_secrets)
    keys = [key_of(secret) for secret in secrets]
    msg_id, stamp, signatures = _the_three(headers)
    if not ID.fullmatch(msg_id):
        raise SignatureRefused("webhook-id is not 1 to 128 of [A-Za-z0-9_-]")
    if not TIMESTAMP.fullmatch(stamp):
        raise SignatureRefused("webhook-timestamp is not a whole number of seconds")
    if abs((time.time() if now is None else now) - int(stamp)) > tolerance_s:
        raise SignatureRefused("webhook-timestamp is too far from our clock")
    given = signatures.split(" ")
    if len(given) > MAX_SIGNATURES:
        raise SignatureRefused(f"more than {MAX_SIGNATURES} signatures")
    # Whole entries are compared, so `v1a,…` (another algorithm) and `v1,a,b` are only unequal, never parsed.
    wanted = [_signature(key, msg_id, stamp, body).encode() for key in keys]
    found = [hmac.compare_digest(want, got.encode("utf-8", "replace")) for want in wanted for got in given]
    if not any(found):
        raise SignatureRefused("no signature matches")
    return msg_id


def _signature(key: bytes, msg_id: str, stamp: str, body: bytes) -> str:
    digest = hmac.new(key, f"{msg_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def _the_three(headers: Mapping[str, str]) -> tuple[str, str, str]:
    found: dict[str, str] = {}
    for name, value in headers.items():
        name = name.lower()
        if name in HEADERS:
            if name in found or not isinstance(value, str):
                raise SignatureRefused(f"{name} is there twice, or is not text")
            found[name] = value
    if len(found) != len(HEADERS):
        raise SignatureRefused("needs webhook-id, webhook-timestamp and webhook-signature")
    return found["webhook-id"], found["webhook-timestamp"], found["webhook-signature"]
