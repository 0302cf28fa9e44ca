"""The rows a test about deliveries needs, in one call each."""

import hashlib
import json
from dataclasses import dataclass, field

from sqlalchemy import select

from ticketbot.db.models import (
    Answer,
    File,
    FileTicket,
    Label,
    LabelEvent,
    Model,
    Picture,
    Prediction,
    Source,
)
from ticketbot.deliver import outbox
from ticketbot.deliver.ulid import message_id

NOW = 1_800_000_000.0
SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def sha(name):
    return hashlib.sha256(name.encode()).hexdigest()


@dataclass
class World:
    """A source "erp" whose answers go to the endpoint "desk"; facts are told as one word each."""

    db: object
    settings: object
    now: float = NOW
    labels: int = field(default=0)

    def picture(self, name, ticket=None, *, user="u1", path=None, history=False, endpoint="", tell=False):
        """A staged picture in one file, on a ticket when one is named."""
        with self.db.write() as session:
            if session.scalars(select(Source).where(Source.name == "erp")).first() is None:
                session.add(Source(id=1, name="erp"))
                session.flush()
            if session.get(Picture, sha(name)) is None:
                session.add(Picture(sha256=sha(name), size_bytes=1, staged_at=self.now))
                session.flush()
            path = path if path is not None else f"{user}/{name}-{ticket}.jpg".encode()
            file = File(source_id=1, path=path, user=user, state="staged", history=history, sha256=sha(name))
            file.first_seen_at = file.observed_at = self.now
            session.add(file)
            session.flush()
            if ticket is not None:
                session.add(FileTicket(file_id=file.id, ticket=ticket, endpoint=endpoint, resolved_at=self.now))
            if tell:
                outbox.announce(session, self.db, self.settings, sha(name), self.now)
            return file.id

    def predict(self, name, category, confidence=0.9, model="m1", tell=True):
        """The model's answer, announced in the same transaction."""
        with self.db.write() as session:
            if session.get(Model, model) is None:
                session.add(Model(id=model, state="retired", created_at=self.now, manifest={}))
                session.flush()
            session.add(
                Prediction(
                    sha256=sha(name),
                    model_id=model,
                    category=category,
                    best=category,
                    confidence=confidence,
                    created_at=self.now,
                )
            )
            session.get(Picture, sha(name)).model_id = model
            return outbox.announce(session, self.db, self.settings, sha(name), self.now) if tell else 0

    def label(self, name, category):
        """A person's label, announced in the same transaction; None takes it back."""
        self.labels += 1
        with self.db.write() as session:
            event = LabelEvent(
                key=f"k{self.labels}", sha256=sha(name), new=category, who="ann", at=self.now, how="page"
            )
            session.add(event)
            session.flush()
            found = session.get(Label, sha(name))
            if category is None:
                session.delete(found)
            elif found is None:
                session.add(Label(sha256=sha(name), category=category, version=event.id, who="ann", at=self.now))
            else:
                found.category, found.version = category, event.id
            return outbox.announce(session, self.db, self.settings, sha(name), self.now)

    def decide(self, after_s=61):
        self.now += after_s
        return outbox.decide_tickets(self.db, self.settings, self.now)

    def answers(self):
        """All rows of the outbox in their order."""
        with self.db.read() as session:
            return session.scalars(select(Answer).order_by(Answer.endpoint, Answer.ticket, Answer.seq)).all()

    def told(self):
        return [f"{row.type} {row.ticket} {_category(row)}" for row in self.answers()]


def _category(row):
    return json.loads(row.body)["data"]["category"]


def body_of(ticket, seq):
    return json.dumps({"type": "ticket.answered", "data": {"ticket": ticket, "seq": seq}}).encode()


def put_answers(db, answers, now=NOW, state="pending"):
    """Rows straight into the outbox: (endpoint, ticket, seq) each. Returns their ids."""
    ids = []
    with db.write() as session:
        for endpoint, ticket, seq in answers:
            ids.append(message_id(now))
            session.add(
                Answer(
                    id=ids[-1],
                    endpoint=endpoint,
                    ticket=ticket,
                    seq=seq,
                    type="ticket.answered",
                    body=body_of(ticket, seq),
                    state=state,
                    due_at=now,
                    created_at=now,
                )
            )
    return ids
