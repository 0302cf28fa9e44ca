"""Processes of an installation that do one step again and again until they are killed."""

import logging
import time

from tests.support.installation import new_app
from ticketbot import flow, serve
from ticketbot.engine import handout
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

    _sleep_in_answers()
    _again(settings, flow.classify)


def _sleep_in_answers():
    def answer(self, pictures):
        time.sleep(SLEEP_S * len(pictures))
        return quick(self, pictures)

    quick, Engine.answer = Engine.answer, answer


def sleeping_taker(settings):
    """As `sleeper`, of what the broker brings."""
    _sleep_in_answers()
    classify_taker(settings)


def classify_taker(settings):
    logging.disable(logging.CRITICAL)
    serve.run_taker(settings, handout.CLASSIFY)


def deliver_taker(settings):
    logging.disable(logging.CRITICAL)
    serve.run_taker(settings, handout.DELIVER)


def web(settings):
    logging.disable(logging.CRITICAL)
    serve.run_web(settings)


def worker(settings):
    """The schedule with all its jobs, as `ticketbot serve` runs it."""
    logging.disable(logging.CRITICAL)
    serve.run_worker(settings)


TAKERS = (classify_taker, deliver_taker, sleeping_taker)
ROLES = {one.__name__: one for one in (poller, classifier, sleeper, deliverer, web, worker, *TAKERS)}


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
