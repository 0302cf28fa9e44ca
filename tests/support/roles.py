"""Processes of an installation that do one step again and again until they are killed."""

import logging
import time

from tests.support.installation import new_app
from ticketbot import flow, serve
from ticketbot.judge.engine import Engine

PAUSE_S = 0.05


def poller(settings):
    _again(settings, flow.poll)


def classifier(settings):
    _again(settings, flow.classify)


def deliverer(settings):
    _again(settings, flow.deliver)


SLEEP_S = 1.5


def sleeper(settings):
    """A classifier whose network takes SLEEP_S a picture and no processor, as one on another machine would."""

    def answer(self, pictures):
        time.sleep(SLEEP_S * len(pictures))
        return quick(self, pictures)

    quick, Engine.answer = Engine.answer, answer
    _again(settings, flow.classify)


def web(settings):
    logging.disable(logging.CRITICAL)
    serve.run_web(settings)


def worker(settings):
    """The schedule with all its jobs, as `ticketbot serve` runs it."""
    logging.disable(logging.CRITICAL)
    serve.run_worker(settings)


ROLES = {one.__name__: one for one in (poller, classifier, sleeper, deliverer, web, worker)}


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
