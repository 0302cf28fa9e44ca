"""What may a decoder still do, once somebody's picture has taken it over?

Answer on the pipe it has, and use up its own memory and time. `lock()` has the kernel refuse the rest for the life of
this process: to open or change files, to talk to the network, to start or look into other processes, to gain rights
(seccomp, which needs no privilege). What is refused fails with EPERM, so an import that was forgotten is an exception
in a log and no mystery; import what will be needed first.

Linux on x86-64 and AArch64; elsewhere, and where the kernel says no, `lock()` is False and the limits alone remain.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

# name -> its number on x86-64 and on AArch64; None: it is not there.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # files
    "open": (2, None),
    "creat": (85, None),
    "openat": (257, 56),
    "openat2": (437, 437),
    "open_by_handle_at": (304, 265),
    "memfd_create": (319, 279),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "truncate": (76, 45),
    "utimensat": (280, 88),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    # network, and other ways to talk
    "socket": (41, 198),
    "socketpair": (53, 199),
    "bind": (49, 200),
    "listen": (50, 201),
    "connect": (42, 203),
    "accept": (43, 202),
    "accept4": (288, 242),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    # processes
    "clone": (56, 220),
    "clone3": (435, 435),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    # the kernel itself
    "setrlimit": (160, 164),
    "prlimit64": (302, 261),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "personality": (135, 92),
}
# machine -> (the column above, linux/audit.h's name for its system calls)
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # linux/bpf_common.h
NUMBER_AT, ARCHITECTURE_AT = 0, 4  # struct seccomp_data
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # 1: EPERM
OTHER_TABLE = 0x40000000  # x86-64's second table of the same calls (x32)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


def lock() -> bool:
    """From now on, in this process. False: this machine or kernel has no such thing."""
    program = program_for(platform.machine())
    if not sys.platform.startswith("linux") or program is None:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: how many instructions, and where they are.
    named = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    for option, *words in (
        (PR_SET_NO_NEW_PRIVS, 1, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(named)),
    ):
        if libc.prctl(option, *(ctypes.c_ulong(word) for word in (*words, 0, 0))):
            return False
    return True


def program_for(machine: str) -> bytes | None:
    """The filter as the kernel reads it (8 bytes an instruction); None for a machine we do not know."""
    if machine not in MACHINES:
        return None
    column, architecture = MACHINES[machine]
    numbers = [found for pair in REFUSED.values() if (found := pair[column]) is not None]
    steps = [(LOAD, 0, 0, ARCHITECTURE_AT), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER_AT)]
    # A jump says how many steps to skip when it is true: to the last one, which refuses.
    steps.append((AT_LEAST, len(numbers) + 1, 0, OTHER_TABLE))
    steps += [(EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def is_locked(pid: int | None = None) -> bool:
    """Does a filter hold in this process (or another one of ours)? By /proc."""
    with open(f"/proc/{pid or os.getpid()}/status", encoding="ascii", errors="replace") as status:
        return any(line.split() == ["Seccomp:", "2"] for line in status)
