"""Every preset against the documented answers of its system, in strict order; and what goes wrong with it."""

import base64
import copy
import json

import pytest

from tests.support.script_server import ScriptServer
from tests.systems.scripts import ID, NOTE, SCRIPTS
from ticketbot.settings import Source
from ticketbot.systems import preset

LIVE = {"django-helpdesk", "roundup"}  # tried for real beside this file
CONFIDENCE = 0.9731


@pytest.fixture
def play(outbox_with, tmp_path):
    """play("zammad", edit) -> (outbox, id, server): one delivery against the script, changed by edit(script)."""

    def run(name, edit=lambda script: None, deliver_after_s=(), **more):
        values, secrets, names, script = copy.deepcopy(SCRIPTS[name])
        with ScriptServer(script) as server:
            outbox = outbox_with(
                {
                    "endpoints.desk.url": server.url,
                    "endpoints.desk.preset": name,
                    "endpoints.desk.values": values,
                    "endpoints.desk.secrets": secrets,
                    "endpoints.desk.names": names,
                    **more,
                }
            )
            id_ = outbox.say("7", "errors", CONFIDENCE)
            note = f"ticketbot: errors, 97 % sure (1 picture, model m1). Ref {id_}"
            for one in script:
                one.path = one.path.replace(ID, id_).replace("<domain>", note_domain(id_))
                one.sent = json.loads(json.dumps(one.sent).replace(NOTE, note).replace(ID, id_))
            edit(script)
            server.script = script
            outbox.counts = [outbox.deliver(), *(outbox.deliver(after) for after in deliver_after_s)]
            return outbox, id_, server

    return run


def note_domain(id_):
    domain = [["resource", "=", "project.work,7"], ["message", "like", f"%{id_}%"]]
    return base64.urlsafe_b64encode(json.dumps(domain).encode()).decode().replace("=", "%3D")


def test_every_preset_is_tried_somewhere():
    steps = {name for name in preset.listed() if preset.read(name).steps}
    assert steps == set(SCRIPTS) | LIVE


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_delivery_is_what_the_documentation_asks_for(play, name):
    outbox, id_, server = play(name)
    server.check()
    assert outbox.counts == [{"delivered": 1}], outbox.attempts(id_)[0].response.decode()
    assert outbox.answer(id_).state == "delivered"


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_no_secret_is_written_down(play, name):
    outbox, id_, _ = play(name, lambda script: script.__delitem__(slice(1, None)))
    kept = outbox.attempts(id_)[0].response.decode()
    for secret in SCRIPTS[name][1].values():
        assert secret not in kept


@pytest.mark.parametrize("name", preset.listed())
def test_every_preset_says_what_an_administrator_needs(name):
    about = preset.read(name).about
    assert about.needs and about.sets and ("https://" in about.known or "live against" in about.known)
    assert about.resolver


@pytest.mark.parametrize("name", preset.listed())
def test_every_resolver_can_be_put_into_the_settings(name, settings_with, tmp_path):
    import tomllib

    found = tomllib.loads(preset.read(name).about.resolver)
    settings = settings_with({f"sources.x.{key}": value for key, value in {"root": tmp_path, **found}.items()})
    assert isinstance(settings.sources["x"], Source)


def test_frappe_helpdesk_gets_its_own_kind_of_comment(play):
    def edit(script):
        script[0].path, script[1].path = ["/api/resource/HD%20Ticket/7"] * 2
        script[2].sent["dt"] = "HD Ticket"
        about = "%5B%5B%22reference_ticket%22,%22=%22,%227%22%5D,%5B%22content%22,%22like%22,%22%25"
        id_ = script[4].sent["content"].rpartition(" ")[2]
        listed = f"?fields=%5B%22name%22%5D&filters={about}{id_}%25%22%5D%5D"
        script[3].path, script[3].answer = f"/api/resource/HD%20Ticket%20Comment{listed}", {"data": []}
        script[4].path = "/api/resource/HD%20Ticket%20Comment"
        script[4].sent = {"reference_ticket": "7", "content": script[4].sent["content"]}

    values = {"category_field": "custom_category", "doctype": "HD Ticket", "helpdesk": True}
    outbox, id_, server = play("frappe", edit, **{"endpoints.desk.values": values})
    server.check()
    assert outbox.counts == [{"delivered": 1}], outbox.attempts(id_)[0].response.decode()


# --- what goes wrong ---


def test_an_error_in_an_answer_that_says_200_is_a_failure_a_person_sees(play):
    def edit(script):
        script[1].answer = {"Error": {"ErrorCode": "TicketUpdate.AccessDenied", "ErrorMessage": "no permission"}}
        del script[2:]

    outbox, id_, server = play("znuny", edit)
    server.check()
    answer = outbox.answer(id_)
    assert (answer.state, answer.last_status) == ("pending", None)
    assert "no permission" in answer.last_error and "write fields" in answer.last_error
    assert outbox.alerts() == ["refused"]


def test_an_error_of_json_rpc_is_a_failure(play):
    def edit(script):
        script[3].answer = {"error": {"code": 200, "message": "Odoo Server Error"}}
        del script[4:]

    outbox, id_, _ = play("odoo-jsonrpc", edit)
    assert "Odoo Server Error" in outbox.answer(id_).last_error


def test_a_field_that_was_ignored_in_silence_is_a_failure(play):
    def edit(script):
        script[2].answer = {"issue": {"custom_fields": [{"id": 3, "value": ""}]}}
        del script[3:]

    outbox, id_, _ = play("redmine", edit)
    assert "did not take it" in outbox.answer(id_).last_error


def test_a_persons_category_stays_and_nothing_is_said(play):
    def edit(script):
        script[0].answer["picture_category"] = "screens"
        del script[1:]

    outbox, id_, server = play("zammad", edit)
    server.check()
    assert outbox.answer(id_).state == "delivered"
    assert b"left alone" in outbox.attempts(id_)[0].response


def test_a_persons_category_can_be_overruled_by_a_setting(play):
    def edit(script):
        script[0].answer["picture_category"] = "screens"

    _, _, server = play("zammad", edit, **{"endpoints.desk.person_wins": False})
    server.check()


def test_a_conflict_starts_again_from_the_read(play):
    def edit(script):
        again = copy.deepcopy(script[:1])
        again[0].answer_headers = {"ETag": '"new"'}
        conflict = copy.deepcopy(script[1])
        conflict.status = 412
        script[1].headers = {"If-Match": '"new"'}
        script[1:1] = [conflict, *again]

    outbox, _, server = play("request-tracker", edit)
    server.check()
    assert outbox.counts == [{"delivered": 1}]


def test_retry_after_is_honoured_and_the_second_try_finds_the_note(play):
    def edit(script):
        second = copy.deepcopy(script)
        second[0].answer["custom_fields"]["cf_category"] = "errors"
        second[3].answer = [{"body_text": json.dumps(script[-1].sent)}]
        script[-1].status, script[-1].answer_headers = 429, {"Retry-After": "30"}
        script += second[:4]

    outbox, id_, server = play("freshdesk", edit, deliver_after_s=(20, 40))
    server.check()
    assert outbox.counts == [{"retry": 1}, {}, {"delivered": 1}]
    assert outbox.answer(id_).attempts == 2


def test_a_ticket_that_is_gone_does_not_switch_the_endpoint_off(play):
    def edit(script):
        script[0].status = 410
        del script[1:]

    outbox, id_, _ = play("zammad", edit)
    assert (outbox.answer(id_).state, outbox.answer(id_).last_status) == ("pending", 404)
    assert outbox.alerts() == ["refused"]
