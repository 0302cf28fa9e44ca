"""Which words do several commands of the trainer share?"""

from __future__ import annotations

import base64
import os
from pathlib import Path

import click

from ticketbot.errors import UsageError
from trainer.data.cache import default_folder

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
NEW = click.Path(path_type=Path)
SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
COUNT = click.IntRange(1)
data_option = click.option(
    "--data", type=FOLDER, required=True, help="A folder with a folder per class, or a snapshot."
)
recipe_option = click.option(
    "--recipe", type=FILE, help="Recipe file; needs only what it changes of config/recipe.toml."
)
cache_option = click.option(
    "--cache", type=NEW, default=default_folder, help="Where decoded pictures and features are kept."
)


def secret_of(path: Path | None) -> bytes | None:
    """The key to sign a bundle with. Raises UsageError."""
    if path is None:
        return None
    try:
        secret = base64.b64decode(path.read_text("ascii").strip(), validate=True)
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise UsageError(f"{path} must hold 32 bytes in base64")
    return secret


def use_threads(count: int | None) -> None:
    """Calculate with so many threads: as asked, as OMP_NUM_THREADS says, or one for each processor we may use."""
    import torch

    said = os.environ.get("OMP_NUM_THREADS", "")
    torch.set_num_threads(count or (int(said) if said.isdigit() else 0) or len(os.sched_getaffinity(0)))
