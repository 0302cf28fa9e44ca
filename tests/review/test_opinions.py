"""Two people, the same picture, and neither knows of the other."""

import pytest

from tests.support.gallery import jpeg, staged
from tests.support.site import Site
from ticketbot.db.models import Label, SecondOpinion
from ticketbot.review import opinions, pages


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], None),
        ([("a", "a")] * 5, None),
        ([("a", "a"), ("b", "b")], 1.0),
        ([("a", "b"), ("b", "a")], -1.0),
        ([("a", "a")] * 20 + [("a", "b")] * 5 + [("b", "a")] * 10 + [("b", "b")] * 15, 0.4),
    ],
)
def test_kappa_is_agreement_beyond_chance(pairs, expected):
    found = opinions.kappa(pairs)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.fixture
def site(db, settings_with):
    return Site(db, settings_with({"review.blind_share": 1.0}), (pages.blueprint,))


def double(site):
    """A picture in the half of the blind ones that two people label."""
    texts = (str(number) for number in range(100))
    hashes = (staged(site.db, site.settings, jpeg(text, (80, 60))) for text in texts)
    return next(sha256 for sha256 in hashes if sha256 < "8")


def offered(browser):
    return {item["sha256"]: item for item in browser.send("/label/next", {"page": "page0001", "n": 50}).json["items"]}


def say(browser, sha256, category, key):
    return browser.send("/label", {"sha256": sha256, "category": category, "key": key})


def test_a_second_person_is_asked_and_not_told(site):
    picture = double(site)
    rita, otto = site.sign_in("rita"), site.sign_in("otto")
    say(rita, picture, "errors", "ritas-word-1")
    assert picture not in offered(rita)
    for _ in range(200):  # a share of each page, diced
        if item := offered(otto).get(picture):
            break
    assert (item["second"], item["blind"], item["category"], item["suggested"]) == (True, True, None, None)
    answer = say(otto, picture, "reports", "ottos-word-1")
    assert answer.status_code == 200
    with site.db.read() as session:
        row = session.get(SecondOpinion, picture)
        assert (row.first, row.first_who, row.second, row.second_who) == ("errors", "rita", "reports", "otto")
        assert session.get(Label, picture).category == "reports"
        assert opinions.agreement(session).share == 0.0


def test_a_second_word_taken_back_waits_again(site):
    picture = double(site)
    rita, otto = site.sign_in("rita"), site.sign_in("otto")
    say(rita, picture, "errors", "ritas-word-1")
    say(otto, picture, "errors", "ottos-word-1")
    otto.send("/label/undo", {"key": "ottos-undo-1", "of": "ottos-word-1"})
    with site.db.read() as session:
        assert session.get(SecondOpinion, picture).second is None
        assert session.get(Label, picture).who == "rita"
    rita.send("/label/undo", {"key": "ritas-undo-1", "of": "ritas-word-1"})
    with site.db.read() as session:
        assert session.get(SecondOpinion, picture) is None
