"""Does what the documentation shows really work? Its examples are validated, its receivers are started."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from tests.support.needs import missing
from ticketbot.contracts import events
from ticketbot.deliver import sign
from ticketbot.net import fetch

DOCS = Path(__file__).parents[2] / "docs"


def blocks(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / name).read_text(), re.S | re.M)


def test_there_is_a_valid_example_of_every_event():
    schema = json.loads(events.SCHEMA.read_text())
    examples = [json.loads(block) for block in blocks("events.md", "json")]
    for example in examples:
        jsonschema.validate(example, schema, cls=jsonschema.Draft202012Validator)
    assert {example["type"] for example in examples} == {*events.TYPES, events.TEST}


def test_every_field_is_explained():
    schema = json.loads(events.SCHEMA.read_text())
    fields = {**schema["properties"], **schema["properties"]["data"]["properties"]}
    fields |= {f"picture.{name}": one for name, one in schema["$defs"]["picture"]["properties"].items()}
    assert [name for name, one in fields.items() if not one.get("description")] == []


@pytest.fixture(params=["python", "javascript"])
def program(request, tmp_path):
    """The receiver of the documentation, as a command."""
    (code,) = blocks("webhooks.md", request.param)
    file = tmp_path / "receiver"
    file.write_text(code)
    interpreter = sys.executable if request.param == "python" else shutil.which("node")
    if interpreter is None:
        missing("node is not installed")
    return [interpreter, str(file)]


@pytest.fixture
def receiver(program, tmp_path):
    """(send, process): `send(body, headers)` posts to the running program and gives the status."""
    old, new = sign.new_secret(), sign.new_secret()
    environment = {"PATH": os.environ["PATH"], "WEBHOOK_SECRETS": f"{new} {old}", "PORT": "0"}
    process = subprocess.Popen(program, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline().split()[-1])

        def send(body, headers):
            return fetch.post(f"http://127.0.0.1:{port}/", body, headers, allow=["127.0.0.1"]).status

        yield send, process, old, new
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


BODY = json.dumps({"data": {"ticket": "ä 🎫\u2028", "category": "errors"}}, ensure_ascii=False).encode()


def test_the_receiver_takes_ours_once_and_nobody_elses(receiver):
    send, process, old, new = receiver
    now = int(time.time())
    assert send(BODY, sign.sign(BODY, "msg_1", now, [new])) == 204
    assert send(BODY, sign.sign(BODY, "msg_1", now + 1, [new])) == 204, "a repeat is fine"
    assert send(BODY, sign.sign(BODY, "msg_2", now, [old])) == 204, "so is the older secret"
    assert send(BODY, sign.sign(BODY, "msg_3", now, [sign.new_secret(), old])) == 204, "or one of two signatures"
    bad = {
        "another body": (BODY + b" ", sign.sign(BODY, "msg_4", now, [new])),
        "another secret": (BODY, sign.sign(BODY, "msg_5", now, [sign.new_secret()])),
        "too old": (BODY, sign.sign(BODY, "msg_6", now - 400, [new])),
        "from the future": (BODY, sign.sign(BODY, "msg_7", now + 400, [new])),
        "no headers": (BODY, {}),
        "v1a": (BODY, {k: v.replace("v1,", "v1a,") for k, v in sign.sign(BODY, "msg_8", now, [new]).items()}),
        "v1,a,b": (BODY, {**sign.sign(BODY, "msg_9", now, [new]), "webhook-signature": "v1,a,b"}),
        "1e9": (BODY, {**sign.sign(BODY, "msg_9", now, [new]), "webhook-timestamp": "1e9"}),
        "a dot": (BODY, {**sign.sign(BODY, "msg_9", now, [new]), "webhook-id": "a.b"}),
        "eleven": (BODY, _eleven(sign.sign(BODY, "msg_9", now, [new]))),
    }
    assert {what: send(*one) for what, one in bad.items()} == dict.fromkeys(bad, 401)
    assert send(BODY, sign.sign(BODY, "msg_end", now, [new])) == 204
    process.kill()
    effects = process.stdout.read().splitlines()
    assert len("\n".join(effects).split("ticket ")) - 1 == 4, effects


def _eleven(headers):
    return {**headers, "webhook-signature": " ".join(["v1,x"] * 10 + [headers["webhook-signature"]])}
