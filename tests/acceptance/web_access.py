"""Who tries to get in, or to do what is not theirs? Scenes of area_web about sessions, tokens, roles and forgery."""

import base64
import re

from tests.support.site import PASSWORD, Browser
from ticketbot.db.models import Account, ApiToken
from ticketbot.web import accounts

ADMIN_PAGES = ("/", "/label", "/setup", "/account")
SQL = "' OR 1=1 --"


def label_body(sha256, number=1, **more):
    return {"sha256": sha256, "category": "errors", "key": f"event-key-{number:04}", **more}


def forged(office, match):
    path = (re.search(r"(?:POST|PUT|DELETE) (/[\w/-]+)", match.string) or ["", "/label"])[1]
    sha256 = office.picture()
    rita = office.site.sign_in("rita", "admin")
    rita.get("/account")
    if "another" in match.string or "other session" in match.string:
        rita.csrf = office.site.sign_in("otto").csrf or "x"
    elif re.search(r"wrong|bad|random", match.string):
        rita.csrf = "not-the-token"
    else:
        return [rita.client.post(path, data=label_body(sha256)), rita.client.post(path, json=label_body(sha256))]
    return [rita.send(path, label_body(sha256))]


def cross_site(office, match):
    rita = office.site.sign_in("rita")
    rita.get("/account")
    headers = {"X-CSRFToken": rita.csrf, "Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    return [rita.client.post("/label", json=label_body(office.picture()), headers=headers)]


def no_session(office, match):
    named = [path.rstrip(".,") for path in re.findall(r"(?<!\w)/\w[\w/-]*", match.string)]
    if re.search(r"\bAPI\b(?!.*page)|JSON|program|/classify|/api/", match.string):
        client = office.site.app.test_client()
        if named and not any(path.startswith("/classify") for path in named):
            return [client.get(path) for path in named]
        return [client.get("/classify-url?url=http://x.test/"), client.post("/classify", data=b"x")]
    answers = [office.anonymous.get(path) for path in named or ADMIN_PAGES]
    assert all(answer.location.startswith("/login") for answer in answers)
    assert office.site.app.test_client().post("/classify", data=b"x").status_code == 401
    return answers


def token_in_query(office, match):
    token = office.seen["secret"] = office.site.token("classify", "read")
    clients = (office.site.app.test_client(), office.site.sign_in("rita").client)
    return [client.get(f"{path}?token={token}") for client in clients for path in ("/classify-url", "/", "/account")]


def bad_token(office, match):
    text, client = match.string, office.site.app.test_client()
    good = office.site.token("classify", "read", "label", expires_at=office.site.clock.now + 60)
    tokens = [good]
    if "expired" in text:
        office.site.clock.now += 61
    elif "revoked" in text:
        with office.db.write() as session:
            session.query(ApiToken).update({"revoked_at": office.site.clock.now})
    else:
        tokens = [
            good[:-1] + ("A" if good[-1] != "A" else "B"),
            "tb_000000000000_x",
            "x" * 5000,
            "",
            "tb_%00_",
            good + "=",
            f"{SQL}",
        ]
    return [client.get("/account", headers={"Authorization": f"Bearer {token}"}) for token in tokens]


def token_elsewhere(office, match):
    """A good token where none is read: a cookie, Basic auth, another scheme, the referrer."""
    token, client = office.site.token("classify", "read"), office.site.app.test_client()
    basic = base64.b64encode(f"token:{token}".encode()).decode()
    ways = [
        {"Cookie": f"token={token}; ticketbot={token}"},
        {"Authorization": f"Basic {basic}"},
        {"Authorization": token},
        {"Referer": f"http://localhost/?token={token}"},
        {"X-Api-Key": token},
    ]
    return [client.post("/classify", data=b"x", headers=way) for way in ways]


def token_of_nobody(office, match):
    """A token whose account was switched off meanwhile, or that was taken back."""
    token = office.site.token("classify", "read")
    with office.db.write() as session:
        session.query(ApiToken).update({"revoked_at": office.site.clock.now})
    client = office.site.app.test_client()
    return [client.post("/classify", data=b"x", headers={"Authorization": f"Bearer {token}"})]


def after_new_password(office, match):
    """A session that was open elsewhere when its password was changed."""
    rita = office.site.sign_in("rita")
    thief = Browser(office.site.app.test_client())
    thief.client.set_cookie("ticketbot", rita.client.get_cookie("ticketbot").value)
    assert thief.get("/account").status_code == 200
    rita.get("/account")
    form = {"old": PASSWORD, "password": f"{PASSWORD} two", "again": f"{PASSWORD} two"}
    assert rita.post("/account/password", form).status_code in (200, 302, 303)
    return [thief.get("/account")]


def odd_logins(office, match):
    office.site.person("rita")
    names = ["rita\0", "x" * 10_000, "\ud800".encode("utf-8", "surrogatepass"), SQL, "", "rita\r\nX: 1", "<script>"]
    return [office.anonymous.post("/login", {"name": name, "password": "wrong words here"}) for name in names]


def late_invitation(office, match):
    with office.db.write() as session:
        secret = accounts.make_invite(session, "nora", "reviewer", office.site.clock.now)
    office.site.clock.now += 365 * 86_400
    return [office.anonymous.get(f"/invite/{secret}"), office.anonymous.get("/invite/none")]


def wrong_scope(office, match):
    sha256 = office.picture()
    scope, path = re.search(r"scopes? (classify|read|label|admin)\b", match.string), re.search(r" (/\S+)", match.string)
    if scope and path:
        client = office.program(scope[1])
        if re.search(r"\bpost|\bsend|upload|label", match.string, re.IGNORECASE):
            return [client.post(path[1], json=label_body(sha256))]
        return [client.get(path[1])]
    client = office.program("classify", "read")
    return [
        client.post("/label", json=label_body(sha256)),
        client.get("/setup"),
        client.get(f"/picture/{sha256}/original"),
    ]


def wrong_role(office, match):
    role = "viewer" if "viewer" in match.string else "reviewer"
    person = office.site.sign_in("vera", role)
    person.get("/account")
    answers = [person.get("/setup"), person.send("/setup/people"), person.send("/setup/tokens")]
    return answers + ([person.send("/label", label_body(office.picture()))] if role == "viewer" else [])


def bad_logins(office, match):
    office.site.person("rita")
    browser, many = office.anonymous, int(match["n"])
    spread = "X-Forwarded-For" in match.string or "spoof" in match.string
    answers = [
        browser.post(
            "/login",
            {"name": f"n{number}" if "names" in match.string else "rita", "password": f"wrong {number}"},
            environ_overrides={"HTTP_X_FORWARDED_FOR": f"198.51.100.{number}"} if spread else {},
        )
        for number in range(many)
    ]
    assert answers[0].status_code == 401
    return answers[-1:]


def enumeration(office, match):
    office.site.person("rita")
    answers = [
        office.anonymous.post("/login", {"name": name, "password": "wrong words"}) for name in ("rita", "nobody")
    ]
    plain = [re.sub(r'value="[^"]*"', "", answer.text) for answer in answers]
    assert plain[0] == plain[1]
    return answers


def fixation(office, match):
    browser = office.anonymous
    browser.get("/login")
    planted = browser.client.get_cookie("ticketbot").value
    office.site.person("rita")
    answer = browser.post("/login", {"name": "rita", "password": PASSWORD})
    thief = office.site.app.test_client()
    thief.set_cookie("ticketbot", planted)
    office.seen["rotated"] = browser.client.get_cookie("ticketbot").value != planted and thief.get(
        "/account"
    ).status_code in (302, 401)
    return [answer]


def dead_session(office, match):
    """A cookie after signing out, of a disabled account, after its time, or changed by somebody."""
    rita, text = office.site.sign_in("rita"), match.string
    cookie = rita.client.get_cookie("ticketbot").value
    if re.search(r"tamper|forged|changed|flipped|garbage|random|guess", text):
        cookie = cookie[:-3] + ("aaa" if not cookie.endswith("aaa") else "bbb")
    elif re.search(r"expired|\bold|idle|h later|its limit|too long", text):
        office.site.clock.now += office.settings.web.session_h * 3600 + 1
    elif re.search(r"disabled|switched off|removed", text):
        with office.db.write() as session:
            session.query(Account).update({"disabled_at": office.site.clock.now})
    else:
        rita.get("/account")
        rita.post("/logout")
    thief = Browser(office.site.app.test_client())
    thief.client.set_cookie("ticketbot", cookie)
    return [thief.get(path) for path in ADMIN_PAGES]


def redirected_away(office, match):
    office.site.person("rita")
    browser = office.anonymous
    page = browser.get("/login", query_string={"next": match["target"]})
    assert match["target"] not in page.text or re.fullmatch(r"/\w*", match["target"])
    return [browser.post("/login", {"name": "rita", "password": PASSWORD, "next": match["target"]})]


def invitation_twice(office, match):
    with office.db.write() as session:
        secret = accounts.make_invite(session, "nora", "reviewer", office.site.clock.now)
    form = {"password": PASSWORD, "again": PASSWORD}
    first = office.anonymous
    first.get(f"/invite/{secret}")
    assert first.post(f"/invite/{secret}", form).status_code == 302
    return [office.anonymous.get(f"/invite/{secret}")]
