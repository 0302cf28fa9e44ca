"""An answer for a ticket in one call, and what came of it."""

import io
import json
import time
import tomllib

import pytest
from PIL import Image, ImageDraw
from sqlalchemy import select

from ticketbot import flow
from ticketbot.app import App
from ticketbot.db.models import Answer, Attempt, File, FileTicket, Label, Model, Picture, Prediction
from ticketbot.deliver import alerts
from ticketbot.deliver.send import deliver_due
from ticketbot.deliver.ulid import message_id
from ticketbot.systems import preset


def jpeg(seed=0):
    """A small picture, other bytes for each seed."""
    picture = Image.new("RGB", (160, 100), (seed * 37 % 255, 120, 200))
    ImageDraw.Draw(picture).rectangle((seed % 100, 10, seed % 100 + 40, 60), fill=(255, 255, 255))
    data = io.BytesIO()
    picture.save(data, "JPEG", comment=f"picture {seed}".encode())
    return data.getvalue()


class Outbox:
    """Answers put into the outbox by hand and delivered by the real path."""

    def __init__(self, db, settings):
        self.db, self.settings = db, settings
        self.seq = 0

    def say(self, ticket, category="errors", confidence=0.9731, by="m1", endpoint="desk", previous=None):
        """Put an answer into the outbox; its id."""
        self.seq += 1
        data = {
            "ticket": ticket,
            "seq": self.seq,
            "category": category,
            "categories": [category],
            "confidence": confidence,
            "by": by,
            "previous": previous,
            "pictures": [],
            "pictures_total": 1,
        }
        id_ = message_id(time.time())
        kind = "ticket.answered" if previous is None else "ticket.corrected"
        body = json.dumps({"type": kind, "data": data}).encode()
        times = {"due_at": time.time() - 1, "created_at": time.time()}
        with self.db.write() as session:
            session.add(Answer(id=id_, endpoint=endpoint, ticket=ticket, seq=self.seq, type=kind, body=body, **times))
        return id_

    def deliver(self, after_s=0.0):
        return deliver_due(self.db, self.settings, lambda: time.time() + after_s)

    def answer(self, id_):
        with self.db.read() as session:
            return session.get(Answer, id_)

    def alerts(self):
        with self.db.read() as session:
            return sorted(one.code for one in alerts.current(session))

    def attempts(self, id_):
        with self.db.read() as session:
            return list(session.scalars(select(Attempt).where(Attempt.answer_id == id_).order_by(Attempt.number)))


@pytest.fixture
def outbox_with(settings_with, tmp_path):
    """outbox_with({"endpoints.desk.url": …}) -> Outbox on an SQLite database of its own."""
    from ticketbot.db import connect
    from ticketbot.db.models import Base

    opened = []

    def make(overrides):
        values = {
            "endpoints.desk.mode": "live",
            "endpoints.desk.allow": ["127.0.0.1"],
            "deliver.jitter": 0,
            **overrides,
        }
        settings = settings_with(values)
        db = connect(f"sqlite:///{tmp_path / 'outbox.db'}")
        Base.metadata.create_all(db.engine)
        opened.append(db)
        return Outbox(db, settings)

    yield make
    for db in opened:
        db.close()


class Whole:
    """A whole installation: polls the system's tree, is told by hand what a picture is, delivers."""

    def __init__(self, app):
        self.app = app

    def poll(self):
        return flow.poll(self.app)

    def pictures_of(self, ticket):
        """sha256 of every picture that was found to be on a ticket."""
        with self.app.db.read() as session:
            query = select(File.sha256).join(FileTicket, FileTicket.file_id == File.id)
            return list(session.scalars(query.where(FileTicket.ticket == ticket)))

    def predict(self, sha256, category="errors", confidence=0.9731):
        """What the model would say, announced as it is by the classifier."""
        with self.app.db.write() as session:
            if session.get(Model, "m1") is None:
                session.add(Model(id="m1", state="retired", created_at=1.0, manifest={}))
                session.flush()
            word = {"category": category, "best": category, "confidence": confidence, "created_at": time.time()}
            session.add(Prediction(sha256=sha256, model_id="m1", **word))
            session.get(Picture, sha256).model_id = "m1"
            self.app.announce(session, sha256, time.time())

    def deliver(self):
        return flow.deliver(self.app)

    def label(self, sha256):
        with self.app.db.read() as session:
            return session.get(Label, sha256)


@pytest.fixture
def whole_with(settings_with):
    """whole_with({"sources.desk.root": …}) -> Whole."""
    opened = []

    def make(overrides):
        values = {
            "sources.desk.settle_s": 0,
            "sources.desk.endpoint": "desk",
            "sources.desk.ticket_retry_s": [0] * 9,
            "endpoints.desk.mode": "live",
            "endpoints.desk.allow": ["127.0.0.1"],
            "deliver.ticket_quiet_s": 0,
            "deliver.jitter": 0,
            **overrides,
        }
        app = App(settings_with(values))
        opened.append(app)
        return Whole(app)

    yield make
    for app in opened:
        app.close()


def answered_on(preset_name, system, **values):
    """Settings of endpoint `desk`: answers are written on the tickets of this system, as its user bot."""
    return {
        "endpoints.desk.url": system.url,
        "endpoints.desk.preset": preset_name,
        "endpoints.desk.values": {"user": "bot", **values},
        "endpoints.desk.secrets": {"password": "bot-pw"},
    }


def resolver(name, **values):
    """A preset's own resolver as settings of source `desk`."""
    found = tomllib.loads(preset.read(name).about.resolver)
    return {f"sources.desk.{key}": value for key, value in {**found, **values}.items()}
