"""How soon does the service answer, and how much memory does it take, against its limits?

Starts `ticketbot serve` with a model in service, without torch in any process: seconds to the first 200, PSS of the web
process and of the whole tree after a hundred uploads.
"""

import io
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import requests
from PIL import Image

from tests.support.bundles import make_bundle, picture

FIRST_200_S, WEB_MB, TREE_MB = 1.5, 400, 700
RUNS, UPLOADS = 3, 100


def rows(bundle: Path | None = None):
    """Three rows: the medians of a few starts against their limits."""
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as folder:
        measured = [one_start(Path(folder) / str(number), bundle) for number in range(RUNS)]
    first_s, web_mb, tree_mb = (statistics.median(column) for column in zip(*measured, strict=True))
    return [
        row("start: first 200", first_s, FIRST_200_S, "s"),
        row("start: memory of the web process", web_mb, WEB_MB, "MB PSS"),
        row("start: memory of the whole tree", tree_mb, TREE_MB, "MB PSS"),
    ]


def row(name, value, limit, unit):
    what = f"{value:.2f} of {limit} {unit}"
    return {"name": name, "ratio": round(value / limit, 3), "goal": "<= 1", "met": value <= limit, "what": what}


def one_start(folder: Path, bundle: Path | None):
    """-> (seconds to the first 200, MB of the web process, MB of all)"""
    folder.mkdir()
    environment = installation(folder)
    if bundle is None:
        bundle = folder / "bundle"
        make_bundle(bundle)
    ticketbot(environment, "models", "import", str(bundle), "--promote")
    token = ticketbot(environment, "tokens", "create", "bench").strip()
    base = f"http://127.0.0.1:{environment['TICKETBOT_WEB__PORT']}"
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "ticketbot", "serve"], env=environment, stderr=subprocess.DEVNULL)
    try:
        first_s = until_200(base, process, started)
        upload(base, token)
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        sizes = {one.pid: one.memory_full_info().pss / 2**20 for one in tree}
        web = min(child.pid for child in psutil.Process(process.pid).children())
        return first_s, sizes[web], sum(sizes.values())
    finally:
        process.terminate()
        process.wait(45)


def installation(folder: Path):
    """The environment of a service of its own in `folder`."""
    return {
        **os.environ,
        "TICKETBOT_GENERAL__DATA_DIR": str(folder / "var"),
        "TICKETBOT_WEB__PORT": str(free_port()),
        "TICKETBOT_CLASSIFY__RATE_PER_MINUTE": "100000",
    }


def until_200(base, process, started):
    while process.poll() is None:
        try:
            if requests.get(f"{base}/healthz", timeout=5).status_code == 200:
                return time.monotonic() - started
        except requests.ConnectionError:
            time.sleep(0.005)
    raise RuntimeError("the service ended")


def upload(base, token):
    stream = io.BytesIO()
    Image.fromarray(picture(1, px=640)).save(stream, "JPEG")
    with requests.Session() as session:
        for _ in range(UPLOADS):
            answer = session.post(
                f"{base}/classify", data=stream.getvalue(), headers={"Authorization": f"Bearer {token}"}, timeout=30
            )
            answer.raise_for_status()


def ticketbot(environment, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "ticketbot", *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
