"""How soon is a large tree known, and how soon is news found in it? Ours beside `find -type f` and the article's loop.

    python -m bench.scan [--folders 20000] [--files 50] [--tree DIR]

The first scan of a source, the second (which confirms every folder), unchanged ones, and one with 200 new files; then
memory at a tenth of the tree against the whole. The article's loop visits every folder of a user and looks at every
name; it keeps nothing, so it cannot tell what is new. The files are empty: only names and times are looked at.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import table
from ticketbot import settings
from ticketbot.collect import walk
from ticketbot.db import connect, migrate

NEW_FILES = 200
RUNS, FIRST_RUNS = 5, 3


def rows(folders=2_000, files=50, tree=None):
    """Four rows; `tree`: where the tree lies or is made (and then left)."""
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as folder:
        root = make_tree(Path(tree) if tree else Path(folder) / "erp", folders, files)
        found = measure(root, Path(folder))
        small = make_tree(Path(folder) / "small", max(1, folders // 10), files)
        found["memory_mb"] = memory_mb(root) - memory_mb(small)
    count = f"{folders * files:,} files in {folders:,} folders"
    return [
        table.row(
            f"scan: first, {count}", found["first_s"] / found["find_s"], "<= 8 x find", lambda ratio: ratio <= 8,
            f"{found['first_s']:.2f} s; find {found['find_s']:.2f} s; second {found['second_s']:.2f} s",
        ),
        table.row(
            f"scan: unchanged, {count}", found["unchanged_s"] / 0.15, "<= 0.15 s", lambda ratio: ratio <= 1,
            f"{found['unchanged_s']:.3f} s; the article's loop {found['article_s']:.2f} s",
        ),
        table.row(
            f"scan: unchanged against the article's loop, {count}", found["unchanged_s"] / found["article_s"],
            "<= 1/20", lambda ratio: ratio <= 1 / 20, f"{found['article_s'] / found['unchanged_s']:.0f} x as fast",
        ),
        table.row(
            f"scan: {NEW_FILES} new files, {count}", found["new_s"] / 0.3, "<= 0.3 s", lambda ratio: ratio <= 1,
            f"{found['new_s']:.3f} s",
        ),
        table.row(
            f"scan: memory of ten times the files, {count}", found["memory_mb"] / 16, "<= 16 MB more",
            lambda ratio: ratio <= 1, f"{found['memory_mb']:.1f} MB more",
        ),
    ]  # fmt: skip


def make_tree(root, folders, files):
    if root.exists():
        return root
    root.mkdir(parents=True)
    for folder in range(folders):
        make_folder(root / f"user{folder:05d}", files)
    return root


def make_folder(path, files):
    path.mkdir()
    descriptor = os.open(path, os.O_RDONLY)
    for number in range(files):
        os.close(os.open(f"Screenshot {number:03d}.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)


def measure(root, folder):
    times = first(root, folder)
    times["article_s"] = timed(3, lambda: articles_loop(root))
    db, source, collect = scanner(root, folder)

    def scan(after_s):
        scan.now += after_s
        started = time.perf_counter()
        report = walk.scan(db, "erp", source, collect, now=scan.now)
        return time.perf_counter() - started, report

    scan.now = time.time()
    scan(0)
    times["second_s"], _ = scan(60)
    unchanged = [scan(60) for _ in range(RUNS)]
    assert all(report.folders_listed == 0 for _, report in unchanged)
    times["unchanged_s"] = statistics.median(took for took, _ in unchanged)
    times["new_s"] = new_files(root, scan)
    db.close()
    return times


def first(root, folder):
    """Medians of a first scan, each into a new database, and of find, in turn on the same warm tree."""
    find(root)
    took = {"find_s": [], "first_s": []}
    for number in range(FIRST_RUNS):
        place = folder / f"first{number}"
        place.mkdir()
        db, source, collect = scanner(root, place)
        took["find_s"] += [timed(1, lambda: find(root)) for _ in range(3)]
        took["first_s"].append(timed(1, lambda: walk.scan(db, "erp", source, collect, now=time.time())))  # noqa: B023
        db.close()
        shutil.rmtree(place)
    return {name: statistics.median(some) for name, some in took.items()}


def scanner(root, folder):
    made = settings.load(None, {"TICKETBOT_GENERAL__DATA_DIR": str(folder), "TICKETBOT_SOURCES__ERP__ROOT": str(root)})
    db = connect(f"sqlite:///{folder / 'bench.db'}")
    migrate.upgrade(db)
    return db, made.sources["erp"], made.collect


def new_files(root, scan):
    """Each in a folder of its own."""
    folders = sorted(os.listdir(root))
    chosen = folders[:: max(1, len(folders) // NEW_FILES)][:NEW_FILES]
    paths = [root / name / "new one.jpg" for name in chosen]
    for path in paths:
        path.touch()
    try:
        took_s, report = scan(60)
        assert report.new == len(paths)
    finally:
        for path in paths:
            path.unlink()
    return took_s


def find(root):
    subprocess.run(["find", str(root), "-type", "f"], stdout=subprocess.DEVNULL, check=True)


def articles_loop(root):
    """for user in os.listdir(attach): for name in os.listdir(user): if name.endswith(".jpg"): if os.path.isfile(…)"""
    count = 0
    for user in os.listdir(root):
        folder = os.path.join(root, user)
        if os.path.isdir(folder):
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                count += name.endswith(".jpg") and os.path.isfile(path)
    return count


def timed(runs, deed):
    took = []
    for _ in range(runs):
        started = time.perf_counter()
        deed()
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def memory_mb(root):
    """How much a first and an unchanged scan add to a fresh process, at their highest."""
    done = subprocess.run([sys.executable, "-m", "bench.scan", "--memory", str(root)], capture_output=True, check=True)
    return float(done.stdout)


def memory_of(root):
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as folder:
        db, source, collect = scanner(Path(root), Path(folder))
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest so far
        before = peak_mb()
        for number in range(3):
            walk.scan(db, "erp", source, collect, now=time.time() + 60 * number)
        db.close()
        return peak_mb() - before


def peak_mb():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", type=int, default=2_000)
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--tree", help="made when it is not there")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(memory_of(arguments.memory))
        return
    table.show(rows(arguments.folders, arguments.files, arguments.tree))


if __name__ == "__main__":
    main()
