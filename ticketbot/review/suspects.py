"""Which labels may be wrong, and has a person said something about them yet?

Three lists, all read from the last cleaning that succeeded and from what people said:

    suspects    every row of it, the least likely label first
    conflicts   those whose look-alikes have another label, look-alikes together
    opinions    pictures that two people called two things

A row is gone from its list when its label is another now, or when somebody kept this very label (a `keep`, or this
word said on the Clean page): the next cleaning does not ask again. Nothing here changes a label.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.orm import Session

from ticketbot.db import Database
from ticketbot.db.models import Cleaning, Label, LabelEvent, Picture, SecondOpinion, Suspect
from ticketbot.review import labels, queue
from ticketbot.review.labels import CLEAN, KEEP
from ticketbot.review.queue import PASSED

LISTS = ("suspects", "conflicts", "opinions")
# So many fine ones in a row, and what follows is hardly worth looking at.
STOP_AFTER = 20
# Look-alikes shown beside a picture.
BESIDE = 12
LATEST = 200


@dataclass(frozen=True)
class Item:
    """A picture and why it is here. `suggested`: by a model that saw neither it nor its look-alikes, None: nobody
    suggests. `said`: [(who, word), …] of two people who differ. `beside`: look-alikes with their labels."""

    sha256: str
    version: int
    label: str
    suggested: str | None = None
    p_label: float | None = None
    p_suggested: float | None = None
    conflict: bool = False
    # What the model in service says; None on pictures that measure it.
    model: str | None = None
    confidence: float | None = None
    said: tuple[tuple[str, str], ...] = ()
    beside: list[dict[str, str]] = field(default_factory=list)


def latest(session: Session) -> Cleaning | None:
    """The cleaning whose suspects are shown."""
    query = select(Cleaning).where(Cleaning.state == "succeeded").order_by(Cleaning.id.desc()).limit(1)
    return session.scalar(query)


def take(
    db: Database,
    name: str,
    *,
    who: str,
    page: str,
    n: int,
    blind_share: float,
    lease_s: float,
    now: float,
    have: Sequence[str] = (),
    passed: Sequence[str] = (),
) -> list[Item]:
    """Up to n pictures of a list for this page, held for lease_s; those of `have` that it may keep come first."""
    holder = queue.holder_of(who, page)
    mine = queue.hold(db, list(have), holder, now, lease_s)
    if len(mine) < n:
        with db.read() as session:
            query = _open(session, name, who, holder, now)
            known = {*mine, *passed}
            found = session.execute(query.limit(n - len(mine) + len(known))) if query is not None else ()
            wanted = [row.sha256 for row in found if row.sha256 not in known][: n - len(mine)]
        mine += queue.hold(db, wanted, holder, now, lease_s)
    with db.read() as session:
        known_items = items(session, name, mine, blind_share, who)
    return [known_items[sha256] for sha256 in mine if sha256 in known_items]


def count(session: Session, name: str, who: str = "") -> int:
    """How many are left on a list."""
    query = _open(session, name, who, "", 0.0, leased=True)
    return session.scalar(select(func.count()).select_from(query.subquery())) or 0 if query is not None else 0


def fine_in_a_row(session: Session, who: str, since: float) -> int:
    """How many this person kept on the Clean page since then, one after the other, up to now."""
    own = (LabelEvent.who == who, LabelEvent.how == CLEAN, LabelEvent.undo_of.is_(None), LabelEvent.at >= since)
    words = session.scalars(
        select(LabelEvent.new).where(*own, ~labels.taken_back()).order_by(LabelEvent.id.desc()).limit(LATEST)
    )
    run = 0
    for word in words:
        if word in PASSED:
            continue
        if word != KEEP:
            break
        run += 1
    return run


def items(session: Session, name: str, hashes: Sequence[str], blind_share: float, who: str) -> dict[str, Item]:
    """What the page shows of these pictures, by hash; those that have no label (any more) are not in it."""
    known = queue.items(session, hashes, blind_share, who)
    words = session.execute(select(Label.sha256, Label.category).where(Label.sha256.in_(hashes)))
    now: dict[str, str] = {row.sha256: row.category for row in words}
    if name == "opinions":
        rows = session.scalars(select(SecondOpinion).where(SecondOpinion.sha256.in_(hashes)))
        said = {row.sha256: ((row.first_who, row.first), (row.second_who or "", row.second or "")) for row in rows}
        return {
            sha256: Item(sha256, known[sha256].version, now[sha256], said=said[sha256])
            for sha256 in hashes
            if sha256 in now and sha256 in said and sha256 in known
        }
    cleaning = latest(session)
    if cleaning is None:
        return {}
    own = (Suspect.cleaning_id == cleaning.id, Suspect.sha256.in_(hashes))
    found = {row.sha256: row for row in session.scalars(select(Suspect).where(*own))}
    beside = _beside(session, cleaning.id, found.values())
    made = {}
    for sha256, row in found.items():
        if sha256 not in now or sha256 not in known:
            continue
        one = known[sha256]
        alike = [other for other in beside[row.cluster] if other["sha256"] != sha256][:BESIDE]
        chances = (row.suggested, row.p_label, row.p_suggested, row.conflict, one.suggested, one.confidence)
        made[sha256] = Item(sha256, one.version, now[sha256], *chances, beside=alike)
    return made


def _beside(session: Session, cleaning_id: int, rows: Any) -> dict[int, list[dict[str, str]]]:
    """The look-alikes of each cluster with their labels of today."""
    clusters = {row.cluster for row in rows}
    query = (
        select(Suspect.cluster, Suspect.sha256, Label.category)
        .join(Label, Label.sha256 == Suspect.sha256)
        .join(Picture, Picture.sha256 == Suspect.sha256)
        .where(Suspect.cleaning_id == cleaning_id, Suspect.cluster.in_(clusters), Picture.state == "staged")
        .order_by(Suspect.rank)
    )
    found: dict[int, list[dict[str, str]]] = defaultdict(list)
    for cluster, sha256, category in session.execute(query):
        found[cluster].append({"sha256": sha256, "label": category})
    return found


def _open(session: Session, name: str, who: str, holder: str, now: float, *, leased: bool = False) -> Any:
    """A query of the sha256 of what is left, in order; None: there never was a cleaning."""
    here = (Picture.state == "staged", ~queue.passed_by(who)) + (() if leased else (queue.free(holder, now),))
    if name == "opinions":
        return _differ(here)
    cleaning = latest(session)
    if cleaning is None:
        return None
    query = (
        select(Suspect.sha256)
        .join(Picture, Picture.sha256 == Suspect.sha256)
        .join(Label, and_(Label.sha256 == Suspect.sha256, Label.category == Suspect.label))
        .where(Suspect.cleaning_id == cleaning.id, ~_confirmed(Suspect.sha256, Suspect.label), *here)
    )
    if name == "conflicts":
        return query.where(Suspect.conflict).order_by(Suspect.cluster, Suspect.rank)
    return query.where(or_(Suspect.label != Suspect.suggested, Suspect.p_label < 0.5)).order_by(Suspect.rank)


def _differ(here: tuple[Any, ...]) -> Any:
    after = SecondOpinion.second_event
    return (
        select(SecondOpinion.sha256)
        .join(Picture, Picture.sha256 == SecondOpinion.sha256)
        .join(Label, Label.sha256 == SecondOpinion.sha256)
        .where(after.is_not(None), SecondOpinion.first != SecondOpinion.second)
        .where(~_confirmed(SecondOpinion.sha256, Label.category, LabelEvent.id > after), *here)
        .order_by(after.desc())
    )


def _confirmed(sha256: Any, label: Any, *more: Any) -> Any:
    """Somebody said on the Clean page that this label is right, and did not take that back."""
    kept = or_(and_(LabelEvent.new == KEEP, LabelEvent.old == label), LabelEvent.new == label)
    said = (LabelEvent.sha256 == sha256, LabelEvent.how == CLEAN, LabelEvent.undo_of.is_(None), kept)
    return exists().where(*said, ~labels.taken_back(), *more)
