"""Who sends what a sentence about the web app says. Each scene gets the office and the match, and returns answers."""

import contextlib
import re
import socket
import threading
from types import SimpleNamespace

from sqlalchemy import func, select

from tests.acceptance.web_access import (
    ADMIN_PAGES,
    SQL,
    after_new_password,
    bad_logins,
    bad_token,
    cross_site,
    dead_session,
    enumeration,
    fixation,
    forged,
    invitation_twice,
    label_body,
    late_invitation,
    no_session,
    odd_logins,
    redirected_away,
    token_elsewhere,
    token_in_query,
    token_of_nobody,
    wrong_role,
    wrong_scope,
)
from tests.acceptance.web_raw import bytes_of
from tests.support.gallery import champion, jpeg, predicted, staged
from tests.support.settings import make_settings
from tests.support.shelf import put_model
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
LISTS = ("/tickets", "/label/grid", "/clean", "/models", "/setup/audit")


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

    @contextlib.contextmanager
    def listening(self):
        """The real server: talk(bytes) -> its answer; `talk.port` is where it listens."""
        server = WebServer(self.site.app, self.settings)
        thread = threading.Thread(target=server.run)
        thread.start()

        def talk(request):
            return _talk(server.port, request)

        talk.port = server.port
        try:
            yield talk
        finally:
            server.stop()
            thread.join(timeout=15)

    def raw(self, *requests):
        """Bytes to the real server -> an answer each."""
        with self.listening() as talk:
            return [talk(request) for request in requests]


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
    said = re.search(r"<\w[^<>]*>", match.string)
    for number, html in enumerate([XSS, said[0] if said else XSS, XSS]):
        name = html.replace("/", "")
        sha256 = office.picture(f"{name}/{name}{number}.jpg".encode(), f"p{number}")
        predicted(office.db, sha256, model, "errors", unsure=True)
    admin = office.site.sign_in("ada", "admin")
    answers = [admin.get(path) for path in (f"/{XSS}", *ADMIN_PAGES, *LISTS, f"/label?x={XSS}", f"/login?next={XSS}")]
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
    if re.search(r"https|HSTS|TLS", match.string):
        settings = make_settings(office.folder, {"general.base_url": "https://bot.example"})
        client = Site(office.db, settings).app.test_client()
        return [client.get("/login", base_url="https://bot.example")]
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


def too_often(office, match):
    """More calls with one token than a minute allows."""
    per_minute = office.settings.classify.rate_per_minute
    client = office.program("classify")
    answers = [client.get("/classify-url", query_string={"url": "http://127.0.0.1/"}) for _ in range(per_minute + 1)]
    assert answers[0].status_code == 400
    return answers[-1:]


def many_at_once(office, match):
    """Calls at the same time: each is answered, or told to come back."""
    office.with_decoders()
    put_model(office.db, office.settings)
    token, answers = office.site.token("classify"), []
    count = min(60, int((re.search(r"(\d[\d,]*)", match.string) or ["", "60"])[1].replace(",", "")))

    def call():
        client = office.site.app.test_client()
        answers.append(client.post("/classify", data=jpeg("a"), headers={"Authorization": f"Bearer {token}"}))

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    alive = [office.anonymous.get("/healthz").status_code for _ in range(10)]
    for thread in threads:
        thread.join(60)
    assert len(answers) == count and set(alive) == {200}
    for answer in answers:
        if answer.status_code in (429, 503):
            assert int(answer.headers["Retry-After"]) > 0
    return sorted(answers, key=lambda answer: answer.status_code)


def no_page(office, match):
    """What is not there, with and without a session."""
    admin = office.site.sign_in("ada", "admin")
    paths = ("/none", "/.git/config", "/.env", "/admin.php", f"/{XSS}", "/api/v1/none", "/picture/" + "f" * 64 + ".jpg")
    open_to_all = [path for path in paths if not path.startswith(("/picture", "/api"))]
    return [admin.get(path) for path in paths] + [office.anonymous.get(path) for path in open_to_all]


def templates_in_names(office, match):
    """A name that a template would work out."""
    office.with_decoders()
    model = champion(office.db)
    sha256 = office.picture(b"{{7*7}}/${7*7}{%print(7*7)%}.jpg", "t")
    predicted(office.db, sha256, model, "errors", unsure=True)
    admin = office.site.sign_in("ada", "admin")
    answers = [admin.get(path) for path in ("/label?x={{7*7}}", "/account?x={{7*7}}")]
    told = admin.send("/label/next", {"page": "page0001", "n": 5}).json
    assert "{{7*7}}" in str(told) or "49" not in str(told)
    return answers


def shown_picture(office, match):
    """A user's picture on a page of its own: our own JPEG, sandboxed."""
    office.with_decoders()
    admin = office.site.sign_in("ada", "admin")
    answer = admin.get(f"/picture/{office.picture()}.jpg")
    return [SimpleNamespace(status_code=answer.status_code, headers=answer.headers, text="")]


def not_a_picture(office, match):
    """What /classify is given instead of a picture."""
    office.with_decoders()
    put_model(office.db, office.settings)
    bodies = {
        "svg": b"<svg onload=alert(1)>",
        "html": b"<html>",
        "empty": b"",
        "zip": b"PK\x03\x04",
        "pdf": b"%PDF-1.7",
    }
    found = [body for word, body in bodies.items() if re.search(word, match.string, re.IGNORECASE)]
    client = office.program("classify")
    return [client.post("/classify", data=body) for body in found or [b"hello"]]


def same_again(office, match):
    """The same label with the same key, as a browser that heard no answer sends it."""
    sha256, rita = office.picture(), office.site.sign_in("rita")
    first = rita.send("/label", label_body(sha256, 1, version=0))
    before = office.rows()
    second = rita.send("/label", label_body(sha256, 1, version=0))
    office.seen["extra_rows"] = office.rows() - before
    return [first, second]


def odd_forms(office, match):
    rita = office.site.sign_in("rita")
    rita.get("/account")
    headers = {"X-CSRFToken": rita.csrf, "Content-Type": "application/x-www-form-urlencoded"}
    bodies = (b"sha256=%ff%fe&category=errors&key=x", b"\xff\xfe=\x00", b"&&&===", b"sha256=%zz")
    return [rita.client.post("/label", data=body, headers=headers) for body in bodies]


def odd_query(office, match):
    """Numbers and sort orders that are none, on the pages and the API."""
    admin = office.site.sign_in("ada", "admin")
    client = office.program("read")
    odd = ("-1", "abc", "1000000", "1;select", SQL, "9" * 400, "NaN", "", "\ud800".encode("utf-8", "surrogatepass"))
    keys = ("limit", "page", "cursor", "after", "sort", "before", "n", "size")
    one = [key for key in keys if re.search(rf"\b{key}", match.string, re.IGNORECASE)] or list(keys)
    answers = []
    for value in odd:
        query = dict.fromkeys(one, value)
        answers += [admin.get("/tickets", query_string=query), client.get("/api/v1/answers", query_string=query)]
    return answers


def secrets_in_log(office, match):
    """A password, and an address with credentials, on their way in: in no log line."""
    office.seen["secret"] = secret = "hunter2-correct-horse"
    office.site.person("rita")
    answers = [office.anonymous.post("/login", {"name": "rita", "password": secret})]
    client = office.program("classify")
    answers.append(client.get(f"/classify-url?url=http://a:{secret}@x.test/&token={secret}"))
    return answers


# --- what only a real socket can send ---


def raw(office, match):
    """ "TRACE, header 70 KB, 1,000 headers, chunked with bad size", each an answer of the real server."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", match.string)
    if re.search(
        r"smuggl|(CL|Content-Length).*(TE|Transfer-Encoding)|(TE|Transfer-Encoding).*(CL|Content-Length)", text
    ):
        return office.raw(bytes_of(text))
    parts = [part for part in re.split(r", | / | and ", re.sub(r"^(HTTP )?methods? ", "", text)) if part.strip()]
    return office.raw(*[bytes_of(part) for part in parts])


SCENES = (
    (r"cross-?site|Sec-Fetch|Origin: https?://evil|other origin.*POST", cross_site),
    (r"CORS|preflight|OPTIONS", cors),
    (r"CSRF", forged),
    (r"log (line|forg|inject)", log_forging),
    (
        r"cookie flags|flags of the cookie|HttpOnly|SameSite|Secure cookie|cookie without|(login|cookie) over https"
        r"|^session cookie$",
        cookie_flags,
    ),
    (
        r"session cookie|cookie (tampered|changed|of)|after (sign|log)(ging)?.?out|disabled account|expired session"
        r"|(sign|log)(ing|ging)?.?out.*cookie|old cookie",
        dead_session,
    ),
    (r"fixation|session( id| cookie)? (is )?(new|changed|rotated|renewed) (at|after|on|by)", fixation),
    (r"\?token=|token in (the )?(query|address|URL)", token_in_query),
    (
        r"(expired|revoked|unknown|malformed|wrong|garbage|forged|bad) (API )?token|token (is |was )?(expi|revo)"
        r"|token .*(after|once) it (was |is |has )?(been )?(expi|revo)",
        bad_token,
    ),
    (r"token (in|as|by|through) (a |the )?(cookie|basic|header|referr?er|x-)|basic auth", token_elsewhere),
    (r"token of a|account (was )?(deleted|removed|disabled).*token", token_of_nobody),
    (r"token (with|whose) .*(changed|character|byte|flipped)", bad_token),
    (r"scope", wrong_scope),
    (r"password (was |is )?changed|changed password", after_new_password),
    (r"session .*(older|limit|too long|idle)", dead_session),
    (r"invit\w+.*(expired|old|late)|unknown invit", late_invitation),
    (r"(password|credentials|secret) in (the |a )?logs?|in the log\b", secrets_in_log),
    (r"no session|not signed in|anonymous|without (a )?(session|signing in|login|token)", no_session),
    (r"stale|meanwhile|two reviewers|optimistic", stale),
    (r"\bviewer|reviewer (opens|calls|posts|asks|requests|gets|visits|reads)|role", wrong_role),
    (r"(?P<n>\d+) (bad|wrong|failed) (logins|passwords|sign-ins)", bad_logins),
    (r"unknown user|enumerat|no such user|(wrong|unknown) (user )?name and|same (answer|text|message)", enumeration),
    (r"next=(?P<target>\S+)", redirected_away),
    (r"invit\w+.*(twice|again|used)", invitation_twice),
    (r"NUL in the (user|name)|(user|name).*(NUL|10,000|surrogate)|odd login", odd_logins),
    (r"\d+ (calls|requests)( of| to)? .*(minute|token)|rate.?limit|too (many|often)", too_often),
    (r"\d+ (concurrent|parallel)|at (the same time|once) .*/classify|decoders (are )?busy|all .*busy", many_at_once),
    (r"template injection|\{\{|SSTI", templates_in_names),
    (r"(same|a) label (sent )?twice|same key|double.click", same_again),
    (r"invalid UTF-8|form with (invalid|bytes|bad|broken|odd)", odd_forms),
    (r"\?(limit|page|cursor|sort|after)\b|cursor|sort=|limit=|page=", odd_query),
    (r"(html|svg|zip|pdf|text) (is )?(uploaded|sent|posted)|empty (POST|body|upload)", not_a_picture),
    (r"404|unknown (path|page|address)|not found|\.git|\.env", no_page),
    (r"(picture|thumb\w*|image) (requested|served|opened|shown|fetched|given)( out)?( directly| as)?", shown_picture),
    (r"weak|short password|common password|password of", weak_password),
    (
        r"(?-i:\bTRACE\b)|\b(PUT|DELETE|PATCH|CONNECT) |CONNECT$|obs-fold|folded|header name with|(two|several) Host"
        r"|no Host|CL\.TE|TE\.CL|headers? (of )?\d+ ?KB|\d headers"
        r"|chunk|Content-Length|smuggl|without Host|request line|HTTP method|NUL in",
        raw,
    ),
    (r"X-Forwarded-Host|forwarded", forwarded_host),
    (r"Host header|Host:|Host spoof", foreign_host),
    (r"JSON", odd_json),
    (r"unknown (class|category)|label (of|with|for) .*(unknown|class|categor|nonsense)", bad_label),
    (r"\d+ ?(MB|KB)|multipart", too_much),
    (r"/(image|picture|static)/|\.\./|traversal|picture of a hash|hash (that|which) is", odd_picture_path),
    (r"download|original|Content-Disposition|CR ?LF", download),
    (r"<\w+.*(file|picture|user).?name|(file|picture|user).?name.*<\w+", scripts_in_names),
    (r"polyglot|HTML (inside|in a picture)|picture .*(html|svg|script)|svg", polyglot),
    (r"XSS|<script|<img|<svg|onerror|HTML in|script in", scripts_in_names),
    (r"\b500\b|internal error|unexpected error|exception|stack trace", broken),
    (r"SQL", sql_everywhere),
    (
        r"frame|click.?jack|headers|nosniff|CSP|Referrer|HSTS|^(any |every |a |the )?(admin )?pages?\b|cached?\b",
        page_headers,
    ),
    (r"newline", log_forging),
)
