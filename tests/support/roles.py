"""Processes of an installation that do one step again and again until they are killed."""

import logging
import time

from tests.support.installation import new_app
from ticketbot import flow, serve

PAUSE_S = 0.05


def poller(settings):
    _again(settings, flow.poll)


def classifier(settings):
    _again(settings, flow.classify)


def deliverer(settings):
    _again(settings, flow.deliver)


def web(settings):
    logging.disable(logging.CRITICAL)
    serve.run_web(settings)


def worker(settings):
    """The schedule with all its jobs, as `ticketbot serve` runs it."""
    logging.disable(logging.CRITICAL)
    serve.run_worker(settings)


ROLES = {one.__name__: one for one in (poller, classifier, deliverer, web, worker)}


def _again(settings, step):
    logging.disable(logging.CRITICAL)
    app = None
    while True:
        try:
            app = app or new_app(settings)
            step(app)
        except Exception:  # as the schedule does: a bad round is followed by another
            time.sleep(PAUSE_S)
        time.sleep(PAUSE_S)
