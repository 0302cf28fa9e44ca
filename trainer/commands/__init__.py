"""The commands around the training: get pictures, look at them, clean them, look at what a bundle gets wrong."""

from __future__ import annotations

import click

from trainer.commands import cleaning, gather, looking, ordered, staged

COMMANDS: tuple[click.Command, ...] = (
    gather.urls,
    gather.verify,
    gather.show,
    staged.lr_find,
    staged.fit,
    staged.export,
    looking.confusion,
    cleaning.clean,
    ordered.order,
)
