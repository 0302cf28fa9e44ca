"""What the documentation of each system says it answers, written down by hand: one good delivery each.

NOTE and ID stand for the note and the id of the answer; the test puts the real ones there.
"""

from tests.support.script_server import Exchange as X

NOTE, ID = "<note>", "<id>"

# preset -> (values, secrets, names, script)
SCRIPTS = {
    "zammad": (
        {"category_field": "picture_category", "confidence_field": "picture_confidence"},
        {"token": "secret-token"},
        {},
        [
            X(
                "GET",
                "/api/v1/tickets/7",
                headers={"Authorization": "Token token=secret-token"},
                answer={"id": 7, "title": "x", "picture_category": None},
            ),
            X(
                "PUT",
                "/api/v1/tickets/7",
                sent={"picture_category": "errors", "picture_confidence": "0.9731"},
                answer={"id": 7, "picture_category": "errors", "picture_confidence": "0.9731"},
            ),
            X(
                "POST",
                "/api/v1/tags/add",
                sent={"object": "Ticket", "o_id": 7, "item": "errors"},
                status=201,
                answer=True,
            ),
            X("GET", "/api/v1/ticket_articles/by_ticket/7", answer=[{"id": 1, "body": "cannot print"}]),
            X(
                "POST",
                "/api/v1/ticket_articles",
                status=201,
                answer={"id": 2, "internal": True},
                sent={
                    "ticket_id": 7,
                    "subject": "ticketbot",
                    "body": NOTE,
                    "content_type": "text/plain",
                    "type": "note",
                    "internal": True,
                },
            ),
        ],
    ),
    "glpi": (
        {},
        {"user_token": "user-token-1", "app_token": "app-token-1"},
        {"reports": 1, "errors": 4, "screens": 2, "tickets": 3},
        [
            X(
                "GET",
                "/apirest.php/initSession",
                answer={"session_token": "s3ss10n"},
                headers={"Authorization": "user_token user-token-1", "App-Token": "app-token-1", "Session-Token": None},
            ),
            X(
                "GET",
                "/apirest.php/Ticket/7",
                answer={"id": 7, "itilcategories_id": 0},
                headers={"Session-Token": "s3ss10n", "App-Token": "app-token-1"},
            ),
            X(
                "PUT",
                "/apirest.php/Ticket/7",
                sent={"input": {"itilcategories_id": 4}},
                answer=[{"7": True, "message": ""}],
                headers={"Session-Token": "s3ss10n"},
            ),
            X("GET", "/apirest.php/Ticket/7", answer={"id": 7, "itilcategories_id": 4}),
            X("GET", "/apirest.php/Ticket/7/ITILFollowup?range=0-199&order=DESC", answer=[], status=206),
            X(
                "POST",
                "/apirest.php/ITILFollowup",
                status=201,
                answer={"id": 9, "message": ""},
                sent={
                    "input": {
                        "itemtype": "Ticket",
                        "items_id": 7,
                        "content": NOTE,
                        "is_private": 1,
                        "_do_not_compute_takeintoaccount": 1,
                    }
                },
            ),
            X("GET", "/apirest.php/killSession", answer=True),
        ],
    ),
    "request-tracker": (
        {"category_field": "Category", "confidence_field": "Confidence", "tags_field": "Tags"},
        {"token": "1-23-secret"},
        {},
        [
            X(
                "GET",
                "/REST/2.0/ticket/7",
                headers={"Authorization": "token 1-23-secret"},
                answer_headers={"ETag": '"abc"'},
                answer={
                    "id": 7,
                    "CustomFields": [
                        {"id": "1", "name": "Category", "values": []},
                        {"id": "3", "name": "Tags", "values": ["vip"]},
                    ],
                },
            ),
            X(
                "PUT",
                "/REST/2.0/ticket/7",
                headers={"If-Match": '"abc"'},
                sent={"CustomFields": {"Category": "errors", "Confidence": "0.9731", "Tags": ["vip", "errors"]}},
                answer=["Category errors added"],
            ),
            X(
                "GET",
                "/REST/2.0/ticket/7",
                answer={
                    "id": 7,
                    "CustomFields": [
                        {"name": "Category", "values": ["errors"]},
                        {"name": "Tags", "values": ["vip", "errors"]},
                    ],
                },
            ),
            X(
                "GET",
                "/REST/2.0/ticket/7/attachments?fields=Subject&per_page=100&orderby=id&order=DESC",
                answer={"count": 0, "items": []},
            ),
            X(
                "POST",
                "/REST/2.0/ticket/7/comment",
                status=201,
                answer=["Comments added"],
                sent={"Subject": f"ticketbot {ID}", "Content": NOTE, "ContentType": "text/plain"},
            ),
        ],
    ),
    "redmine": (
        {"category_field": 3, "confidence_field": 4, "tags_field": 5},
        {"api_key": "api-key-1"},
        {},
        [
            X(
                "GET",
                "/issues/7.json?include=journals",
                headers={"X-Redmine-API-Key": "api-key-1"},
                answer={
                    "issue": {
                        "id": 7,
                        "journals": [],
                        "custom_fields": [
                            {"id": 3, "name": "Category", "value": ""},
                            {"id": 5, "name": "Tags", "multiple": True, "value": ["urgent"]},
                        ],
                    }
                },
            ),
            X(
                "PUT",
                "/issues/7.json",
                status=204,
                sent={
                    "issue": {
                        "custom_fields": [
                            {"id": 3, "value": "errors"},
                            {"id": 4, "value": "0.9731"},
                            {"id": 5, "value": ["urgent", "errors"]},
                        ]
                    }
                },
            ),
            X(
                "GET",
                "/issues/7.json",
                answer={
                    "issue": {
                        "custom_fields": [
                            {"id": 3, "value": "errors"},
                            {"id": 5, "multiple": True, "value": ["urgent", "errors"]},
                        ]
                    }
                },
            ),
            X("PUT", "/issues/7.json", status=204, sent={"issue": {"notes": NOTE, "private_notes": True}}),
        ],
    ),
    "odoo": (
        {"database": "prod", "category_field": "x_category", "confidence_field": "x_confidence"},
        {"api_key": "odoo-key-1"},
        {},
        [
            X(
                "POST",
                "/json/2/project.task/search_read",
                answer=[{"id": 7, "x_category": False}],
                headers={"Authorization": "bearer odoo-key-1", "X-Odoo-Database": "prod"},
                sent={"domain": [["id", "=", 7]], "fields": ["id", "x_category"]},
            ),
            X(
                "POST",
                "/json/2/project.tags/search_read",
                answer=[],
                sent={"domain": [["name", "=", "errors"]], "fields": ["id"], "limit": 1},
            ),
            X("POST", "/json/2/project.tags/create", answer=[31], sent={"vals_list": [{"name": "errors"}]}),
            X(
                "POST",
                "/json/2/project.task/write",
                answer=True,
                sent={"ids": [7], "vals": {"x_category": "errors", "x_confidence": 0.9731, "tag_ids": [[4, 31]]}},
            ),
            X(
                "POST",
                "/json/2/mail.message/search_read",
                answer=[],
                sent={
                    "fields": ["id"],
                    "limit": 1,
                    "domain": [["model", "=", "project.task"], ["res_id", "=", 7], ["body", "ilike", ID]],
                },
            ),
            X(
                "POST",
                "/json/2/project.task/message_post",
                answer=[88],
                sent={"ids": [7], "body": NOTE, "message_type": "comment", "subtype_xmlid": "mail.mt_note"},
            ),
        ],
    ),
    "frappe": (
        {"category_field": "custom_category"},
        {"api_key": "key-1", "api_secret": "secret-1"},
        {},
        [
            X(
                "GET",
                "/api/resource/Issue/7",
                headers={"Authorization": "token key-1:secret-1"},
                answer={"data": {"name": "7", "custom_category": None}},
            ),
            X(
                "PUT",
                "/api/resource/Issue/7",
                sent={"custom_category": "errors"},
                answer={"data": {"name": "7", "custom_category": "errors"}},
            ),
            X(
                "POST",
                "/api/method/frappe.desk.doctype.tag.tag.add_tag",
                sent={"dt": "Issue", "dn": "7", "tag": "errors"},
                answer={"message": "errors"},
            ),
            X(
                "GET",
                "/api/method/frappe.desk.form.load.get_docinfo?doctype=Issue&name=7",
                answer={"docinfo": {"comments": []}},
            ),
            X(
                "POST",
                "/api/method/frappe.desk.form.utils.add_comment",
                answer={"message": {"name": "c1"}},
                sent={
                    "reference_doctype": "Issue",
                    "reference_name": "7",
                    "content": NOTE,
                    "comment_email": "",
                    "comment_by": "ticketbot",
                },
            ),
        ],
    ),
    "znuny": (
        {"user": "ticketbot", "category_field": "PictureCategory"},
        {"password": "geheim-1"},
        {},
        [
            X(
                "GET",
                "/Ticket/7?UserLogin=ticketbot&Password=geheim-1&DynamicFields=1&AllArticles=1",
                answer={"Ticket": [{"TicketID": "7", "DynamicField": [{"Name": "PictureCategory", "Value": None}]}]},
            ),
            X(
                "PATCH",
                "/Ticket/7",
                answer={"TicketID": "7"},
                sent={
                    "UserLogin": "ticketbot",
                    "Password": "geheim-1",
                    "DynamicField": [{"Name": "PictureCategory", "Value": "errors"}],
                },
            ),
            X(
                "PATCH",
                "/Ticket/7",
                answer={"ArticleID": 12, "TicketID": "7"},
                sent={
                    "UserLogin": "ticketbot",
                    "Password": "geheim-1",
                    "Article": {
                        "Subject": f"ticketbot {ID}",
                        "Body": NOTE,
                        "ContentType": "text/plain; charset=utf8",
                        "CommunicationChannel": "Internal",
                        "SenderType": "agent",
                        "IsVisibleForCustomer": 0,
                    },
                },
            ),
        ],
    ),
    "freescout": (
        {"user_id": 3, "category_field": 11},
        {"api_key": "fs-key-1"},
        {},
        [
            X(
                "GET",
                "/api/conversations/7?embed=threads,tags",
                headers={"X-FreeScout-API-Key": "fs-key-1"},
                answer={
                    "id": 7,
                    "customFields": [{"id": 11, "name": "Category", "value": ""}],
                    "_embedded": {"threads": [], "tags": [{"id": 1, "name": "vip"}]},
                },
            ),
            X(
                "PUT",
                "/api/conversations/7/custom_fields",
                status=204,
                sent={"customFields": [{"id": 11, "value": "errors"}]},
            ),
            X("PUT", "/api/conversations/7/tags", status=204, sent={"tags": ["vip", "errors"]}),
            X("POST", "/api/conversations/7/threads", status=201, sent={"type": "note", "text": NOTE, "user": 3}),
        ],
    ),
    "freshdesk": (
        {"category_field": "cf_category"},
        {"api_key": "fd-key-1"},
        {},
        [
            X(
                "GET",
                "/api/v2/tickets/7",
                headers={"Authorization": "Basic ZmQta2V5LTE6WA=="},
                answer={"id": 7, "tags": ["vip"], "custom_fields": {"cf_category": None}},
            ),
            X(
                "PUT",
                "/api/v2/tickets/7",
                sent={"tags": ["vip", "errors"]},
                answer={"id": 7, "tags": ["vip", "errors"]},
            ),
            X(
                "PUT",
                "/api/v2/tickets/7",
                sent={"custom_fields": {"cf_category": "errors"}},
                answer={"id": 7, "custom_fields": {"cf_category": "errors"}},
            ),
            X("GET", "/api/v2/tickets/7/conversations?per_page=100", answer=[]),
            X("GET", "/api/v2/tickets/7/conversations?per_page=100&page=2", answer=[]),
            X("POST", "/api/v2/tickets/7/notes", status=201, sent={"body": NOTE, "private": True}, answer={"id": 1}),
        ],
    ),
    "zendesk": (
        {"user": "bot@example.com", "category_field": 360001},
        {"api_token": "zd-token-1"},
        {},
        [
            X(
                "GET",
                "/api/v2/tickets/7.json",
                headers={"Authorization": "Basic Ym90QGV4YW1wbGUuY29tL3Rva2VuOnpkLXRva2VuLTE="},
                answer={"ticket": {"id": 7, "tags": ["vip"], "custom_fields": [{"id": 360001, "value": None}]}},
            ),
            X("PUT", "/api/v2/tickets/7/tags.json", sent={"tags": ["errors"]}, answer={"tags": ["vip", "errors"]}),
            X(
                "PUT",
                "/api/v2/tickets/7.json",
                sent={"ticket": {"custom_fields": [{"id": 360001, "value": "errors"}]}},
                answer={"ticket": {"id": 7, "custom_fields": [{"id": 360001, "value": "errors"}]}},
            ),
            X("GET", "/api/v2/tickets/7/comments.json?sort_order=desc&per_page=100", answer={"comments": []}),
            X(
                "PUT",
                "/api/v2/tickets/7.json",
                sent={"ticket": {"comment": {"body": NOTE, "public": False}}},
                answer={"ticket": {"id": 7}},
            ),
        ],
    ),
    "servicenow": (
        {"user": "ticketbot", "category_field": "u_category"},
        {"password": "sn-pass-1"},
        {},
        [
            X(
                "GET",
                "/api/now/table/incident?sysparm_query=sys_id=7%5EORnumber=7&sysparm_limit=1"
                "&sysparm_exclude_reference_link=true",
                answer={"result": [{"sys_id": "a1", "u_category": ""}]},
            ),
            X(
                "PATCH",
                "/api/now/table/incident/a1",
                sent={"u_category": "errors"},
                answer={"result": {"sys_id": "a1", "u_category": "errors"}},
            ),
            X(
                "GET",
                "/api/now/table/incident/a1?sysparm_fields=work_notes&sysparm_display_value=true",
                answer={"result": {"work_notes": "2026-11-24 10:00:00 - Alice (Work notes)\\nlooks bad\\n\\n"}},
            ),
            X(
                "GET",
                "/api/now/table/sys_journal_field?sysparm_query=element_id=a1%5Eelement=work_notes%5EvalueLIKE"
                + ID
                + "&sysparm_fields=sys_id&sysparm_limit=1",
                answer={"result": []},
            ),
            X("PATCH", "/api/now/table/incident/a1", sent={"work_notes": NOTE}, answer={"result": {"sys_id": "a1"}}),
        ],
    ),
    "tryton": (
        {"database": "erp", "model": "project.work", "category_field": "category", "confidence_field": "confidence"},
        {"key": "tryton-key-1"},
        {},
        [
            X(
                "GET",
                "/erp/rest/model/project.work/7?f=id&f=category",
                headers={"Authorization": "Bearer tryton-key-1"},
                answer={"id": 7, "category": None, "__name__": "project.work"},
            ),
            X(
                "PUT",
                "/erp/rest/model/project.work/7",
                sent={"category": "errors", "confidence": 0.9731},
                answer={"id": 7},
            ),
            X("GET", "/erp/rest/model/ir.note?d=<domain>&f=id", answer=[]),
            X(
                "POST",
                "/erp/rest/model/ir.note",
                sent={"resource": "project.work,7", "message": NOTE},
                answer={"id": 1},
            ),
        ],
    ),
}
for kind, values, secrets, header in (
    (
        "jira-cloud",
        {"user": "bot@example.com"},
        {"api_token": "jira-token-1"},
        "Basic Ym90QGV4YW1wbGUuY29tOmppcmEtdG9rZW4tMQ==",
    ),
    ("jira-data-center", {}, {"token": "pat-1234"}, "Bearer pat-1234"),
):
    SCRIPTS[kind] = (
        {**values, "category_field": "customfield_10050", "confidence_field": "customfield_10051"},
        secrets,
        {},
        [
            X(
                "GET",
                "/rest/api/2/issue/7?fields=labels,customfield_10050",
                headers={"Authorization": header},
                answer={"key": "HELP-7", "fields": {"labels": ["vip"], "customfield_10050": None}},
            ),
            X(
                "PUT",
                "/rest/api/2/issue/7",
                status=204,
                sent={
                    "fields": {"customfield_10050": {"value": "errors"}, "customfield_10051": 0.9731},
                    "update": {"labels": [{"add": "errors"}]},
                },
            ),
            X("GET", "/rest/api/2/issue/7/comment?orderBy=-created&maxResults=100", answer={"comments": []}),
            X("POST", "/rest/servicedeskapi/request/HELP-7/comment", status=201, sent={"body": NOTE, "public": False}),
        ],
    )


def rpc(service, method, *args, **_):
    return {"jsonrpc": "2.0", "method": "call", "params": {"service": service, "method": method, "args": list(args)}}


def execute(*args):
    return rpc("object", "execute_kw", "prod", 2, "odoo-pw-1", *args)


SCRIPTS["odoo-jsonrpc"] = (
    {"database": "prod", "user": "bot", "category_field": "x_category"},
    {"password": "odoo-pw-1"},
    {},
    [
        X("POST", "/jsonrpc", sent=rpc("common", "authenticate", "prod", "bot", "odoo-pw-1", {}), answer={"result": 2}),
        X(
            "POST",
            "/jsonrpc",
            answer={"result": [{"id": 7, "x_category": False}]},
            sent=execute("project.task", "search_read", [[["id", "=", 7]]], {"fields": ["id", "x_category"]}),
        ),
        X(
            "POST",
            "/jsonrpc",
            answer={"result": [31]},
            sent=execute("project.tags", "search", [[["name", "=", "errors"]]], {"limit": 1}),
        ),
        X(
            "POST",
            "/jsonrpc",
            answer={"result": True},
            sent=execute("project.task", "write", [[7], {"x_category": "errors", "tag_ids": [[4, 31]]}]),
        ),
        X(
            "POST",
            "/jsonrpc",
            answer={"result": []},
            sent=execute(
                "mail.message",
                "search",
                [[["model", "=", "project.task"], ["res_id", "=", 7], ["body", "ilike", ID]]],
                {"limit": 1},
            ),
        ),
        X(
            "POST",
            "/jsonrpc",
            answer={"result": 88},
            sent=execute(
                "project.task",
                "message_post",
                [[7]],
                {"body": NOTE, "message_type": "comment", "subtype_xmlid": "mail.mt_note"},
            ),
        ),
    ],
)
