"""The signature schemes of the ticket systems, each against a signature made by hand."""

import base64
import hmac

import pytest

from ticketbot.errors import SignatureRefused
from ticketbot.systems import preset, signature
from ticketbot.systems.preset import Inbound

BODY, SECRET, NOW = b'{"ticket": 7, "text": "\xc3\xa4\xff"}', "s3cret", 1_800_000_000.0


def digest(algorithm, data):
    return hmac.new(SECRET.encode(), data, algorithm).digest()


ZENDESK_TIME = "2027-01-15T08:00:00Z"
GOOD = {
    "zammad": {"X-Hub-Signature": "sha1=" + digest("sha1", BODY).hex()},
    "redmine": {"X-Redmine-Signature-256": "sha256=" + digest("sha256", BODY).hex()},
    "jira-cloud": {"X-Hub-Signature": "sha256=" + digest("sha256", BODY).hex()},
    "frappe": {"X-Frappe-Webhook-Signature": base64.b64encode(digest("sha256", BODY)).decode()},
    "freescout": {"X-FreeScout-Signature": base64.b64encode(digest("sha1", BODY)).decode()},
    "glpi": {
        "X-GLPI-signature": digest("sha256", BODY + b"1800000010").hex(),
        "X-GLPI-timestamp": "1800000010",
    },
    "zendesk": {
        "X-Zendesk-Webhook-Signature": base64.b64encode(digest("sha256", ZENDESK_TIME.encode() + BODY)).decode(),
        "X-Zendesk-Webhook-Signature-Timestamp": ZENDESK_TIME,
    },
    "roundup": {"X-Signature-256": "sha256=" + digest("sha256", BODY).hex()},
}


def verify(how, headers, body=BODY, secret=SECRET, address="10.0.0.5", callers=(), now=NOW):
    signature.verify(how, secret, body, headers, address=address, callers=callers, now=now, tolerance_s=300)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_each_systems_signature_is_taken_whatever_the_case_of_its_header(name):
    how = preset.read(name).inbound
    verify(how, GOOD[name])
    verify(how, {key.upper(): value for key, value in GOOD[name].items()})


@pytest.mark.parametrize("name", sorted(GOOD))
def test_another_body_secret_or_none_is_refused(name):
    how = preset.read(name).inbound
    for change in ({"body": BODY + b" "}, {"secret": "other"}, {"secret": ""}):
        with pytest.raises(SignatureRefused):
            verify(how, GOOD[name], **change)
    for header in GOOD[name]:
        for value in (None, "", "sha256=", "ä" * 2000):
            with pytest.raises(SignatureRefused):
                verify(how, {**GOOD[name], header: value} if value is not None else {})


@pytest.mark.parametrize("name", ["glpi", "zendesk"])
def test_a_signature_with_a_time_is_good_for_five_minutes(name):
    how = preset.read(name).inbound
    verify(how, GOOD[name], now=NOW + 290)
    for now in (NOW + 311, NOW - 301):
        with pytest.raises(SignatureRefused, match="clock"):
            verify(how, GOOD[name], now=now)


def test_a_fixed_token():
    how = Inbound(scheme="token", header="X-Token")
    verify(how, {"X-Token": SECRET})
    with pytest.raises(SignatureRefused):
        verify(how, {"X-Token": SECRET + "x"})


@pytest.mark.parametrize(("address", "good"), [("10.0.0.5", True), ("10.0.1.5", False), ("::1", True), ("junk", False)])
def test_nothing_signed_needs_a_known_address(address, good):
    callers = ("10.0.0.0/24", "::1")
    if good:
        verify(Inbound(), {}, address=address, callers=callers)
        return
    with pytest.raises(SignatureRefused):
        verify(Inbound(), {}, address=address, callers=callers)


def test_nothing_signed_and_no_address_is_refused():
    with pytest.raises(SignatureRefused):
        verify(Inbound(), {})


def test_a_named_caller_is_asked_for_besides_the_signature():
    with pytest.raises(SignatureRefused, match="address"):
        verify(preset.read("zammad").inbound, GOOD["zammad"], callers=("192.168.0.1",))
