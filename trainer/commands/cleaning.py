"""`trainer clean`: find what may be labelled wrongly, and make cleaned.csv of what people decided."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from trainer import recipe as recipes
from trainer.data.cache import Cache
from trainer.options import COUNT, FILE, FOLDER, NEW, cache_option, recipe_option, use_threads
from trainer.progress import Progress

SUSPECTS, SHEET, DECISIONS, CLEANED = "suspects.csv", "suspects.html", "decisions.csv", "cleaned.csv"


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--out", type=NEW, default="cleaning", show_default=True, help="Where the files of the cleaning are.")
@click.option("--apply", "said", type=FILE, multiple=True, help="decisions.csv from the sheet; repeatable.")
@click.option("--top-losses", is_flag=True, help="The article's ranking: by loss of a model that learned the labels.")
@click.option("--most", type=click.IntRange(1), default=200, show_default=True, help="Pictures on the sheet.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same ranking.")
@click.option("--threads", type=COUNT, help="Processor threads; by default as many as there are cores.")
@click.option("--progress-json", is_flag=True, help="Progress as JSON lines on stdout.")
@recipe_option
@cache_option
def clean(
    folder: Path,
    out: Path,
    said: tuple[Path, ...],
    top_losses: bool,
    most: int,
    seed: int,
    threads: int | None,
    progress_json: bool,
    recipe: Path | None,
    cache: Path,
) -> None:
    """Rank the pictures of FOLDER by how likely their label is wrong; change and delete nothing.

    \b
    trainer clean pictures/                                  writes cleaning/suspects.csv and cleaning/suspects.html
    trainer clean pictures/ --apply ~/Downloads/decisions.csv   writes cleaning/decisions.csv and cleaning/cleaned.csv
    trainer retrain --data pictures/ --cleaned cleaning/cleaned.csv --out bundle/

    Open suspects.html in a browser, decide with the keys it names, stop when twenty in a row were fine, and save.
    A second pass knows the decisions of the first: they count, and are not asked again.

    Exit status 0: done; 2: bad input.
    """
    from trainer.clean import suspects

    numbers, progress = recipes.read(recipe), Progress(as_json=progress_json)
    data = suspects.read(folder, numbers, Cache(cache), progress)
    decisions = _known(out, data.classes, said)
    out.mkdir(parents=True, exist_ok=True)
    if said:
        _apply(out, suspects.labels_of(data), decisions)
        return
    use_threads(threads)
    found = suspects.find(data, numbers, Cache(cache), progress, decisions=decisions, top_losses=top_losses, seed=seed)
    _write(out, found, most)


def _known(out: Path, classes: tuple[str, ...], said: tuple[Path, ...]) -> list:
    """Every decision so far: of earlier passes, and of the files given now."""
    from ticketbot.contracts import cleaned

    earlier = [out / DECISIONS] if (out / DECISIONS).exists() else []
    return cleaned.merged(*(cleaned.read_decisions(path, classes) for path in (*earlier, *said)))


def _apply(out: Path, labels: dict[str, str], decisions: list) -> None:
    from ticketbot.contracts import cleaned

    left = cleaned.applied(labels, decisions)
    cleaned.write_decisions(out / DECISIONS, decisions)
    cleaned.write_cleaned(out / CLEANED, left)
    latest = cleaned.latest(decisions)
    counts = Counter(one.decision for name, one in latest.items() if name in labels)
    words = ", ".join(f"{counts[one]} {one}" for one in cleaned.DECISIONS)
    click.echo(f"{out / CLEANED}: {len(left)} of {len(labels)} pictures; {words}")
    if gone := len(latest.keys() - labels.keys()):
        click.echo(f"{gone} decisions are about pictures that are not there (any more); they are kept", err=True)
    if empty := sorted(set(labels.values()) - set(left.values())):
        click.echo(f"no picture of {', '.join(empty)} is left: a training will refuse this", err=True)


def _write(out: Path, found, most: int) -> None:
    from ticketbot.contracts import suspects
    from ticketbot.contracts.files import write_whole
    from trainer.clean.sheet import page
    from trainer.data.pictures import name_of

    suspects.write(out / SUSPECTS, found.suspects)
    paths = {name_of(one, found.data.root): one.path for one in found.data.pictures}
    write_whole(out / SHEET, page(found.suspects[:most], paths, found.data.classes).encode())
    other = sum(one.label != one.suggested for one in found.suspects)
    click.echo(f"{out / SUSPECTS}: {len(found.suspects)} pictures, {other} look like another class than their label")
    click.echo(f"{out / SHEET}: the first {min(most, len(found.suspects))}; {found.decided} were decided before")
