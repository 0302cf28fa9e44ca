"""Which processes run, and what happens when one dies?

`serve` is a small parent with two children: `web` (pages and API) and `worker` (the schedule). The parent imports
everything once and forks, so that the children share its memory. A child that dies is started again (after a wait that
doubles when it keeps dying); SIGTERM lets both finish or give back what they hold, then ends them.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy.exc import OperationalError

from ticketbot import flow, measures
from ticketbot.app import App
from ticketbot.deliver import endpoints
from ticketbot.engine import broker, handout
from ticketbot.errors import UsageError
from ticketbot.operate import plainly
from ticketbot.schedule import Ticker
from ticketbot.settings import Settings
from ticketbot.web import accounts
from ticketbot.web.serving import WebServer

log = logging.getLogger(__name__)

GRACE_S = 30.0
RESTART_FIRST_S, RESTART_MOST_S = 0.5, 30.0
# A child that lived this long is healthy again: its next restart is quick.
HEALTHY_S = 60.0
PR_SET_PDEATHSIG = 1
# Batches that a process delivers at once, each with deliver.workers: a slow receiver holds up no more than its own.
DELIVERIES_AT_ONCE = 4


@dataclass
class Child:
    name: str
    run: Callable[[Settings], None]
    pid: int = 0
    started: float = 0.0
    wait_s: float = RESTART_FIRST_S
    start_at: float = field(default=0.0)


def serve(settings: Settings, *, web: bool = True, workers: int = 1) -> int:
    """Run until SIGTERM or SIGINT; 0 after a clean end, 1 when a child had to be killed."""
    children = [Child("web", run_web)] * web + _workers(settings, workers)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    while not stopping.is_set():
        for child in children:
            if not child.pid and time.monotonic() >= child.start_at:
                _start(child, settings)
        _reap(children)
        stopping.wait(0.1)
    return _stop(children)


def _workers(settings: Settings, count: int) -> list[Child]:
    """With a broker the schedule is a process of its own, and each worker two that take what the broker brings."""
    if settings.engine.kind != "celery":
        return [Child("worker", run_worker) for _ in range(count)]
    takers = [Child(kind, partial(run_taker, kind=kind)) for _ in range(count) for kind in handout.KINDS]
    return [Child("worker", run_worker)] * bool(count) + takers


def check_start(settings: Settings, *, web: bool = True, workers: int = 1) -> None:
    """What would make every child die at once is said here, once, before any is started.

    Raises TicketbotError, OSError or SQLAlchemyError. A PostgreSQL that is away is waited for instead.
    """
    if settings.engine.kind == "celery":
        broker.check(settings)
    if workers > 1 and settings.database_url.startswith("sqlite"):
        raise UsageError("several workers need PostgreSQL: set database.url, see docs/how-to/scale.md")
    if web and settings.web.port:
        family = socket.AF_INET6 if ":" in settings.web.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.web.host, settings.web.port))
            except OSError as error:
                place = f"{settings.web.host}:{settings.web.port}"
                raise UsageError(f"cannot listen at {place} (web.host, web.port): {error.strerror}") from None
    try:
        App(settings).close()
    except OperationalError as error:
        if settings.database_url.startswith("sqlite"):
            raise
        log.warning("the database does not answer yet", extra={"reason": plainly.of_database(error)})


def run_web(settings: Settings) -> None:
    """The web process: pages and API until SIGTERM, which lets running requests finish."""
    app = App(settings, intra_threads=2)
    measures.keep(settings.data_dir, "web")
    for name, code in endpoints.refused(settings).items():
        log.error("endpoint %s may not be called (%s); see its `allow` setting", name, code)
    server = WebServer(app.flask(), settings)
    log.info("web ready", extra={"url": f"http://{settings.web.host}:{server.port}"})
    _invite_first_admin(app)
    server.run()
    app.close()
    measures.flush()


def run_worker(settings: Settings) -> None:
    """The worker process: the schedule, until SIGTERM."""
    app = App(settings)
    measures.keep(settings.data_dir, "worker")
    if not settings.sources:
        log.warning("no tree is watched; add a section [sources.<name>] with its root to the settings")
    ticker = Ticker(app)
    ticker.start()
    log.info("worker ready")
    try:
        threading.Event().wait()
    except SystemExit:
        ticker.stop()
    app.close()
    measures.flush()


def run_taker(settings: Settings, kind: str) -> None:
    """A process that classifies (or delivers) what the broker brings, until SIGTERM."""
    app = App(settings)
    measures.keep(settings.data_dir, kind)

    def end(*_: object) -> None:
        app.stopping.set()  # long work ends at its next step, not after everything it has
        _terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    work = flow.classify_these if kind == handout.CLASSIFY else flow.deliver_these
    at_once = settings.classify.workers if kind == handout.CLASSIFY else DELIVERIES_AT_ONCE
    log.info("worker ready", extra={"takes": kind})
    broker.consume(settings, kind, partial(work, app), at_once=at_once)
    app.close()
    measures.flush()


def _invite_first_admin(app: App) -> None:
    """While nobody can administrate, a start prints a one-time link, unless one that `init` printed still works."""
    with app.db.write() as session:
        if accounts.admin_is_invited(session, app.now()):
            sys.stderr.write("Nobody administrates yet. The link that was printed before still works; a new one:\n")
            sys.stderr.write("  ticketbot users invite admin --role admin\n")
            return
        secret = accounts.first_admin(session, app.now())
    if secret:
        link = accounts.invite_link(app.settings.general.base_url, secret)
        sys.stderr.write(f"Set the first administrator's password (works once, for a day): {link}\n")
        sys.stderr.flush()


def _start(child: Child, settings: Settings) -> None:
    parent = os.getpid()
    child.pid = os.fork()
    child.started = time.monotonic()
    if child.pid:
        return
    # In the child from here on; it must never return into the parent's code.
    code = 1
    try:
        _die_with(parent)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _terminate)
        child.run(settings)
        code = 0
    except SystemExit:
        code = 0
    except BaseException:
        log.exception("%s ended", child.name)
    finally:
        logging.shutdown()
        os._exit(code)


def _terminate(*_: object) -> None:
    # A second signal while we finish is the same wish, not a new one.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)


def _die_with(parent: int) -> None:
    """When the parent is killed, the kernel ends this child too: no orphan holds the port."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(0)


def _reap(children: list[Child]) -> None:
    for child in children:
        if not child.pid:
            continue
        ended, status = os.waitpid(child.pid, os.WNOHANG)
        if not ended:
            continue
        lived_s = time.monotonic() - child.started
        child.wait_s = RESTART_FIRST_S if lived_s > HEALTHY_S else min(child.wait_s * 2, RESTART_MOST_S)
        child.pid, child.start_at = 0, time.monotonic() + child.wait_s
        log.error(
            "%s died; starting it again",
            child.name,
            extra={"exit": os.waitstatus_to_exitcode(status), "in_s": child.wait_s},
        )


def _stop(children: list[Child]) -> int:
    alive = [child for child in children if child.pid]
    for child in alive:
        os.kill(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    killed = 0
    for child in alive:
        while not os.waitpid(child.pid, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                log.error("%s did not end in %.0f s; killed", child.name, GRACE_S)
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
                killed = 1
                break
            time.sleep(0.05)
    return killed
