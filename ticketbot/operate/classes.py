"""Which classes are there, and what happens to labels and model when the settings name others? The Classes page."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select

from ticketbot.db import Database
from ticketbot.db.models import Label, Model
from ticketbot.web.access import needs
from ticketbot.web.context import services

blueprint = Blueprint("classes", __name__, url_prefix="/setup/classes", template_folder="templates")


@dataclass(frozen=True)
class Class:
    """A class that the settings, labels or the model in service know. `missing`: labels until it can be trained."""

    name: str
    in_settings: bool
    in_model: bool
    labels: int
    missing: int


@blueprint.get("")
@needs("admin")
def show() -> ResponseReturnValue:
    made = services()
    labels = made.tallies.get("labels by class", lambda: counted(made.db))
    with made.db.read() as session:
        champion = session.scalar(select(Model).where(Model.state == "champion"))
    model = [str(one) for one in (champion.manifest.get("classes") or [])] if champion else []
    minimum = made.settings.retrain.min_per_category
    found = compared(made.settings.categories, model, labels, minimum)
    return render_template("setup/classes.html", classes=found, champion=champion, knows=bool(model), minimum=minimum)


def counted(db: Database) -> dict[str, int]:
    """Labels by class, junk left out. Reads everything: in a tally only."""
    with db.read() as session:
        said = session.execute(select(Label.category, func.count()).group_by(Label.category))
        return {row[0]: row[1] for row in said if row[0] != "junk"}


def compared(categories: tuple[str, ...], model: list[str], labels: dict[str, int], minimum: int) -> list[Class]:
    """Those of the settings in their order, then the others."""
    names = [*categories, *sorted({*model, *labels} - set(categories))]
    return [
        Class(name, name in categories, name in model, labels.get(name, 0), max(0, minimum - labels.get(name, 0)))
        for name in names
    ]
