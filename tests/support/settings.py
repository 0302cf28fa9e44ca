"""Settings for a test in one call: name only what the test is about."""

from pathlib import Path
from typing import Any

from ticketbot import settings as settings_module
from ticketbot.settings import Settings


def make_settings(tmp_path: Path, overrides: dict[str, Any] | None = None) -> Settings:
    """The real defaults with data in tmp_path/var; overrides by dotted key: {"sources.erp.root": "…"}."""
    values = settings_module._read(settings_module.config_dir() / "ticketbot.toml")
    values["general"]["data_dir"] = str(tmp_path / "var")
    for dotted, value in (overrides or {}).items():
        here = values
        *parents, last = dotted.split(".")
        for key in parents:
            here = here.setdefault(key, {})
        here[last] = str(value) if isinstance(value, Path) else value
    settings_module._spools(values)
    settings_module._expand(values, "source", "sources", "root")
    settings_module._expand(values, "endpoint", "endpoints", "url")
    made = settings_module._absolute(Settings.model_validate(values), tmp_path)
    made.data_dir.mkdir(parents=True, exist_ok=True)
    return made
