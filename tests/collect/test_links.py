"""Each kind of link against the real thing: a file beside, a big table, an HTTP server, MariaDB."""

import json
import sqlite3
import time

import pytest
from sqlalchemy import func, select

from tests.support.loopback import Pages
from tests.support.mariadb import MariaDB
from ticketbot.collect import index, ticket
from ticketbot.collect.links import Place
from ticketbot.collect.lookups import LookupFailed, Lookups, NotText
from ticketbot.db.models import TicketIndex
from ticketbot.settings import HttpLookup, PathLookup, SidecarLookup, SqlIndexLookup, SqlLookup


@pytest.fixture
def lookups():
    found = Lookups()
    yield found
    found.close()


@pytest.fixture
def place(lookups, db, tmp_path):
    (tmp_path / "tree").mkdir()
    return Place(lookups, db, "erp", tmp_path / "tree", now=1_000_000.0)


def find(chain, path, place):
    return ticket.find(chain, ticket.variables_of("^(?P<user>[^/]+)/", path, 100, "ab" * 32), place)


# --- sidecar ---


def sidecar(file="{dir}/{stem}.json", **more):
    return SidecarLookup(kind="sidecar", file=file, **more)


def write(place, path, text):
    (place.root / path).parent.mkdir(parents=True, exist_ok=True)
    (place.root / path).write_text(text)


def test_a_sidecar_names_one_ticket_or_many(place):
    write(place, "7/a.json", '{"ticket": {"id": 42}, "also": [1, 2]}')
    assert find([sidecar(json={"ticket": "/ticket/id"})], b"7/a.jpg", place) == ["42"]
    assert find([sidecar(json={"ticket": "/also"})], b"7/a.jpg", place) == ["1", "2"]


def test_a_text_beside_is_read_with_a_pattern(place):
    write(place, "7/a.jpg.meta", "owner=4711\nticket = T-9\n")
    link = sidecar("{path}.meta", pattern=r"(?m)^ticket\s*=\s*(?P<ticket>\S+)")
    assert find([link], b"7/a.jpg", place) == ["T-9"]


@pytest.mark.parametrize("text", [None, "", '{"tick', '{"ticket": null}', "[]", '{"ticket": ""}'])
def test_a_sidecar_that_says_nothing_yet_is_no_ticket(place, text):
    if text is not None:
        write(place, "7/a.json", text)
    assert find([sidecar(json={"ticket": "/ticket"})], b"7/a.jpg", place) == []


def test_a_sidecar_outside_the_tree_is_not_read(place):
    (place.root.parent / "secret.json").write_text('{"ticket": "1"}')
    (place.root / "7").mkdir()
    (place.root / "7" / "a.json").symlink_to(place.root.parent / "secret.json")
    assert find([sidecar("{dir}/../../secret.json", json={"ticket": "/ticket"})], b"7/a.jpg", place) == []
    with pytest.raises(LookupFailed):
        find([sidecar(json={"ticket": "/ticket"})], b"7/a.jpg", place)


def test_what_a_sidecar_tells_serves_the_next_link(place, tmp_path):
    write(place, "7/a.json", '{"article": [5, 6]}')
    erp = sqlite3.connect(tmp_path / "erp.db", isolation_level=None)
    erp.execute("CREATE TABLE article (id INTEGER, ticket INTEGER)")
    erp.executemany("INSERT INTO article VALUES (?, ?)", [(5, 50), (6, 60), (7, 70)])
    sql = SqlLookup(
        kind="sql", url=f"sqlite:///{tmp_path}/erp.db", query="SELECT ticket FROM article WHERE id = :article"
    )
    assert find([sidecar(json={"article": "/article"}), sql], b"7/a.jpg", place) == ["50", "60"]
    erp.close()


# --- the index ---


class Uploads:
    """An ERP's table of uploads, and the link that reads it in pages."""

    def __init__(self, path):
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("CREATE TABLE uploads (id INTEGER PRIMARY KEY, user_id INTEGER, file TEXT, ticket INT)")
        query = "SELECT id AS cursor, user_id AS user, file AS name, ticket FROM uploads"
        query += " WHERE id > :cursor ORDER BY id LIMIT :limit"
        self.link = SqlIndexLookup(kind="sql_index", url=f"sqlite:///{path}", query=query, key=("user", "name"))

    def add(self, *rows):
        self.connection.executemany("INSERT INTO uploads (user_id, file, ticket) VALUES (?, ?, ?)", rows)


@pytest.fixture
def uploads(tmp_path):
    made = Uploads(tmp_path / "erp.db")
    yield made
    made.connection.close()


def test_the_index_answers_for_each_file_and_asks_only_for_what_is_new(place, uploads, monkeypatch):
    uploads.add(*[(number % 7, f"{number}.jpg", number) for number in range(12_000)])
    asked = []
    rows = Lookups.rows
    monkeypatch.setattr(Lookups, "rows", lambda *given, **more: asked.append(given[3]) or rows(*given, **more))
    assert find([uploads.link], b"3/10.jpg", place) == ["10"]
    assert [one["cursor"] for one in asked] == [0, 5000, 10_000]
    assert find([uploads.link], b"4/11.jpg", place) == ["11"]
    assert find([uploads.link], b"4/12.jpg", place) == []  # another user's
    assert len(asked) == 3  # in the index, or read a moment ago
    uploads.add((4, "new.jpg", 99))
    place.now += 3600
    assert find([uploads.link], b"4/new.jpg", place) == ["99"]
    assert asked[-1]["cursor"] == 12_000


def test_a_row_that_was_committed_late_is_read_again(place, uploads):
    uploads.add((1, "a.jpg", 1))
    uploads.connection.execute("INSERT INTO uploads VALUES (9, 1, 'b.jpg', 2)")
    assert find([uploads.link], b"1/b.jpg", place) == ["2"]
    uploads.connection.execute("INSERT INTO uploads VALUES (5, 1, 'late.jpg', 3)")  # began before id 9
    place.now += 60
    assert find([uploads.link], b"1/late.jpg", place) == ["3"]


def test_one_file_on_many_tickets_in_the_index(place, uploads):
    uploads.add((1, "a.jpg", 1), (1, "a.jpg", 2), (1, "a.jpg", None))
    assert find([uploads.link], b"1/a.jpg", place) == ["1", "2"]


def test_a_key_of_two_columns_cannot_be_mixed_up():
    assert index.key_of(["1", "2/a"]) != index.key_of(["1/2", "a"])
    assert index.key_of([1, "a"]) == index.key_of(["1", "a"])


def test_names_that_are_no_text_are_not_looked_up(place, uploads):
    with pytest.raises(NotText):
        find([uploads.link], b"1/\xff.jpg", place)


def test_a_query_without_its_columns_is_said(place, uploads):
    query = "SELECT id AS cursor, file AS name, ticket FROM uploads WHERE id > :cursor ORDER BY id LIMIT :limit"
    uploads.add((1, "a.jpg", 1))
    with pytest.raises(LookupFailed, match="no column 'user'"):
        find([uploads.link.model_copy(update={"query": query})], b"1/a.jpg", place)


def test_an_index_read_twice_has_no_doubles(place, uploads, db):
    uploads.add(*[(1, f"{number}.jpg", number) for number in range(20)])
    for _ in range(3):
        index.refresh(db, "erp.0", uploads.link, place.lookups, place.now)
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(TicketIndex)) == 20


# --- http ---


@pytest.fixture
def answers():
    with Pages() as found:
        yield found


def http(answers, url="/files/{file}", **more):
    given = {"json": {"ticket": "/issues/*/id"}, "headers": {"X-Key": "k"}, **more}
    return HttpLookup(kind="http", url=answers.url + url, **given)


FILE = PathLookup(kind="path", pattern=r"/file(?P<file>\d+)$")


def test_a_server_names_the_tickets(place, answers):
    answers.pages["/files/12"] = (200, {}, json.dumps({"issues": [{"id": 7}, {"id": 8}, {}]}).encode())
    assert find([FILE, http(answers)], b"0/file12", place) == ["7", "8"]
    assert answers.asked[0][1]["X-Key"] == "k"


def test_a_value_in_an_address_is_quoted(place, answers):
    answers.pages["/files/a%2Fb%3Fc%26d"] = (200, {}, b'{"issues": [{"id": 1}]}')
    link = http(answers, json={"ticket": "/issues/*/id"})
    assert ticket.find([link], {"path": "x", "file": "a/b?c&d"}, place) == ["1"]


def test_not_there_yet_is_no_ticket_and_anything_else_a_failure(place, answers):
    assert find([FILE, http(answers)], b"0/file1", place) == []
    answers.pages |= {"/files/2": (500, {}, b""), "/files/3": (200, {}, b"<html>")}
    answers.stuck.add("/files/4")
    for number in (2, 3):
        with pytest.raises(LookupFailed):
            find([FILE, http(answers)], f"0/file{number}".encode(), place)
    began = time.monotonic()
    with pytest.raises(LookupFailed, match="fetch_timeout"):
        find([FILE, http(answers, timeout_s=0.3)], b"0/file4", place)
    assert time.monotonic() - began < 2


def test_a_link_that_finds_nothing_leaves_it_to_the_next(place, answers, tmp_path):
    write(place, "0/file5.json", '{"ticket": 5}')
    assert find([FILE, http(answers), sidecar(json={"ticket": "/ticket"})], b"0/file5", place) == ["5"]


def test_a_variable_nobody_gives_is_said(place, answers):
    with pytest.raises(LookupFailed, match=r"\{file\}"):
        find([http(answers)], b"0/x.jpg", place)


# --- MariaDB ---


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory):
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as found:
        found.execute("CREATE TABLE uploads (user_id INT, file VARCHAR(200), ticket INT)")
        found.execute("INSERT INTO uploads VALUES (1, 'a.jpg', 7)")
        yield found


def test_mariadb_is_asked_and_never_written_to(lookups, mariadb):
    ask = "SELECT ticket FROM uploads WHERE user_id = :user AND file = :name"
    assert lookups.ask(mariadb.url, ask, {"user": "1", "name": "a.jpg"}, 5) == [7]
    with pytest.raises(LookupFailed, match="READ ONLY"):
        lookups.ask(mariadb.url, "INSERT INTO uploads SELECT 1, 'x', 9 RETURNING ticket", {}, 5)
    assert mariadb.execute("SELECT count(*) FROM uploads") == ((1,),)


def test_mariadb_has_a_time_limit(lookups, mariadb):
    began = time.monotonic()
    with pytest.raises(LookupFailed):
        lookups.ask(mariadb.url, "SELECT count(*) FROM seq_1_to_100000000 a JOIN seq_1_to_1000 b", {}, 0.3)
    assert time.monotonic() - began < 5
