"""What is this message called? `msg_` and a ULID: sorts by time, never contains a dot, cannot be guessed."""

from __future__ import annotations

import secrets

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def message_id(now: float) -> str:
    """`msg_` + 10 characters of milliseconds + 16 of randomness."""
    number = (int(now * 1000) & (2**48 - 1)) << 80 | secrets.randbits(80)
    return "msg_" + "".join(CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
