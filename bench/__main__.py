"""`make bench`: measure against the goals, write bench/results/latest.json, print the table.

    python -m bench [--only start] [--data DIR] [--full]

latest.json is [{"name", "ratio", "goal", "met"}]; a ratio is ours against what it is compared with, or against its
limit (at most 1 is met). Exit 0 when everything ran, whatever came out. What needs real pictures (a folder per class)
runs when --data gives some. Each bench's own rows are kept as bench/results/NAME.json too. --full adds the round of
cleaning, which trains on a thousand pictures first.
"""

import argparse
import json
import platform
import sys
import time
from functools import partial
from pathlib import Path

from bench import clean, inbound, promises, retraining, review, sources, start, train

RESULTS = Path(__file__).parent / "results"
BENCHES = {
    "start": start.rows,
    "inbound": inbound.rows,
    "retraining": retraining.rows,
    "review": review.rows,
    "train": partial(train.rows, only="training"),
}
FULL = {**BENCHES, "train": train.rows}
ON_PICTURES = {"clean": clean.rows, "promises": promises.rows, "sources": sources.rows, "train": train.rows}


def with_pictures(folder):
    return {name: partial(rows, folder) for name, rows in ON_PICTURES.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted({*BENCHES, *ON_PICTURES}), help="run this one")
    parser.add_argument("--data", type=Path, help="pictures, a folder per class; names tell sources: source_17.jpg")
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    benches = {**(FULL if arguments.full else BENCHES), **(with_pictures(arguments.data) if arguments.data else {})}
    if arguments.only and arguments.only not in benches:
        parser.error(f"{arguments.only} needs --data")
    rows = []
    for name in [arguments.only] if arguments.only else sorted(benches):
        started = time.monotonic()
        print(f"{name} …", file=sys.stderr, flush=True)
        found = benches[name]()
        (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")
        rows += found
        print(f"  {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    (RESULTS / "latest.json").write_text(json.dumps(rows, indent=2) + "\n")
    machine = {"python": platform.python_version(), "machine": platform.machine(), "at": time.time()}
    (RESULTS / "machine.json").write_text(json.dumps(machine, indent=2) + "\n")
    for row in rows:
        print(
            f"{'met ' if row['met'] else 'MISS'}  {row['name']}: {row['ratio']:.2f} (goal {row['goal']}) {row['what']}"
        )


if __name__ == "__main__":
    main()
