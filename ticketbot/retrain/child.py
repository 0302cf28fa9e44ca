"""How do we run a heavy program so that it can neither outgrow nor outlive us?

Run as a program: `python -m ticketbot.retrain.child PARENT MEMORY_MB NICE COMMAND…` limits itself, asks the kernel to
be killed with its parent, and becomes COMMAND. (Doing this between fork and exec of a threaded service could deadlock.)
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
MB = 2**20


def main(arguments: list[str]) -> None:
    parent, memory_mb, nice = (int(value) for value in arguments[:3])
    command = arguments[3:]
    # Data, not address space: torch maps tens of gigabytes that it never touches.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_mb * MB, memory_mb * MB))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(nice)
    _nice_as_a_group(nice)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    os.execvp(command[0], command)  # noqa: S606 - no shell is what we want


def _nice_as_a_group(nice: int) -> None:
    """A session of its own, as ours, is scheduled as a group: niceness counts within it only, unless the group has it.

    See sched(7), "The autogroup feature"; a kernel without it, or a CPU controller above it, does not need it.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice))


if __name__ == "__main__":
    main(sys.argv[1:])
