"""What a server may answer to /classify-url: a picture, or one of our codes.

The input is a sentence; `behaviour_of` finds the server that does what it says: first by name among the behaviours of
tests/support/evil_server.py, then by pattern. A sentence nobody understands fails.
"""

import gzip
import re
import time
import zlib

from tests.support import pictures
from tests.support.evil_server import BEHAVIOURS, OK, PUBLIC, Behaviour, EvilServer, redirect

EXPECT = {"status", "code", "has", "within_s"}
GIVEN = set()

STATUS = re.compile(r"(?P<status>\d{3})(?: with (?P<header>[\w-]+)| .*)?")
REDIRECT = re.compile(r"(?:(?P<status>30\d)(?: to | Location: )|redirect to )(?P<place>.+)")
LENGTH = re.compile(r"Content-Length:? (?P<length>\S+?)(?:, (?P<sent>\d+) bytes? sent)?")
BODY = re.compile(r"200(?: (?P<type>[\w/+.-]+))?, (?:body is an? )?(?P<body>.+)")
ENCODING = re.compile(r"(?:Content-Encoding:? )?(?P<coding>gzip|br|deflate|zstd|x-gzip)\b.*", re.IGNORECASE)
HEADERS = re.compile(r"(?P<count>[\d,]+) headers")
DOWNGRADE = Behaviour(redirect(b"http://x.test/").act, None, None, tls=True)
# Redirects that are told in words.
LOCATIONS = (
    (r"https.*(to|->|→) *http\b(?!s)|downgrade", DOWNGRADE),
    (r"location.*(non.?utf|not utf|bytes)", redirect(b"/\xff\xfe")),
    (r"(([4-9]|\d\d+) redirects|redirect.*loop|loop.*redirect)", BEHAVIOURS["redirect to itself"]),
    (r"without location|no location", BEHAVIOURS["302 without Location"]),
)
# Words that tell a slow or endless server, most telling first.
WORDS = (
    (r"tls.*handshake", "TLS handshake drip"),
    (r"tls.*header", "TLS header drip"),
    (r"tls", "TLS body drip"),
    (r"status line.*drip|drip.*status line", "status line drip 1 byte / 0.1 s"),
    (r"header.*drip|drip.*header", "header line drip 1 byte / 0.2 s"),
    (r"chunk size.*drip", "chunk size drip"),
    (r"chunk.*drip", "chunked drip"),
    (r"drip", "body drip"),
    (r"endless.*100|100.continue", "endless 100 Continue"),
    (r"endless.*trailer", "endless trailers"),
    (r"endless.*header", "endless headers"),
    (r"endless.*chunk", "endless chunks"),
    (r"endless", "endless body"),
    (r"negative.*chunk|chunk.*(-\d|negative)", "chunk of size -1"),
    (r"(bad|invalid|wrong|huge).*chunk|chunk.*(bad|invalid|zz|not hex)", "chunk of size zz"),
    (r"transfer-encoding", "Transfer-Encoding: gzip, chunked"),
    (r"never reads|does not read", "never reads the request"),
    (r"silence|nothing", "accept, then silence"),
    (r"reset.*body|body.*reset", "reset within the body"),
    (r"reset|rst", "reset at once"),
    (r"clos", "close at once"),
    (r"ssh|banner", "SSH banner"),
    (r"http/0\.9", "HTTP/0.9 body without status"),
    (r"noise|garbage|binary|random", "binary noise"),
)


def run(case, request):
    classifier = request.getfixturevalue("classifier")
    monkeypatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setenv("SSL_CERT_FILE", str(classifier.authority.ca_file))
    behaviour = behaviour_of(case.input)
    context = classifier.authority.server_context("x.test") if behaviour.tls else None
    scheme = "https" if behaviour.tls or "tls" in case.input.lower() else "http"
    with EvilServer(behaviour, context=context) as server:
        started_at = time.monotonic()
        answer = classifier.classify_url(
            f"{scheme}://x.test/a.jpg", monkeypatch, resolve=lambda host, port: [PUBLIC], connect=server.connect
        )
        took_s = time.monotonic() - started_at
    assert answer.status_code == case.expect["status"], answer.text
    assert answer.json.get("code") == case.expect.get("code")
    assert case.expect.get("has", "code") in answer.json
    assert took_s < classifier.total_s + 1
    assert set(server.asked) == {PUBLIC}


def behaviour_of(text: str) -> Behaviour:
    """The server that does what the sentence says. Raises LookupError."""
    if text in BEHAVIOURS:
        return BEHAVIOURS[text]
    for pattern, build in ((REDIRECT, _redirect), (BODY, _body), (LENGTH, _length), (ENCODING, _encoded)):
        if match := pattern.fullmatch(text):
            return build(**match.groupdict())
    for words, behaviour in LOCATIONS:
        if re.search(words, text, re.IGNORECASE):
            return behaviour
    for words, name in WORDS:
        if re.search(words, text, re.IGNORECASE):
            return BEHAVIOURS[name]
    if match := HEADERS.fullmatch(text):
        return _sends(OK + b"X-More: 1\r\n" * int(match["count"].replace(",", "")) + b"\r\n")
    if match := STATUS.fullmatch(text):
        extra = b"%s: x\r\n" % match["header"].encode() if match["header"] else b""
        return _sends(b"HTTP/1.1 %s Whatever\r\n%sContent-Length: 0\r\n\r\n" % (match["status"].encode(), extra))
    raise LookupError(f"no server is known that does {text!r}")


def _sends(data: bytes) -> Behaviour:
    return Behaviour(lambda peer: peer.send(data), None, None)


def _redirect(status: str | None, place: str) -> Behaviour:
    return redirect(place.encode(), f"{status or 302} Found".encode())


def _length(length: str, sent: str | None) -> Behaviour:
    return _sends(OK + f"Content-Length: {length}\r\n\r\n".encode() + b"x" * int(sent or 2))


def _encoded(coding: str) -> Behaviour:
    packed = gzip.compress(bytes(10**6)) if "gzip" in coding.lower() else zlib.compress(bytes(10**6))
    return _sends(OK + f"Content-Encoding: {coding}\r\nContent-Length: {len(packed)}\r\n\r\n".encode() + packed)


def _body(type: str | None, body: str) -> Behaviour:
    data = _body_bytes(body)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {type or 'image/jpeg'}\r\nContent-Length: {len(data)}\r\n\r\n"
    return _sends(head.encode() + data)


def _body_bytes(body: str) -> bytes:
    if body.lower() in pictures.FORMAT_OF:
        return pictures.make(f"ok_rgb.{body.lower()}")
    if body.lower() in ("empty", "empty body", "no body", "nothing"):
        return b""
    if body.startswith("<"):
        return body.encode()
    return pictures.make(body if "." in body else f"{body.lower()}.jpg")
