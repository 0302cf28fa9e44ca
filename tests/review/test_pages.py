"""The Label page and its calls, as a browser makes them."""

import io
import re

import pytest
from PIL import Image

from tests.support.gallery import NOW, champion, jpeg, predicted, staged
from tests.support.site import Site
from ticketbot.db.models import Label, LabelEvent, Picture
from ticketbot.imaging.decode import DecoderPool
from ticketbot.review import pages, pictures

CATEGORIES = ["reports", "errors", "screens", "tickets"]


@pytest.fixture(scope="module")
def decoders():
    pool = DecoderPool(1)
    yield pool
    pool.close()


@pytest.fixture
def site(db, settings_with, decoders):
    made = Site(db, settings_with({"review.blind_share": 0.0}), (pages.blueprint, pictures.blueprint))
    made.services.decoders = decoders
    made.told = []
    made.services.announce = lambda _session, sha256, now: made.told.append((sha256, now))
    return made


@pytest.fixture
def rita(site):
    return site.sign_in("rita")


def key(number):
    return f"event-key-{number:04}"


def said(sha256, category, number=1, **more):
    return {"sha256": sha256, "category": category, "key": key(number), **more}


def label_of(site, sha256):
    with site.db.read() as session:
        label = session.get(Label, sha256)
        return label and label.category


# --- labelling ---


def test_the_page_shows_every_class_with_its_keys(rita):
    text = rita.get("/label").text
    for category, letter, number in zip(CATEGORIES, "rect", "1234", strict=True):
        row = re.search(rf'data-word="{category}".*?</button>', text, re.S)[0]
        assert f"<kbd>{letter}</kbd>" in row
        assert f"<kbd>{number}</kbd>" in row
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text)


def test_a_label_is_kept_and_told_in_one_go(site, rita):
    picture = staged(site.db, site.settings, jpeg("a"))
    answer = rita.send("/label", said(picture, "errors", took_ms=812))
    assert answer.status_code == 200
    assert label_of(site, picture) == "errors"
    assert site.told == [(picture, NOW)]
    with site.db.read() as session:
        event = session.query(LabelEvent).one()
        assert (event.who, event.how, event.new, event.took_ms) == ("rita", "page", "errors", 812)
        assert event.id == answer.json["version"]


def test_a_form_does_as_well_as_json(site, rita):
    picture = staged(site.db, site.settings, jpeg("a"))
    rita.get("/account")
    assert rita.post("/label", said(picture, "errors", version="0")).status_code == 200
    assert label_of(site, picture) == "errors"


def test_the_same_post_again_is_one_event(site, rita):
    picture = staged(site.db, site.settings, jpeg("a"))
    first, again = (rita.send("/label", said(picture, "errors", version=0)) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json == again.json
    with site.db.read() as session:
        assert session.query(LabelEvent).count() == 1


def test_a_picture_somebody_labelled_meanwhile_is_409(site, rita):
    picture = staged(site.db, site.settings, jpeg("a"))
    otto = site.sign_in("otto")
    assert otto.send("/label", said(picture, "reports", 1, version=0)).status_code == 200
    answer = rita.send("/label", said(picture, "errors", 2, version=0))
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert label_of(site, picture) == "reports"


def test_a_label_without_csrf_token_is_400(site, rita):
    picture = staged(site.db, site.settings, jpeg("a"))
    assert rita.client.post("/label", json=said(picture, "errors")).status_code == 400
    assert rita.client.post("/label", data=said(picture, "errors")).status_code == 400
    assert label_of(site, picture) is None


def test_a_program_may_label_with_a_token(site):
    picture = staged(site.db, site.settings, jpeg("a"))
    client = site.app.test_client()
    answer = client.post(
        "/label", json=said(picture, "errors"), headers={"Authorization": f"Bearer {site.token('label')}"}
    )
    assert answer.status_code == 200
    assert label_of(site, picture) == "errors"


@pytest.mark.parametrize("role", ["viewer"])
def test_a_viewer_may_not_label(site, role):
    picture = staged(site.db, site.settings, jpeg("a"))
    viewer = site.sign_in("vera", role)
    assert viewer.get("/label").status_code == 403
    assert viewer.send("/label", said(picture, "errors")).status_code == 403


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"sha256": "f" * 64}, 404),
        ({"sha256": "../etc/passwd"}, 400),
        ({"sha256": None}, 400),
        ({"sha256": ["x"]}, 400),
        ({"category": "unheard-of"}, 400),
        ({"category": "' OR 1=1 --"}, 400),
        ({"category": None}, 400),
        ({"category": {"$ne": ""}}, 400),
        ({"key": "short"}, 400),
        ({"key": "k" * 129}, 400),
        ({"key": "' OR 1=1 -- xxxx"}, 400),
        ({"version": "' OR 1=1 --"}, 400),
        ({"version": -1}, 400),
        ({"version": 1.5}, 400),
        ({"version": True}, 400),
        ({"version": 10**40}, 400),
        ({"took_ms": "soon"}, 400),
        ({"suggested_by": "' OR 1=1 --"}, 200),
        ({"suggested_by": {"a": 1}}, 200),
        ({"took_ms": 10**15}, 200),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(site, rita, change, status):
    picture = staged(site.db, site.settings, jpeg("a"))
    answer = rita.send("/label", {**said(picture, "errors"), **change})
    assert answer.status_code == status
    assert (label_of(site, picture) == "errors") == (status == 200)


@pytest.mark.parametrize("path", ["/label", "/label/undo", "/label/next"])
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b"\xff\xfe", b'"x"', b'{"have": 3, "page": "page0001", "key": "x"}']
)
def test_a_body_that_is_no_object_is_400(rita, path, body):
    rita.get("/account")
    headers = {"X-CSRFToken": rita.csrf, "Content-Type": "application/json"}
    assert rita.client.post(path, data=body, headers=headers).status_code == 400


def test_an_erased_picture_cannot_be_labelled(site, rita):
    picture = staged(site.db, site.settings, jpeg("a"))
    with site.db.write() as session:
        session.get(Picture, picture).state = "erased"
    assert rita.send("/label", said(picture, "errors")).status_code == 404


def test_what_was_suggested_is_written_down_from_our_own_row(site, rita):
    picture, model = staged(site.db, site.settings, jpeg("a")), champion(site.db)
    predicted(site.db, picture, model, "screens", 0.6)
    rita.send("/label", said(picture, "errors", suggested_by=model))
    with site.db.read() as session:
        event = session.query(LabelEvent).one()
        assert (event.suggested, event.suggested_by, event.blind) == ("screens", model, False)


def test_a_blind_label_has_no_suggestion_even_if_the_browser_says_so(db, settings_with):
    site = Site(db, settings_with({"review.blind_share": 1.0}), (pages.blueprint,))
    picture, model = staged(site.db, site.settings, jpeg("a")), champion(site.db)
    predicted(site.db, picture, model, "screens", 0.6)
    site.sign_in("rita").send("/label", said(picture, "errors", suggested_by=model))
    with site.db.read() as session:
        event = session.query(LabelEvent).one()
        assert (event.suggested, event.suggested_by, event.blind) == (None, None, True)


# --- undo ---


def test_undo_goes_back_as_far_as_there_is(site, rita):
    hashes = [staged(site.db, site.settings, jpeg(str(i))) for i in range(4)]
    for number, picture in enumerate(hashes):
        rita.send("/label", said(picture, "errors", number))
    for number, picture in enumerate(reversed(hashes)):
        answer = rita.send("/label/undo", {"key": key(100 + number)})
        assert answer.json["item"]["sha256"] == picture
        assert answer.json["was"] == "errors"
        assert label_of(site, picture) is None
    assert rita.send("/label/undo", {"key": key(200)}).status_code == 404


def test_undo_brings_the_label_back_that_was_there_before(site, rita):
    picture = staged(site.db, site.settings, jpeg("a"))
    rita.send("/label", said(picture, "errors", 1))
    rita.send("/label", said(picture, "reports", 2))
    answer = rita.send("/label/undo", {"key": key(3)})
    assert answer.json["item"]["category"] == label_of(site, picture) == "errors"


def test_the_same_undo_again_takes_nothing_more_back(site, rita):
    hashes = [staged(site.db, site.settings, jpeg(str(i))) for i in range(2)]
    for number, picture in enumerate(hashes):
        rita.send("/label", said(picture, "errors", number))
    for _ in range(3):
        assert rita.send("/label/undo", {"key": key(9)}).json["item"]["sha256"] == hashes[1]
    assert label_of(site, hashes[0]) == "errors"


def test_one_takes_back_only_ones_own_words(site, rita):
    picture = staged(site.db, site.settings, jpeg("a"))
    rita.send("/label", said(picture, "errors", 1))
    otto = site.sign_in("otto")
    assert otto.send("/label/undo", {"key": key(2)}).status_code == 404
    assert otto.send("/label/undo", {"key": key(2), "of": key(1)}).status_code == 404
    assert label_of(site, picture) == "errors"


def test_after_undo_the_new_version_is_what_counts(site, rita):
    picture = staged(site.db, site.settings, jpeg("a"))
    first = rita.send("/label", said(picture, "errors", 1, version=0)).json["version"]
    undone = rita.send("/label/undo", {"key": key(2), "of": key(1)}).json["item"]["version"]
    assert undone > first
    assert rita.send("/label", said(picture, "reports", 3, version=first)).status_code == 409
    assert rita.send("/label", said(picture, "reports", 4, version=undone)).status_code == 200


# --- what comes next ---


def test_next_gives_pictures_and_how_far_it_is(site, rita):
    hashes = {staged(site.db, site.settings, jpeg(str(i))) for i in range(3)}
    rita.send("/label", said(min(hashes), "errors"))
    answer = rita.send("/label/next", {"page": "page0001", "n": 10}).json
    assert {item["sha256"] for item in answer["items"]} == hashes - {min(hashes)}
    expected = {"left": 2, "labelled": 1, "until_training": 99, "agrees": None, "kappa": None}
    assert answer["progress"] == expected


@pytest.mark.parametrize("body", [{}, {"page": "x"}, {"page": "a b c d e f"}, {"page": "page0001", "n": "many"}])
def test_next_wants_to_know_which_page_asks(rita, body):
    assert rita.send("/label/next", body).status_code == 400


def test_next_never_gives_more_than_a_page_may_hold(site, rita):
    answer = rita.send("/label/next", {"page": "page0001", "n": 10**9, "have": ["x"] * 10_000})
    assert answer.status_code == 200


# --- pictures ---


@pytest.mark.parametrize(("size", "longest"), [("thumb", 320), ("canonical", 640), ("page", 1280), ("zoom", 2000)])
def test_a_picture_is_encoded_anew_in_each_size(site, rita, size, longest):
    picture = staged(site.db, site.settings, jpeg("a", (2000, 1000)))
    answer = rita.get(f"/picture/{picture}.jpg?size={size}")
    assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(answer.data)).size == (longest, longest // 2)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer.headers["Content-Disposition"] == f'inline; filename="{picture}.jpg"'
    assert answer.data != (site.settings.data_dir / "staging" / picture[:2] / f"{picture}.jpg").read_bytes()


def test_a_rendering_is_kept_and_given_again(site, rita):
    picture = staged(site.db, site.settings, jpeg("a"))
    first = rita.get(f"/picture/{picture}.jpg").data
    kept = pictures.cache_path(site.settings.data_dir, picture, "page")
    assert kept.read_bytes() == first
    kept.write_bytes(b"from the cache")
    assert rita.get(f"/picture/{picture}.jpg").data == b"from the cache"
    pictures.forget(site.settings.data_dir, picture)
    assert rita.get(f"/picture/{picture}.jpg").data == first


def test_renderings_nobody_made_lately_are_swept(site, rita):
    picture = staged(site.db, site.settings, jpeg("a"))
    rita.get(f"/picture/{picture}.jpg")
    made_at = pictures.cache_path(site.settings.data_dir, picture, "page").stat().st_mtime
    assert pictures.tidy(site.settings.data_dir, made_at + 6 * 86400) == 0
    assert pictures.tidy(site.settings.data_dir, made_at + 8 * 86400) == 1


def test_a_cache_that_cannot_be_written_does_not_hide_the_picture(site, rita):
    picture = staged(site.db, site.settings, jpeg("a"))
    (site.settings.data_dir / "cache").write_text("not a folder")
    assert rita.get(f"/picture/{picture}.jpg").status_code == 200


def test_a_script_in_a_picture_does_not_come_out(site, rita):
    data = jpeg("a") + b"<script>alert(1)</script>"
    with_comment = data[:2] + b"\xff\xfe\x00\x1b<script>alert(2)</script>"[:29] + data[2:]
    for evil in (data, with_comment):
        picture = staged(site.db, site.settings, evil)
        answer = rita.get(f"/picture/{picture}.jpg")
        assert b"<script" not in answer.data


def test_a_file_that_is_no_picture_is_422(site, rita):
    picture = staged(site.db, site.settings, b"<html><script>alert(1)</script>" * 20)
    answer = rita.client.get(f"/picture/{picture}.jpg")
    assert (answer.status_code, answer.json["code"]) == (422, "not_an_image")


@pytest.mark.parametrize(
    "path",
    [
        "/picture/../../etc/passwd",
        "/picture/%2e%2e%2f%2e%2e%2fetc%2fpasswd.jpg",
        "/picture//etc/passwd.jpg",
        "/picture/%00.jpg",
        "/picture/" + "a" * 63 + ".jpg",
        "/picture/" + "A" * 64 + ".jpg",
        "/picture/" + "a" * 64 + "%0a.jpg",
        "/picture/" + "a" * 64 + ".jpg",
        "/picture/" + "a" * 64 + "/original",
        "/picture/../original",
        "/image/../../etc/passwd",
    ],
)
def test_only_the_hash_of_a_picture_we_have_finds_anything(site, path):
    assert site.sign_in("ada", "admin").get(path).status_code == 404


def test_an_unknown_size_is_400(site, rita):
    picture = staged(site.db, site.settings, jpeg("a"))
    assert rita.get(f"/picture/{picture}.jpg?size=../../x").status_code == 400


def test_pictures_need_a_session(site):
    picture = staged(site.db, site.settings, jpeg("a"))
    assert site.app.test_client().get(f"/picture/{picture}.jpg").status_code == 302


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"7/plain.jpg", "plain.jpg"),
        (b"7/a\r\nSet-Cookie: x=1.jpg", "a_r_nSet-Cookie%3A%20x%3D1.jpg"),
        ("7/Überweisung \u202egpj.jpg".encode(), "%C3%9Cberweisung%20_u202egpj.jpg"),
        (b'7/caf\xe9".jpg', "caf_xe9%22.jpg"),
        (b"7/" + b"x" * 250, "x" * 150),
    ],
)
def test_the_original_is_a_download_with_a_harmless_name(site, name, shown):
    data = jpeg("a")
    picture = staged(site.db, site.settings, data, name=name)
    answer = site.sign_in("ada", "admin").get(f"/picture/{picture}/original")
    assert answer.data == data
    assert answer.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{shown}"
    assert answer.mimetype == "application/octet-stream"


def test_the_original_is_for_administrators(site, rita):
    picture = staged(site.db, site.settings, jpeg("a"))
    assert rita.get(f"/picture/{picture}/original").status_code == 403
