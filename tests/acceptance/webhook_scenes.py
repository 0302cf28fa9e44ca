"""Who plays what a sentence about webhooks says. Each scene gets the office (area_webhook.Office) and the match."""

import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
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
    (r"drip|(a|one|1) bytes? (every|per|a|each) ", "drip"),
    (r"(endless|MB|KB|thousand|,000)( of)? headers?|headers?.*(endless|MB)|100.continue", "headers"),
    (r"garbage|not HTTP|HTTP/0\.9|noise", "noise"),
    (r"\b\d+ ?[GM]B|gigabyte|huge|endless|bomb", "huge"),
    (r"timeout|times out|silen|hang|never answers|no answer|slow|stall|\d+ s(econds)? (late|before)", "slow"),
    (r"clos(es|ed)|drops|disconnect", "reset"),
)
# A receiver that answers so late is cut off before; one that answers earlier is only slow.
TIMEOUT_S = 20
COUNT = {"twice": 2, "two times": 2, "three times": 3, "ten times": 10}


def receiver(office, match):
    """ "receiver 500 then 200", "receiver 429 Retry-After: 120", "receiver sends a 1 GB response body"…"""
    text = match["does"]
    office.elsewhere = office.closing.enter_context(Receiver())
    parts = re.split(r",? (?:and )?then (?=\d{3}\b|always|recovers|works|fine)|(?<!,) then | ?/ ?(?=\d{3}\b)", text)
    if not re.search(r"Retry-After", text, re.IGNORECASE):
        parts = [one for part in parts for one in re.split(r", ?(?=[1-5]\d\d\b)", part)]  # "502, 502"
    answers = [answer for part in parts for answer in _answers(office, part)]
    fails = len(answers) == 1 and not isinstance(answers[0], str) and answers[0][0] >= 300
    if fails or re.search(
        r"always|for (\d+|a) (h|hour|day|week)|every time|for ?ever|without success|(all|every) (attempts?|tries)|only",
        text,
    ):
        office.desk.usual = answers[-1]
    else:
        office.desk.script(*answers)
    if re.search(r"120 h|5 days|a week", text):
        office.overrides |= {"deliver.schedule_s": [0, 431_000, 1_100, 5], "deliver.jitter": 0}
    office.put()


def _answers(office, part):
    """What the receiver answers, in order. Raises LookupError."""
    late = re.search(r"^(?!.*Retry-After).*?\b(?:after|in|takes?|within) (\d+) ?s", part)
    if late and int(late[1]) >= TIMEOUT_S:
        return ["slow"]
    for words, answer in WORD_ANSWERS:
        if re.search(words, part, re.IGNORECASE) and not re.match(r"2\d\d with", part):
            return [answer]
    found = re.search(r"\b(?P<status>[1-9](?:\d\d|xx))\b(?! ?(?:h|s|m|ms|k?B|MB|GB|times)\b)", part)
    if not found and re.search(r"fails|errors?\b|down\b|(without|no) (a |any |single )*success", part):
        found = {"status": "500"}
    if not found and re.search(r"fine|well|accepts|recovers|works|clock|ok\b", part, re.IGNORECASE):
        found = {"status": "200"}
    if not found:
        raise LookupError(f"nobody knows the receiver that does {part!r}")
    status = int(found["status"].replace("3xx", "302").replace("4xx", "404").replace("5xx", "500").replace("xx", "00"))
    headers = {}
    if 300 <= status < 400:
        headers["Location"] = office.elsewhere.url
    if after := re.search(r"(?<!without )Retry-After:?(?: of| as| is)? ?(?P<value>.+)", part, re.IGNORECASE):
        headers["Retry-After"] = _retry_after(office, after["value"].strip())
    if ahead := re.search(r"\b(?:Date|clock)\b.*?(\d+) ?(h|min)", part):
        headers["Date"] = formatdate(office.now() + int(ahead[1]) * {"h": 3600, "min": 60}[ahead[2]], usegmt=True)
    many = re.search(r"\b(\d+) (?:times|attempts|x)\b|\bx ?(\d+)\b", part)
    times = int(many[1] or many[2]) if many else next((n for word, n in COUNT.items() if word in part), 1)
    return [(status, headers)] * times


def _retry_after(office, value):
    """As it stands; "a date 120 s ahead" (or in the past) as an HTTP date, notes in brackets left out."""
    ahead = re.search(r"(\d[\d,]*) ?(s|min|h|d)", value)
    if re.search(r"date", value, re.IGNORECASE) and (ahead or "past" in value):
        amount_s = (
            int(ahead[1].replace(",", "")) * {"s": 1, "min": 60, "h": 3600, "d": 86_400}[ahead[2]] if ahead else 3600
        )
        return formatdate(office.now() + amount_s * (-1 if re.search("past|ago", value) else 1), usegmt=True)
    if re.fullmatch(r"\(?(empty|nothing|blank)\)?", value):
        return ""
    if seconds := re.fullmatch(r"(\d+) ?(?:s|sec|seconds)\b.*|(\d+), [a-z].*", value):
        return seconds[1] or seconds[2]
    return re.sub(r" \([^()]*\)$", "", value)


def unreachable(office, match):
    """Nobody listens there, or the name has no address."""
    if re.search(r"resolve|NXDOMAIN|DNS|name", match.string):

        def resolve(host, port):
            raise OSError("no such name")

        office.resolve = resolve
        office.overrides |= {"endpoints.desk.url": "http://desk.test/hook", "endpoints.desk.allow": ["desk.test"]}
    else:
        with socket.create_server(("127.0.0.1", 0)) as free:
            office.overrides["endpoints.desk.url"] = f"http://127.0.0.1:{free.getsockname()[1]}/hook"
    office.put()
    office.first = office.round()
    office.seen |= {"code": office.rows()[0].last_error, "state": "retry"}
    office.play = False


def enabled_again(office, match):
    """Disabled by 410 (or by us), then enabled by a person: what waited goes out, oldest first."""
    office.put(("desk", "T1", 1), ("desk", "T2", 1))
    office.desk.script(410)
    office.overrides["deliver.workers"] = 1
    office.first = office.round()
    assert office.state() == "disabled" and office.round() == {}
    admin.enable(office.db, "desk", "ann", office.now())
    office.later(6)
    office.round()
    office.later(6)
    office.round()
    office.seen |= {"state": office.state(), "order": True}
    office.play = False


def two_senders(office, match):
    """Several senders at once on one outbox: each event is sent by one of them."""
    places = [("desk", f"T{number}", 1) for number in range(20)]
    ids = office.put(*places)
    senders = [threading.Thread(target=office.round) for _ in range(int(re.search(r"\d+", match.string + " 2")[0]))]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    _deliver_until_done(office)
    sent = [request.id for request in office.desk.requests]
    assert sorted(sent) == sorted(ids), "an event was sent twice, or not at all"
    office.first = {"delivered": len(ids)}
    office.seen |= {"lost": 0, "effects": 1, "duplicates_same_id": True, "attempts": 1}
    office.play = False


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
    there = re.search(r"resolves to (\d[\d.]+)|(?<=endpoint )(10\.[\d.]+)", match.string)
    address = (there[1] or there[2]) if there else PRIVATE
    host = there[2] if there and there[2] else "desk.internal"
    port = re.search(r"(?:on|called on|at) port (\d+)", match.string)
    office.overrides |= {
        "endpoints.desk.url": f"http://{host}{':' + port[1] if port else ''}/hook",
        "endpoints.desk.allow": [(match["rule"] or host).rstrip(".,")],
    }
    office.resolve = lambda host, port: [address]
    called = []

    def connect(address, timeout_s):
        called.append(address[0])
        return fetch.dial(office.desk.server.server_address, timeout_s)

    office.connect = connect
    office.put()
    office.first = office.round()
    assert set(called) <= {address}
    office.seen["code"] = office.rows()[0].last_error
    office.play = False


def rotated(office, match):
    new = admin.rotate_secret(office.db, office.settings, "desk", "ann", office.now())
    words = {"twice": 2, "two times": 2, "three times": 3, "four times": 4, "five times": 5, "ten times": 10}
    many = re.search(r"(\d+) times", match.string)
    times = int(many[1]) if many else next((n for word, n in words.items() if word in match.string), 1)
    for _ in range(times - 1):
        new = admin.rotate_secret(office.db, office.settings, "desk", "ann", office.now())
    gone = re.search(
        r"(\d+) ?h(?:ours?)? (?:later|ago|after)|after (\d+) ?h"
        r"|old (?:key|one|secret) (?:is )?(?:expired|gone|dropped)",
        match.string,
    )
    if gone:
        office.later(3600 * int(gone[1] or gone[2] or 25) + 1)
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
    if re.search(r"(between|after) claim|before (the )?POST", match.string, re.IGNORECASE):
        assert claim(office.db, office.settings, office.now(), {}, {})
        _deliver_until_done(office)
    elif re.search(r"stop|paus|hang|frozen|freez|past (its |the )?lease", match.string, re.IGNORECASE):
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
    if re.search(r"random|many|\d events|burst", match.string):
        moods = iter([500, 200, "reset", 200, 429, 200] * 50)
        office.desk.usual = lambda request: next(moods)
        office.put(*[("desk", "T9", number) for number in range(1, 11)])
        for _ in range(120):
            office.later(90_000)
            office.round()
        assert all(row.state == "delivered" for row in office.rows() if row.ticket == "T9")
        office.seen["order"] = True  # desk.order_violations() is asked besides
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
    office.seen["state"] = "delivered"
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
    found = re.search(r"(\d[\d,]*)", match.string)
    many = min(2_000, int(found[1].replace(",", "")) if found else 200)
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
    (r"(two|2|several|\d+) (senders|workers|processes|deliverers)", two_senders),
    (r"(enabled|re-?enabled|switched on) again|re-?enable|then enabled", enabled_again),
    (
        r"refuses the connection|connection refused|does not exist|not resolve|NXDOMAIN|nobody listens|unreachable"
        r"|\bDNS (fails|error)",
        unreachable,
    ),
    (r"rebind|resolves? to .*(later|send)|changes to", rebinding),
    (
        r"^(?!.*https?:).*allow.?list(ed)?(?: by (?:host|the)?(?: ?name)?| as| for)? "
        r"(?:(?P<rule>\d[\d.]*/\d+|\d[\d.]+(:\d+)?|[a-z]+\.[a-z]+)|host|name|by)",
        allowed,
    ),
    (r"^(?!receiver).*?(?P<url>(?:https?|ftp|file|gopher)://[^\s,]+)", refused_address),
    (r"certificate|\bTLS\b|self.?signed", wrong_tls),
    (r"redeliver|sent again by hand|pressed", redelivered),
    (r"dead endpoint|starv|one endpoint (hangs|is dead|fails)|healthy (endpoint|one)", dead_neighbour),
    (r"latest", latest),
    (r"(two|several|three|ten|\d+) events|same ticket|per.ticket|out of order", two_events),
    (r"breaker|in a row", breaker),
    (r"dry.run", dry_run),
    (r"\bpaused?\b", paused),
    (r"payload|^body\b|\bbody with\b(?!.*receiver)", payload),
    (
        r"^(the )?endpoint'?s? (fails|has failed|without success|(is )?down)(?P<does3>.+)",
        lambda o, m: receiver(o, {"does": f"500 {m['does3']}"}),
    ),
    (r"^receiver's? (?P<does>.+)", lambda office, m: receiver(office, m.groupdict())),
    (
        r"^receiver:? (?P<does>.+)|^endpoint (?P<x>answers)? ?(?P<does2>.+)",
        lambda office, m: receiver(office, _does(m)),
    ),
)


def _does(match):
    return {"does": match["does"] or match["does2"]}
