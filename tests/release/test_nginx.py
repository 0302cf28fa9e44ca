"""Does deploy/nginx.conf, with nginx itself in front of the service, hand through what the service needs?"""

import hmac
import http.client
import json
import os
import shutil
import ssl
import subprocess

import pytest

from tests.support.loopback import free_port
from tests.support.needs import missing
from tests.support.service import Service, eventually
from tests.support.tls import Authority
from tests.support.world import ROOT, World

EXAMPLE = ROOT / "deploy" / "nginx.conf"
NAME = "localhost"


class Proxy:
    """nginx with the example's two servers, on ports, a name and a certificate of the test."""

    def __init__(self, folder, authority, service_port, text=None):
        self.folder, self.authority = folder, authority
        self.http, self.https = free_port(), free_port()
        text = text or EXAMPLE.read_text()
        chain = authority.server_chain(NAME)
        letsencrypt = "/etc/letsencrypt/live/pictures.example.com"
        for old, new in (
            ("listen 80;", f"listen 127.0.0.1:{self.http};"),
            ("    listen [::]:80;\n", ""),
            ("listen 443 ssl;", f"listen 127.0.0.1:{self.https} ssl;"),
            ("    listen [::]:443 ssl;\n", ""),
            (f"{letsencrypt}/fullchain.pem", str(chain)),
            (f"{letsencrypt}/privkey.pem", str(chain)),
            ("127.0.0.1:8788", f"127.0.0.1:{service_port}"),
            ("pictures.example.com;", f"{NAME};"),
        ):
            assert old in text, f"the example says no more {old!r}"
            text = text.replace(old, new)
        own = [f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
        user = "user root;" if os.geteuid() == 0 else ""
        head = f"daemon off;\n{user}\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        self.file = folder / "nginx.conf"
        self.file.write_text(f"{head}http {{\naccess_log off;\n{chr(10).join(own)}\n{text}\n}}\n")

    def __enter__(self):
        command = ["nginx", "-e", f"{self.folder}/error.log", "-c", str(self.file)]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        self.process = subprocess.Popen(command)
        eventually(lambda: self.get("/healthz", tolerate=True))
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)

    def get(self, path, tolerate=False, **headers):
        return self.ask("GET", path, tolerate=tolerate, **headers)

    def ask(self, method, path, body=None, *, tolerate=False, host=NAME, token="", **headers):
        """-> (status, headers, body); None when nobody listens and that is tolerated."""
        trust = ssl.create_default_context(cafile=self.authority.ca_file)
        sent = {"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        sent |= {"Authorization": f"Bearer {token}"} if token else {}
        connection = http.client.HTTPSConnection(NAME, self.https, context=trust, timeout=20)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        except ConnectionRefusedError:
            if not tolerate:
                raise
            return None
        finally:
            connection.close()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def authority(tmp_path):
    if shutil.which("nginx") is None:
        missing("nginx is not installed (apt-get install nginx-light)")
    return Authority(tmp_path)


def behind(world, port):
    """The settings that docs/how-to/proxy.md asks for."""
    return {"TICKETBOT_GENERAL__BASE_URL": f"https://{NAME}:{port}", "TICKETBOT_WEB__PROXIES": "1"}


def doctor(world, authority, service, proxy):
    """What `doctor` says about the proxy, asked through it."""
    world.more |= behind(world, proxy.https)
    world.more |= {"TICKETBOT_WEB__PORT": str(service.port), "SSL_CERT_FILE": str(authority.ca_file)}
    said = json.loads(world.run("doctor", "--json").stdout)
    return [one for one in said if one["check"] == "proxy"]


def test_the_example_hands_through_name_scheme_caller_and_id(world, authority, tmp_path):
    token = world.run("tokens", "create", "a program", "--scope", "read", "--scope", "classify").stdout.strip()
    with Service(world, **behind(world, 443)) as service, Proxy(tmp_path, authority, service.port) as proxy:
        service.wait_ready()
        status, headers, body = proxy.get("/api/v1/me", token=token, X_Forwarded_For="1.2.3.4, 5.6.7.8")
        assert status == 200, body
        seen = json.loads(body)["seen"]
        assert seen == {"address": "127.0.0.1", "scheme": "https", "host": NAME, "forwarded": 1}, (
            "a caller was believed"
        )
        assert len(headers["X-Request-Id"]) == 32, "nginx's id"
        line = eventually(lambda: [one for one in service.events() if one.get("request_id") == headers["X-Request-Id"]])
        assert "/api/v1/me" in line[0]["event"]

        cookie = proxy.get("/login", Accept="text/html")[1].get("Set-Cookie", "")
        assert cookie.startswith("__Host-ticketbot=") and "Secure" in cookie
        assert proxy.get("/login", host="evil.example")[0] == 400

        # More than nginx lets through by itself: it is ours to say what it is.
        large = b"\xff\xd8\xff" + b"x" * 3_000_000
        status, headers, body = proxy.ask("POST", "/classify", large, token=token)
        assert status != 413 and headers["Content-Type"] == "application/problem+json", body
        assert proxy.ask("POST", "/classify", b"x" * 28_000_000, token=token)[0] == 413

        assert b"ticketbot_" in proxy.get("/metrics", token=token)[2]
        plain = http.client.HTTPConnection("127.0.0.1", proxy.http, timeout=10)
        plain.request("GET", "/label?x=1", headers={"Host": NAME})
        answer = plain.getresponse()
        assert (answer.status, answer.getheader("Location")) == (301, f"https://{NAME}/label?x=1")
        plain.close()


CALLED = """
[sources.{name}]
root = "attach"
require_ticket = false
[sources.{name}.inbound]
enabled = true
secret = "hook-secret"
callers = ["{caller}"]
how = {{scheme = "hmac_sha256", header = "X-Signature", ticket = "/ticket"}}
"""


def test_a_ticket_system_calls_through_it_with_its_own_address_and_bytes(world, authority, tmp_path):
    with open(world.config, "a") as file:
        file.write(CALLED.format(name="here", caller="127.0.0.1") + CALLED.format(name="there", caller="10.0.0.5"))
    body = json.dumps({"ticket": 7, "text": "ä" * 300_000}, ensure_ascii=False).encode()
    signature = hmac.new(b"hook-secret", body, "sha256").hexdigest()
    with Service(world, **behind(world, 443)) as service, Proxy(tmp_path, authority, service.port) as proxy:
        service.wait_ready()
        status, _, said = proxy.ask("POST", "/inbound/here", body, X_Signature=signature)
        assert (status, json.loads(said)) == (202, {"queued": True, "duplicate": False})
        assert proxy.ask("POST", "/inbound/here", body[:-2] + b"!}", X_Signature=signature)[0] == 401
        claimed = proxy.ask("POST", "/inbound/there", body, X_Signature=signature, X_Forwarded_For="10.0.0.5")
        assert claimed[0] == 401, "a caller chose its own address"


def test_doctor_asks_through_the_proxy_and_names_what_does_not_arrive(world, authority, tmp_path):
    world.run("once")
    folders = [tmp_path / "good", tmp_path / "bad"]
    for folder in folders:
        folder.mkdir()
    with Service(world, **behind(world, 443)) as service:
        service.wait_ready()
        with Proxy(folders[0], authority, service.port) as proxy:
            (found,) = doctor(world, authority, service, proxy)
            assert found["level"] == "ok", found
        lines = [line for line in EXAMPLE.read_text().splitlines() if "X-Forwarded-Proto" not in line]
        with Proxy(folders[1], authority, service.port, "\n".join(lines)) as proxy:
            (found,) = doctor(world, authority, service, proxy)
            assert found["level"] == "fault" and "X-Forwarded-Proto" in found["said"], found


def test_the_example_sets_what_it_hands_through_in_both_places():
    text = EXAMPLE.read_text()
    for header in ("X-Forwarded-For $remote_addr", "X-Forwarded-Proto $scheme", "X-Forwarded-Host $host"):
        assert text.count(header) == 2
