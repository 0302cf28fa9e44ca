"""Who plays what a sentence about webhooks says. Each scene gets the office (area_webhook.Office) and the match."""

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from email.utils import formatdate
from pathlib import Path

from tests.support.outbox import SECRET
from tests.support.receiver import Receiver
from tests.support.tls import Authority
from ticketbot.db.models import Answer
from ticketbot.deliver import admin, endpoints, sign
from ticketbot.deliver.claim import claim
from ticketbot.errors import Refused, SignatureRefused
from ticketbot.net import fetch

ROOT = Path(__file__).parents[2]
PUBLIC = "93.184.216.34"
PRIVATE = "10.1.2.3"
LEASE_S = 1.0
WORD_ANSWERS = (
    (r"reset|RST", "reset"),
    (r"drip", "drip"),
    (r"\b1 ?GB|gigabyte|huge|endless|bomb", "huge"),
    (r"timeout|times out|silen|hang|never answers|no answer|slow|\d+ s(econds)? (late|before)", "slow"),
    (r"clos(es|ed)|drops", "reset"),
)
COUNT = {"twice": 2, "two times": 2, "three times": 3, "ten times": 10}


def receiver(office, match):
    """ "receiver 500 then 200", "receiver 429 Retry-After: 120", "receiver sends a 1 GB response body"…"""
    text = match["does"]
    office.elsewhere = office.closing.enter_context(Receiver())
    answers = [answer for part in re.split(r"(?<!,) then |/| and then ", text) for answer in _answers(office, part)]
    if re.search(r"always|for (\d+|a) (h|hour|day|week)|every time|for ever|without success", text):
        office.desk.usual = answers[-1]
    else:
        office.desk.script(*answers)
    if re.search(r"120 h|5 days|a week", text):
        office.overrides |= {"deliver.schedule_s": [0, 431_000, 1_100, 5], "deliver.jitter": 0}
    office.put()


def _answers(office, part):
    """What the receiver answers, in order. Raises LookupError."""
    for words, answer in WORD_ANSWERS:
        if re.search(words, part, re.IGNORECASE):
            return [answer]
    found = re.search(r"\b(?P<status>[1-5](?:\d\d|xx))\b(?! ?(?:h|s|m|ms|k?B|MB|GB)\b)", part)
    if not found:
        raise LookupError(f"nobody knows the receiver that does {part!r}")
    status = int(found["status"].replace("3xx", "302").replace("4xx", "404").replace("5xx", "500").replace("xx", "00"))
    headers = {}
    if 300 <= status < 400:
        headers["Location"] = office.elsewhere.url
    if after := re.search(r"Retry-After:? ?(?P<value>.+)", part, re.IGNORECASE):
        headers["Retry-After"] = _retry_after(office, after["value"].strip())
    times = next((n for word, n in COUNT.items() if word in part), 1)
    return [(status, headers)] * times


def _retry_after(office, value):
    """Seconds as they stand; "a date 120 s ahead" as an HTTP date."""
    if "date" in value and (seconds := re.search(r"\d+", value)):
        return formatdate(office.now() + int(seconds[0]), usegmt=True)
    return value


def wrong_tls(office, match):
    """The receiver speaks TLS with a certificate for another name, an old one, or one nobody knows."""
    authority = Authority(Path(tempfile.mkdtemp(dir=office.folder)))
    other = "other.test" if re.search(r"other|wrong|name", match.string) else "desk.test"
    how = {
        "expired": "expired" in match.string,
        "trusted": not re.search(r"self.?signed|unknown|untrust", match.string),
    }
    office.patch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    server = office.desk.server
    server.socket = authority.server_context(other, **how).wrap_socket(server.socket, server_side=True)
    office.overrides |= {"endpoints.desk.url": "https://desk.test/hook", "endpoints.desk.allow": ["desk.test"]}
    office.resolve = lambda host, port: ["127.0.0.1"]
    office.connect = lambda address, timeout_s: fetch.dial(office.desk.server.server_address, timeout_s)
    office.put()
    office.first = office.round()
    office.seen |= {"code": office.rows()[0].last_error, "state": "retry"}
    office.play = False


def refused_address(office, match):
    """An endpoint whose address may not be called: refused when it is saved, and again when it is sent to."""
    allow = re.findall(r"allow(?:ed|-listed| list| entry)? (?:of |for )?(\d[\d./:]*|[a-z]+\.[a-z.]+)", match.string)
    office.overrides |= {"endpoints.desk.url": match["url"], "endpoints.desk.allow": allow}
    office.resolve = lambda host, port: [PRIVATE] if "10." in match.string else ["127.0.0.1"]
    try:
        endpoints.check_url(office.settings.endpoints["desk"], office.resolve)
    except Refused as refused:
        office.seen |= {"status": refused.status, "code": refused.code}
    office.put()
    office.first = office.round()
    assert office.rows()[0].last_error == office.seen.get("code") and not office.desk.requests
    office.seen["state"] = office.state()
    office.play = False


def rebinding(office, match):
    """Public when it was saved, private when it is sent to."""
    answers = [[PUBLIC], ["127.0.0.1"]]
    office.overrides |= {"endpoints.desk.url": "http://desk.test/hook", "endpoints.desk.allow": []}
    office.resolve = lambda host, port: answers.pop(0) if len(answers) > 1 else answers[0]
    endpoints.check_url(office.settings.endpoints["desk"], office.resolve)
    office.put()
    office.first = office.round()
    assert not office.desk.requests
    office.seen |= {"status": 400, "code": office.rows()[0].last_error, "state": "retry"}
    office.play = False


def allowed(office, match):
    """An internal system on the operator's list; the connection to it leads to our receiver."""
    office.overrides |= {
        "endpoints.desk.url": "http://desk.internal/hook",
        "endpoints.desk.allow": [match["rule"]],
    }
    office.resolve = lambda host, port: [PRIVATE]
    called = []

    def connect(address, timeout_s):
        called.append(address[0])
        return fetch.dial(office.desk.server.server_address, timeout_s)

    office.connect = connect
    office.put()
    office.first = office.round()
    assert set(called) <= {PRIVATE}
    office.seen["code"] = office.rows()[0].last_error
    office.play = False


def rotated(office, match):
    new = admin.rotate_secret(office.db, office.settings, "desk", "ann", office.now())
    if "twice" in match.string:
        new = admin.rotate_secret(office.db, office.settings, "desk", "ann", office.now())
    gone = re.search(
        r"(\d+) ?h(ours?)? (later|ago|after)|after (\d+) ?h|old (key|one|secret) (expired|gone)", match.string
    )
    if gone:
        office.later(3600 * int(gone[1] or gone[4] or 25) + 1)
    office.put()
    office.first = office.round()
    (request,) = office.desk.requests
    office.seen["signatures"] = len(request.headers["webhook-signature"].split(" "))
    for who, secret in (("old_receiver", SECRET), ("new_receiver", new)):
        office.seen[who] = "verifies" if _verifies(request, secret, office.now()) else "refuses"
    office.play = False


def _verifies(request, secret, now):
    try:
        sign.verify(request.body, request.headers, secret, now=now)
    except SignatureRefused:
        return False
    return True


def killed(office, match):
    """A real process is killed (or stopped past its lease) right after the receiver answered."""
    office.put()
    office.overrides |= {
        "deliver.timeout_s": LEASE_S / 2,
        "deliver.lease_margin_s": LEASE_S / 2,
        "deliver.schedule_s": [0, *[0.05] * 60],
    }
    if re.search(r"(between|after) claim|before (the )?POST", match.string):
        assert claim(office.db, office.settings, office.now(), {}, {})
        _deliver_until_done(office)
    elif re.search(r"stop|paus|hang|past (its |the )?lease", match.string):
        with _worker(office, "stop") as process:
            office.desk.wait_for(1, timeout_s=60)
            _deliver_until_done(office)
            process.send_signal(signal.SIGCONT)
            assert process.stdout.readline().strip() == "ready"
            assert process.stdout.readline().strip() == "{'fenced': 1}"
    else:
        with _worker(office, "die") as process:
            assert process.wait(60) == -signal.SIGKILL
            _deliver_until_done(office)
    ids = {row.id for row in office.rows()}
    sent = [request.id for request in office.desk.requests]
    office.seen |= {"lost": len(ids - set(office.desk.effects)), "duplicates_same_id": set(sent) == ids}
    office.play = False


class _worker:
    def __init__(self, office, how):
        settings = office.folder / "settings.json"
        settings.write_text(office.settings.model_dump_json())
        command = [sys.executable, "-m", "tests.support.deliver_worker", office.db.url, str(settings), how]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def _deliver_until_done(office):
    ends_at = time.monotonic() + 20
    while any(row.state == "pending" for row in office.rows()):
        assert time.monotonic() < ends_at, "it was never delivered"
        office.round()
        time.sleep(0.05)


def payload(office, match):
    """Bytes that somebody on the way might want to change."""
    (id_,) = office.put()
    size = re.search(r"(\d+) ?kB", match.string, re.IGNORECASE)
    text = "x" * (int(size[1]) * 1000) if size else 'ä 🎫 \u2028 \u2029 \u202e </script> \\ " \x7f \ufeff'
    body = json.dumps({"data": {"ticket": "T1", "seq": 1, "text": text, "nul": "\x00"}}, ensure_ascii=False)
    data = body.encode() if "invalid utf" not in match.string.lower() else b'{"data": {"ticket": "T1", "seq": 1}}\xff'
    with office.db.write() as session:
        session.get(Answer, id_).body = data
    office.first = office.round()
    (request,) = office.desk.requests
    office.seen["verified"] = request.verified and request.body == data
    office.play = False


def two_events(office, match):
    """ "two events of one ticket, first failing": the second waits, other tickets go on."""
    office.put(("desk", "T1", 1), ("desk", "T1", 2), ("desk", "T2", 1))
    office.desk.usual = lambda request: 500 if (request.ticket, request.seq) == ("T1", 1) else 200
    office.first = office.round()
    told = [(request.ticket, request.seq) for request in office.desk.requests]
    office.seen["order"] = ("T1", 2) not in told and ("T2", 1) in told
    if re.search(r"dead|dies|exhaust|given up", match.string):
        office.to_the_end()
        office.later(3600)
        office.round()
        told = [(request.ticket, request.seq) for request in office.desk.requests]
        office.seen |= {"order": ("T1", 2) in told, "state": office.rows()[0].state}
    office.play = False


def latest(office, match):
    """ordering = "latest": the newer answer for the ticket replaces the one that waits."""
    office.overrides["endpoints.desk.ordering"] = "latest"
    office.put()

    def newer_comes(request):
        office.put(("desk", "T1", 2))
        return 500

    office.desk.script(newer_comes)
    office.first = office.round()
    office.seen |= {"order": [row.state for row in office.rows()] == ["cancelled", "delivered"]}
    office.play = False


def redelivered(office, match):
    """A person sends an answer again, as often as they press."""
    state = "delivered" if "delivered" in match.string else "dead"
    (id_,) = office.put(state=state)
    for _ in range(3 if "three" in match.string else 2):
        admin.redeliver(office.db, "request-key-1", "ann", office.now(), ids=[id_])
    office.first = office.round()
    office.round()
    assert {request.id for request in office.desk.requests} == {id_}
    office.seen["attempts"] = len(office.desk.requests)
    office.play = False


def paused(office, match):
    admin.pause(office.db, "ann", office.now())
    office.put()
    assert office.round() == {} and not office.desk.requests
    if "resume" in match.string:
        admin.resume(office.db, "ann", office.now())
        return
    office.seen["state"] = office.state()
    office.play = False


def dry_run(office, match):
    office.overrides["endpoints.desk.mode"] = "dry_run"
    office.put(state="held")
    assert office.round() == {} and not office.desk.requests
    office.play = False


def dead_neighbour(office, match):
    """An endpoint that never answers has thousands waiting; the live one gets its ten all the same."""
    many = min(2_000, int(re.search(r"(\d[\d,]*)", match.string)[1].replace(",", "")))
    with Receiver(usual="slow", slow_s=30) as dead:
        office.overrides |= {
            "endpoints.dead.url": dead.url,
            "endpoints.dead.secret": SECRET,
            "endpoints.dead.mode": "live",
            "endpoints.dead.allow": ["127.0.0.1"],
            "deliver.timeout_s": 1,
        }
        office.put(*[("desk", f"T{n}", 1) for n in range(10)], *[("dead", f"D{n}", 1) for n in range(many)])
        stopping, began = [], time.monotonic()
        office.desk.usual = lambda request: stopping.append(request) or 200
        from ticketbot.deliver.send import deliver_due

        deliver_due(office.db, office.settings, office.now, stop=lambda: len(stopping) >= 10)
        assert len(office.desk.effects) == 10 and time.monotonic() - began < 15
    office.seen["state"] = "delivered"
    office.play = False


def breaker(office, match):
    """Ten failures in a row open it: from then on nothing is sent and no attempt is used up."""
    office.put(*[("desk", f"T{n}", 1) for n in range(40)])
    office.desk.usual = 500
    office.overrides["deliver.workers"] = 1
    office.first = office.round()
    used = sum(row.attempts for row in office.rows())
    office.round()
    assert sum(row.attempts for row in office.rows()) == used
    office.seen |= {"attempts": used, "state": "retry"}
    office.play = False


SCENES = (
    (r"kill|crash|SIGKILL|SIGSTOP|stopped past|past (its|the) lease|power", killed),
    (r"rotat", rotated),
    (r"rebind|resolves to .* (later|at send)|changes to", rebinding),
    (r"allow.?list(ed)? (?P<rule>\d[\d.]*/\d+|\d[\d.]+(:\d+)?|[a-z]+\.[a-z]+)", allowed),
    (r"(?P<url>(?:https?|ftp|file|gopher)://[^\s,]+)", refused_address),
    (r"certificate|\bTLS\b|self.?signed", wrong_tls),
    (r"redeliver|sent again by hand|pressed", redelivered),
    (r"latest", latest),
    (r"(two|several|three) events|same ticket|per.ticket|out of order", two_events),
    (r"dead endpoint.*live|starv", dead_neighbour),
    (r"breaker|in a row", breaker),
    (r"dry.run", dry_run),
    (r"\bpaused?\b", paused),
    (r"payload|\bbody with\b", payload),
    (
        r"^receiver:? (?P<does>.+)|^endpoint (?P<x>answers)? ?(?P<does2>.+)",
        lambda office, m: receiver(office, _does(m)),
    ),
)


def _does(match):
    return {"does": match["does"] or match["does2"]}
