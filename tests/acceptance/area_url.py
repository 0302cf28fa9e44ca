"""Addresses for /classify-url: refused with a code, and nothing is called that must not be."""

import re
import threading
import time

from tests.acceptance.area_response import behaviour_of
from tests.support.evil_server import PUBLIC, Behaviour, EvilServer

EXPECT = {"status", "code", "connects", "within_s", "has"}
GIVEN = {"dns", "response", "cert"}


def run(case, request):
    classifier = request.getfixturevalue("classifier")
    monkeypatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setenv("SSL_CERT_FILE", str(classifier.authority.ca_file))
    names = Names(case.given.get("dns", {}))
    with server_of(case.given, classifier.authority) as server:
        started_at = time.monotonic()
        answer = classifier.classify_url(case.input, monkeypatch, resolve=names.resolve, connect=server.connect)
        took_s = time.monotonic() - started_at
        names.stopping.set()
    assert answer.status_code == case.expect["status"], answer.text
    assert answer.json.get("code") == case.expect.get("code")
    if "has" in case.expect:
        assert case.expect["has"] in answer.json
    if "connects" in case.expect:
        assert server.asked == case.expect["connects"]
    if "within_s" in case.expect:
        assert took_s < seconds(case.expect["within_s"], classifier.total_s)


class Names:
    """`given.dns`: for each name the answers of its lookups, in order, the last one again and again; or "hang N s"."""

    def __init__(self, dns):
        self.stopping = threading.Event()
        self._dns = {name: list(answers) if isinstance(answers, list) else answers for name, answers in dns.items()}

    def resolve(self, host, port):
        answers = self._dns.get(host, [_usual(host)])
        if isinstance(answers, str):
            if slow := re.search(r"(\d+) s", answers):
                self.stopping.wait(int(slow[1]))
            raise OSError(answers)
        if not answers:
            raise OSError("no such name")
        found = answers.pop(0) if len(answers) > 1 and isinstance(answers[0], list) else answers[0]
        return found if isinstance(found, list) else answers  # one list of addresses, or a list for each lookup


def _usual(host):
    """Names that lead inside wherever they are asked, as a resolver answers them; all others are public."""
    host = host.rstrip(".").lower()
    if quad := re.fullmatch(r"(\d+)[.-](\d+)[.-](\d+)[.-](\d+)\.(?:nip|sslip|xip)\.io", host):
        return [".".join(quad.groups())]
    if host in ("ip6-localhost", "ip6-loopback", "localhost6"):
        return ["::1"]
    if re.search(r"(^|\.)localhost4?$|^localhost\.|\.?(localtest\.me|lvh\.me|vcap\.me)$", host):
        return ["127.0.0.1"]
    if re.search(r"^metadata(\.|$)|^instance-data(\.|$)", host):
        return ["169.254.169.254"]
    return [PUBLIC]


def server_of(given, authority):
    """What stands behind every public address in this case."""
    behaviour = behaviour_of(given.get("response", "200, body is a JPEG"))
    if "cert" not in given:
        return EvilServer(behaviour)
    name = given["cert"]
    how = {"expired": "expired" in name, "trusted": not re.search(r"self|unknown|untrusted", name)}
    # A kind of certificate is for the right name; else it is the name that it is for.
    name = name if re.fullmatch(r"\S+\.\S+", name) else "x.test"
    return EvilServer(Behaviour(behaviour.act, None, None, tls=True), context=authority.server_context(name, **how))


def seconds(bound, total_s):
    """A number, or "total+N" for N seconds more than the fetch may take."""
    return total_s + float(bound.removeprefix("total+")) if isinstance(bound, str) else bound
