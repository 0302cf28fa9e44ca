"""Answers and where they go: pause, resume, look, send again, new secrets."""

from __future__ import annotations

import uuid
from typing import Any

import click
from sqlalchemy import select

from ticketbot.commands.common import json_option, open_app, say, table, whoami
from ticketbot.db.models import ANSWER_STATES, Answer
from ticketbot.deliver import admin, alerts


@click.command()
@click.argument("endpoint", default="")
@click.pass_context
def pause(context: click.Context, endpoint: str) -> None:
    """Send nothing more, to anybody or to ENDPOINT, until `ticketbot resume`. Nothing is lost."""
    app = open_app(context)
    admin.pause(app.db, whoami(), app.now(), endpoint)


@click.command()
@click.argument("endpoint", default="")
@click.pass_context
def resume(context: click.Context, endpoint: str) -> None:
    """Undo `ticketbot pause`: what waited goes out in order."""
    app = open_app(context)
    admin.resume(app.db, whoami(), app.now(), endpoint)


@click.group(invoke_without_command=True)
@click.option("--state", type=click.Choice(ANSWER_STATES), help="Only these.")
@click.option("--dead", is_flag=True, help="Short for --state dead.")
@click.option("--ticket", help="Only this ticket's.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="So many at most.")
@json_option
@click.pass_context
def answers(
    context: click.Context, state: str | None, dead: bool, ticket: str | None, limit: int, as_json: bool
) -> None:
    """What was said to whom, newest first."""
    if context.invoked_subcommand:
        return
    query = select(Answer).order_by(Answer.created_at.desc()).limit(limit)
    if wanted := "dead" if dead else state:
        query = query.where(Answer.state == wanted)
    if ticket:
        query = query.where(Answer.ticket == ticket)
    columns = ["id", "endpoint", "ticket", "seq", "type", "state", "attempts", "last_status", "last_error"]
    with open_app(context).db.read() as session:
        rows = [{column: getattr(one, column) for column in columns} for one in session.scalars(query)]
    say(rows, as_json, lambda rows: table(rows, columns, "Nothing was said yet."))


@answers.command("redeliver")
@click.argument("ids", nargs=-1, required=True)
@click.option("--key", default=None, help="The same key again does nothing; default: a new one each time.")
@click.pass_context
def redeliver(context: click.Context, ids: tuple[str, ...], key: str | None) -> None:
    """Send these answers again, under their old webhook-id."""
    app = open_app(context)
    count = admin.redeliver(app.db, key or uuid.uuid4().hex, whoami(), app.now(), ids=ids)
    click.echo(f"{count} will be sent again")


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def endpoints(context: click.Context, as_json: bool) -> None:
    """Where answers go, and how each endpoint is."""
    if context.invoked_subcommand:
        return
    app = open_app(context)
    with app.db.read() as session:
        found = admin.overview(session, app.settings, app.now())
        raised = alerts.current(session)
    rows: list[dict[str, Any]] = [
        {"endpoint": name, **facts, "alerts": "; ".join(one.text for one in raised if one.endpoint == name) or None}
        for name, facts in found.items()
    ]
    columns = ["endpoint", "mode", *ANSWER_STATES, "late_s", "disabled", "alerts"]
    say(rows, as_json, lambda rows: table(rows, columns, "No endpoints: add a section [endpoints.<name>]"))


@endpoints.command("secret")
@click.argument("name")
@click.pass_context
def new_secret(context: click.Context, name: str) -> None:
    """Make a new secret for endpoint NAME and print it this once. The old one signs too for 24 hours."""
    app = open_app(context)
    click.echo(admin.rotate_secret(app.db, app.settings, name, whoami(), app.now()))


@endpoints.command("release")
@click.argument("name")
@click.pass_context
def release(context: click.Context, name: str) -> None:
    """Send what endpoint NAME held back while it was in dry run."""
    app = open_app(context)
    counts = admin.release(app.db, app.settings, name, whoami(), app.now())
    click.echo(f"{counts['released']} released, {counts['cancelled']} replaced by newer ones")


@endpoints.command("enable")
@click.argument("name")
@click.pass_context
def enable(context: click.Context, name: str) -> None:
    """Switch on an endpoint that was switched off after long failure; what waited goes out, oldest first."""
    app = open_app(context)
    admin.enable(app.db, name, whoami(), app.now())
