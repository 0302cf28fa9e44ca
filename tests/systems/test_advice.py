"""What `preset check` says to a person whose settings are wrong: one sentence that names what to change."""

import json

import pytest
from click.testing import CliRunner

from tests.support.loopback import free_port
from tests.support.minidesk import MiniDesk
from tests.support.script_server import Exchange, ScriptServer
from tests.support.tls import Authority
from tests.systems.test_add_a_system import PRESET
from ticketbot.cli import main
from ticketbot.deliver.preset import ROUNDS

PAGE = b"<!DOCTYPE html>\n<html><title>Log in</title></html>"


def says(status, body=b"", **headers):
    """A server that says this to whoever reads ticket 7."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    one = Exchange("GET", "/api/tickets/7", status=status, answer=body, answer_headers=headers)
    return ScriptServer([one] * ROUNDS)


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """checked(url, …) -> (exit code, the last line it prints, the whole of it)."""
    monkeypatch.chdir(tmp_path)

    def run(url, *more, allow=("127.0.0.1", "localhost"), key="mini-secret-key", ticket="7", preset=PRESET):
        (tmp_path / "minidesk.toml").write_text(preset)
        endpoint = {"url": url, "preset": "minidesk.toml", "allow": list(allow), "secrets": {"api_key": key}}
        lines = [f"{name} = {json.dumps(value)}" for name, value in endpoint.items() if name != "secrets"]
        text = "\n".join(['[general]\ndata_dir = "var"', "[deliver]\ntimeout_s = 5", "[endpoints.desk]", *lines])
        (tmp_path / "t.toml").write_text(f"{text}\nsecrets = {{api_key = {json.dumps(key)}}}\n")
        done = CliRunner().invoke(main, ["--config", "t.toml", "preset", "check", "desk", "--ticket", ticket, *more])
        assert key not in done.output
        return done.exit_code, done.output.strip().splitlines()[-1], done.output

    return run


@pytest.fixture
def desk():
    found = MiniDesk()
    yield found
    found.close()


def test_a_check_that_went_well_advises_nothing(checked, desk):
    code, last, _ = checked(desk.url)
    assert (code, last) == (0, "all steps did what they should")


def test_a_wrong_key(checked, desk):
    code, last, _ = checked(desk.url, key="another-key")
    assert code == 1
    assert last.startswith("→ it does not accept our login: look at endpoints.desk.secrets.api_key")


def test_a_wrong_ticket(checked, desk):
    code, last, _ = checked(desk.url, ticket="8")
    assert code == 1 and last.startswith("→ there is no ticket '8' that our user may see")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('must_be = { "/id" = "{ticket|number}" }', "there is no ticket '7' that our user may see"),
        ('fail_if = ["/error"]', "its answer says why: compare endpoints.desk.secrets.api_key, the ticket and our"),
    ],
)
def test_a_wrong_ticket_of_a_system_that_says_200(checked, more, said):
    with says(200, b'{"error": "no such ticket"}') as server:
        save = 'save_header = { etag = "ETag" }\n'
        code, last, _ = checked(server.url, preset=PRESET.replace(save, save + more + "\n"))
    assert code == 1 and said in last


def test_an_address_that_must_be_named(checked, desk):
    code, last, _ = checked(desk.url, allow=())
    host = desk.url.removeprefix("http://")
    assert code == 1 and last.endswith(f"endpoints.desk.allow = ['{host}']")
    assert checked(desk.url, allow=(host,))[0] == 0  # and that is enough


def test_a_host_where_nothing_answers(checked):
    port = free_port()
    code, last, _ = checked(f"http://127.0.0.1:{port}")
    assert code == 1 and last.startswith(f"→ nothing answers at 127.0.0.1:{port}: is endpoints.desk.url right")


def test_a_certificate_of_its_own(checked, tmp_path):
    context = Authority(tmp_path).server_context("localhost", trusted=False)
    with says(200, b"{}") as server:
        server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
        code, last, _ = checked(server.url.replace("http://127.0.0.1", "https://localhost"))
    assert code == 1 and last.startswith("→ the certificate of localhost:") and "SSL_CERT_FILE" in last


def test_a_redirect_to_a_page_to_log_in(checked):
    with says(302, PAGE, Location="/login?back_url=x") as server:
        code, last, _ = checked(server.url)
    assert code == 1
    assert last.startswith(f"→ it sends us on to {server.url}/login?back_url=x, and no redirect is followed")
    assert "our login was not accepted" in last


def test_a_redirect_to_https_names_the_address(checked):
    with says(301, Location="https://desk.example.com/api/tickets/7") as server:
        code, last, _ = checked(server.url)
    assert code == 1 and last.endswith("put https://desk.example.com into endpoints.desk.url")


@pytest.mark.parametrize("body", [PAGE, b"\n <html lang=en>", b"Welcome", b""])
def test_a_page_instead_of_an_answer(checked, body):
    """It says 200; nothing was written, though the page has none of what would forbid it."""
    with says(200, body) as server:
        code, last, whole = checked(server.url)
    assert code == 1 and last.startswith("→ a page for people answers where the API should")
    assert "changed on the ticket by: nothing" in whole


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, "our user may not do this"),
        (422, "it does not take what was sent"),
        (429, "it asks us to come back later (in 30 s)"),
        (500, "a wrong name in endpoints.desk.values can be the cause"),
        (412, "changes this ticket all the time"),
    ],
)
def test_what_else_it_may_say(checked, status, said):
    with says(status, b"{}", Retry_After="30") as server:
        code, last, _ = checked(server.url)
    assert code == 1 and said in last


def test_a_field_it_does_not_have(checked, desk):
    preset = PRESET.replace('"/{category_field}" = "{category}" }', '"/nothing" = "x" }')
    code, last, _ = checked(desk.url, preset=preset)
    assert code == 1 and "values, endpoints.desk.names and our user's rights" in last


def test_it_is_in_the_json_too(checked, desk):
    code, last, _ = checked(desk.url, "--json", ticket="8")
    assert code == 1 and json.loads(last)["do"].startswith("there is no ticket '8'")
    code, last, _ = checked(desk.url, "--json")
    assert code == 0 and json.loads(last)["do"] is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("redmine", "no endpoint has preset 'redmine': write one into your settings (ticketbot preset show redmine)"),
        ("dsek", "no endpoint 'dsek' that has a preset; there are: desk"),
    ],
)
def test_an_endpoint_that_is_not_there(checked, desk, name, said):
    checked(desk.url)
    done = CliRunner().invoke(main, ["--config", "t.toml", "preset", "check", name, "--ticket", "7"])
    assert done.exit_code == 2 and said in done.output
