"""F3: does everything we write get to the disk before it gets its name, and its name before anybody relies on it?

Read from the system calls, because a power cut cannot be tested here. The staging of pictures has the same test in
tests/collect/test_fsync_order.py.
"""

import re
import shutil
import subprocess
import sys

import pytest

from tests.support.needs import missing
from tests.support.world import ROOT

CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)")
WATCHED = "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,sendfile,copy_file_range"
START = """
import sys
from pathlib import Path
from tests.support.bundles import make_bundle
from tests.support.settings import make_settings
from ticketbot.db import connect, crypt
from ticketbot.db.models import Base
folder = Path(sys.argv[1])
settings = make_settings(folder)
db = connect(settings.database_url)
Base.metadata.create_all(db.engine)
"""
SHELF = """
from ticketbot.retrain import shelf
make_bundle(folder / "made", model_id="m1")
shelf.probe = lambda copy: {}
shelf.register(db, settings, folder / "made")
"""
SNAPSHOT = """
from ticketbot.contracts import snapshot
snapshot.write(folder / "snapshot", snapshot.Snapshot(("a", "b"), ".", (), 1.0))
"""
EXPORT = """
from ticketbot.review import transfer
transfer.export_csv(db, folder / "export.csv")
"""
KEY = """
crypt.derived_key(settings, "test")
"""


@pytest.fixture
def calls_of(tmp_path):
    """calls_of(code) -> (name, arguments) of every successful call that writes, syncs or renames, in order."""
    if shutil.which("strace") is None:
        missing("strace is not installed (apt-get install strace)")

    def run(code):
        trace = tmp_path / "trace"
        command = ["strace", "-f", "-y", "-e", f"trace={WATCHED}", "-o", str(trace), sys.executable, "-c", START + code]
        done = subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
        if "Operation not permitted" in done.stderr:
            missing("strace may not trace here (ptrace)")
        assert done.returncode == 0, done.stderr
        found = [CALL.search(line) for line in trace.read_text().splitlines()]
        return [(call.group(1), call.group(2)) for call in found if call and int(call.group(3)) >= 0]

    return run


def first(calls, name, pattern, after=-1):
    """Position of the first such call after another."""
    for at, (called, arguments) in enumerate(calls):
        if at > after and re.fullmatch(name, called) and re.search(pattern, arguments):
            return at
    raise AssertionError(f"no {name} of {pattern} after call {after}")


def last(calls, name, pattern):
    return max(at for at, (called, text) in enumerate(calls) if re.fullmatch(name, called) and re.search(pattern, text))


@pytest.mark.parametrize(
    ("code", "draft", "target", "folder"),
    [
        (SNAPSHOT, r"/\.snapshot\.json\.\d+\.tmp>", r"/snapshot/snapshot\.json\"", r"/snapshot>"),
        (EXPORT, r"/\.export\.csv\.\d+\.tmp>", r"/export\.csv\"", r"/test_a_file[^/]*>"),
        (KEY, r"/\.secret\.key\.\d+\.\w+>", r"/secret\.key\"", r"/var>"),
    ],
    ids=["snapshot", "export", "key"],
)
def test_a_file_is_on_the_disk_before_it_has_its_name_and_the_name_after_it(calls_of, code, draft, target, folder):
    calls = calls_of(code)
    written = last(calls, "write", draft)
    synced = first(calls, "fsync", draft, written)
    named = first(calls, "rename.*|link.*", target, synced)
    first(calls, "fsync", folder, named)


def test_a_bundle_is_whole_on_the_disk_before_it_is_on_the_shelf_and_there_before_its_row(calls_of):
    calls = calls_of(SHELF)
    copy = r"/models/\.m1\.\d+\.tmp"
    named = first(calls, "rename.*", copy + r"\", .*/models/m1\"")
    for name in (r"model\.onnx", r"report\.html", r"manifest\.json"):
        written = last(calls, "write|sendfile|copy_file_range", copy + "/" + name)
        assert written < first(calls, "fsync", copy + "/" + name, written) < named
    assert first(calls, "fsync", copy + ">") < named
    shelf = first(calls, "fsync", r"/models>", named)
    row = first(calls, "pwrite64", r"ticketbot\.db-wal>", named)
    assert shelf < row < first(calls, "fdatasync", r"ticketbot\.db-wal>", row)
