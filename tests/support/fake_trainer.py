"""A stand-in for the trainer child: `python -m tests.support.fake_trainer MODE retrain --data … --out …`, or
`… MODE order DIR --out …` for one on another machine.

It reads the snapshot, says its progress, and ends as MODE says; the bundle is a real one (tests.support.bundles).
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from ticketbot.contracts import snapshot


def say(stage, done, total):
    print(json.dumps({"stage": stage, "done": done, "total": total}), flush=True)


def write(options, *, promote, **changes):
    from tests.support.bundles import make_bundle
    from ticketbot.contracts import bundle

    read = snapshot.read(options.data)
    champion = bundle.read(options.champion).model_id if options.champion else None
    gate = {"promote": promote, "reason": "it says so", "champion": champion, "p_value": None}
    facts = {"hash": read.hash, "n": len(read.items)}
    made = {"model_id": f"m-{read.hash[:12]}", "gate": gate, "snapshot": facts, **changes}
    make_bundle(options.out, classes=read.classes, **made)


def clean(folder, out):
    """Every third picture is suspect, and looks like the next class; two and two are look-alikes."""
    from ticketbot.contracts import suspects

    read = snapshot.read(folder)
    rows = []
    for number, item in enumerate(read.items):
        doubted = number % 3 == 0
        other = read.classes[(read.classes.index(item.label) + doubted) % len(read.classes)]
        pair = read.items[number // 2 * 2 : number // 2 * 2 + 2]
        conflict = len({one.label for one in pair}) > 1
        p_label = 0.1 + number / 1000 if doubted else 0.9
        values = (item.file, item.sha256, item.label, other, p_label, 0.8, number // 2, len(pair), conflict)
        rows.append(suspects.Suspect(*values))
    out.mkdir()
    suspects.write(out / "suspects.csv", sorted(rows, key=lambda one: one.p_label))


def main():
    mode = sys.argv[1]
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    for name in ("--data", "--out", "--champion"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--progress-json", action="store_true")
    options, more = parser.parse_known_args(sys.argv[2:])
    if options.command == "order":
        options.data, champion = Path(more[0]) / "snapshot", Path(more[0]) / "champion"
        options.champion = champion if champion.is_dir() else None
    say("fit", 1, 4)
    print("not json, and \x00 odd", flush=True)
    say("fit", 4, 4)
    if mode == "ok" and options.command == "clean":
        clean(Path(more[0]), options.out)
    elif mode == "ok":
        write(options, promote=True)
    elif mode == "refused":
        write(options, promote=False)
        sys.exit(3)
    elif mode == "refused-by-torchrun":
        write(options, promote=False)
        sys.exit(1)
    elif mode == "wrong":  # and says it is good
        write(options, promote=True, shift=1)
    elif mode == "other-pictures":
        write(options, promote=True, snapshot={"hash": "0" * 64, "n": 400})
    elif mode == "too-sure":
        write(options, promote=True, tag_from=0.5)
    elif mode == "link":
        write(options, promote=True)
        (options.out / "model.onnx").rename(options.out / "x.onnx")
        (options.out / "model.onnx").symlink_to("x.onnx")
    elif mode == "crash":
        raise RuntimeError("the loss is NaN")
    elif mode == "bad-input":
        print("no pictures", file=sys.stderr)
        sys.exit(2)
    elif mode == "killed":
        os.kill(os.getpid(), 9)
    elif mode == "segfault":
        os.kill(os.getpid(), 11)
    elif mode == "memory":
        bytearray(4 << 30)
    elif mode == "hang":
        time.sleep(600)
    elif mode == "hang-with-child":
        if os.fork() == 0:
            time.sleep(600)  # holds our stdout
        os._exit(1)
    elif mode == "silent":
        os.close(1)
        time.sleep(600)
    elif mode == "chatty":
        sys.stdout.write("x" * 5_000_000)
        sys.exit(1)
    elif mode == "half":
        options.out.mkdir()
        (options.out / "manifest.json").write_text("{")


if __name__ == "__main__":
    main()
