"""How fast is it on one machine? All of it, side by side with what people would write themselves.

    python -m bench.speed [--full] [--only answer]

The rows join those in bench/results/latest.json, each with the machine it was measured on and how busy that was; above
a load of one or two a ratio says little, because not every way suffers alike. --full takes large sizes (a million
files, ten million pictures in the database, ten thousand copies).
"""

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

from bench import answer, bulk, deliveries, growth, machine, scan, serving, stage, table


def moonshot():
    from bench import moonshot  # brings torch, which the others do not need

    return moonshot.rows()


LATEST = Path(__file__).parent / "results" / "latest.json"
BENCHES = {
    "answer": answer.rows,
    "bulk": bulk.rows,
    "deliveries": partial(deliveries.rows, 300, 2),
    "growth": partial(growth.rows, 100_000),
    "scan": partial(scan.rows, 1_000),
    "serving": partial(serving.rows, 6),
    "stage": partial(stage.rows, 2_000),
}
FULL = {
    **BENCHES,
    "answer": partial(answer.rows, 200),
    "bulk": partial(bulk.rows, 512),
    "deliveries": deliveries.rows,
    "growth": partial(growth.rows, 10_000_000),
    "moonshot": moonshot,
    "scan": partial(scan.rows, 20_000),
    "serving": partial(serving.rows, 30),
    "stage": stage.rows,
}


def keep(path, rows, facts):
    """Rows into a file of rows, each over its older self."""
    kept = json.loads(path.read_text()) if path.exists() else []
    names = {one["name"] for one in rows}
    kept = [one for one in kept if one["name"] not in names] + [{**one, "machine": facts} for one in rows]
    path.write_text(json.dumps(sorted(kept, key=lambda one: one["name"]), indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(BENCHES), help="run this one")
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    benches = FULL if arguments.full else BENCHES
    for name in [arguments.only] if arguments.only else sorted(benches):
        started, facts = time.monotonic(), machine.facts()
        rows = benches[name]()
        table.show(rows)
        print(f"  {name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        keep(LATEST, rows, facts)


if __name__ == "__main__":
    main()
