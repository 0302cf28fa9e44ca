"""How do people label with nothing but a file manager?"""

import hashlib
import os
import shutil

import pytest
from sqlalchemy import event, select, update

from tests.support.staged import put_picture
from ticketbot.db.models import Label, LabelEvent, Model, Picture, Prediction
from ticketbot.review import folders, labels

CATEGORIES = ("reports", "errors")


class Desk:
    """The folders as people see them."""

    def __init__(self, db, data_dir):
        self.db, self.data_dir = db, data_dir
        self.now = 1000.0

    def put(self, name, path=None, **values):
        return put_picture(self.db, self.data_dir, b"\xff\xd8\xff " + name.encode(), path=path, **values)

    def poll(self, to_label_max=10, **options):
        self.now += 60
        return folders.poll(self.db, self.data_dir, CATEGORIES, now=self.now, to_label_max=to_label_max, **options)

    def waiting(self):
        return sorted(path.name for path in (self.data_dir / "to-label").iterdir())

    def waiting_for(self):
        """sha256 of what lies in to-label, by content."""
        return {hashlib.sha256(path.read_bytes()).hexdigest() for path in (self.data_dir / "to-label").iterdir()}

    def place(self, category, name="copy.jpg"):
        path = self.data_dir / "labelled" / category / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def sort(self, sha256, category, name="sorted.jpg"):
        """Somebody moves the copy of a picture into a category folder."""
        (source,) = [path for path in (self.data_dir / "to-label").iterdir() if sha256[:16] in path.name]
        source.rename(self.place(category, name or source.name))

    def labels(self):
        with self.db.read() as session:
            return dict(session.execute(select(Label.sha256, Label.category)).all())

    def events(self):
        with self.db.read() as session:
            return list(session.scalars(select(LabelEvent).order_by(LabelEvent.id)))


@pytest.fixture
def desk(db, tmp_path):
    return Desk(db, tmp_path / "data")


def test_a_picture_moved_into_a_category_folder_is_labelled(desk):
    sha256 = desk.put("a")
    assert desk.poll().offered == 1
    desk.sort(sha256, "errors", "renamed at will.jpg")
    report = desk.poll()
    assert (report.labelled, report.copies, report.foreign) == (1, 1, 0)
    assert desk.labels() == {sha256: "errors"} and desk.waiting() == []
    (event,) = desk.events()
    assert (event.who, event.how, event.at, event.blind, event.suggested) == ("folder", "folder", desk.now, True, None)


def test_the_folders_are_there_before_anybody_needs_them(desk):
    desk.poll()
    assert sorted(path.name for path in (desk.data_dir / "labelled").iterdir()) == ["errors", "junk", "reports"]


def test_the_same_poll_again_says_nothing_and_reads_nothing(desk):
    desk.put("a")
    desk.poll()
    desk.sort(*desk.waiting_for(), "errors")
    assert desk.poll().read == 1
    report = desk.poll()
    assert (report.labelled, report.read, report.copies) == (0, 0, 1)
    assert len(desk.events()) == 1


def test_a_copy_moved_on_changes_the_label_and_back_again(desk):
    sha256 = desk.put("a")
    desk.poll()
    desk.sort(sha256, "errors")
    desk.poll()
    for category in ("reports", "errors", "reports"):
        other = "errors" if category == "reports" else "reports"
        desk.place(other, "sorted.jpg").rename(desk.place(category, "sorted.jpg"))
        assert desk.poll().labelled == 1
        assert desk.labels() == {sha256: category}
    assert len(desk.events()) == 4


def test_junk_is_a_folder_too(desk):
    sha256 = desk.put("a")
    desk.poll()
    desk.sort(sha256, "junk")
    desk.poll()
    assert desk.labels() == {sha256: "junk"}


def test_a_picture_in_two_folders_is_a_conflict_until_one_is_deleted(desk):
    sha256 = desk.put("a")
    desk.poll()
    desk.sort(sha256, "errors")
    shutil.copy(desk.place("errors", "sorted.jpg"), desk.place("reports", "other name.jpg"))
    report = desk.poll()
    assert report.conflicts == ["errors/sorted.jpg and reports/other name.jpg"] and desk.labels() == {}
    assert desk.poll().conflicts and desk.waiting() == []
    desk.place("errors", "sorted.jpg").unlink()
    report = desk.poll()
    assert (report.conflicts, report.labelled, desk.labels()) == ([], 1, {sha256: "reports"})


def test_a_conflict_keeps_the_label_from_before(desk):
    sha256 = desk.put("a")
    desk.poll()
    desk.sort(sha256, "errors")
    desk.poll()
    shutil.copy(desk.place("errors", "sorted.jpg"), desk.place("reports"))
    desk.poll()
    assert desk.labels() == {sha256: "errors"}


def test_a_deleted_copy_means_nothing(desk):
    sha256 = desk.put("a")
    desk.poll()
    desk.sort(sha256, "errors")
    desk.poll()
    desk.place("errors", "sorted.jpg").unlink()
    desk.poll()
    assert desk.labels() == {sha256: "errors"} and len(desk.events()) == 1


def test_two_copies_in_one_folder_are_one_word(desk):
    sha256 = desk.put("a")
    desk.poll()
    desk.sort(sha256, "errors")
    shutil.copy(desk.place("errors", "sorted.jpg"), desk.place("errors", "again.jpg"))
    desk.poll()
    assert desk.labels() == {sha256: "errors"} and len(desk.events()) == 1


def test_the_copy_does_not_overrule_somebody_who_came_later(desk):
    sha256 = desk.put("a")
    desk.poll()
    desk.sort(sha256, "errors")
    desk.poll()
    with desk.db.write() as session:
        labels.record(session, sha256=sha256, new="reports", who="ann", at=2.0, how="page", key="k")
    os.utime(desk.place("errors", "sorted.jpg"), (5, 5))  # touched: read again, but it says nothing new
    assert desk.poll().read == 1
    assert desk.labels() == {sha256: "reports"}


def test_an_unknown_folder_is_told(desk):
    sha256 = desk.put("a")
    desk.poll()
    desk.sort(sha256, "reprots", name=None)
    report = desk.poll()
    assert report.unknown_folders == ["reprots"] and desk.labels() == {}
    assert desk.waiting() == []  # somebody has it in hand: it is not offered again


def test_a_foreign_picture_is_told_and_labelled_once_it_is_imported(desk):
    desk.place("errors", "mine.jpg").write_bytes(b"\xff\xd8\xff foreign")
    report = desk.poll()
    assert (report.foreign, report.foreign_names, report.labelled) == (1, ["errors/mine.jpg"], 0)
    sha256 = desk.put("foreign")
    report = desk.poll()
    assert (report.foreign, report.labelled, desk.labels()) == (0, 1, {sha256: "errors"})


def test_an_edited_copy_is_another_picture(desk):
    sha256 = desk.put("a")
    desk.poll()
    desk.sort(sha256, "errors")
    with open(desk.place("errors", "sorted.jpg"), "ab") as file:
        file.write(b"edited")
    assert desk.poll().foreign == 1 and desk.labels() == {}


def test_a_half_copied_file_is_read_again_when_it_is_whole(desk):
    sha256 = desk.put("a")
    desk.poll()
    desk.place("errors").write_bytes(b"\xff\xd8\xff")
    assert desk.poll().foreign == 1
    desk.place("errors").write_bytes(b"\xff\xd8\xff a")
    desk.poll()
    assert desk.labels() == {sha256: "errors"}


def test_links_pipes_and_leavings_are_ignored(desk, tmp_path):
    sha256 = desk.put("a")
    desk.poll()
    (tmp_path / "secret.jpg").write_bytes(b"\xff\xd8\xff a")
    desk.place("errors", "link.jpg").symlink_to(tmp_path / "secret.jpg")
    os.mkfifo(desk.place("errors", "pipe.jpg"))
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini"):
        desk.place("errors", name).write_bytes(b"x")
    desk.place("errors", "folder.jpg/inside.jpg").write_bytes(b"\xff\xd8\xff a")
    report = desk.poll()
    assert (report.copies, report.foreign, desk.labels()) == (0, 0, {})
    assert sha256 in desk.waiting_for()


def test_a_linked_category_folder_is_not_entered(desk, tmp_path):
    desk.put("a")
    desk.poll()
    (desk.data_dir / "labelled" / "errors").rmdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.jpg").write_bytes(b"\xff\xd8\xff a")
    (desk.data_dir / "labelled" / "errors").symlink_to(outside)
    assert desk.poll().copies == 0


def test_names_that_are_no_text_are_no_trouble(desk):
    sha256 = desk.put("a")
    desk.poll()
    desk.sort(sha256, "errors", os.fsdecode(b"bytes \xff.jpg"))
    desk.poll()
    assert desk.labels() == {sha256: "errors"}


def test_a_kill_before_the_copies_are_remembered_loses_and_doubles_nothing(desk, monkeypatch):
    sha256 = desk.put("a")
    desk.poll()
    desk.sort(sha256, "errors")
    with monkeypatch.context() as patch:
        patch.setattr(folders, "_remember", _killed)
        with pytest.raises(KeyboardInterrupt):
            desk.poll()
    desk.poll()
    assert desk.labels() == {sha256: "errors"} and len(desk.events()) == 1


def _killed(*_):
    raise KeyboardInterrupt


def test_a_new_label_is_told(desk):
    sha256 = desk.put("a")
    desk.poll()
    desk.sort(sha256, "errors")
    told = []
    desk.poll(on_label=lambda session, picture, now: told.append(picture))
    assert told == [sha256]


# --- what is offered ---


def test_names_say_user_and_file_and_are_safe_everywhere(desk):
    sha256 = desk.put("a", path=b"42/Fehler beim \xc3\x96ffnen; rm -rf ~.jpg")
    other = desk.put("b", path=b"=cmd|calc/..\xff\xe2\x80\xaegpj.exe.jpg")
    desk.poll()
    names = {name.rpartition(" ")[2][:16]: name for name in desk.waiting()}
    assert names[sha256[:16]] == f"42 Fehler beim Öffnen rm -rf {sha256[:16]}.jpg"
    assert names[other[:16]].startswith("cmd calc") and "\u202e" not in names[other[:16]]


def test_a_very_long_name_fits(desk):
    desk.put("a", path=b"1/" + "ü".encode() * 120 + b".jpg")
    desk.poll()
    assert len(desk.waiting()[0].encode()) < 160


def test_it_is_topped_up_to_the_maximum(desk):
    for number in range(7):
        desk.put(str(number))
    assert (desk.poll(to_label_max=3).offered, len(desk.waiting())) == (3, 3)
    assert desk.poll(to_label_max=3).offered == 0
    desk.sort(sorted(desk.waiting_for())[0], "errors")
    assert desk.poll(to_label_max=3).offered == 1
    assert desk.poll(to_label_max=0).offered == 0


def test_what_was_labelled_elsewhere_or_erased_is_taken_away(desk):
    labelled, erased, left = (desk.put(name) for name in "abc")
    desk.poll()
    with desk.db.write() as session:
        labels.record(session, sha256=labelled, new="errors", who="ann", at=2.0, how="page", key="k")
        session.execute(update(Picture).where(Picture.sha256 == erased).values(state="erased"))
    desk.poll()
    assert desk.waiting_for() == {left}


def test_what_people_put_there_themselves_is_left_alone(desk):
    sha256 = desk.put("a")
    desk.poll()
    (desk.data_dir / "to-label" / desk.waiting()[0]).rename(desk.data_dir / "to-label" / "ask Bob.jpg")
    with desk.db.write() as session:
        labels.record(session, sha256=sha256, new="errors", who="ann", at=2.0, how="page", key="k")
    desk.poll()
    assert desk.waiting() == ["ask Bob.jpg"]


def test_unsure_first_then_the_newest_then_history(desk):
    history = desk.put("old", path=b"1/old.jpg", history=True, wanted=False, staged_at=9000.0)
    news = [desk.put(f"new {number}", staged_at=float(number)) for number in range(3)]
    unsure = [desk.put(f"unsure {number}", staged_at=0.0) for number in range(2)]
    sure = desk.put("sure", staged_at=0.0)
    with desk.db.write() as session:
        session.add(Model(id="m1", state="champion", created_at=0.0, manifest={}))
        session.flush()
        for sha256, category, margin in ((unsure[0], None, 0.3), (unsure[1], None, 0.1), (sure, "errors", 0.0)):
            session.add(
                Prediction(sha256=sha256, model_id="m1", category=category, margin=margin, created_at=0.0, state="done")
            )
    order = []
    for _ in range(7):
        desk.poll(to_label_max=len(order) + 1)
        order += [sha256 for sha256 in desk.waiting_for() if sha256 not in order]
    assert order == [unsure[1], unsure[0], news[2], news[1], news[0], sure, history]


def test_what_cannot_be_decoded_is_not_offered(desk):
    broken, whole = desk.put("broken"), desk.put("whole")
    with desk.db.write() as session:
        session.add(Model(id="m1", state="champion", created_at=0.0, manifest={}))
        session.flush()
        session.add(Prediction(sha256=broken, model_id="m1", state="failed", error="bad_image", created_at=0.0))
    desk.poll()
    assert desk.waiting_for() == {whole}


def test_an_archived_picture_is_not_offered(desk):
    sha256 = desk.put("a")
    (desk.data_dir / "staging" / sha256[:2] / f"{sha256}.jpg").unlink()
    assert desk.poll().offered == 0 and desk.waiting() == []


def test_a_copy_is_no_link_to_the_store(desk):
    sha256 = desk.put("a")
    desk.poll()
    (path,) = (desk.data_dir / "to-label").iterdir()
    path.write_bytes(b"edited in place")
    assert (desk.data_dir / "staging" / sha256[:2] / f"{sha256}.jpg").read_bytes() == b"\xff\xd8\xff a"


def test_hundreds_of_untouched_copies_cost_little(desk):
    with desk.db.write() as session:
        for number in range(600):
            content = b"\xff\xd8\xff%d" % number
            session.add(
                Picture(sha256=hashlib.sha256(content).hexdigest(), size_bytes=1, staged_at=0.0, state="archived")
            )
            desk.place("errors", f"{number}.jpg").write_bytes(content)
    assert desk.poll().labelled == 600
    asked = []
    for engine in {desk.db.engine, desk.db.reader}:
        event.listen(engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    report = desk.poll()
    assert (report.read, report.labelled, report.copies) == (0, 0, 600)
    assert 0 < len(asked) < 60, "statements that grow with the copies"
