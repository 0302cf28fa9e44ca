"""The shelf of models, and training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ticketbot.commands.common import json_option, open_app, progress, say, table, whoami
from ticketbot.db.models import Model


@click.group()
def models() -> None:
    """Champion, challengers and previous models."""


@models.command("list")
@json_option
@click.pass_context
def list_models(context: click.Context, as_json: bool) -> None:
    """Every model with its accuracy, the interval of it, and why it is where it is."""
    from ticketbot.retrain import shelf

    rows = [_row(model) for model in shelf.listed(open_app(context).db)]
    columns = ["model", "state", "accuracy", "accuracy_low", "accuracy_high", "n", "reason"]
    say(rows, as_json, lambda rows: table(rows, columns, "No models yet: label pictures, then ticketbot retrain"))


@models.command("import")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--promote", "promoted", is_flag=True, help="Put it into service at once.")
@click.pass_context
def import_model(context: click.Context, folder: Path, promoted: bool) -> None:
    """Put a bundle (a trainer's --out folder) on the shelf; it is checked first."""
    from ticketbot.retrain import shelf

    app = open_app(context)
    click.echo(shelf.bring(app.db, app.settings, folder, promoted=promoted, who=whoami(), now=app.now()))


@models.command("promote")
@click.argument("model_id", metavar="MODEL")
@click.option("--reason", required=True, help="Why; kept with the model.")
@click.pass_context
def promote(context: click.Context, model_id: str, reason: str) -> None:
    """Put MODEL into service. The running service switches by itself, without dropping a request."""
    from ticketbot.retrain import shelf

    app = open_app(context)
    shelf.promote(app.db, app.settings, model_id, who=whoami(), reason=reason, now=app.now())
    click.echo(f"{model_id} is the champion")


@models.command("rollback")
@click.option("--reason", default="rolled back by hand", show_default=True, help="Why; kept with the model.")
@click.pass_context
def rollback(context: click.Context, reason: str) -> None:
    """Put the model that was in service before back."""
    from ticketbot.retrain import shelf

    app = open_app(context)
    back = shelf.rollback(app.db, app.settings, who=whoami(), reason=reason, now=app.now())
    click.echo(f"{back} is the champion")


@click.command()
@click.option(
    "--where",
    type=click.Choice(["local", "command"]),
    help="On this machine, or elsewhere by the command retrain.away; default: retrain.where.",
)
@json_option
@click.pass_context
def retrain(context: click.Context, where: str | None, as_json: bool) -> None:
    """Train now from what people said, whether it is due or not; promote what is better.

    Exit 0 when a model came out (promoted or not, the text says which and why), 1 when training failed.
    """
    from ticketbot.retrain import run

    app = open_app(context)
    settings = app.settings
    if where:
        settings = settings.model_copy(update={"retrain": settings.retrain.model_copy(update={"where": where})})
    outcome = run.retrain(
        app.db,
        settings,
        app.decoders,
        cause=f"command by {whoami()}",
        asked=True,
        now=app.now,
        stopping=app.stopping,
        progress=lambda said: progress(progress_text(said)),
    )
    if outcome is None:
        raise click.ClickException("nothing was trained")
    say(vars(outcome), as_json, f"{outcome.state}: {outcome.message}")
    context.exit(0 if outcome.model_id else 1)


def progress_text(said: dict[str, Any]) -> str:
    """{"stage": "fit", "done": 3, "total": 12} as a line."""
    done, total = said.get("done"), said.get("total")
    return f"{said.get('stage')}: {done} of {total}" if total else str(said.get("stage"))


def _row(model: Model) -> dict[str, Any]:
    metrics = model.manifest.get("metrics", {})
    figures = {name: metrics.get(name) for name in ("accuracy", "accuracy_low", "accuracy_high", "n")}
    return {
        "model": model.id,
        "state": model.state,
        "arch": model.manifest.get("arch"),
        **figures,
        "reason": model.reason,
    }
