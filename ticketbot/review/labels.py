"""What did people say about a picture, and what is its label now?

Every word is an event, appended and never changed; the label is what the events add up to. Pages, folders and imports
all write through `record`, so there is one history however people work.

    a category or "junk"     the label becomes this
    NULL                     the label is taken away
    "skip", "unsure"         kept as what somebody said; the label stays as it is
    "keep"                   somebody looked at a suspect: its label is right, and nothing about it changes
    undo_of = n              event n counts no more; undoing an undo brings it back

`version` of a picture is the id of its last event (0: none): who changes it may say which version they looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.orm import Session, aliased

from ticketbot.db.models import Label, LabelEvent, Picture, Prediction
from ticketbot.errors import Conflict, UsageError
from ticketbot.failpoints import failpoint

log = logging.getLogger(__name__)

OnLabel = Callable[[Session, str, float], None]
KEEP = "keep"
# One key for a page of look-alikes: the events' keys are <key>-0, <key>-1, …
PROPAGATED = "propagated"
# Said on the Clean page, of a label that may be wrong.
CLEAN = "clean"
MOST_TOGETHER = 50
OPINIONS = frozenset({"skip", "unsure", KEEP})


class Said(NamedTuple):
    """What `fold` needs of an event."""

    id: int
    new: str | None
    undo_of: int | None


def undone(events: Sequence[Said]) -> set[int]:
    """Ids of the events that count no more, of all events of one picture in any order."""
    found: set[int] = set()
    for event in sorted(events, key=lambda one: one.id, reverse=True):
        if event.undo_of is not None and event.id not in found:
            found.add(event.undo_of)
    return found


def fold(events: Sequence[Said]) -> Said | None:
    """The event that decides the label, of all events of one picture in any order; None: there is no label."""
    void = undone(events)
    words = [one for one in events if one.undo_of is None and one.id not in void and one.new not in OPINIONS]
    last = max(words, key=lambda one: one.id, default=None)
    return last if last is not None and last.new is not None else None


def record(
    session: Session,
    *,
    sha256: str,
    new: str | None,
    who: str,
    at: float,
    how: str,
    key: str,
    suggested: str | None = None,
    suggested_by: str | None = None,
    blind: bool = False,
    took_ms: int | None = None,
    expected_version: int | None = None,
    on_label: OnLabel | None = None,
) -> LabelEvent | None:
    """Append what somebody said and bring the label up to date. None: `key` was recorded before, nothing was done.

    `on_label(session, sha256, at)` is called in the same transaction when the label became another. Whether `new` is a
    configured category is the caller's question. Raises Conflict when `expected_version` is not the picture's version,
    UsageError for a picture we do not have.
    """
    _lock(session, sha256)
    if by_key(session, key) is not None:
        return None
    _check(session, sha256, expected_version)
    event = LabelEvent(
        key=key, sha256=sha256, new=new, who=who, at=at, how=how, suggested=suggested, suggested_by=suggested_by
    )
    event.blind, event.took_ms = blind, took_ms
    return _append(session, event, on_label)


def undo(
    session: Session,
    event_id: int,
    who: str,
    at: float,
    key: str,
    *,
    expected_version: int | None = None,
    on_label: OnLabel | None = None,
) -> LabelEvent | None:
    """Append that an event counts no more, whichever it was; what it had changed is as if it had not been said.

    The new event's `new` is the label that results. None: `key` was recorded before, or the event is undone already.
    Raises as `record`.
    """
    target = session.get(LabelEvent, event_id)
    if target is None:
        raise UsageError(f"there is no label event {event_id}")
    _lock(session, target.sha256)
    if by_key(session, key) is not None or _is_undone(session, target):
        return None
    _check(session, target.sha256, expected_version)
    event = LabelEvent(
        key=key, sha256=target.sha256, who=who, at=at, how=target.how, blind=target.blind, undo_of=event_id
    )
    return _append(session, event, on_label)


def version(session: Session, sha256: str) -> int:
    """Id of the picture's last event; 0: nobody said anything yet."""
    return session.scalar(select(func.max(LabelEvent.id)).where(LabelEvent.sha256 == sha256)) or 0


def by_key(session: Session, key: str) -> LabelEvent | None:
    return session.scalar(select(LabelEvent).where(LabelEvent.key == key))


def said_together(session: Session, event: LabelEvent) -> list[LabelEvent]:
    """The event, and what the same person said with the same key of other look-alikes and still counts."""
    stem, _, number = event.key.rpartition("-")
    if event.how not in (PROPAGATED, CLEAN) or not number.isdecimal() or event.key != f"{stem}-{int(number)}":
        return [event]
    together = select(LabelEvent).where(LabelEvent.key.in_([f"{stem}-{n}" for n in range(MOST_TOGETHER)]))
    rows = session.scalars(together.where(LabelEvent.who == event.who).order_by(LabelEvent.id)).all()
    return [row for row in rows if not _is_undone(session, row)]


def undone_with(session: Session, key: str) -> list[LabelEvent]:
    """What an undo with this key took back; [] when it is new."""
    keys = [key, *(f"{key}-{n}" for n in range(MOST_TOGETHER))]
    rows = session.scalars(select(LabelEvent).where(LabelEvent.key.in_(keys)).order_by(LabelEvent.id)).all()
    found = (session.get(LabelEvent, row.undo_of) for row in rows if row.undo_of is not None)
    return [event for event in found if event is not None]


def taken_back() -> ColumnElement[bool]:
    """For queries of LabelEvent: somebody undid it."""
    undo_of_it = aliased(LabelEvent)
    return exists().where(undo_of_it.sha256 == LabelEvent.sha256, undo_of_it.undo_of == LabelEvent.id)


def last_to_undo(session: Session, who: str) -> LabelEvent | None:
    """This person's last word that still counts: what the undo key takes back, again and again."""
    undo_of_it, redo = aliased(LabelEvent), aliased(LabelEvent)
    redone = select(redo.id).where(redo.undo_of == undo_of_it.id).exists()
    undone = select(undo_of_it.id).where(undo_of_it.undo_of == LabelEvent.id, ~redone).exists()
    own = select(LabelEvent).where(LabelEvent.who == who, LabelEvent.undo_of.is_(None), ~undone)
    # The query passes over all but undone redos; those are rare and told apart one by one.
    before: list[Any] = []
    while event := session.scalar(own.where(*before).order_by(LabelEvent.id.desc()).limit(1)):
        if not _is_undone(session, event):
            return event
        before = [LabelEvent.id < event.id]
    return None


def _lock(session: Session, sha256: str) -> None:
    """One at a time for each picture."""
    state = session.scalar(select(Picture.state).where(Picture.sha256 == sha256).with_for_update())
    if state is None:
        raise UsageError(f"there is no picture {sha256}")
    if state == "erased":
        raise UsageError(f"picture {sha256} was erased")


def _check(session: Session, sha256: str, expected: int | None) -> None:
    if expected is not None and expected != (last := version(session, sha256)):
        raise Conflict(f"somebody labelled this picture meanwhile (version {last}, you saw {expected})")


def _append(session: Session, event: LabelEvent, on_label: OnLabel | None) -> LabelEvent:
    label = session.get(Label, event.sha256)
    event.old = label.category if label else None
    if event.undo_of is not None:
        decides = _without(session, event.undo_of, event.sha256)
        event.new = decides.new if decides else None
    else:
        decides = event  # nothing can have undone it yet
    session.add(event)
    session.flush()
    failpoint("labels.said")
    log.info("labelled", extra={"picture": event.sha256, "category": event.new, "how": event.how, "event": event.id})
    if event.new in OPINIONS:
        if label is not None and event.new != KEEP:
            label.version = event.id
        return event
    _bring_up_to_date(session, label, event, decides)
    session.flush()
    if on_label and event.old != event.new:
        on_label(session, event.sha256, event.at)
    failpoint("labels.recorded")
    return event


def _without(session: Session, event_id: int, sha256: str) -> LabelEvent | None:
    """The event that decides the label once another is undone."""
    events = _events(session, sha256)
    newest = max(event.id for event in events)
    found = fold([*events, Said(newest + 1, None, event_id)])
    return session.get(LabelEvent, found.id) if found else None


def _bring_up_to_date(session: Session, label: Label | None, event: LabelEvent, decides: LabelEvent | None) -> None:
    if decides is None or decides.new is None:
        if label is not None:
            session.delete(label)
            _mark_predictions(session, event.sha256, labelled=False)
        return
    if label is None:
        label = Label(sha256=event.sha256)
        session.add(label)
    label.category, label.version = decides.new, event.id
    label.who, label.at, label.blind = decides.who, decides.at, decides.blind
    if event.old is None:
        _mark_predictions(session, event.sha256, labelled=True)


def _mark_predictions(session: Session, sha256: str, *, labelled: bool) -> None:
    """So that the queue finds what is left without passing by what is done."""
    session.execute(update(Prediction).where(Prediction.sha256 == sha256).values(labelled=labelled))


def _events(session: Session, sha256: str) -> list[Said]:
    own = select(LabelEvent.id, LabelEvent.new, LabelEvent.undo_of).where(LabelEvent.sha256 == sha256)
    return [Said(*row) for row in session.execute(own)]


def _is_undone(session: Session, event: LabelEvent) -> bool:
    return event.id in undone(_events(session, event.sha256))
