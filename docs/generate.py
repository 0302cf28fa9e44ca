"""Which parts of docs/ are made from the code? The pages in PAGES: `make docs` writes them.

tests/test_docs.py fails when they are not what this makes.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ticketbot import apis, measures, settings
from ticketbot.contracts import events
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


def api_page() -> str:
    """The OpenAPI document, call by call."""
    document = apis.document()
    lines = ["# API", NOTE, f"Made from the OpenAPI {document['openapi']} document, which the service itself serves"]
    lines += [
        "as `/api/v1/openapi.json` and shows as a page at `/api/v1/`. How to use it:",
        "[how-to/api.md](how-to/api.md).",
        "",
    ]
    lines += [document["info"]["description"], ""]
    rows = apis.calls()
    for tag in dict.fromkeys(row["tags"][0] for row in rows):
        lines += [f"## {tag}", ""]
        lines += [line for row in rows if row["tags"][0] == tag for line in call(row)]
    lines += ["## Shapes", "", "What the calls take and give, as JSON Schema 2020-12.", ""]
    for name, shape in sorted(document["components"]["schemas"].items()):
        lines += [f"### {name}", ""]
        lines += [shape["description"], ""] if "description" in shape else []
        lines += [*fields(shape), ""]
    return "\n".join(lines).rstrip() + "\n"


def call(row: dict[str, Any]) -> Iterator[str]:
    yield from (f"### {row['method']} {row['path']}", "", row["summary"], "")
    if row.get("description"):
        yield from (row["description"], "")
    if found := row.get("parameters"):
        yield from ("| parameter | in | type | meaning |", "|---|---|---|---|")
        for one in found:
            needed = " (needed)" if one.get("required") else ""
            yield f"| `{one['name']}`{needed} | {one['in']} | {kind(one['schema'])} | {one.get('description', '')} |"
        yield ""
    for media, content in row.get("requestBody", {}).get("content", {}).items():
        yield from (f"Body, `{media}`: {kind(content['schema'])}", "")
    given = [(status, answer) for status, answer in row["responses"].items() if status.startswith("2")]
    for status, answer in given:
        shapes = ", ".join(kind(content["schema"]) for content in answer.get("content", {}).values())
        yield from (f"Answers {status}{': ' + shapes if shapes else ''}.", "")


def fields(shape: dict[str, Any]) -> Iterator[str]:
    """The members of an object as a table; anything else as JSON."""
    if "properties" not in shape:
        yield from ("```json", json.dumps(shape, indent=2, ensure_ascii=False), "```")
        return
    yield from ("| field | type | meaning |", "|---|---|---|")
    for name, one in shape["properties"].items():
        missing = "" if name in shape.get("required", ()) else " (optional)"
        yield f"| `{name}`{missing} | {kind(one)} | {one.get('description', '').replace('|', chr(92) + '|')} |"


def kind(schema: dict[str, Any]) -> str:
    """A schema in a few words, with a link to a shape that has a name."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    for many in ("anyOf", "oneOf"):
        if many in schema:
            return " or ".join(kind(one) for one in schema[many])
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array" and "items" in schema:
        return f"list of {kind(schema['items'])}"
    said = schema.get("type", "anything")
    return " or ".join(said) if isinstance(said, list) else said


def event_schema_page() -> str:
    """What an event holds, from its JSON Schema."""
    schema = json.loads(events.SCHEMA.read_text())
    lines = [
        "# Schema of events",
        NOTE,
        "What a webhook's body holds; examples and when each is sent: [events.md](events.md). Version of",
    ]
    lines += [
        f"`data`: {events.FORMAT_VERSION}. The whole schema (JSON Schema 2020-12) is below;",
        "the tests hold every body against it.",
        "",
    ]
    parts = [("The event", schema), ("data", schema["properties"]["data"])]
    parts += [(name, one) for name, one in schema["$defs"].items()]
    for name, shape in parts:
        lines += [f"## {name}", "", *fields(shape), ""]
    lines += ["## As JSON Schema", "", "```json", events.SCHEMA.read_text().strip(), "```"]
    return "\n".join(lines) + "\n"


PAGES = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "metrics.md": metrics_page,
    "api.md": api_page,
    "event-schema.md": event_schema_page,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make())
        sys.stdout.write(f"docs/{name}\n")
