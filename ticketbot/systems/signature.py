"""Did this ticket system send these bytes? The signature schemes that ticket systems use, checked on the raw body.

    hmac_sha256, hmac_sha1   over the body, or over timestamp and body in the system's order; hex or base64
    token                    a fixed text in a header
    none                     nothing is signed: then the caller's address must be in the source's `callers`

Pure: values in, nothing or SignatureRefused out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from ticketbot.errors import SignatureRefused
from ticketbot.systems.preset import Inbound

HASHES = {"hmac_sha256": hashlib.sha256, "hmac_sha1": hashlib.sha1}
MAX_HEADER_CHARS = 1000


def verify(
    how: Inbound,
    secret: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    address: str,
    callers: Sequence[str],
    now: float,
    tolerance_s: float,
) -> None:
    """Raises SignatureRefused. `callers`: addresses and networks that may call; empty: any, if it signs."""
    if callers and not _is_among(address, callers):
        raise SignatureRefused("this address may not call")
    if how.scheme == "none":
        if not callers:
            raise SignatureRefused("nothing is signed and no callers are named")
        return
    if not secret:
        raise SignatureRefused("there is no secret to check with")
    given = _header(headers, how.header)
    if how.scheme == "token":
        if not _equal(given, how.prefix + secret):
            raise SignatureRefused("the token is not ours")
        return
    stamp = ""
    if how.timestamp_header:
        stamp = _header(headers, how.timestamp_header)
        if abs(_seconds(stamp) - now) > tolerance_s:
            raise SignatureRefused("the timestamp is too far from our clock")
    digest = hmac.new(secret.encode(), _signed(how.signed, stamp, body), HASHES[how.scheme]).digest()
    text = digest.hex() if how.encoding == "hex" else base64.b64encode(digest).decode()
    if how.encoding == "hex":
        given = given.lower()
    if not _equal(given, how.prefix + text):
        raise SignatureRefused("the signature does not match")


def _header(headers: Mapping[str, str], name: str) -> str:
    value = next((text for one, text in headers.items() if one.lower() == name.lower()), "")
    if not value or len(value) > MAX_HEADER_CHARS:
        raise SignatureRefused(f"needs the header {name}")
    return value.strip()


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _signed(order: str, stamp: str, body: bytes) -> bytes:
    parts = re.split(r"(\{timestamp\}|\{body\})", order)
    known = {"{timestamp}": stamp.encode(), "{body}": body}
    return b"".join(known.get(part, part.encode()) for part in parts)


def _seconds(stamp: str) -> float:
    """Unix seconds or milliseconds, or ISO 8601."""
    if re.fullmatch(r"[0-9]{1,15}", stamp):
        number = float(stamp)
        return number / 1000 if number > 1e11 else number
    try:
        moment = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except ValueError:
        raise SignatureRefused("the timestamp is none") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_among(address: str, callers: Sequence[str]) -> bool:
    try:
        found = ipaddress.ip_address(address)
        return any(found in ipaddress.ip_network(one, strict=False) for one in callers)
    except ValueError:
        return False
