"""How long does a training take, and how good is it? Plain fastai as in the article beside our recipe, in one run.

    python -m bench.train [--data DIR] [--plain article scratch] [--arch efficientnet_lite0 resnet34] [--json FILE]

Without --data, drawn pictures: `each` a class to learn from, 50 others a class to measure on, and none added by the
recipe, which would know the hand. With --data (a folder per class, names that tell sources) a fifth is measured on,
whole sources and look-alikes at a time. All ways learn from the same files and are measured on the same others; the
clock runs from files to a model that was measured and written, with nothing cached; what each imports is loaded before.

    article   resnet34 at 224 px: four passes over the frozen body, then two over all of it with a slice of rates.
              Without weights of ImageNet there is nothing to freeze, and all six train everything
    scratch   resnet34 at 128 px, fifteen passes in one cycle: what fastai's users do without weights

Then a round of cleaning: of 1,000 drawn pictures that were trained on before, 40 labels change; timed is the command
that makes the new bundle, its start counted in (`--only round` for this part alone).
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench import table
from ticketbot.judge.intervals import clopper_pearson
from ticketbot.render import CATEGORIES, render_jpeg
from trainer import body, run
from trainer import recipe as recipes
from trainer.data import pictures, split
from trainer.data.cache import Cache
from trainer.evaluate import evaluate
from trainer.progress import Progress

FASTER, ROUND_S = 3.0, 30.0
TEST_EACH, ROUND_EACH, CHANGED = 50, 250, 40
HELD_OUT, SEED = 0.2, 7
# Input (px), passes of the first stage, passes of the second.
PLAIN = {"article": (224, 4, 2), "scratch": (128, 15, 0)}


class Silent(Progress):
    def say(self, *_):
        pass

    def note(self, *_):
        pass


def rows(data=None, each=30, plain=("article",), arches=(body.SMALL,), only=""):
    found = []
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as name:
        folder = Path(name)
        if only != "round":
            found += trainings(folder, data, each, plain, arches)
        if only != "training":
            found.append(cleaning(folder / "round"))
    return found


def trainings(folder, data, each, plain, arches):
    """Every network of ours beside every plain one."""
    import fastai.vision.all  # noqa: F401 - neither way pays for it
    import sklearn.linear_model  # noqa: F401 - nor for it

    learn, test = parted(data, folder) if data else drawn(folder, each)
    mine = [said(ours(learn, test, folder / arch, arch, draws=data is not None)) for arch in arches]
    others = [said(fastai_plain(learn, test, *PLAIN[way], way)) for way in plain]
    return [beside(one, other) for one in mine for other in others]


def said(one):
    print(f"  {words(one)}, n = {one['n']}", file=sys.stderr, flush=True)
    return one


def beside(one, plain):
    """Faster to an accuracy that is not shown to be lower: the intervals overlap, or ours lies above."""
    overlap = one["low"] <= plain["high"] and plain["low"] <= one["high"]
    lower = not overlap and one["accuracy"] < plain["accuracy"]
    judged = "intervals overlap" if overlap else f"ours is {'LOWER' if lower else 'higher'} beyond the intervals"
    return table.row(
        f"training: {one['name']} beside {plain['name']}", 0.0 if lower else plain["took_s"] / one["took_s"],
        f">= {FASTER:.0f} x as fast to no lower accuracy", table.at_least(FASTER),
        f"{words(one)}; {words(plain)}; {judged}, n = {one['n']}",
        **{f"{side}_{key}": value for side, some in (("ours", one), ("fastai", plain)) for key, value in some.items()},
    )  # fmt: skip


def words(one):
    return (
        f"{one['name']}: {one['took_s']:.0f} s, {one['pictures_per_s']:.1f} pictures/s, "
        f"{one['accuracy']:.3f} ({one['low']:.3f} to {one['high']:.3f})"
    )


def figures(name, took_s, shown, right, n):
    """shown: pictures that were learned from, each as often as it was."""
    low, high = clopper_pearson(right, n)
    facts = {"name": name, "took_s": took_s, "pictures_per_s": shown / took_s, "accuracy": right / n}
    return {**facts, "low": low, "high": high, "n": n}


def drawn(folder, each):
    draw(folder / "learn", each, "learn")
    draw(folder / "test", TEST_EACH, "test")
    return folder / "learn", folder / "test"


def draw(folder, each, word):
    for category in CATEGORIES:
        (folder / category).mkdir(parents=True)
        for number in range(each):
            data = render_jpeg(category, random.Random(f"bench train {word} {category} {number}"))
            (folder / category / f"{word}{number}.jpg").write_bytes(data)


def parted(data, folder):
    """Whole sources and look-alikes to one side."""
    read = pictures.read(data, Cache(folder / "parting"), pictures.View(640, 96, "squish"), Silent())
    groups = [one.group for one in read.pictures]
    held = split.held_out(read.labels().tolist(), groups, HELD_OUT, SEED)
    for one in read.pictures:
        side = folder / ("test" if one.group in held else "learn") / read.classes[one.label]
        side.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(one.path, side / one.path.name)
    return folder / "learn", folder / "test"


def fastai_plain(learn_from, test, px, frozen, passes, way):
    """The article's notebook, with a fifth of the pictures as its validation set."""
    import torch
    from fastai.vision.all import (
        ImageDataLoaders,
        Normalize,
        Resize,
        accuracy,
        aug_transforms,
        error_rate,
        get_image_files,
        imagenet_stats,
        vision_learner,
    )
    from torchvision.models import resnet34

    weights = body.resnet34_imagenet()
    started = time.perf_counter()
    loaders = ImageDataLoaders.from_folder(
        learn_from, valid_pct=0.2, seed=SEED, item_tfms=Resize(px), num_workers=0, device=torch.device("cpu"), bs=16,
        batch_tfms=[*aug_transforms(), Normalize.from_stats(*imagenet_stats)],
    )  # fmt: skip
    learn = vision_learner(loaders, resnet34, metrics=[error_rate, accuracy], pretrained=weights is not None)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(frozen)
        if passes:
            learn.unfreeze()
            learn.fit_one_cycle(passes, lr_max=slice(1e-5, 1e-3))
        learn.path = learn_from.parent
        learn.export(f"{way}.pkl")
    took_s = time.perf_counter() - started
    files = get_image_files(test)
    with learn.no_bar():
        said = learn.get_preds(dl=loaders.test_dl(files))[0].argmax(dim=1)
    right = sum(loaders.vocab[number] == path.parent.name for number, path in zip(said, files, strict=True))
    name = f"plain fastai ({way}: resnet34, {px} px, {'ImageNet' if weights else 'no'} weights)"
    return figures(name, took_s, (frozen + passes) * len(loaders.train_ds), right, len(files))


def ours(learn_from, test, folder, arch, *, draws):
    """`trainer retrain` as a function, nothing cached: reading, training, measuring, export."""
    folder.mkdir()
    recipe, cache = recipes.read(), Cache(folder / "cache")
    if not draws:
        recipe = replace(recipe, efficientnet_lite0=replace(recipe.efficientnet_lite0, rendered=0))
    started = time.perf_counter()
    order = run.Order(learn_from, folder / "bundle", recipe, arch=arch, weights="imagenet", seed=SEED)
    manifest = run.retrain(order, cache, Silent())
    took_s = time.perf_counter() - started
    found = evaluate(order.out, test, cache, Silent())
    passes = recipe.resnet34.scratch.passes if arch == body.RESNET34 and manifest.weights == "none" else 1
    name = f"our {arch} ({manifest.weights.replace('imagenet', 'ImageNet').replace('none', 'no')} weights)"
    return figures(name, took_s, passes * manifest.snapshot["n"], round(found["accuracy"] * found["n"]), found["n"])


def cleaning(folder):
    """Seconds from a changed cleaned.csv to the new bundle, the command's start counted in."""
    draw(folder / "data", ROUND_EACH, "round")
    cache, names = folder / "cache", sorted((folder / "data").rglob("*.jpg"))
    first_s = retrain(folder, cache, "first", names, [])
    changed = np.random.default_rng(3).choice(len(names), CHANGED, replace=False).tolist()
    took_s = retrain(folder, cache, "second", names, changed)
    what = f"{took_s:.1f} s for {len(names)} pictures, {CHANGED} labels changed; the first training {first_s:.0f} s"
    return table.row(
        "training: a round of cleaning", took_s / ROUND_S, f"<= 1 ({ROUND_S:.0f} s for 1,000 pictures)",
        table.at_most(1.0), what, took_s=took_s, first_s=first_s,
    )  # fmt: skip


def retrain(folder, cache, name, files, changed):
    """The command, with these files' labels (those `changed` wrong); how long it took, in seconds."""
    lines = ["name,label"]
    for number, path in enumerate(files):
        label = path.parent.name
        if number in changed:
            label = CATEGORIES[(CATEGORIES.index(label) + 1) % len(CATEGORIES)]
        lines.append(f"{path.parent.name}/{path.name},{label}")
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "trainer.cli", "retrain", "--data", folder / "data", "--arch", body.SMALL]
    command += ["--cleaned", folder / f"{name}.csv", "--cache", cache, "--out", folder / name]
    started = time.perf_counter()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise RuntimeError(done.stderr[-2000:])
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder per class; by default pictures are drawn")
    parser.add_argument("--each", type=int, default=30, help="drawn pictures a class to learn from")
    parser.add_argument("--plain", nargs="+", default=["article"], choices=sorted(PLAIN), help="ways of plain fastai")
    parser.add_argument("--arch", nargs="+", default=[body.SMALL], choices=[body.SMALL, body.RESNET34])
    parser.add_argument("--only", default="", choices=["training", "round"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = rows(arguments.data, arguments.each, arguments.plain, arguments.arch, arguments.only)
    table.show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
