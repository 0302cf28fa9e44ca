"""Is all well?"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import click

from ticketbot.commands.common import json_option, load_settings, say
from ticketbot.logs import visible
from ticketbot.settings import config_file

SIGNS = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Look at everything this installation stands on, and say what is wrong and what to do. Changes nothing.

    Settings, data folder, disk, clock, database and its rules, trees and tickets of some files, decoder, model,
    trainer, endpoints, page, proxy, stuck work. Run it as the user of the service. Exit 0 when nothing is wrong (notes
    are no faults), 1 when something is, 2 when the settings cannot be read.
    """
    from ticketbot.operate import doctor as examination

    settings = load_settings(context)
    named = config_file(context.find_root().params.get("config"))
    found = examination.examine(settings, named, time.time)
    faults = sum(one.level == "fault" for one in found)
    say([asdict(one) for one in found], as_json, lambda rows: _in_words(rows, faults))
    context.exit(1 if faults else 0)


def _in_words(rows: list[dict[str, Any]], faults: int) -> str:
    lines = []
    for row in rows:
        lines.append(f"{SIGNS[row['level']]}  {row['check']}: {visible(row['said'])}")
        if row["do"]:
            lines.append(f"       → {visible(row['do'])}")
    lines.append("all is well" if not faults else f"{faults} fault{'s' * (faults > 1)}")
    return "\n".join(lines)
