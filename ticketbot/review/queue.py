"""Which pictures does this reviewer see next?

With a champion: mostly where it hesitates (smallest margin first), some at random, and the blind ones. A picture is
blind by its hash: the first `review.blind_share` of all possible hashes. So the blind ones are drawn evenly from
everything that comes in, whatever a model says about them, and nobody has to remember which they are.
Without a champion: at random. A page holds its pictures for `review.lease_s`; nobody else gets them meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from ticketbot.db import Database
from ticketbot.db.models import Label, LabelEvent, Model, Picture, Prediction
from ticketbot.db.rows import rows

RANDOM_SHARE = 0.1
# What a reviewer said these about comes back to somebody else, not to them.
PASSED = ("skip", "unsure")


@dataclass(frozen=True)
class Item:
    """A picture as the page needs it. A blind one brings no suggestion at all, so that none can show."""

    sha256: str
    # Id of the last label event, 0 without one: what a new label must be based on.
    version: int
    blind: bool
    suggested: str | None = None
    suggested_by: str | None = None
    confidence: float | None = None
    unsure: bool = False
    category: str | None = None


def blind_below(share: float) -> str:
    """The hash below which a picture is blind: sixteen digits are enough to compare with."""
    return format(min(int(share * 16**16), 16**16 - 1), "016x")


def is_blind(sha256: str, share: float) -> bool:
    return sha256[:16] < blind_below(share)


def portions(n: int, blind_share: float, dice: random.Random) -> tuple[int, int, int]:
    """Of n pictures: how many blind, at random, by margin. Fractions are diced, so that small pages are fair too."""
    blind = min(n, _diced(n * blind_share, dice))
    chance = min(n - blind, _diced(n * RANDOM_SHARE, dice))
    return blind, chance, n - blind - chance


def _diced(amount: float, dice: random.Random) -> int:
    whole = int(amount)
    return whole + (dice.random() < amount - whole)


def take(
    db: Database,
    *,
    who: str,
    page: str,
    n: int,
    blind_share: float,
    lease_s: float,
    now: float,
    have: Sequence[str] = (),
) -> list[Item]:
    """Up to n pictures for this page, held for lease_s; those of `have` that it may keep come first."""
    dice = random.Random()  # noqa: S311 - an order, not a secret
    holder = holder_of(who, page)
    mine = _hold(db, list(have), holder, now, lease_s)
    for _ in range(3):  # another page may be quicker with the same ones
        if len(mine) >= n:
            break
        with db.read() as session:
            wanted = _candidates(session, who, n - len(mine), blind_share, now, dice, set(mine))
        if not wanted:
            break
        mine += _hold(db, wanted, holder, now, lease_s)
    with db.read() as session:
        found = items(session, mine, blind_share)
    return [found[sha256] for sha256 in mine if sha256 in found]


def holder_of(who: str, page: str) -> str:
    return f"{page}/{who}"[:80]


def _hold(db: Database, wanted: list[str], holder: str, now: float, lease_s: float) -> list[str]:
    """Take or renew the lease of each, where nobody else has it."""
    held = set()
    with db.write() as session:
        for sha256 in sorted(wanted):  # in one order: two pages that want the same rows must not wait for each other
            free = or_(Picture.review_until <= now, Picture.review_holder == holder)
            change = update(Picture).where(Picture.sha256 == sha256, Picture.state == "staged", free)
            done = session.execute(change.values(review_holder=holder, review_until=now + lease_s))
            if rows(done):
                held.add(sha256)
    return [sha256 for sha256 in wanted if sha256 in held]


def _candidates(
    session: Session, who: str, n: int, blind_share: float, now: float, dice: random.Random, mine: set[str]
) -> list[str]:
    champion = session.scalar(select(Model.id).where(Model.state == "champion"))
    below = blind_below(blind_share)
    blind_n, chance_n, margin_n = portions(n, blind_share, dice)
    chosen: list[str] = []

    def add(count: int, *queries: Select[Any]) -> None:
        """The first `count` of these queries, one after the other, that are not chosen yet."""
        until = len(chosen) + count
        for query in queries:
            known = mine | set(chosen)
            found = session.scalars(query.limit(until - len(chosen) + len(known))) if len(chosen) < until else ()
            chosen.extend([sha256 for sha256 in found if sha256 not in known][: until - len(chosen)])

    free = _open(who, now)
    blind, seen = Picture.sha256 < below, Picture.sha256 >= below
    if champion is not None:
        add(blind_n, _from(_pivot(dice, "0", below), free, blind), _from("", free, blind))
        add(chance_n, _from(_pivot(dice, below), free, seen), _from(below, free, seen))
        add(margin_n, _by_margin(champion, free, below))
    # All of it without a champion; else what the champion has not seen yet, and the rest of the blind ones.
    add(n - len(chosen), _from(_pivot(dice, "0"), free), _from("", free))
    dice.shuffle(chosen)
    return chosen


def _pivot(dice: random.Random, low: str, high: str = "f" * 16) -> str:
    """A place between two hashes to start reading from."""
    return format(dice.randint(int(low, 16), max(int(low, 16), int(high.ljust(16, "0"), 16))), "016x")


def _open(who: str, now: float) -> Any:
    """Staged, without a label, held by nobody, and not passed on by this person."""
    undone = aliased(LabelEvent)
    passed = exists().where(
        LabelEvent.sha256 == Picture.sha256,
        _unindexed(LabelEvent.who) == who,
        LabelEvent.new.in_(PASSED),
        ~exists().where(undone.sha256 == LabelEvent.sha256, undone.undo_of == LabelEvent.id),
    )
    labelled = exists().where(Label.sha256 == Picture.sha256)
    return and_(_unindexed(Picture.state) == "staged", Picture.review_until <= now, ~labelled, ~passed)


def _unindexed(column: Any) -> Any:
    """The column, in a form no index answers: SQLite would walk all words of a person, or sort all staged pictures,
    for each page (600 ms with 4,000 pictures instead of 4)."""
    return func.coalesce(column, "")


def _from(pivot: str, *where: Any) -> Select[Any]:
    """In the order of the hashes, from a place on: as good as at random, and the primary key is the index."""
    return select(Picture.sha256).where(Picture.sha256 >= pivot, *where).order_by(Picture.sha256)


def _by_margin(champion: str, open_: Any, below: str) -> Select[Any]:
    """Where the champion hesitates most; walks ix_prediction_margin and stops early."""
    return (
        select(Prediction.sha256)
        .join(Picture, Picture.sha256 == Prediction.sha256)
        .where(Prediction.model_id == champion, Prediction.margin.is_not(None), Prediction.sha256 >= below, open_)
        # Said again of the prediction: so SQLite passes over labelled ones without reading the picture.
        .where(~exists().where(Label.sha256 == Prediction.sha256))
        .order_by(Prediction.margin)
    )


def items(session: Session, hashes: Sequence[str], blind_share: float) -> dict[str, Item]:
    """What the page shows of these pictures, by hash."""
    champion = session.scalar(select(Model.id).where(Model.state == "champion"))
    version = select(func.max(LabelEvent.id)).where(LabelEvent.sha256 == Picture.sha256).scalar_subquery()
    query = (
        select(Picture.sha256, version, Label.category, Prediction)
        .outerjoin(Label, Label.sha256 == Picture.sha256)
        .outerjoin(Prediction, and_(Prediction.sha256 == Picture.sha256, Prediction.model_id == (champion or "")))
        .where(Picture.sha256.in_(hashes))
    )
    return {row.sha256: _item(tuple(row), is_blind(row.sha256, blind_share)) for row in session.execute(query)}


def _item(row: tuple[Any, ...], blind: bool) -> Item:
    """`row`: hash, version, category of the label, the champion's prediction; the last three may be None."""
    sha256, version, category, said = row
    if blind or said is None or said.best is None:
        return Item(sha256, version or 0, blind, category=category)
    return Item(sha256, version or 0, False, said.best, said.model_id, said.confidence, said.category is None, category)
