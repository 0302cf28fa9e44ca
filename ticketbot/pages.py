"""Which pages and API calls are there? Every stage brings its own blueprint; here they meet."""

from __future__ import annotations

from flask import Flask

from ticketbot import apis
from ticketbot.app import App
from ticketbot.classify import api, trying
from ticketbot.classify.api import Answers
from ticketbot.collect import inbound
from ticketbot.operate import chat, classes, endpoints, metrics, overview, tickets
from ticketbot.retrain import pages as models
from ticketbot.review import clean, pictures
from ticketbot.review import pages as label
from ticketbot.web.context import Services
from ticketbot.web.site import create_app

BLUEPRINTS = (
    overview.blueprint,
    metrics.blueprint,
    label.blueprint,
    pictures.blueprint,
    clean.blueprint,
    tickets.blueprint,
    endpoints.blueprint,
    classes.blueprint,
    models.blueprint,
    trying.blueprint,
    api.blueprint,
    inbound.blueprint,
    chat.blueprint,
    apis.blueprint,
    *(one.blueprint for one in apis.APIS),
)


def create(app: App) -> Flask:
    """The WSGI app with everything in it."""
    services = Services(
        settings=app.settings,
        db=app.db,
        decoders=app.decoders,
        classify=Answers(app.serving, app.settings),
        announce=app.announce,
        model_problem=app.serving.trouble,
        now=app.now,
    )
    return create_app(services, BLUEPRINTS)
