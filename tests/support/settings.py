"""Settings for a test in one call: name only what the test is about."""

from pathlib import Path
from typing import Any

from ticketbot.settings import Settings, reading


def make_settings(tmp_path: Path, overrides: dict[str, Any] | None = None) -> Settings:
    """The real defaults with data in tmp_path/var; overrides by dotted key: {"sources.erp.root": "…"}."""
    values = reading.defaults()
    values["general"]["data_dir"] = str(tmp_path / "var")
    for dotted, value in (overrides or {}).items():
        here = values
        *parents, last = dotted.split(".")
        for key in parents:
            here = here.setdefault(key, {})
        here[last] = str(value) if isinstance(value, Path) else value
    made = reading.made(values, tmp_path)
    made.data_dir.mkdir(parents=True, exist_ok=True)
    return made
