"""Has the ERP finished writing this file?

Yes, when two looks at least `settle_s` apart saw the same file: device, inode, size and both times. The looks are
timed by our own clock only: a file's mtime may lie in the past (a copy keeps it) or be another machine's idea of now.
Taken on sight, a file still growing was read at 11,760 of its 88,200 bytes in a trial.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Verdict = Literal["settled", "wait", "changed"]
_TOO_LARGE = 1 << 63


class Observation(NamedTuple):
    """What one look at a file saw. Numbers are signed 64 bits, as databases keep them."""

    dev: int
    ino: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, stat: Any) -> Observation:
        """From an os.stat_result."""
        dev, ino = stat.st_dev, stat.st_ino
        if dev >= _TOO_LARGE or ino >= _TOO_LARGE:
            dev, ino = _signed(dev), _signed(ino)
        # Not cls(…): a scan makes one a file, and this takes half as long.
        return tuple.__new__(cls, (dev, ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))

    def same_content_as(self, other: Observation) -> bool:
        """Is a file that was staged still the one we read?

        Without `dev`, which is new after every mount of a network folder, and `ctime_ns`, which a chmod changes: else
        either would have the whole tree read again.
        """
        return (self.ino, self.size_bytes, self.mtime_ns) == (other.ino, other.size_bytes, other.mtime_ns)


def decide(before: Observation | None, observed_at: float, look: Observation, now: float, settle_s: float) -> Verdict:
    """`before` was first seen at `observed_at`, `look` is seen now; times in seconds.

    "changed" means: count from this look on. So it does when our clock was set back, or a file would wait for the
    time it was set back by.
    """
    if look != before or now < observed_at:
        return "changed"
    return "settled" if now - observed_at >= settle_s else "wait"


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= _TOO_LARGE else number
