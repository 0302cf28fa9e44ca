"""Which parts of docs/ are made from the code? docs/settings.md, commands.md and metrics.md: `make docs` writes them.

tests/test_docs.py fails when they are not what this makes.
"""

import sys
from pathlib import Path

import click

from ticketbot import measures, settings
from ticketbot.operate import metrics

DOCS = Path(__file__).parent
NOTE = "<!-- Made by `make docs`; change the source instead. -->\n"


def settings_page() -> str:
    """config/ticketbot.toml, section by section, as tables."""
    lines = [
        "# Settings",
        NOTE,
        "Made from [config/ticketbot.toml](../config/ticketbot.toml), whose values are the real defaults. Your own",
        "file (`--config FILE` or `TICKETBOT_CONFIG`) needs only what you change; the environment wins over both:",
        "`TICKETBOT_<SECTION>__<KEY>`, and `…_FILE` names a file that holds the value.",
    ]
    comment: list[str] = []
    for line in (settings.config_dir() / "ticketbot.toml").read_text().splitlines():
        if line.startswith("["):
            lines += ["", f"## {line}", "", *section_note(line), "| key | default | meaning |", "|---|---|---|"]
            comment = []
        elif line.startswith("#"):
            comment.append(line.lstrip("# ").rstrip())
        elif "=" in line:
            key, value = (part.strip() for part in line.split("=", 1))
            lines.append(f"| `{key}` | `{value.replace('|', chr(92) + '|')}` | {cell(comment)} |")
            comment = []
        else:
            comment = []
    return "\n".join(lines) + "\n"


def section_note(section: str) -> list[str]:
    notes = {
        "[source]": "The defaults of every source; yours is a section `[sources.<name>]` with the same keys.",
        "[endpoint]": "The defaults of every endpoint; yours is a section `[endpoints.<name>]` with the same keys.",
    }
    return [notes[section], ""] if section in notes else []


def cell(comment: list[str]) -> str:
    return " ".join(comment).replace("|", "\\|") or "as above"


def commands_page() -> str:
    """--help of every command."""
    from ticketbot.cli import main as ticketbot
    from trainer.cli import cli as trainer

    lines = ["# Commands", NOTE]
    for name, command in (("ticketbot", ticketbot), ("trainer", trainer)):
        lines += [text for context in walk(name, command) for text in page(context)]
    return "\n".join(lines) + "\n"


def walk(name: str, command: click.Command, parent: click.Context | None = None):
    """The contexts of a command and all below it, by name. A child inherits (-h, for one) as when it runs."""
    context = click.Context(command, parent, info_name=name, terminal_width=110, **command.context_settings)
    yield context
    if isinstance(command, click.Group):
        for below, one in sorted(command.commands.items()):
            yield from walk(below, one, context)


def page(context: click.Context) -> list[str]:
    path = context.command_path
    level = "#" * min(2 + path.count(" "), 4)
    return [f"{level} {path}", "", "```text", context.get_help(), "```", ""]


def metrics_page() -> str:
    """What /metrics gives: figures of the moment, counters, histograms."""
    kinds = [
        ("gauge", {name: (help_, ()) for name, help_ in metrics.METRICS.items()}),
        ("counter", measures.COUNTERS),
        ("histogram", {name: (help_, labels) for name, (help_, labels, _) in measures.HISTOGRAMS.items()}),
    ]
    lines = [
        "# Metrics",
        NOTE,
        "`GET /metrics` with a token of the scope `read` gives Prometheus's text format. Alert rules and a dashboard:",
        "[deploy/](../deploy/). Gauges say how it is now, from the database; counters and histograms add up over all",
        "processes of a data folder.",
        "",
        "| name | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    for kind, found in kinds:
        for name, (help_, labels) in found.items():
            named = ", ".join(f"`{label}`" for label in labels) or "-"
            lines.append(f"| `{name}` | {kind} | {named} | {help_} |")
    return "\n".join(lines) + "\n"


PAGES = {"settings.md": settings_page, "commands.md": commands_page, "metrics.md": metrics_page}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make())
        sys.stdout.write(f"docs/{name}\n")
