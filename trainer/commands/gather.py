"""`trainer urls`, `verify`, `show`: from addresses to a folder of pictures one has looked at."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from trainer.options import FILE, NEW
from trainer.progress import Progress


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


def _words(outcome: str, codes: dict[str, int]) -> str:
    why = ", ".join(f"{code} {count}" for code, count in sorted(codes.items()) if code)
    return f"{sum(codes.values())} {outcome}" + (f" ({why})" if why else "")
