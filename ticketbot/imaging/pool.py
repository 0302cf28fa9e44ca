"""Which decoder child takes this picture, and what if it never answers?

A pool starts children when they are needed, lends each to one caller at a time, kills one that takes too long and
replaces it after 500 pictures, so that whatever a picture did to it ends there. It may be shared by threads; a forked
process gets a fresh pool of its own (it must not talk over its parent's pipes).
"""

from __future__ import annotations

import fcntl
import logging
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import PIL

import ticketbot
from ticketbot.errors import STATUS_BY_CODE, ImageError, Refused
from ticketbot.imaging import headers
from ticketbot.imaging.protocol import ANSWER, JOB, READY

log = logging.getLogger(__name__)

MAX_PX = 2560
START_S = 30.0
_BLOCK_BYTES = 2**20
# All that a child gets of our environment: where it finds itself and Pillow. No settings, no secrets.
_IMPORTED_FROM = os.pathsep.join(
    {str(Path(module.__file__).parents[1]) for module in (PIL, ticketbot) if module.__file__}
)


@dataclass(frozen=True)
class Canonical:
    """One picture as everything here sees it.

    rgb: uint8, rows x columns x 3, at most `max_px` on its long side; turned by EXIF, alpha on white, first frame.
    format: JPEG, PNG, GIF, WEBP or BMP, by content. width, height: of the original in pixels, after the EXIF turn.
    """

    rgb: np.ndarray
    format: str
    width: int
    height: int


class DecoderPool:
    """At most `size` decoder children. Close it, or leave a `with` block, to end them."""

    def __init__(
        self, size: int = 2, timeout_s: float = 5.0, *, recycle_after: int = 500, wait_s: float = 30.0
    ) -> None:
        self._size = size
        self._timeout_s = timeout_s
        self._recycle_after = recycle_after
        self._wait_s = wait_s
        self._crew = _Crew()
        _pools.add(self)

    def __enter__(self) -> DecoderPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def decode(self, data: bytes, *, max_px: int = 640, timeout_s: float | None = None) -> Canonical:
        """The canonical picture. Raises ImageError, or Refused("busy") when no child is free within `wait_s`."""
        if not 1 <= max_px <= MAX_PX:
            raise ValueError(f"max_px must be 1 to {MAX_PX}, not {max_px}")
        if len(data) > headers.MAX_BYTES:
            raise ImageError("body_too_large")
        crew = self._crew
        child = self._borrow(crew)
        keep = False
        try:
            canonical = child.decode(data, max_px, self._timeout_s if timeout_s is None else timeout_s)
            keep = True
        except ImageError:
            keep = child.alive
            raise
        finally:
            self._give_back(crew, child, keep)
        return canonical

    def close(self) -> None:
        """End the idle children; one that is decoding ends when it is done."""
        crew = self._crew
        with crew.changed:
            crew.closed = True
            idle, crew.idle = crew.idle, []
            crew.changed.notify_all()
        for child in idle:
            child.end()

    def _borrow(self, crew: _Crew) -> _Child:
        give_up_at = time.monotonic() + self._wait_s
        with crew.changed:
            while not crew.closed and not crew.idle and crew.lent >= self._size:
                if not crew.changed.wait(give_up_at - time.monotonic()):
                    raise Refused("busy", "all decoders are busy; try again later")
            if crew.closed:
                raise RuntimeError("the decoder pool is closed")
            child = crew.idle.pop() if crew.idle else None  # the last one back is warm; others may stay asleep
            crew.lent += 1
        try:
            if child is not None and not child.alive:
                child.end()
                child = None
            return child or _Child(self._timeout_s)
        except BaseException:
            self._give_back(crew, None, False)
            raise

    def _give_back(self, crew: _Crew, child: _Child | None, keep: bool) -> None:
        with crew.changed:
            crew.lent -= 1
            stays = child is not None and keep and not crew.closed and child.jobs < self._recycle_after
            if child is not None and stays:
                crew.idle.append(child)
            crew.changed.notify()
        if child is not None and not stays:
            child.end()

    def _forked(self) -> None:
        """In a forked process: leave the parent's children to the parent."""
        for child in self._crew.idle:
            child.disown()
        self._crew = _Crew()


class _Crew:
    """The children of one process, and who may touch them."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.idle: list[_Child] = []
        self.lent = 0
        self.closed = False


class _TooLate(Exception):
    pass


class _Gone(Exception):
    pass


class _Child:
    """One decoder process and the two pipes to it."""

    def __init__(self, timeout_s: float) -> None:
        self.jobs = 0
        command = [sys.executable, "-P", "-m", "ticketbot.imaging.child", str(os.getpid()), str(timeout_s + 5)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env={"PYTHONPATH": _IMPORTED_FROM}
        )
        self._in, self._out = _pipe(self._process.stdin), _pipe(self._process.stdout)
        try:
            if _read(self._out, 1, time.monotonic() + START_S) != READY:
                raise _Gone
        except (_Gone, _TooLate):
            self.end()
            raise RuntimeError("the decoder child does not start; its reason is on stderr") from None
        log.debug("decoder started", extra={"decoder_pid": self._process.pid})

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def decode(self, data: bytes, max_px: int, timeout_s: float) -> Canonical:
        self.jobs += 1
        ends_at = time.monotonic() + timeout_s
        try:
            _write(self._in, JOB.pack(len(data), max_px), ends_at)
            _write(self._in, data, ends_at)
            return self._answer(max_px, ends_at)
        except _TooLate:
            self.end()
            raise ImageError("decode_timeout") from None
        except (_Gone, OSError, UnicodeDecodeError):
            self.end()
            log.warning("decoder died", extra={"exit_code": self._process.returncode, "size_bytes": len(data)})
            raise ImageError("bad_image") from None

    def _answer(self, max_px: int, ends_at: float) -> Canonical:
        code, name, width, height, rows, columns = ANSWER.unpack(_read(self._out, ANSWER.size, ends_at))
        code, name = code.rstrip(b"\0").decode("ascii"), name.rstrip(b"\0").decode("ascii")
        if code:
            if code not in STATUS_BY_CODE:
                raise _Gone
            raise ImageError(code)
        if name not in headers.FORMATS or not (1 <= rows <= max_px and 1 <= columns <= max_px):
            raise _Gone
        pixels = _read(self._out, rows * columns * 3, ends_at)
        return Canonical(np.frombuffer(pixels, np.uint8).reshape(rows, columns, 3), name, width, height)

    def end(self) -> None:
        """Kill it and collect it: it holds nothing worth a goodbye, and no zombie may stay."""
        self._process.kill()
        self._process.wait()
        self._close_pipes()

    def disown(self) -> None:
        self._close_pipes()  # else the child would not see the end of its pipe when its parent dies
        _disowned.append(self._process)  # kept, because a Popen that goes away warns about a running process

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


_pools: weakref.WeakSet[DecoderPool] = weakref.WeakSet()
_disowned: list[subprocess.Popen[bytes]] = []


def _after_fork() -> None:
    for pool in list(_pools):
        pool._forked()


os.register_at_fork(after_in_child=_after_fork)


# --- pipes with a deadline --------------------------------------------------------------------------------------------


def _pipe(stream: IO[bytes] | None) -> int:
    assert stream is not None
    os.set_blocking(stream.fileno(), False)
    with suppress(OSError):  # a picture in one go, not in eleven; the kernel allows only so much a user
        fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, _BLOCK_BYTES)
    return stream.fileno()


def _wait(fd: int, event: int, ends_at: float) -> None:
    poll = select.poll()
    poll.register(fd, event)
    if not poll.poll(max(0.0, ends_at - time.monotonic()) * 1000):
        raise _TooLate


def _write(fd: int, data: bytes, ends_at: float) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view[:_BLOCK_BYTES]) :]
        except BlockingIOError:
            _wait(fd, select.POLLOUT, ends_at)


def _read(fd: int, size_bytes: int, ends_at: float) -> bytearray:
    data = bytearray(size_bytes)
    view, filled = memoryview(data), 0
    while filled < size_bytes:
        try:
            count = os.readv(fd, [view[filled:]])
        except BlockingIOError:
            _wait(fd, select.POLLIN, ends_at)
            continue
        if not count:
            raise _Gone
        filled += count
    return data
