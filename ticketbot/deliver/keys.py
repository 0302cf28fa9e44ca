"""Which secrets sign for an endpoint today?

The newest secret signs at once; the one before it signs too for 24 hours, so that the receiver can change over without
losing an event. A secret from the settings takes part until it is rotated away. At most five.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ticketbot.db import crypt
from ticketbot.deliver.sign import key_of, new_secret
from ticketbot.settings import Settings

PURPOSE = "endpoint secrets"
OVERLAP_S = 86400.0
MOST = 5


def signing(settings: Settings, endpoint: str, kept: list[Any], now: float) -> list[str]:
    """The secrets that sign now, newest first; empty when none was ever given. Raises SettingsError.

    `kept` is `EndpointState.secrets`.
    """
    alive = [entry for entry in kept if "secret" in entry and _is_alive(entry, now)]
    found = [crypt.decrypt(settings, PURPOSE, entry["secret"]) for entry in alive]
    own = settings.endpoints[endpoint].secret
    if own and own not in found and not _is_retired(own, kept, now):
        found.append(own)
    for secret in found:
        key_of(secret)
    return found[:MOST]


def rotated(settings: Settings, endpoint: str, kept: list[Any], now: float) -> tuple[str, list[Any]]:
    """A new secret, and what to keep from now on."""
    secret = new_secret()
    until = now + OVERLAP_S
    older = [_ending(entry, until) for entry in kept if "sha256" in entry or _is_alive(entry, now)]
    own = settings.endpoints[endpoint].secret
    if own and not any(entry.get("sha256") == _fingerprint(own) for entry in older):
        older.insert(0, {"sha256": _fingerprint(own), "until": until})
    newest = {"secret": crypt.encrypt(settings, PURPOSE, secret), "until": None}
    signers = [entry for entry in older if "secret" in entry][: MOST - 1]
    retired = [entry for entry in older if "sha256" in entry][:MOST]
    return secret, [newest, *signers, *retired]


def _is_alive(entry: dict[str, Any], now: float) -> bool:
    return entry["until"] is None or now < entry["until"]


def _ending(entry: dict[str, Any], until: float) -> dict[str, Any]:
    return entry if entry["until"] is not None else {**entry, "until": until}


def _is_retired(secret: str, kept: list[Any], now: float) -> bool:
    mark = _fingerprint(secret)
    return any(entry.get("sha256") == mark and not _is_alive(entry, now) for entry in kept)


def _fingerprint(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
