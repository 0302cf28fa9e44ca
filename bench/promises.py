"""How often is the promised precision broken, and how much is tagged by itself meanwhile?

    python -m bench.promises --data DIR [--promise 0.95] [--sizes 200 400 800] [--calibrations 200] [--json FILE]

Every picture of a folder per class is answered by a model that never saw its source. These answers are the world: the
precision of a threshold in it is counted, not estimated. A calibration draws so many pictures from it, with
replacement, and fits a threshold per class; it is broken when what a class accepts in the world is right less often
than promised. Beside it: the threshold that looks best on the same pictures (the lowest that kept the promise there).
"""

import argparse
import json
from pathlib import Path

import numpy as np

from bench import table
from ticketbot.judge import thresholds
from trainer import head
from trainer import recipe as recipes
from trainer.clean import scores, suspects
from trainer.data.cache import Cache, default_folder
from trainer.progress import Progress

DELTA = 0.05
PROMISE, SIZES, CALIBRATIONS = 0.95, (200, 400, 800), 200


def rows(folder):
    """As `python -m bench` has them: how often a class's promise is broken, against the risk that was accepted."""
    probs, y = world(folder)
    found = [one for size in SIZES for one in measured(probs, y, size, PROMISE, CALIBRATIONS)]
    return [
        table.row(
            f"promises: broken, calibrated on {one['calibration_pictures']}",
            one["broken_per_class"] / DELTA,
            f"<= 1 ({DELTA:.0%})",
            table.at_most(1.0),
            f"{one['broken_per_class']:.1%} of {CALIBRATIONS} calibrations a class; {one['classes_promising']:.2f} of "
            f"{probs.shape[1]} classes promise, {one['coverage']:.1%} tagged",
        )
        for one in found
        if one["thresholds"] == "ours"
    ]


def world(folder):
    """Probabilities (N x C) and class numbers; every source is left out of what answers it."""
    recipe, cache, progress = recipes.read(), Cache(default_folder()), Progress()
    data = suspects.read(folder, recipe, cache, progress)
    part = recipe.efficientnet_lite0
    x = head.features(data.pictures, part, suspects.view_of(recipe), cache, progress)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(one.group for one in data.pictures))}
    groups = [numbers[one.group] for one in data.pictures]
    probs = scores.out_of_fold(x, data.labels(), groups, len(data.classes), part, 7)
    judged = ~np.isnan(probs).any(axis=1)
    return probs[judged], data.labels()[judged]


def proven(probs, y, promise):
    return [one.threshold if one.proven else None for one in thresholds.fit(probs, y, promise, DELTA)]


def best_looking(probs, y, promise):
    """A threshold per class: the lowest at which the promise was kept on these very pictures."""
    said, sure = probs.argmax(axis=1), probs.max(axis=1)
    return [lowest(sure[said == number], y[said == number] == number, promise) for number in range(probs.shape[1])]


def lowest(sure, right, promise):
    order = np.argsort(-sure)
    kept = np.flatnonzero(np.cumsum(right[order]) / np.arange(1, len(order) + 1) >= promise)
    return float(sure[order][kept[-1]]) if len(kept) else None


def outcome(found, probs, y, promise):
    """(classes that promise, classes whose promise is broken, share of pictures tagged) in the world."""
    said, sure = probs.argmax(axis=1), probs.max(axis=1)
    promising = broken = tagged = 0
    for number, threshold in enumerate(found):
        if threshold is None:
            continue
        accepted = (said == number) & (sure >= threshold)
        promising += 1
        broken += bool(accepted.any() and (y[accepted] == number).mean() < promise)
        tagged += int(accepted.sum())
    return promising, broken, tagged / len(y)


def measured(probs, y, size, promise, calibrations):
    dice = np.random.default_rng(size)
    rows = {"ours": [], "best looking": []}
    for _ in range(calibrations):
        some = dice.integers(0, len(y), size)
        for name, fit in (("ours", proven), ("best looking", best_looking)):
            rows[name].append(outcome(fit(probs[some], y[some], promise), probs, y, promise))
    return [summary(name, size, np.array(some), probs.shape[1]) for name, some in rows.items()]


def summary(name, size, rows, classes):
    """Per class that is calibrated (the promise is per class), and per calibration with any class broken."""
    promising, broken, tagged = rows.T
    return {
        "thresholds": name,
        "calibration_pictures": size,
        "broken_per_class": float(broken.sum() / (len(rows) * classes)),
        "broken_any_class": float((broken > 0).mean()),
        "classes_promising": float(promising.mean()),
        "coverage": float(tagged.mean()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--promise", type=float, default=PROMISE)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--calibrations", type=int, default=CALIBRATIONS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    probs, y = world(arguments.data)
    print(
        f"{len(y)} pictures, {(probs.argmax(axis=1) == y).mean():.3f} right; {arguments.calibrations} calibrations each"
    )
    found = [
        row for size in arguments.sizes for row in measured(probs, y, size, arguments.promise, arguments.calibrations)
    ]
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    print("| thresholds | calibrated on | a class's promise broken | any class's | classes with a promise | tagged |")
    print("|---|---|---|---|---|---|")
    for row in found:
        cells = [row["thresholds"], row["calibration_pictures"], f"{row['broken_per_class']:.1%}"]
        cells += [f"{row['broken_any_class']:.1%}", f"{row['classes_promising']:.2f}", f"{row['coverage']:.1%}"]
        print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
