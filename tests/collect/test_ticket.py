"""Whose ticket is this file?"""

import hashlib
import sqlite3
import time

import pytest
from sqlalchemy import create_engine, select, text, update

from tests.collect.conftest import JPEG
from ticketbot.collect import lookups as lookups_module
from ticketbot.collect import ticket
from ticketbot.collect.lookups import LookupFailed, Lookups, NotText
from ticketbot.db.models import File, FileTicket
from ticketbot.errors import SettingsError
from ticketbot.settings import PathLookup, SqlLookup

HELPDESK = PathLookup(kind="path", pattern=r"^helpdesk/attachments/(?P<queue>[^/]+)-(?P<ticket>\d+)-")
SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


@pytest.fixture
def lookups():
    found = Lookups()
    yield found
    found.close()


@pytest.fixture
def erp(tmp_path):
    """(connection, url) of the ERP's own SQLite database; what is executed is committed at once."""
    path = tmp_path / "erp's own.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE uploads (user_id INTEGER, file TEXT, ticket INTEGER)")
    yield connection, f"sqlite:///{path}"
    connection.close()


def sql(url, query="SELECT ticket FROM uploads WHERE user_id = :user AND file = :name", timeout_s=5.0):
    return {"kind": "sql", "url": url, "query": query, "timeout_s": timeout_s}


def variables(path, source_path="^(?P<user>[^/]+)/"):
    return ticket.variables_of(source_path, path, 100, "ab" * 32)


# --- what a lookup may use ---


def test_variables_of_a_path():
    assert variables(b"12/sub dir/image.old.jpg") == {
        "user": "12",
        "name": "image.old.jpg",
        "stem": "image.old",
        "dir": "12/sub dir",
        "path": "12/sub dir/image.old.jpg",
        "size": 100,
        "sha256": "ab" * 32,
        "mtime": 0.0,
        "sha1": "",
    }


def test_a_path_at_the_root_has_no_user_and_an_empty_dir():
    found = variables(b"a.jpg")
    assert (found["dir"], found["name"], "user" in found) == ("", "a.jpg", False)


def test_the_path_alone_names_the_ticket(lookups):
    path = b"helpdesk/attachments/support-42-0b1e/7/a.jpg"
    assert ticket.find([HELPDESK], variables(path), lookups) == ["42"]


def test_a_path_that_is_no_text_can_still_name_the_ticket(lookups):
    path = b"helpdesk/attachments/support-42-0b1e/7/\xff.jpg"
    assert ticket.find([HELPDESK], variables(path), lookups) == ["42"]


def test_a_path_that_does_not_match_names_none(lookups):
    assert ticket.find([HELPDESK], variables(b"other/a.jpg"), lookups) == []


def test_the_first_link_that_finds_tickets_wins(lookups, erp):
    connection, url = erp
    connection.execute("INSERT INTO uploads VALUES (12, 'a.jpg', 7)")
    other = PathLookup(kind="path", pattern=r"/(?P<ticket>a)\.jpg$")
    chain = [HELPDESK, SqlLookup(**sql(url)), other]
    assert ticket.find(chain, variables(b"12/a.jpg"), lookups) == ["7"]
    assert ticket.find(chain, variables(b"13/a.jpg"), lookups) == ["a"]


def test_groups_of_a_path_lookup_serve_the_next_link(lookups, erp):
    connection, url = erp
    connection.execute("INSERT INTO uploads VALUES (99, 'a.jpg', 7)")
    article = PathLookup(kind="path", pattern=r"/(?P<article>\d+)/(?P<ticket>never)?")
    link = SqlLookup(**sql(url, "SELECT ticket FROM uploads WHERE user_id = :article"))
    assert ticket.find([article, link], variables(b"2026/99/a.jpg"), lookups) == ["7"]


# --- asking somebody else's database ---


def test_one_file_on_many_tickets_each_once(lookups, erp):
    connection, url = erp
    connection.executemany("INSERT INTO uploads VALUES (1, 'a.jpg', ?)", [(7,), (8,), (7,), (None,)])
    assert ticket.find([SqlLookup(**sql(url))], variables(b"1/a.jpg"), lookups) == ["7", "8"]


@pytest.mark.parametrize("name", ["x' OR '1'='1.jpg", "'); DROP TABLE uploads; --.jpg", "%.jpg", ":user.jpg", "ü.jpg"])
def test_a_hostile_name_is_a_bound_value(lookups, erp, name):
    connection, url = erp
    connection.execute("INSERT INTO uploads VALUES (1, 'a.jpg', 7)")
    connection.execute("INSERT INTO uploads VALUES (1, ?, 8)", (name,))
    assert ticket.find([SqlLookup(**sql(url))], variables(f"1/{name}".encode()), lookups) == ["8"]


@pytest.mark.parametrize(
    "query",
    [
        "WITH x AS (SELECT 1) INSERT INTO uploads SELECT 1, 'x', 1 RETURNING ticket",
        "WITH x AS (SELECT 1) DELETE FROM uploads RETURNING ticket",
    ],
)
def test_sqlite_is_never_written_to(lookups, erp, query):
    connection, url = erp
    connection.execute("INSERT INTO uploads VALUES (1, 'a.jpg', 7)")
    with pytest.raises(LookupFailed, match="readonly"):
        lookups.ask(url, query, {}, 5)
    assert connection.execute("SELECT count(*) FROM uploads").fetchone() == (1,)


def test_a_missing_database_is_not_made(lookups, tmp_path):
    with pytest.raises(LookupFailed, match="unable to open"):
        lookups.ask(f"sqlite:///{tmp_path / 'none.db'}", "SELECT 1", {}, 5)
    assert not (tmp_path / "none.db").exists()


def test_sqlite_has_a_time_limit(lookups, erp):
    began = time.monotonic()
    with pytest.raises(LookupFailed, match="interrupted"):
        lookups.ask(erp[1], SLOW, {}, 0.2)
    assert time.monotonic() - began < 3


def test_a_variable_that_no_pattern_gives_is_said(lookups, erp):
    with pytest.raises(LookupFailed, match=":company"):
        lookups.ask(erp[1], "SELECT :company", {"user": "1"}, 5)


def test_rows_without_end_are_a_wrong_query(lookups, erp):
    connection, url = erp
    connection.executemany("INSERT INTO uploads VALUES (1, 'a.jpg', ?)", [(number,) for number in range(101)])
    with pytest.raises(LookupFailed, match="more than 100"):
        lookups.ask(url, "SELECT ticket FROM uploads", {}, 5)


@pytest.mark.parametrize("name", ["\udcff.jpg", "a\0.jpg"])
def test_what_is_no_text_is_not_asked_with(lookups, erp, name):
    with pytest.raises(NotText):
        lookups.ask(erp[1], "SELECT :name", {"name": name}, 5)
    assert lookups.ask(erp[1], "SELECT :user", {"user": "1", "name": name}, 5) == ["1"]


def test_other_databases_are_refused_by_name(lookups):
    with pytest.raises(SettingsError, match="not oracle"):
        lookups.ask("oracle://x/y", "SELECT 1", {}, 5)


def test_an_error_holds_neither_password_nor_statement(lookups):
    with pytest.raises(LookupFailed) as caught:
        lookups.ask("postgresql+psycopg://u:geheim@127.0.0.1:1/x", "SELECT 'private'", {}, 1)
    assert "geheim" not in str(caught.value) and "private" not in str(caught.value)


@pytest.mark.postgres
class TestPostgres:
    @pytest.fixture(autouse=True)
    def uploads(self, pg_url):
        self.url = pg_url
        engine = create_engine(pg_url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE uploads (user_id integer, file text, ticket numeric)"))
            connection.execute(text("INSERT INTO uploads VALUES (1, 'a.jpg', 7)"))
        yield
        engine.dispose()

    def test_the_users_folder_finds_an_integer_column(self, lookups):
        assert ticket.find([SqlLookup(**sql(self.url))], variables(b"1/a.jpg"), lookups) == ["7"]

    def test_a_folder_that_can_be_no_user_finds_nothing(self, lookups):
        for path in (b"thumbs/a.jpg", b"99999999999999999999/a.jpg"):
            assert ticket.find([SqlLookup(**sql(self.url))], variables(path), lookups) == []

    def test_a_value_whose_place_does_not_say_its_type_is_a_text(self, lookups):
        query = "SELECT ticket FROM uploads WHERE CONCAT(:user, '/', file) = :path"
        assert ticket.find([SqlLookup(**sql(self.url, query))], variables(b"1/a.jpg"), lookups) == ["7"]

    @pytest.mark.parametrize(
        "query", ["WITH x AS (DELETE FROM uploads RETURNING ticket) SELECT * FROM x", "SELECT nextval('audit_id_seq')"]
    )
    def test_it_is_never_written_to(self, lookups, query):
        with pytest.raises(LookupFailed, match="read-only transaction"):
            lookups.ask(self.url, query, {}, 5)
        assert lookups.ask(self.url, "SELECT count(*) FROM uploads", {}, 5) == [1]

    def test_it_has_a_time_limit(self, lookups):
        began = time.monotonic()
        with pytest.raises(LookupFailed, match="statement timeout"):
            lookups.ask(self.url, "SELECT pg_sleep(30)", {}, 0.2)
        assert time.monotonic() - began < 5
        assert lookups.ask(self.url, "SELECT 1", {}, 5) == [1]


# --- from the file to its tickets ---


def staged(tree, *names):
    tree.past_history()
    for name in names:
        tree.write(name)
    tree.collect()
    return tree


def resolve(tree, lookups, after_s=0.0, **options):
    tree.now += after_s
    return ticket.resolve(tree.db, tree.settings.sources, now=tree.now, lookups=lookups, **options)


def tickets(tree):
    with tree.db.read() as session:
        query = select(File.path, FileTicket.ticket, FileTicket.endpoint).join(File, File.id == FileTicket.file_id)
        return sorted((bytes(path), number, endpoint) for path, number, endpoint in session.execute(query))


def test_a_staged_file_gets_its_tickets_and_it_is_said_in_the_same_transaction(collector, lookups, erp):
    connection, url = erp
    connection.executemany("INSERT INTO uploads VALUES (1, 'a.jpg', ?)", [(7,), (8,)])
    desk = {"endpoints.desk.url": "http://127.0.0.1:1/", "sources.erp.endpoint": "desk"}
    tree = staged(collector({"sources.erp.ticket": [sql(url)], **desk}), "1/a.jpg")
    told = []

    def on_known(session, sha256, now):
        rows = session.scalars(select(FileTicket.ticket).join(File, File.id == FileTicket.file_id))
        told.append((sha256, sorted(rows)))

    assert resolve(tree, lookups, on_known=on_known).resolved == 1
    assert tickets(tree) == [(b"1/a.jpg", "7", "desk"), (b"1/a.jpg", "8", "desk")]
    file = tree.file(b"1/a.jpg")
    assert told == [(file.sha256, ["7", "8"])]
    assert (file.resolve_due_at, file.reason) == (None, None)
    assert resolve(tree, lookups, on_known=on_known).resolved == 0


def test_what_is_in_the_file_and_when_it_was_written_can_be_asked_for(collector, lookups, erp):
    connection, url = erp
    same = "file = :sha1 || ' ' || :sha256 || ' ' || :size AND user_id = CAST(:mtime AS INTEGER)"
    query = f"SELECT ticket FROM uploads WHERE {same}"
    tree = staged(collector({"sources.erp.ticket": [sql(url, query)]}), "1/a.jpg")
    file = tree.root / "1" / "a.jpg"
    content, stat = file.read_bytes(), file.stat()
    sha1, sha256 = hashlib.sha1(content).hexdigest(), hashlib.sha256(content).hexdigest()
    row = (int(stat.st_mtime), f"{sha1} {sha256} {stat.st_size}")
    connection.execute("INSERT INTO uploads VALUES (?, ?, 7)", row)
    assert resolve(tree, lookups).resolved == 1
    assert [number for _, number, _ in tickets(tree)] == ["7"]


def test_a_file_that_is_gone_has_no_digest_and_one_that_is_a_folder_is_a_failed_lookup(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    assert ticket.digest_of(tmp_path, b"1/none.jpg", "sha1") == ticket.digest_of(tmp_path, b"none.jpg", "sha1") == ""
    with pytest.raises(LookupFailed, match="sha1"):
        ticket.digest_of(tmp_path, b"folder.jpg", "sha1")


def test_what_on_known_cannot_do_is_not_half_done(collector, lookups):
    tree = staged(collector({"sources.erp.require_ticket": False}), "1/a.jpg")

    def on_known(*_):
        raise RuntimeError("the outbox failed")

    with pytest.raises(RuntimeError):
        resolve(tree, lookups, on_known=on_known)
    assert tree.file(b"1/a.jpg").resolve_due_at is not None


def test_a_source_without_tickets_needs_no_lookup(collector, lookups):
    tree = staged(collector({"sources.erp.require_ticket": False}), "1/a.jpg")
    told = []
    assert resolve(tree, lookups, on_known=lambda session, sha256, now: told.append(sha256)).resolved == 1
    assert told == [tree.file(b"1/a.jpg").sha256] and tickets(tree) == []


def test_no_ticket_yet_is_asked_again_and_given_up_at_the_end(collector, lookups, erp):
    tree = collector({"sources.erp.ticket": [sql(erp[1])], "sources.erp.ticket_retry_s": [10, 60]})
    staged(tree, "1/a.jpg")
    assert resolve(tree, lookups).waiting == 1
    assert (resolve(tree, lookups, 9).waiting, resolve(tree, lookups, 2).waiting) == (0, 1)
    assert resolve(tree, lookups, 50).waiting == 0
    assert resolve(tree, lookups, 11).given_up == 1
    file = tree.file(b"1/a.jpg")
    assert (file.state, file.reason, file.resolve_due_at, file.resolve_attempts) == ("staged", "no_ticket", None, 3)


def test_a_ticket_saved_after_the_upload_is_found(collector, lookups, erp):
    connection, url = erp
    tree = staged(collector({"sources.erp.ticket": [sql(url)]}), "1/a.jpg")
    assert resolve(tree, lookups).waiting == 1
    assert tree.file(b"1/a.jpg").reason == "no_ticket"
    connection.execute("INSERT INTO uploads VALUES (1, 'a.jpg', 7)")
    assert resolve(tree, lookups, 11).resolved == 1
    assert tree.file(b"1/a.jpg").reason is None


def test_a_name_that_is_no_text_is_given_up_with_its_reason(collector, lookups, erp):
    tree = staged(collector({"sources.erp.ticket": [sql(erp[1])]}), "1/\udcff.jpg")
    assert resolve(tree, lookups).given_up == 1
    assert tree.file(b"1/\xff.jpg").reason == "name_not_text"


def test_a_database_that_is_down_uses_up_no_try_and_is_left_alone_for_the_round(
    collector, lookups, tmp_path, monkeypatch
):
    url = f"sqlite:///{tmp_path / 'down.db'}"
    tree = staged(collector({"sources.erp.ticket": [sql(url)]}), *(f"1/{number}.jpg" for number in range(10)))
    asked = []
    real = Lookups.rows
    monkeypatch.setattr(Lookups, "rows", lambda *arguments: asked.append(1) or real(*arguments))
    report = resolve(tree, lookups)
    assert (report.failed, report.left, len(asked)) == (3, 7, 3)
    assert "unable to open" in report.trouble
    with tree.db.read() as session:
        assert {*session.scalars(select(File.resolve_attempts))} == {0}
    connection = sqlite3.connect(tmp_path / "down.db")
    connection.executescript("CREATE TABLE uploads (user_id, file, ticket); INSERT INTO uploads SELECT '1', '1.jpg', 7")
    connection.close()
    resolve(tree, lookups, 61)
    assert tickets(tree) == [(b"1/1.jpg", "7", "")]


def test_another_process_was_quicker(collector, lookups, monkeypatch):
    tree = staged(collector({"sources.erp.require_ticket": False}), "1/a.jpg")
    due = ticket._due

    def due_and_taken(*arguments):
        files = due(*arguments)
        with tree.db.write() as session:
            session.execute(update(File).values(resolve_due_at=None))
        return files

    monkeypatch.setattr(ticket, "_due", due_and_taken)
    told = []
    assert resolve(tree, lookups, on_known=lambda *_: told.append(1)).resolved == 0
    assert told == []


def test_new_content_replaces_the_old_tickets(collector, lookups, erp):
    connection, url = erp
    connection.execute("INSERT INTO uploads VALUES (1, 'a.jpg', 7)")
    tree = staged(collector({"sources.erp.ticket": [sql(url)]}), "1/a.jpg")
    resolve(tree, lookups)
    connection.execute("UPDATE uploads SET ticket = 8")
    tree.write("1/a.jpg", JPEG + b"other")
    tree.scan(5, sweep=True)
    tree.stage(10)
    resolve(tree, lookups)
    assert tickets(tree) == [(b"1/a.jpg", "8", "")]


def sql_index(url):
    columns = "rowid AS cursor, user_id AS user, file AS name, ticket"
    query = f"SELECT {columns} FROM uploads WHERE rowid > :cursor ORDER BY rowid LIMIT :limit"
    return {"kind": "sql_index", "url": url, "query": query, "key": ["user", "name"]}


def test_a_ticket_that_gets_equal_bytes_later_is_found_though_no_file_is_new(collector, lookups, erp):
    connection, url = erp
    insert = "INSERT INTO uploads VALUES (?, ?, ?)"
    connection.executemany(insert, [(1, "a.jpg", 7), (1, "b.jpg", 7)])
    tree = staged(collector({"sources.erp.ticket": [sql_index(url)]}), "1/a.jpg", "1/b.jpg")
    assert resolve(tree, lookups).resolved == 2
    told = []

    def look(after_s):
        return resolve(tree, lookups, after_s, on_known=lambda session, sha256, now: told.append(sha256)).resolved

    connection.execute(insert, (1, "a.jpg", 8))
    assert look(60) == 0  # the cursor is too young: transactions that began before it may still be open
    assert look(600) == 2  # all that are on ticket 7: which of them has this key, only their lookup knows
    assert tickets(tree) == [(b"1/a.jpg", "7", ""), (b"1/a.jpg", "8", ""), (b"1/b.jpg", "7", "")]
    assert tree.file(b"1/a.jpg").sha256 in told
    connection.execute(insert, (1, "b.jpg", 9))
    connection.execute(insert, (1, "c.jpg", 7))  # another picture of a ticket we know asks nobody again
    assert look(30) == 0  # read less than a minute ago
    assert look(30) == 2
    assert tickets(tree)[2:] == [(b"1/b.jpg", "7", ""), (b"1/b.jpg", "9", "")]
    assert look(600) == 0


def test_an_index_that_cannot_be_read_keeps_no_file_waiting(collector, lookups, erp, caplog):
    connection, url = erp
    connection.execute("INSERT INTO uploads VALUES (1, 'a.jpg', 7)")
    tree = staged(collector({"sources.erp.ticket": [sql_index(url)]}), "1/a.jpg")
    resolve(tree, lookups)
    connection.execute("ALTER TABLE uploads RENAME TO moved")
    report = resolve(tree, lookups, 1200)
    assert (report.failed, report.trouble) == (0, None) and "the ticket index was not read" in caplog.text


def test_engines_are_opened_once_a_url(lookups, erp, monkeypatch):
    opened = []
    real = lookups_module._open
    monkeypatch.setattr(lookups_module, "_open", lambda url, timeout_s: opened.append(url) or real(url, timeout_s))
    for _ in range(3):
        lookups.ask(erp[1], "SELECT 1", {}, 5)
    assert opened == [erp[1]]


@pytest.mark.parametrize(("attempts", "due"), [(1, 1010), (2, 1060), (3, None)])
def test_waits_are_used_in_order(attempts, due):
    assert ticket.next_try(attempts, (10, 60), 1000) == due
