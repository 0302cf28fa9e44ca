"""Decoder children are started late, shared by threads, replaced when they hang or die, and never left behind."""

import os
import platform
import signal
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.support import pictures
from ticketbot.errors import ImageError, Refused
from ticketbot.imaging import jail
from ticketbot.imaging.decode import DecoderPool

GOOD = pictures.make("ok_rgb.jpg")
SLOW = pictures.make("many_text_200000.png")  # more than a second


def children():
    return [child for child in psutil.Process().children() if "ticketbot.imaging.child" in child.cmdline()]


def pids(pool):
    return [child._process.pid for child in pool._crew.idle]


def gone(pid, within_s=5.0):
    deadline = time.monotonic() + within_s
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not psutil.pid_exists(pid)


def test_no_child_runs_before_it_is_needed_and_none_after_the_end():
    before = len(children())
    with DecoderPool(2) as pool:
        assert len(children()) == before
        pool.decode(GOOD)
        pool.decode(GOOD)
        assert len(children()) == before + 1  # one caller at a time needs one
        (pid,) = pids(pool)
    assert not psutil.pid_exists(pid)


def test_a_picture_that_takes_too_long_is_stopped():
    with DecoderPool(1) as pool:
        pool.decode(GOOD)
        (first,) = pids(pool)
        started_at = time.monotonic()
        with pytest.raises(ImageError) as refused:
            pool.decode(SLOW, timeout_s=0.2)
        assert time.monotonic() - started_at < 1.2
        assert refused.value.code == "decode_timeout"
        assert not psutil.pid_exists(first)  # not even as a zombie
        pool.decode(GOOD)
        assert pids(pool) != [first]


def test_a_child_that_reads_nothing_is_stopped_too():
    with DecoderPool(1) as pool:
        pool.decode(GOOD)
        (pid,) = pids(pool)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(ImageError) as refused:
            pool.decode(GOOD + bytes(10**6), timeout_s=0.3)
        assert refused.value.code == "decode_timeout"
        assert not psutil.pid_exists(pid)


def test_a_child_that_died_idle_is_replaced_unseen():
    with DecoderPool(1) as pool:
        pool.decode(GOOD)
        (pid,) = pids(pool)
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        assert pool.decode(GOOD).width == 40
        assert pids(pool) != [pid]


def test_a_child_that_dies_over_a_picture_makes_it_a_bad_one():
    with DecoderPool(1) as pool:
        pool.decode(GOOD)
        (pid,) = pids(pool)
        os.kill(pid, signal.SIGSTOP)
        killer = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(ImageError) as refused:
            pool.decode(GOOD)
        killer.join()
        assert refused.value.code == "bad_image"
        assert pool.decode(GOOD).width == 40


def test_a_child_is_replaced_after_its_share_of_pictures():
    with DecoderPool(1, recycle_after=3) as pool:
        seen = set()
        for _ in range(6):
            pool.decode(GOOD)
            seen.update(pids(pool))
        assert len(seen) == 2
        assert pids(pool) == []  # the sixth was the last of the second


def test_threads_share_a_pool_and_get_their_own_pictures():
    sizes = [(10 + n, 30) for n in range(40)]
    files = [pictures.encode(pictures.sample("RGB", size), "png") for size in sizes]
    with DecoderPool(2) as pool, ThreadPoolExecutor(8) as threads:
        widths = list(threads.map(lambda data: pool.decode(data).width, files))
        assert len(pids(pool)) <= 2
    assert widths == [width for width, _ in sizes]


def test_a_caller_who_waits_too_long_is_told_to_come_back():
    with DecoderPool(1, wait_s=0.1) as pool:
        pool.decode(GOOD)
        (pid,) = pids(pool)
        os.kill(pid, signal.SIGSTOP)
        other = threading.Thread(target=pool.decode, args=(GOOD,))
        other.start()
        time.sleep(0.1)
        with pytest.raises(Refused) as refused:
            pool.decode(GOOD)
        os.kill(pid, signal.SIGCONT)
        other.join()
    assert refused.value.code == "busy"
    assert refused.value.retryable


def test_a_closed_pool_says_so():
    pool = DecoderPool(1)
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.decode(GOOD)


def test_a_child_lent_to_a_thread_ends_with_the_pool():
    pool = DecoderPool(1)
    pool.decode(GOOD)
    (pid,) = pids(pool)
    os.kill(pid, signal.SIGSTOP)
    busy = threading.Thread(target=pool.decode, args=(GOOD,))
    busy.start()
    time.sleep(0.1)
    pool.close()
    assert psutil.pid_exists(pid)
    os.kill(pid, signal.SIGCONT)
    busy.join()
    assert not psutil.pid_exists(pid)


FORKING = """
import os, sys
from tests.support import pictures
from ticketbot.imaging.decode import DecoderPool
pool = DecoderPool(1)
good = pictures.make("ok_rgb.jpg")
pool.decode(good)
ours = pool._crew.idle[0]._process.pid
pid = os.fork()
if pid == 0:
    assert pool._crew.idle == []
    assert pool.decode(good).width == 40
    assert pool._crew.idle[0]._process.pid != ours
    pool.close()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
assert pool.decode(good).width == 40
assert pool._crew.idle[0]._process.pid == ours
pool.close()
print("both decoded")
"""

ABANDONING = """
import os, sys, time
from tests.support import pictures
from ticketbot.imaging.decode import DecoderPool
pool = DecoderPool(1)
pool.decode(pictures.make("ok_rgb.jpg"))
decoder_pid = pool._crew.idle[0]._process.pid
if os.fork() == 0:  # a process that lives on with copies of all our descriptors
    print(decoder_pid, flush=True)
    time.sleep(20)
    os._exit(0)
time.sleep(60)
"""


def script(text):
    return [sys.executable, "-c", text]


def test_a_forked_process_has_children_of_its_own():
    done = subprocess.run(script(FORKING), capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "both decoded\n", done.stderr


def test_a_child_dies_when_its_parent_is_killed():
    parent = subprocess.Popen(script(ABANDONING), stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
        parent.wait()
        assert gone(pid, within_s=3)
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.stdout.close()


def test_a_child_knows_none_of_our_secrets(monkeypatch):
    monkeypatch.setenv("TICKETBOT_SECRET", "whsec_1")
    with DecoderPool(1) as pool:
        pool.decode(GOOD)
        (pid,) = pids(pool)
        with open(f"/proc/{pid}/environ") as environ:
            assert "whsec_1" not in environ.read()
        with open(f"/proc/{pid}/limits") as limits:
            lines = {line[:25].strip(): line.split()[-3:-1] for line in limits}
    assert lines["Max file size"][0] == "0"
    assert lines["Max core file size"][0] == "0"
    assert lines["Max open files"] == ["32", "32"]
    assert lines["Max address space"][0] == str(1536 * 2**20)


def test_a_child_loads_no_decoder_it_does_not_need():
    names = "sorted(name for name in sys.modules if 'ImagePlugin' in name or name == 'numpy')"
    code = f"import sys, ticketbot.imaging.child; print(*{names})"
    done = subprocess.run(script(code), capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [f"PIL.{name}ImagePlugin" for name in ("Bmp", "Gif", "Jpeg", "Png", "WebP")]


DEEDS = {
    "read a file": "open('/etc/hostname')",
    "write a file": "os.open('/tmp/x', os.O_CREAT | os.O_WRONLY)",
    "delete a file": "os.unlink('/tmp/none')",
    "make a file without a name": "os.memfd_create('x')",
    "call somebody": "socket.socket()",
    "make a pair of sockets": "socket.socketpair()",
    "start a process": "os.fork()",
    "become another program": "os.execv('/bin/true', ['true'])",
    "start a thread": "threading.Thread(target=print).start()",
    "end its parent": "os.kill(os.getppid(), 0)",
    "look into its parent": "open(f'/proc/{os.getppid()}/mem')",
}


@pytest.fixture
def jailed():
    """jailed(deed) -> what became of it in a locked process."""
    if platform.machine() not in jail.MACHINES:
        pytest.skip(f"no filter for {platform.machine()}")

    def run(deed):
        code = f"""
import os, socket, threading
from ticketbot.imaging import jail
assert jail.lock()
try:
    {deed}
    print("done")
except (PermissionError, RuntimeError) as error:
    print("refused")
"""
        return subprocess.run(script(code), capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    return run


@pytest.mark.parametrize("deed", DEEDS)
def test_a_decoder_that_was_taken_over_can_do_nothing_to_others(jailed, deed):
    assert jailed(DEEDS[deed]) == "refused"


def test_what_a_decoder_does_it_still_may(jailed):
    assert jailed("os.write(1, b''); bytearray(2**24); os.getppid(); os.close(os.dup(0))") == "done"


def test_a_running_decoder_is_locked_in():
    if platform.machine() not in jail.MACHINES:
        pytest.skip(f"no filter for {platform.machine()}")
    with DecoderPool(1) as pool:
        pool.decode(GOOD)
        assert [jail.is_locked(pid) for pid in pids(pool)] == [True]
    assert not jail.is_locked(), "and nobody else"


def test_the_filter_jumps_where_it_should():
    """Interpreted by hand: refused calls, a call of the other table, another machine, and what stays allowed."""

    def verdict(machine, architecture, number):
        data, steps = {jail.ARCHITECTURE_AT: architecture, jail.NUMBER_AT: number}, jail.program_for(machine)
        place, value = 0, 0
        while True:
            code, yes, no, k = struct.unpack_from("=HBBI", steps, place * 8)
            place += 1
            if code == jail.LOAD:
                value = data[k]
            elif code == jail.RETURN:
                return k
            else:
                place += yes if (value == k if code == jail.EQUAL else value >= k) else no

    for machine, (column, architecture) in jail.MACHINES.items():
        refused = {pair[column] for pair in jail.REFUSED.values()} - {None}
        for number in range(500):
            wanted = jail.REFUSE if number in refused else jail.ALLOW
            assert verdict(machine, architecture, number) == wanted, number
        assert verdict(machine, architecture, jail.OTHER_TABLE) == jail.REFUSE
        assert verdict(machine, 1, 0) == jail.KILL
    assert jail.program_for("riscv64") is None
