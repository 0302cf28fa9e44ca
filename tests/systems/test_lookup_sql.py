"""The lookup SQL of each preset, on tables with the names and types of the system's own schema (only columns used).

Where they were read: zammad db/migrate/20120101000010_create_base.rb and 20120101000020_create_ticket.rb; glpi
install/mysql/glpi-empty.sql; rt etc/schema.Pg, schema.mysql; redmine db/migrate/*attachments*; odoo
odoo/addons/base/models/ir_attachment.py; frappe core/doctype/file and communication; trytond ir/attachment.py; znuny
scripts/database/schema.xml; freescout database/migrations; osTicket setup/inc/streams/core/install-mysql.sql.
"""

import tomllib

import pytest
from sqlalchemy import create_engine

from tests.support.mariadb import MariaDB
from ticketbot.collect import ticket
from ticketbot.collect.links import Place
from ticketbot.collect.lookups import Lookups
from ticketbot.db import connect
from ticketbot.db.models import Base
from ticketbot.systems import preset

SHA = "0a1b2c" + "d" * 58
# name -> (kind of database, tables and rows, path of the file, its tickets)
TRIED = {
    "zammad": (
        "postgres",
        """CREATE TABLE store_objects (id bigserial PRIMARY KEY, name varchar(250) NOT NULL);
        CREATE TABLE store_files (id bigserial PRIMARY KEY, sha varchar(128) NOT NULL, provider varchar(20));
        CREATE TABLE stores (id bigserial PRIMARY KEY, store_object_id bigint NOT NULL, store_file_id bigint NOT NULL,
            o_id bigint NOT NULL, filename varchar(250) NOT NULL);
        CREATE TABLE ticket_articles (id bigserial PRIMARY KEY, ticket_id bigint NOT NULL);
        INSERT INTO store_objects (name) VALUES ('User'), ('Ticket::Article');
        INSERT INTO store_files (sha, provider) VALUES ('{sha}', 'File'), ('other', 'File');
        INSERT INTO ticket_articles (ticket_id) VALUES (7), (8), (9);
        INSERT INTO stores (store_object_id, store_file_id, o_id, filename)
            VALUES (2, 1, 1, 'a.jpg'), (2, 1, 2, 'b.jpg'), (2, 2, 3, 'c.jpg'), (1, 1, 3, 'face.jpg')""",
        f"{SHA[:4]}/{SHA[4:8]}/{SHA[8:13]}/{SHA[13:18]}/{SHA[18:25]}/{SHA[25:32]}/{SHA[32:]}",
        ["7", "8"],
    ),
    "glpi": (
        "mariadb",
        """CREATE TABLE glpi_documents (id int unsigned PRIMARY KEY, filename varchar(255), filepath varchar(255));
        CREATE TABLE glpi_documents_items (id int unsigned AUTO_INCREMENT PRIMARY KEY,
            documents_id int unsigned NOT NULL,
            items_id int unsigned NOT NULL, itemtype varchar(100) NOT NULL);
        CREATE TABLE glpi_itilfollowups (id int unsigned PRIMARY KEY, itemtype varchar(100) NOT NULL,
            items_id int unsigned NOT NULL);
        CREATE TABLE glpi_tickettasks (id int unsigned PRIMARY KEY, tickets_id int unsigned NOT NULL);
        INSERT INTO glpi_documents VALUES (1, 'a.jpg', 'JPG/ab/cdef.JPG'), (2, 'b.jpg', 'JPG/ab/other.JPG');
        INSERT INTO glpi_itilfollowups VALUES (4, 'Ticket', 8), (5, 'Change', 99);
        INSERT INTO glpi_tickettasks VALUES (6, 10);
        INSERT INTO glpi_documents_items (documents_id, items_id, itemtype) VALUES (1, 7, 'Ticket'), (2, 9, 'Ticket'),
            (1, 4, 'ITILFollowup'), (1, 5, 'ITILFollowup'), (1, 6, 'TicketTask'), (1, 11, 'Computer')""",
        "ab/cdef.JPG",
        ["10", "7", "8"],
    ),
    "request-tracker": (
        "postgres",
        """CREATE TABLE Attachments (id BIGSERIAL PRIMARY KEY, TransactionId bigint NOT NULL, ContentType varchar(80),
            ContentEncoding varchar(80), Content text);
        CREATE TABLE Transactions (id BIGSERIAL PRIMARY KEY, ObjectType varchar(64) NOT NULL, ObjectId bigint NOT NULL);
        INSERT INTO Transactions (ObjectType, ObjectId) VALUES ('RT::Ticket', 7), ('RT::User', 9), ('RT::Ticket', 8);
        INSERT INTO Attachments (TransactionId, ContentEncoding, Content)
            VALUES (1, 'external', '{sha}'), (2, 'external', '{sha}'), (3, 'none', '{sha}')""",
        f"{SHA[:3]}/{SHA[3:6]}/{SHA[6:]}",
        ["7"],
    ),
    "redmine": (
        "postgres",
        """CREATE TABLE attachments (id serial PRIMARY KEY, container_id integer, container_type varchar(30),
            filename varchar NOT NULL, disk_filename varchar NOT NULL, disk_directory varchar);
        INSERT INTO attachments (container_id, container_type, filename, disk_filename, disk_directory)
            VALUES (7, 'Issue', 'a.jpg', '261124_a.jpg', '2026/11'), (8, 'Issue', 'b.jpg', '261124_a.jpg', '2026/11'),
            (9, 'WikiPage', 'a.jpg', '261124_a.jpg', '2026/11'), (10, 'Issue', 'a.jpg', '261124_a.jpg', '2026/10')""",
        "2026/11/261124_a.jpg",
        ["7", "8"],
    ),
    "odoo": (
        "postgres",
        """CREATE TABLE ir_attachment (id serial PRIMARY KEY, name varchar NOT NULL, res_model varchar, res_id integer,
            store_fname varchar, write_date timestamp DEFAULT now());
        INSERT INTO ir_attachment (name, res_model, res_id, store_fname) VALUES ('a.jpg', 'project.task', 7, 'ab/abcd'),
            ('b.jpg', 'project.task', 8, 'ab/abcd'), ('c.jpg', 'res.partner', 9, 'ab/abcd')""",
        "ab/abcd",
        ["7", "8"],
    ),
    "frappe": (
        "mariadb",
        """CREATE TABLE tabFile (name varchar(140) PRIMARY KEY, file_url longtext, attached_to_doctype varchar(140),
            attached_to_name varchar(140), is_private int(1) NOT NULL, modified datetime(6) DEFAULT now(6));
        CREATE TABLE tabCommunication (name varchar(140) PRIMARY KEY, reference_doctype varchar(140),
            reference_name varchar(140));
        INSERT INTO tabCommunication VALUES ('c1', 'Issue', 'ISS-8'), ('c2', 'Lead', 'LEAD-1');
        INSERT INTO tabFile (name, file_url, attached_to_doctype, attached_to_name, is_private) VALUES
            ('f1', '/private/files/a.jpg', 'Issue', 'ISS-7', 1),
            ('f2', '/private/files/a.jpg', 'Communication', 'c1', 1),
            ('f3', '/private/files/a.jpg', 'Communication', 'c2', 1),
            ('f4', '/files/a.jpg', 'Issue', 'ISS-9', 0)""",
        "private/files/a.jpg",
        ["ISS-7", "ISS-8"],
    ),
    "tryton": (
        "postgres",
        """CREATE TABLE ir_attachment (id serial PRIMARY KEY, name varchar, resource varchar, file_id varchar);
        INSERT INTO ir_attachment (name, resource, file_id)
            VALUES ('a.jpg', 'project.work,7', 'abcd-1'), ('b.jpg', 'party.party,8', 'abcd-1')""",
        "ab/cd/abcd-1",
        ["7"],
    ),
    "znuny": (
        "postgres",
        """CREATE TABLE article (id bigserial PRIMARY KEY, ticket_id bigint NOT NULL);
        INSERT INTO article (id, ticket_id) VALUES (41, 7), (42, 8)""",
        "2026/11/24/41/a.jpg",
        ["7"],
    ),
    "freescout": (
        "mariadb",
        """CREATE TABLE attachments (id int unsigned AUTO_INCREMENT PRIMARY KEY, thread_id int, file_dir varchar(20),
            file_name varchar(255) NOT NULL);
        CREATE TABLE threads (id int unsigned AUTO_INCREMENT PRIMARY KEY, conversation_id int NOT NULL);
        INSERT INTO threads (conversation_id) VALUES (7), (8);
        INSERT INTO attachments (thread_id, file_dir, file_name) VALUES (1, '3/2/1/', 'a.jpg'),
            (2, '3/2/2/', 'a.jpg')""",
        "3/2/1/a.jpg",
        ["7"],
    ),
    "osticket": (
        "mariadb",
        """CREATE TABLE ost_file (id int PRIMARY KEY, `key` varchar(86) COLLATE ascii_general_ci NOT NULL);
        CREATE TABLE ost_attachment (id int unsigned AUTO_INCREMENT PRIMARY KEY, object_id int unsigned NOT NULL,
            type char(1) NOT NULL, file_id int unsigned NOT NULL);
        CREATE TABLE ost_thread (id int unsigned PRIMARY KEY, object_id int unsigned NOT NULL,
            object_type char(1) NOT NULL);
        CREATE TABLE ost_thread_entry (id int unsigned PRIMARY KEY, thread_id int unsigned NOT NULL);
        INSERT INTO ost_file VALUES (1, 'kAbCdEf'), (2, 'kOther');
        INSERT INTO ost_thread VALUES (5, 7, 'T'), (6, 9, 'A');
        INSERT INTO ost_thread_entry VALUES (11, 5), (12, 6);
        INSERT INTO ost_attachment (object_id, type, file_id) VALUES (11, 'H', 1), (12, 'H', 1), (11, 'F', 2)""",
        "k/kAbCdEf",
        ["7"],
    ),
}
SAME_AS = {"odoo-jsonrpc": "odoo"}


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory):
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as found:
        yield found


def test_every_preset_that_asks_a_database_is_tried():
    asking = {name for name in preset.listed() if 'kind = "sql' in preset.read(name).about.resolver}
    assert asking == set(TRIED) | set(SAME_AS)
    for name, other in SAME_AS.items():
        assert preset.read(name).about.resolver == preset.read(other).about.resolver
        assert preset.read(name).about.index == preset.read(other).about.index


def chain(name, url):
    """The preset's resolver on this database; then, if it has one, its index with the links it needs before that."""
    about = preset.read(name).about
    for text in (about.resolver, about.index):
        if text:
            found = tomllib.loads(text)
            links = [{**link, "url": url} if link["kind"].startswith("sql") else link for link in found["ticket"]]
            yield {**found, "ticket": links}


@pytest.fixture
def tickets(settings_with, tmp_path):
    """tickets("redmine", url, path) -> what the preset's own chains find there: all of them the same."""
    db = connect(f"sqlite:///{tmp_path / 'ours.db'}")
    Base.metadata.create_all(db.engine)

    def find(name, url, path):
        answers = []
        for found in chain(name, url):
            settings = settings_with({f"sources.x.{key}": value for key, value in {"root": tmp_path, **found}.items()})
            source = settings.sources["x"]
            lookups = Lookups()
            try:
                variables = ticket.variables_of(source.path, path.encode(), 100, SHA)
                place = Place(lookups, db, "x", root=tmp_path, now=1e9)
                answers.append(sorted(ticket.find(source.ticket, variables, place)))
            finally:
                lookups.close()
        assert all(answer == answers[0] for answer in answers)
        return answers[0]

    yield find
    db.close()


@pytest.mark.postgres
@pytest.mark.parametrize("name", sorted(name for name, one in TRIED.items() if one[0] == "postgres"))
def test_on_postgresql(tickets, name, pg_url):
    _, schema, path, wanted = TRIED[name]
    engine = create_engine(pg_url)
    with engine.begin() as connection:
        for statement in schema.replace("{sha}", SHA).split(";"):
            connection.exec_driver_sql(statement)
    engine.dispose()
    assert tickets(name, pg_url, path) == wanted


@pytest.mark.parametrize("name", sorted(name for name, one in TRIED.items() if one[0] == "mariadb"))
def test_on_mariadb(tickets, name, mariadb):
    _, schema, path, wanted = TRIED[name]
    for statement in schema.split(";"):
        mariadb.execute(statement)
    assert tickets(name, mariadb.url, path) == wanted
    assert tickets(name, mariadb.url, path + "x") == []
