"""Which pictures does this reviewer see next?

With a champion: mostly where it hesitates (smallest margin first), some at random, and the blind ones. A picture is
blind by its hash: the first `review.blind_share` of all possible hashes. So the blind ones are drawn evenly from
everything that comes in, whatever a model says about them, and nobody has to remember which they are.
Without a champion: at random. Of look-alikes that the model hesitates about, one comes at a time. Half of the blind
ones are asked of a second person (opinions.py), who does not see the first one's word. A page holds its pictures for
`review.lease_s`; nobody else gets them meanwhile.

For a page of look-alikes (`take_alike`): a picture at random, and what looks most like it of the same suggestion.
No query here reads more than WINDOW pictures, however many there are.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, text, update
from sqlalchemy.orm import Session

from ticketbot.db import Database
from ticketbot.db.models import Label, LabelEvent, Model, Picture, Prediction, SecondOpinion
from ticketbot.db.rows import rows
from ticketbot.judge import lookalike
from ticketbot.review import labels
from ticketbot.review.opinions import DOUBLE_SHARE

RANDOM_SHARE = 0.1
# What a reviewer said these about comes back to somebody else, not to them.
PASSED = ("skip", "unsure")
# Bits of 256 in which two pictures of one cluster differ at most: the same form, another text.
CLUSTER = 40
# Pictures looked at for a page of look-alikes.
WINDOW = 1500


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
    # Somebody labelled it before; this page does not tell how.
    second: bool = False


def blind_below(share: float) -> str:
    """The hash below which a picture is blind: sixteen digits are enough to compare with."""
    return format(min(int(share * 16**16), 16**16 - 1), "016x")


def is_blind(sha256: str, share: float) -> bool:
    return sha256[:16] < blind_below(share)


def is_double(sha256: str, blind_share: float) -> bool:
    """Do two people label it?"""
    return is_blind(sha256, blind_share * DOUBLE_SHARE)


def portions(n: int, blind_share: float, dice: random.Random) -> tuple[int, int, int]:
    """Of n pictures: how many blind, at random, by margin. Fractions are diced, so that small pages are fair too."""
    blind = min(n, _diced(n * blind_share, dice))
    chance = min(n - blind, _diced(n * RANDOM_SHARE, dice))
    return blind, chance, n - blind - chance


def _diced(amount: float, dice: random.Random) -> int:
    whole = int(amount)
    return whole + (dice.random() < amount - whole)


# Another page may be quicker with the same pictures.
TRIES = 3


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
    passed: Sequence[str] = (),
) -> list[Item]:
    """Up to n pictures for this page, held for lease_s; those of `have` that it may keep come first.

    `passed`: what the page does not want again, above all what it said but could not send yet.
    """
    dice = random.Random()  # noqa: S311 - an order, not a secret
    holder = holder_of(who, page)
    mine = hold(db, list(have), holder, now, lease_s)
    for _ in range(TRIES):
        if len(mine) >= n:
            break
        with db.read() as session:
            wanted = _candidates(session, who, holder, n - len(mine), blind_share, now, dice, {*mine, *passed})
        if not wanted:
            break
        mine += hold(db, wanted, holder, now, lease_s)
    return _in_order(db, mine, blind_share, who)


def take_alike(
    db: Database,
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
    """Up to n pictures that look alike and have one suggestion, the most alike first, held for lease_s.

    Never blind ones. `have`: what the page holds already, renewed; `passed`: what it does not want to see again.
    """
    holder = holder_of(who, page)
    if have:
        hold(db, list(have), holder, now, lease_s)
    for _ in range(TRIES):
        with db.read() as session:
            wanted = _alike(session, who, holder, n, blind_below(blind_share), now, {*have, *passed})
        if not wanted:
            return []
        if mine := hold(db, wanted, holder, now, lease_s):
            break
    return _in_order(db, mine, blind_share, who)


def _in_order(db: Database, hashes: Sequence[str], blind_share: float, who: str) -> list[Item]:
    with db.read() as session:
        found = items(session, hashes, blind_share, who)
    return [found[sha256] for sha256 in hashes if sha256 in found]


def _alike(session: Session, who: str, holder: str, n: int, below: str, now: float, without: set[str]) -> list[str]:
    dice = random.Random()  # noqa: S311 - an order, not a secret
    champion = session.scalar(select(Model.id).where(Model.state == "champion")) or ""
    seen_open = and_(_open(who, holder, now), Picture.sha256 >= below)
    said = and_(Prediction.sha256 == Picture.sha256, Prediction.model_id == champion)
    query = select(Picture.sha256, Picture.phash, Prediction.best).outerjoin(Prediction, said)
    found: list[Any] = []
    for start in (_pivot(dice, below), below):
        seen = {row.sha256 for row in found}
        some = query.where(Picture.sha256 >= start, seen_open).order_by(Picture.sha256).limit(WINDOW + len(without))
        found += [row for row in session.execute(some) if row.sha256 not in seen and row.sha256 not in without]
        if len(found) >= WINDOW / 2:
            break
    if not found:
        return []
    seed = dice.choice(found)
    same = [row for row in found if row.best == seed.best]
    return [row.sha256 for row in sorted(same, key=lambda row: _apart(seed.phash, row.phash))[:n]]


def _apart(one: bytes | None, other: bytes | None) -> int:
    """In how many bits two pictures differ; what was never decoded is like nothing."""
    return lookalike.distance(one, other) if one and other else 8 * lookalike.HASH_BYTES


def holder_of(who: str, page: str) -> str:
    return f"{page}/{who}"[:80]


def free(holder: str, now: float) -> ColumnElement[bool]:
    """Nobody else holds the picture."""
    return or_(Picture.review_until <= now, Picture.review_holder == holder)


def hold(db: Database, wanted: list[str], holder: str, now: float, lease_s: float) -> list[str]:
    """Take or renew the lease of each, where nobody else has it."""
    held = set()
    with db.write() as session:
        for sha256 in sorted(wanted):  # in one order: two pages that want the same rows must not wait for each other
            mine = (Picture.sha256 == sha256, Picture.state == "staged", free(holder, now))
            change = update(Picture).where(*mine)
            done = session.execute(change.values(review_holder=holder, review_until=now + lease_s))
            if rows(done):
                held.add(sha256)
    return [sha256 for sha256 in wanted if sha256 in held]


def _candidates(
    session: Session,
    who: str,
    holder: str,
    n: int,
    blind_share: float,
    now: float,
    dice: random.Random,
    mine: set[str],
) -> list[str]:
    champion = session.scalar(select(Model.id).where(Model.state == "champion"))
    below = blind_below(blind_share)
    blind_n, chance_n, margin_n = portions(n, blind_share, dice)
    chosen = _second(session, who, holder, _diced(n * blind_share * DOUBLE_SHARE, dice), now, mine)

    def add(count: int, *queries: Select[Any]) -> None:
        """The first `count` of these queries, one after the other, that are not chosen yet."""
        until = len(chosen) + count
        for query in queries:
            known = mine | set(chosen)
            found = session.scalars(query.limit(until - len(chosen) + len(known))) if len(chosen) < until else ()
            chosen.extend([sha256 for sha256 in found if sha256 not in known][: until - len(chosen)])

    open_ = _open(who, holder, now)
    blind, seen = Picture.sha256 < below, Picture.sha256 >= below
    if champion is not None:
        add(blind_n, _from(_pivot(dice, "0", below), open_, blind), _from("", open_, blind))
        add(chance_n, _from(_pivot(dice, below), open_, seen), _from(below, open_, seen))
        known = mine | set(chosen)
        chosen += _one_a_cluster(session, _by_margin(champion, open_, below), min(margin_n, n - len(chosen)), known)
    # All of it without a champion; else what the champion has not seen yet, and the rest of the blind ones.
    add(n - len(chosen), _from(_pivot(dice, "0"), open_), _from("", open_))
    dice.shuffle(chosen)
    return chosen


def _one_a_cluster(session: Session, query: Select[Any], count: int, known: set[str]) -> list[str]:
    """The first `count` of a query of (sha256, phash); look-alikes of one that is chosen only when too few are left."""
    rows_ = [row for row in session.execute(query.limit(3 * count + len(known))) if row.sha256 not in known]
    first: list[Any] = []
    rest: list[str] = []
    for row in rows_:
        alike = any(_apart(row.phash, other.phash) <= CLUSTER for other in first)
        if len(first) < count and not alike:
            first.append(row)
        else:
            rest.append(row.sha256)
    return [*(row.sha256 for row in first), *rest][:count]


def _second(session: Session, who: str, holder: str, count: int, now: float, mine: set[str]) -> list[str]:
    """Pictures that somebody else labelled and a second person shall label too."""
    if not count:
        return []
    waiting = (
        select(SecondOpinion.sha256)
        .join(Picture, Picture.sha256 == SecondOpinion.sha256)
        .where(SecondOpinion.second_event.is_(None), SecondOpinion.first_who != who)
        .where(_unindexed(Picture.state) == "staged", free(holder, now), ~passed_by(who))
        .limit(count + len(mine))
    )
    return [sha256 for sha256 in session.scalars(waiting) if sha256 not in mine][:count]


def _pivot(dice: random.Random, low: str, high: str = "f" * 16) -> str:
    """A place between two hashes to start reading from."""
    return format(dice.randint(int(low, 16), max(int(low, 16), int(high.ljust(16, "0"), 16))), "016x")


def _open(who: str, holder: str, now: float) -> Any:
    """Staged, without a label, held by nobody else, and not passed on by this person."""
    labelled = exists().where(Label.sha256 == Picture.sha256)
    return and_(_unindexed(Picture.state) == "staged", free(holder, now), ~labelled, ~passed_by(who))


def passed_by(who: str) -> Any:
    """This person skipped it, or was not sure, and did not take that back."""
    return exists().where(
        LabelEvent.sha256 == Picture.sha256,
        _unindexed(LabelEvent.who) == who,
        LabelEvent.new.in_(PASSED),
        ~labels.taken_back(),
    )


def _unindexed(column: Any) -> Any:
    """The column, in a form no index answers: SQLite would walk all words of a person, or sort all staged pictures,
    for each page (600 ms with 4,000 pictures instead of 4)."""
    return func.coalesce(column, "")


def _from(pivot: str, *where: Any) -> Select[Any]:
    """In the order of the hashes, from a place on: as good as at random, and the primary key is the index."""
    return select(Picture.sha256).where(Picture.sha256 >= pivot, *where).order_by(Picture.sha256)


def _by_margin(champion: str, open_: Any, below: str) -> Any:
    """Where the champion hesitates most; walks ix_prediction_to_label and stops early, however many are labelled."""
    return (
        select(Prediction.sha256, Picture.phash)
        .join(Picture, Picture.sha256 == Prediction.sha256)
        .where(Prediction.model_id == champion, Prediction.margin.is_not(None), Prediction.sha256 >= below, open_)
        # Word for word as the index has it, or SQLite would not use it. `open_` asks the label itself.
        .where(text("NOT prediction.labelled"))
        .order_by(Prediction.margin)
    )


def items(session: Session, hashes: Sequence[str], blind_share: float, who: str = "") -> dict[str, Item]:
    """What the page shows of these pictures to this person, by hash."""
    champion = session.scalar(select(Model.id).where(Model.state == "champion"))
    version = select(func.max(LabelEvent.id)).where(LabelEvent.sha256 == Picture.sha256).scalar_subquery()
    second = SecondOpinion.second_event.is_(None) & (SecondOpinion.first_who != who)
    query = (
        select(Picture.sha256, version, Label.category, Prediction, SecondOpinion.sha256)
        .outerjoin(Label, Label.sha256 == Picture.sha256)
        .outerjoin(SecondOpinion, and_(SecondOpinion.sha256 == Picture.sha256, second))
        .outerjoin(Prediction, and_(Prediction.sha256 == Picture.sha256, Prediction.model_id == (champion or "")))
        .where(Picture.sha256.in_(hashes))
    )
    return {row.sha256: _item(tuple(row), is_blind(row.sha256, blind_share)) for row in session.execute(query)}


def _item(row: tuple[Any, ...], blind: bool) -> Item:
    """`row`: hash, version, category of the label, the champion's prediction, hash again if a second person is asked;
    all but the first may be None."""
    sha256, version, category, said, second = row
    if second is not None:
        return Item(sha256, version or 0, True, second=True)
    if blind or said is None or said.best is None:
        return Item(sha256, version or 0, blind, category=category)
    return Item(sha256, version or 0, False, said.best, said.model_id, said.confidence, said.category is None, category)
