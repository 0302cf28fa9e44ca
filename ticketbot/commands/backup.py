"""Copies for bad days, and back."""

from __future__ import annotations

import getpass
import time
from dataclasses import asdict
from pathlib import Path

import click

from ticketbot.commands.common import json_option, load_settings, say
from ticketbot.settings import config_file


@click.command()
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="A new folder; default: data_dir/backups/<time>."
)
@click.option("--pictures", is_flag=True, help="With the staged pictures; without, only which they are.")
@json_option
@click.pass_context
def backup(context: click.Context, out: Path | None, pictures: bool, as_json: bool) -> None:
    """Copy database, models, keys and settings into a new folder, while the service runs, and verify the copy.

    It holds keys: keep it as safe as the original. Staged pictures go in only with --pictures; without them, `restore`
    takes them from the old staging area or stages them again from the tree.
    """
    from ticketbot.db import Database
    from ticketbot.operate import backup as backups

    settings = load_settings(context)
    db = Database(settings.database_url)
    context.call_on_close(db.close)
    folder = out or backups.default_folder(settings, time.time())
    config = config_file(context.find_root().params.get("config"))
    made = backups.make(db, settings, config, folder.absolute(), time.time(), pictures=pictures)
    result = {"folder": str(folder), **{name: value for name, value in asdict(made).items() if name != "files"}}
    inside = "inside" if pictures else "by reference"
    counts = f"{sum(made.rows.values())} rows, {len(made.models)} models, {made.pictures} pictures {inside}"
    words = f"{folder}: {counts}; verified"
    say(result, as_json, words)


@click.command()
@click.argument("folder", metavar="BACKUP", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--staging",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Another installation's staging folder, to take pictures from.",
)
@click.option("--check", is_flag=True, help="Only verify the backup; nothing is put back.")
@json_option
@click.pass_context
def restore(context: click.Context, folder: Path, staging: Path | None, check: bool, as_json: bool) -> None:
    """Put BACKUP back into the installation that --config names, which must be empty; then compare.

    A backup of an older version is brought forward. Stop the service first. Exit 1 when pictures are nowhere to be
    found.
    """
    from ticketbot.operate import restore as restoring
    from ticketbot.operate import verify

    if check:
        found = verify.backup(folder)
        rows = sum(found["rows"].values())
        say(found, as_json, f"{folder} is whole: version {found['version']}, schema {found['schema']}, {rows} rows")
        return
    settings = load_settings(context)
    report = restoring.restore(settings, folder.absolute(), time.time(), who=getpass.getuser(), staging=staging)
    words = (
        f"{report.rows} rows, {report.models} models and {report.pictures} pictures are back; schema {report.schema}"
    )
    if report.to_stage:
        words += f"\n{report.to_stage} files are staged again by the next scan"
    if report.lost:
        words += f"\n{report.lost} pictures are lost: neither in the backup nor in a tree"
    say(asdict(report), as_json, words)
    context.exit(1 if report.lost else 0)
