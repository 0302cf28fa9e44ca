"""Processes that start in milliseconds: forked, as `ticketbot serve` forks them, by one that imported everything.

process = start(function, *arguments)   a multiprocessing.Process, started; its arguments are pickled
"""

import multiprocessing

PRELOADED = ("ticketbot.flow", "ticketbot.schedule", "ticketbot.serve", "ticketbot.classify.serving", "psycopg")
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([*PRELOADED, "tests.support.roles", "tests.support.scenarios"])


def start(function, *arguments):
    process = _context.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def kill(process, timeout_s=10):
    """SIGKILL, and wait until it is gone."""
    process.kill()
    process.join(timeout_s)
    assert process.exitcode is not None
