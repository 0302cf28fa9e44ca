"""How does the training run, and how does it end?

The trainer is a child process with limits on memory, time and priority, in its own process group, killed with us. Its
stdout brings progress lines, its stderr goes to trainer.log. However it ends - done, refused, dead, out of memory, too
slow, or we are stopping - `run` returns an End; it never hangs.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ticketbot.settings import Settings

TAIL_CHARS = 4000
MAX_LINE_BYTES = 65536
TICK_S = 0.5
GRACE_S = 5.0
LOG = "trainer.log"
# What the trainer's exit codes mean (design.md, "Commands"): 3 is a bundle that the gate refuses.
WRITTEN, BAD_INPUT, REFUSED = 0, 2, 3

Progress = Callable[[dict[str, Any] | None], None]


@dataclass(frozen=True)
class End:
    """state: as in the training table. `bundle`: was one written? `message`: for people."""

    state: Literal["succeeded", "refused", "failed"]
    bundle: bool
    message: str


def command(settings: Settings, snapshot: Path, out: Path, champion: Path | None) -> list[str]:
    """The trainer's command line."""
    rules = settings.retrain
    words = [word.replace("{python}", sys.executable) for word in rules.command]
    words += ["retrain", "--data", str(snapshot), "--out", str(out), "--progress-json"]
    words += ["--arch", rules.arch, "--weights", rules.weights, "--min-per-class", str(rules.min_per_category)]
    words += ["--promise", str(settings.model.promise), "--delta", str(settings.model.delta)]
    words += ["--cache", str(settings.data_dir / "cache" / "trainer")]
    for option, value in (("--recipe", rules.recipe), ("--sign-key", rules.sign_key)):
        words += [option, value] if value else []
    if champion is not None:
        words += ["--champion", str(champion)]
    return words


def clean_command(settings: Settings, snapshot: Path, out: Path) -> list[str]:
    """The command line that ranks a snapshot's labels: suspects.csv in `out`."""
    words = [word.replace("{python}", sys.executable) for word in settings.retrain.command]
    words += ["clean", str(snapshot), "--out", str(out), "--most", "1", "--progress-json"]
    words += ["--cache", str(settings.data_dir / "cache" / "trainer")]
    return [*words, "--recipe", settings.retrain.recipe] if settings.retrain.recipe else words


def run(
    words: list[str],
    folder: Path,
    *,
    timeout_s: float,
    memory_mb: int,
    nice: int,
    progress: Progress,
    stopping: threading.Event | None = None,
) -> End:
    """Run the trainer's command to its end; `progress` gets each progress line, and None at least every second.

    folder: where trainer.log goes.
    """
    limits = [str(os.getpid()), str(memory_mb), str(nice)]
    wrapped = [sys.executable, "-m", "ticketbot.retrain.child", *limits, *words]
    root = Path(__file__).resolve().parents[2]  # so that the child finds this very package
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOG, "wb") as errors:
        child = subprocess.Popen(
            wrapped, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
    try:
        cut = _follow(child, time.monotonic() + timeout_s, progress, stopping)
    finally:
        _end_group(child)
    return how_it_ended(child.returncode, cut, tail(folder / LOG), timeout_s)


def how_it_ended(code: int, cut: str | None, log_tail: str, timeout_s: float) -> End:
    """Say it in words. code: exit status, negative for a signal; cut: why we ended it ourselves."""
    if cut == "timeout":
        return End("failed", False, f"training took longer than {timeout_s:.0f} s and was ended\n{log_tail}".strip())
    if cut == "stopping":
        return End("failed", False, "the service stopped while training")
    if code == WRITTEN:
        return End("succeeded", True, "")
    if code == REFUSED:
        return End("refused", True, "the new model did not pass the gate")
    if _out_of_memory(code, log_tail):
        return End("failed", False, f"training ran out of memory (retrain.memory_mb)\n{log_tail}".strip())
    if code == BAD_INPUT:
        return End("failed", False, f"the trainer refused its input\n{log_tail}".strip())
    how = f"died of signal {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
    return End("failed", False, f"the trainer {how}\n{log_tail}".strip())


def tail(path: Path) -> str:
    """The last TAIL_CHARS of a log file, as text that any database takes."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_CHARS))
        return file.read().decode("utf-8", "replace").replace("\0", "").strip()


def progress_of(line: bytes) -> dict[str, Any] | None:
    """{"stage": str, "done": number, "total": number} from a line of the trainer; None for anything else."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("stage"), str):
        return None
    numbers = {name: value[name] for name in ("done", "total") if isinstance(value.get(name), int | float)}
    return {"stage": value["stage"][:80], **numbers}


def _follow(
    child: subprocess.Popen[bytes], deadline: float, progress: Progress, stopping: threading.Event | None
) -> str | None:
    """Read until stdout ends and the child is gone; "timeout" or "stopping" when that is not waited for."""
    assert child.stdout is not None
    reader = _Lines(child.stdout.fileno())
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while not (reader.ended and child.poll() is not None):
            if stopping is not None and stopping.is_set():
                return "stopping"
            if time.monotonic() > deadline:
                return "timeout"
            if reader.ended:
                time.sleep(TICK_S / 10)
            elif selector.select(TICK_S):
                for line in reader.read():
                    if (said := progress_of(line)) is not None:
                        progress(said)
            elif child.poll() is not None:
                return None  # a grandchild holds the pipe; what it says is not waited for
            progress(None)
    return None


class _Lines:
    """Lines from a pipe; a line that never ends is dropped, not collected."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ended = False
        self._rest = b""

    def read(self) -> list[bytes]:
        block = os.read(self.descriptor, MAX_LINE_BYTES)
        self.ended = not block
        *lines, rest = (self._rest + block).split(b"\n")
        self._rest = rest if len(rest) <= MAX_LINE_BYTES else b""
        return lines


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Nothing of the trainer outlives the training: ask its whole group to end, then make it."""
    assert child.stdout is not None
    try:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                pass
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()
    child.stdout.close()


def _out_of_memory(code: int, log_tail: str) -> bool:
    signs = ("MemoryError", "can't allocate memory", "not enough memory", "std::bad_alloc", "Cannot allocate memory")
    return code == -signal.SIGKILL or any(sign in log_tail for sign in signs)
