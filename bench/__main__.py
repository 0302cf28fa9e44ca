"""`make bench`: measure against the goals, write bench/results/latest.json, print the table.

    python -m bench [--only start]

latest.json is [{"name", "ratio", "goal", "met"}]; a ratio is ours against what it is compared with, or against its
limit (at most 1 is met). Exit 0 when everything ran, whatever came out.
"""

import argparse
import json
import platform
import sys
import time
from pathlib import Path

from bench import inbound, retraining, start

RESULTS = Path(__file__).parent / "results"
BENCHES = {"start": start.rows, "inbound": inbound.rows, "retraining": retraining.rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(BENCHES), help="run this one")
    arguments = parser.parse_args()
    rows = []
    for name in [arguments.only] if arguments.only else sorted(BENCHES):
        started = time.monotonic()
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += BENCHES[name]()
        print(f"  {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(json.dumps(rows, indent=2) + "\n")
    machine = {"python": platform.python_version(), "machine": platform.machine(), "at": time.time()}
    (RESULTS / "machine.json").write_text(json.dumps(machine, indent=2) + "\n")
    for row in rows:
        print(
            f"{'met ' if row['met'] else 'MISS'}  {row['name']}: {row['ratio']:.2f} (goal {row['goal']}) {row['what']}"
        )


if __name__ == "__main__":
    main()
