"""Labels from elsewhere, and out again."""

from __future__ import annotations

from pathlib import Path

import click

from ticketbot.commands.common import json_option, open_app, say, whoami


@click.group()
def labels() -> None:
    """What people said the pictures are."""


@labels.command("import")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--who", default=None, help="In whose name; default: yours on this machine.")
@json_option
@click.pass_context
def import_labels(context: click.Context, path: Path, who: str | None, as_json: bool) -> None:
    """Take labels from PATH: a folder with a folder per category, or a CSV (name,label or sha256,label).

    Pictures that are not here yet are staged. Exit 1 when some lines were refused; the others are in.
    """
    from ticketbot import flow

    app = open_app(context)
    report = flow.import_labels(app, path, who or whoami())
    result = vars(report)
    refused = [f"  {name}: {why}" for name, why in report.refused]
    say(result, as_json, "\n".join([f"{report.labelled} labelled, {len(refused)} refused", *refused]))
    context.exit(1 if refused else 0)


@labels.command("export")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--pictures", is_flag=True, help="PATH is a folder: copies of the pictures, a folder per category.")
@click.pass_context
def export(context: click.Context, path: Path, pictures: bool) -> None:
    """Write all labels to PATH: a CSV (sha256,label,who,at,how), or folders of pictures with --pictures."""
    from ticketbot.review import transfer

    app = open_app(context)
    count = (
        transfer.export_folder(app.db, app.settings.data_dir, path) if pictures else transfer.export_csv(app.db, path)
    )
    click.echo(f"{count} labels written to {path}")
