"""Pictures, labels and models in the database in a call each; name only what the test is about."""

import hashlib
import io

from PIL import Image

from tests.support.bundles import make_bundle, picture
from ticketbot.db.models import File, Label, LabelEvent, Model, Picture, Source
from ticketbot.retrain import shelf


def jpeg(pixels, quality=90):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def stage(db, settings, data, *, user="u1", **columns):
    """Stage bytes as a picture of one file of `user`; returns the sha256."""
    sha256 = hashlib.sha256(data).hexdigest()
    place = settings.staged_path(sha256)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    with db.write() as session:
        if session.get(Picture, sha256) is None:
            session.add(Picture(sha256=sha256, size_bytes=len(data), **{"staged_at": 1.0, **columns}))
        source = session.query(Source).filter_by(name="erp").one_or_none() or Source(name="erp")
        session.add(source)
        session.flush()
        path = f"{user}/{sha256[:8]}.jpg".encode()
        file = File(source_id=source.id, path=path, user=user, state="staged", sha256=sha256)
        file.first_seen_at = file.observed_at = 1.0
        session.add(file)
    return sha256


def stage_colour(db, settings, number, *, seed=0, strength=1.0, **columns):
    """Stage a picture that a colour bundle puts into class `number`."""
    return stage(db, settings, jpeg(picture(number, seed=seed, px=96, strength=strength)), **columns)


def label(db, sha256, category, *, how="folder", suggested=None, blind=False, at=1.0):
    """A person's word about a picture."""
    with db.write() as session:
        count = session.query(LabelEvent).count()
        event = LabelEvent(
            key=f"k{count}", sha256=sha256, new=category, who="ann", at=at, how=how, suggested=suggested, blind=blind
        )
        session.add(event)
        session.flush()
        session.merge(Label(sha256=sha256, category=category, version=event.id, who="ann", at=at, blind=blind))
        return event.id


def put_model(db, settings, model_id="test-1", *, champion=True, now=100.0, **bundle_changes):
    """A colour bundle on the shelf, by default in service; not tried in a child first, which takes a second."""
    manifest = make_bundle(shelf.folder_of(settings, model_id), model_id=model_id, **bundle_changes)
    with db.write() as session:
        session.add(Model(id=model_id, state="challenger", created_at=manifest.created_at, manifest=manifest.as_json()))
    if champion:
        shelf.promote(db, settings, model_id, who="test", reason="test", now=now)


def states(db):
    """{model id: state}."""
    with db.read() as session:
        return {model.id: model.state for model in session.query(Model)}
