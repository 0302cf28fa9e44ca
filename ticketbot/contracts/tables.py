"""How do tables cross to people and their spreadsheets, and come back as they went?

CSV with a heading, UTF-8 with or without a mark. Cells that a spreadsheet would run as a formula get a ' in front on
the way out and lose it on the way in.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable
from pathlib import Path

from ticketbot.contracts.files import write_whole
from ticketbot.errors import UsageError

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def read(path: Path, columns: Collection[str]) -> list[tuple[int, dict[str, str]]]:
    """(line, {column: text}) of its rows. Raises UsageError when it is no CSV with these columns.

    Names of files may hold bytes that are no text (surrogateescape).
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if missing := set(columns) - set(reader.fieldnames or ()):
                needs = " and ".join(columns)
                raise UsageError(f"{path}: needs the columns {needs}; {', '.join(sorted(missing))} missing")
            return [(reader.line_num, {column: plain_cell(row[column] or "") for column in columns}) for row in reader]
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except csv.Error as error:
        raise UsageError(f"{path}: not a CSV file: {error}") from None


def write(path: Path, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Written whole: a reader sees the old table or the new one."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(columns)
    writer.writerows([csv_cell(cell) for cell in row] for row in rows)
    write_whole(path, stream.getvalue().encode("utf-8", "surrogateescape"))


def csv_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula; `plain_cell` gives back every text that was passed in."""
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) else text


def plain_cell(cell: str) -> str:
    """What `csv_cell` was given."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(FORMULA) else cell
