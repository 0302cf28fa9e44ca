"""Where do the settings come from? The defaults, then the user's file, then the environment.

Only this module reads the environment. What is wrong is said with the key, the value and what is allowed.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ticketbot.errors import SettingsError
from ticketbot.settings.sections import KINDS, NAME, Retrain, Settings

ENV_PREFIX = "TICKETBOT_"
ENV_CONFIG = "TICKETBOT_CONFIG"
# Not settings: the first names the file, the second is for tests only.
ENV_NOT_SETTINGS = {ENV_CONFIG, "TICKETBOT_CI"}
PACKAGE = Path(__file__).parents[1]
CREDENTIALS = re.compile(r"//[^/@\s]*@")


def config_dir() -> Path:
    """The folder with ticketbot.toml, recipe.toml and presets/: inside a wheel, or at the top of a checkout."""
    packaged = PACKAGE / "_config"
    return packaged if packaged.is_dir() else PACKAGE.parent / "config"


def load(path: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read defaults, the user's file and the environment.

    Raises SettingsError naming the key, the value and what is allowed.
    """
    environ = os.environ if environ is None else environ
    path = config_file(path, environ)
    values = defaults()
    base = Path.cwd()
    if path is not None:
        base = path.resolve().parent
        _merge(values, _read(path))
    _merge(values, _from_environment(environ))
    return made(values, base)


def defaults() -> dict[str, Any]:
    """The values of config/ticketbot.toml."""
    return _read(config_dir() / "ticketbot.toml")


def made(values: dict[str, Any], base: Path) -> Settings:
    """Settings from these values; relative paths are relative to `base`. Raises SettingsError."""
    for name in ("general", "source", "endpoint"):
        if not isinstance(values[name], dict):
            raise SettingsError(f"{name} = {values[name]!r}: write a section [{name}]")
    _no_zero_bytes(values)
    _spools(values)
    _expand(values, "source", "sources", "root")
    _expand(values, "endpoint", "endpoints", "url")
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    return _absolute(settings, base)


def config_file(path: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Path | None:
    """The user's settings file: the one that was named, else the environment's; None when there is none."""
    named = path or (os.environ if environ is None else environ).get(ENV_CONFIG)
    return Path(named) if named else None


def environment_without_ours() -> dict[str, str]:
    """The environment for a child process whose settings come from its file alone."""
    return {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}


def _read(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"cannot read settings file {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is no text (UTF-8)") from None


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """TICKETBOT_WEB__PORT=1 -> {"web": {"port": 1}}; …_FILE reads the value from a file."""
    found: dict[str, Any] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(ENV_PREFIX) or variable in ENV_NOT_SETTINGS:
            continue
        keys = variable[len(ENV_PREFIX) :].lower().split("__")
        if len(keys) < 2:
            raise SettingsError(f"{variable}: not a setting; write TICKETBOT_<SECTION>__<KEY>")
        if keys[-1].endswith("_file"):
            keys[-1] = keys[-1].removesuffix("_file")
            try:
                text = Path(text).read_text().strip()
            except OSError as error:
                raise SettingsError(f"{variable}: cannot read {text}: {error.strerror}") from None
            except UnicodeDecodeError:
                raise SettingsError(f"{variable}: {text} is no text (UTF-8)") from None
            value: Any = text
        else:
            value = _toml_value(text)
        here = found
        for key in keys[:-1]:
            here = here.setdefault(key, {})
            if not isinstance(here, dict):
                raise SettingsError(f"{variable}: another variable gives all of {key} a value")
        here[keys[-1]] = value
    return found


def _toml_value(text: str) -> Any:
    """Numbers, true/false and lists as in TOML; everything else is text as it stands."""
    if re.fullmatch(r"true|false|-?\d+(\.\d+)?|\[.*\]|\{.*\}", text, re.S):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text


def _no_zero_bytes(value: Any, key: str = "") -> None:
    """A zero byte is in no path, address or name; the system's calls would fail on it in odd places."""
    if isinstance(value, str) and "\0" in value:
        raise SettingsError(f"{key} holds a zero byte")
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        _no_zero_bytes(part, f"{key}.{name}" if key else str(name))


def _spools(values: dict[str, Any]) -> None:
    """A source that is only called has no tree of its own: its attachments come into a folder per ticket of ours."""
    sources = values.get("sources", {})
    for name, entry in sources.items() if isinstance(sources, dict) else ():
        inbound = entry.get("inbound") if isinstance(entry, dict) else None
        if isinstance(inbound, dict) and inbound.get("enabled") and not entry.get("root"):
            entry["root"] = os.path.join(values["general"]["data_dir"], "inbound", name)
            entry["ticket"] = [{"kind": "path", "pattern": "^(?P<ticket>[^/]+)/"}]
            entry["inbound"] = {**inbound, "spool": True}
            entry |= {"match": "magic", "settle_s": 0, "history": "deliver", "require_ticket": True}


def _expand(values: dict[str, Any], one: str, many: str, required: str) -> None:
    """Give every [sources.<name>] the defaults of [source]."""
    defaults = values.pop(one)
    entries = values.setdefault(many, {})
    if not isinstance(entries, dict):
        raise SettingsError(f"{many}: write sections [{many}.<name>]")
    for name, entry in entries.items():
        if not NAME.fullmatch(name):
            raise SettingsError(f"{many}.{name}: a name is 1 to 40 of [a-z0-9_-]")
        if not isinstance(entry, dict):
            raise SettingsError(f"{many}.{name} = {entry!r}: write a section [{many}.{name}]")
        if not entry.get(required):
            raise SettingsError(f"{many}.{name}.{required} is missing")
        entries[name] = {**defaults, **entry}


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"] if part not in KINDS) or "settings"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            lines.append(f"{key}: there is no such setting (see config/ticketbot.toml)")
        elif problem["type"] == "missing":
            lines.append(f"{key} is missing")
        elif key == "settings":
            lines.append(message)
        else:
            secret = "secret" in key or key.startswith("chat.")
            shown = "…" if secret else CREDENTIALS.sub("//…@", repr(problem["input"]))
            lines.append(f"{key} = {shown}: {message}")
    return "\n".join(lines)


def _absolute(settings: Settings, base: Path) -> Settings:
    general = settings.general.model_copy(update={"data_dir": base / settings.general.data_dir})
    sources = {
        name: source.model_copy(update={"root": base / source.root}) for name, source in settings.sources.items()
    }
    endpoints = {
        name: one.model_copy(update={"preset": str(base / one.preset)}) if one.preset.endswith(".toml") else one
        for name, one in settings.endpoints.items()
    }
    files = {name: str(base / value) for name, value in _files(settings.retrain).items()}
    retrain = settings.retrain.model_copy(update=files)
    parts = {"general": general, "sources": sources, "endpoints": endpoints, "retrain": retrain}
    return settings.model_copy(update=parts)


def _files(retrain: Retrain) -> dict[str, str]:
    """The settings of [retrain] that name a file."""
    named = {"recipe": retrain.recipe, "sign_key": retrain.sign_key}
    if retrain.weights not in ("imagenet", "none"):
        named["weights"] = retrain.weights
    return {name: value for name, value in named.items() if value}
