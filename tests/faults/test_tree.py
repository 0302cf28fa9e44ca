"""F9: a tree of 20,000 files, hostile names among them, in flat memory, each stable picture exactly once.

Special files, swap races and single names are tested in tests/collect; here it is the number.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.collect.test_walk import HOSTILE_NAMES
from tests.faults.sizes import SIZE
from tests.support.world import ROOT

FILES_A_FOLDER = 100
FLAT_MB = 10
SCAN = """
import json, sys, time
from pathlib import Path
from tests.support.settings import make_settings
from ticketbot.collect import walk
from ticketbot.db import connect
from ticketbot.db.models import Base

def rss_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

folder, names = Path(sys.argv[1]), sys.argv[2:]
settings = make_settings(folder, {f"sources.{name}.root": folder / name for name in names})
db = connect(settings.database_url)
Base.metadata.create_all(db.engine)
for name in names:
    began = time.monotonic()
    report = walk.scan(db, name, settings.sources[name], settings.collect, now=1.0)
    seconds = time.monotonic() - began
    print(json.dumps({"new": report.new, "incomplete": report.incomplete, "rss_mb": rss_mb(), "seconds": seconds}))
"""


def make_tree(root, files):
    """`files` pictures in folders of 100, and every hostile name in ten of the folders."""
    made = 0
    for number in range(-(-files // FILES_A_FOLDER)):
        folder = os.fsencode(root / f"{number % 1000}" / f"{number}")
        os.makedirs(folder)
        names = [b"%d.jpg" % one for one in range(FILES_A_FOLDER)]
        if number < 10:
            names[: len(HOSTILE_NAMES)] = HOSTILE_NAMES
        for name in names[: files - made]:
            os.close(os.open(folder + b"/" + name, os.O_CREAT | os.O_WRONLY))
            made += 1


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_large_tree_with_hostile_names_is_scanned_in_flat_memory(tmp_path, capsys):
    sizes = {"warm": 2000, "large": SIZE.tree_files}
    for name, files in sizes.items():
        make_tree(tmp_path / name, files)
    done = subprocess.run(
        [sys.executable, "-c", SCAN, str(tmp_path), *sizes], cwd=ROOT, capture_output=True, text=True, check=True
    )
    warm, large = (json.loads(line) for line in done.stdout.splitlines())
    grown_mb = large["rss_mb"] - warm["rss_mb"]
    with capsys.disabled():
        print(
            f"\n{large['new']} files in {large['seconds']:.1f} s, memory {large['rss_mb']:.0f} MB,"
            f" {grown_mb:+.1f} MB against 2,000 files"
        )
    assert (warm["new"], large["new"]) == (2000, SIZE.tree_files), "every file exactly once"
    assert warm["incomplete"] is None and large["incomplete"] is None
    assert grown_mb < FLAT_MB
