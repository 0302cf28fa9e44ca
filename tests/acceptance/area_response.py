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
LENGTH = re.compile(r"(?:.*[,:] )?Content-Length:? (?P<length>\S+?)(?:, (?P<sent>\d+) bytes? sent)?")
BODY = re.compile(
    r"200(?: OK)?(?: (?P<type>\w+/[\w+.-]+))?(?P<how>(?: (?:with|without) (?:a )?Content-[^,]*| chunked[^,]*)?),? "
    r"(?:with )?(?:(?:the )?body (?:is|of) )?(?:an? )?(?P<body>.+)"
)
ENCODING = re.compile(r"(?:Content-Encoding:? )?(?P<coding>gzip|br|deflate|zstd|x-gzip)\b.*", re.IGNORECASE)
HEADERS = re.compile(r"(?P<count>[\d,]+) (response )?headers?( lines?)?")
DOWNGRADE = Behaviour(redirect(b"http://x.test/").act, None, None, tls=True)
# Redirects that are told in words.
LOCATIONS = (
    (r"https.*(to|->|→) *http\b(?!s)|downgrade", DOWNGRADE),
    (r"location.*(non.?utf|not utf|bytes)|(non.?utf|not utf|bytes).*location", redirect(b"/\xff\xfe")),
    (r"(([4-9]|\d\d+) redirects|redirect.*loop|loop.*redirect)", BEHAVIOURS["redirect to itself"]),
    (r"without location|no location", BEHAVIOURS["302 without Location"]),
)
# Certificates that are told in words: what server_context takes.
CERTIFICATES = (
    (r"certificate.*expired|expired.*certificate", {"expired": True}),
    (r"self.?signed|unknown (CA|authority|issuer)|untrusted", {"trusted": False}),
    (r"certificate.*(an)?other (name|host)|wrong (host|name)|name mismatch", {"name": "other.test"}),
)
# Words that tell a slow or endless server, most telling first.
WORDS = (
    (r"plain (http|text).*tls|tls.*plain", "TLS port talks plain HTTP"),
    (r"tls.*handshake", "TLS handshake drip"),
    (r"tls.*header", "TLS header drip"),
    (r"tls", "TLS body drip"),
    (r"status line.*drip|drip.*status line", "status line drip 1 byte / 0.1 s"),
    (r"header.*drip|drip.*header", "header line drip 1 byte / 0.2 s"),
    (r"chunk size.*drip", "chunk size drip"),
    (r"chunk.*drip", "chunked drip"),
    (r"(one|a|1) header byte|headers?.*(byte|slowly|trickl)|trickl.*header", "header line drip 1 byte / 0.2 s"),
    (r"drip|trickl|(a|one|1|\d+) bytes? (every|per|a|each) ", "body drip"),
    (r"\d+ ?[MG]B (of )?(response )?headers", "endless headers"),
    (r"(infinite|never.ending|unending) (headers?)", "endless headers"),
    (r"infinite|never.ending|unending", "endless body"),
    (r"endless.*100|100.continue", "endless 100 Continue"),
    (r"endless.*trailer", "endless trailers"),
    (r"endless.*header", "endless headers"),
    (r"endless.*chunk", "endless chunks"),
    (r"endless", "endless body"),
    (r"negative.*chunk|chunk.*(-\d|negative)", "chunk of size -1"),
    (r"(bad|invalid|wrong|huge).*chunk|chunk.*(bad|invalid|zz|not hex)", "chunk of size zz"),
    (r"transfer-encoding", "Transfer-Encoding: gzip, chunked"),
    (r"never reads?\b|does not read", "never reads the request"),
    (r"(half|part|some) of .*body.*silence|half a body", "half a body, then silence"),
    (r"headers?, then (silence|nothing)", "headers, then silence"),
    (r"silence|nothing|never answers|hangs|stalls", "accept, then silence"),
    (r"chunk.*(cut|without (the|its|a)? ?last|no (last|final)|unfinished|incomplete)", "chunks cut off"),
    (r"status line.*(without|no number|letters|bad|invalid)|HTTP/1\.1 [a-z]", "status line without a number"),
    (r"NUL.*header|header.*(NUL|control)", "NUL in a header"),
    (r"header.*(without|no) (a )?colon", "header without a colon"),
    (r"reset.*body|body.*reset", "reset within the body"),
    (r"reset|rst", "reset at once"),
    (r"clos", "close at once"),
    (r"ssh|banner", "SSH banner"),
    (r"http/0\.9", "HTTP/0.9 body without status"),
    (r"noise|garbage|binary|random", "binary noise"),
)


HALF = OK + b"Content-Length: 1000\r\n\r\n"
MORE = {
    "half a body, then silence": Behaviour(lambda peer: (peer.send(HALF + b"x" * 500), peer.wait()), None, None),
    "headers, then silence": Behaviour(lambda peer: (peer.send(HALF), peer.wait()), None, None),
    "status line without a number": Behaviour(lambda peer: peer.send(b"HTTP/1.1 abc OK\r\n\r\n"), None, None),
    "NUL in a header": Behaviour(lambda peer: peer.send(OK + b"X-Nul: a\0b\r\n\r\n"), None, None),
    "header without a colon": Behaviour(lambda peer: peer.send(OK + b"no colon here\r\n\r\n"), None, None),
}
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}


def run(case, request):
    classifier = request.getfixturevalue("classifier")
    monkeypatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setenv("SSL_CERT_FILE", str(classifier.authority.ca_file))
    behaviour = behaviour_of(case.input)
    how = {"name": "x.test", **next((how for words, how in CERTIFICATES if re.search(words, case.input, re.I)), {})}
    context = classifier.authority.server_context(how.pop("name"), **how) if behaviour.tls else None
    scheme = "https" if behaviour.tls or re.search(r"\btls\b", case.input, re.I) else "http"
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
    if any(re.search(words, text, re.IGNORECASE) for words, _ in CERTIFICATES):
        return Behaviour(_sends(_picture_answer()).act, None, None, tls=True)
    if hops := re.search(
        rf"^(?P<n>\d+|{'|'.join(NUMBERS)}) redirects?\b|chain of (?P<m>\d+)|(?P<one>^30\d to /\S*),? then ", text
    ):
        count = 1 if hops["one"] else int(NUMBERS.get(hops["n"], hops["n"]) if hops["n"] else hops["m"])
        return _hops(count)
    if re.search(r"^set-cookie", text, re.IGNORECASE) and "redirect" in text:
        return _hops(1)
    if size := re.search(r"^(?!.*(?:encod|gzip|header)).*?(\d+) ?MB\b", text):
        return _sends(OK + b"Content-Length: %d\r\n\r\nxx" % (int(size[1]) * 2**20))
    text = re.sub(r"^(with )?(a )?(redirect )?(\(\d+\) )?Location:? (?=\S+:|/)", "302 to ", text)
    text = re.sub(r"^(30\d),? (?:with|and) (?:a )?Location:? (?=\S+:|/)", r"\1 to ", text)
    coding = re.search(r"^(?!.*transfer).*?(?:content-encoding:? ?|\b)(gzip|br|deflate|zstd)\b", text, re.IGNORECASE)
    if coding:
        return _encoded(coding[1].lower())
    if re.fullmatch(r"(?!200)\d{3}\b.*", text) and not re.match(r"30\d|100", text):
        return _sends(b"HTTP/1.1 %s Whatever\r\nContent-Length: 2\r\n\r\nxx" % text[:3].encode())
    if two := re.search(r"Content-Length.*: (\d+ ?, ?\d+)$", text):
        return _length(two[1], None)
    if size := re.search(r"(?:picture|JPEG|image) (?:of|with|claiming) (\d+)x(\d+)", text):
        text = f"200, body is bomb_hdr_{size[1]}x{size[2]}.jpg"
    for pattern, build in ((REDIRECT, _redirect), (BODY, _body), (LENGTH, _length), (ENCODING, _encoded)):
        if match := pattern.fullmatch(text):
            return build(**match.groupdict())
    for words, behaviour in LOCATIONS:
        if re.search(words, text, re.IGNORECASE):
            return behaviour
    for words, name in WORDS:
        if re.search(words, text, re.IGNORECASE):
            return MORE.get(name) or BEHAVIOURS[name]
    if match := HEADERS.fullmatch(text):
        return _sends(OK + b"X-More: 1\r\n" * int(match["count"].replace(",", "")) + b"\r\n")
    if match := STATUS.fullmatch(text):
        extra = b"%s: x\r\n" % match["header"].encode() if match["header"] else b""
        return _sends(b"HTTP/1.1 %s Whatever\r\n%sContent-Length: 0\r\n\r\n" % (match["status"].encode(), extra))
    raise LookupError(f"no server is known that does {text!r}")


def _sends(data: bytes) -> Behaviour:
    return Behaviour(lambda peer: peer.send(data), None, None)


def _picture_answer() -> bytes:
    data = pictures.make("ok_rgb.jpg")
    return OK + b"Content-Length: %d\r\n\r\n" % len(data) + data


def _hops(count: int) -> Behaviour:
    """So many redirects to the next path, a cookie with each, then a picture; all on one connection each."""
    left = [count]

    def act(peer):
        left[0] -= 1
        if left[0] >= 0:
            head = b"HTTP/1.1 302 Found\r\nSet-Cookie: a=b\r\nLocation: /%d\r\nContent-Length: 0\r\n\r\n"
            peer.send(head % left[0])
        else:
            peer.send(_picture_answer())

    return Behaviour(act, None, None)


def _redirect(status: str | None, place: str) -> Behaviour:
    return redirect(place.encode(), f"{status or 302} Found".encode())


def _length(length: str, sent: str | None) -> Behaviour:
    return _sends(OK + f"Content-Length: {length}\r\n\r\n".encode() + b"x" * int(sent or 2))


def _encoded(coding: str) -> Behaviour:
    packed = gzip.compress(bytes(10**6)) if "gzip" in coding.lower() else zlib.compress(bytes(10**6))
    return _sends(OK + f"Content-Encoding: {coding}\r\nContent-Length: {len(packed)}\r\n\r\n".encode() + packed)


def _body(type: str | None, how: str, body: str) -> Behaviour:
    data = _body_bytes(body)
    lines = [] if "without Content-Type" in how else [f"Content-Type: {type or 'image/jpeg'}"]
    if "chunked" in how:
        lines.append("Transfer-Encoding: chunked")
        data = b"%x\r\n" % len(data) + data + b"\r\n0\r\n\r\n"
    elif "without Content-Length" not in how:
        lines.append(f"Content-Length: {len(data)}")
    return _sends("\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode() + data)


def _body_bytes(body: str) -> bytes:
    if body.lower() in pictures.FORMAT_OF:
        return pictures.make(f"ok_rgb.{body.lower()}")
    if re.match(r"(an? )?(empty|no body|nothing|0 bytes)", body, re.IGNORECASE):
        return b""
    if body.startswith("<"):
        return body.encode()
    if cut := re.match(r"(truncated|half an?|cut) (?P<ext>\w+)", body, re.IGNORECASE):
        return pictures.make(f"trunc_half.{cut['ext'].lower()}")
    for word, name in (
        ("html", "html.jpg"),
        ("text", "text.jpg"),
        ("svg", "svg.jpg"),
        ("bomb", "bomb_hdr_13000x13000.jpg"),
    ):
        if re.search(word, body, re.IGNORECASE):
            return pictures.make(name)
    if found := re.match(rf"(?:valid |small |good )?({'|'.join(pictures.FORMAT_OF)})\b", body, re.IGNORECASE):
        return pictures.make(f"ok_rgb.{found[1].lower()}")
    return pictures.make(body if "." in body else f"{body.lower()}.jpg")
