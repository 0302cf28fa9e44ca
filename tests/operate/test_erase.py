"""A user's data leaves everywhere it got to: after an erase nothing in data_dir or the database names it."""

import json
import shutil
import sqlite3
import subprocess

import pytest
from sqlalchemy import select, text

from tests.support.gallery import NOW, jpeg
from tests.support.world import World
from ticketbot import flow
from ticketbot.app import App
from ticketbot.collect import inbound
from ticketbot.collect.index import key_of
from ticketbot.contracts import snapshot, store
from ticketbot.contracts.snapshot import Item, Snapshot
from ticketbot.db import connect, tombstones
from ticketbot.db.models import (
    Answer,
    Attempt,
    Audit,
    Base,
    Directory,
    File,
    InboundEvent,
    Label,
    LabelEvent,
    Model,
    Picture,
    Prediction,
    SortedCopy,
    Source,
    TicketIndex,
    Training,
)
from ticketbot.deliver import admin
from ticketbot.errors import UsageError
from ticketbot.operate import erase
from ticketbot.operate.erase import Wanted
from ticketbot.review import labels, pictures, transfer

USER, NAME = "anna-4711", "Kontoauszug Anna.jpg"
OTHER = "bert-0815"


@pytest.fixture
def world(tmp_path, db_url):
    """An installation on an empty database, which the app migrates by itself."""
    database = connect(db_url)
    Base.metadata.drop_all(database.engine)
    database.close()
    return World(tmp_path / "world", "http://desk.example/hook", "whsec_" + "A" * 44, db_url)


@pytest.fixture
def app(world, db_url):
    made = App(world.settings, now=lambda: NOW)
    yield made
    made.close()


def collect(app, world, after_s=60):
    """Scan and stage, so much later; `world.at` is the time it is."""
    world.at = getattr(world, "at", NOW) + after_s
    app.now = lambda: world.at
    flow.scan(app)
    flow.stage(app)
    world.at += 1  # staging's clock runs on while it works: a file is due for its ticket from then on
    flow.resolve(app)


def say(app, sha256, category):
    """A model's answer and a person's label, announced: the outbox hears of both."""
    with app.db.write() as session:
        if session.get(Model, "m1") is None:
            session.add(Model(id="m1", state="champion", created_at=NOW, manifest={}))
            session.flush()
        session.add(
            Prediction(sha256=sha256, model_id="m1", category=category, best=category, confidence=0.9, created_at=NOW)
        )
        session.get(Picture, sha256).model_id = "m1"
        session.flush()
        app.announce(session, sha256, NOW)
    with app.db.write() as session:
        how = {"who": "rita", "at": NOW, "how": "folder", "key": f"folder:{sha256}:{category}:0"}
        labels.record(session, sha256=sha256, new=category, **how, on_label=app.announce)
    flow.decide(app)


@pytest.fixture
def lived_in(app, world):
    """Anna's picture has been everywhere; another content is both hers and Bert's. -> (hers, shared)"""
    flow.scan(app)
    only, both = jpeg("anna"), jpeg("both")
    world.add(USER, NAME, only, ticket="T-1")
    world.add(USER, f"Bert und {NAME}", both, ticket="T-1")
    world.add(OTHER, "bert.jpg", both, ticket="T-2")
    collect(app, world)
    collect(app, world)
    with app.db.read() as session:
        by_size = {one.size_bytes: one.sha256 for one in session.scalars(select(Picture))}
    hers, shared = by_size[len(only)], by_size[len(both)]
    for sha256 in (hers, shared):
        say(app, sha256, "errors")
    leave_traces(app, hers)
    return hers, shared


def leave_traces(app, sha256):
    """What labelling, training and looking at it leave in data_dir."""
    root = app.settings.data_dir
    flow.read_labels(app)
    staged = store.path_of(root, sha256)
    (root / "labelled" / "errors").mkdir(parents=True, exist_ok=True)
    shutil.copy(staged, root / "labelled" / "errors" / "renamed by hand.jpg")
    shutil.copy(staged, root / "to-label" / f"{USER} Kontoauszug {sha256[:16]}.jpg")
    for path in (pictures.cache_path(root, sha256, "thumb"), root / f"cache/trainer/v1/in/{sha256[:2]}/{sha256}.npy"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"pixels")
    item = Item(sha256, f"{sha256[:2]}/{sha256}.jpg", "errors", sha256[:16], USER, "train")
    snapshot.write(
        root / "trainings" / "1" / "snapshot", Snapshot(("errors", "reports"), "../../../staging", (item,), NOW)
    )
    (root / "clean").mkdir()
    (root / "clean" / "suspects.csv").write_text(f"name,score\n{sha256},0.9\n")
    (root / "clean" / f"sheet {sha256[:16]}.html").write_text("<img>")
    (root / "clean" / "other.html").write_text("nothing of hers")
    fetched = root / "inbound" / "desk" / "T-1"
    fetched.mkdir(parents=True)
    shutil.copy(staged, fetched / "as the ticket system calls it.jpg")
    (fetched / "another.jpg").write_bytes(jpeg("another"))
    (root / "backups").mkdir()
    (root / "backups" / "2026-11-01.tar").write_bytes(b"old")
    transfer.export_csv(app.db, root / "labels.csv")
    with app.db.write() as session:
        for key in ([USER, NAME], [OTHER, "bert.jpg"]):
            session.add(TicketIndex(name="erp.0", key=key_of(key), ticket="T-1"))
        message = f"the trainer ended with status 1\ncannot read {sha256}.jpg"
        session.add(Training(id=1, state="failed", cause="labels", started_at=NOW, model_id="m1", message=message))
        answer = session.scalars(select(Answer).where(Answer.sha256 == sha256)).first()
        session.add(
            Attempt(answer_id=answer.id, number=1, at=NOW, took_ms=1, status=200, response=b"got " + answer.body)
        )


def dump(db):
    """Every value of every table, as one text."""
    tables = Base.metadata.sorted_tables
    with db.read() as session:
        return "\n".join(
            repr(tuple(bytes(value) if isinstance(value, memoryview) else value for value in row))
            for table in tables
            for row in session.execute(text(f'SELECT * FROM "{table.name}"'))
        )


def places(root):
    """Every file below data_dir: its path and its bytes."""
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.parent.name != "backups"}


def hers_again(app, needles):
    found = [needle for needle in needles if needle in dump(app.db)]
    for path, data in places(app.settings.data_dir).items():
        found += [f"{path}: {needle}" for needle in needles if needle in str(path) or needle.encode() in data]
    return found


def erase_user(app, **more):
    report = erase.erase(app.db, app.settings, Wanted(user=USER), who="ann", now=app.now(), **more)
    if not more:
        erase.compact(app.db)
    return report


def test_nothing_names_an_erased_user_picture_or_file(app, world, lived_in):
    hers, shared = lived_in
    needles = [hers, hers[:16], USER, NAME, "Kontoauszug"]
    assert len(hers_again(app, needles)) > 20, "she was everywhere before"
    report = erase_user(app)
    assert hers_again(app, needles) == []
    assert (report.files, report.pictures, report.shared) == (2, 1, 1)
    assert report.fetched == report.indexed == 1
    assert (app.settings.data_dir / "inbound" / "desk" / "T-1" / "another.jpg").is_file()
    with app.db.read() as session:
        assert session.scalars(select(TicketIndex.key)).all() == [key_of([OTHER, "bert.jpg"])]
    assert report.copies == 2 and report.cached == 2 and report.trainings == 1
    assert report.models == ["m1"] and report.backups == ["2026-11-01.tar"]
    assert (app.settings.data_dir / "clean" / "other.html").is_file()
    assert store.path_of(app.settings.data_dir, shared).is_file()


def test_what_a_ticket_system_told_of_her_and_waits_is_erased_too(app, world, lived_in):
    hook = {"enabled": True, "how": {"scheme": "none", "ticket": "/ticket/id"}, "callers": ("127.0.0.1",)}
    source = app.settings.sources["erp"]
    source.__dict__["inbound"] = source.inbound.model_copy(update=hook)
    told = {
        "ticket": {"ticket": {"id": "T-1"}, "text": "her words"},
        "user": {"ticket": {"id": "T-9"}, "by": {"name": USER}},
        "file": {"ticket": {"id": "T-9"}, "files": [{"name": NAME}]},
        "other": {"ticket": {"id": "T-9"}, "text": "his words"},
    }
    for key, document in told.items():
        inbound.queue(app.db, "erp", key, json.dumps(document).encode(), app.now())
    erase_user(app)
    with app.db.read() as session:
        events = {one.key: one for one in session.scalars(select(InboundEvent))}
    assert {key for key, one in events.items() if one.body is not None and one.due_at is not None} == {"other"}


def test_what_is_anothers_too_stays_his(app, world, lived_in):
    _, shared = lived_in
    erase_user(app)
    with app.db.read() as session:
        (file,) = session.scalars(select(File))
        assert (file.user, file.sha256, file.state) == (OTHER, shared, "staged")
        assert session.get(Label, shared).category == "errors"
        assert session.get(Picture, shared).state == "staged"
        told = session.scalars(select(Answer).where(Answer.ticket == "T-2")).all()
    assert told and all(json.loads(answer.body)["data"]["pictures"][0]["user"] == OTHER for answer in told)
    assert {answer.state for answer in told} == {"held", "pending"} & {answer.state for answer in told}


def test_answers_lose_their_bodies_and_what_waits_is_not_sent(app, world, lived_in):
    erase_user(app)
    with app.db.read() as session:
        answers = session.scalars(select(Answer).where(Answer.ticket == "T-1")).all()
        assert answers and {(one.state, one.body) for one in answers} == {("cancelled", b"")}
        assert session.scalars(select(Attempt)).one().response is None
    ids = [one.id for one in answers]
    assert admin.redeliver(app.db, "request-1", "ann", NOW, ids=ids, since=0.0, states=("cancelled",)) == 0


def test_that_somebody_said_something_stays_and_what_it_was_about_goes(app, world, lived_in):
    hers, shared = lived_in
    erase_user(app)
    with app.db.read() as session:
        events = session.scalars(select(LabelEvent).where(LabelEvent.sha256 != shared)).all()
        assert [(one.who, one.at, one.new) for one in events] == [("rita", NOW, "errors")]
        erased = session.get(Picture, events[0].sha256)
        assert (erased.state, erased.size_bytes) == ("erased", 0)
        assert session.scalar(select(SortedCopy.path).where(SortedCopy.sha256 == hers)) is None
        audit = session.scalars(select(Audit).where(Audit.what == "erased")).one()
    assert audit.who == "ann" and audit.detail["files"] == 2 and USER not in str(audit.detail)


def test_an_erased_file_that_still_lies_there_is_not_collected_again(app, world, lived_in):
    hers, _ = lived_in
    erase_user(app)
    for _ in range(3):
        collect(app, world)
        flow.sweep(app)
    found = hers_again(app, [hers, NAME, "Kontoauszug"])
    assert found == []
    with app.db.read() as session:
        assert [file.user for file in session.scalars(select(File))] == [OTHER]


def test_the_same_content_from_elsewhere_is_refused_and_a_new_upload_is_not(app, world, lived_in):
    hers, _ = lived_in
    erase_user(app)
    world.add("carl", "copy of it.jpg", jpeg("anna"))
    world.add(USER, "next year.jpg", jpeg("something new"))
    collect(app, world)
    collect(app, world)
    with app.db.read() as session:
        states = {bytes(file.path): (file.state, file.reason) for file in session.scalars(select(File))}
    assert states[b"carl/copy of it.jpg"] == ("refused", "erased")
    assert states[f"{USER}/next year.jpg".encode()][0] == "staged"
    assert not store.path_of(app.settings.data_dir, hers).exists()


def test_erasing_twice_is_erasing_once_and_a_killed_run_is_finished(app, world, lived_in, monkeypatch):
    hers, _ = lived_in
    with monkeypatch.context() as patch:
        patch.setattr(erase, "_rows", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            erase_user(app)
    assert not store.path_of(app.settings.data_dir, hers).exists()
    with app.db.read() as session:
        assert session.get(Picture, hers).state == "erased"
    assert erase_user(app).pictures == 1
    assert hers_again(app, [hers, USER]) == []
    assert erase_user(app).files == 0


def test_a_dry_run_changes_nothing(app, world, lived_in):
    before = dump(app.db), sorted(places(app.settings.data_dir))
    report = erase_user(app, dry_run=True)
    assert (report.dry_run, report.files, report.pictures, report.shared) == (True, 2, 1, 1)
    assert (dump(app.db), sorted(places(app.settings.data_dir))) == before


def test_what_is_older_goes_and_what_is_newer_stays(app, world, lived_in):
    hers, shared = lived_in
    world.add("dora", "new.jpg", jpeg("dora"))
    collect(app, world, after_s=10 * erase.DAY_S)
    collect(app, world)
    report = erase.erase(app.db, app.settings, Wanted(before=world.at - erase.DAY_S), who="ann", now=world.at)
    assert (report.files, report.pictures, report.shared) == (3, 2, 0)
    assert report.indexed == 2  # both by user and name
    with app.db.read() as session:
        assert [file.user for file in session.scalars(select(File))] == ["dora"]
    assert hers_again(app, [hers, shared, NAME]) == []


def test_the_nightly_tidy_erases_by_the_setting(app, world, lived_in):
    world.at += 40 * erase.DAY_S
    assert flow.tidy(app)["erased"] == 0
    staging = app.settings.staging.model_copy(update={"keep_days": 30})
    app.settings = app.settings.model_copy(update={"staging": staging})
    assert flow.tidy(app)["erased"] == 2


def test_a_missing_mount_erases_nothing(app, world, lived_in):
    world.tree.rename(world.tree.with_name("unmounted"))
    collect(app, world)
    with app.db.read() as session:
        assert session.scalars(select(Source)).one().incomplete
        assert {file.state for file in session.scalars(select(File))} == {"staged"}
        assert {picture.state for picture in session.scalars(select(Picture))} == {"staged"}


def test_a_ticket_with_others_pictures_is_answered_again(app, world, lived_in):
    """Dora's picture is on Anna's ticket: what waited for the ticket is cancelled, and said again about hers alone."""
    world.add("dora", "dora.jpg", jpeg("dora"), ticket="T-1")
    collect(app, world)
    collect(app, world)
    with app.db.read() as session:
        doras = session.scalars(select(File.sha256).where(File.user == "dora")).one()
    say(app, doras, "reports")
    erase_user(app)
    flow.decide(app)
    with app.db.read() as session:
        waiting = session.scalars(select(Answer).where(Answer.ticket == "T-1", Answer.state != "cancelled")).all()
    last = json.loads(max(waiting, key=lambda one: one.seq).body)
    assert [one["user"] for one in last["data"]["pictures"]] == ["dora"]


def test_folders_of_an_erased_user_are_forgotten_and_found_again_with_a_new_upload(app, world, lived_in):
    erase_user(app)
    with app.db.read() as session:
        assert OTHER.encode() in [bytes(path) for path in session.scalars(select(Directory.path))]
        assert USER.encode() not in [bytes(path) for path in session.scalars(select(Directory.path))]
    world.add(USER, "new.jpg", jpeg("new"))
    collect(app, world)
    collect(app, world)
    with app.db.read() as session:
        assert session.scalars(select(File).where(File.user == USER)).one().state == "staged"


@pytest.mark.parametrize(
    "wanted", [Wanted(), Wanted(user="a", before=1.0), Wanted(source="erp"), Wanted(None, "erp", 1.0)]
)
def test_it_must_be_said_whose_or_how_old(app, wanted):
    with pytest.raises(UsageError):
        erase.erase(app.db, app.settings, wanted, who="ann", now=NOW)


def test_a_pseudonym_says_nothing_without_the_salt(db):
    with db.write() as session:
        assert tombstones.salt_of(session) is None and not tombstones.has_picture(session, "a" * 64)
        salt = tombstones.make_salt(session, db, NOW)
        assert salt == tombstones.make_salt(session, db, NOW + 1)
    assert tombstones.pseudonym(salt, "a" * 64) != tombstones.pseudonym(bytes(32), "a" * 64)


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_the_command_says_what_went_and_leaves_no_byte_in_the_database_file(app, world, lived_in):
    hers, _ = lived_in
    app.close()
    done = world.run("erase", "--user", USER, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["files"], report["pictures"], report["models"]) == (2, 1, ["m1"])
    database = world.settings.database_url.removeprefix("sqlite:///")
    for path in world.settings.data_dir.parent.rglob("ticketbot.db*"):
        data = path.read_bytes()
        assert not any(needle in data for needle in (hers.encode(), USER.encode(), NAME.encode()))
    connection = sqlite3.connect(database)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert world.run("erase", "--user", USER, "--source", "nowhere").returncode == 2
    assert world.run("erase").returncode == 2


@pytest.mark.parametrize("db_url", ["postgres"], indirect=True)
@pytest.mark.postgres
def test_a_dump_of_postgresql_does_not_name_it(app, world, lived_in, pg_cluster):
    hers, _ = lived_in
    erase_user(app)
    url = app.db.url.replace("+psycopg", "")
    done = subprocess.run([pg_cluster.bin / "pg_dump", url], capture_output=True, check=True)
    hexed = [needle.encode().hex().encode() for needle in (NAME, USER)]
    assert not any(needle in done.stdout for needle in (hers.encode(), USER.encode(), NAME.encode(), *hexed))
