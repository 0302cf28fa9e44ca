"""Are the units, the proxy's example and the container's recipe what they say?"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.needs import missing

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
SERVICES = [path for path in UNITS if path.suffix == ".service"]


@pytest.fixture(scope="module")
def placed(tmp_path_factory):
    """The units with a program and a user that are here, so that systemd can look at them."""
    folder = tmp_path_factory.mktemp("units")
    for path in UNITS:
        text = (
            path.read_text().replace("/opt/ticketbot/bin/ticketbot", "/bin/true").replace("=ticketbot\n", "=daemon\n")
        )
        (folder / path.name).write_text(text)
    return folder


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_unit(placed, unit):
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze is not installed (apt-get install systemd)")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(placed / unit.name)], capture_output=True, text=True, timeout=60
    )
    about_us = [line for line in done.stderr.splitlines() if str(placed) in line or unit.name in line]
    assert about_us == [] and done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_a_unit_is_hardened(placed, unit):
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze is not installed (apt-get install systemd)")
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=30", str(placed / unit.name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "Unknown" in done.stderr or "unrecognized option" in done.stderr:
        missing("this systemd-analyze cannot look at files")
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_a_unit_calls_a_command_that_there_is(unit):
    from click.testing import CliRunner

    from ticketbot.cli import main

    (line,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.M)
    words = line.split()[3:]
    assert CliRunner().invoke(main, [*words, "--help"]).exit_code == 0, line


def test_the_container_copies_what_the_wheel_needs():
    text = (DEPLOY / "Containerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (?!--)(.*)$", text, re.M) for word in line.split()[:-1]}
    assert {"pyproject.toml", "README.md", "LICENSE", "ticketbot", "trainer", "config"} == copied
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_container_builds():
    engine = next(filter(None, map(shutil.which, ("podman", "buildah"))), None)
    if engine is None:
        # Needs a base image from a registry, so this is a skip in CI too.
        pytest.skip("no container engine: the recipe was read, not built")
    done = subprocess.run(
        [engine, "build", "-f", str(DEPLOY / "Containerfile"), str(ROOT)], capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stderr[-3000:]
