"""Copies for bad days, and back."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import click
from sqlalchemy.exc import SQLAlchemyError

from ticketbot.commands.common import json_option, load_settings, progress, say, whoami
from ticketbot.errors import UsageError
from ticketbot.operate import plainly
from ticketbot.settings import config_file


@click.command()
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="A new folder; default: data_dir/backups/<time>."
)
@click.option("--pictures", is_flag=True, help="With the staged pictures; without, only which they are.")
@click.option(
    "--keep",
    type=click.IntRange(1),
    metavar="N",
    help="Then remove all but the newest N in data_dir/backups; default: keep every one.",
)
@json_option
@click.pass_context
def backup(context: click.Context, out: Path | None, pictures: bool, keep: int | None, as_json: bool) -> None:
    """Copy everything into a new folder, while the service runs, and verify the copy.

    Database, models, keys and settings. It holds keys: keep it as safe as the original. Staged pictures go in only with
    --pictures; without them, `restore` takes them from the old staging area or stages them again from the tree.
    """
    from ticketbot.db import Database, migrate
    from ticketbot.operate import backup as backups

    if out and keep:
        raise UsageError("--keep is for data_dir/backups; what lies elsewhere (--out) is yours to remove")
    settings = load_settings(context)
    db = Database(settings.database_url)
    context.call_on_close(db.close)
    folder = out or backups.default_folder(settings, time.time())
    config = config_file(context.find_root().params.get("config"))
    made = backups.make(db, settings, config, folder.absolute(), time.time(), pictures=pictures)
    try:
        if made.schema == migrate.head(db):  # in a database of another version nothing is written
            backups.note(db, folder.absolute(), whoami(), time.time())
    except SQLAlchemyError as error:  # read-only or full: then a backup is wanted most
        progress(f"the backup is good, but the database could not take a note of it: {plainly.of_database(error)}")
    removed = [str(one) for one in backups.tidy(settings, keep, time.time())] if keep else []
    facts = {name: value for name, value in asdict(made).items() if name != "files"}
    result = {"folder": str(folder), **facts, "removed": removed}
    inside = "inside" if pictures else "by reference"
    counts = f"{sum(made.rows.values())} rows, {len(made.models)} models, {made.pictures} pictures {inside}"
    words = f"{folder}: {counts}; verified" + (f"; {len(removed)} old ones removed" if removed else "")
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
    report = restoring.restore(settings, folder.absolute(), time.time(), who=whoami(), staging=staging)
    words = (
        f"{report.rows} rows, {report.models} models and {report.pictures} pictures are back; schema {report.schema}"
    )
    if report.to_stage:
        words += f"\n{report.to_stage} files are staged again by the next scan"
    if report.lost:
        words += f"\n{report.lost} pictures are lost: neither in the backup nor in a tree"
    say(asdict(report), as_json, words)
    context.exit(1 if report.lost else 0)
