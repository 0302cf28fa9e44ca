"""Who keeps the service busy, takes its database away, or calls its hooks? Scenes of area_web about the service itself.

Each scene gets the office and the match, and returns answers, as in web_scenes.py.
"""

import contextlib
import functools
import hashlib
import hmac
import json
import re
import socket
import sqlite3
import threading
import time

import pytest
from sqlalchemy import text

from tests.acceptance.web_access import label_body
from tests.support.evil_server import PUBLIC, EvilServer
from tests.support.gallery import jpeg
from tests.support.loopback import free_port
from tests.support.outbox import SECRET
from tests.support.settings import make_settings
from tests.support.shelf import put_model
from tests.support.site import Browser, Site
from ticketbot.classify.api import Answers
from ticketbot.classify.serving import Serving
from ticketbot.db import connect, session
from ticketbot.net import fetch
from ticketbot.pages import BLUEPRINTS

HOOK_SECRET = "a hook's own secret"
SLOW_MOST = 150
QUEUE_S = 0.3
MB = 2**20


def _number(pattern, string, default):
    found = re.search(pattern, string)
    return int(found[1].replace(",", "")) if found else default


def slow_clients(office, match):
    """Many connections that send their request a byte at a time, or nothing: others are answered all the while."""
    count = _number(r"(\d[\d,]*) (?:slow |idle |open )?(?:connections|clients|sockets)", match.string, 50)
    count = min(SLOW_MOST, count)
    silent = bool(re.search(r"idle|silent|send nothing|say nothing|without (a|any) request", match.string))
    answers = []
    with office.listening() as talk, contextlib.ExitStack() as opened:
        peers = [opened.enter_context(socket.create_connection(("127.0.0.1", talk.port), 10)) for _ in range(count)]
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "[:: 6 if silent else 1]:
            for peer in [] if silent else peers:
                peer.sendall(bytes([byte]))
        for _ in range(3):
            for peer in [] if silent else peers:
                peer.sendall(b"a")
            began = time.monotonic()
            answers.append(talk(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
            assert time.monotonic() - began < 5, "slow clients keep others waiting"
    return answers


def bare_lines(office, match):
    """Lines that end with LF alone, in the head and between head and body."""
    requests = (
        b"GET /healthz HTTP/1.1\nHost: localhost\nConnection: close\n\n",
        b"POST /login HTTP/1.1\nHost: localhost\nConnection: close\nContent-Length: 2\n\nab",
    )
    return office.raw(*requests[: 1 if re.search(r"GET|line end", match.string) else 2])


def other_version(office, match):
    version = re.search(r"HTTP/(\d(?:\.\d)?)", match.string)[1].encode()
    return office.raw(b"GET /healthz HTTP/" + version + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")


def all_places_taken(office, match):
    """As many addresses as may be fetched at once hang; one more call, of an address or a picture, is told to wait."""
    values = {"classify.rate_per_minute": 100_000, "classify.queue_s": QUEUE_S, "classify.fetch_timeout_s": 30}
    settings = make_settings(office.folder, values)
    site = Site(office.db, settings, BLUEPRINTS)
    site.services.classify = Answers(Serving(office.db, settings), settings)
    put_model(office.db, settings)
    office.with_decoders()
    site.services.decoders = office.decoders
    places = 4 * settings.classify.http_slots
    headers = {"Authorization": f"Bearer {site.token('classify')}"}
    patch = office.request.getfixturevalue("monkeypatch")

    def call(path="/classify-url?url=http://x.test/a.jpg", **more):
        client = site.app.test_client()
        return client.post(path, headers=headers, **more) if more else client.get(path, headers=headers)

    with EvilServer("accept, then silence") as server, patch.context() as routed:
        get = functools.partial(fetch.get, resolve=lambda host, port: [PUBLIC], connect=server.connect)
        routed.setattr(fetch, "get", get)
        hanging = [threading.Thread(target=call) for _ in range(places)]
        for thread in hanging:
            thread.start()
        until = time.monotonic() + 20
        while len(server.asked) < places:
            assert time.monotonic() < until, f"only {len(server.asked)} of {places} are fetched at once"
            time.sleep(0.01)
        if re.search(r"decoder|upload|/classify\b(?!-)|picture", match.string):
            answers = [call("/classify", data=jpeg("a"))]
        else:
            answers = [call()]
        assert len(server.asked) == places, "one more was fetched"
    for thread in hanging:
        thread.join(30)
    return answers


def database_locked(office, match):
    """Somebody holds the lock that a label needs, for longer than we wait."""
    sha256, rita = office.picture(), office.site.sign_in("rita")
    with _other_site(office, _impatient(office)) as site, contextlib.ExitStack() as locked:
        browser = Browser(site.app.test_client())
        browser.client.set_cookie("ticketbot", rita.client.get_cookie("ticketbot").value)
        assert browser.get("/account").status_code == 200
        if office.db.is_sqlite:
            hog = sqlite3.connect(office.db.path, isolation_level=None)
            locked.callback(hog.close)
            hog.execute("BEGIN IMMEDIATE")
        else:
            hog = locked.enter_context(office.db.engine.connect())
            hog.execute(text("LOCK TABLE label_event, label, picture IN ACCESS EXCLUSIVE MODE"))
        answer = browser.send("/label", label_body(sha256))
    again = rita.send("/label", label_body(sha256))
    assert again.status_code == 200, "and afterwards it can be said"
    return [answer]


def _impatient(office):
    """Opens the office's database anew, waiting for locks only shortly."""
    if not office.db.is_sqlite:
        return f"{office.db.url}{'&' if '?' in office.db.url else '?'}options=-c%20lock_timeout%3D{int(QUEUE_S * 1000)}"
    office.request.getfixturevalue("monkeypatch").setattr(session, "BUSY_TIMEOUT_MS", int(QUEUE_S * 1000))
    return office.db.url


@contextlib.contextmanager
def _other_site(office, url):
    db = connect(url)
    try:
        site = Site(db, office.settings, BLUEPRINTS)
        site.services.classify = Answers(Serving(db, office.settings), office.settings)
        yield site
    finally:
        db.close()


def database_gone(office, match):
    """No database answers: a page, an API call, a sign-in, or whether we are ready. (Alive we are.)"""
    gone = office.folder / "gone.db"
    gone.mkdir()
    url = f"sqlite:///{gone}" if office.db.is_sqlite else f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/none"
    token = office.site.token("read")
    with _other_site(office, url) as site:
        client = site.app.test_client()
        assert client.get("/healthz").status_code == 200
        if "ready" in match.string:
            return [client.get("/readyz")]
        return [
            client.get("/api/v1/answers", headers={"Authorization": f"Bearer {token}"}),
            client.get("/login", headers={"Accept": "text/html"}),
        ]


def no_model(office, match):
    office.with_decoders()
    client = office.program("classify")
    return [client.post("/classify", data=jpeg("a"))]


def secrets_shown(office, match):
    """An endpoint's secret on every page and call that speaks of endpoints: nowhere."""
    values = {
        "endpoints.desk.url": "https://desk.example/hook",
        "endpoints.desk.secret": SECRET,
        "endpoints.desk.mode": "live",
        "sources.erp.root": str(office.folder / "erp"),
        "sources.erp.inbound": {"enabled": True, "secret": HOOK_SECRET},
    }
    site = Site(office.db, make_settings(office.folder, values), BLUEPRINTS)
    ada, program = site.sign_in("ada", "admin"), site.app.test_client()
    program.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {site.token('read', 'admin')}"
    pages = ("/setup/endpoints", "/setup", "/", "/tickets", "/setup/audit")
    calls = ("/api/v1/endpoints", "/api/v1/sources", "/api/v1/status", "/api/v1/audit", "/openapi.json")
    answers = [ada.get(path) for path in pages] + [program.get(path) for path in calls]
    assert "desk.example" in answers[0].text, "the page speaks of the endpoint"
    for answer in answers:
        for secret in (SECRET, SECRET.removeprefix("whsec_"), HOOK_SECRET):
            assert secret not in answer.text
    return answers


def hook(office, match):
    """A ticket system calls /inbound; a good call is taken first, so that what is refused is refused for its reason."""
    how = {"scheme": "hmac_sha256", "header": "X-Signature", "timestamp_header": "X-Time", "ticket": "/ticket"}
    hooked = {"enabled": True, "secret": HOOK_SECRET, "how": {**how, "signed": "{timestamp}.{body}"}}
    values = {"sources.erp.root": str(office.folder / "erp"), "sources.erp.inbound": hooked}
    site = Site(office.db, make_settings(office.folder, values), BLUEPRINTS)
    client, words = site.app.test_client(), match.string.lower()

    def call(body=b'{"ticket": 7}', ago_s=0, source="erp", secret=HOOK_SECRET, changed=None, signed=True):
        stamp = str(int(site.clock.now - ago_s))
        digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"X-Signature": digest, "X-Time": stamp} if signed else {}
        return client.post(f"/inbound/{source}", data=body if changed is None else changed, headers=headers)

    assert call(json.dumps({"ticket": 1}).encode()).status_code == 202
    for pattern, made in (
        (r"without (a |any )?sign|unsigned|no signature|signature (is )?missing", {"signed": False}),
        (r"(changed|tampered|altered|another|other) (body|payload)|body (was )?(changed|tampered)", {"changed": b"{}"}),
        (r"unknown source|no such source|other source", {"source": "elsewhere"}),
        (r"\bgarbage|not json|binary", {"body": b"\xff\x00\xfe"}),
    ):
        if re.search(pattern, words):
            return [call(**made)]
    if size := re.search(r"(\d+) ?(mb|kb)", words):
        return [call(b"a" * (int(size[1]) * {"mb": MB, "kb": 1024}[size[2]]))]
    if ago := re.search(r"(\d+) ?(s|second|min|minute|h|hour)", words):
        return [call(ago_s=int(ago[1]) * {"s": 1, "m": 60, "h": 3600}[ago[2][0]])]
    if re.search(r"replay|old (time|stamp)|expired", words):
        return [call(ago_s=3600)]
    if re.search(r"twice|again|duplicate", words):
        return [call(), call()]
    if re.search(r"wrong|bad|forged|invalid|other (secret|key)|another (secret|key)", words):
        return [call(secret="not the secret")]
    if re.search(r"good|valid|right", words):
        return [call()]
    return pytest.fail(f"nobody knows the call of a hook in {match.string!r}")


SCENES = (
    (
        r"slow.?loris|slow (client|request|connection)|(idle|open|slow) connections|header byte (a|every|per)",
        slow_clients,
    ),
    (r"(?<!CR )\bLF\b.*line|bare LF|LF (only|alone)|only LF|bare (newline|line feed)", bare_lines),
    (r"HTTP/(?!1\.[01]\b)\d", other_version),
    (
        r"\b(9th|ninth) (fetch|call|request)|(9|nine) fetches|fetches at (once|the same time)"
        r"|(all|every) (the )?(fetch|decoder|place|slot)\w*|decoders? (are |is )?busy",
        all_places_taken,
    ),
    (r"database .*lock|locked database|lock.*database", database_locked),
    (
        r"(database|db)( server)? .*\b(down|gone|away|unreachable|stopped|not answer|unavailable)"
        r"|(without|no) (a )?database|readyz.*database",
        database_gone,
    ),
    (r"(no|without( a)?) model\b|model (is )?missing", no_model),
    (r"inbound|incoming (call|webhook)|\bhook\b.*sign", hook),
    (r"secret.*(page|answer|API|shown)|(page|API).*secret", secrets_shown),
)
