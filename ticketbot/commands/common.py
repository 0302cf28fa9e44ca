"""What every command does the same way: settings, JSON on stdout, progress on stderr."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Callable
from typing import Any

import click

from ticketbot import logs, settings
from ticketbot.app import App
from ticketbot.settings import Settings

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout and nothing else there.")


def load_settings(context: click.Context) -> Settings:
    """The settings of --config, loaded at first use, with the log set up from them."""
    root = context.find_root()
    if root.obj is None:
        root.obj = settings.load(root.params.get("config"))
        logs.setup(root.obj.log)
    found: Settings = root.obj
    return found


def open_app(context: click.Context) -> App:
    """The app, closed when the command ends."""
    app = App(load_settings(context))
    context.call_on_close(app.close)
    return app


def whoami() -> str:
    """Who types this, for the log of deeds; a number where the user has no name, as in a container with any uid."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def say(value: Any, as_json: bool, text: Callable[[Any], str] | str) -> None:
    """The command's result: `value` as JSON, or in words."""
    if as_json:
        click.echo(json.dumps(value, ensure_ascii=False, default=str))
    else:
        click.echo(text(value) if callable(text) else text)


def table(rows: list[dict[str, Any]], columns: list[str], empty: str) -> str:
    """Rows under their headings; `empty` when there are none."""
    if not rows:
        return empty
    cells = [columns, *([logs.visible(_cell(row.get(column))) for column in columns] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def progress(text: str) -> None:
    """One line of progress on stderr."""
    click.echo(text, err=True)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
