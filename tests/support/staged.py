"""A staged picture in one call: bytes in the store, and its rows."""

import hashlib

from sqlalchemy import select

from ticketbot.contracts import store
from ticketbot.db.models import File, Picture, Source

STAGED_AT = 1_000_000.0


def put_picture(
    db, data_dir, content=b"\xff\xd8\xff picture", *, path=None, history=False, staged_at=STAGED_AT, **values
):
    """Returns the sha256. `path`: also a file row of the source `erp`, whose user is its first folder."""
    with store.incoming(data_dir) as new:
        new.write(content)
        sha256 = new.keep()
    assert sha256 == hashlib.sha256(content).hexdigest()
    with db.write() as session:
        session.add(Picture(sha256=sha256, size_bytes=len(content), staged_at=staged_at, **values))
        session.flush()
        if path is not None:
            source = session.scalar(select(Source).where(Source.name == "erp")) or Source(name="erp")
            session.add(source)
            session.flush()
            user = path.partition(b"/")[0].decode("utf-8", "backslashreplace")
            file = File(source_id=source.id, path=path, user=user, state="staged", history=history, sha256=sha256)
            file.first_seen_at = file.observed_at = staged_at
            session.add(file)
    return sha256
