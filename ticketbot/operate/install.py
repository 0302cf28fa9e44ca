"""What does a first settings file look like?

Only what an installation must say, each key with its reason; everything else keeps its default. `written` makes the
text, `ticketbot init` asks for the values.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ticketbot.errors import AddressRefused, FetchError, StorageError, UsageError
from ticketbot.net import guard


@dataclass(frozen=True)
class Wanted:
    """What was asked for; "" leaves the part out. Paths are absolute."""

    data_dir: Path
    base_url: str = "http://127.0.0.1:8788"
    host: str = "127.0.0.1"
    port: int = 8788
    categories: tuple[str, ...] = ()
    database_url: str = ""
    tree: str = ""
    ticket_pattern: str = ""
    ticket_url: str = ""
    ticket_query: str = ""
    endpoint_url: str = ""
    log_format: str = "text"

    def __post_init__(self) -> None:
        if bool(self.ticket_url) != bool(self.ticket_query):
            raise UsageError("--ticket-url and --ticket-query belong together: a database, and what to ask it")
        if (self.ticket_url or self.ticket_pattern) and not self.tree:
            raise UsageError("tickets are looked up for the files of a tree: name it with --tree")


def written(wanted: Wanted) -> str:
    """The settings file, as TOML."""
    parts = [
        "# ticketbot's settings, begun by `ticketbot init`. Only what differs from the defaults; every key there is,\n"
        "# with default and meaning: docs/settings.md. The environment wins: TICKETBOT_<SECTION>__<KEY>.\n"
        "# After a change: `ticketbot --config <this file> doctor`, then restart the service.",
        *_general(wanted),
        *(_source(wanted) if wanted.tree else _NO_SOURCE),
        *(_endpoint(wanted) if wanted.endpoint_url else _NO_ENDPOINT),
    ]
    return "\n\n".join(parts) + "\n"


def write(path: Path, wanted: Wanted) -> None:
    """Write it for its owner only (it may hold passwords).

    Raises UsageError when there is a file already, StorageError on a full disk.
    """
    text = written(wanted)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} is there already; change it by hand, or name another with --config") from None
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except OSError as error:
        path.unlink()  # half a file must not stand in the way of the next try
        raise StorageError(f"cannot write {path}: {error.strerror}") from None


def must_be_allowed(url: str) -> str:
    """The entry that an endpoint inside the network needs in `allow`; "" when it needs none.

    Naming an address in the settings is the operator's word that it may be called. Raises UsageError for no address.
    """
    try:
        guard.check(url, ports=None)
    except AddressRefused as error:
        if error.code != "address_refused":
            raise UsageError(f"{url} is not an address we can call ({error.code})") from None
        return urlsplit(url).netloc
    except FetchError:
        return urlsplit(url).netloc  # nobody knows the name yet: most likely it is inside
    return ""


def _general(wanted: Wanted) -> list[str]:
    general = [
        "[general]",
        "# The database, staged pictures, models and backups live here. Back it up with `ticketbot backup`.",
        f"data_dir = {_text(wanted.data_dir)}",
        "# How people reach the page. Behind a proxy with TLS: https://…, and see [web] below.",
        f"base_url = {_text(wanted.base_url)}",
    ]
    if wanted.categories:
        general += ["# What pictures are sorted into.", f"categories = {json.dumps(list(wanted.categories))}"]
    database = [
        "[database]",
        "# Empty: SQLite in data_dir. Several machines: postgresql+psycopg://user:password@host/name",
    ]
    database += [f"url = {_text(wanted.database_url)}"]
    log = ["[log]", '# "text" for people, "json" for a log collector', f"format = {_text(wanted.log_format)}"]
    web = [
        "[web]",
        "# Where the page listens; a proxy with TLS stands in front of it before it leaves this machine.",
        f"host = {_text(wanted.host)}",
        f"port = {wanted.port}",
    ]
    if wanted.base_url.startswith("https://"):
        web += ["# One proxy stands in front of us: believe what it says about the caller.", "proxies = 1"]
    else:
        web += ["# With a proxy in front: 1, so that the callers' own addresses are seen.", "# proxies = 1"]
    return ["\n".join(part) for part in (general, database, log, web)]


def _source(wanted: Wanted) -> list[str]:
    lines = [
        "[sources.erp]",
        "# The folder that holds the attachments: <user id>/…/<file>.jpg",
        f"root = {_text(wanted.tree)}",
    ]
    lookups = []
    if wanted.ticket_pattern:
        lookups.append(f'{{kind = "path", pattern = {_text(wanted.ticket_pattern)}}}')
    if wanted.ticket_url:
        lookups.append(f'{{kind = "sql", url = {_text(wanted.ticket_url)}, query = {_text(wanted.ticket_query)}}}')
    if lookups:
        lines += ["# Whose ticket is a file? Tried in order; `ticketbot doctor` tries them on some of your files."]
        lines += ["ticket = [", *(f"  {one}," for one in lookups), "]"]
    else:
        lines += [_NO_TICKETS, "require_ticket = false"]
    if wanted.endpoint_url:
        lines += ["# Who is told: the endpoint below.", 'endpoint = "desk"']
    return ["\n".join(lines)]


def _endpoint(wanted: Wanted) -> list[str]:
    lines = [
        "[endpoints.desk]",
        f"url = {_text(wanted.endpoint_url)}",
        '# "dry_run": written down, not sent. Look at `ticketbot answers`; when they are right: "live", a restart, and',
        "# `ticketbot endpoints release desk`.",
        'mode = "dry_run"',
    ]
    if allowed := must_be_allowed(wanted.endpoint_url):
        lines += ["# It is inside your network, which must be said.", f"allow = [{_text(allowed)}]"]
    return ["\n".join(lines)]


def _text(value: object) -> str:
    """A TOML string: JSON's is one, as long as no lone surrogate is in it."""
    return json.dumps(str(value))


_NO_TICKETS = """\
# No lookup was given, so answers carry user and path and the receiver finds the ticket. To look it up here instead,
# drop require_ticket and say where: in the path, or in a database (columns of yours):
# ticket = [{kind = "path", pattern = '^tickets/(?P<ticket>[0-9]+)/'}]
# ticket = [{kind = "sql", url = "postgresql+psycopg://ticketbot_ro@127.0.0.1/erp", query = "SELECT ticket_id FROM \
uploads WHERE user_id = :user AND file_name = :name"}]"""
_NO_SOURCE = [
    "# No tree is watched yet:\n"
    "# [sources.erp]\n"
    '# root = "/srv/erp/attach"          # the folder that holds <user id>/…/<file>.jpg\n'
    '# endpoint = "desk"'
]
_NO_ENDPOINT = [
    "# Nobody is told yet:\n"
    "# [endpoints.desk]\n"
    '# url = "https://desk.example.com/hooks/ticketbot"\n'
    '# mode = "dry_run"                  # "live" when what `ticketbot answers` shows is right'
]
