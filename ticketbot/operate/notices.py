"""What does the team's chat get to read? Labels needed, a model promoted or refused, deliveries failing, the week.

Through Apprise (`pip install 'ticketbot[chat]'`), one library for Slack, Mattermost, Teams, Matrix, e-mail and others.
What was told last is a row `chat.<kind>`, so that each thing is told once, whichever process tells it. It is written
before the message goes out: a message that is lost is better than one that comes every minute.
"""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apscheduler.triggers.cron import CronTrigger
from PIL import Image, ImageDraw
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ticketbot.db import Database
from ticketbot.db.models import Answer, Label, LabelEvent, Model, Picture, Prediction, Switch
from ticketbot.deliver import alerts
from ticketbot.errors import SettingsError
from ticketbot.settings import Settings

log = logging.getLogger(__name__)

PREFIX = "chat."
WHO = "chat"
DAY_S = 86400.0
WEEK_S = 7 * DAY_S

# title, text, PNG or None -> did all of it arrive
Send = Callable[[str, str, bytes | None], bool]


@dataclass(frozen=True)
class Notice:
    kind: str
    # What is remembered: the next notice of this kind is about something else.
    mark: str
    title: str
    text: str
    picture: bytes | None = None


def check(settings: Settings) -> None:
    """Raises SettingsError when notices are wanted and cannot be sent."""
    if settings.chat.urls:
        sender(settings)


def sender(settings: Settings) -> Send:
    """Apprise with the operator's addresses. Raises SettingsError."""
    try:
        import apprise
    except ModuleNotFoundError:
        raise SettingsError("chat.urls is set; notices need: pip install 'ticketbot[chat]'") from None
    targets = apprise.Apprise()
    for number, url in enumerate(settings.chat.urls):
        with _unsaid():
            known = targets.add(url)
        if not known:
            raise SettingsError(f"chat.urls[{number}] is {_shown(url)!r}, which is no address that Apprise knows")

    def send(title: str, text: str, picture: bytes | None) -> bool:
        if picture is None:
            return bool(targets.notify(title=title, body=text))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ticketbot.png"
            path.write_bytes(picture)
            return bool(targets.notify(title=title, body=text, attach=str(path)))

    return send


@contextmanager
def _unsaid() -> Iterator[None]:
    """Apprise logs an address it does not know, with all that is secret in it."""
    theirs = logging.getLogger("apprise")
    before, theirs.disabled = theirs.disabled, True
    try:
        yield
    finally:
        theirs.disabled = before


def _shown(url: str) -> str:
    """Enough to find it in the settings; what follows the host is its secret."""
    kind, there, rest = url.partition("://")
    return f"{kind}://{rest.split('/')[0].rpartition('@')[2]}/…" if there else url[:60]


def tell(db: Database, settings: Settings, now: float, send: Send | None = None) -> int:
    """Tell what is new; how many notices went out."""
    if not settings.chat.urls:
        return 0
    sent = 0
    for notice in due(db, settings, now):
        if not _remember(db, notice, now):
            continue  # a colleague was quicker
        send = send or sender(settings)
        ok = send(notice.title, notice.text, notice.picture)
        log.log(logging.INFO if ok else logging.WARNING, "notice %s: %s", notice.kind, "sent" if ok else "not sent")
        sent += ok
    return sent


def due(db: Database, settings: Settings, now: float) -> list[Notice]:
    """What should be told now, and was not."""
    makers: dict[str, Callable[[Session, Settings, str | None, float], Notice | None]] = {
        "deliveries": _deliveries,
        "models": _models,
        "labels": _labels,
        "weekly": _weekly,
    }
    with db.read() as session:
        told = {name: session.get(Switch, PREFIX + name) for name in makers}
        found = [
            makers[name](session, settings, row.value if (row := told[name]) else None, now)
            for name in makers
            if name in settings.chat.events
        ]
    return [notice for notice in found if notice is not None]


def _deliveries(session: Session, settings: Settings, told: str | None, now: float) -> Notice | None:
    new = [one for one in alerts.current(session) if one.since > float(told or 0)]
    if not new:
        return None
    lines = [f"{one.endpoint}: {one.text}" for one in new]
    return Notice(
        "deliveries", str(max(one.since for one in new)), "ticketbot: deliveries need a look", "\n".join(lines)
    )


def _models(session: Session, settings: Settings, told: str | None, now: float) -> Notice | None:
    since = float(told) if told else now - DAY_S
    at = func.coalesce(Model.promoted_at, Model.created_at)
    query = select(Model.id, Model.state, Model.reason, at).where(at > since, Model.state.in_(("champion", "refused")))
    found = session.execute(query.order_by(at)).all()
    if not found:
        return None
    words = {"champion": "promoted", "refused": "refused"}
    lines = [f"{name}: {words[state]}. {reason}" for name, state, reason, _ in found]
    return Notice("models", str(found[-1][3]), "ticketbot: a new model", "\n".join(lines))


def _labels(session: Session, settings: Settings, told: str | None, now: float) -> Notice | None:
    """At most once a day: pictures that the model leaves to people, and nobody has looked at."""
    if told and now - float(told) < DAY_S:
        return None
    waiting = (
        select(func.count())
        .select_from(Prediction)
        .join(Picture, (Picture.sha256 == Prediction.sha256) & (Picture.model_id == Prediction.model_id))
        .outerjoin(Label, Label.sha256 == Prediction.sha256)
        .where(Prediction.category.is_(None), Prediction.state == "done", Label.sha256.is_(None))
    )
    count = session.scalar(waiting) or 0
    if count < settings.chat.labels_needed:
        return None
    text = f"{count} pictures wait for a person: {settings.general.base_url}/label"
    return Notice("labels", str(now), "ticketbot: labels needed", text)


def _weekly(session: Session, settings: Settings, told: str | None, now: float) -> Notice | None:
    if told is None:
        return Notice("weekly", str(now), "", "")  # the first one comes at its time
    if not _cron_passed(settings.chat.weekly, float(told), now):
        return None
    answered = _by_category(session, settings, now)
    people = session.scalar(select(func.count()).select_from(LabelEvent).where(LabelEvent.at > now - WEEK_S)) or 0
    total = sum(answered.values())
    lines = [f"{total} tickets answered in seven days, {people} words of people."]
    lines += [f"{name}: {count}" for name, count in answered.items()]
    return Notice("weekly", str(now), "ticketbot: the week", "\n".join(lines), _bars(answered))


def _by_category(session: Session, settings: Settings, now: float) -> dict[str, int]:
    """Delivered answers of seven days; read from their bodies, which are small."""
    import json

    found = dict.fromkeys(settings.categories, 0)
    query = select(Answer.body).where(Answer.state == "delivered", Answer.delivered_at > now - WEEK_S)
    for (body,) in session.execute(query.where(Answer.sha256.is_(None), Answer.body != b"").limit(100_000)):
        category = json.loads(body)["data"]["category"]
        if category in found:
            found[category] += 1
    return found


def _bars(counts: dict[str, int]) -> bytes:
    """A bar a category, as PNG."""
    row_px, left_px, wide_px = 34, 130, 480
    picture = Image.new("RGB", (wide_px, row_px * len(counts) + 20), "white")
    draw = ImageDraw.Draw(picture)
    most = max([1, *counts.values()])
    for number, (name, count) in enumerate(counts.items()):
        top = 10 + number * row_px
        draw.text((10, top + 8), name[:18], fill="#223344")
        draw.rectangle((left_px, top + 4, left_px + count / most * (wide_px - left_px - 60), top + 26), fill="#3a7d6b")
        draw.text((left_px + count / most * (wide_px - left_px - 60) + 6, top + 8), str(count), fill="#223344")
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def _cron_passed(cron: str, since: float, now: float) -> bool:
    from datetime import datetime

    start = datetime.fromtimestamp(since).astimezone()
    following: Any = CronTrigger.from_crontab(cron).get_next_fire_time(None, start)
    return following is not None and following.timestamp() <= now


def _remember(db: Database, notice: Notice, now: float) -> bool:
    """True when it is ours to tell: nobody else has written this mark."""
    with db.write() as session:
        row = session.get(Switch, PREFIX + notice.kind, with_for_update=True)
        if row is None:
            session.add(Switch(name=PREFIX + notice.kind, value=notice.mark, who=WHO, at=now))
        elif row.value == notice.mark:
            return False
        else:
            row.value, row.at = notice.mark, now
    return bool(notice.title)
