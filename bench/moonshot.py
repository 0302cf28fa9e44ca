"""How many pictures a second, with the decisions of the full network in fp32? The small body beside fastai's get_preds.

    python -m bench.moonshot [--data DIR] [--timed 64] [--rounds 3] [--json FILE]

A small body is trained (on DIR, or on drawn pictures) as `trainer retrain` does, with a recipe that wants a cascade:
the exporter asks int8 and fp32 about 2,000 pictures nobody learned from and says what it proved. Then staged files of
1920 x 1080 are classified by `Bulk.run`, by that bundle and by its fp32 network alone, in turn with `get_preds` of a
resnet34 at 224 px on the same files, in one process.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

from bench import bulk, peers, table
from bench.train import Silent, draw
from ticketbot.contracts import bundle
from ticketbot.judge import golden
from ticketbot.judge.engine import Engine
from trainer import body, run
from trainer import recipe as recipes
from trainer.cascade import LEAST, SAME
from trainer.data.cache import Cache, default_folder

GOAL, LEARN_EACH, CHUNK = 10.0, 100, 64


def rows(data=None, timed=64, rounds=3):
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as name:
        folder = Path(name)
        if data is None:
            data = folder / "learn"
            draw(data, LEARN_EACH, "moonshot")
        manifest = trained(data, folder / "cascade")
        alone(folder / "cascade", folder / "fp32")
        took = timings(folder, timed, rounds)
    return [agreed(manifest.parity["cascade"]), quick(manifest, took, timed)]


def trained(data, out):
    recipe = recipes.read()
    recipe = replace(recipe, export=replace(recipe.export, cascade=LEAST, fastai=False))
    return run.retrain(run.Order(data, out, recipe, arch=body.SMALL), Cache(default_folder()), Silent())


def alone(cascade, folder):
    """The bundle once more, with its last network only."""
    shutil.copytree(cascade, folder)
    manifest = bundle.read(folder)
    for stage in manifest.stages[:-1]:
        (folder / stage.file).unlink()
    kept = golden._read(Engine(cascade))[-1]
    golden.write(folder, [kept])
    changes = {"model_id": "bench-alone", "stages": manifest.stages[-1:], "files": {}, "signature": None}
    bundle.write(folder, replace(manifest, **changes))
    golden.check(Engine(folder))


def timings(folder, timed, rounds):
    """Seconds for the same files, one list a way, in turn."""
    from fastai.vision.all import load_learner

    warnings.simplefilter("ignore")
    learn = load_learner(peers.models()[0])
    files = [folder / f"{number}.jpg" for number in range(timed)]
    for path, data in zip(files, peers.screenshots(timed, seed=2), strict=True):
        path.write_bytes(data)

    def fastai():
        with learn.no_bar():
            learn.get_preds(dl=learn.dls.test_dl(files, bs=CHUNK, num_workers=0))

    apps = {name: bulk.installation(folder / f"app-{name}", folder / name, timed) for name in ("cascade", "fp32")}
    try:
        deeds = {"fastai": table.seconds(fastai), **{name: fresh(app, timed) for name, app in apps.items()}}
        for deed in deeds.values():
            deed()  # warm
        return table.in_turn(rounds, **deeds)
    finally:
        for app in apps.values():
            app.close()


def fresh(app, timed):
    """A deed: all pictures classified, after the earlier answers were forgotten; returns its seconds."""
    forget, work = bulk.again(app), table.seconds(lambda: bulk.classify(app, timed))

    def deed():
        forget()
        return work()

    return deed


def agreed(proof):
    low = min(proof["low"], proof["proof_low"])
    return table.row(
        "moonshot: same decisions as fp32", low / SAME, f">= {SAME:.1%}, lower bound", table.at_least(1.0),
        f"{proof['same']} of {proof['n']} (at least {proof['low']:.2%}); of the half kept for this "
        f"{proof['proof_same']} of {proof['proof_n']} (at least {proof['proof_low']:.2%}); "
        f"{'used' if proof['passes'] else 'not used'}",
        **{key: value for key, value in proof.items() if key not in ("reason", "passes")},
    )  # fmt: skip


def quick(manifest, took, timed):
    fastai, ours, fp32 = (timed / statistics.median(took[name]) for name in ("fastai", "cascade", "fp32"))
    served = " then ".join(stage.file for stage in manifest.stages)
    return table.row(
        "moonshot: bulk against get_preds", table.ratio(took["fastai"], took["cascade"]),
        f">= {GOAL:.0f} x fastai's get_preds", table.at_least(GOAL),
        f"{ours:.1f} pictures/s by {served}; fp32 alone {fp32:.1f}; fastai's resnet34 {fastai:.1f}",
        ours_per_s=ours, fp32_per_s=fp32, fastai_per_s=fastai,
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder per class of errors, reports, screens, tickets")
    parser.add_argument("--timed", type=int, default=64, help="files that are classified against the clock")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = rows(arguments.data, arguments.timed, arguments.rounds)
    table.show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
