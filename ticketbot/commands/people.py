"""Who may sign in, and which programs may call: accounts and API tokens."""

from __future__ import annotations

import click
from sqlalchemy import select

from ticketbot.commands.common import json_option, open_app, say, table
from ticketbot.db.models import Account
from ticketbot.errors import UsageError
from ticketbot.web import accounts
from ticketbot.web import tokens as api_tokens


@click.group()
def users() -> None:
    """People who may sign in."""


@users.command("invite")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(accounts.ROLES),
    default="reviewer",
    show_default=True,
    help="viewer looks, reviewer labels too, admin does everything.",
)
@click.pass_context
def invite(context: click.Context, name: str, role: str) -> None:
    """Print a link that works once, for a day; its owner chooses the password. Also resets a forgotten one."""
    app = open_app(context)
    with app.db.write() as session:
        secret = accounts.make_invite(session, name, role, app.now())
    click.echo(accounts.invite_link(app.settings.general.base_url, secret))


@users.command("list")
@json_option
@click.pass_context
def list_users(context: click.Context, as_json: bool) -> None:
    """Who may sign in, in which role."""
    app = open_app(context)
    with app.db.read() as session:
        rows = [
            {"name": one.name, "role": one.role, "state": _state(one)}
            for one in session.scalars(select(Account).order_by(Account.name))
        ]
    say(
        rows,
        as_json,
        lambda rows: table(rows, ["name", "role", "state"], "Nobody yet: ticketbot users invite NAME --role admin"),
    )


@users.command("disable")
@click.argument("name")
@click.pass_context
def disable(context: click.Context, name: str) -> None:
    """Sign NAME out everywhere and let them in no more."""
    app = open_app(context)
    with app.db.write() as session:
        account = accounts.find(session, name)
        if account is None:
            raise UsageError(f"nobody is called {name!r}; see: ticketbot users list")
        accounts.disable(session, account, app.now())


@click.group()
def tokens() -> None:
    """Tokens for programs that call the API."""


@tokens.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(api_tokens.SCOPES),
    default=["classify"],
    show_default=True,
    help="What it may do; repeatable.",
)
@click.option("--days", type=click.IntRange(min=1), help="It ends after so many days.")
@click.pass_context
def create_token(context: click.Context, name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Print a new token for the program NAME. It is shown this once; send it as `Authorization: Bearer …`."""
    app = open_app(context)
    now = app.now()
    with app.db.write() as session:
        token = api_tokens.make(session, name, list(scopes), now, now + days * 86400 if days else None)
    click.echo(token)


@tokens.command("list")
@json_option
@click.pass_context
def list_tokens(context: click.Context, as_json: bool) -> None:
    """Which tokens there are; their secrets nobody can show."""
    app = open_app(context)
    columns = ["id", "name", "scopes", "created_at", "expires_at", "used_at", "revoked_at"]
    with app.db.read() as session:
        rows = [{column: getattr(one, column) for column in columns} for one in api_tokens.listed(session)]
    say(rows, as_json, lambda rows: table(rows, columns, "No tokens yet: ticketbot tokens create NAME"))


@tokens.command("revoke")
@click.argument("token_id", metavar="ID")
@click.pass_context
def revoke_token(context: click.Context, token_id: str) -> None:
    """Let a token in no more."""
    app = open_app(context)
    with app.db.write() as session:
        if not api_tokens.revoke(session, token_id, app.now()):
            raise UsageError(f"no token {token_id!r} that could be revoked; see: ticketbot tokens list")


def _state(account: Account) -> str:
    if account.disabled_at is not None:
        return "disabled"
    return "active" if account.password else "invited"
