"""Webhooks that a receiver may meet: which verify, and which are refused without an exception of another kind.

The input is a sentence about one or several deliveries; each is signed here from the specification alone, so that our
own signer cannot agree with our own verifier about a mistake.
"""

import base64
import hashlib
import hmac
import json
import re

from ticketbot.deliver.sign import verify
from ticketbot.errors import SignatureRefused

EXPECT = {"ok", "json"}
GIVEN = set()
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NOW = 1_800_000_000
BODY = b'{"a": 1}'
SECONDS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}


def run(case, request):
    deliveries = deliveries_of(case.input)
    assert deliveries
    for headers, body in deliveries:
        assert ok(headers, body) == case.expect["ok"], headers
        if "json" in case.expect:
            assert parsed(body) == case.expect["json"]


def ok(headers, body):
    try:
        verify(body, headers, SECRET, now=NOW)
    except SignatureRefused:
        return False
    return True


def parsed(body):
    try:
        return json.loads(body)
    except ValueError:
        return None


def signature(msg_id, stamp, body, key=KEY):
    signed = hmac.new(key, f"{msg_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


def delivery(body=BODY, msg_id="msg_1", stamp=str(NOW), **changes):
    """Headers, signed as told; then `signature=` or `body=` changed."""
    headers = {"webhook-id": msg_id, "webhook-timestamp": stamp, "webhook-signature": signature(msg_id, stamp, body)}
    return {**headers, **changes}, body


def signed_as(text):
    return delivery(**{"webhook-signature": text})


def deliveries_of(text):
    for pattern, build in SENTENCES:
        if match := re.search(pattern, text, re.IGNORECASE):
            return build(match)
    raise LookupError(f"nobody knows the delivery {text!r}")


def _at(match):
    amount_s = int(match[1].replace(",", "")) * SECONDS[match[2].lower()]
    signs = (1,) if "future" in match.string or "ahead" in match.string else (-1,)
    signs = (-1, 1) if "both" in match.string or "off" in match.string else signs
    return [delivery(stamp=str(NOW + sign * amount_s)) for sign in signs]


def _many(match):
    count = int(match[1].replace(",", ""))
    return [signed_as(" ".join(["v1,AAAA"] * (count - 1) + [delivery()[0]["webhook-signature"]]))]


def _missing(match):
    headers, body = delivery()
    return [({name: value for name, value in headers.items() if name != gone}, body) for gone in headers]


def _other_key(match):
    return [signed_as(signature("msg_1", str(NOW), BODY, key=b"k" * 32))]


def _ids(match):
    bad = {"'.'": "msg.1", "characters": "m" * 1000, "CRLF": "msg\r\n1", "empty": "", "space": "msg 1", "NUL": "m\0"}
    return [delivery(msg_id=msg_id) for word, msg_id in bad.items() if word in match.string]


# What the sentence holds -> the deliveries it is about; the first that is found counts.
SENTENCES = (
    (r"webhook-signature: (.+)", lambda match: [signed_as(match[1])]),
    (r"timestamp '", lambda match: [delivery(stamp=stamp) for stamp in re.findall(r"'([^']*)'", match.string)]),
    (r"(\d[\d,]*) ?(s|sec|second|min|minute|h|hour)s?\b", _at),
    (r"webhook-id with", _ids),
    (r"missing", _missing),
    (r"v1a signature only", lambda match: [signed_as("v1a," + base64.b64encode(bytes(64)).decode())]),
    (r"(\d[\d,]*) signatures", _many),
    (
        r"(two|second|several) signatures?|rotat",
        lambda match: [signed_as("v1,AAAA " + delivery()[0]["webhook-signature"])],
    ),
    (r"(other|another|wrong|old) (secret|key)", _other_key),
    (r"(changed|tampered|altered|flipped|modified)", lambda match: [(delivery()[0], BODY.replace(b"1", b"2"))]),
    (r"not (utf-?8|text)|non-utf-?8", lambda match: [delivery(body=b"\xff\xfe\x00")]),
    (r"not json|non-json", lambda match: [delivery(body=b"hello")]),
    (r"empty body", lambda match: [delivery(body=b"")]),
    (r"empty signature|signature (is )?empty", lambda match: [signed_as("")]),
    (r"valid signature|signature valid", lambda match: [delivery()]),
)
