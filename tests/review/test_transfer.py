"""How do labels come from elsewhere, and how do they leave?"""

import csv
import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from tests.support.staged import put_picture
from ticketbot.contracts import store
from ticketbot.db.models import Label, LabelEvent, Picture
from ticketbot.errors import UsageError
from ticketbot.review import labels, transfer

CATEGORIES = ("reports", "errors")
JPEG = b"\xff\xd8\xff "


class Office:
    def __init__(self, db, tmp_path):
        self.db, self.data_dir, self.folder = db, tmp_path / "data", tmp_path / "given"
        self.folder.mkdir()

    def give(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG + content)
        return hashlib.sha256(JPEG + content).hexdigest()

    def stage(self, path):
        """What the flow passes in: collect's import, here without it."""
        content = path.read_bytes()
        if not content.startswith(JPEG):
            raise UsageError(f"{path.name}: no picture")
        sha256 = hashlib.sha256(content).hexdigest()
        with self.db.read() as session:
            known = session.get(Picture, sha256)
        return sha256 if known else put_picture(self.db, self.data_dir, content, wanted=False)

    def import_folder(self, **options):
        return self._import(transfer.import_folder, self.folder, options)

    def import_csv(self, text, **options):
        path = self.folder / "labels.csv"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        return self._import(transfer.import_csv, path, options)

    def _import(self, function, what, options):
        return function(self.db, what, CATEGORIES, stage=self.stage, who="ann", now=5.0, **options)

    def labels(self):
        with self.db.read() as session:
            return dict(session.execute(select(Label.sha256, Label.category)).all())


@pytest.fixture
def office(db, tmp_path):
    return Office(db, tmp_path)


def test_a_folder_per_category_is_staged_and_labelled(office):
    first, second = office.give("reports/a.jpg", b"a"), office.give("errors/b.jpg", b"b")
    office.give("stray.jpg", b"c")
    told = []
    report = office.import_folder(on_label=lambda session, sha256, now: told.append(sha256))
    assert (report.labelled, report.unchanged, report.refused) == (2, 0, [])
    assert office.labels() == {first: "reports", second: "errors"} and sorted(told) == sorted([first, second])
    assert store.path_of(office.data_dir, first).exists()
    with office.db.read() as session:
        assert {(event.who, event.how, event.at) for event in session.scalars(select(LabelEvent))} == {
            ("ann", "import", 5.0)
        }


def test_the_same_import_again_changes_nothing(office):
    office.give("reports/a.jpg", b"a")
    office.import_folder()
    report = office.import_folder()
    assert (report.labelled, report.unchanged) == (0, 1)
    with office.db.read() as session:
        assert len(session.scalars(select(LabelEvent.id)).all()) == 1


def test_an_import_after_somebody_relabelled_is_a_new_word(office):
    sha256 = office.give("reports/a.jpg", b"a")
    office.import_folder()
    with office.db.write() as session:
        labels.record(session, sha256=sha256, new="errors", who="bob", at=2.0, how="page", key="k")
    assert office.import_folder().labelled == 1
    assert office.labels() == {sha256: "reports"}


def test_content_in_two_categories_is_a_conflict(office):
    office.give("reports/a.jpg", b"same")
    office.give("errors/b.jpg", b"same")
    other = office.give("errors/c.jpg", b"other")
    report = office.import_folder()
    assert report.refused == [("errors/b.jpg and reports/a.jpg", "the same picture in two categories")]
    assert office.labels() == {other: "errors"}


def test_what_is_not_taken_says_why(office):
    (office.folder / "reports").mkdir()
    (office.folder / "reports" / "notes.txt").write_text("no picture")
    office.give("reprots/a.jpg", b"a")
    refused = dict(office.import_folder().refused)
    assert refused["reports/notes.txt"] == "notes.txt: no picture"
    assert "not a category" in refused["reprots"]


def test_a_folder_that_is_none_is_a_usage_error(office):
    with pytest.raises(UsageError, match="No such file"):
        transfer.import_folder(office.db, office.folder / "none", CATEGORIES, stage=office.stage, who="ann", now=1.0)


def test_a_csv_by_hash_and_by_files_beside_it(office):
    known = put_picture(office.db, office.data_dir, b"known")
    beside = office.give("sub/a.jpg", b"a")
    report = office.import_csv(f"\ufeffsha256,name,label\n{known.upper()},,errors\n,sub/a.jpg,reports\n")
    assert (report.labelled, report.refused) == (2, [])
    assert office.labels() == {known: "errors", beside: "reports"}


def test_a_csv_by_the_name_of_a_collected_file(office):
    unique = put_picture(office.db, office.data_dir, b"1", path=b"1/only here.jpg")
    by_path = put_picture(office.db, office.data_dir, b"2", path=b"2/image001.jpg")
    put_picture(office.db, office.data_dir, b"3", path=b"3/image001.jpg")
    not_text = put_picture(office.db, office.data_dir, b"4", path=b"4/\xff.jpg")
    report = office.import_csv(
        "name,label\nonly here.jpg,errors\n2/image001.jpg,errors\nimage001.jpg,reports\n"
        "none.jpg,errors\n\udcff.jpg,junk\n"
    )
    assert office.labels() == {unique: "errors", by_path: "errors", not_text: "junk"}
    assert dict(report.refused) == {
        "image001.jpg": "several pictures have this name",
        "none.jpg": "there is no such picture",
    }


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/hostname", "sub/../../secret.jpg", "link.jpg"])
def test_a_csv_names_nothing_outside_its_folder(office, name, tmp_path):
    (tmp_path / "secret.jpg").write_bytes(JPEG + b"secret")
    (office.folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    report = office.import_csv(f"name,label\n{name},errors\n")
    assert report.refused == [(name, "there is no such picture")]
    assert not (office.data_dir / "staging").exists()


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("0" * 64 + ",errors", "there is no picture"),
        ("xyz,errors", "not a sha256"),
        ("0" * 64 + ",unsure", "'unsure' is not a category"),
        ("0" * 64 + ",", "'' is not a category"),
    ],
)
def test_a_bad_row_says_why_and_the_others_count(office, row, why):
    known = put_picture(office.db, office.data_dir, b"known")
    report = office.import_csv(f"sha256,label\n{row}\n{known},errors\n")
    assert report.labelled == 1 and why in report.refused[0][1]


@pytest.mark.parametrize("text", ["", "name\na.jpg\n", "label\nerrors\n", "a,b\n1,2\n"])
def test_a_csv_without_its_columns_is_a_usage_error(office, text):
    with pytest.raises(UsageError, match="needs the columns"):
        office.import_csv(text)


def test_an_erased_picture_is_not_labelled(office):
    sha256 = put_picture(office.db, office.data_dir, b"known")
    with office.db.write() as session:
        session.execute(update(Picture).values(state="erased"))
    assert "was erased" in office.import_csv(f"sha256,label\n{sha256},errors\n").refused[0][1]


def test_an_export_is_every_label_once_with_who_and_how(office):
    first, second = sorted(put_picture(office.db, office.data_dir, content) for content in (b"a", b"b"))
    with office.db.write() as session:
        for sha256, new, who, how in ((first, "errors", "=cmd|calc", "page"), (second, "reports", "folder", "folder")):
            labels.record(session, sha256=sha256, new=new, who=who, at=0.0, how=how, key=f"{sha256}{new}")
        labels.record(session, sha256=first, new="reports", who="@ann", at=86400.0, how="import", key="again")
        labels.record(session, sha256=second, new="skip", who="bob", at=9.0, how="page", key="skip")
    path = office.folder / "out.csv"
    assert transfer.export_csv(office.db, path) == 2
    assert list(csv.reader(path.read_text().splitlines())) == [
        ["sha256", "label", "who", "at", "how"],
        [first, "reports", "'@ann", "1970-01-02T00:00:00Z", "import"],
        [second, "reports", "folder", "1970-01-01T00:00:00Z", "folder"],
    ]
    assert [entry.name for entry in office.folder.iterdir()] == ["out.csv"]


def test_an_export_can_be_imported_elsewhere(office):
    sha256 = office.give("errors/a.jpg", b"a")
    office.import_folder()
    transfer.export_csv(office.db, office.folder / "labels.csv")
    report = office.import_csv((office.folder / "labels.csv").read_text())
    assert (report.unchanged, office.labels()) == (1, {sha256: "errors"})


def test_an_export_that_fails_leaves_the_old_file(office, monkeypatch):
    path = office.folder / "out.csv"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(OSError, match="full"):
        transfer.export_csv(office.db, path)
    assert path.read_text() == "old" and len(list(office.folder.iterdir())) == 1


def _full(_):
    raise OSError("full")


def test_a_folder_export_holds_the_pictures_by_category(office, tmp_path):
    first, second = office.give("reports/a.jpg", b"a"), office.give("errors/b.jpg", b"b")
    office.import_folder()
    store.remove(office.data_dir, second)  # archived
    out = tmp_path / "out"
    assert transfer.export_folder(office.db, office.data_dir, out) == 1
    assert [str(path.relative_to(out)) for path in out.rglob("*.*")] == [f"reports/{first}.jpg"]
    assert (out / "reports" / f"{first}.jpg").read_bytes() == JPEG + b"a"


@pytest.mark.parametrize("text", ["=cmd|calc.jpg", "+1", "-1", "@sum", "\tx", "\rx"])
def test_a_formula_is_quoted(text):
    assert transfer.csv_cell(text) == "'" + text


@given(st.text())
def test_a_cell_comes_back_as_it_went(text):
    assert transfer.plain_cell(transfer.csv_cell(text)) == text
