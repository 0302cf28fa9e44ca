"""Who sends what a sentence about the web app says. Each scene gets the office and the match, and returns answers."""

import re
import socket
import threading
from types import SimpleNamespace

from sqlalchemy import func, select

from tests.acceptance.web_access import (
    ADMIN_PAGES,
    SQL,
    bad_logins,
    bad_token,
    cross_site,
    dead_session,
    enumeration,
    fixation,
    forged,
    invitation_twice,
    label_body,
    no_session,
    redirected_away,
    token_in_query,
    wrong_role,
    wrong_scope,
)
from tests.acceptance.web_raw import bytes_of
from tests.support.gallery import champion, jpeg, predicted, staged
from tests.support.settings import make_settings
from tests.support.site import Browser, Site
from ticketbot.classify.api import Answers
from ticketbot.classify.serving import Serving
from ticketbot.db.models import Account, ApiToken, LabelEvent
from ticketbot.imaging.decode import DecoderPool
from ticketbot.pages import BLUEPRINTS
from ticketbot.web import accounts
from ticketbot.web.serving import WebServer

MB = 2**20
XSS = "<script>alert(1)</script>"


class Office:
    """The whole site on one database, with a decoder; `seen` is what a scene noticed besides the answers."""

    def __init__(self, folder, db, request):
        self.folder, self.db, self.request = folder, db, request
        self.settings = make_settings(folder, {"web.port": 0, "review.blind_share": 0.0})
        self.site = Site(db, self.settings, BLUEPRINTS)
        self.site.services.classify = Answers(Serving(db, self.settings), self.settings)
        self.seen = {}
        self.decoders = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.decoders is not None:
            self.decoders.close()

    @property
    def anonymous(self):
        return Browser(self.site.app.test_client())

    def program(self, *scopes, **headers):
        """A client that sends a token."""
        client = self.site.app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {self.site.token(*scopes)}"
        return client

    def picture(self, name=b"7/a.jpg", text="a"):
        return staged(self.db, self.settings, jpeg(text), name=name)

    def with_decoders(self):
        self.decoders = self.site.services.decoders = DecoderPool(1)

    def rows(self):
        with self.db.read() as session:
            return sum(
                session.scalar(select(func.count()).select_from(model)) for model in (LabelEvent, Account, ApiToken)
            )

    def raw(self, *requests):
        """Bytes to the real server -> an answer each."""
        server = WebServer(self.site.app, self.settings)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            return [_talk(server.port, request) for request in requests]
        finally:
            server.stop()
            thread.join(timeout=15)


def _talk(port, request):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        peer.sendall(request)
        received = b""
        try:
            while chunk := peer.recv(65536):
                received += chunk
        except TimeoutError:
            pass
    head, _, body = received.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:] if ": " in line)
    return SimpleNamespace(
        status_code=int(found[1]) if found else 0, headers=headers, text=body.decode("utf-8", "replace")
    )


# --- what is sent ---


def too_much(office, match):
    """ "body 2 MB / form field 200 KB / 60 multipart parts", each an answer."""
    rita = office.site.sign_in("rita")
    rita.get("/account")
    return [_send_much(rita, part) for part in re.split(r" / |, ", match.string)]


def _send_much(rita, part):
    headers = {"X-CSRFToken": rita.csrf}
    if size := re.search(r"field (?:of )?(\d+) ?KB", part):
        form = {"field": "x" * int(size[1]) * 1000}
        return rita.client.post("/label", data=form, content_type="multipart/form-data", headers=headers)
    if parts := re.search(r"(\d[\d,]*) (?:multipart )?(?:parts|fields|files)", part):
        form = {f"part{number}": "x" for number in range(int(parts[1].replace(",", "")))}
        return rita.client.post("/label", data=form, content_type="multipart/form-data", headers=headers)
    if size := re.search(r"(?:upload|picture|file) (?:of )?(\d+) ?MB|/classify.*?(\d+) ?MB", part):
        return rita.client.post("/classify", data=b"x" * (int(size[1] or size[2]) * MB), headers=headers)
    size = re.search(r"(\d+) ?(MB|KB)", part)
    if size is None:
        raise LookupError(f"nobody knows how to send {part!r}")
    return rita.client.post("/label", data=b"x" * (int(size[1]) * {"MB": MB, "KB": 1024}[size[2]]), headers=headers)


def stale(office, match):
    sha256 = office.picture()
    rita, otto = office.site.sign_in("rita"), office.site.sign_in("otto")
    assert otto.send("/label", label_body(sha256, 1, version=0)).status_code == 200
    before = office.rows()
    answer = rita.send("/label", {**label_body(sha256, 2, version=0), "category": "reports"})
    office.seen["extra_rows"] = office.rows() - before
    return [answer]


def bad_label(office, match):
    sha256, rita = office.picture(), office.site.sign_in("rita")
    wrong = [
        {"category": "unknown-class"},
        {"category": ["errors"]},
        {"sha256": "../etc/passwd"},
        {"key": ""},
        {"version": "x"},
    ]
    if "class" in match.string or "categor" in match.string:
        wrong = [{"category": one} for one in ("unknown-class", SQL, "", None, XSS, "Errors")]
    before = office.rows()
    answers = [rita.send("/label", {**label_body(sha256), **one}) for one in wrong]
    office.seen["extra_rows"] = office.rows() - before
    return answers


def odd_json(office, match):
    rita = office.site.sign_in("rita")
    rita.get("/account")
    headers = {"X-CSRFToken": rita.csrf, "Content-Type": "application/json"}
    bodies = (b"[" * 100_000, b"[]", b"3", b"NaN", b"{", b'"x"', b"\xff\xfe", b'{"sha256": 1e999}', b"null")
    return [rita.client.post("/label", data=body, headers=headers) for body in bodies]


def odd_picture_path(office, match):
    admin = office.site.sign_in("ada", "admin")
    sha256 = office.picture()
    names = ["../../etc/passwd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/etc/passwd", "%00", "a%00.jpg", "..%5c..%5cx"]
    names += [sha256[:63], sha256 + "0", sha256.upper(), "f" * 64, f"{sha256}%0a", f"{sha256}%00", "0", SQL]
    paths = [f"/{folder}/{name}{end}" for folder in ("picture", "image") for name in names for end in ("", ".jpg")]
    return [admin.get(path) for path in [*paths, "/static/../../ticketbot.toml", "/static/%2e%2e/%2e%2e/etc/passwd"]]


def download(office, match):
    names = (
        b"7/Rechnung \xc3\x9c.jpg",
        b"7/a\r\nSet-Cookie: x=1.jpg",
        b'7/";\\.jpg',
        b"7/\xff\xfe.jpg",
        "7/\u202egpj.exe".encode(),
    )
    admin = office.site.sign_in("ada", "admin")
    answers = []
    for number, name in enumerate(names):
        sha256 = office.picture(name, f"picture {number}")
        answers.append(admin.get(f"/picture/{sha256}/original"))
        assert "x=1" not in answers[-1].headers.get("Set-Cookie", "")
        assert answers[-1].headers["X-Content-Type-Options"] == "nosniff"
    return answers


def scripts_in_names(office, match):
    """A name, a label and a picture that are HTML: on every page, escaped or not there at all."""
    office.with_decoders()
    model = champion(office.db)
    for number in range(3):
        sha256 = office.picture(f"{XSS.replace('/', '')}/{XSS.replace('/', '')}{number}.jpg".encode(), f"p{number}")
        predicted(office.db, sha256, model, "errors", unsure=True)
    admin = office.site.sign_in("ada", "admin")
    answers = [admin.get(path) for path in (*ADMIN_PAGES, f"/label?x={XSS}", f"/login?next={XSS}", f"/{XSS}")]
    answers.append(admin.send("/label/next", {"page": "page0001", "n": 5}))
    assert answers[-1].mimetype == "application/json"
    return [answer for answer in answers if answer.mimetype == "text/html"]


def polyglot(office, match):
    """A picture whose bytes are also a page: never given out as they are."""
    office.with_decoders()
    data = jpeg("a")
    evil = data[:2] + b"\xff\xfe\x00\x1b<script>alert(2)</script>"[:29] + data[2:] + XSS.encode()
    sha256 = staged(office.db, office.settings, evil)
    rita = office.site.sign_in("rita")
    answer = rita.get(f"/picture/{sha256}.jpg")
    assert answer.mimetype == "image/jpeg" and b"<script" not in answer.data
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    not_one = staged(office.db, office.settings, b"<svg onload=alert(1)>" * 20)
    page = rita.client.get(f"/picture/{not_one}.jpg")
    assert (page.status_code, page.json["code"]) == (422, "not_an_image")
    return [SimpleNamespace(status_code=answer.status_code, headers=answer.headers, text=answer.data.decode("latin-1"))]


def broken(office, match):
    """Our own code fails, in words that nobody outside may read."""
    office.seen["error_is_meant"] = True
    browser = office.site.sign_in("rita")

    def fails():
        raise RuntimeError("SELECT secret FROM account; /home/ticketbot/web.py")

    office.site.services.db = SimpleNamespace(read=fails, write=fails, is_sqlite=True)
    return [browser.client.get("/", headers={"Accept": kind}) for kind in ("text/html", "application/json")]


def sql_everywhere(office, match):
    admin = office.site.sign_in("ada", "admin")
    admin.get("/setup")
    office.picture()
    before = office.rows()
    answers = [
        admin.get(path, query_string={"size": SQL, "next": SQL, "q": SQL, "url": SQL})
        for path in ("/", "/label", "/setup", "/login", "/account")
    ]
    answers.append(admin.client.get("/classify-url", query_string={"url": SQL}))
    forms = {
        "/setup/people": {"name": SQL, "role": SQL},
        "/setup/tokens": {"name": "x", "scope": SQL, "days": SQL},
        "/setup/people/1": {"do": SQL, "role": SQL},
        "/account/password": {"old": SQL, "password": SQL, "again": SQL},
        "/label": {"sha256": SQL, "category": SQL, "key": SQL, "version": SQL},
        "/label/undo": {"key": SQL, "of": SQL},
        "/label/next": {"page": SQL, "n": SQL, "have": SQL},
    }
    answers += [admin.post(path, form) for path, form in forms.items()]
    office.seen["extra_rows"] = office.rows() - before
    return answers


def foreign_host(office, match):
    named = re.search(r"Host:? ?([a-z][\w.-]*\.[a-z]+)", match.string)
    hosts = [named[1] if named else "evil.example", "127.0.0.1.evil.example", "localhost@evil", "[::1"]
    return [office.anonymous.client.get("/login", headers={"Host": host}) for host in hosts]


def forwarded_host(office, match):
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "1.2.3.4"}
    answers = [office.anonymous.get(path, headers=headers) for path in ("/login", "/")]
    assert not any("evil.example" in answer.text + str(answer.headers) for answer in answers)
    return answers[:1]


def page_headers(office, match):
    """The headers that every page has; scenes that only look at them."""
    admin = office.site.sign_in("ada", "admin")
    answers = [admin.get(path) for path in ADMIN_PAGES]
    for answer in answers:
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in answer.headers
    return answers


def cookie_flags(office, match):
    answer = office.anonymous.get("/login")
    assert "HttpOnly" in answer.headers["Set-Cookie"] and "SameSite=Lax" in answer.headers["Set-Cookie"]
    if "https" in match.string or "Secure" in match.string:
        settings = make_settings(office.folder, {"general.base_url": "https://bot.example"})
        answer = Site(office.db, settings).app.test_client().get("/login", base_url="https://bot.example")
        assert answer.headers["Set-Cookie"].startswith("__Host-") and "Secure" in answer.headers["Set-Cookie"]
    return [answer]


def cors(office, match):
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answers = [
        office.anonymous.client.open(path, method="OPTIONS", headers=headers) for path in ("/label", "/classify")
    ]
    assert not any("Access-Control-Allow-Origin" in answer.headers for answer in answers)
    return answers


def weak_password(office, match):
    with office.db.write() as session:
        secret = accounts.make_invite(session, "nora", "reviewer", office.site.clock.now)
    browser = office.anonymous
    browser.get(f"/invite/{secret}")
    words = ("short", "password1234", "nora nora nora", "a" * 15)
    return [browser.post(f"/invite/{secret}", {"password": word, "again": word}) for word in words]


def log_forging(office, match):
    client = office.anonymous.client
    answer = client.get("/none%0aERROR%20forged%0d%0a?x%0a=1", headers={"User-Agent": "x\ty", "X-Request-Id": "a b"})
    return [answer]


# --- what only a real socket can send ---


def raw(office, match):
    """ "TRACE, header 70 KB, 1,000 headers, chunked with bad size", each an answer of the real server."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", match.string)
    parts = [part for part in re.split(r", | / | and ", re.sub(r"^(HTTP )?methods? ", "", text)) if part.strip()]
    return office.raw(*[bytes_of(part) for part in parts])


SCENES = (
    (r"cross-?site|Sec-Fetch|Origin: https?://evil|other origin.*POST", cross_site),
    (r"CORS|preflight|OPTIONS", cors),
    (r"CSRF", forged),
    (
        r"session cookie|cookie (tampered|changed|of)|after (sign|log)(ging)?.?out|disabled account|expired session",
        dead_session,
    ),
    (r"cookie flags|HttpOnly|SameSite|Secure cookie|cookie without", cookie_flags),
    (r"fixation", fixation),
    (r"\?token=|token in (the )?(query|address|URL)", token_in_query),
    (
        r"(expired|revoked|unknown|malformed|wrong|garbage|forged|bad) (API )?token|token (is |was )?(expi|revo)",
        bad_token,
    ),
    (r"scope", wrong_scope),
    (r"no session|not signed in|anonymous|without (a )?(session|signing in|login|token)", no_session),
    (r"stale|meanwhile|two reviewers|optimistic", stale),
    (r"\bviewer|reviewer (opens|calls|posts|asks)|role", wrong_role),
    (r"(?P<n>\d+) (bad|wrong|failed) (logins|passwords|sign-ins)", bad_logins),
    (r"unknown user|enumerat|no such user", enumeration),
    (r"next=(?P<target>\S+)", redirected_away),
    (r"invit\w+.*(twice|again|used)", invitation_twice),
    (r"weak|short password|common password|password of", weak_password),
    (r"TRACE|header \d+ ?KB|\d headers|chunk|Content-Length|smuggl|without Host|request line|HTTP method|NUL in", raw),
    (r"X-Forwarded-Host|forwarded", forwarded_host),
    (r"Host header|Host:|Host spoof", foreign_host),
    (r"JSON", odd_json),
    (r"unknown (class|category)|label (of|with|for) .*(unknown|class|categor|nonsense)", bad_label),
    (r"\d+ ?(MB|KB)|multipart", too_much),
    (r"/(image|picture|static)/|\.\./|traversal", odd_picture_path),
    (r"download|original|Content-Disposition|CR ?LF", download),
    (r"polyglot|HTML (inside|in a picture)|picture .*(html|svg|script)|svg", polyglot),
    (r"XSS|<script|HTML in|script in", scripts_in_names),
    (r"\b500\b|internal error|unexpected error|exception|database (is )?down", broken),
    (r"SQL", sql_everywhere),
    (r"frame|click.?jack|headers|nosniff|CSP|Referrer", page_headers),
    (r"log (line|forg|inject)|newline", log_forging),
)
