"""`trainer urls`, `verify`, `show`: from addresses to a folder of pictures one has looked at."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from trainer.options import FILE, FOLDER, NEW
from trainer.progress import Progress, shown


@click.command()
@click.argument("lists", nargs=-1, required=True, type=FILE, metavar="urls_<class>.csv...")
@click.option("--out", type=NEW, required=True, help="Folder for the pictures, a folder per class in it.")
@click.option("--max", "most", type=click.IntRange(1), default=200, show_default=True, help="Addresses of each list.")
@click.option("--allow", multiple=True, metavar="HOST|CIDR", help="An own host the guard would refuse; repeatable.")
@click.option("--per-host", type=click.IntRange(1, 16), default=2, show_default=True, help="Connections to one host.")
@click.option("--again", is_flag=True, help="Ask once more for what failed for a passing reason (timeouts).")
@click.option("--json", "as_json", is_flag=True, help="The report as one JSON object on stdout.")
def urls(
    lists: tuple[Path, ...], out: Path, most: int, allow: tuple[str, ...], per_host: int, again: bool, as_json: bool
) -> None:
    """Fetch the pictures behind lists of addresses, one list a class.

    The class is in the list's name: urls_errors.csv fills OUT/errors. An address is fetched once, whatever became of
    it; OUT/urls.jsonl remembers. Only public addresses are called, unless --allow names an own host, and only what
    our decoder takes for a picture is kept.

    Exit status 0: every class has a picture or more; 1: a class has none; 2: bad input.
    """
    from trainer.data.urls import TAKEN, collect, summary

    found = collect(lists, out, Progress(), most=most, allow=allow, per_host=per_host, again=again)
    report = {name: summary(entries) for name, entries in sorted(found.items())}
    if as_json:
        click.echo(json.dumps(report))
    else:
        for name, outcomes in report.items():
            click.echo(f"{name}: {', '.join(_words(outcome, codes) for outcome, codes in outcomes.items())}")
    if not all(sum(outcomes[TAKEN].values()) for outcomes in report.values()):
        sys.exit(1)


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--max-size", type=int, metavar="PX", help="Make pictures with a longer side smaller, in their place.")
@click.option("--quarantine", "act", flag_value="quarantined", default=True, help="Move them aside (what happens).")
@click.option("--delete", "act", flag_value="deleted", help="Delete them.")
@click.option("--dry-run", "act", flag_value="left", help="Only say which; nothing is made smaller either.")
def verify(folder: Path, max_size: int | None, act: str) -> None:
    """Find the files in FOLDER/<class>/ that are no pictures, and move them aside.

    They go to FOLDER/.quarantine/<class>/, with their reasons in FOLDER/.quarantine/reasons.csv; nothing is deleted
    without --delete.

    Exit status 0: all are pictures; 1: some are not; 2: bad input.
    """
    from trainer.data import verify as looking

    found = looking.verify(folder, Progress(), act=act, max_size=None if act == looking.LEFT else max_size)
    for name, code, _ in found.bad:
        click.echo(f"{shown(name)}: {code}")
    why = ", ".join(f"{code} {count}" for code, count in sorted(found.codes().items()))
    click.echo(
        f"{found.n} files: {found.n - len(found.bad)} pictures, {found.resized} made smaller, {len(found.bad)} {act}"
        + (f" ({why})" if why else "")
    )
    if found.bad:
        sys.exit(1)


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--out", type=NEW, default="sheet.png", show_default=True, help="The PNG to write.")
@click.option("--count", type=click.IntRange(1, 1000), default=64, show_default=True, help="Pictures on it.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed shows the same pictures.")
def show(folder: Path, out: Path, count: int, seed: int) -> None:
    """Put some pictures of every class in FOLDER on one sheet, a PNG, with their names."""
    from trainer.data.show import show as sheet_of

    sheet_of(folder, count=count, seed=seed).save(out, "PNG")
    click.echo(str(out))


def _words(outcome: str, codes: dict[str, int]) -> str:
    why = ", ".join(f"{code} {count}" for code, count in sorted(codes.items()) if code)
    return f"{sum(codes.values())} {outcome}" + (f" ({why})" if why else "")
