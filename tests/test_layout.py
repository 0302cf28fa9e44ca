"""Who may import whom? The rules of docs/map.md, read from the code's own imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STAGES = {"collect", "review", "retrain", "classify", "deliver"}
# Built on the stages: they join or operate them.
ABOVE = {"flow", "schedule", "app", "pages", "apis", "cli", "commands", "serve", "operate", "demo", "engine"}
SHARED = {
    "contracts",
    "db",
    "net",
    "imaging",
    "judge",
    "settings",
    "errors",
    "logs",
    "web",
    "failpoints",
    "measures",
    "systems",
    "render",
}
HEAVY = {"torch", "fastai", "torchvision", "sklearn", "scipy", "cleanlab", "matplotlib", "onnx", "onnxscript"}
TRAINER_MAY_USE = {"contracts", "imaging", "judge", "net", "errors", "render"}
FILES = sorted((ROOT / "ticketbot").rglob("*.py")) + sorted((ROOT / "trainer").rglob("*.py"))


def imports(path):
    """Every dotted name a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parts_of_ticketbot(path):
    return {name.split(".")[1] for name in imports(path) if name.startswith("ticketbot.")} - {"__version__"}


def part(path):
    """ticketbot/collect/walk.py -> collect; ticketbot/flow.py -> flow."""
    return path.relative_to(ROOT).parts[1].removesuffix(".py")


def ids(path):
    return str(path.relative_to(ROOT))


SERVICE = [path for path in FILES if path.is_relative_to(ROOT / "ticketbot")]
TRAINER = [path for path in FILES if path.is_relative_to(ROOT / "trainer")]


@pytest.mark.parametrize("path", SERVICE, ids=ids)
def test_the_service_never_imports_the_trainer_or_what_only_training_needs(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert not roots & (HEAVY | {"trainer", "tests"})


@pytest.mark.parametrize("path", [path for path in SERVICE if part(path) in STAGES], ids=ids)
def test_a_stage_imports_shared_modules_and_no_other_stage(path):
    assert not parts_of_ticketbot(path) - SHARED - {part(path)}


@pytest.mark.parametrize("path", [path for path in SERVICE if part(path) in SHARED], ids=ids)
def test_a_shared_module_imports_no_stage(path):
    assert not parts_of_ticketbot(path) & (STAGES | ABOVE)


@pytest.mark.parametrize("path", TRAINER, ids=ids)
def test_the_trainer_uses_what_crosses_and_nothing_else(path):
    assert not parts_of_ticketbot(path) - TRAINER_MAY_USE


@pytest.mark.parametrize("path", SERVICE, ids=ids)
def test_every_part_is_in_the_picture(path):
    assert part(path) in STAGES | ABOVE | SHARED | {"__init__", "__main__"}


def test_only_settings_reads_the_environment():
    readers = {ids(path) for path in SERVICE if "os.environ" in path.read_text() or "getenv" in path.read_text()}
    assert readers <= {"ticketbot/settings/reading.py", "ticketbot/__init__.py"}  # the second sets one, for a library


@pytest.mark.parametrize("name", ["settled", "due", "retry", "rule", "breaker"])
def test_a_decision_file_touches_neither_database_nor_network_nor_clock(name):
    (path,) = [found for found in SERVICE if found.stem == name]
    roots = {found.split(".")[0] for found in imports(path)}
    assert not roots & {"sqlalchemy", "requests", "urllib3", "time", "os", "socket", "threading"}


@pytest.mark.parametrize("name", ["thresholds", "gate", "mcnemar", "intervals", "metrics", "temperature", "decide"])
def test_judging_needs_numpy_and_the_standard_library_only(name):
    path = ROOT / "ticketbot" / "judge" / f"{name}.py"
    roots = {found.split(".")[0] for found in imports(path)}
    assert roots <= set(sys.stdlib_module_names) | {"numpy", "ticketbot"}


def test_the_service_starts_without_torch_in_memory():
    code = (
        f"import sys, ticketbot.cli, ticketbot.serve, ticketbot.schedule\nprint(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
