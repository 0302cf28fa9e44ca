"""Do we trust where this bundle comes from, and does it speak of our categories?

Signatures are ed25519 over the manifest, which holds the sha256 of every file. With `model.trusted_keys` set, one of
these keys must have signed; without, a missing signature is accepted and a wrong one is not.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ticketbot.contracts import bundle
from ticketbot.contracts.bundle import MANIFEST, Manifest
from ticketbot.contracts.files import write_json
from ticketbot.errors import BundleRefused


def admit(manifest: Manifest, *, categories: Collection[str], trusted_keys: Collection[str]) -> None:
    """May this bundle be on our shelf and in service? Raises BundleRefused."""
    if unknown := sorted(set(manifest.classes) - set(categories)):
        raise BundleRefused(f"it knows the class {unknown[0]!r}, which is not in general.categories")
    check_signature(manifest, trusted_keys)


def check_signature(manifest: Manifest, trusted_keys: Collection[str]) -> None:
    """Raises BundleRefused when the signature is wrong, or one of `trusted_keys` (base64) is needed and missing."""
    if manifest.signature is None:
        if trusted_keys:
            raise BundleRefused("it is not signed, and model.trusted_keys asks for a signature")
        return
    try:
        key, value = manifest.signature["key"], manifest.signature["value"]
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True)).verify(
            base64.b64decode(value, validate=True), manifest.signed_bytes()
        )
    except (KeyError, TypeError, ValueError, binascii.Error, InvalidSignature):
        raise BundleRefused("its signature is wrong") from None
    if trusted_keys and key not in trusted_keys:
        raise BundleRefused("it is signed by a key that is not in model.trusted_keys")


def sign(folder: Path, secret: bytes) -> Manifest:
    """Sign a written bundle with an ed25519 secret (32 bytes); its manifest.json is written again."""
    unsigned = replace(bundle.read(folder), signature=None)
    key = Ed25519PrivateKey.from_private_bytes(secret)
    signature = {"key": public_key(secret), "value": base64.b64encode(key.sign(unsigned.signed_bytes())).decode()}
    signed = replace(unsigned, signature=signature)
    write_json(folder / MANIFEST, signed.as_json())
    return signed


def public_key(secret: bytes) -> str:
    """What goes into model.trusted_keys (base64) for a secret of 32 bytes."""
    key = Ed25519PrivateKey.from_private_bytes(secret).public_key()
    return base64.b64encode(key.public_bytes_raw()).decode()
