"""What acceptance cases share: a service that answers over HTTP, and the list of what held at the end."""

import functools
from urllib.parse import quote

import pytest

from tests.support.settings import make_settings
from tests.support.shelf import put_model
from tests.support.site import Site
from tests.support.tls import Authority
from ticketbot.classify.api import Answers, blueprint
from ticketbot.classify.serving import Serving
from ticketbot.db import connect
from ticketbot.db.models import Base
from ticketbot.imaging.decode import DecoderPool
from ticketbot.net import fetch

FETCH_TIMEOUT_S = 0.6


class Classifier:
    """/classify and /classify-url with a real model, decoder and database; a case routes the network."""

    def __init__(self, site, token, authority):
        self.authority = authority
        self.total_s = FETCH_TIMEOUT_S
        self._headers = {"Authorization": f"Bearer {token}"}
        self._client = site.app.test_client()

    def classify(self, data):
        return self._client.post("/classify", data=data, headers=self._headers)

    def classify_url(self, urls, monkeypatch, *, resolve, connect):
        """urls: one address, or a list for a parameter that is repeated."""
        routed = functools.partial(_fetch_get, resolve=resolve, connect=connect)
        monkeypatch.setattr(fetch, "get", routed)
        query = "&".join(
            f"url={quote(url.encode('utf-8', 'surrogatepass'))}"
            for url in (urls if isinstance(urls, list) else [urls or ""])
        )
        return self._client.get("/classify-url", query_string=query, headers=self._headers)


_fetch_get = fetch.get


@pytest.fixture(scope="session")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    limits = {"classify.rate_per_minute": 1_000_000, "classify.fetch_timeout_s": FETCH_TIMEOUT_S}
    settings = make_settings(folder, limits)
    db = connect(f"sqlite:///{folder / 'ticketbot.db'}")
    Base.metadata.create_all(db.engine)
    put_model(db, settings)
    with DecoderPool(1) as decoders:
        site = Site(db, settings, blueprints=(blueprint,))
        site.services.decoders = decoders
        site.services.classify = Answers(Serving(db, settings), settings)
        yield Classifier(site, site.token("classify"), Authority(tmp_path_factory.mktemp("tls")))
    db.close()


def pytest_terminal_summary(terminalreporter):
    """One line an id. A skip says why; a failure says its last line."""
    lines = {}
    for outcome, word in (
        ("passed", "held"),
        ("failed", "fell short"),
        ("error", "fell short"),
        ("skipped", "not run"),
    ):
        for report in terminalreporter.stats.get(outcome, []):
            if "test_badinputs.py::test_a_bad_input" in report.nodeid and report.when != "teardown":
                lines[report.nodeid.partition("[")[2].rstrip("]")] = (word, _reason(report))
    if lines:
        terminalreporter.section("bad inputs")
        for name, (word, reason) in sorted(lines.items()):
            terminalreporter.write_line(f"{name}: {word}{reason}")
        counts = {word: sum(1 for found, _ in lines.values() if found == word) for word, _ in lines.values()}
        terminalreporter.write_line(", ".join(f"{count} {word}" for word, count in sorted(counts.items())))


def _reason(report):
    if report.passed:
        return ""
    if report.skipped:
        return f" ({report.longrepr[2].removeprefix('Skipped: ')})"
    crash = getattr(report.longrepr, "reprcrash", None)
    return f" ({crash.message.splitlines()[0]})" if crash else ""
