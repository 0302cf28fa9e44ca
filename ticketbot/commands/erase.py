"""Erase what belongs to a person, or what is too old."""

from __future__ import annotations

from typing import Any

import click

from ticketbot.commands.common import json_option, open_app, say, whoami
from ticketbot.errors import UsageError


@click.command()
@click.option("--user", metavar="ID", help="Erase this user's files and everything made of them.")
@click.option("--source", metavar="NAME", help="Only in this source.")
@click.option("--older-than", "days", type=click.FloatRange(min=0), help="Erase what was first seen so many days ago.")
@click.option("--dry-run", is_flag=True, help="Only say how much it would be.")
@json_option
@click.pass_context
def erase(
    context: click.Context, user: str | None, source: str | None, days: float | None, dry_run: bool, as_json: bool
) -> None:
    """Erase a user's data, or what is too old, wherever it got to.

    Pictures, copies, labels, predictions, snapshots, caches, names. A picture that another user's file holds too stays,
    for the other. What was erased is not collected again. Models that learned from it are named: train again to be rid
    of what they learned. See docs/security.md.
    """
    from ticketbot.operate import erase as operation

    app = open_app(context)
    if source is not None and source not in app.settings.sources:
        raise UsageError(f"there is no source {source!r}; sources: {', '.join(sorted(app.settings.sources)) or 'none'}")
    before = None if days is None else app.now() - days * operation.DAY_S
    wanted = operation.Wanted(user, source, before)
    report = operation.erase(app.db, app.settings, wanted, who=whoami(), now=app.now(), dry_run=dry_run)
    if not dry_run:
        operation.compact(app.db)
    say(vars(report), as_json, _in_words)


def _in_words(report: dict[str, Any]) -> str:
    counts = {name: value for name, value in report.items() if isinstance(value, int) and not isinstance(value, bool)}
    lines = [("would be erased" if report["dry_run"] else "erased") + ":"]
    lines += [f"  {value} {name.replace('_', ' ')}" for name, value in counts.items() if value] or ["  nothing"]
    if report["models"]:
        lines.append(f"models that learned from it, to be trained again: {', '.join(report['models'])}")
    if report["backups"]:
        lines.append(f"backups that still hold it: {', '.join(report['backups'])}")
    return "\n".join(lines)
