"""Real ticket systems for tests: installed with pip into a folder that is kept, started on a free loopback port.

    with DjangoHelpdesk(folder) as desk:     desk.url, desk.media, desk.create(...), desk.ticket(id)
    with Roundup() as tracker:         tracker.url, tracker.files, tracker.create(...), tracker.issue(id)

What cannot be installed skips the test with the reason (and fails it in CI).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.support.needs import missing

KEPT = Path(os.environ.get("TICKET_SYSTEMS_DIR") or Path(tempfile.gettempdir()) / "ticketbot-test-systems")


def venv(name, *packages):
    """The interpreter of a virtual environment that has these packages."""
    folder = KEPT / name
    done = folder / "installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        made = [[sys.executable, "-m", "venv", str(folder)]]
        made += [[str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *packages]]
        for command in made:
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode:
                missing(f"{' '.join(packages)} cannot be installed: {run.stderr.strip().splitlines()[-1:]}")
        done.touch()
    return folder / "bin"


def wait_for(url, process, most_s=60):
    """Until it answers anything at all."""
    ends_at = time.monotonic() + most_s
    while time.monotonic() < ends_at:
        assert process.poll() is None, f"the server of {url} ended with {process.returncode}"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"no answer from {url}")


def end(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
