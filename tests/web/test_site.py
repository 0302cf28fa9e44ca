"""What every page and every call has in common, with the web cases of the list of bad inputs."""

import logging
import re
import shutil

import pytest
from flask import Blueprint, request

from tests.support.gallery import champion
from tests.support.site import PASSWORD, Browser, Site
from ticketbot.db import connect, migrate
from ticketbot.db.models import ApiToken, WebSession
from ticketbot.errors import Refused
from ticketbot.web.access import caller, known_caller, needs, public, safe_next
from ticketbot.web.context import Services
from ticketbot.web.site import create_app

MB = 2**20
PAGES = ("/account", "/setup")


def stage():
    """A blueprint as a stage brings one."""
    blueprint = Blueprint("stage", __name__)

    @blueprint.get("/page")
    @needs("read")
    def page():
        return "page"

    @blueprint.route("/classify", methods=["GET", "POST"])
    @needs("classify", api=True)
    def classify():
        return {"who": caller().name if caller() else "anybody", "bytes": len(request.get_data())}

    @blueprint.post("/open")
    @needs("label")
    def post():
        return {"who": known_caller().name}

    @blueprint.get("/broken")
    @public
    def broken():
        raise RuntimeError("SELECT secret FROM /home/me")

    @blueprint.get("/refused")
    @public
    def refused():
        raise Refused("address_refused", "We do not call this address.")

    return blueprint


@pytest.fixture
def site(db, settings_with):
    return Site(db, settings_with(), (stage(),))


@pytest.fixture
def anonymous(site):
    return Browser(site.app.test_client())


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


# --- who may in ---


@pytest.mark.parametrize("path", [*PAGES, "/page"])
def test_a_page_without_session_leads_to_sign_in(anonymous, path):
    answer = anonymous.get(f"{path}?a=1")
    assert answer.status_code == 302
    assert answer.location == f"/login?next={path}?a%3D1"


def test_an_api_call_without_anything_is_401_json(site):
    client = site.app.test_client()
    for answer in (
        client.get("/classify"),
        client.post("/classify", data=b"x"),
        client.get("/classify", headers={"Accept": "text/html"}),
    ):
        assert answer.status_code == 401
        assert answer.mimetype == "application/problem+json"
        assert answer.json["code"] == "unauthorized"
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_an_api_may_be_opened_by_a_setting(db, settings_with):
    site = Site(db, settings_with({"classify.token_required": False}), (stage(),))
    assert site.app.test_client().get("/classify").json["who"] == "anybody"
    assert site.app.test_client().post("/open", data={}).status_code == 400


def test_a_token_in_the_address_is_never_accepted(site, caplog):
    caplog.set_level(logging.INFO)
    token = site.token("classify", "read")
    browser = site.sign_in("rita")
    for client in (site.app.test_client(), browser.client):
        assert client.get(f"/classify?token={token}").status_code == 401
        assert client.get(f"/page?token={token}").status_code == 401
    assert token not in caplog.text
    assert "/classify?token=…" in caplog.text


def test_a_token_acts_by_its_scopes_without_csrf(site):
    client = site.app.test_client()
    assert client.post("/classify", headers=bearer(site.token("classify"))).json["who"] == "token:a program"
    assert client.post("/open", headers=bearer(site.token("label"))).status_code == 200
    refused = client.post("/open", headers=bearer(site.token("read", "classify")))
    assert (refused.status_code, refused.json["code"]) == (403, "forbidden")


@pytest.mark.parametrize("value", ["Bearer ", "Bearer tb_000000000000_x", "Basic YTpi", "tb_x", "Bearer \udce4"])
def test_a_bad_authorization_is_401_even_with_a_session(site, value):
    browser = site.sign_in("rita", "admin")
    answer = browser.client.get(
        "/page", environ_overrides={"HTTP_AUTHORIZATION": value.encode("utf-8", "replace").decode("latin-1")}
    )
    assert answer.status_code == 401


def test_the_last_use_of_a_token_is_written_once_a_minute(site):
    client, headers = site.app.test_client(), bearer(site.token("read"))
    seen = []
    for step_s in (0, 30, 31):
        site.clock.now += step_s
        client.get("/page", headers=headers)
        with site.db.read() as session:
            seen.append(session.query(ApiToken).one().used_at - 1_800_000_000)
    assert seen == [0, 0, 61]


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [("viewer", "/page", 200), ("viewer", "/setup", 403), ("reviewer", "/setup", 403), ("admin", "/setup", 200)],
)
def test_roles_open_pages(site, role, path, status):
    assert site.sign_in("someone", role).get(path).status_code == status


def test_a_call_too_many_is_429_with_a_time(db, settings_with):
    site = Site(db, settings_with({"classify.rate_per_minute": 3}), (stage(),))
    client, headers = site.app.test_client(), bearer(site.token("classify"))
    answers = [client.get("/classify", headers=headers) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["Retry-After"] == "20"
    assert answers[-1].json["retryable"] is True
    site.clock.now += 20
    assert client.get("/classify", headers=headers).status_code == 200


def test_a_view_that_says_nothing_stops_the_start(db, settings_with):
    blueprint = Blueprint("careless", __name__)
    blueprint.get("/x")(lambda: "x")
    with pytest.raises(TypeError, match="careless"):
        create_app(Services(settings_with(), db), [blueprint])


# --- signing in ---


def test_twenty_bad_sign_ins_end_in_429(site, anonymous):
    answers = [anonymous.post("/login", {"name": "rita", "password": f"wrong {i}"}) for i in range(20)]
    assert answers[0].status_code == 401
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_signing_in_makes_a_new_session_whatever_the_cookie_held(site):
    browser = site.sign_in("rita")
    before = browser.client.get_cookie("ticketbot").value
    browser.csrf = ""
    browser.post("/login", {"name": "rita", "password": PASSWORD})
    after = browser.client.get_cookie("ticketbot").value
    assert before != after
    thief = site.app.test_client()
    thief.set_cookie("ticketbot", before)
    assert thief.get("/page").status_code == 302
    assert browser.get("/page").status_code == 200


def test_a_planted_cookie_does_not_become_a_session(site, anonymous):
    anonymous.get("/login")
    planted = anonymous.client.get_cookie("ticketbot").value
    site.person("rita")
    anonymous.post("/login", {"name": "rita", "password": PASSWORD})
    other = site.app.test_client()
    other.set_cookie("ticketbot", planted)
    assert other.get("/page").status_code == 302


def test_signing_out_ends_the_session_on_the_server(site):
    browser = site.sign_in("rita")
    stolen = browser.client.get_cookie("ticketbot").value
    browser.get("/account")
    assert browser.post("/logout").location == "/login"
    browser.client.set_cookie("ticketbot", stolen)
    assert browser.get("/page").status_code == 302


def test_signing_out_everywhere_reaches_the_other_browser(site):
    one, other = site.sign_in("rita"), site.sign_in("rita")
    one.get("/account")
    one.post("/account/sign-out-everywhere")
    assert other.get("/page").status_code == 302


def test_the_cookie_is_out_of_reach_of_scripts(anonymous):
    cookie = anonymous.get("/login").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


def test_with_https_the_cookie_is_bound_to_the_host_and_browsers_stay_on_https(db, settings_with):
    site = Site(db, settings_with({"general.base_url": "https://bot.example"}), ())
    answer = site.app.test_client().get("/login", base_url="https://bot.example")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-ticketbot=")
    assert "Secure" in cookie and "Path=/" in cookie and "Domain" not in cookie
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


def test_over_https_a_form_needs_no_referrer(db, settings_with):
    site = Site(db, settings_with({"general.base_url": "https://bot.example"}), ())
    site.person("rita")
    client = site.app.test_client()
    page = client.get("/login", base_url="https://bot.example").text
    token = re.search(r'csrf_token" value="([^"]+)', page)[1]
    form = {"csrf_token": token, "name": "rita", "password": PASSWORD}
    assert client.post("/login", data=form, base_url="https://bot.example").status_code == 302


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil",
        "javascript:alert(1)",
        "/a\nb",
        "http:/x",
        "///x",
        "evil",
        "",
    ],
)
def test_after_signing_in_nobody_is_sent_away(site, anonymous, target):
    assert safe_next(target) == "/"
    site.person("rita")
    assert anonymous.post("/login", {"name": "rita", "password": PASSWORD, "next": target}).location == "/"


@pytest.mark.parametrize("target", ["/label", "/page?a=1&b=//x", "/"])
def test_a_path_of_ours_is_a_good_place_to_go(target):
    assert safe_next(target) == target


def test_an_invitation_leads_to_a_password_and_a_session(site, anonymous):
    admin = site.sign_in("ada", "admin")
    admin.get("/setup")
    page = admin.post("/setup/people", {"name": "nora", "role": "reviewer"}).text
    path = re.search(r'value="http://127.0.0.1:8788(/invite/[^"]+)"', page)[1]
    assert "nora" in anonymous.get(path).text
    assert anonymous.post(path, {"password": "too short", "again": "too short"}).status_code == 400
    assert anonymous.post(path, {"password": PASSWORD, "again": PASSWORD + "x"}).status_code == 400
    assert anonymous.post(path, {"password": PASSWORD, "again": PASSWORD}).status_code == 302
    assert anonymous.get("/page").status_code == 200
    assert anonymous.get(path).status_code == 404


def test_changing_the_password_needs_the_old_one(site):
    browser, other = site.sign_in("rita"), site.sign_in("rita")
    new = {"password": "seven green trombones", "again": "seven green trombones"}
    browser.get("/account")
    assert browser.post("/account/password", {"old": "wrong", **new}).status_code == 400
    assert browser.post("/account/password", {"old": PASSWORD, **new}).status_code == 302
    assert browser.get("/page").status_code == 200
    assert other.get("/page").status_code == 302


# --- people and programs ---


def test_a_token_is_shown_once(site):
    admin = site.sign_in("ada", "admin")
    admin.get("/setup")
    page = admin.post("/setup/tokens", {"name": "erp", "scope": ["classify"], "days": "30"}).text
    token = re.search(r'value="(tb_[^"]+)"', page)[1]
    assert token not in admin.get("/setup").text
    client = site.app.test_client()
    assert client.get("/classify", headers=bearer(token)).status_code == 200
    site.clock.now += 30 * 86400
    assert client.get("/classify", headers=bearer(token)).status_code == 401


def test_a_revoked_token_stops_at_once(site):
    token = site.token("classify")
    admin = site.sign_in("ada", "admin")
    admin.get("/setup")
    admin.post(f"/setup/tokens/{token.split('_')[1]}/revoke")
    assert site.app.test_client().get("/classify", headers=bearer(token)).status_code == 401


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/setup/tokens", {"name": "x", "scope": ["root"], "days": "30"}),
        ("/setup/tokens", {"name": "x", "scope": ["read"], "days": "99999999999999999999"}),
        ("/setup/tokens", {"name": "", "scope": ["read"], "days": "30"}),
        ("/setup/people", {"name": "' OR 1=1 --", "role": "viewer"}),
        ("/setup/people", {"name": "x", "role": "' OR 1=1 --"}),
        ("/setup/people/1", {"do": "' OR 1=1 --"}),
    ],
)
def test_nonsense_in_a_form_is_400_and_said(site, path, form):
    admin = site.sign_in("ada", "admin")
    admin.get("/setup")
    answer = admin.post(path, form)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text


def test_switching_an_account_off_signs_it_out(site):
    person, admin = site.sign_in("rita"), site.sign_in("ada", "admin")
    admin.get("/setup")
    with site.db.read() as session:
        account_id = session.query(WebSession).order_by(WebSession.created_at, WebSession.account_id).first().account_id
    assert admin.post(f"/setup/people/{account_id}", {"do": "disable"}).status_code == 302
    assert person.get("/page").status_code == 302


# --- forged, large and odd requests ---


def test_a_form_without_csrf_token_is_400(site, anonymous):
    browser = site.sign_in("rita")
    for client in (browser.client, anonymous.client):
        answer = client.post("/open", data={"x": "1"})
        assert (answer.status_code, answer.json["code"]) == (400, "csrf")
        assert client.post("/open", json={"x": 1}).status_code == 400


def test_a_form_sent_by_another_site_is_400(site):
    browser = site.sign_in("rita")
    browser.get("/account")
    headers = {"X-CSRFToken": browser.csrf}
    assert browser.client.post("/open", headers=headers).status_code == 200
    forged = browser.client.post("/open", headers={**headers, "Sec-Fetch-Site": "cross-site"})
    assert forged.status_code == 400


def test_bodies_are_limited_in_bytes_fields_and_parts(site):
    client = site.sign_in("rita").client
    parts = {f"part{i}": "x" for i in range(60)}
    for answer in (
        client.post("/open", data=b"x" * (2 * MB)),
        client.post("/open", data={"field": "x" * 200_000}, content_type="multipart/form-data"),
        client.post("/open", data={"field": "x" * 200_000}),
        client.post("/open", data=parts, content_type="multipart/form-data"),
        client.post("/login", data=b"x" * (2 * MB)),
        client.get("/page", data=b"x" * (2 * MB)),
    ):
        assert answer.status_code == 413


def test_a_picture_may_have_25_mb(site):
    client, headers = site.app.test_client(), bearer(site.token("classify"))
    assert client.post("/classify", data=b"x" * (24 * MB), headers=headers).json["bytes"] == 24 * MB
    assert client.post("/classify", data=b"x" * (26 * MB), headers=headers).status_code == 413


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil", "a b", "[::1", "127.0.0.1:99999x"]
)
def test_a_foreign_host_name_is_400(anonymous, host):
    answer = anonymous.client.get("/login", headers={"Host": host})
    assert answer.status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1:8788", "localhost", "[::1]:8788", "bot.example", "intra.bot.example"])
def test_our_host_names_are_fine(db, settings_with, host):
    site = Site(db, settings_with({"web.trusted_hosts": [".bot.example"]}))
    assert site.app.test_client().get("/login", headers={"Host": host}).status_code == 200


def test_forwarded_addresses_count_only_behind_a_proxy(db, settings_with):
    headers = {"X-Forwarded-For": "198.51.100.7"}
    for proxies, limited in ((0, True), (1, False)):
        site = Site(db, settings_with({"web.proxies": proxies}))
        browser = Browser(site.app.test_client())
        for i in range(12):
            browser.post(
                "/login",
                {"name": f"n{i}", "password": "x"},
                environ_overrides={"HTTP_X_FORWARDED_FOR": f"198.51.100.{i}"},
            )
        answer = browser.post(
            "/login",
            {"name": "last", "password": "x"},
            environ_overrides={"HTTP_X_FORWARDED_FOR": headers["X-Forwarded-For"]},
        )
        assert (answer.status_code == 429) == limited


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/none", 404, "not_found"),
        ("PUT", "/login", 405, "method_not_allowed"),
        ("TRACE", "/", 404, "not_found"),
        ("TRACE", "/login", 405, "method_not_allowed"),
    ],
)
def test_refusals_are_problems_for_programs_and_pages_for_people(anonymous, method, path, status, code):
    answer = anonymous.client.open(path, method=method)
    assert (answer.status_code, answer.json["code"], answer.mimetype) == (status, code, "application/problem+json")
    assert ("Allow" in answer.headers) == (status == 405)
    page = anonymous.client.open(path, method=method, headers={"Accept": "text/html"})
    assert (page.status_code, page.mimetype) == (status, "text/html")


def test_our_errors_carry_their_code(anonymous):
    answer = anonymous.client.get("/refused")
    assert (answer.status_code, answer.json["code"], answer.json["retryable"]) == (400, "address_refused", False)


def test_an_unexpected_error_shows_an_id_that_is_in_the_log(anonymous, caplog):
    page = anonymous.client.get("/broken", headers={"Accept": "text/html"})
    problem = anonymous.client.get("/broken")
    assert (page.status_code, problem.status_code) == (500, 500)
    for text in (page.text, problem.text):
        assert not any(word in text for word in ("Traceback", "/home", "SELECT", "RuntimeError"))
    assert problem.json["error_id"] in caplog.text
    assert re.search("<code>([0-9a-f]+)</code>", page.text)[1] in caplog.text


def test_a_database_that_is_down_is_an_error_page_not_a_crash(site, anonymous, monkeypatch):
    browser = site.sign_in("rita")
    monkeypatch.setattr(site.services.db, "read", lambda: 1 / 0)
    answer = browser.client.get("/page", headers={"Accept": "text/html"})
    assert answer.status_code == 500
    assert "Error" in answer.text


# --- headers and the log ---


def test_every_answer_has_the_headers_that_keep_it_harmless(site, anonymous):
    browser = site.sign_in("rita", "admin")
    for answer in (
        anonymous.get("/login"),
        browser.get("/setup"),
        browser.get("/none"),
        browser.get("/broken"),
        browser.get("/static/ticketbot.css"),
        anonymous.client.get("/classify"),
        anonymous.client.get("/login", headers={"Host": "evil.example"}),
    ):
        headers = answer.headers
        assert headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert headers["X-Request-Id"]
        assert "Strict-Transport-Security" not in headers


def test_pages_are_not_stored_and_static_files_are(site):
    browser = site.sign_in("rita")
    assert browser.get("/account").headers["Cache-Control"] == "no-store"
    assert "no-store" not in browser.get("/static/ticketbot.css").headers.get("Cache-Control", "")


@pytest.mark.parametrize("path", ["/login", *PAGES])
def test_pages_have_nothing_inline_and_load_nothing_from_elsewhere(site, path):
    text = site.sign_in("ada", "admin").get(path).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text)
    assert not re.search(r'(src|href|action)="(https?:)?//', text)


def test_the_log_has_a_line_a_request_that_cannot_be_forged(site, anonymous, caplog):
    caplog.set_level(logging.INFO)
    anonymous.client.get(
        "/none%0aERROR forged?url=https://secret.example/&x%0a=1", headers={"X-Request-Id": "abcdef-123456"}
    )
    record = next(record for record in caplog.records if record.name == "ticketbot.web.requestlog")
    assert record.getMessage().startswith("GET /none%0AERROR%20forged?url=…&x%0A=… 404")
    assert record.request_id == "abcdef-123456"
    assert "secret" not in caplog.text


@pytest.mark.parametrize("given", ["short", "x" * 65, "a b c d e f g h", "<script>xx"])
def test_an_odd_request_id_is_replaced(anonymous, given):
    assert anonymous.client.get("/login", headers={"X-Request-Id": given}).headers["X-Request-Id"] != given


def test_the_secret_of_an_invitation_is_not_logged(site, anonymous, caplog):
    caplog.set_level(logging.INFO)
    anonymous.get("/invite/abcdefgh-secret")
    assert "abcdefgh-secret" not in caplog.text


def test_ready_means_migrated_and_with_a_model_where_one_is_needed(tmp_path, settings_with):
    db = connect(f"sqlite:///{tmp_path / 'fresh.db'}")
    migrate.upgrade(db)
    site = Site(db, settings_with())
    client = site.app.test_client()
    good = dict.fromkeys(["database", "schema", "writable", "disk", "staging"], "ok")
    assert client.get("/readyz").json == {"ready": True, "checks": good, "problems": []}
    site.services.model_required = True
    assert client.get("/readyz").json["checks"]["model"] == "missing"
    champion(db)
    assert client.get("/readyz").status_code == 200
    db.close()


def test_alive_does_not_ask_the_database_and_ready_does(tmp_path, settings_with):
    db = connect(f"sqlite:///{tmp_path / 'fresh.db'}")
    site = Site(db, settings_with())
    db.close()
    shutil.rmtree(tmp_path / "var", ignore_errors=True)
    (tmp_path / "fresh.db").unlink(missing_ok=True)
    (tmp_path / "fresh.db").mkdir()
    client = site.app.test_client()
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["checks"]["database"]) == (503, "missing")


def test_alive_and_ready_are_two_questions(db, settings_with):
    site = Site(db, settings_with())
    client = site.app.test_client()
    assert client.get("/healthz").json == {"status": "ok"}
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["checks"]["database"], answer.json["checks"]["schema"]) == (
        503,
        "ok",
        "missing",
    )
