"""What may be set, and is it sensible?

The values are in config/ticketbot.toml (the real defaults, commented); here stands which keys exist and what is
allowed.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from apscheduler.triggers.cron import CronTrigger
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

RESERVED_CATEGORIES = {"unsure", "junk"}
CATEGORY = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Port = Annotated[int, Field(ge=1, le=65535)]


def _cron(value: str) -> str:
    try:
        CronTrigger.from_crontab(value)
    except ValueError as error:
        raise ValueError(f"{error}; five fields, as in crontab") from None
    return value


Cron = Annotated[str, AfterValidator(_cron)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class General(Section):
    data_dir: Path
    categories: tuple[str, ...]
    base_url: Annotated[str, Field(pattern=r"^https?://")]

    @field_validator("categories")
    @classmethod
    def _sensible(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not CATEGORY.fullmatch(name) or name in RESERVED_CATEGORIES:
                raise ValueError(f"{name!r} is not a category name: 1 to 40 of [a-z0-9_-], not 'unsure' or 'junk'")
        if len(set(names)) != len(names) or not 2 <= len(names) <= 40:
            raise ValueError("needs 2 to 40 different names")
        return names


class Database(Section):
    url: str


class Log(Section):
    level: Literal["debug", "info", "warning", "error"]
    format: Literal["text", "json"]


class PathLookup(Section):
    kind: Literal["path"]
    pattern: str

    @field_validator("pattern")
    @classmethod
    def _names_something(cls, pattern: str) -> str:
        if not _compile(pattern).groupindex:
            raise ValueError("needs a named group, like (?P<ticket>…)")
        return pattern


class SidecarLookup(Section):
    kind: Literal["sidecar"]
    # Below the source's root; {dir}, {stem}, {name} and the other variables may be in it.
    file: str
    # name -> pointer into the JSON; or a pattern with named groups on the text.
    json_: Annotated[dict[str, str], Field(alias="json")] = {}
    pattern: str = ""

    @model_validator(mode="after")
    def _says_what_to_take(self) -> SidecarLookup:
        if bool(self.json_) == bool(self.pattern):
            raise ValueError("needs either json = {ticket = '/pointer'} or a pattern with named groups")
        _compile(self.pattern)
        return self


class SqlLookup(Section):
    kind: Literal["sql"]
    url: str
    query: Annotated[str, Field(pattern=r"(?is)^\s*(select|with)\b")]
    timeout_s: Annotated[float, Field(gt=0)] = 5.0


class SqlIndexLookup(Section):
    kind: Literal["sql_index"]
    url: str
    # SELECT … AS cursor, … AS ticket, … AS <key> FROM … WHERE … > :cursor ORDER BY … LIMIT :limit
    query: Annotated[str, Field(pattern=r"(?is)^\s*(select|with)\b.*:cursor\b.*:limit\b")]
    # Columns that must equal the file's variables of the same name.
    key: Annotated[tuple[str, ...], Field(min_length=1)]
    first_cursor: str | int = 0
    timeout_s: Annotated[float, Field(gt=0)] = 30.0
    # Rows that came in the last so many seconds are read again: transactions end out of order.
    overlap_s: Seconds = 600.0


class HttpLookup(Section):
    kind: Literal["http"]
    # "/…": on the source's endpoint, with its preset's headers and secrets; else a whole address.
    url: str
    # name -> pointer into the JSON answer; "/…/*/id" for each of a list.
    json_: Annotated[dict[str, str], Field(alias="json", min_length=1)]
    headers: dict[str, str] = {}
    allow: tuple[str, ...] = ()
    timeout_s: Annotated[float, Field(gt=0)] = 10.0


# Pydantic puts them into the place of a problem; nobody wrote them there.
KINDS = ("path", "sidecar", "sql", "sql_index", "http")
Lookup = Annotated[PathLookup | SidecarLookup | SqlLookup | SqlIndexLookup | HttpLookup, Field(discriminator="kind")]


class Inbound(Section):
    """How a ticket system may call us about a source. `how` changes what its preset says."""

    enabled: bool = False
    secret: str = ""
    callers: tuple[str, ...] = ()
    download: tuple[str, ...] = ()
    tolerance_s: Annotated[float, Field(gt=0)] = 300.0
    how: dict[str, Any] = {}
    # Not set by hand: the source has no tree, attachments are fetched into a folder of ours.
    spool: bool = False

    @field_validator("callers")
    @classmethod
    def _are_networks(cls, callers: tuple[str, ...]) -> tuple[str, ...]:
        for one in callers:
            ipaddress.ip_network(one, strict=False)
        return callers


class Source(Section):
    root: Path
    match: Literal["suffix", "magic"]
    suffixes: tuple[Annotated[str, Field(pattern=r"^\.[A-Za-z0-9]{1,10}$")], ...]
    max_file_mb: Annotated[int, Field(ge=1, le=25)]
    max_depth: Annotated[int, Field(ge=0, le=64)]
    settle_s: Seconds
    max_files_per_user: Count
    history: Literal["index", "classify", "deliver"]
    path: str
    require_ticket: bool
    ticket_retry_s: tuple[Seconds, ...]
    endpoint: str
    ticket: tuple[Lookup, ...]
    inbound: Inbound
    # Agents' changes on the ticket are labels; see deliver/corrections.py.
    corrections: bool

    @property
    def is_spool(self) -> bool:
        """No tree: attachments are fetched into a folder of ours."""
        return self.inbound.spool

    @field_validator("path")
    @classmethod
    def _is_a_regex(cls, pattern: str) -> str:
        _compile(pattern)
        return pattern


class Collect(Section):
    batch_rows: Annotated[int, Field(ge=1, le=5000)]
    progress_s: Seconds


class Staging(Section):
    keep_days: Annotated[float, Field(ge=0)]


class Review(Section):
    folders: bool
    to_label_max: Count
    blind_share: Share
    lease_s: Annotated[float, Field(gt=0)]


class Retrain(Section):
    min_new_labels: Positive
    min_interval_s: Seconds
    clean_interval_s: Seconds
    min_per_category: Positive
    arch: Literal["auto", "resnet34", "efficientnet_lite0"]
    weights: str
    recipe: str
    sign_key: str
    where: Literal["local", "command"]
    command: tuple[str, ...]
    away: tuple[str, ...]
    timeout_s: Annotated[float, Field(gt=0)]
    memory_mb: Annotated[int, Field(ge=512)]
    nice: Annotated[int, Field(ge=0, le=19)]
    holdout_share: Annotated[float, Field(gt=0, lt=0.6)]

    @model_validator(mode="after")
    def _knows_the_way(self) -> Retrain:
        if self.where == "command" and not self.away:
            raise ValueError("where is 'command': say with retrain.away which command trains elsewhere")
        return self


class Model(Section):
    keep: Count
    first: Literal["ask", "auto"]
    promise: Annotated[float, Field(gt=0.5, lt=1)]
    delta: Annotated[float, Field(gt=0, lt=0.5)]
    unproven: Literal["review", "tag"]
    tag_threshold: Share
    trusted_keys: tuple[str, ...]


class Classify(Section):
    batch: Annotated[int, Field(ge=1, le=256)]
    workers: Positive
    lease_s: Annotated[float, Field(gt=0)]
    decoders: Positive
    decode_timeout_s: Annotated[float, Field(gt=0)]
    http_slots: Positive
    queue_s: Seconds
    token_required: bool
    rate_per_minute: Positive
    url_allow: tuple[str, ...]
    url_ports: tuple[Port, ...]
    fetch_timeout_s: Annotated[float, Field(gt=0)]
    fetch_max_mb: Positive


class Engine(Section):
    kind: Literal["local", "celery"]
    broker: str
    queue: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
    in_flight: Positive
    resend_s: Annotated[float, Field(gt=0)]

    @field_validator("broker")
    @classmethod
    def _is_a_broker(cls, url: str) -> str:
        if url and not url.startswith(("redis://", "rediss://", "amqp://", "amqps://")):
            raise ValueError("must begin with redis://, rediss://, amqp:// or amqps://")
        return url


class Backfill(Section):
    per_s: Annotated[float, Field(ge=0)]
    hours: Annotated[str, Field(pattern=r"^(|([01]?\d|2[0-3])-([01]?\d|2[0-4]))$")]
    batch: Annotated[int, Field(ge=1, le=256)]


class Endpoint(Section):
    url: str
    secret: str
    mode: Literal["dry_run", "live"]
    allow: tuple[str, ...]
    events: tuple[
        Literal["ticket.answered", "ticket.corrected", "picture.classified", "picture.corrected"],
        ...,
    ]
    ordering: Literal["strict", "latest"]
    preset: str
    values: dict[str, Any]
    secrets: dict[str, str]
    names: dict[str, str | int]
    person_wins: bool

    def wants(self, event_type: str) -> bool:
        """Is this type sent? A preset speaks about tickets, not about single pictures."""
        return event_type in self.events and not (self.preset and event_type.startswith("picture."))


class Deliver(Section):
    schedule_s: Annotated[tuple[Seconds, ...], Field(min_length=1)]
    jitter: Annotated[float, Field(ge=0, lt=1)]
    timeout_s: Annotated[float, Field(gt=0)]
    lease_margin_s: Annotated[float, Field(gt=0)]
    workers: Positive
    retry_after_max_s: Seconds
    breaker_failures: Positive
    breaker_probe_s: Annotated[tuple[Seconds, ...], Field(min_length=1)]
    disable_after_s: Seconds
    rule: Literal["most_confident", "priority", "all"]
    ticket_quiet_s: Seconds


class Chat(Section):
    urls: tuple[str, ...]
    events: tuple[Literal["labels", "models", "deliveries", "weekly"], ...]
    labels_needed: Positive
    weekly: Cron
    slack_secret: str
    mattermost_token: str
    allow: tuple[str, ...]


class Schedule(Section):
    poll_s: Annotated[float, Field(gt=0)]
    inbound_s: Annotated[float, Field(gt=0)]
    corrections_s: Annotated[float, Field(gt=0)]
    notices_s: Annotated[float, Field(gt=0)]
    classify_s: Annotated[float, Field(gt=0)]
    backfill_s: Annotated[float, Field(gt=0)]
    handout_s: Annotated[float, Field(gt=0)]
    deliver_s: Annotated[float, Field(gt=0)]
    labels_s: Annotated[float, Field(gt=0)]
    retrain_s: Annotated[float, Field(gt=0)]
    sweep: Cron
    tidy: Cron
    lease_s: Annotated[float, Field(gt=0)]


class Web(Section):
    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    threads: Positive
    secret_key: str
    trusted_hosts: tuple[str, ...]
    session_h: Annotated[float, Field(gt=0)]
    proxies: Count
    body_max_mb: Positive
    upload_max_mb: Annotated[int, Field(ge=1, le=25)]


class Settings(Section):
    """All settings, checked. `sources` and `endpoints` are by name; everything else is one section each."""

    general: General
    database: Database
    log: Log
    sources: dict[str, Source]
    collect: Collect
    staging: Staging
    review: Review
    retrain: Retrain
    model: Model
    classify: Classify
    engine: Engine
    backfill: Backfill
    endpoints: dict[str, Endpoint]
    deliver: Deliver
    chat: Chat
    schedule: Schedule
    web: Web

    @model_validator(mode="after")
    def _parts_fit(self) -> Settings:
        for name, source in self.sources.items():
            if source.endpoint and source.endpoint not in self.endpoints:
                known = ", ".join(sorted(self.endpoints)) or "none is configured"
                raise ValueError(f"sources.{name}.endpoint is {source.endpoint!r}; endpoints: {known}")
        if self.engine.kind == "celery":
            if not self.database.url.startswith("postgresql"):
                raise ValueError(
                    "engine.kind is 'celery', which needs PostgreSQL: set database.url (postgresql+psycopg://…)"
                )
            if not self.engine.broker:
                raise ValueError("engine.kind is 'celery': say with engine.broker where it is (redis://…, amqp://…)")
        return self

    @property
    def data_dir(self) -> Path:
        return self.general.data_dir

    @property
    def categories(self) -> tuple[str, ...]:
        return self.general.categories

    def staged_path(self, sha256: str) -> Path:
        """Where the bytes of a staged picture lie."""
        return self.data_dir / "staging" / sha256[:2] / f"{sha256}.jpg"

    @property
    def database_url(self) -> str:
        return self.database.url or f"sqlite:///{self.data_dir / 'ticketbot.db'}"


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
