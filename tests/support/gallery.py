"""Pictures in the staging area and what was said about them, in one call each."""

import io
import json

from PIL import Image, ImageDraw

from ticketbot.contracts import store
from ticketbot.db import Database
from ticketbot.db.models import File, Model, Picture, Prediction, Source
from ticketbot.settings import Settings

NOW = 1_800_000_000.0


def jpeg(text: str, size: tuple[int, int] = (640, 480)) -> bytes:
    """A small real JPEG that says `text`; another text is another picture."""
    image = Image.new("RGB", size, (245, 245, 240))
    ImageDraw.Draw(image).text((20, 20), text, fill=(20, 20, 60), font_size=28)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return stream.getvalue()


def staged(db: Database, settings: Settings, data: bytes, *, name: bytes = b"", at: float = NOW) -> str:
    """Stage these bytes as a file of the source `erp`, called <hash>.jpg or `name`. -> the picture's hash."""
    with store.incoming(settings.data_dir) as incoming:
        incoming.write(data)
        store.keep([incoming])
        sha256 = incoming.sha256
    times = {"first_seen_at": at, "observed_at": at, "staged_at": at}
    with db.write() as session:
        source = session.query(Source).filter_by(name="erp").one_or_none() or Source(name="erp")
        session.add(source)
        session.merge(Picture(sha256=sha256, size_bytes=len(data), staged_at=at))
        session.flush()
        path = name or f"7/{sha256}.jpg".encode()
        session.add(File(source_id=source.id, path=path, user="7", state="staged", sha256=sha256, **times))
    return sha256


def champion(db: Database, name: str = "model-1", **manifest) -> str:
    """A champion that never ran: only its row."""
    known = json.loads(json.dumps(manifest))
    with db.write() as session:
        session.add(Model(id=name, state="champion", created_at=NOW, promoted_at=NOW, reason="", manifest=known))
    return name


def predicted(
    db: Database,
    sha256: str,
    model_id: str,
    best: str,
    confidence: float = 0.9,
    *,
    unsure: bool = False,
    margin: float | None = None,
) -> None:
    with db.write() as session:
        session.add(
            Prediction(
                sha256=sha256,
                model_id=model_id,
                category=None if unsure else best,
                best=best,
                confidence=confidence,
                margin=confidence if margin is None else margin,
                created_at=NOW,
            )
        )
        session.get(Picture, sha256).model_id = model_id
