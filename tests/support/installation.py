"""An installation to hurt, and what must be true of it afterwards.

with Receiver(SECRET) as desk:
    world = Installation(folder, desk, database_url)     a World with leases of a second and a champion
    world.upload(n, ticket)                              the n-th picture; its right category is CLASSES[n % 4]
    …
    assert world.wrongs(desk) == []                      lost, doubled, out of order, torn: in words
"""

import hashlib
import io
import time
from collections import Counter

from PIL import Image
from sqlalchemy import func, select, text

from tests.support.bundles import CLASSES, make_bundle, picture
from tests.support.outbox import SECRET
from tests.support.world import World
from ticketbot import flow
from ticketbot.app import App
from ticketbot.contracts import bundle
from ticketbot.db import connect
from ticketbot.db.models import Answer, Attempt, Model, Picture, Prediction, Source, Ticket
from ticketbot.imaging import child
from ticketbot.imaging.pool import Canonical
from ticketbot.imaging.protocol import ANSWER
from ticketbot.retrain import shelf

LEASE_S = 1.0
FAST = {
    "classify__lease_s": f"{LEASE_S}",
    "classify__batch": "8",
    "deliver__timeout_s": f"{LEASE_S / 2}",
    "deliver__lease_margin_s": f"{LEASE_S / 2}",
    # Sixty quick attempts: a receiver that fails every third time never outlasts them.
    "deliver__schedule_s": str([0.0] + [0.05] * 60),
    "deliver__breaker_probe_s": "[0.05, 0.1]",
    "schedule__lease_s": f"{LEASE_S}",
    "schedule__poll_s": "0.25",
    "schedule__classify_s": "0.1",
    "schedule__deliver_s": "0.1",
    "schedule__labels_s": "0.5",
    "retrain__min_new_labels": "1",
    "retrain__min_interval_s": "0",
    "retrain__min_per_category": "2",
    "model__first": "auto",
}


class Inline:
    """The decoder's own code without its child process, which has tests of its own and takes half a second."""

    def decode(self, data, *, max_px=640):
        import numpy as np

        head, pixels = child.answer(data, max_px)
        _, name, width, height, rows, columns = ANSWER.unpack(head)
        rgb = np.frombuffer(pixels, np.uint8).reshape(rows, columns, 3)
        return Canonical(rgb, name.rstrip(b"\0").decode(), width, height)

    def close(self):
        pass


def jpeg(number):
    """The bytes of the number-th picture; every number is another picture."""
    stream = io.BytesIO()
    Image.fromarray(picture(number % 4, seed=number, px=64)).save(stream, "JPEG", quality=80)
    return stream.getvalue()


def new_app(settings, later_s=0.0):
    """An App whose decoder works in this process, with the clock put forward."""
    app = App(settings, now=lambda: time.time() + later_s)
    app.__dict__["decoders"] = Inline()
    return app


class Installation(World):
    def __init__(self, folder, desk, database_url="", **more):
        super().__init__(folder, desk.url, SECRET, database_url, **{**FAST, **more})
        self.truth = {}
        app = new_app(self.settings)
        flow.poll(app)  # an empty first scan: whatever comes is news
        self.put_champion(app.db, "m1")
        app.close()

    def put_champion(self, db, model_id):
        manifest = make_bundle(shelf.folder_of(self.settings, model_id), model_id=model_id)
        with db.write() as session:
            session.add(Model(id=model_id, state="challenger", created_at=1.0, manifest=manifest.as_json()))
        shelf.promote(db, self.settings, model_id, who="test", reason="test", now=1.0)

    def upload(self, number, ticket):
        """File `number` of the ERP, on a ticket that is sorted by its first picture."""
        self.truth.setdefault(ticket, CLASSES[number % 4])
        user, name = str(number % 20), f"{number}.jpg"
        self.save_ticket(user, name, ticket)  # first: a poller may be quick
        return self.add(user, name, jpeg(number))

    def finish(self, later_s=5.0):
        """Everything that is still to do, by a process that starts now, with a clock past every lease."""
        app = new_app(self.settings, later_s)
        try:
            return flow.until_idle(app)
        finally:
            app.close()

    def wrongs(self, desk):
        """Sentences about what is lost, doubled, out of order or torn; [] when all is well."""
        db = connect(self.settings.database_url)
        try:
            with db.read() as session:
                found = [*_tickets(session, self.truth), *_answers(session, desk), *_pictures(session, self.settings)]
                found += _models(session, self.settings)
                if db.is_sqlite:
                    found += [f"integrity: {row}" for (row,) in session.execute(text("PRAGMA integrity_check"))][1:]
                    found += [f"foreign key: {row}" for row in session.execute(text("PRAGMA foreign_key_check"))]
                found += [f"scan incomplete: {why}" for why in session.scalars(select(Source.incomplete)) if why]
        finally:
            db.close()
        return found


def _tickets(session, truth):
    said = {row.ticket: row.category for row in session.scalars(select(Ticket))}
    for ticket, category in truth.items():
        if said.get(ticket) != category:
            yield f"{ticket} should be {category}, we said {said.get(ticket)}"


def _answers(session, desk):
    rows = session.scalars(select(Answer).order_by(Answer.ticket, Answer.seq)).all()
    delivered = {row.id for row in rows if row.state == "delivered"}
    for row in rows:
        if row.state != "delivered":
            yield f"{row.id} of {row.ticket} is {row.state}"
    by_ticket = Counter(row.ticket for row in rows)
    highest = dict(session.execute(select(Answer.ticket, func.max(Answer.seq)).group_by(Answer.ticket)).all())
    yield from (f"{one} has {n} answers up to {highest[one]}" for one, n in by_ticket.items() if n != highest[one])
    kinds = Counter((row.ticket, row.type, row.sha256) for row in rows if not row.type.endswith("corrected"))
    yield from (f"{kind} was said {n} times" for kind, n in kinds.items() if n > 1)
    attempts = dict(session.execute(select(Attempt.answer_id, func.count()).group_by(Attempt.answer_id)).all())
    yield from (f"{row.id}: {row.attempts} attempts, {attempts.get(row.id)} rows" for row in rows
                if row.attempts != attempts.get(row.id, 0))  # fmt: skip
    effects = Counter(desk.effects)
    yield from (f"{id_} has {n} effects" for id_, n in effects.items() if n != 1)
    yield from (f"{id_} was delivered and never arrived" for id_ in delivered - set(effects))
    yield from (f"{id_} arrived and is unknown" for id_ in set(effects) - delivered)
    if wrong := desk.order_violations():
        yield f"{wrong} answers out of order"
    if unsigned := sum(not request.verified for request in desk.requests):
        yield f"{unsigned} requests with a wrong signature"


def _pictures(session, settings):
    champion = session.scalar(select(Model.id).where(Model.state == "champion"))
    for row in session.scalars(select(Picture)):
        if row.wanted and row.model_id != champion:
            yield f"picture {row.sha256[:8]} was answered by {row.model_id}"
        if not settings.staged_path(row.sha256).exists():
            yield f"picture {row.sha256[:8]} is lost"
    doubled = select(Prediction.sha256).group_by(Prediction.sha256, Prediction.model_id).having(func.count() > 1)
    yield from (f"picture {sha256[:8]} was answered twice" for sha256 in session.scalars(doubled))
    for path in (settings.data_dir / "staging").glob("[0-9a-f][0-9a-f]/*"):
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.stem:
            yield f"{path.name} is torn"


def _models(session, settings):
    champions = session.scalars(select(Model.id).where(Model.state == "champion")).all()
    if len(champions) != 1:
        yield f"champions: {champions}"
    for model_id in session.scalars(select(Model.id)):
        bundle.read(shelf.folder_of(settings, model_id))  # raises when a file is missing or torn
