"""Is everything in the wheel and in the source archive that an installation needs, and nothing else?"""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import ticketbot
from tests.support.needs import missing

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent
# What is not code and must be there, by what it is for.
NEEDED = {
    "templates": r"ticketbot/(\w+/)?templates/.+\.html",
    "static files": r"ticketbot/(\w+/)?static/.+\.(css|js|svg)",
    "migrations": r"ticketbot/db/migrations/versions/\d{4}_\w+\.py",
    "settings": r"ticketbot/_config/ticketbot\.toml",
    "recipe": r"ticketbot/_config/recipe\.toml",
    "presets": r"ticketbot/_config/presets/[\w-]+\.toml",
    "words of the demo": r"ticketbot/render/words\.toml",
    "trainer": r"trainer/run\.py",
}


def tracked(*folders):
    """The files git knows below these folders."""
    done = subprocess.run(["git", "ls-files", "--", *folders], capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        missing("this is not a git checkout")
    return set(done.stdout.splitlines())


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("what", NEEDED)
def test_the_wheel_holds(names, what):
    assert [name for name in names if re.fullmatch(NEEDED[what], name)], what


def test_every_file_of_the_packages_is_in_the_wheel(names):
    expected = {path for path in tracked("ticketbot", "trainer") if (ROOT / path).exists()}
    expected |= {
        path.replace("config/", "ticketbot/_config/", 1) for path in tracked("config") if (ROOT / path).exists()
    }
    assert expected - names == set()


def test_nothing_else_is_in_the_wheel(names):
    top = {name.split("/")[0] for name in names}
    assert top == {"ticketbot", "trainer", f"ticketbot-{ticketbot.__version__}.dist-info"}
    assert not [name for name in names if re.search(r"__pycache__|\.pyc$|\.db$|secret|/tests/|\.egg-info", name)]


def test_the_wheel_says_who_it_is(wheel):
    with zipfile.ZipFile(wheel) as archive:
        info = f"ticketbot-{ticketbot.__version__}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
        scripts = archive.read(f"{info}/entry_points.txt").decode()
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert f"Version: {ticketbot.__version__}" in metadata
    assert "License-Expression: Apache-2.0" in metadata
    assert "ticketbot = ticketbot.cli:main" in scripts and "trainer = trainer.cli:main" in scripts
    service = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert not [line for line in service if re.search(r"torch|fastai|scikit|scipy", line)], "the service needs no torch"


def test_the_source_archive_holds_what_is_tracked(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for path in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", "config/ticketbot.toml"):
        assert path in names
    wanted = tracked("ticketbot", "trainer", "config", "deploy", "docs", "tests/support")
    assert {path for path in wanted if (ROOT / path).exists()} - names == set()
    assert not [name for name in names if name.startswith((".git/", "dist/", "var/", "demo-run/"))]


def test_twine_takes_both(dist):
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir())], capture_output=True, text=True
    )
    if "No module named" in done.stderr:
        missing("twine is not installed (pip install 'ticketbot[dev]')")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


def test_the_version_is_in_one_place():
    said = (ROOT / "ticketbot" / "__init__.py").read_text()
    assert f'__version__ = "{ticketbot.__version__}"' in said
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text()
    assert f"## {ticketbot.__version__}" in (ROOT / "CHANGELOG.md").read_text()
