"""`trainer order`: carry out what a service on another machine wants trained."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ticketbot.contracts import order as contract
from trainer import recipe as recipes
from trainer.data.cache import Cache
from trainer.options import COUNT, FILE, FOLDER, NEW, cache_option, secret_of, use_threads
from trainer.progress import Progress

GATE_REFUSES = 3


@click.command("order")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--out", type=NEW, required=True, help="The bundle to write: a new folder.")
@click.option("--sign-key", type=FILE, help="File with a base64 ed25519 secret (32 bytes) to sign the bundle with.")
@click.option("--threads", type=COUNT, help="Processor threads to train with; by default as many as there are cores.")
@click.option("--progress-json", is_flag=True, help="Progress as JSON lines on stdout.")
@cache_option
def order(
    folder: Path, out: Path, sign_key: Path | None, threads: int | None, progress_json: bool, cache: Path
) -> None:
    """Train what the order in DIR asks for: a folder that a service sent (retrain.where = "command").

    Exit status 0: written; 3: written, but the gate refuses; 2: bad input. The service measures the bundle again.
    """
    asked = contract.read(folder)
    use_threads(threads)
    from trainer.run import Order, retrain

    def there(name: str) -> Path | None:
        return folder / name if (folder / name).exists() else None

    wanted = Order(
        data=folder / contract.SNAPSHOT,
        out=out,
        recipe=recipes.read(there(contract.RECIPE)),
        arch=asked.arch,
        weights=str(folder / contract.WEIGHTS) if asked.weights == contract.WEIGHTS else asked.weights,
        champion=there(contract.CHAMPION),
        min_per_class=asked.min_per_class,
        promise=asked.promise,
        delta=asked.delta,
        sign_key=secret_of(sign_key),
    )
    manifest = retrain(wanted, Cache(cache), Progress(as_json=progress_json))
    click.echo(f"{manifest.model_id}: {manifest.gate['reason']}", err=True)
    if not manifest.gate["promote"]:
        sys.exit(GATE_REFUSES)
