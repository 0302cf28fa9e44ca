"""Hostile inputs with the expected answer, one JSON object a line: how they are read and who runs them.

An area is a module `tests/acceptance/area_<area>.py` with
    EXPECT, GIVEN   the keys it knows of `expect` and `given`
    run(case, request)   runs one case and asserts; `request` is pytest's, for fixtures
A key nobody knows fails the case: a field that is not looked at would pass for the wrong reason.
"""

import importlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
BESIDE_THE_PROJECT = HERE.parents[2] / "shared" / "acceptance" / "badinputs.jsonl"
OWN = HERE / "variants.jsonl"
FIELDS = {"id", "area", "input", "given", "expect", "why"}


@dataclass(frozen=True)
class Case:
    id: str
    area: str
    expect: dict
    input: object = ""
    given: dict = field(default_factory=dict)
    why: str = ""
    unknown: tuple[str, ...] = ()
    file: Path = BESIDE_THE_PROJECT


def load(file: Path) -> list[Case]:
    lines = [line for line in file.read_text("utf-8").splitlines() if line.strip()]
    return [_case(json.loads(line), file) for line in lines]


def _case(values: dict, file: Path) -> Case:
    known = {key: value for key, value in values.items() if key in FIELDS}
    return Case(**known, unknown=tuple(sorted(set(values) - FIELDS)), file=file)


def runner(area: str) -> ModuleType | None:
    """The module that runs an area; None when there is none (yet)."""
    if not (HERE / f"area_{area}.py").is_file():
        return None
    return importlib.import_module(f"tests.acceptance.area_{area}")


def unknown_keys(case: Case, area: ModuleType) -> list[str]:
    return [
        *case.unknown,
        *(f"expect.{key}" for key in sorted(set(case.expect) - area.EXPECT)),
        *(f"given.{key}" for key in sorted(set(case.given) - area.GIVEN)),
    ]
