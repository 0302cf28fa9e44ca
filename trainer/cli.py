"""The `trainer` command.

Exit status: 0 done, 2 bad input, 3 the bundle is written but the gate refuses it, 1 anything else.
"""

from __future__ import annotations

import os

# Threads that wait should sleep: with others on the same cores a spinning one makes training five times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import json
import sys
from pathlib import Path
from typing import Any

import click

from ticketbot.errors import BundleRefused, SettingsError, TicketbotError, UsageError
from trainer import recipe as recipes
from trainer.commands import COMMANDS
from trainer.data.cache import Cache
from trainer.options import COUNT, FILE, FOLDER, SHARE, cache_option, secret_of, use_threads
from trainer.progress import Progress

BAD_INPUT, REFUSED, FAILED = 2, 3, 1
# What only `ticketbot[train]` brings.
EXTRA = ("torch", "torchvision", "fastai", "sklearn", "scipy", "cleanlab", "matplotlib", "onnx", "onnxscript")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """Train models for ticketbot, measure them, and write them as bundles.

    \b
    trainer retrain --data pictures/ --out bundle/     a folder per class, or a snapshot of the service
    trainer evaluate --bundle bundle/ --data test/     how good is it on pictures it never saw?
    trainer predict --bundle bundle/ picture.jpg       what does it say of these?
    """


@cli.command()
@click.option("--data", type=FOLDER, required=True, help="A folder with a folder per class, or a snapshot.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The bundle to write: a new folder.")
@click.option("--recipe", type=FILE, help="Recipe file; needs only what it changes of config/recipe.toml.")
@click.option(
    "--arch",
    type=click.Choice(["auto", "resnet34", "efficientnet_lite0"]),
    default="auto",
    show_default=True,
    help="Which network; auto: resnet34 when its weights can be had, else the small one that brings its own.",
)
@click.option("--weights", default="imagenet", show_default=True, help="imagenet, none, or a state dict file.")
@click.option("--cleaned", type=FILE, help="cleaned.csv (name,label): the kept pictures and their labels.")
@click.option(
    "--extra", type=FOLDER, help="More pictures by class, rendered for example: learned from, never measured on."
)
@click.option("--champion", type=FOLDER, help="Bundle in service, which the new one must beat.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same training.")
@click.option("--min-per-class", type=COUNT, help="Fewer labels in a class, and the gate refuses.")
@click.option("--promise", type=SHARE, default=0.95, show_default=True, help="Precision of what is tagged by itself.")
@click.option("--delta", type=SHARE, default=0.05, show_default=True, help="Risk that the promise is broken.")
@click.option("--sign-key", type=FILE, help="File with a base64 ed25519 secret (32 bytes) to sign the bundle with.")
@click.option("--threads", type=COUNT, help="Processor threads to train with; by default as many as there are cores.")
@click.option("--progress-json", is_flag=True, help="Progress as JSON lines on stdout.")
@cache_option
def retrain(
    data: Path,
    out: Path,
    recipe: Path | None,
    sign_key: Path | None,
    threads: int | None,
    progress_json: bool,
    cache: Path,
    **asked: Any,
) -> None:
    """Train, measure on held-out groups, and write a bundle.

    Exit status 0: written and may go live; 3: written, but the gate refuses; 2: bad input.
    """
    from trainer.run import Order
    from trainer.run import retrain as run

    use_threads(threads)
    order = Order(data=data, out=out, recipe=recipes.read(recipe), sign_key=secret_of(sign_key), **asked)
    manifest = run(order, Cache(cache), Progress(as_json=progress_json))
    found, gate = manifest.metrics, manifest.gate
    if found["n"]:
        said = f"{found['accuracy']:.1%} right ({found['accuracy_low']:.1%} to {found['accuracy_high']:.1%})"
        click.echo(f"{said} on {found['on']}", err=True)
    click.echo(f"{manifest.model_id}: {gate['reason']}; {manifest.took_s:.0f} s", err=True)
    if not gate["promote"]:
        sys.exit(REFUSED)


@cli.command()
@click.option("--bundle", type=FOLDER, required=True, help="The model: a trainer's --out folder.")
@click.option("--data", type=FOLDER, required=True, help="A folder with a folder per class, or a snapshot.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@cache_option
def evaluate(bundle: Path, data: Path, as_json: bool, cache: Path) -> None:
    """Measure a bundle on pictures it never saw. Unreadable pictures count as wrong."""
    from trainer.evaluate import evaluate as run

    found = run(bundle, data, Cache(cache), Progress())
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(
        f"{found['accuracy']:.1%} of {found['n']} right ({found['accuracy_low']:.1%} to {found['accuracy_high']:.1%})"
    )
    for name, one in found["per_class"].items():
        click.echo(f"  {name:16} precision {one['precision']:.1%}  recall {one['recall']:.1%}  of {one['n']}")


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--bundle", type=FOLDER, required=True, help="The model: a trainer's --out folder.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def predict(files: tuple[Path, ...], bundle: Path, as_json: bool) -> None:
    """Say what the bundle sees in pictures. Exit status 1 when one could not be read."""
    from trainer.predict import predict as run

    failed = False
    for one in run(bundle, files):
        failed = failed or one["error"] is not None
        click.echo(json.dumps(one) if as_json else _line(one))
    if failed:
        sys.exit(FAILED)


for command in COMMANDS:
    cli.add_command(command)


def _line(one: dict[str, Any]) -> str:
    if one["error"]:
        return f"{one['file']}: not read ({one['error']['code']})"
    best = ", ".join(f"{name} {p:.1%}" for name, p in one["predictions"][:2])
    return f"{one['file']}: {'unsure; ' if one['unsure'] else ''}{best}"


def main() -> None:
    """Run a command; errors become a sentence and an exit status."""
    try:
        cli.main(prog_name="trainer", standalone_mode=True)
    except (UsageError, SettingsError, BundleRefused) as error:
        click.echo(f"trainer: {error}", err=True)
        sys.exit(BAD_INPUT)
    except TicketbotError as error:
        click.echo(f"trainer: {error}", err=True)
        sys.exit(FAILED)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"trainer: {place}{error.strerror or error}", err=True)
        sys.exit(FAILED)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRA:
            raise
        click.echo(f"trainer: {missing} is not installed: pip install 'ticketbot[train]'", err=True)
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
