"""The trainer child: however it ends, we say how, and nothing of it is left."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ticketbot.retrain import launch
from ticketbot.retrain.launch import command, how_it_ended, progress_of

ROOT = Path(__file__).resolve().parents[2]


def run(tmp_path, mode, **changes):
    words = [sys.executable, "-m", "tests.support.fake_trainer", mode, "retrain"]
    said = []
    limits = {"timeout_s": 60, "memory_mb": 2048, "nice": 1, **changes}
    end = launch.run(words, tmp_path / "log", progress=lambda one: said.append(one), **limits)
    return end, [one for one in said if one is not None]


def test_progress_is_heard_in_order_and_other_lines_are_not(tmp_path):
    _, said = run(tmp_path, "crash")
    assert said == [{"stage": "fit", "done": 1, "total": 4}, {"stage": "fit", "done": 4, "total": 4}]


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("crash", "ended with status 1\n"),
        ("crash", "the loss is NaN"),
        ("bad-input", "refused its input\nno pictures"),
        ("killed", "out of memory"),
        ("segfault", "died of signal SIGSEGV"),
        ("memory", "out of memory"),
        ("chatty", "ended with status 1"),
        ("hang-with-child", "ended with status 1"),
    ],
)
def test_a_death_is_a_failure_with_its_reason(tmp_path, mode, message):
    end, _ = run(tmp_path, mode)
    assert (end.state, end.bundle) == ("failed", False)
    assert message in end.message


@pytest.mark.parametrize("mode", ["hang", "silent"])
def test_a_training_that_takes_too_long_is_ended(tmp_path, mode):
    started = time.monotonic()
    end, _ = run(tmp_path, mode, timeout_s=2)
    assert "longer than 2 s" in end.message
    assert time.monotonic() - started < 12


def test_its_session_gives_way_to_others_as_a_whole():
    """The scheduler weighs sessions as groups first: a niceness that only the process has would not yield to anyone."""
    own = Path("/proc/self/autogroup")
    if not own.exists():
        pytest.skip("this kernel does not schedule sessions as groups")
    words = [sys.executable, "-m", "ticketbot.retrain.child", str(os.getpid()), "512", "7", "cat", str(own)]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, start_new_session=True).stdout
    assert said.strip().endswith("nice 7")


def test_it_ends_when_the_service_stops(tmp_path):
    stopping = threading.Event()
    threading.Timer(1.0, stopping.set).start()
    end, _ = run(tmp_path, "hang", stopping=stopping)
    assert end.message == "the service stopped while training"


def test_nothing_of_the_group_is_left(tmp_path):
    run(tmp_path, "hang-with-child")
    _wait_until_gone("fake_trainer hang-with-child")


def test_it_dies_with_its_parent(tmp_path):
    code = (
        "from pathlib import Path; from ticketbot.retrain import launch; import sys\n"
        "words = [sys.executable, '-m', 'tests.support.fake_trainer', 'hang', 'retrain', '--die-with-parent']\n"
        f"launch.run(words, Path({str(tmp_path)!r}), timeout_s=60, memory_mb=2048, nice=0,"
        " progress=lambda said: said and print('on', flush=True))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout.readline() == b"on\n"
    assert _processes("--die-with-parent")
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _wait_until_gone("--die-with-parent")


def _wait_until_gone(words):
    deadline = time.monotonic() + 10
    while _processes(words):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _processes(words):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        # Not the one-liner of this very test.
        found += [line] if words in line and " -c " not in line else []
    return found


@pytest.mark.parametrize(
    ("code", "cut", "state", "bundle"),
    [
        (0, None, "succeeded", True),
        (3, None, "refused", True),
        (2, None, "failed", False),
        (1, None, "failed", False),
        (-9, None, "failed", False),
        (-15, "timeout", "failed", False),
        (0, "stopping", "failed", False),
    ],
)
def test_exit_codes_mean_what_the_trainer_says(code, cut, state, bundle):
    end = how_it_ended(code, cut, "", 10)
    assert (end.state, end.bundle) == (state, bundle)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"stage": "fit", "done": 1, "total": 2}', {"stage": "fit", "done": 1, "total": 2}),
        (b'{"stage": "fit", "done": "x", "more": 3}', {"stage": "fit"}),
        (b'{"done": 1}', None),
        (b'["fit"]', None),
        (b"epoch 1", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
    ],
)
def test_only_progress_is_progress(line, said):
    assert progress_of(line) == said


def test_the_command_line_is_what_the_settings_say(settings_with, tmp_path):
    settings = settings_with({"retrain.arch": "resnet34", "retrain.recipe": "my.toml", "retrain.sign_key": "/key"})
    words = command(settings, Path("s"), Path("o"), Path("c"))
    assert words[:3] == [sys.executable, "-m", "trainer.cli"]
    assert words[3:9] == ["retrain", "--data", "s", "--out", "o", "--progress-json"]
    assert words[words.index("--arch") + 1] == "resnet34"
    assert words[words.index("--recipe") + 1] == str(tmp_path / "my.toml")  # relative to the settings file
    assert words[words.index("--sign-key") + 1] == "/key"
    assert words[words.index("--champion") + 1] == "c"
    assert "--champion" not in command(settings, Path("s"), Path("o"), None)
