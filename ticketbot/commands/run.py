"""Run the flow: once, as a service, on single files, as a demo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ticketbot.commands.common import json_option, load_settings, open_app, progress, say


@click.command()
@click.option("--until-idle", is_flag=True, help="Go on until nothing is left to do that will be due soon.")
@json_option
@click.pass_context
def once(context: click.Context, until_idle: bool, as_json: bool) -> None:
    """Do one round by hand: receive, scan, settle, stage, resolve, label, classify, deliver.

    Prints what each step did. Exit 0 only when nothing is stuck (an incomplete scan, a dead answer, an endpoint that is
    switched off, something still waiting with --until-idle); exit 1 otherwise, with what and why.
    """
    from ticketbot import flow

    app = open_app(context)
    result = flow.until_idle(app, progress) if until_idle else flow.one_round(app)
    say(result, as_json, _round_in_words)
    context.exit(1 if result["stuck"] else 0)


@click.command()
@click.option("--only", type=click.Choice(["web", "worker"]), help="Run one of the two processes here.")
@click.pass_context
def serve(context: click.Context, only: str | None) -> None:
    """Run the service: the page and API (web) and the schedule (worker), until SIGTERM."""
    from ticketbot import serve as service

    settings = load_settings(context)
    service.check_start(settings, web=only != "worker")
    context.exit(service.serve(settings, web=only != "worker", workers=int(only != "web")))


@click.command()
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="How many of them here.")
@click.pass_context
def worker(context: click.Context, processes: int) -> None:
    """Run workers without pages, here or on other machines, until SIGTERM.

    All of them see the same database and data_dir. Every worker classifies and delivers; one of all, the leader, also
    scans, reads labels and trains. Several of them need PostgreSQL. A worker that dies holds nothing back for longer
    than classify.lease_s.
    """
    from ticketbot import serve as service

    settings = load_settings(context)
    service.check_start(settings, web=False, workers=processes)
    context.exit(service.serve(settings, web=False, workers=processes))


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--bundle", type=click.Path(path_type=Path, file_okay=False), help="A model bundle; default: the champion."
)
@json_option
@click.pass_context
def classify(context: click.Context, files: tuple[Path, ...], bundle: Path | None, as_json: bool) -> None:
    """Say what pictures are.

    One line a file, in the order given. Exit 0 when all were read, 1 when some were not, 2 for wrong usage.
    """
    from ticketbot.classify.files import classify_files

    settings = load_settings(context)
    app = None if bundle else open_app(context)
    failed = False
    for result in classify_files(files, settings, bundle=bundle, db=app.db if app else None):
        failed = failed or result["error"] is not None
        click.echo(json.dumps(result, ensure_ascii=True) if as_json else _answer_in_words(result))
    context.exit(1 if failed else 0)


@click.command()
@click.option("--exit", "exit_", is_flag=True, help="End after the table; exit 0 only if every promise was kept.")
@click.option("--seed", default=1, show_default=True, help="Draws other pictures.")
@click.option(
    "--arch",
    type=click.Choice(["resnet34", "auto", "efficientnet_lite0"]),
    default="resnet34",
    show_default=True,
    help="Which network learns; auto: the best that can be had here.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folders of real pictures, one a class.",
)
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), default=Path("demo-run"), show_default=True, help="Made anew."
)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the table there as JSON."
)
@click.pass_context
def demo(context: click.Context, **options: Any) -> None:
    """Show the whole loop: an ERP tree, labels, training, new tickets, answers at a small ticket desk.

    Everything happens in --dir and on loopback, with an ERP, people and a ticket desk made for it. It prints what it
    does, then a table of what was promised and what came true, and the pages to open; Ctrl+C ends it. Training needs
    `ticketbot[train]`.
    """
    from ticketbot.demo.run import run

    context.exit(run(**options))


def _round_in_words(result: dict[str, Any]) -> str:
    lines = []
    for step, counts in result["steps"].items():
        done = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing to do"
        lines.append(f"{step:<9} {done}")
    return "\n".join(lines + [f"stuck: {sentence}" for sentence in result["stuck"]])


def _answer_in_words(result: dict[str, Any]) -> str:
    if result["error"]:
        return f"{result['file']}: {result['error']['message']} ({result['error']['code']})"
    ranked = ", ".join(f"{name} {p:.3f}" for name, p in result["predictions"])
    return f"{result['file']}: {result['category'] or 'unsure'}  [{ranked}]"
