"""How does this ticket system want to be told? A preset: one TOML file, ordered HTTP steps.

config/presets/*.toml are ours; an endpoint's `preset` may also be the path of a file of your own. docs/add-a-system.md
explains every key. A preset is checked when it is read: a name nobody gives, an unknown key or filter is said at once,
not at the first ticket.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ticketbot.errors import SettingsError
from ticketbot.settings import Endpoint, Settings, config_dir
from ticketbot.systems import template

# What every step may use besides the preset's own values, secrets and what earlier steps saved.
GIVEN = frozenset(
    {"ticket", "id", "category", "tag", "previous", "confidence", "percent", "by", "note", "now_utc", "base", "nothing"}
)
CURRENT = "current"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class About(_Part):
    """For people: what it does, what it needs, and how we know."""

    system: str
    sets: str
    needs: tuple[str, ...]
    known: str
    resolver: str = ""
    # The resolver's chain from an index, where the system stores equal bytes once.
    index: str = ""
    notes: str = ""


class Step(_Part):
    """One request. `save`: name -> pointer; `found`: name -> text that the answer may contain (-> true or false)."""

    name: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    path: str
    headers: dict[str, str] = {}
    body: Any = Field(default=None, alias="json")
    form: dict[str, Any] | None = None
    expect: tuple[int, ...] = (200, 201, 202, 204)
    # Values made of others before the request: name -> template.
    put: Annotated[dict[str, Any], Field(alias="set")] = {}
    save: dict[str, str] = {}
    save_header: dict[str, str] = {}
    found: dict[str, str] = {}
    # Runs only when one of these is something; not when one of those is.
    when: tuple[str, ...] = Field(default=(), alias="if")
    unless: tuple[str, ...] = ()
    # Pointers that must be empty in an answer that was said to be good, and texts it must not contain.
    fail_if: tuple[str, ...] = ()
    fail_text: tuple[str, ...] = ()
    # pointer -> what must be there: some systems ignore in silence what they do not take.
    must_be: dict[str, str] = {}
    # A read changes nothing, so it may be made in a dry run. GET is one unless it says otherwise.
    read: bool | None = None

    @property
    def is_read(self) -> bool:
        return self.method == "GET" if self.read is None else self.read


class Inbound(_Part):
    """How the system calls us: its signature, and where in the body things are. See docs/ticket-systems.md."""

    scheme: Literal["hmac_sha256", "hmac_sha1", "token", "none"] = "none"
    header: str = ""
    prefix: str = ""
    encoding: Literal["hex", "base64"] = "hex"
    # What is signed: {timestamp} and {body}, in the system's order.
    signed: str = "{body}"
    timestamp_header: str = ""
    id_header: str = ""
    ticket: str = ""
    # Pointer to the files in the body, or a step that lists them: each needs a url or its content, and may have a name.
    files: str = ""
    url: str = ""
    content: str = ""
    content_encoding: Literal["base64", "latin1"] = "base64"
    file_name: str = ""
    list_path: str = ""
    # pointer -> text: an event with this text there is our own echo.
    ours: dict[str, str] = {}


class Preset(_Part):
    """A preset file. `values` have defaults that the endpoint may change; `required` must not stay empty."""

    about: About
    values: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    required: tuple[str, ...] = ()
    # The system takes ids, so every category needs one in the endpoint's `names`.
    needs_names: bool = False
    basic: str = ""
    headers: dict[str, str] = {}
    steps: Annotated[tuple[Step, ...], Field(min_length=0)] = ()
    inbound: Inbound = Inbound()

    @property
    def reads(self) -> tuple[Step, ...]:
        """The steps up to the one that says which category the ticket has; all of them reads. Empty: it never says."""
        for place, step in enumerate(self.steps):
            if CURRENT in step.save:
                return self.steps[: place + 1]
        return ()


def listed() -> list[str]:
    """The names of the presets that come with us."""
    return sorted(path.stem for path in (config_dir() / "presets").glob("*.toml"))


def of(endpoint: Endpoint) -> Preset:
    """The preset of an endpoint. Raises SettingsError."""
    return read(endpoint.preset)


def read(name: str) -> Preset:
    """A preset by name, or from a file of your own. Raises SettingsError saying what is wrong in it."""
    path = Path(name) if name.endswith(".toml") else config_dir() / "presets" / f"{name}.toml"
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise SettingsError(f"no preset {name!r} ({error.strerror}); there are: {', '.join(listed())}") from None


def check(settings: Settings) -> None:
    """Can every endpoint's preset be used as it is set? Raises SettingsError for the first that cannot."""
    for name, endpoint in settings.endpoints.items():
        if endpoint.preset:
            values_of(name, endpoint)
            if not of(endpoint).steps:
                raise SettingsError(f"endpoints.{name}.preset: {of(endpoint).about.sets}")
            missing = [one for one in settings.categories if one not in endpoint.names]
            if missing and of(endpoint).needs_names:
                raise SettingsError(f"endpoints.{name}.names.{missing[0]} is missing: the id of this category there")
    for name, source in settings.sources.items():
        told = settings.endpoints[source.endpoint] if source.endpoint else None
        if told and told.preset and not source.require_ticket:
            raise SettingsError(f"sources.{name}: a preset needs tickets; require_ticket = false is for webhooks")


def values_of(name: str, endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint's values and secrets for its preset, with the preset's defaults. Raises SettingsError."""
    preset = of(endpoint)
    for kind, given, known in (
        ("values", endpoint.values, preset.values),
        ("secrets", endpoint.secrets, preset.secrets),
    ):
        if unknown := sorted(set(given) - set(known)):
            there = ", ".join(sorted(known)) or "none"
            raise SettingsError(f"endpoints.{name}.{kind}.{unknown[0]}: preset {endpoint.preset} knows: {there}")
    values = {**preset.values, **dict.fromkeys(preset.secrets, ""), **endpoint.values, **endpoint.secrets}
    if missing := [key for key in preset.required if template.is_empty(values[key])]:
        where = "secrets" if missing[0] in preset.secrets else "values"
        what = preset.secrets.get(missing[0], "see the preset file")
        raise SettingsError(f"endpoints.{name}.{where}.{missing[0]} is missing: {what}")
    return values


@functools.lru_cache(maxsize=64)
def _read(path: Path, _mtime_ns: int) -> Preset:
    try:
        with open(path, "rb") as file:
            preset = Preset.model_validate(tomllib.load(file))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    except ValidationError as error:
        problem = error.errors()[0]
        raise SettingsError(f"{path}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    _check(path, preset)
    return preset


def _check(path: Path, preset: Preset) -> None:
    known = {*GIVEN, *preset.values, *preset.secrets}
    if unknown := sorted(set(preset.required) - {*preset.values, *preset.secrets}):
        raise SettingsError(f"{path}: required: {unknown[0]} is neither a value nor a secret")
    saved = {name for step in preset.steps for name in _saves(step)}
    _names(path, "headers", [preset.headers, preset.basic], known | saved)
    for step in preset.steps:
        _names(path, step.name, [step.put], known)
        known |= set(step.put)
        parts = [step.path, step.headers, step.body, step.form, step.save, step.found, step.must_be]
        _names(path, step.name, parts, known)
        _names(path, step.name, [f"{{{name}}}" for name in (*step.when, *step.unless)], known)
        known |= set(_saves(step))
    if any(not step.is_read for step in preset.reads):
        raise SettingsError(f"{path}: the steps up to the one that saves {CURRENT!r} must all be reads")


def _saves(step: Step) -> Iterable[str]:
    return (*step.save, *step.save_header, *step.found)


def _names(path: Path, where: str, parts: list[Any], known: set[str]) -> None:
    if unknown := sorted(set(template.names(parts)) - known):
        raise SettingsError(f"{path}: {where}: nothing gives {{{unknown[0]}}} here")
    if broken := template.unreadable(parts):
        raise SettingsError(f"{path}: {where}: cannot read {broken[0]!r}")
    if unknown := sorted(template.unknown_filters(parts)):
        raise SettingsError(f"{path}: {where}: there is no filter {unknown[0]!r}")
