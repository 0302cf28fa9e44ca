"""Can a program do whatever a person can do on the pages?

Every address of a page that does something, or gives out data, is listed with the calls of the OpenAPI document that
do the same, or with the reason why none does. A new page that is not listed here fails.
"""

import json

from tests.support.site import Site
from ticketbot import apis
from ticketbot.pages import BLUEPRINTS

DOCUMENT = json.loads(json.dumps(apis.document()))
# What a page does -> the operations that do it.
DEEDS = {
    "account.change_password": "a password is a person's own, and a program has none",
    "account.choose_language": "the language of a person's pages",
    "account.invite": "the link of an invitation is opened by the person",
    "account.logout": "a session is a browser's",
    "account.sign_in": "a session is a browser's",
    "account.sign_out_everywhere": ["sign_out_user"],
    "chat.mattermost": ["post__chat_mattermost"],
    "chat.slack": ["post__chat_slack"],
    "classify.classify_upload": ["post__classify"],
    "classify.classify_url": ["get__classify_url"],
    "classify.classify_url_json": ["post__classify_url"],
    "clean.decide": ["decide_suspect", "undo_label_event"],
    "clean.more": ["list_suspects"],
    "clean.cleaned_csv": ["get_cleaned"],
    "clean.decisions_csv": ["get_decisions"],
    "clean.state": ["list_cleanings"],
    "endpoints.do": [
        *("enable_endpoint", "release_endpoint", "pause_endpoint", "resume_endpoint", "dismiss_alert"),
        *("rotate_endpoint_secret", "test_endpoint"),
    ],
    "endpoints.do_for_all": ["pause_deliveries", "resume_deliveries"],
    "inbound.receive": ["post__inbound_name"],
    "label.alike": ["post__label_alike"],
    "label.choose_keys": ["post__label_keys"],
    "label.label": ["post__label", "label_picture"],
    "label.label_many": ["post__label_many", "import_labels"],
    "label.more": ["post__label_next", "list_pictures"],
    "label.undo": ["post__label_undo", "undo_label_event"],
    "metrics.show": ["get_metrics"],
    "models.clean": ["start_cleaning"],
    "models.promote": ["promote_model"],
    "models.report": ["get_model_report"],
    "models.rollback": ["rollback_model"],
    "models.state": ["list_trainings"],
    "models.train": ["start_training"],
    "setup.audit": ["list_audit"],
    "setup.change": ["set_user_role", "disable_user", "enable_user", "sign_out_user"],
    "setup.invite": ["invite_user"],
    "setup.make_token": ["create_token"],
    "setup.revoke_token": ["revoke_token"],
    "tickets.correct": ["label_picture"],
    "tickets.redeliver": ["redeliver_answers"],
    "try.answer": ["post__classify", "get__classify_url"],
}
# What a page shows -> the operations that tell it.
SHOWN = {
    "account.login": "the form of a browser's session",
    "account.show": ["get_me"],
    "api.read_page": "the document itself",
    "api.show_document": "the document itself",
    "classes.show": ["list_classes"],
    "clean.page": ["list_suspects", "list_cleanings"],
    "endpoints.show": ["list_endpoints"],
    "health.alive": ["get__healthz"],
    "health.ready": ["get__readyz"],
    "label.grid": ["list_pictures"],
    "label.page": ["list_pictures"],
    "models.show": ["list_models", "get_model", "list_trainings"],
    "overview.show": ["get_status", "list_sources"],
    "picture.original": ["get_picture"],
    "picture.show": ["get_picture"],
    "setup.show": ["list_users", "list_tokens"],
    "tickets.one": ["get_trace", "list_answers", "get_answer"],
    "tickets.show": ["search_tickets", "list_tickets"],
    "try.show": ["get_model"],
}


def test_whatever_a_page_does_or_shows_a_program_can_ask_for(db, settings_with):
    site = Site(db, settings_with({}), BLUEPRINTS)
    operations = {one["operationId"] for item in DOCUMENT["paths"].values() for one in item.values()}
    pages = {
        rule.endpoint
        for rule in site.app.url_map.iter_rules()
        if not rule.endpoint.startswith("api_") and not rule.endpoint.endswith("static")
    }
    listed = DEEDS | SHOWN
    assert pages == set(listed), "a page that is new or gone: list what does the same over the API"
    for page, calls in listed.items():
        if isinstance(calls, list):
            assert calls and set(calls) <= operations, page
        else:
            assert len(calls) > 15, page


def test_nothing_that_changes_something_is_left_to_the_pages_without_a_reason(db, settings_with):
    site = Site(db, settings_with({}), BLUEPRINTS)
    changing = {
        rule.endpoint
        for rule in site.app.url_map.iter_rules()
        if rule.methods & {"POST", "PUT", "PATCH", "DELETE"} and not rule.endpoint.startswith("api_")
    }
    assert changing <= set(DEEDS)
    without = {page for page in changing if isinstance(DEEDS[page], str)}
    assert without == {page for page in DEEDS if page.startswith("account.") and isinstance(DEEDS[page], str)}
