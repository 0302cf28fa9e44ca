"""Presets: what there is, what one needs, and a try on your own system, step by step."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import click

from ticketbot.commands.common import json_option, load_settings, say, table
from ticketbot.deliver import preset as runner
from ticketbot.deliver.advice import advice
from ticketbot.deliver.preset import Told
from ticketbot.errors import UsageError
from ticketbot.settings import Settings
from ticketbot.systems import preset as presets
from ticketbot.systems import template
from ticketbot.systems.calls import System


@click.group()
def preset() -> None:
    """How ticket systems are answered: docs/ticket-systems.md."""


@preset.command("list")
@json_option
def list_presets(as_json: bool) -> None:
    """The presets that come with ticketbot, and how each is known to work."""
    rows = [{"preset": name, **_about(name)} for name in presets.listed()]
    say(rows, as_json, lambda rows: table([_short(row) for row in rows], ["preset", "system", "known"], "none"))


def _about(name: str) -> dict[str, str]:
    about = presets.read(name).about
    return {"system": about.system, "sets": about.sets, "known": about.known}


def _short(row: dict[str, str]) -> dict[str, str]:
    """A line for a terminal; `preset show` has all of it."""
    return {**row, "system": row["system"].split(";")[0], "known": re.split(r" \(|[:,;] ", row["known"])[0]}


@preset.command()
@click.argument("name")
def show(name: str) -> None:
    """What preset NAME sets, needs, and has for values and secrets."""
    found = presets.read(name)
    about = found.about
    lines = [about.system, "", f"sets: {about.sets}", f"known: {about.known}", "", "needs:"]
    lines += [f"  * {need}" for need in about.needs]
    lines += ["", f"values, in [endpoints.<name>] values = {{…}} (required: {', '.join(found.required) or 'none'}):"]
    lines += [f"  {key} = {json.dumps(value)}" for key, value in found.values.items()]
    lines += ["", "secrets, each in a file: TICKETBOT_ENDPOINTS__<NAME>__SECRETS__<SECRET>_FILE:"]
    lines += [f"  {key}: {what}" for key, what in found.secrets.items()]
    lines += ["", "steps:"]
    lines += [f"  {step.name}: {step.method} {step.path}" for step in found.steps]
    if about.resolver:
        lines += ["", "whose ticket is a file, in [sources.<name>]:", about.resolver.strip()]
    if about.index:
        lines += ["", "the same for many files, and for tickets that get equal bytes later:", about.index.strip()]
    if about.notes:
        lines += ["", about.notes]
    click.echo("\n".join(lines))


@preset.command()
@click.argument("name")
@click.option("--ticket", required=True, help="A ticket for trying: it is changed.")
@click.option("--category", default=None, help="Which category to say; default: the first of general.categories.")
@click.option("--dry-run", is_flag=True, help="Only read; show what would be sent, and send nothing that changes.")
@json_option
@click.pass_context
def check(context: click.Context, name: str, ticket: str, category: str | None, dry_run: bool, as_json: bool) -> None:
    """Try the endpoint NAME (or the one with preset NAME) on a ticket of your system, step by step.

    Shows each request and answer, secrets hidden, and says at the end what was changed: nothing is undone. The note
    that it writes carries the mark ticketbot-check: a second check of the same ticket finds it and writes none.
    Exit 0: all steps did what they should.
    """
    settings = load_settings(context)
    endpoint_name = _endpoint(settings, name)
    endpoint = settings.endpoints[endpoint_name]
    said = category or settings.categories[0]
    if said not in settings.categories:
        raise UsageError(f"there is no category {said!r}; categories: {', '.join(settings.categories)}")
    presets.check(settings)
    system = System(endpoint_name, endpoint)
    data = {"category": said, "categories": [said], "confidence": 0.97, "by": "check", "pictures_total": 1}
    given = runner.values_for(endpoint, system.values, ticket, "ticketbot-check", data, time.time())
    told: list[Told] = []

    def tell(one: Told) -> None:
        told.append(one)
        if not as_json:
            click.echo(_step_in_words(one))

    deadline_s = settings.deliver.timeout_s
    run = runner.perform(system, given, ours=[], deadline_s=deadline_s, reads_only=dry_run, tell=tell)
    changed = [one.step for one in told if one.status is not None and _changes(system, one)]
    ok = run.outcome.status == 200
    result = {
        "ok": ok,
        "error": None if ok else run.outcome.error or f"status {run.outcome.status}",
        "do": advice(system, run, ticket) or None,
        "category_before": run.current,
        "left_alone": run.kept,
        "changed": changed,
        "steps": [vars(one) for one in told],
    }
    say(result, as_json, _in_words)
    context.exit(0 if ok else 1)


def _endpoint(settings: Settings, name: str) -> str:
    if name in settings.endpoints and settings.endpoints[name].preset:
        return name
    found = [one for one, endpoint in settings.endpoints.items() if endpoint.preset == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"several endpoints have preset {name!r}: name one of {', '.join(found)}")
    if name in presets.listed():
        raise UsageError(
            f"no endpoint has preset {name!r}: write one into your settings (ticketbot preset show {name})"
        )
    known = [one for one, endpoint in settings.endpoints.items() if endpoint.preset]
    raise UsageError(f"no endpoint {name!r} that has a preset; there are: {', '.join(known) or 'none'}")


def _changes(system: System, told: Told) -> bool:
    return any(step.name == told.step and not step.is_read for step in system.preset.steps)


def _step_in_words(one: Told) -> str:
    lines = [f"{one.step}: {one.method} {one.url}"]
    if (one.sent and one.status is not None) or one.why.startswith("not sent"):
        lines.append(f"    sent      {one.sent}")
    answer = "" if one.status is None else f"{one.status} {' '.join(one.answer.split())[:200]}"
    lines += [f"    {label:9} {text}" for label, text in (("answered", answer), ("", one.why)) if text]
    return "\n".join(lines)


def _in_words(result: dict[str, Any]) -> str:
    lines = [""]
    if not template.is_empty(result["category_before"]):
        lines.append(f"category before: {result['category_before']!r}")
    if result["left_alone"]:
        lines.append("left alone: a person set it (endpoints.<name>.person_wins)")
    lines.append(f"changed on the ticket by: {', '.join(result['changed']) or 'nothing'}")
    lines.append("all steps did what they should" if result["ok"] else f"FAILED: {result['error']}")
    if result["do"]:
        lines.append(f"→ {result['do']}")
    return "\n".join(lines)
