"""The story of a picture."""

from __future__ import annotations

from typing import Any

import click

from ticketbot.commands.common import json_option, open_app, say
from ticketbot.logs import visible
from ticketbot.web import texts


@click.command()
@click.argument("what", metavar="TICKET|FILE|SHA256|MSG_ID")
@json_option
@click.pass_context
def trace(context: click.Context, what: str, as_json: bool) -> None:
    """Tell the story of a picture, or of a ticket's pictures, in plain words.

    Seen, settled, staged, predicted by, why unsure, delivered when, answered what. A file of a watched tree by its
    path, a picture by its sha256 (or the first 8 digits of it or more), an answer by its webhook-id. Exit 1 when
    nothing is known about it, and why that may be.
    """
    from ticketbot.operate import trace as tracing

    app = open_app(context)
    with app.db.read() as session:
        stories = [story.as_json() for story in tracing.find(session, app.settings, what)]
    if not stories:
        raise click.ClickException(tracing.why_unknown(app.settings, what))
    say(stories, as_json, _in_words)


def _in_words(stories: list[dict[str, Any]]) -> str:
    lines = []
    for story in stories:
        lines.append(visible(story["title"]))
        lines += [f"  {texts.when(step['at']):<16}  {visible(step['said'])}" for step in story["steps"]]
        if story["now"]:
            lines.append(f"  now: {visible(story['now'])}")
        lines.append("")
    return "\n".join(lines).rstrip()
