"""The `ticketbot` command. Exit codes: 0 done, 1 something is wrong or stuck, 2 called or configured wrongly."""

from __future__ import annotations

import sys

try:
    import sqlite3  # noqa: F401
except ImportError:  # a Python that was compiled without SQLite's headers
    sys.exit("ticketbot: this Python has no sqlite3; take your system's, or build it with libsqlite3-dev installed")

import click

from ticketbot import __version__
from ticketbot.commands import (
    backfill,
    backup,
    deliveries,
    doctor,
    erase,
    init,
    labels,
    models,
    people,
    presets,
    run,
    trace,
)
from ticketbot.operate import plainly


class OneSentence(click.Group):
    """Says what went wrong in one sentence instead of a stack trace."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except BrokenPipeError:
            raise  # the reader of our output went away: click ends quietly
        except plainly.EXPECTED as error:
            sentence, code = plainly.said(error)
            click.echo(f"ticketbot: {sentence}", err=True)
            context.exit(code)


@click.group(cls=OneSentence, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="ticketbot")
@click.option(
    "--config", metavar="FILE", help="Your settings (TOML). Also: TICKETBOT_CONFIG. Every key: docs/settings.md"
)
def main(config: str | None) -> None:
    """Looks at the pictures people attach to tickets and says what they are, on the ticket, by itself.

    \b
    Try it:             ticketbot demo
    Set it up:          ticketbot init, then ticketbot --config ticketbot.toml doctor
    Run it:             ticketbot --config ticketbot.toml serve
    One round by hand:  ticketbot --config ticketbot.toml once
    One picture:        ticketbot classify picture.jpg
    """


for command in (
    init.init,
    doctor.doctor,
    run.once,
    run.serve,
    run.worker,
    run.classify,
    run.demo,
    labels.labels,
    models.models,
    models.retrain,
    backfill.backfill,
    deliveries.pause,
    deliveries.resume,
    deliveries.answers,
    deliveries.endpoints,
    presets.preset,
    people.users,
    people.tokens,
    erase.erase,
    trace.trace,
    backup.backup,
    backup.restore,
):
    main.add_command(command)

if __name__ == "__main__":
    sys.exit(main())
