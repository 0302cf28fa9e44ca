"""The loop on real pictures: how right is it on sources it has never seen, how fast, and is anything lost or doubled?

    python bench/loop.py --data DIR [--arch auto|resnet34|efficientnet_lite0] [--json]

DIR has a folder per class; the source of a picture is its file name up to the last `_<number>`. The sources are parted:
one part lies in the tree of several users and is labelled, the other arrives as new tickets. Everything is real: files,
the service's own steps, a training in a child process, an HTTP receiver that checks signatures.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path

from ticketbot import flow, settings
from ticketbot.app import App
from ticketbot.deliver.sign import new_secret
from ticketbot.demo import report as reports
from ticketbot.demo.desk import RunningDesk
from ticketbot.demo.pictures import FolderPictures
from ticketbot.demo.report import Report
from ticketbot.demo.service import write_settings
from ticketbot.demo.tree import make_tree, more_tickets
from ticketbot.retrain import run as retraining
from ticketbot.retrain import shelf


def measure(data: Path, folder: Path, *, arch: str, seed: int) -> dict:
    """Run the loop in `folder`; see the keys at the end."""
    tree = make_tree(folder / "erp", seed, None, pictures=FolderPictures(data, seed), grow_s=0)
    secret = new_secret()
    with RunningDesk(secret) as desk:
        app = App(settings.load(configure(folder, tree, desk, secret, arch), {}))
        try:
            return play(app, tree, desk, folder)
        finally:
            app.close()


def configure(folder, tree, desk, secret, arch):
    """Everything is tagged, however unsure: the question is how often the answer is right."""
    query = "SELECT ticket FROM uploads WHERE user_id = :user AND file_name = :name"
    lookup = {"kind": "sql", "url": f"sqlite:///{tree.database}", "query": query}
    return write_settings(
        folder,
        {
            "general": {"data_dir": "var", "categories": list(tree.pictures.categories)},
            "sources.erp": {"root": "erp/attach", "settle_s": 0.2, "endpoint": "desk", "ticket": [lookup]},
            "endpoints.desk": {
                "url": desk.hook_url,
                "secret": secret,
                "mode": "live",
                "allow": [desk.hook_url.split("/")[2]],
            },
            "review": {"folders": False},
            "retrain": {"arch": arch},
            "model": {"first": "auto", "unproven": "tag", "tag_threshold": 0.0},
            "deliver": {"ticket_quiet_s": 0.5},
        },
    )


def play(app, tree, desk, folder):
    report, seconds = Report(), {}
    known = list(tree.uploads)

    def step(name, deed):
        started = time.monotonic()
        result = deed()
        seconds[name] = round(time.monotonic() - started, 1)
        say(f"{name}: {seconds[name]} s")
        return result

    step("collect the labelled half", lambda: flow.until_idle(app))
    step("label", lambda: flow.import_labels(app, labels_file(folder, known), "bench"))
    outcome = step(
        "train",
        lambda: retraining.retrain(app.db, app.settings, app.decoders, cause="bench", asked=True, progress=told()),
    )
    if shelf.champion(app.db) is None:
        shelf.promote(app.db, app.settings, outcome.model_id, who="bench", reason="the only one", now=app.now())
    new = more_tickets(tree, None)
    step("collect, classify and deliver the other half", lambda: flow.until_idle(app))
    reports.count_files(app.db, report)
    reports.judge(app.db, report, new)
    truth = tree.truth_of_tickets()
    reports.judge_desk(report, desk.desk.tickets(), {one.ticket: truth[one.ticket] for one in new})
    loop_s = seconds["collect, classify and deliver the other half"]
    return {
        "model": report.model,
        "labelled": len(known),
        "new": report.new,
        "accuracy": report.accuracy,
        "accuracy_low": report.accuracy_low,
        "accuracy_high": report.accuracy_high,
        "on_holdout": report.holdout.get("accuracy"),
        "tickets": report.tickets,
        "tickets_answered": report.tickets_answered,
        "lost": report.lost + report.tickets - report.tickets_answered,
        "doubled": report.doubled,
        "signatures_refused": desk.desk.counts()["refused"],
        "pictures_per_s": round(report.new / loop_s, 2),
        "seconds": seconds,
        "training": outcome.message,
    }


def labels_file(folder, uploads):
    path = folder / "labels.csv"
    rows = [f"{hashlib.sha256(one.path.read_bytes()).hexdigest()},{one.category}" for one in uploads]
    path.write_text("\n".join(["sha256,label", *rows]) + "\n")
    return path


def told(every_s=10.0):
    last = [0.0]

    def tell(progress):
        if time.monotonic() - last[0] > every_s:
            last[0] = time.monotonic()
            say(f"  {progress.get('stage')}: {progress.get('done')} of {progress.get('total')}")

    return tell


def say(text):
    print(text, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder per class")
    parser.add_argument("--arch", default="auto", choices=["auto", "resnet34", "efficientnet_lite0"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as folder:
        result = measure(arguments.data, Path(folder), arch=arguments.arch, seed=arguments.seed)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print("\n".join(f"{key}: {value}" for key, value in result.items()))
    sys.exit(1 if result["lost"] or result["doubled"] or result["signatures_refused"] else 0)


if __name__ == "__main__":
    main()
