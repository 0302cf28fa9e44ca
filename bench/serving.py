"""How many uploads a second, and how soon? `/classify` of the service beside plain Flask around fastai's predict.

    python -m bench.serving [--seconds 8]

The same resnet34 and pictures of 1920 x 1080, with 1, 8 and 32 callers, each a thread that waits for its
answer before it asks again. Meanwhile /healthz is asked ten times a second. 503 counts as refused, not as answered.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import requests

from bench import peers, table
from bench.start import free_port, installation, ticketbot, until_200

GOALS = {1: 1.9, 8: 2.5, 32: 2.5}
P99_MS, HEALTH_MS = 12_000, 100
PICTURES = 16
# On a machine that is busy with other things an answer can take seconds.
LEAST = 10


def rows(seconds=8):
    pickle, bundle = peers.models()
    data = peers.screenshots(PICTURES, seed=3)
    found = []
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as folder:
        for callers, goal in GOALS.items():
            with flask_and_fastai(pickle) as (url, headers):
                theirs = load(url, headers, data, callers, seconds, health=False)
            with service(Path(folder) / str(callers), bundle) as (url, headers):
                ours = load(url, headers, data, callers, seconds)
            found.append(compared(callers, goal, ours, theirs))
            if callers == max(GOALS):
                found += bounded(callers, ours)
    return found


def compared(callers, goal, ours, theirs):
    many = f"{callers} caller{'s' if callers > 1 else ''}"
    return table.row(
        f"serving: {many}", ours["per_s"] / theirs["per_s"], f">= {goal} x Flask + fastai", table.at_least(goal),
        f"{ours['per_s']:.1f} a second, p50 {ours['p50_ms']:.0f} ms, p99 {ours['p99_ms']:.0f} ms; "
        f"Flask + fastai {theirs['per_s']:.1f} a second, p50 {theirs['p50_ms']:.0f} ms, p99 {theirs['p99_ms']:.0f} ms",
        ours_per_s=ours["per_s"], fastai_per_s=theirs["per_s"], p50_ms=ours["p50_ms"], p99_ms=ours["p99_ms"],
    )  # fmt: skip


def bounded(callers, ours):
    return [
        table.row(
            f"serving: p99 with {callers} callers", ours["p99_ms"] / P99_MS, f"<= {P99_MS / 1000:.0f} s",
            table.at_most(1), f"{ours['p99_ms']:.0f} ms; {ours['refused']} refused with 503", p99_ms=ours["p99_ms"],
        ),
        table.row(
            f"serving: /healthz with {callers} callers", ours["health_ms"] / HEALTH_MS, f"<= {HEALTH_MS} ms",
            table.at_most(1), f"the slowest of {ours['health_asked']} took {ours['health_ms']:.0f} ms",
            slowest_ms=ours["health_ms"],
        ),
    ]  # fmt: skip


def load(url, headers, data, callers, seconds, *, health=True):
    """Ask for so long. -> per_s, p50_ms, p99_ms, refused, health_ms (the slowest), health_asked"""
    took, refused, asked = [], [], []
    end = threading.Event()
    numbers = itertools.count()

    def call():
        with requests.Session() as session:
            session.headers.update(headers)
            while not end.is_set():
                started = time.perf_counter()
                answer = session.post(f"{url}/classify", data=data[next(numbers) % len(data)], timeout=120)
                if answer.status_code == 503:
                    assert int(answer.headers["Retry-After"]) >= 1
                    refused.append(1)
                    end.wait(float(answer.headers["Retry-After"]))
                else:
                    answer.raise_for_status()
                    took.append(time.perf_counter() - started)

    def look():
        with requests.Session() as session:
            while not end.wait(0.1):
                started = time.perf_counter()
                session.get(f"{url}/healthz", timeout=60).raise_for_status()
                asked.append(time.perf_counter() - started)

    with requests.Session() as session:  # warm
        for one in data[:3]:
            session.post(f"{url}/classify", data=one, headers=headers, timeout=120).raise_for_status()
    threads = [threading.Thread(target=call) for _ in range(callers)] + [threading.Thread(target=look)] * health
    started = time.perf_counter()
    for one in threads:
        one.start()
    while time.perf_counter() - started < seconds or len(took) < LEAST:
        time.sleep(0.05)
    end.set()
    for one in threads:
        one.join()
    passed_s = time.perf_counter() - started
    centiles = statistics.quantiles(took, n=100)
    return {
        "per_s": len(took) / passed_s,
        "p50_ms": 1000 * centiles[49],
        "p99_ms": 1000 * centiles[98],
        "refused": len(refused),
        "health_ms": 1000 * max(asked, default=0.0),
        "health_asked": len(asked),
    }


@contextmanager
def service(folder, bundle):
    folder.mkdir()
    environment = installation(folder)
    ticketbot(environment, "models", "import", str(bundle), "--promote")
    token = ticketbot(environment, "tokens", "create", "bench").strip()
    base = f"http://127.0.0.1:{environment['TICKETBOT_WEB__PORT']}"
    command = [sys.executable, "-m", "ticketbot", "serve"]
    with running(command, environment, base, 45):
        yield base, {"Authorization": f"Bearer {token}"}


@contextmanager
def flask_and_fastai(pickle):
    port = free_port()
    command = [sys.executable, "-m", "bench.flask_fastai", str(pickle), str(port)]
    base = f"http://127.0.0.1:{port}"
    with running(command, dict(os.environ), base, 10):
        yield base, {}


@contextmanager
def running(command, environment, base, grace_s):
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_200(base, process, time.monotonic())
        yield
    finally:
        process.terminate()
        process.wait(grace_s)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    table.show(rows(parser.parse_args().seconds))


if __name__ == "__main__":
    main()
