"""Does the row wait until the picture is on the disk? Read from the system calls: a power cut cannot be tested here."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.support.needs import missing
from ticketbot.contracts import store

STAGE_ONE = """
import sys
from pathlib import Path
from tests.support.settings import make_settings
from ticketbot.collect import staging, walk
from ticketbot.db import connect
from ticketbot.db.models import Base

tmp_path = Path(sys.argv[1])
settings = make_settings(tmp_path, {"sources.erp.root": tmp_path / "erp", "sources.erp.settle_s": 0})
db = connect(settings.database_url)
Base.metadata.create_all(db.engine)
source = settings.sources["erp"]
walk.scan(db, "erp", source, settings.collect, now=1.0)
print(staging.stage(db, "erp", source, settings.data_dir, now=100.0).staged)
"""
CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)")


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    return traced(tmp_path_factory.mktemp("strace"), files=1)


@pytest.fixture(scope="module")
def calls_of_many(tmp_path_factory):
    return traced(tmp_path_factory.mktemp("strace"), files=store.WHOLE_FROM)


def traced(tmp_path, files):
    """(name, arguments) of every successful call that writes, syncs or renames, in order; descriptors are paths."""
    if shutil.which("strace") is None:
        missing("strace is not installed (apt-get install strace)")
    (tmp_path / "erp" / "1").mkdir(parents=True)
    for number in range(files):
        (tmp_path / "erp" / "1" / f"{number}.jpg").write_bytes(b"\xff\xd8\xff picture %d" % number)
    trace = tmp_path / "trace"
    watched = "write,pwrite64,fsync,syncfs,fdatasync,rename,renameat,renameat2"
    command = ["strace", "-f", "-y", "-e", f"trace={watched}", "-o", str(trace)]
    done = subprocess.run(
        [*command, sys.executable, "-c", STAGE_ONE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    if "Operation not permitted" in done.stderr:
        missing("strace may not trace here (ptrace)")
    assert done.stdout.strip() == str(files), done.stderr
    found = [CALL.search(line) for line in trace.read_text().splitlines()]
    return [(call.group(1), call.group(2)) for call in found if call and int(call.group(3)) >= 0]


def first(calls, name, pattern, after=-1):
    """Position of the first such call after another."""
    for at, (called, arguments) in enumerate(calls):
        if at > after and re.fullmatch(name, called) and re.search(pattern, arguments):
            return at
    raise AssertionError(f"no {name} of {pattern} after call {after}")


def test_bytes_name_folder_and_only_then_the_row(calls):
    written = first(calls, "write", r"staging/tmp/[^>]*\.part>")
    synced = first(calls, "fsync", r"staging/tmp/[^>]*\.part>", written)
    renamed = first(calls, "rename.*", r"\.part.*staging/[0-9a-f]{2}/[0-9a-f]{64}\.jpg", synced)
    folder = first(calls, "fsync", r"staging/[0-9a-f]{2}>", renamed)
    row = first(calls, "pwrite64", r"ticketbot\.db-wal>", folder)
    first(calls, "fdatasync", r"ticketbot\.db-wal>", row)
    early = [call for call in calls[written:folder] if "ticketbot.db" in call[1]]
    assert early == []


def test_a_new_folder_is_synced_into_its_parent_before_the_picture_is_named(calls):
    parent = first(calls, "fsync", r"/staging>")
    assert parent < first(calls, "rename.*", r"\.part")


def test_of_many_the_file_system_is_synced_before_the_names_and_before_the_rows(calls_of_many):
    calls = calls_of_many
    written = [at for at, call in enumerate(calls) if call[0] == "write" and ".part>" in call[1]]
    renamed = [at for at, call in enumerate(calls) if call[0].startswith("rename") and ".part" in call[1]]
    assert len(renamed) == store.WHOLE_FROM
    bytes_synced = first(calls, "syncfs", "/staging>", max(written))
    assert bytes_synced < min(renamed)
    names_synced = first(calls, "syncfs", "/staging>", max(renamed))
    row = first(calls, "pwrite64", r"ticketbot\.db-wal>", max(renamed))
    assert names_synced < row
    assert [call for call in calls[min(written) : names_synced] if "ticketbot.db" in call[1]] == []
