"""Ticket systems that no package brings: the tests talk to ones that run already and are named in a TOML file.

TICKETBOT_RUNNING_SYSTEMS=systems.toml
[znuny]                         # Znuny, OTRS or OTOBO, set up as `ticketbot preset show znuny` says
url = "http://127.0.0.1:8080/znuny/nph-genericinterface.pl/Webservice/GenericTicketConnectorREST"
files = "/opt/znuny/var/article"
database = "postgresql+psycopg://reader@127.0.0.1/znuny"
logins = {bot = "bot-pw", alice = "alice-pw"}       # ours, and an agent who may also create tickets in queue Raw
# dynamic fields PictureCategory (Dropdown), PictureConfidence (Text), PictureTags (Multiselect), with the categories
[odoo]                          # with the module Project
url = "http://127.0.0.1:8069"
files = "/var/lib/odoo/filestore/desk"
database = "postgresql+psycopg://reader@127.0.0.1/desk"
name = "desk"                   # of the database
logins = {bot = "bot-pw", alice = "alice-pw"}       # internal users with access to the project
project = 1
key = "…"                       # odoo19 only: an API key of bot
# fields x_category (char) and x_confidence (float) of project.task. [odoo19]: the same for the preset odoo, where
# project.tags has the categories and vip
[glpi]
url = "http://127.0.0.1:8081"
files = "/var/www/glpi/files/JPG"
database = "mysql+pymysql://reader@127.0.0.1/glpi"
tokens = {bot = "…", alice = "…"}                   # remote access keys
categories = {errors = 1, reports = 2, screens = 3, tickets = 4}
[frappe]                        # with ERPNext
url = "http://127.0.0.1:8000"
files = "/home/frappe/bench/sites/desk"
database = "mysql+pymysql://reader@127.0.0.1/_0123456789abcdef"
keys = {bot = ["key", "secret"], alice = ["key", "secret"]}
# fields custom_category (Data) and custom_confidence (Float) of Issue; System Settings: Strip EXIF Tags off
"""

import base64
import html
import itertools
import json
import os
import re
import tomllib
from pathlib import Path

import pytest
import requests

VARIABLE = "TICKETBOT_RUNNING_SYSTEMS"


class Running:
    """`url`, `files`, `database`, `logins` and whatever else the file says of this system."""

    section = ""

    def __init__(self, _folder):
        path = os.environ.get(VARIABLE)
        found = tomllib.loads(Path(path).read_text()).get(self.section) if path else None
        if not found:
            pytest.skip(f"no {self.section} is named in {VARIABLE}, and no package has it")
        vars(self).update(found)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Znuny(Running):
    section = "znuny"

    def call(self, method, path, body=None):
        login = {"UserLogin": "alice", "Password": self.logins["alice"]}
        sent = {"params": login} if method == "GET" else {"json": {**login, **body}}
        answer = requests.request(method, self.url + path, timeout=60, **sent)
        assert answer.status_code == 200 and "Error" not in answer.json(), answer.text[:500]
        return answer.json()

    def create(self, jpeg, title="cannot print"):
        """A ticket with a picture."""
        ticket = {
            "Title": title,
            "Queue": "Raw",
            "State": "new",
            "Priority": "3 normal",
            "CustomerUser": "c@example.com",
        }
        article = {"Subject": title, "Body": "see picture", "ContentType": "text/plain; charset=utf8"}
        article |= {"CommunicationChannel": "Internal", "SenderType": "customer", "IsVisibleForCustomer": 1}
        file = {"Filename": "shot.jpg", "ContentType": "image/jpeg", "Content": base64.b64encode(jpeg).decode()}
        made = self.call("POST", "/Ticket", {"Ticket": ticket, "Article": article, "Attachment": [file]})
        return str(made["TicketID"])

    def ticket(self, id_):
        return self.call("GET", f"/Ticket/{id_}?DynamicFields=1&AllArticles=1")["Ticket"][0]

    def field(self, id_, name):
        fields = self.ticket(id_).get("DynamicField", [])
        return next((one["Value"] for one in fields if one["Name"] == name), None)

    def set(self, id_, **values):
        """What an agent changes by hand."""
        fields = [{"Name": name, "Value": value} for name, value in values.items()]
        self.call("PATCH", f"/Ticket/{id_}", {"DynamicField": fields})

    def notes(self, id_):
        """Articles that the customer does not see."""
        articles = self.ticket(id_)["Article"]
        return [one["Body"].strip() for one in articles if not int(one["IsVisibleForCustomer"])]


class Odoo(Running):
    section = "odoo"
    _numbers = itertools.count(1)

    def execute(self, model, method, *args, **named):
        """As alice, by JSON-RPC."""
        password = self.logins["alice"]
        uid = self._call("common", "authenticate", [self.name, "alice", password, {}])
        return self._call("object", "execute_kw", [self.name, uid, password, model, method, list(args), named])

    def _call(self, service, method, args):
        params = {"service": service, "method": method, "args": args}
        body = {"jsonrpc": "2.0", "method": "call", "id": next(self._numbers), "params": params}
        answer = requests.post(self.url + "/jsonrpc", json=body, timeout=60).json()
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def create(self, jpeg, title="cannot print"):
        """A task with a picture."""
        task = self.execute("project.task", "create", {"name": title, "project_id": self.project})
        file = {
            "name": "shot.jpg",
            "datas": base64.b64encode(jpeg).decode(),
            "res_model": "project.task",
            "res_id": task,
        }
        self.execute("ir.attachment", "create", file)
        return str(task)

    def field(self, id_, name):
        return self.execute("project.task", "read", [int(id_)], [name])[0][name]

    def tags(self, id_):
        return [one["name"] for one in self.execute("project.tags", "read", self.field(id_, "tag_ids"), ["name"])]

    def set(self, id_, **values):
        """What an agent changes by hand."""
        self.execute("project.task", "write", [int(id_)], values)

    def tag(self, id_, name):
        tag = self.execute("project.tags", "search", [["name", "=", name]])
        tag = tag[0] if tag else self.execute("project.tags", "create", {"name": name})
        self.set(id_, tag_ids=[[4, tag]])

    def notes(self, id_):
        """Internal notes of the chatter, as text."""
        domain = [["model", "=", "project.task"], ["res_id", "=", int(id_)], ["message_type", "=", "comment"]]
        domain.append(["subtype_id.internal", "=", True])  # that is what keeps it from customers
        found = self.execute("mail.message", "search_read", domain, ["body"], order="id")
        return [re.sub(r"<[^>]+>", "", one["body"]).strip() for one in found]


class Odoo19(Odoo):
    section = "odoo19"


class Glpi(Running):
    section = "glpi"

    def _call(self, method, path, **sent):
        """As alice, in a session of its own."""
        headers = {"Authorization": f"user_token {self.tokens['alice']}"}
        session = requests.get(f"{self.url}/apirest.php/initSession", headers=headers, timeout=60).json()
        headers = {"Session-Token": session["session_token"]}
        answer = requests.request(method, f"{self.url}/apirest.php{path}", headers=headers, timeout=60, **sent)
        assert answer.status_code in (200, 201, 206), answer.text[:500]
        requests.get(f"{self.url}/apirest.php/killSession", headers=headers, timeout=60)
        return answer.json()

    def create(self, jpeg, title="cannot print"):
        """A ticket with a picture."""
        ticket = self._call("POST", "/Ticket", json={"input": {"name": title, "content": "see picture"}})["id"]
        manifest = {"input": {"name": "shot", "_filename": ["shot.jpg"]}}
        sent = {"uploadManifest": (None, json.dumps(manifest), "application/json")}
        made = self._call("POST", "/Document", files={**sent, "filename[0]": ("shot.jpg", jpeg, "image/jpeg")})
        self.attach(ticket, made["id"])
        return str(ticket)

    def attach(self, ticket, document):
        link = {"documents_id": document, "items_id": int(ticket), "itemtype": "Ticket"}
        self._call("POST", "/Document_Item", json={"input": link})

    def category(self, id_):
        number = self._call("GET", f"/Ticket/{id_}")["itilcategories_id"]
        return next((name for name, one in self.categories.items() if one == number), None)

    def set_category(self, id_, name):
        """What an agent changes by hand."""
        self._call("PUT", f"/Ticket/{id_}", json={"input": {"itilcategories_id": self.categories[name]}})

    def notes(self, id_):
        """Private follow-ups, as text."""
        found = self._call("GET", f"/Ticket/{id_}/ITILFollowup?range=0-99")
        return [html.unescape(re.sub(r"<[^>]+>", "", one["content"])).strip() for one in found if one["is_private"]]


class Frappe(Running):
    section = "frappe"

    def _call(self, method, path, **sent):
        """As alice."""
        headers = {"Authorization": "token " + ":".join(self.keys["alice"])}
        answer = requests.request(method, self.url + path, headers=headers, timeout=60, **sent)
        assert answer.status_code == 200, answer.text[:500]
        return answer.json()

    def create(self, jpeg, title="cannot print"):
        """An issue with a picture."""
        issue = self._call("POST", "/api/resource/Issue", json={"subject": title})["data"]["name"]
        data = {"doctype": "Issue", "docname": issue, "is_private": "1"}
        files = {"file": ("shot.jpg", jpeg, "image/jpeg")}
        self._call("POST", "/api/method/upload_file", data=data, files=files)
        return issue

    def field(self, id_, name):
        return self._call("GET", f"/api/resource/Issue/{id_}")["data"].get(name)

    def tags(self, id_):
        fields, filters = json.dumps(["_user_tags"]), json.dumps([["name", "=", id_]])
        found = self._call("GET", "/api/resource/Issue", params={"fields": fields, "filters": filters})["data"]
        return [tag for tag in (found[0]["_user_tags"] or "").split(",") if tag]

    def set(self, id_, **values):
        """What an agent changes by hand."""
        self._call("PUT", f"/api/resource/Issue/{id_}", json=values)

    def tag(self, id_, name):
        self._call(
            "POST", "/api/method/frappe.desk.doctype.tag.tag.add_tag", json={"dt": "Issue", "dn": id_, "tag": name}
        )

    def notes(self, id_):
        params = {"doctype": "Issue", "name": id_}
        found = self._call("GET", "/api/method/frappe.desk.form.load.get_docinfo", params=params)["docinfo"]["comments"]
        return [re.sub(r"<[^>]+>", "", one["content"]).strip() for one in found]
