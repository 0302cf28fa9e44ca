"""How soon is a ticket system answered that calls /inbound? Some wait for it while their user waits for them.

Starts `ticketbot serve` (pages and worker, a tree to be polled) and sends it signed events with the body of a real
webhook's size, one after the other, each on a connection of its own, as ticket systems do.

    python -m bench.inbound        prints the row
"""

import hashlib
import hmac
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

from bench.start import free_port, installation, row, until_200

CALLS, BODY_BYTES, LIMIT_MS = 200, 8_000, 50
SECRET = "a secret for the bench"
SETTINGS = """
[sources.desk]
root = "attach"
require_ticket = false
[sources.desk.inbound]
enabled = true
secret = "{secret}"
how = {{scheme = "hmac_sha1", header = "X-Hub-Signature", prefix = "sha1=", id_header = "X-Id", ticket = "/ticket"}}
"""


def rows():
    """One row: the median against the limit, with the 95th percentile and the slowest in words."""
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as folder:
        took_ms = sorted(measure(Path(folder)))
    found = row("inbound: answered", statistics.median(took_ms), LIMIT_MS, "ms")
    p95_ms, slowest_ms = took_ms[int(CALLS * 0.95) - 1], took_ms[-1]
    return [{**found, "what": f"{found['what']}, p95 {p95_ms:.1f}, slowest {slowest_ms:.1f}, {CALLS} calls"}]


def measure(folder: Path):
    """Milliseconds of each call."""
    (folder / "attach").mkdir()
    config = folder / "ticketbot.toml"
    config.write_text(SETTINGS.format(secret=SECRET))
    environment = {**installation(folder), "TICKETBOT_WEB__PORT": str(free_port())}
    base = f"http://127.0.0.1:{environment['TICKETBOT_WEB__PORT']}"
    words = [sys.executable, "-m", "ticketbot", "--config", str(config), "serve"]
    started = time.monotonic()
    process = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL, cwd=Path(__file__).parent.parent)
    try:
        until_200(base, process, started)
        return [call(base, number) for number in range(CALLS)]
    finally:
        process.terminate()
        process.wait(45)


def call(base, number):
    body = json.dumps({"ticket": number, "text": "x" * BODY_BYTES}).encode()
    signature = "sha1=" + hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    headers = {"X-Hub-Signature": signature, "X-Id": f"d{number}", "Content-Type": "application/json"}
    began = time.monotonic()
    answer = requests.post(base + "/inbound/desk", data=body, headers=headers, timeout=30)
    took_ms = (time.monotonic() - began) * 1000
    assert answer.status_code == 202, answer.text
    return took_ms


if __name__ == "__main__":
    for found in rows():
        print(f"{found['name']}: {found['what']}")
