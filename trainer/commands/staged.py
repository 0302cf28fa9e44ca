"""`trainer lr-find`, `fit`, `export`: resnet34 step by step, as in the article."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from trainer import recipe as recipes
from trainer.data.cache import Cache
from trainer.options import (
    COUNT,
    FILE,
    FOLDER,
    NEW,
    SHARE,
    cache_option,
    data_option,
    recipe_option,
    secret_of,
    use_threads,
)
from trainer.progress import Progress

GATE_REFUSES = 3
weights_option = click.option(
    "--weights", default="imagenet", show_default=True, help="imagenet, none, or a state dict file."
)
seed_option = click.option(
    "--seed", type=int, default=7, show_default=True, help="The same seed gives the same training."
)
threads_option = click.option(
    "--threads", type=COUNT, help="Processor threads to train with; by default as many as there are cores."
)


def ground_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a run stands on: `export` needs the same again."""
    cleaned = click.option("--cleaned", type=FILE, help="cleaned.csv (name,label): the kept pictures and their labels.")
    extra = click.option("--extra", type=FOLDER, help="More pictures by class: learned from, never measured on.")
    for option in (cache_option, threads_option, seed_option, extra, cleaned, weights_option, recipe_option):
        command = option(command)
    return data_option(command)


@click.command("lr-find")
@data_option
@click.option("--out", type=NEW, default="lr.png", show_default=True, help="The curve, a PNG.")
@recipe_option
@weights_option
@seed_option
@threads_option
@cache_option
def lr_find(
    data: Path, out: Path, recipe: Path | None, weights: str, seed: int, threads: int | None, cache: Path
) -> None:
    """Find a learning rate for resnet34: draw the loss while the rate grows, and suggest one.

    The suggestion goes into a recipe file of your own (resnet34.pretrained.lr, or resnet34.scratch.lr without weights).
    A run that is too short or diverges gets a curve and words, no rate.

    Exit status 0: done, with or without a suggestion; 2: bad input.
    """
    use_threads(threads)
    from trainer.lr_find import find
    from trainer.plots import learning_rates

    found = find(data, recipes.read(recipe), weights, Cache(cache), Progress(), seed=seed)
    learning_rates(found.rates, found.losses, found.suggestion, out)
    said = "no suggestion" if found.suggestion is None else f"suggested: {found.suggestion:.1e}"
    click.echo(f"{said} ({found.why}); the curve is {out}")


@click.command()
@click.option("--out", type=NEW, required=True, help="The run's folder: stage-1.pth, stage-2.pth, run.json.")
@ground_options
def fit(out: Path, recipe: Path | None, threads: int | None, cache: Path, **asked: Any) -> None:
    """Train resnet34 in the article's stages, and keep each.

    The head alone, then everything with a slice of rates. A run that was killed goes on after its last stage when the
    same command is given again. Without weights to start from, stage-1 is one cycle from scratch: a body that knows
    nothing is no use frozen.

    Exit status 0: both stages are there; 1: the training diverged; 2: bad input.
    """
    use_threads(threads)
    from trainer import stages
    from trainer.run import Order

    order = Order(out=out, recipe=recipes.read(recipe), arch="resnet34", **asked)
    click.echo(str(stages.fit(order, Cache(cache), Progress())))


@click.command()
@click.argument("run", type=FOLDER)
@click.option(
    "--stage", type=click.Choice(["stage-1", "stage-2"]), default="stage-2", show_default=True, help="Which of the two."
)
@click.option("--out", type=NEW, required=True, help="The bundle to write: a new folder.")
@click.option("--champion", type=FOLDER, help="Bundle in service, which this one must beat.")
@click.option("--promise", type=SHARE, default=0.95, show_default=True, help="Precision of what is tagged by itself.")
@click.option("--delta", type=SHARE, default=0.05, show_default=True, help="Risk that the promise is broken.")
@click.option("--sign-key", type=FILE, help="File with a base64 ed25519 secret (32 bytes) to sign the bundle with.")
@ground_options
def export(
    run: Path,
    stage: str,
    out: Path,
    recipe: Path | None,
    sign_key: Path | None,
    threads: int | None,
    cache: Path,
    **asked: Any,
) -> None:
    """Make a bundle of a stage in RUN, a folder of `trainer fit`.

    It is measured and judged as by `trainer retrain`. Give the data, recipe and seed of the run again: what was held
    out then is measured on now.

    Exit status 0: written and may go live; 3: written, but the gate refuses; 1: the export differs; 2: bad input.
    """
    use_threads(threads)
    from trainer import stages
    from trainer.run import Order

    order = Order(out=out, recipe=recipes.read(recipe), arch="resnet34", sign_key=secret_of(sign_key), **asked)
    manifest = stages.export(order, run, stage, Cache(cache), Progress())
    click.echo(f"{manifest.model_id}: {manifest.gate['reason']}", err=True)
    if not manifest.gate["promote"]:
        sys.exit(GATE_REFUSES)
