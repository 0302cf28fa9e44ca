"""The command, for real: features, folds, files, and a browser that decides."""

import csv
import json

import pytest
from click.testing import CliRunner

from tests.support.chromium import chromium
from tests.trainer.conftest import draw, make_folder
from ticketbot.contracts import cleaned, suspects
from ticketbot.contracts.suspects import Suspect
from trainer.clean.sheet import page
from trainer.cli import cli

CLASSES = ("across", "dots")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Twelve pictures of two classes; three bars across lie among the dots, one of them twice."""
    folder = make_folder(tmp_path_factory.mktemp("clean") / "pictures", kinds=("across", "dots"))
    for name, number in (("wrong 1", 50), ("wrong 2", 51), ("wrong 3", 52)):
        draw("across", number).save(folder / "dots" / f"{name}.jpg", quality=90)
    again = (folder / "dots" / "wrong 3.jpg").read_bytes() + b"the same pixels"
    (folder / "dots" / "wrong 3 again.jpg").write_bytes(again)
    return folder


@pytest.fixture(scope="module")
def clean(recipe, cache):
    def run(*words):
        arguments = ["clean", *map(str, words), "--recipe", str(recipe), "--cache", str(cache), "--threads", "1"]
        done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done

    return run


@pytest.mark.train
@pytest.mark.parametrize("ranking", [[], ["--top-losses"]], ids=["out of fold", "top losses"])
def test_wrong_labels_come_first_and_nothing_is_changed(pictures, clean, tmp_path, ranking):
    before = sorted(pictures.rglob("*.jpg"))
    clean(pictures, "--out", tmp_path / "out", *ranking)
    found = suspects.read(tmp_path / "out" / "suspects.csv")
    assert len(found) == 28 and sorted(pictures.rglob("*.jpg")) == before
    assert sum(one.name.startswith("dots/wrong") for one in found[:6]) >= 3
    alike = [one for one in found if one.name.startswith("dots/wrong 3")]
    assert alike[0].group == alike[1].group and abs(found.index(alike[0]) - found.index(alike[1])) == 1


@pytest.mark.train
def test_decisions_become_cleaned_rows_and_the_second_pass_knows_them(pictures, clean, tmp_path):
    out, decisions = tmp_path / "out", tmp_path / "decisions.csv"
    clean(pictures, "--out", out)
    first = [
        cleaned.Decision("dots/wrong 1.jpg", "relabel", "across", "dots", "ann", "2026-01-01T10:00:00Z"),
        cleaned.Decision("dots/wrong 2.jpg", "delete", "", "dots", "ann", "2026-01-01T10:00:01Z", "blurred"),
        cleaned.Decision("dots/picture 1.jpg", "keep", "dots", "dots", "ann", "2026-01-01T10:00:02Z"),
    ]
    cleaned.write_decisions(decisions, first)
    done = clean(pictures, "--out", out, "--apply", decisions)
    assert "27 of 28 pictures; 1 keep, 1 relabel, 1 delete" in done.stdout
    rows = cleaned.read_cleaned(out / "cleaned.csv", CLASSES)
    assert rows["dots/wrong 1.jpg"] == "across" and "dots/wrong 2.jpg" not in rows and len(rows) == 27
    assert "3 were decided before" in clean(pictures, "--out", out).stdout
    assert not {one.name for one in first} & {one.name for one in suspects.read(out / "suspects.csv")}
    cleaned.write_decisions(decisions, [cleaned.Decision("gone.jpg", "delete", "", "dots", "bob", "2026-01-02T00:00Z")])
    done = clean(pictures, "--out", out, "--apply", decisions)
    assert "1 decisions are about pictures that are not there" in done.stderr
    assert len(cleaned.read_decisions(out / "decisions.csv", CLASSES)) == 4
    assert cleaned.read_cleaned(out / "cleaned.csv", CLASSES) == rows


@pytest.mark.train
def test_a_decision_for_a_class_that_is_none_is_refused_and_changes_nothing(pictures, recipe, cache, tmp_path):
    decisions = tmp_path / "decisions.csv"
    word = cleaned.Decision("dots/wrong 1.jpg", "relabel", "cats", "dots", "ann", "2026-01-01T10:00:00Z")
    cleaned.write_decisions(decisions, [word])
    arguments = ["clean", str(pictures), "--out", str(tmp_path / "out"), "--apply", str(decisions)]
    done = CliRunner().invoke(cli, [*arguments, "--cache", str(cache), "--recipe", str(recipe)])
    assert "'cats' is not a class" in str(done.exception) and not (tmp_path / "out").exists()


def suspect(name, number, group=0, size=1):
    return Suspect(name, f"{number:064x}", "dots", "across", 0.1, 0.8, group, size, False)


@pytest.fixture
def sheet(tmp_path):
    folder = make_folder(tmp_path / "pictures", kinds=("dots",), each=4)
    names = ["dots/picture 0.jpg", "dots/picture 1.jpg", "dots/picture 2.jpg", "=cmd</script><b>.jpg"]
    paths = {name: folder / "dots" / f"picture {number}.jpg" for number, name in enumerate(names)}
    groups = [1, 2, 1, 3]
    found = [suspect(name, number, groups[number], groups.count(groups[number])) for number, name in enumerate(names)]
    path = tmp_path / "suspects.html"
    path.write_text(page(found, paths, CLASSES))
    return path


@pytest.mark.browser
def test_decisions_are_made_with_keys_remembered_and_saved(sheet, tmp_path):
    with chromium() as browser:
        context = browser.new_context(accept_downloads=True)
        tab = context.new_page()
        problems = []
        tab.on("console", lambda message: message.type == "error" and problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.goto(sheet.as_uri())
        assert tab.locator("article").count() == 4 and tab.locator("b").count() == 0
        assert tab.evaluate("[...document.images].every(one => one.naturalWidth > 0)")
        for key in ("Shift+1", "d", "u", "k", "d"):  # the look-alikes of the first; undone; keep; delete
            tab.keyboard.press(key)
        assert tab.text_content("#progress") == "4 of 4 decided, the last 0 were fine"
        tab.reload()
        assert tab.text_content("#progress") == "4 of 4 decided, the last 0 were fine"
        tab.click("#save")
        assert tab.evaluate("document.getElementById('who').matches(':invalid')")  # a decision is somebody's
        tab.fill("#who", "@ann, Köln")
        with tab.expect_download() as download:
            tab.click("#save")
        download.value.save_as(tmp_path / "decisions.csv")
        context.close()
    assert problems == []
    found = cleaned.read_decisions(tmp_path / "decisions.csv", CLASSES)
    assert [(one.name, one.decision, one.label, one.old) for one in found] == [
        ("dots/picture 0.jpg", "relabel", "across", "dots"),
        ("dots/picture 1.jpg", "keep", "dots", "dots"),
        ("dots/picture 2.jpg", "relabel", "across", "dots"),
        ("=cmd</script><b>.jpg", "delete", "", "dots"),
    ]
    assert {one.who for one in found} == {"@ann, Köln"}
    cells = [cell for row in csv.reader((tmp_path / "decisions.csv").read_text().splitlines()) for cell in row]
    assert "'@ann, Köln" in cells and not [cell for cell in cells if cell.startswith(("=", "@"))]


def test_a_sheet_is_one_file_that_loads_nothing(sheet):
    text = sheet.read_text()
    assert "http://" not in text and "https://" not in text and "default-src 'none'" in text
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert data["suspects"][3]["name"] == "=cmd</script><b>.jpg"
