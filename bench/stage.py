"""How long until 10,000 settled files are staged? Ours beside the article's `cp` per file and `cp -r` with sync.

    python -m bench.stage [--files 10000] [--kb 20]

Ours reads each file through the descriptor it looked at, hashes it, writes it under its hash, syncs bytes and names in
batches before the rows say that they are there, and writes the rows. `cp` per file is a shell loop, one process a file,
and syncs nothing; `cp -r` is one process, and one `sync -f` at its end.
"""

import argparse
import os
import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench import table
from tests.support.settings import make_settings
from ticketbot.collect import staging, walk
from ticketbot.db import connect, migrate

PER_FILE, WHOLE = 2.0, 0.5
FILES_A_FOLDER = 50
# In turn, medians are taken. Nothing is deleted in between: for minutes ext4 steps over the numbers of deleted files,
# and a new file then takes ten times as long, whoever makes it.
RUNS = 3


def rows(files=10_000, kb=20, folder=None):
    """`folder`: where to work, on the disk that is to be measured; default: the system's temporary folder."""
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-", dir=folder) as place:
        root, there = Path(place) / "erp", Path(place)
        make_tree(root, files, kb)
        ours, whole = [], []
        for number in range(RUNS):
            ours.append(staged(there / f"ours{number}", root, files))
            whole.append(table.seconds(lambda: cp_whole(root, there / f"whole{number}"))())  # noqa: B023
        loop_s = table.seconds(lambda: cp_each(root, there / "each"))()
        ours_s, whole_s = statistics.median(ours), statistics.median(whole)
    what = f"{ours_s:.1f} s for {files:,} files of {kb} KB"
    return [
        table.row(
            "staging: against cp per file", loop_s / ours_s, f">= {PER_FILE} x", table.at_least(PER_FILE),
            f"{what}; cp per file {loop_s:.1f} s, nothing synced", ours_s=ours_s, cp_s=loop_s,
        ),
        table.row(
            "staging: against cp -r and sync", whole_s / ours_s, f">= {WHOLE} x", table.at_least(WHOLE),
            f"{what}; cp -r and sync {whole_s:.1f} s", ours_s=ours_s, cp_s=whole_s,
        ),
    ]  # fmt: skip


def make_tree(root, files, kb):
    dice = random.Random(1)
    for number in range(files):
        folder = root / f"user{number // FILES_A_FOLDER:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"Screenshot {number}.jpg").write_bytes(b"\xff\xd8\xff" + dice.randbytes(kb * 1024))
    subprocess.run(["sync", "-f", str(root)], check=True)


def staged(folder, root, files):
    """Seconds of the staging alone; the scan before it is another bench."""
    settings = make_settings(folder, {"sources.erp.root": str(root), "sources.erp.settle_s": 0})
    source = settings.sources["erp"]
    db = connect(settings.database_url)
    migrate.upgrade(db)
    now = time.time()
    walk.scan(db, "erp", source, settings.collect, now=now)
    started = time.perf_counter()
    report = staging.stage(db, "erp", source, settings.data_dir, now=now + 60)
    took_s = time.perf_counter() - started
    db.close()
    assert report.staged == files, report
    return took_s


def cp_each(root, target):
    """The article's way."""
    target.mkdir()
    script = 'n=0; find "$1" -type f | while IFS= read -r f; do n=$((n+1)); cp "$f" "$2/$n.jpg"; done'
    subprocess.run(["sh", "-c", script, "sh", str(root), str(target)], check=True)
    assert len(os.listdir(target))


def cp_whole(root, target):
    subprocess.run(["cp", "-r", str(root), str(target)], check=True)
    subprocess.run(["sync", "-f", str(target)], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--kb", type=int, default=20)
    parser.add_argument("--folder", help="work here: the disk to be measured")
    table.show(rows(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
