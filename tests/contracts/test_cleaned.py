import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketbot.contracts import cleaned, tables
from ticketbot.contracts.cleaned import Decision
from ticketbot.errors import UsageError

CLASSES = ("errors", "reports", "screens")


def word(name="errors/a.jpg", decision="relabel", label="reports", at=0.0, who="ann", reason=""):
    return Decision(name, decision, "" if decision == "delete" else label, "errors", who, cleaned.when(at), reason)


def test_decisions_come_back_as_they_were_written(tmp_path):
    said = [word(), word('errors/ü, "b".jpg', "keep"), word("errors/\udcff.jpg", "delete", reason="a, b\nc")]
    cleaned.write_decisions(tmp_path / "decisions.csv", said)
    assert cleaned.read_decisions(tmp_path / "decisions.csv", CLASSES) == said


def test_no_cell_is_a_formula(tmp_path):
    said = [word("=cmd|calc.jpg", who="@SUM(A1)", reason="-1+1"), word("'=x")]
    cleaned.write_decisions(tmp_path / "decisions.csv", said)
    cells = [cell for row in csv.reader((tmp_path / "decisions.csv").read_text().splitlines()) for cell in row]
    assert "'=cmd|calc.jpg" in cells and not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert cleaned.read_decisions(tmp_path / "decisions.csv", CLASSES) == said


@given(st.text())
def test_a_cell_comes_back_as_it_went_and_starts_no_formula(text):
    cell = tables.csv_cell(text)
    assert tables.plain_cell(cell) == text and not cell.startswith(tables.FORMULA)


def test_the_second_pass_keeps_the_first_ones_decisions():
    first = [word("a", at=1), word("b", "delete", at=2)]
    second = [word("b", "keep", "errors", at=3), word("c", at=4)]
    every = cleaned.merged(first, second)
    assert every == [*first, *second] == cleaned.merged(first, every, second)
    labels = dict.fromkeys("abcd", "errors")
    assert cleaned.applied(labels, every) == {"a": "reports", "b": "errors", "c": "reports", "d": "errors"}


def test_an_older_pass_merged_late_does_not_win():
    assert (
        cleaned.latest(cleaned.merged([word("a", "keep", at=9)], [word("a", "delete", at=1)]))["a"].decision == "keep"
    )


def test_at_the_same_moment_the_later_pass_wins():
    assert cleaned.latest(cleaned.merged([word("a", "keep")], [word("a", "delete")]))["a"].decision == "delete"


words = st.builds(
    word, st.sampled_from("abc"), st.sampled_from(cleaned.DECISIONS), st.sampled_from(CLASSES), st.integers(0, 5)
)


@given(st.lists(words), st.lists(words))
def test_merging_loses_nothing_and_is_ordered_by_time(first, second):
    every = cleaned.merged(first, second)
    assert set(every) == {*first, *second} and [one.at for one in every] == sorted(one.at for one in every)


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(CLASSES)), st.lists(words))
def test_what_is_left_is_what_was_there_without_the_deleted(labels, said):
    last = cleaned.latest(cleaned.merged(said))
    deleted = {name for name, one in last.items() if one.decision == "delete"}
    assert set(cleaned.applied(labels, cleaned.merged(said))) == set(labels) - deleted


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("a,burn,errors,errors,ann,2026-01-01T00:00:00Z,", "'burn' is not a decision"),
        ("a,relabel,cats,errors,ann,2026-01-01T00:00:00Z,", "'cats' is not a class"),
        ("a,keep,,errors,ann,2026-01-01T00:00:00Z,", "'' is not a class"),
        ("a,delete,errors,errors,ann,2026-01-01T00:00:00Z,", "has no label"),
        ("a,keep,errors,errors,ann,yesterday,", "when: "),
        ("a,keep,errors,errors,ann,2026-01-01T00:00:00,", "no time zone"),
        (",keep,errors,errors,ann,2026-01-01T00:00:00Z,", "no name"),
        ("a,keep", "'' is not a class"),
        ('a,"keep', "not a CSV file"),
    ],
)
def test_a_bad_decision_is_refused_with_its_line(tmp_path, row, why):
    path = tmp_path / "decisions.csv"
    path.write_text(",".join(cleaned.COLUMNS) + "\n" + row + "\n")
    with pytest.raises(UsageError, match=r"decisions\.csv") as refused:
        cleaned.read_decisions(path, CLASSES)
    assert why in str(refused.value)


def test_cleaned_rows_come_back(tmp_path):
    rows = {"errors/a.jpg": "reports", "=b.jpg": "errors"}
    cleaned.write_cleaned(tmp_path / "cleaned.csv", rows)
    assert (tmp_path / "cleaned.csv").read_text().splitlines()[0] == "name,label"
    assert cleaned.read_cleaned(tmp_path / "cleaned.csv", CLASSES) == rows


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,label\na,cats\n", "line 2: 'cats' is not a class; there are errors, reports, screens"),
        ("name,label\na,errors\na,reports\n", "line 3: a has two labels"),
        ("file,label\na,errors\n", "name missing"),
        ("", "missing"),
    ],
)
def test_a_wrong_cleaned_file_is_refused(tmp_path, text, why):
    path = tmp_path / "cleaned.csv"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        cleaned.read_cleaned(path, CLASSES)
    assert why in str(refused.value)


def test_a_file_a_spreadsheet_saved_with_its_mark_is_read(tmp_path):
    path = tmp_path / "cleaned.csv"
    path.write_bytes("\ufeffname,label\r\na,errors\r\n".encode())
    assert cleaned.read_cleaned(path, CLASSES) == {"a": "errors"}
