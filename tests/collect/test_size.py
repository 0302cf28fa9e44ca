"""Is a large tree walked once, in little memory, and passed over when nothing changed?"""

import itertools
import os

import pytest
from sqlalchemy import func, select

from ticketbot.db.models import File

FOLDERS, FILES_EACH = 400, 50


def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def count_of_files(tree):
    """Not tree.files(): 20,000 of its objects are memory that the scan did not take."""
    with tree.db.read() as session:
        return session.scalar(select(func.count()).select_from(File))


@pytest.mark.slow
def test_twenty_thousand_files(collector):
    tree = collector()
    for folder in range(FOLDERS):
        (tree.root / str(folder)).mkdir()
        for number in range(FILES_EACH):
            os.close(os.open(tree.root / str(folder) / f"{number}.jpg", os.O_CREAT | os.O_WRONLY))
    looks = itertools.count()
    tree.scan(stop=lambda: next(looks) > 40)  # for imports, caches, pools
    before_mb = resident_mb()
    tree.scan(5)
    assert count_of_files(tree) == FOLDERS * FILES_EACH
    assert resident_mb() - before_mb < 10
    for _ in range(2):
        tree.scan(5)
    report = tree.scan(5)
    assert (report.folders_listed, report.folders_unchanged) == (0, FOLDERS + 1)
    assert resident_mb() - before_mb < 10
