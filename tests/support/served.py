"""A site with all review pages, served for a browser; the showcase and the bench fill it."""

import threading
from contextlib import contextmanager

from ticketbot.classify import api, trying
from ticketbot.classify.serving import Serving
from ticketbot.imaging.decode import DecoderPool
from ticketbot.operate import overview, tickets
from ticketbot.retrain import pages as models
from ticketbot.review import clean, pages, pictures
from ticketbot.web.serving import WebServer

STAGES = (
    overview.blueprint, pages.blueprint, pictures.blueprint, clean.blueprint, models.blueprint, trying.blueprint,
    tickets.blueprint,
)  # fmt: skip


def equip(site, decoders=1):
    """Give the site what its pages need to show pictures and to classify."""
    site.services.decoders = DecoderPool(decoders)
    site.services.classify = api.Answers(Serving(site.db, site.settings), site.settings)


@contextmanager
def served(site):
    """Serve it until the end, and close what it holds. -> its address"""
    server = WebServer(site.app, site.settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()
        thread.join()
        site.services.decoders.close()
        site.db.close()
