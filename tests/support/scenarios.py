"""What a process is doing when a failpoint strikes: each scenario passes through some of ticketbot.failpoints.POINTS.

Run by `faulted` in a process of its own, and again by the test to see that what was left over is taken up.
"""

import errno
import json
import logging
import os
import signal
import threading
import time
from pathlib import Path

from sqlalchemy.exc import OperationalError

from tests.support.bundles import make_bundle
from tests.support.installation import new_app
from ticketbot import failpoints, flow
from ticketbot.db import connect, migrate
from ticketbot.retrain import launch, run, shelf
from ticketbot.review import transfer
from ticketbot.schedule import Ticker

# Which scenario reaches a failpoint, by the first part of its name.
REACHED_BY = {
    **dict.fromkeys(["scan", "store", "stage", "resolve", "classify", "outbox", "decide", "claim"], "loop"),
    **dict.fromkeys(["send", "finish", "labels", "folders", "offer"], "loop"),
    **dict.fromkeys(["import", "export"], "labels"),
    **dict.fromkeys(["shelf", "promote"], "publish"),
    **dict.fromkeys(["training", "files"], "training"),
    "slot": "schedule",
    "migrate": "migration",
}
STALL_MOST_S = 20.0
PAST_THE_LEASE_S = 5.0


def loop(settings, later_s=0.0):
    """Each job of the schedule, twice; one that fails does not end the others, as in the service."""
    app = new_app(settings, later_s)
    for job in (flow.poll, flow.read_labels, flow.classify, flow.deliver) * 2:
        try:
            job(app)
        except Exception:
            logging.getLogger("faults").debug("a job failed", exc_info=True)
    app.close()


def labels(settings, later_s=0.0):
    """Import what labels.csv says, then export everything."""
    app = new_app(settings, later_s)
    folder = settings.data_dir.parent / "labels"
    flow.import_labels(app, folder / "labels.csv", "ann")
    transfer.export_csv(app.db, folder / "export.csv")
    app.close()


def publish(settings, later_s=0.0):
    """Bring the bundle m2 and put it into service. Its first run in a child has tests of its own."""
    shelf.probe = lambda folder: {}
    app = new_app(settings, later_s)
    shelf.bring(app.db, settings, settings.data_dir.parent / "m2", promoted=True, who="ann", now=app.now())
    app.close()


def training(settings, later_s=0.0):
    """A training whose trainer is a copy of the bundle m2; the real child has tests of its own."""

    def trainer(words, folder, **_):
        gate = {"promote": True, "reason": "it says so", "champion": "m1", "p_value": None}
        make_bundle(folder / "bundle", model_id="m2", gate=gate)
        return launch.End("succeeded", True, "")

    shelf.probe = lambda folder: {}
    launch.run = trainer
    app = new_app(settings, later_s)
    run.retrain(app.db, settings, app.decoders, cause="labels", now=app.now)
    app.close()


def schedule(settings, later_s=0.0):
    """The schedule itself, as the leader, until each of its jobs ran."""
    app = new_app(settings, later_s)
    ticker = Ticker(app)
    ticker.start()
    time.sleep(0.6 if not later_s else 2.5)  # the second waits for the first one's lease
    ticker.stop()
    app.close()


def migration(settings, later_s=0.0):
    """A new database of its own."""
    db = connect(f"sqlite:///{settings.data_dir.parent / 'new.db'}")
    migrate.upgrade(db)
    db.close()


SCENARIOS = {one.__name__: one for one in (loop, labels, publish, training, schedule, migration)}


class Fault:
    """Strikes once, at one failpoint: kill, raise, full (the disk) or stall (until the file `release` is there)."""

    def __init__(self, point, action, folder):
        self.point, self.action, self.folder = point, action, Path(folder)
        self.lock = threading.Lock()
        self.struck = False

    def __call__(self, name):
        assert name in failpoints.POINTS, name
        with self.lock:
            if name != self.point or self.struck:
                return
            self.struck = True
        (self.folder / "struck").touch()
        getattr(self, self.action)()

    def kill(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def crash(self):
        raise RuntimeError(f"failpoint {self.point}")

    def full(self):
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if failpoints.POINTS[self.point].startswith("in the "):  # transaction: this is how SQLite says it
            raise OperationalError("COMMIT", {}, Exception("database or disk is full")) from full
        raise full

    def stall(self):
        until = time.monotonic() + STALL_MOST_S
        while not (self.folder / "release").exists() and time.monotonic() < until:
            time.sleep(0.005)


def meanwhile(settings, scenario):
    """Another process of the same installation, whose clock is past the leases of the one that stands still."""
    try:
        SCENARIOS[scenario](settings, PAST_THE_LEASE_S)
    except Exception:
        logging.getLogger("faults").debug("of two that do the same one may be refused", exc_info=True)


def recover(settings, scenario, later_s, folder):
    """The process that is started after all this: it must do all that is left."""
    logging.disable(logging.CRITICAL)
    SCENARIOS[scenario](settings, later_s)
    app = new_app(settings, later_s + PAST_THE_LEASE_S)
    (Path(folder) / "stuck").write_text(json.dumps(flow.until_idle(app)["stuck"]))
    app.close()


def faulted(settings, scenario, point, action, folder):
    """The process that is struck."""
    logging.disable(logging.CRITICAL)
    failpoints.arm(Fault(point, action, folder))
    try:
        SCENARIOS[scenario](settings)
    except Exception as error:
        (Path(folder) / "error").write_text(f"{type(error).__name__}: {error}")
