"""The Clean page: what is suspect until a person says something, and never again for the same label."""

import csv
import io

import pytest

from tests.support.gallery import jpeg, staged
from tests.support.showsuspects import cleaning, differ, labelled, some
from tests.support.site import Site
from ticketbot.contracts import cleaned
from ticketbot.db.models import Label, LabelEvent
from ticketbot.review import clean, pages, suspects

PAGE = "abcdef0123456789"


@pytest.fixture
def site(db, settings_with):
    return Site(db, settings_with(), (pages.blueprint, clean.blueprint))


def put(site, n):
    return [staged(site.db, site.settings, jpeg(f"picture {number}")) for number in range(n)]


def shown(browser, name="suspects", **more):
    answer = browser.send("/clean/next", {"list": name, "page": PAGE, "n": 12, **more})
    return [item["sha256"] for item in answer.json["items"]]


def say(browser, sha256, word, key, name="suspects", **more):
    return browser.send("/clean", {"list": name, "sha256": sha256, "category": word, "key": key, **more})


def label_of(site, sha256):
    with site.db.read() as session:
        found = session.get(Label, sha256)
        return found and found.category


def three(site):
    """Three labelled reports, the first two suspect."""
    hashes = put(site, 3)
    for sha256 in hashes:
        labelled(site, sha256, "reports")
    cleaning(site, [(hashes[0], "errors", 0.03, 0, False), (hashes[1], "screens", 0.2, 1, False),
                    (hashes[2], "reports", 0.97, 2, False)])  # fmt: skip
    return hashes


def test_suspects_come_in_order_with_their_reasons(site):
    first, second, _fine = three(site)
    browser = site.sign_in("rita")
    answer = browser.send("/clean/next", {"list": "suspects", "page": PAGE, "n": 12}).json
    assert [one["sha256"] for one in answer["items"]] == [first, second]
    one = answer["items"][0]
    assert (one["label"], one["suggested"], one["p_label"], one["p_suggested"]) == ("reports", "errors", 0.03, 0.95)
    assert answer["progress"]["left"] == 2


def test_keep_changes_nothing_and_the_next_cleaning_does_not_ask_again(site):
    first, second, third = three(site)
    browser = site.sign_in("rita")
    assert say(browser, first, "keep", "key-0001").status_code == 200
    assert label_of(site, first) == "reports"
    assert shown(browser) == [second]
    cleaning(site, [(first, "errors", 0.02, 0, False), (third, "errors", 0.3, 1, False)], ago_s=10)
    assert shown(browser) == [third]
    # Another label is another question.
    labelled(site, first, "screens")
    cleaning(site, [(first, "errors", 0.02, 0, False)], ago_s=5)
    assert shown(browser) == [first]


def test_its_own_label_said_again_is_a_keep(site):
    first, second, _ = three(site)
    browser = site.sign_in("rita")
    say(browser, first, "reports", "key-0001")
    assert shown(browser) == [second]
    with site.db.read() as session:
        event = session.query(LabelEvent).order_by(LabelEvent.id.desc()).first()
        assert (event.new, event.how, event.suggested) == ("keep", "clean", "errors")


def test_relabel_and_junk_are_events_that_undo_takes_back(site):
    first, second, _ = three(site)
    browser = site.sign_in("rita")
    say(browser, first, "errors", "key-0001")
    say(browser, second, "junk", "key-0002")
    assert (label_of(site, first), label_of(site, second), shown(browser)) == ("errors", "junk", [])
    for number, back in enumerate(("key-0002", "key-0001")):
        assert browser.send("/label/undo", {"key": f"undo-000{number}", "of": back}).status_code == 200
    assert (label_of(site, first), label_of(site, second)) == ("reports", "reports")
    assert shown(browser) == [first, second]
    with site.db.read() as session:
        assert session.query(LabelEvent).filter(LabelEvent.how == "clean").count() == 4  # appended, never changed


def test_what_was_said_here_is_not_asked_again_though_the_label_is_new(site):
    first, *_ = three(site)
    browser = site.sign_in("rita")
    say(browser, first, "errors", "key-0001")
    cleaning(site, [(first, "screens", 0.1, 0, False)], ago_s=5)
    assert shown(browser) == []


def test_undo_of_a_keep_brings_the_suspect_back(site):
    first, second, _ = three(site)
    browser = site.sign_in("rita")
    say(browser, first, "keep", "key-0001")
    browser.send("/label/undo", {"key": "undo-0001", "of": "key-0001"})
    assert shown(browser) == [first, second]


def test_one_key_for_look_alikes_is_undone_as_a_whole(site):
    hashes = put(site, 3)
    for sha256 in hashes:
        labelled(site, sha256, "reports")
    cleaning(site, [(sha256, "errors", 0.1, 7, False) for sha256 in hashes])
    browser = site.sign_in("rita")
    found = browser.send("/clean/next", {"list": "suspects", "page": PAGE, "n": 12}).json["items"][0]
    beside = [one["sha256"] for one in found["beside"]]
    assert set(beside) == set(hashes) - {found["sha256"]}
    answer = say(browser, found["sha256"], "errors", "key-0001", alike=beside, version=found["version"])
    assert set(answer.json["versions"]) == set(hashes)
    assert {label_of(site, sha256) for sha256 in hashes} == {"errors"}
    browser.send("/label/undo", {"key": "undo-0001", "of": "key-0001"})
    assert {label_of(site, sha256) for sha256 in hashes} == {"reports"}


def test_a_post_that_comes_twice_is_one_event_and_a_stale_one_is_refused(site):
    first, second, _ = three(site)
    browser = site.sign_in("rita")
    assert [say(browser, first, "errors", "key-0001").status_code for _ in range(2)] == [200, 200]
    with site.db.read() as session:
        assert session.query(LabelEvent).filter_by(sha256=first).count() == 2
    assert say(browser, second, "errors", "key-0002", version=0).status_code == 409
    assert label_of(site, second) == "reports"


def test_two_people_get_different_suspects_and_a_skip_is_for_others(site):
    first, second, _ = three(site)
    rita, otto = site.sign_in("rita"), site.sign_in("otto")
    assert shown(rita, n=1) == [first]
    assert (
        otto.send("/clean/next", {"list": "suspects", "page": PAGE[::-1], "n": 1}).json["items"][0]["sha256"] == second
    )
    say(rita, first, "skip", "key-0001")
    site.clock.now += site.settings.review.lease_s + 1
    assert shown(rita) == [second]
    assert (
        otto.send("/clean/next", {"list": "suspects", "page": PAGE[::-1], "n": 5}).json["items"][0]["sha256"] == first
    )


def test_conflicts_show_look_alikes_together(site):
    hashes = put(site, 4)
    for sha256, word in zip(hashes, ("reports", "reports", "errors", "screens"), strict=True):
        labelled(site, sha256, word)
    rows = [(hashes[3], "tickets", 0.1, 5, False), (hashes[0], "reports", 0.7, 2, True)]
    cleaning(site, [*rows, (hashes[1], "reports", 0.8, 2, True), (hashes[2], "errors", 0.9, 2, True)])
    browser = site.sign_in("rita")
    assert shown(browser, "conflicts") == hashes[:3]
    item = browser.send("/clean/next", {"list": "conflicts", "page": PAGE, "n": 1}).json["items"][0]
    assert {one["label"] for one in item["beside"]} == {"reports", "errors"}


def test_people_who_differ_are_shown_without_a_suggestion(site):
    hashes = put(site, 2)
    differ(site, hashes[0], "reports", "errors")
    differ(site, hashes[1], "screens", "screens")
    browser = site.sign_in("rita")
    (item,) = browser.send("/clean/next", {"list": "opinions", "page": PAGE, "n": 5}).json["items"]
    assert (item["sha256"], item["said"], item["suggested"], item["model"]) == (
        hashes[0], [["nora", "reports"], ["otto", "errors"]], None, None,
    )  # fmt: skip
    say(browser, hashes[0], "reports", "key-0001", "opinions")
    assert (label_of(site, hashes[0]), shown(browser, "opinions")) == ("reports", [])
    with site.db.read() as session:
        last = session.query(LabelEvent).order_by(LabelEvent.id.desc()).first()
        assert (last.blind, last.suggested) == (True, None)


def test_many_fine_in_a_row_say_stop(site):
    hashes = put(site, suspects.STOP_AFTER + 2)
    for sha256 in hashes:
        labelled(site, sha256, "reports")
    cleaning(site, [(sha256, "errors", 0.1, number, False) for number, sha256 in enumerate(hashes)])
    browser = site.sign_in("rita")
    say(browser, hashes[0], "errors", "key-first")
    for number in range(suspects.STOP_AFTER):
        told = say(browser, hashes[number + 1], "keep", f"key-{number:04}").json["progress"]
        assert (told["fine"], told["stop"]) == (number + 1, number + 1 == suspects.STOP_AFTER)
    browser.send("/label/undo", {"key": "undo-0001", "of": "key-0003"})
    assert browser.send("/clean/next", {"list": "suspects", "page": PAGE, "n": 1}).json["progress"]["stop"] is False


def test_cleaned_and_decisions_can_be_read_by_the_trainer(site, tmp_path):
    first, second, third = three(site)
    browser = site.sign_in("rita")
    say(browser, first, "errors", "key-0001")
    say(browser, second, "junk", "key-0002")
    say(browser, third, "keep", "key-0003")
    for name in ("cleaned.csv", "decisions.csv"):
        (tmp_path / name).write_bytes(browser.get(f"/clean/{name}").data)
    assert cleaned.read_cleaned(tmp_path / "cleaned.csv", site.settings.categories) == {
        first: "errors",
        third: "reports",
    }
    found = cleaned.read_decisions(tmp_path / "decisions.csv", site.settings.categories)
    assert [(one.name, one.decision, one.label, one.old, one.who) for one in found] == [
        (first, "relabel", "errors", "reports", "rita"),
        (second, "delete", "", "reports", "rita"),
        (third, "keep", "reports", "reports", "rita"),
    ]


def test_nothing_changes_without_a_person(site):
    hashes = put(site, 8)
    some(site, hashes)
    before = {sha256: label_of(site, sha256) for sha256 in hashes}
    browser = site.sign_in("rita")
    browser.get("/clean")
    shown(browser)
    assert {sha256: label_of(site, sha256) for sha256 in hashes} == before
    assert len(list(csv.reader(io.StringIO(browser.get("/clean/cleaned.csv").text)))) == len(hashes) + 1


def test_who_may_not_and_what_is_no_word(site):
    first, *_ = three(site)
    assert site.sign_in("vera", "viewer").get("/clean").status_code == 403
    browser = site.sign_in("rita")
    wrong = [{"list": "all"}, {"category": "nonsense"}, {"sha256": "x"}, {"key": ""}]
    for one in wrong:
        body = {"list": "suspects", "sha256": first, "category": "keep", "key": "key-0001", **one}
        assert browser.send("/clean", body).status_code == 400
    assert say(browser, "f" * 64, "errors", "key-0001").status_code == 404
    unlabelled = staged(site.db, site.settings, jpeg("never labelled"))
    assert say(browser, unlabelled, "keep", "key-0001").status_code == 409


def test_before_the_first_cleaning_the_page_says_what_it_is(site):
    assert "Labels were not looked at yet" in site.sign_in("rita").get("/clean").text
    assert "Nobody differs" in site.sign_in("rita").get("/clean?list=opinions").text
