"""How does the small body do on pictures of a source it never saw, with and without drawn pictures to learn from?

    python -m bench.sources --data DIR [--json FILE]

Each source of a folder per class is left out in turn and answered by a head that learned from all others (with the
recipe's numbers); the answers are pooled. A hard measure, to compare rows by: a source that has most of a class leaves
few to learn that class from. DIR's file names must tell their sources (`source_17.jpg`).
"""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np

from bench import table
from ticketbot.errors import UsageError
from ticketbot.judge.intervals import clopper_pearson
from ticketbot.judge.mcnemar import one_sided
from trainer import body, head
from trainer import recipe as recipes
from trainer.data import pictures, rendered
from trainer.data.cache import Cache, default_folder
from trainer.progress import Progress
from trainer.run import view_of

SEED = 7
GOAL = 0.95


def rows(folder):
    """As `python -m bench` has them: against the goal."""
    return [
        table.row(
            f"unseen sources: {one['name']}", one["accuracy"] / GOAL, f">= 1 ({GOAL})", table.at_least(1.0), words(one)
        )
        for one in answered(folder)
    ]


def answered(folder):
    """One row without drawn pictures, one with whole drawn ones, one with clippings too. Raises UsageError."""
    recipe, cache, progress = recipes.read(), Cache(default_folder()), Progress()
    part, view = recipe.efficientnet_lite0, view_of(recipe, body.SMALL)
    data = pictures.read(folder, cache, view, progress)
    y = data.labels()
    sources = np.array(pictures.source_names([one.path.name for one in data.pictures], y.tolist()))
    if None in sources:
        raise UsageError(f"{folder}: the file names do not tell their sources")
    x = head.features(data.pictures, part, view, cache, progress)
    nothing = np.zeros((0, x.shape[1]), np.float32), np.zeros(0, np.int64)
    found = [row("real pictures only", x, y, sources, nothing, data.classes, part.strength)]
    drawn = rendered.folder(cache, data.classes, part.rendered, part.clippings, progress)
    if drawn is not None:
        more = pictures.read(drawn, cache, view, progress, data.classes)
        features, labels = head.features(more.pictures, part, view, cache, progress), more.labels()
        whole = np.array([not one.path.name.startswith(rendered.CLIPPING) for one in more.pictures])
        for kind, chosen in (("drawn", whole), ("drawn, clippings too", np.ones_like(whole))):
            extra = features[chosen], labels[chosen]
            found.append(row(f"{chosen.sum()} {kind}", x, y, sources, extra, data.classes, part.strength))
    return found


def row(name, x, y, sources, extra, classes, strength):
    said = np.zeros(len(y), np.int64)
    for source in np.unique(sources):
        out = sources == source
        learn = np.concatenate([x[~out], extra[0]]), np.concatenate([y[~out], extra[1]])
        weight, bias = head.linear(*learn, len(classes), strength, SEED)
        said[out] = (x[out] @ weight.T + bias).argmax(axis=1)
    right = said == y
    low, high = clopper_pearson(int(right.sum()), len(y))
    recall = {label: round(float(right[y == number].mean()), 3) for number, label in enumerate(classes)}
    figures = {"accuracy": round(float(right.mean()), 3), "low": round(low, 3), "high": round(high, 3)}
    each = {str(one): round(float(right[sources == one].mean()), 3) for one in np.unique(sources)}
    sizes = {str(one): int((sources == one).sum()) for one in np.unique(sources)}
    alike = round(float(np.mean(list(each.values()))), 3)
    told = {"n": len(y), "sources": len(each), **figures, "recall": recall, "by_source": alike}
    return {"name": name, **told, "each_source": each, "pictures": sizes, "right": right.tolist()}


def beside(before, now):
    """Of two rows over the same pictures: won, lost, and the chance (one-sided) of so many won when none is better."""
    was, is_now = np.array(before["right"]), np.array(now["right"])
    won, lost = int((is_now & ~was).sum()), int((was & ~is_now).sum())
    return won, lost, one_sided(won, lost)


def words(one):
    each = ", ".join(f"{label} {share:.2f}" for label, share in one["recall"].items())
    return (
        f"{one['accuracy']:.3f} ({one['low']:.3f} to {one['high']:.3f}, n = {one['n']}); {each}; "
        f"all sources alike {one['by_source']:.3f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = answered(arguments.data)
    for one in found:
        print(f"{one['name']}: {words(one)}")
        print(
            "  " + ", ".join(f"{name} {share} of {one['pictures'][name]}" for name, share in one["each_source"].items())
        )
    for before, now in itertools.pairwise(found):
        won, lost, chance = beside(before, now)
        print(f"{now['name']} against {before['name']}: {won} won, {lost} lost, p = {chance:.4f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
