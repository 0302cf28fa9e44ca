"""Processes that start in milliseconds: forked, as `ticketbot serve` forks them, by one that imported everything.

process = start(function, *arguments)   a multiprocessing.Process, started; its arguments are pickled
"""

import atexit
import multiprocessing
import multiprocessing.process
import os

PRELOADED = ("ticketbot.flow", "ticketbot.schedule", "ticketbot.serve", "ticketbot.classify.serving", "psycopg")
_context = multiprocessing.get_context("forkserver")
_started = []
_context.set_forkserver_preload([*PRELOADED, "tests.support.roles", "tests.support.scenarios"])


def start(function, *arguments):
    process = _context.Process(target=function, args=arguments, daemon=True)
    process.start()
    # Whoever starts a process asks for the ends of all it knows, in any thread, and an end can be read only once: the
    # thread that waits for it would be told 255. So we do not let it know.
    multiprocessing.process._children.discard(process)
    _started.append(process)
    return process


@atexit.register
def _end_all():
    for process in _started:
        if process._parent_pid == os.getpid() and process.is_alive():
            process.kill()


def kill(process, timeout_s=10):
    """SIGKILL, and wait until it is gone."""
    process.kill()
    process.join(timeout_s)
    assert process.exitcode is not None
