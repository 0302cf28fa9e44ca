"""`trainer confusion`: what does a bundle get wrong, in pictures?"""

from __future__ import annotations

import json
from pathlib import Path

import click

from trainer.data.cache import Cache
from trainer.options import FOLDER, NEW, cache_option, data_option
from trainer.progress import Progress


@click.command()
@click.option("--bundle", type=FOLDER, required=True, help="The model: a trainer's --out folder.")
@data_option
@click.option("--out", type=NEW, default="confusion", show_default=True, help="Folder for the files.")
@click.option("--json", "as_json", is_flag=True, help="confusion.json on stdout too.")
@cache_option
def confusion(bundle: Path, data: Path, out: Path, as_json: bool, cache: Path) -> None:
    """Show what a bundle takes for what, on pictures it never saw.

    \b
    confusion.png     the matrix
    pairs.png         the most confused pairs, with their pictures
    reliability.png   does its confidence come true, before and after temperature
    confusion.json    all figures, with exact 95 % intervals: by class, by look-alike group, by user or source

    Exit status 0: done; 2: bad input.
    """
    from trainer.confusion import confusion as run

    found = run(bundle, data, out, Cache(cache), Progress())
    if as_json:
        click.echo(json.dumps(found))
        return
    said = (
        f"{found['accuracy']:.1%} of {found['n']} right ({found['accuracy_low']:.1%} to {found['accuracy_high']:.1%})"
    )
    groups = found["by_look_alikes"]
    click.echo(f"{said}; by look-alike group {groups['accuracy']:.1%} of {groups['groups']}")
    for pair in found["pairs"][:5]:
        click.echo(f"  {pair['n']} {pair['is']} taken for {pair['said']}")
    for user, row in list(found["by_user"].items())[:5]:
        click.echo(f"  of {user}: {row['right']} of {row['n']} right ({row['low']:.0%} to {row['high']:.0%})")
    before, after = (found["reliability"][key]["expected_error"] for key in ("before", "after"))
    click.echo(f"  its confidence is off by {before:.3f} before temperature, by {after:.3f} after; see {out}/")
