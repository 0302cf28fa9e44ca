"""Slash commands as Slack and Mattermost send them, over a real socket."""

import hashlib
import hmac
import threading
import time
from urllib.parse import urlencode

import pytest
import requests

from tests.support.loopback import Hook
from tests.support.site import Site
from ticketbot.classify import api
from ticketbot.db.models import Ticket
from ticketbot.errors import FetchError
from ticketbot.operate import chat
from ticketbot.web.serving import WebServer

SECRET, TOKEN = "slack-signing-secret", "mattermost-token"


@pytest.fixture
def later():
    """A chat that takes late answers."""
    with Hook() as found:
        yield found


@pytest.fixture
def url(db, settings_with):
    chats = {"chat.slack_secret": SECRET, "chat.mattermost_token": TOKEN, "chat.allow": ["127.0.0.1"], "web.port": 0}
    site = Site(db, settings_with(chats), (chat.blueprint,))
    server = WebServer(site.app, site.settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()
    thread.join(10)


def slack(url, text, secret=SECRET, at=1_800_000_000, **form):
    body = urlencode({"command": "/ticketbot", "text": text, **form}).encode()
    digest = hmac.new(secret.encode(), f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {"X-Slack-Signature": f"v0={digest}", "X-Slack-Request-Timestamp": str(at)}
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return requests.post(url + "/chat/slack", data=body, headers=headers, timeout=10)


def mattermost(url, text, token=TOKEN, **form):
    # Mattermost sends its token in this header, too.
    headers = {"Authorization": f"Token {token}"}
    form = {"token": token, "text": text, **form}
    return requests.post(url + "/chat/mattermost", data=form, headers=headers, timeout=10)


def test_help_and_status(url):
    for ask in (slack, mattermost):
        answer = ask(url, "help")
        assert answer.status_code == 200, answer.text
        assert answer.json()["response_type"] == "ephemeral" and "classify URL" in answer.json()["text"]
        assert ask(url, "status").json()["text"] == "Nothing waits."


def test_who_is_not_the_chat_is_refused(url):
    assert slack(url, "help", secret="other").status_code == 401
    assert slack(url, "help", at=1_800_000_000 - 301).status_code == 401
    assert mattermost(url, "help", token="other").status_code == 401
    assert requests.post(url + "/chat/slack", data={"text": "help"}, timeout=10).status_code == 401


def test_what_was_said_about_a_ticket(url, db):
    with db.write() as session:
        session.add(Ticket(endpoint="desk", ticket="7", category="errors", confidence=0.97, by="m1", seq=1))
    assert slack(url, "ticket 7").json()["text"] == "desk: *errors*, 97% (model m1)"
    assert slack(url, "ticket 8").json()["text"] == "We said nothing about this ticket."


def test_a_picture_by_its_address(url, monkeypatch):
    asked = []
    answer = {"predictions": [["errors", 0.9], ["screens", 0.1]], "category": "errors"}
    monkeypatch.setattr(api, "of_url", lambda address: asked.append(address) or answer)
    assert slack(url, "classify <https://example.com/a.jpg>").json()["text"] == "*errors* (errors 90%, screens 10%)"
    assert asked == ["https://example.com/a.jpg"]


def test_an_address_inside_is_refused_in_words(url, monkeypatch):
    def refuse(address):
        raise FetchError("fetch_timeout")

    monkeypatch.setattr(api, "of_url", refuse)
    assert "fetch timeout" in slack(url, "classify http://10.0.0.1/a.jpg").json()["text"]


def test_what_takes_longer_is_posted_later(url, later, monkeypatch):
    def slow(address):
        time.sleep(3)
        return {"predictions": [["errors", 0.9]], "category": None}

    monkeypatch.setattr(api, "of_url", slow)
    began = time.monotonic()
    first = mattermost(url, "classify https://example.com/a.jpg", response_url=later.url)
    assert time.monotonic() - began < 3 and first.json()["text"] == "A moment…"
    ends_at = time.monotonic() + 10
    while not later.got and time.monotonic() < ends_at:
        time.sleep(0.05)
    assert [one["text"] for one in later.got] == ["*unsure, a person should look* (errors 90%)"]
