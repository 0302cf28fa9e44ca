"""A ticket system tells us of something new: who may, and what follows from it?

`POST /inbound/<source>` verifies the raw bytes, writes one row and answers at once: a receiver that is slow or down
breaks some ticket systems (django-helpdesk shows its user an error). Everything else is done later, from the queue:

    our own change            ignored: what we write comes back as an event
    a source with a tree      the tree is polled now instead of at its time
    a source without one      the attachments are fetched with the system's own credentials and put into a folder per
                              ticket below data_dir/inbound/<source>, which is then collected like any tree
    a ticket we answered      is read again soon: an agent may have changed its category
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue
from sqlalchemy import delete, select, update

from ticketbot.db.models import InboundEvent
from ticketbot.db.rows import rows
from ticketbot.db.session import Database
from ticketbot.errors import FetchError, Refused, SettingsError
from ticketbot.net import fetch
from ticketbot.settings import Settings, Source
from ticketbot.systems import document as documents
from ticketbot.systems import pointer, signature, template
from ticketbot.systems import preset as presets
from ticketbot.systems.calls import READ_BYTES, System
from ticketbot.systems.preset import Inbound
from ticketbot.web.access import signed
from ticketbot.web.context import services

log = logging.getLogger(__name__)

blueprint = Blueprint("inbound", __name__)
KEY = re.compile(r"[\x21-\x7e]{1,128}")
# A folder's name, so nothing that leads elsewhere.
TICKET = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
FETCH_S = 30.0
# Tried again after these waits, then given up.
WAITS_S = (10, 60, 300, 1800, 7200)
LEASE_S = 120.0
KEEP_S = 7 * 86400.0
SPOOL_KEEP_S = 2 * 86400.0
MAX_FILES = 50
# A list that has the files themselves in it.
LIST_BYTES = 64 * 2**20
MAX_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})


# --- the call ---------------------------------------------------------------------------------------------------------


@blueprint.post("/inbound/<name>")
@signed
def receive(name: str) -> ResponseReturnValue:
    """202 queued, 200 known already, 401 not from whom it should be, 404 no such source or it is not called."""
    made = services()
    source = made.settings.sources.get(name)
    if source is None or not source.inbound.enabled:
        raise Refused("not_found", "There is no such source, or its `inbound` is not enabled.")
    body = request.get_data(cache=False)
    how = how_of(made.settings, name)
    now = made.now()
    signature.verify(
        how,
        source.inbound.secret,
        body,
        dict(request.headers),
        address=request.remote_addr or "",
        callers=source.inbound.callers,
        now=now,
        tolerance_s=source.inbound.tolerance_s,
    )
    given = request.headers.get(how.id_header, "") if how.id_header else ""
    if KEY.fullmatch(given):
        new = queue(made.db, name, given, body, now)
    else:
        new = queue(made.db, name, hashlib.sha256(body).hexdigest(), body, now, again=True)
    return jsonify(queued=new, duplicate=not new), 202 if new else 200


def queue(db: Database, source: str, key: str, body: bytes, now: float, *, again: bool = False) -> bool:
    """False: this event is known. `again`: the key is no delivery id, so an event that was begun may come once more.

    A system that sends no id may say the same of every new attachment, like {"ticket_id": 7}.
    """
    fresh: dict[str, Any] = {"received_at": now, "due_at": now, "attempts": 0, "body": body}
    new = db.insert(InboundEvent).values(source=source, key=key, **fresh)
    if again:
        begun = InboundEvent.attempts > 0
        new = new.on_conflict_do_update(index_elements=["source", "key"], set_={**fresh, "outcome": None}, where=begun)
    else:
        new = new.on_conflict_do_nothing()
    with db.write() as session:
        return session.execute(new.returning(InboundEvent.id)).first() is not None


def how_of(settings: Settings, name: str) -> Inbound:
    """How this source's system calls: its endpoint's preset, changed by the source's own settings."""
    source = settings.sources[name]
    endpoint = settings.endpoints.get(source.endpoint)
    found = presets.of(endpoint).inbound if endpoint is not None and endpoint.preset else Inbound()
    try:
        return Inbound.model_validate({**found.model_dump(), **source.inbound.how})
    except ValueError as error:
        raise SettingsError(f"sources.{name}.inbound.how: {error}") from None


def check(settings: Settings) -> None:
    """Can every inbound hook be used as it is set? Raises SettingsError."""
    for name, source in settings.sources.items():
        if not source.inbound.enabled:
            continue
        how = how_of(settings, name)
        if how.scheme == "none" and not source.inbound.callers:
            raise SettingsError(f"sources.{name}.inbound.callers is missing: this system signs nothing")
        if how.scheme != "none" and not source.inbound.secret:
            raise SettingsError(f"sources.{name}.inbound.secret is missing: what the system signs with ({how.scheme})")


# --- the work ---------------------------------------------------------------------------------------------------------


@dataclass
class InboundReport:
    """Counts of events; `poll`: sources whose tree should be looked at now."""

    done: int = 0
    ignored: int = 0
    failed: int = 0
    fetched: int = 0
    poll: set[str] = field(default_factory=set)


def work(
    db: Database,
    settings: Settings,
    now: Callable[[], float],
    *,
    on_ticket: Callable[[str, str, float], None] = lambda *_: None,
    request: Any = fetch.request,
) -> InboundReport:
    """Do what the queue holds. `on_ticket(endpoint, ticket, now)`: something happened on this ticket."""
    report = InboundReport()
    for id_ in _due(db, now()):
        event = _take(db, id_, now())
        if event is not None:
            _one(db, settings, event, now, on_ticket, request, report)
    _forget(db, now())
    return report


def _due(db: Database, now: float) -> list[int]:
    with db.read() as session:
        query = select(InboundEvent.id).where(InboundEvent.due_at <= now).order_by(InboundEvent.id).limit(100)
        return list(session.scalars(query))


def _take(db: Database, id_: int, now: float) -> InboundEvent | None:
    """Ours for LEASE_S; None: a colleague was quicker."""
    mine = update(InboundEvent).where(InboundEvent.id == id_, InboundEvent.due_at <= now)
    with db.write() as session:
        if not rows(session.execute(mine.values(due_at=now + LEASE_S, attempts=InboundEvent.attempts + 1))):
            return None
        return session.get(InboundEvent, id_)


def _one(
    db: Database,
    settings: Settings,
    event: InboundEvent,
    now: Callable[[], float],
    on_ticket: Callable[[str, str, float], None],
    request: Any,
    report: InboundReport,
) -> None:
    try:
        outcome = _Event(settings, event, request, report).follow(on_ticket, now())
        due_at = None
    except (Refused, OSError, SettingsError) as error:
        report.failed += 1
        outcome = str(error)[:500]
        due_at = now() + WAITS_S[event.attempts - 1] if event.attempts <= len(WAITS_S) else None
        log.warning(
            "inbound event failed", extra={"source": event.source, "reason": outcome, "given_up": due_at is None}
        )
    with db.write() as session:
        values: dict[str, Any] = {"due_at": due_at, "outcome": outcome, **({} if due_at else {"body": None})}
        # Not when it was said again meanwhile: then it is still to be done.
        mine = (InboundEvent.id == event.id, InboundEvent.due_at == event.due_at)
        session.execute(update(InboundEvent).where(*mine).values(**values))


def _forget(db: Database, now: float) -> None:
    """Ids are kept for a week: no system repeats for longer."""
    with db.read() as session:
        old = session.scalar(select(InboundEvent.id).where(InboundEvent.received_at < now - KEEP_S).limit(1))
    if old is not None:
        with db.write() as session:
            session.execute(
                delete(InboundEvent).where(InboundEvent.received_at < now - KEEP_S, InboundEvent.due_at.is_(None))
            )


def is_about(settings: Settings, source: str, body: bytes, tickets: set[str], words: set[str]) -> bool:
    """Does an event name one of these tickets, or hold one of these words as a value? One nobody can read does, too."""
    try:
        document = documents.read(body)
        how = how_of(settings, source)
    except (ValueError, KeyError, SettingsError):
        return True
    ticket = pointer.find(document, how.ticket) if how.ticket else None
    return (ticket is not None and str(ticket) in tickets) or not words.isdisjoint(_values(document))


def _values(document: Any) -> Iterator[str]:
    if isinstance(document, dict | list):
        for one in document.values() if isinstance(document, dict) else document:
            yield from _values(one)
    else:
        yield str(document)


def tidy(settings: Settings, now: float) -> int:
    """Fetched files that are old enough to be staged long since; how many were removed. Their rows stay."""
    removed = 0
    for source in settings.sources.values():
        if not source.is_spool:
            continue
        for path in source.root.glob("*/*"):
            if path.is_file() and path.stat().st_mtime < now - SPOOL_KEEP_S:
                path.unlink()
                removed += 1
        for folder in source.root.glob("*"):
            if folder.is_dir() and not any(folder.iterdir()) and folder.stat().st_mtime < now - SPOOL_KEEP_S:
                folder.rmdir()
    return removed


class _Event:
    def __init__(self, settings: Settings, event: InboundEvent, request: Any, report: InboundReport) -> None:
        self.settings, self.request, self.report = settings, request, report
        self.name = event.source
        self.source: Source | None = settings.sources.get(event.source)
        self.body = event.body or b""

    def follow(self, on_ticket: Callable[[str, str, float], None], now: float) -> str:
        """What came of it, in a few words. Raises Refused, OSError or SettingsError: to be tried again."""
        if self.source is None:
            return "no such source any more"
        how = how_of(self.settings, self.name)
        try:
            document = documents.read(self.body)
        except ValueError:
            self.report.ignored += 1
            return "neither JSON nor a form"
        if any(str(pointer.find(document, where)) == self._named(text) for where, text in how.ours.items()):
            self.report.ignored += 1
            return "our own"
        ticket = pointer.find(document, how.ticket) if how.ticket else None
        if ticket is not None and self.source.endpoint:
            on_ticket(self.source.endpoint, str(ticket), now)
        self.report.done += 1
        if not self.source.is_spool:
            self.report.poll.add(self.name)
            return "polled"
        if ticket is None or not TICKET.fullmatch(str(ticket)):
            return "names no ticket we can use"
        return self._fetch_all(how, document, str(ticket))

    def _named(self, text: str) -> str:
        """The endpoint's own values may be in it: {user}."""
        assert self.source is not None
        endpoint = self.settings.endpoints[self.source.endpoint]
        return str(template.fill(text, presets.values_of(self.source.endpoint, endpoint)))

    def _fetch_all(self, how: Inbound, document: Any, ticket: str) -> str:
        assert self.source is not None
        system = System(self.source.endpoint, self.settings.endpoints[self.source.endpoint], self.request)
        if how.list_path:
            document = self._listed(system, how, ticket)
        found = pointer.find(document, how.files) if how.files else None
        files = [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]
        new = sum(self._fetch(system, how, one, ticket) for one in files[:MAX_FILES])
        if new:
            self.report.fetched += new
            self.report.poll.add(self.name)
        return f"{new} of {len(files)} files fetched"

    def _listed(self, system: System, how: Inbound, ticket: str) -> Any:
        values = {**system.values, "ticket": ticket, "base": system.base, "nothing": None}
        most = LIST_BYTES if how.content else READ_BYTES
        reply = system.call("GET", how.list_path, values, deadline_s=FETCH_S, read_bytes=most)
        if reply.status != 200:
            raise FetchError("upstream_status", f"the list of files answered {reply.status}")
        try:
            return json.loads(reply.body)
        except ValueError:
            raise FetchError("fetch_failed", "the list of files is no JSON") from None

    def _fetch(self, system: System, how: Inbound, file: dict[str, Any], ticket: str) -> bool:
        assert self.source is not None
        url = pointer.find(file, how.url) if how.url else None
        content = pointer.find(file, how.content) if how.content else None
        name = os.path.basename(str(pointer.find(file, how.file_name) or "")) if how.file_name else ""
        suffix = os.path.splitext(name)[1].lower()
        # Texts of a ticket are in the same list and have no name; what has an address is looked at when it is here.
        if not (url or (content and suffix)) or (suffix and suffix not in self.source.suffixes):
            return False
        folder = self.source.root / ticket
        target = folder / (hashlib.sha256(str(url or content).encode()).hexdigest()[:32] + (suffix or ".jpg"))
        if target.exists():
            return False
        data = self._download(system, urljoin(system.base + "/", str(url))) if url else _decoded(how, str(content))
        if len(data) > self.source.max_file_mb * 2**20:
            raise FetchError("body_too_large")
        _write(folder, target, data)
        return True

    def _download(self, system: System, url: str) -> bytes:
        """Redirects may lead to a store of files; our credentials go to the system's own address and nowhere else."""
        assert self.source is not None
        most = self.source.max_file_mb * 2**20
        for _ in range(MAX_REDIRECTS + 1):
            ours = url.startswith(system.base + "/")
            if not ours and not _is_listed(url, self.source.inbound.download):
                raise FetchError(
                    "fetch_failed", f"{urlsplit(url).hostname} is not in sources.{self.name}.inbound.download"
                )
            values = {**system.values, "base": system.base, "nothing": None}
            headers = {**(system.headers(values, {}) if ours else {}), "Accept": "*/*"}
            allow = system.endpoint.allow if ours else self.source.inbound.download
            reply = self.request("GET", url, headers=headers, deadline_s=FETCH_S, allow=allow, read_bytes=most + 1)
            if reply.status not in REDIRECTS:
                break
            url = urljoin(url, reply.headers.get("location", ""))
        if reply.status != 200:
            raise FetchError("upstream_status", f"a file answered {reply.status}")
        if len(reply.body) > most:
            raise FetchError("body_too_large")
        length = reply.headers.get("content-length", "")
        if length.isdigit() and int(length) != len(reply.body):
            raise FetchError("fetch_failed", "a file broke off")
        return bytes(reply.body)


def _decoded(how: Inbound, content: str) -> bytes:
    try:
        return content.encode("latin-1") if how.content_encoding == "latin1" else base64.b64decode(content)
    except ValueError:
        raise FetchError("fetch_failed", f"a file is not written in {how.content_encoding}") from None


def _is_listed(url: str, hosts: Iterable[str]) -> bool:
    parts = urlsplit(url)
    return any(one in (parts.hostname, parts.netloc) for one in hosts)


def _write(folder: Path, target: Path, data: bytes) -> None:
    """Whole or not there: the walk must never see half of it."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder.parent.parent / f".{secrets.token_hex(8)}"
    with open(draft, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, target)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
