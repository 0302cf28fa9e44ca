"""Requests as bytes, for the real server: what a sentence says that no HTTP client would send."""

import re

MB = 2**20
RAW_HEAD = b"Host: localhost\r\nConnection: close\r\n"


def bytes_of(part):
    for pattern, build in RAW:
        if match := re.search(pattern, part, re.IGNORECASE):
            return build(match)
    raise LookupError(f"nobody knows the request {part!r}")


def _get(lines=b"", path=b"/healthz", method=b"GET"):
    return method + b" " + path + b" HTTP/1.1\r\n" + RAW_HEAD + lines + b"\r\n"


def _path(match):
    """The path that follows the method, when the sentence names one that is a page of ours."""
    named = re.match(r" (/[\w/-]+)", match.string[match.end() :])
    return named[1].encode() if named else b"/login"


def _post(lines, body=b""):
    return b"POST /login HTTP/1.1\r\n" + RAW_HEAD + lines + b"\r\n" + body


RAW = (
    (r"\b(TRACE|PUT|DELETE|PATCH|CONNECT|TRACK)\b", lambda m: _get(method=m[1].upper().encode(), path=_path(m))),
    (
        r"headers? (of )?(\d+) ?KB|(\d+) ?KB header",
        lambda m: _get(b"X-Long: " + b"a" * (int(m[2] or m[3]) * 1000) + b"\r\n"),
    ),
    (r"(\d+) headers", lambda m: _get(b"".join(b"X-%d: 1\r\n" % number for number in range(int(m[1]))))),
    (r"negative chunk|chunk.*-\d", lambda m: _post(b"Transfer-Encoding: chunked\r\n", b"-5\r\nabc\r\n0\r\n\r\n")),
    (r"chunk", lambda m: _post(b"Transfer-Encoding: chunked\r\n", b"zz\r\nabc\r\n0\r\n\r\n")),
    (
        r"(CL|Content-Length).*(TE|Transfer-Encoding)|(TE|Transfer-Encoding).*(CL|Content-Length)|smuggl",
        lambda m: _post(b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"),
    ),
    (r"(two|different|double) Content-Length", lambda m: _post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd")),
    (r"negative Content-Length|Content-Length:? -\d+", lambda m: _post(b"Content-Length: -5\r\n")),
    (r"Content-Length:? (\d+)", lambda m: _post(b"Content-Length: " + m[1].encode() + b"\r\n")),
    (r"(request line|URL|URI|path|address) (of )?(\d+) ?KB", lambda m: _get(path=b"/" + b"a" * (int(m[3]) * 1000))),
    (r"NUL", lambda m: _get(path=b"/\x00")),
    (r"space|obs-fold|folded", lambda m: _get(b"X-A : 1\r\n")),
    (r"bad address|absolute|\[::1", lambda m: b"GET http://[::1 HTTP/1.1\r\n" + RAW_HEAD + b"\r\n"),
    (r"(two|several) Host", lambda m: _get(b"Host: evil.example\r\n")),
    (r"without Host|no Host|missing Host", lambda m: b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"),
    (r"nonsense|garbage|not HTTP|noise", lambda m: b"nonsense\r\n\r\n"),
    (r"body (?:of )?(\d+) ?MB", lambda m: _post(b"Content-Length: %d\r\n" % (int(m[1]) * MB), b"a" * (int(m[1]) * MB))),
)
