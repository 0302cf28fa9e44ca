"""Have the model look at pictures of the past."""

from __future__ import annotations

import time
from dataclasses import asdict

import click

from ticketbot.classify import backfill as backfilling
from ticketbot.classify.backfill import Standing
from ticketbot.commands.common import json_option, open_app, progress, say, whoami

LOOK_S = 2.0


@click.group(invoke_without_command=True)
@click.option("--wait", is_flag=True, help="Stay until it is done or stopped, and say how far it is.")
@json_option
@click.pass_context
def backfill(context: click.Context, wait: bool, as_json: bool) -> None:
    """Have the model look at pictures of the past; alone: how far it is.

    The running workers do the work, at the pace and in the hours of [backfill], while nothing new waits. Nothing is
    delivered about history, unless source.history says so.
    """
    if context.invoked_subcommand:
        return
    app = open_app(context)
    found = backfilling.standing(app.db)
    while wait and found and found.running:
        progress(in_words(found))
        time.sleep(LOOK_S)
        found = backfilling.standing(app.db)
    say({**asdict(found), "done": found.done} if found else None, as_json, lambda _: in_words(found))


@backfill.command("start")
@click.option("--again", is_flag=True, help="Also what an older model answered.")
@click.pass_context
def start(context: click.Context, again: bool) -> None:
    """Begin: every picture of the past that the model has not answered."""
    app = open_app(context)
    click.echo(in_words(backfilling.start(app.db, whoami(), app.now(), again=again)))


@backfill.command("stop")
@click.pass_context
def stop(context: click.Context) -> None:
    """Take no more pictures; what is done is kept."""
    app = open_app(context)
    backfilling.stop(app.db, whoami(), app.now())


@backfill.command("resume")
@click.pass_context
def resume(context: click.Context) -> None:
    """Go on where it was stopped."""
    app = open_app(context)
    backfilling.resume(app.db, whoami(), app.now())


def in_words(found: Standing | None) -> str:
    if found is None:
        return "no backfill is on: none was begun, or it is done"
    state = "running" if found.running else "stopped"
    return f"{state}: {found.done} of {found.total} pictures ({found.done / max(1, found.total):.1%})"
