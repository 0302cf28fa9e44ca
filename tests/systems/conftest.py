"""An answer for a ticket in one call, and what came of it."""

import io
import json
import time

import pytest
from PIL import Image, ImageDraw
from sqlalchemy import select

from ticketbot.db.models import Answer, Attempt
from ticketbot.deliver import alerts
from ticketbot.deliver.send import deliver_due
from ticketbot.deliver.ulid import message_id


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
