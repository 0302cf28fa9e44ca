"""Sources and files for programs: /api/v1/sources, /files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from sqlalchemy import select

from ticketbot.contracts.events import shown_path
from ticketbot.db.models import File
from ticketbot.db.models import Source as SourceRow
from ticketbot.web.api import Api, Model, Page, Paging, cut, place_of
from ticketbot.web.context import services

api = Api("files")


class SourceOut(Model):
    """A watched tree. `incomplete`: why the last scan did not see all of it; null when it did."""

    name: str
    root: str
    endpoint: str
    scanned_at: float | None
    swept_at: float | None
    incomplete: str | None


class Sources(Model):
    items: list[SourceOut]


class FileQuery(Paging):
    source: str | None = Field(None, max_length=40)
    state: Literal["seen", "settling", "staged", "refused", "gone"] | None = None
    reason: str | None = Field(None, max_length=40, description="Why it was refused, or has no ticket.")
    user: str | None = Field(None, max_length=200)


class FileOut(Model):
    """A path in a tree; bytes that are no UTF-8 are shown as \\\\xNN."""

    id: int
    source: str
    path: str
    user: str | None
    state: str
    reason: str | None
    history: bool
    sha256: str | None
    first_seen_at: float
    staged_at: float | None


@api.get("/sources", "read")
def list_sources() -> Sources:
    """The watched trees, and how their last scans went."""
    made = services()
    with made.db.read() as session:
        rows = {row.name: row for row in session.scalars(select(SourceRow))}
    items = []
    for name, source in made.settings.sources.items():
        row = rows.get(name)
        own = {key: getattr(row, key) if row else None for key in ("scanned_at", "swept_at", "incomplete")}
        items.append(SourceOut(name=name, root=str(source.root), endpoint=source.endpoint, **own))
    return Sources(items=items)


@api.get("/files", "read")
def list_files(query: FileQuery) -> Page[FileOut]:
    """Files, those that were seen last first."""
    rows = select(File, SourceRow.name).join(SourceRow).order_by(File.id.desc()).limit(query.limit + 1)
    if query.source is not None:
        rows = rows.where(SourceRow.name == query.source)
    if query.state is not None:
        rows = rows.where(File.state == query.state)
    if query.reason is not None:
        rows = rows.where(File.reason == query.reason)
    if query.user is not None:
        rows = rows.where(File.user == query.user)
    if (place := place_of(query.cursor, int)) is not None:
        rows = rows.where(File.id < place[0])
    with services().db.read() as session:
        found = [(row[0], row[1]) for row in session.execute(rows)]
    shown, following = cut(found, query.limit, lambda row: (row[0].id,))
    plain = ("id", "user", "state", "reason", "history", "sha256", "first_seen_at", "staged_at")
    items = [
        FileOut(source=name, path=shown_path(file.path), **{key: getattr(file, key) for key in plain})
        for file, name in shown
    ]
    return Page[FileOut](items=items, next=following)
