"""From nothing to an installation: a settings file, a database, a first administrator."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ticketbot.commands.common import say

DEFAULT_CONFIG = "ticketbot.toml"


@click.command()
@click.option("--data-dir", metavar="DIR", help="Where database, pictures and models live.  [default: var beside FILE]")
@click.option("--base-url", metavar="URL", help="How people reach the page; https:// when a proxy adds TLS.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the page listens.")
@click.option("--port", type=click.IntRange(1, 65535), default=8788, show_default=True, help="… and at which port.")
@click.option("--categories", metavar="A,B,…", default="", help="What pictures are sorted into.")
@click.option("--database-url", metavar="URL", default="", help="PostgreSQL; default: SQLite in the data folder.")
@click.option("--tree", metavar="DIR", help="The folder that holds the attachments.")
@click.option("--ticket-pattern", metavar="REGEX", default="", help="Reads the ticket from the path: (?P<ticket>…)")
@click.option("--ticket-url", metavar="URL", default="", help="A database that knows the ticket of a file…")
@click.option("--ticket-query", metavar="SQL", default="", help="…and what to ask it: SELECT … :user … :name")
@click.option("--endpoint-url", metavar="URL", help="Where answers go; begins in dry run.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Of the log on stderr: for people, or for a log collector.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout and nothing else there.")
@click.pass_context
def init(context: click.Context, as_json: bool, **given: Any) -> None:
    """Write a settings file, make the database, and a link for the first administrator.

    The file is --config or TICKETBOT_CONFIG, else ticketbot.toml. Asks for what was not given when a person sits at the
    terminal; otherwise takes the defaults. A file that is there is never overwritten. Prints the link and the
    endpoint's secret, each this once. Afterwards: ticketbot doctor.
    """
    from ticketbot import settings
    from ticketbot.operate import install

    path = Path(settings.config_file(context.find_root().params.get("config")) or DEFAULT_CONFIG).absolute()
    if sys.stdin.isatty() and not as_json:
        _ask(given)
    tree, data_dir = given.pop("tree"), given.pop("data_dir")
    wanted = install.Wanted(
        data_dir=Path(data_dir or path.parent / "var").absolute(),
        base_url=given.pop("base_url") or f"http://{_shown(given['host'])}:{given['port']}",
        tree=str(Path(tree).absolute()) if tree else "",
        categories=tuple(name.strip() for name in given.pop("categories").split(",") if name.strip()),
        endpoint_url=given.pop("endpoint_url") or "",
        **given,
    )
    install.write(path, wanted)
    try:
        result = {"config": str(path), **_first_rows(settings.load(path))}
    except BaseException:
        path.unlink()  # half an installation must not stand in the way of the next try
        raise
    say(result, as_json, _in_words)


def _ask(given: dict[str, Any]) -> None:
    """Put what a person says into `given`, where nothing was given."""
    questions = (
        ("tree", "Folder of the attachments (<user id>/…/<file>.jpg; empty: later)"),
        ("endpoint_url", "Address of the ticket system's webhook (empty: later)"),
        ("base_url", "Address under which people reach the page (empty: this machine only)"),
    )
    for name, question in questions:
        if given[name] is None:
            given[name] = click.prompt(question, default="", show_default=False, err=True).strip()


def _first_rows(made: Any) -> dict[str, Any]:
    """The database with its first rows. -> what is shown this once"""
    from ticketbot.app import App
    from ticketbot.deliver import admin
    from ticketbot.web import accounts

    made.data_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
    app = App(made)
    try:
        with app.db.write() as session:
            secret = accounts.first_admin(session, app.now())
        link = accounts.invite_link(made.general.base_url, secret) if secret else None
        secrets = {name: admin.rotate_secret(app.db, made, name, "init", app.now()) for name in made.endpoints}
    finally:
        app.close()
    return {"data_dir": str(made.data_dir), "admin_link": link, "secrets": secrets}


def _shown(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - read, not bound


def _in_words(result: dict[str, Any]) -> str:
    command = f"ticketbot --config {result['config']}"
    lines = [f"settings    {result['config']}", f"data        {result['data_dir']}", "database    made"]
    for name, secret in result["secrets"].items():
        lines.append(f"secret      {secret}   (give it to {name}'s receiver; shown this once)")
    if result["admin_link"]:
        lines.append(f"first admin {result['admin_link']}   (open it once the service runs; works once, for a day)")
    lines += ["", "next:", f"  {command} doctor", f"  {command} serve"]
    return "\n".join(lines)
