import io
import json
from collections import deque
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.site_of_files import serving
from tests.trainer.conftest import draw
from ticketbot.errors import AddressRefused, FetchError, ImageError, UsageError
from trainer.cli import cli
from trainer.data import urls
from trainer.data.urls import Reply, Wish
from trainer.progress import Progress, shown

HERE = ("127.0.0.0/8",)


def picture(number, kind="dots", format_="JPEG"):
    stream = io.BytesIO()
    draw(kind, number).save(stream, format_)
    return 200, "image/jpeg", stream.getvalue()


@pytest.fixture
def site():
    pages = {f"/{number}.jpg": picture(number) for number in range(4)}
    pages |= {
        "/same.jpg": picture(0),
        "/a,b.png": picture(9, format_="PNG"),
        "/page.jpg": (200, "image/jpeg", b"<html>no picture here</html>"),
        "/inside.jpg": "http://169.254.169.254/latest/meta-data",
        "/busy.jpg": (503, "text/plain", b""),
    }
    with serving(pages) as site:
        yield site


def listed(folder, name, *lines):
    path = folder / f"urls_{name}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def collect(lists, out, **more):
    return urls.collect(lists, out, Progress(quiet=True), allow=HERE, **more)


def files(out):
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*") if path.name != urls.JOURNAL)


def test_what_is_a_picture_is_kept_byte_for_byte_under_its_hash(site, tmp_path):
    path = listed(tmp_path, "errors", f"{site.url}/0.jpg", f"{site.url}/a,b.png")
    found = collect([path], tmp_path / "out")["errors"]
    assert {one.outcome for one in found} == {"taken"} and {Path(one.file).suffix for one in found} == {".jpg", ".png"}
    for one, page in zip(found, ("/0.jpg", "/a,b.png"), strict=True):
        assert (tmp_path / "out" / one.file).read_bytes() == site.pages[page][2]
        assert one.file == f"errors/{one.sha256[:24]}{Path(one.file).suffix}"


def test_the_report_says_what_became_of_each_address(site, tmp_path):
    names = ("0.jpg", "same.jpg", "page.jpg", "inside.jpg", "none.jpg", "busy.jpg")
    more = ("file:///etc/hostname", "http://10.0.0.1/a.jpg", "no address", "http://user:secret@127.0.0.1/")
    path = listed(tmp_path, "errors", *(f"{site.url}/{name}" for name in names), *more)
    found = collect([path], tmp_path / "out", most=50)["errors"]
    pairs = [(one.outcome, one.code.split(" ")[0]) for one in found]
    # Which of two equal pictures comes first is the network's business.
    assert sorted(pairs[:2]) == [("duplicate", "of"), ("taken", "")]
    assert pairs[2:] == [
        ("not a picture", "not_an_image"),
        ("refused", "address_refused"),
        ("gone", "upstream_status"),
        ("gone", "upstream_status"),
        ("refused", "scheme_refused"),
        ("refused", "address_refused"),
        ("refused", "url_malformed"),
        ("refused", "userinfo_refused"),
    ]
    assert len(files(tmp_path / "out")) == 1
    assert urls.summary(found)["refused"]["address_refused"] == 2


def test_a_second_run_fetches_nothing_and_says_the_same(site, tmp_path):
    path = listed(tmp_path, "errors", *(f"{site.url}/{name}" for name in ("0.jpg", "page.jpg", "none.jpg")))
    first = collect([path], tmp_path / "out")
    asked, journal = dict(site.asked), (tmp_path / "out" / urls.JOURNAL).read_text()
    (tmp_path / "out" / first["errors"][0].file).unlink()  # a person threw it out: it does not come back
    assert collect([path], tmp_path / "out") == first
    assert (site.asked, (tmp_path / "out" / urls.JOURNAL).read_text()) == (asked, journal)


def test_a_killed_run_goes_on_where_it_was(site, tmp_path):
    path = listed(tmp_path, "errors", *(f"{site.url}/{number}.jpg" for number in range(4)))
    collect([path], tmp_path / "out", most=2)
    with open(tmp_path / "out" / urls.JOURNAL, "a") as journal:
        journal.write('{"category": "errors", "url": "http')  # the kill came while it wrote
    found = collect([path], tmp_path / "out")
    assert set(site.asked.values()) == {1} and [one.outcome for one in found["errors"]] == ["taken"] * 4
    lines = (tmp_path / "out" / urls.JOURNAL).read_text().splitlines()
    assert len(lines) == 5 and json.loads(lines[-1])["outcome"] == "taken"


def test_a_picture_that_was_kept_but_not_noted_is_taken_again_to_the_same_name(site, tmp_path):
    path = listed(tmp_path, "errors", f"{site.url}/0.jpg")
    first = collect([path], tmp_path / "out")
    (tmp_path / "out" / urls.JOURNAL).unlink()
    assert collect([path], tmp_path / "out") == first and len(files(tmp_path / "out")) == 1


def test_an_address_of_two_classes_is_fetched_for_the_first(site, tmp_path):
    lists = [listed(tmp_path, name, f"{site.url}/0.jpg") for name in ("errors", "reports")]
    found = collect(lists, tmp_path / "out")
    assert [(found[name][0].outcome, found[name][0].code) for name in found] == [
        ("taken", ""),
        ("duplicate", "also in errors"),
    ]
    assert site.asked == {"/0.jpg": 1}


def test_what_failed_is_asked_again_only_on_request(tmp_path):
    path, replies = listed(tmp_path, "errors", "http://a.example/1.jpg"), deque(["late", picture(1)[2]])

    def get(url, *, allow):
        if (reply := replies.popleft()) == "late":
            raise FetchError("fetch_timeout")
        return reply

    assert collect([path], tmp_path / "out", get=get)["errors"][0].outcome == "failed"
    assert collect([path], tmp_path / "out", get=get)["errors"][0].outcome == "failed"
    assert collect([path], tmp_path / "out", get=get, again=True)["errors"][0].outcome == "taken"


def test_a_host_gets_no_more_connections_than_allowed(tmp_path):
    with serving({f"/{number}.jpg": picture(number) for number in range(8)}, delay_s=0.1) as site:
        path = listed(tmp_path, "errors", *(f"{site.url}/{number}.jpg" for number in range(8)))
        collect([path], tmp_path / "out", per_host=2)
        assert site.most_at_once == 2


def test_a_slow_host_holds_up_no_other():
    wishes = [Wish("errors", f"http://slow.example/{number}") for number in range(5)]
    wishes += [Wish("errors", f"http://{number}.example/") for number in range(5)]
    waiting, running = {}, urls.Counter()
    for wish in wishes:
        waiting.setdefault(wish.host, deque()).append(wish)
    started = list(urls._startable(waiting, running, at_once=6, per_host=2))
    assert [wish.host for wish in started].count("slow.example") == 2 and len(started) == 6


def test_every_wish_gets_its_reply():
    wishes = [Wish("errors", f"http://{number % 3}.example/{number}") for number in range(20)]
    found = dict(urls.in_parallel(wishes, lambda wish: Reply(code=wish.url), 4, 1))
    assert {wish: reply.code for wish, reply in found.items()} == {wish: wish.url for wish in wishes}


def test_two_programs_do_not_fetch_into_one_folder(site, tmp_path):
    (tmp_path / "out").mkdir()
    path = listed(tmp_path, "errors", f"{site.url}/0.jpg")
    with urls._journal(tmp_path / "out"), pytest.raises(UsageError, match="another trainer"):
        collect([path], tmp_path / "out")


@pytest.mark.parametrize("name", ["urls_errors.csv", "urls_A-b_9.txt", f"urls_{'a' * 40}.csv"])
def test_a_list_names_its_class(name):
    assert urls.class_of(Path(name)) == name[5:-4]


@pytest.mark.parametrize(
    "name",
    [
        "urls_../../x.csv",
        "urls_..csv",
        "urls_.csv",
        "urls_a b.csv",
        "urls_ä.csv",
        f"urls_{'a' * 41}.csv",
        "urls_unsure.csv",
        "urls_junk.csv",
        "errors.csv",
        "urls_a.csv\n",
        "urls_a\0.csv",
        "urls_=a.csv",
    ],
)
def test_a_list_with_another_name_is_refused(name):
    with pytest.raises(UsageError, match="call it urls_<class>"):
        urls.class_of(Path(name))


def test_a_list_is_one_address_a_line(tmp_path):
    path = tmp_path / "urls_a.csv"
    path.write_bytes(
        '\ufeffurl\r\nhttp://a/1,2\r\n\r\n "http://a/""3""" \r\nhttp://a/1,2\r\n'.encode() + b"http://a/\xff\n"
    )
    assert urls.addresses(path) == ["http://a/1,2", 'http://a/"3"', "http://a/\ufffd"]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ImageError("not_an_image"), "not a picture"),
        (AddressRefused("scheme_refused"), "refused"),
        (FetchError("upstream_status"), "gone"),
        (FetchError("fetch_timeout"), "failed"),
        (FetchError("body_too_large"), "refused"),
        (FetchError("too_many_redirects"), "refused"),
    ],
)
def test_each_error_has_its_word(error, outcome):
    assert urls.outcome_of(error) == outcome


def test_what_is_shown_moves_no_cursor():
    assert shown("http://a/\x1b[2J\u202e" + "x" * 300) == ("http://a/?[2J?" + "x" * 300)[:200]


def test_the_command_reports_and_ends_with_1_when_a_class_has_nothing(site, tmp_path):
    lists = [listed(tmp_path, "reports", f"{site.url}/0.jpg"), listed(tmp_path, "errors", "file:///etc/hostname")]
    arguments = ["urls", *map(str, lists), "--out", str(tmp_path / "out"), "--allow", "127.0.0.0/8"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 1
    assert "errors: refused scheme_refused file:///etc/hostname" in done.stderr
    assert "errors: 0 taken, 0 not a picture, 1 refused (scheme_refused 1), 0 gone" in done.stdout
    assert [name.split("/")[0] for name in files(tmp_path / "out")] == ["reports"]


def test_an_allow_list_entry_that_is_none_is_said(site, tmp_path):
    path = listed(tmp_path, "errors", f"{site.url}/0.jpg")
    done = CliRunner().invoke(cli, ["urls", str(path), "--out", str(tmp_path / "out"), "--allow", "not a host"])
    assert "is no allow-list entry" in str(done.exception)
