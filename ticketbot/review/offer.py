"""Which pictures lie in to-label, waiting to be sorted?

Topped up to a maximum with readable copies. A copy whose picture got a label elsewhere, or was erased, is taken away
again, so that nobody sorts it for nothing. What people put or rename there themselves is left alone.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, aliased

from ticketbot.contracts import store
from ticketbot.contracts.events import shown_path
from ticketbot.db.models import File, Label, Model, Picture, Prediction, SortedCopy
from ticketbot.db.session import Database
from ticketbot.failpoints import failpoint

log = logging.getLogger(__name__)

# …<16 digits of the hash>.jpg at the end of a name: made by us, and of which picture.
MARK = re.compile(r" ([0-9a-f]{16})\.\w{3,4}$")
MARK_DIGITS = 16
NAME_BYTES = 120
SUFFIXES = {"PNG": ".png", "GIF": ".gif", "WEBP": ".webp", "BMP": ".bmp"}


def top_up(db: Database, data_dir: Path, category_folders: Collection[str], maximum: int) -> int:
    """Fill to-label up to `maximum` copies; returns how many were added. Read the category folders first."""
    folder = data_dir / "to-label"
    folder.mkdir(parents=True, exist_ok=True)
    waiting = _take_away_done(db, folder, [entry.name for entry in os.scandir(folder) if _is_a_copy(entry)])
    in_hand = [*waiting, *_set_aside(data_dir / "labelled", category_folders)]
    marks = {mark for name in in_hand if (mark := _mark_of(name))}
    room = maximum - len(waiting)
    added = 0
    if room > 0:
        with db.read() as session:
            chosen = [sha256 for sha256 in _candidates(session, room + len(marks)) if sha256[:MARK_DIGITS] not in marks]
            names = [(sha256, _name_for(session, sha256)) for sha256 in chosen[:room]]
        added = sum(_copy(data_dir, sha256, folder / name) for sha256, name in names)
    return added


def _candidates(session: Session, count: int) -> Iterator[str]:
    """Pictures without a label in the order to offer them; nothing twice."""
    given: set[str] = set()
    for query in (_unsure(session), _newest(wanted=True), _newest(wanted=False)):
        if query is None or len(given) >= count:
            continue
        for sha256 in session.scalars(query.limit(count)):
            if sha256 not in given and len(given) < count:
                given.add(sha256)
                yield sha256


def _unsure(session: Session) -> Select[Any] | None:
    """What the champion was least sure of."""
    champion = session.scalar(select(Model.id).where(Model.state == "champion"))
    if champion is None:
        return None
    own = (Prediction.model_id == champion, Prediction.category.is_(None), Prediction.state == "done")
    query = select(Picture.sha256).join(Prediction, Prediction.sha256 == Picture.sha256).where(*own, *_to_offer())
    return query.order_by(Prediction.margin)


def _newest(*, wanted: bool) -> Select[Any]:
    """Newest first; `wanted` False is history that nobody asked for."""
    return select(Picture.sha256).where(Picture.wanted.is_(wanted), *_to_offer()).order_by(Picture.staged_at.desc())


def _to_offer() -> tuple[Any, ...]:
    labelled = select(Label.sha256).where(Label.sha256 == Picture.sha256).exists()
    failed = aliased(Prediction)
    unreadable = select(failed.id).where(failed.sha256 == Picture.sha256, failed.state == "failed").exists()
    return (Picture.state == "staged", ~labelled, ~unreadable, Picture.sha256.not_in(select(SortedCopy.sha256)))


def _take_away_done(db: Database, folder: Path, names: list[str]) -> list[str]:
    left = []
    with db.read() as session:
        for name in names:
            mark = _mark_of(name)
            if mark and _is_done(session, mark):
                (folder / name).unlink(missing_ok=True)
            else:
                left.append(name)
    return left


def _is_done(session: Session, mark: str) -> bool:
    # "g" follows the digits: every hash that begins with the mark.
    begins = (Picture.sha256 >= mark, Picture.sha256 < mark + "g")
    query = select(Picture.state, Label.sha256).outerjoin(Label, Label.sha256 == Picture.sha256).where(*begins)
    rows = session.execute(query).all()
    return bool(rows) and all(state == "erased" or labelled is not None for state, labelled in rows)


def _set_aside(labelled: Path, category_folders: Collection[str]) -> Iterator[str]:
    """Names of copies under labelled/ outside the category folders: somebody has them in hand."""
    for place, folders, names in os.walk(labelled):
        if Path(place) == labelled:
            folders[:] = [folder for folder in folders if folder not in category_folders]
        yield from names


def _is_a_copy(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.is_file(follow_symlinks=False)


def _mark_of(name: str) -> str | None:
    found = MARK.search(name)
    return found.group(1) if found else None


def _name_for(session: Session, sha256: str) -> str:
    """<user> <file name> <mark>.jpg, of letters that every file manager and shell takes."""
    path = session.scalar(select(File.path).where(File.sha256 == sha256).order_by(File.id).limit(1))
    kind = session.scalar(select(Picture.format).where(Picture.sha256 == sha256))
    user = session.scalar(select(File.user).where(File.sha256 == sha256).order_by(File.id).limit(1))
    stem = shown_path(path.rpartition(b"/")[2]).rpartition(".")[0] if path else "picture"
    words = re.sub(r"[^\w.,()-]+", " ", f"{user or ''} {stem}").strip(" .-")
    short = words.encode()[:NAME_BYTES].decode("utf-8", "ignore").strip()
    return f"{short or 'picture'} {sha256[:MARK_DIGITS]}{SUFFIXES.get(kind or '', '.jpg')}"


def _copy(data_dir: Path, sha256: str, target: Path) -> bool:
    """A copy, not a link: an editor that writes in place must not change what lies under the hash."""
    draft = target.with_name(f".{sha256}.part")
    try:
        shutil.copyfile(store.path_of(data_dir, sha256), draft)
        failpoint("offer.copied")
        os.replace(draft, target)
    except FileNotFoundError:
        return False  # archived or erased meanwhile
    return True
