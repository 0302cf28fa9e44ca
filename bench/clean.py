"""Does the ranking of `trainer clean` find wrong labels, and does fixing what it shows help? Ours beside top losses.

    python -m bench.clean --data DIR [--noise 0.1 0.2 groups] [--seeds 1] [--json FILE]

Labels of a folder per class are changed on purpose: a share of them at random, or whole look-alike groups together
(each to one wrong class). A folder may have no look-alikes, so some are made: pictures saved again, smaller, coarser.
Whole sources are held out for the accuracy. A simulated reviewer looks at the worst 10 or 20 % of a ranking and puts
right what is wrong there; the head is fitted again and measured on the held-out pictures, whose labels nobody touched.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bench import table
from ticketbot.imaging.decode import decode
from trainer import head
from trainer import recipe as recipes
from trainer.clean import scores, suspects
from trainer.clean.rank import ranked
from trainer.data import pictures, split
from trainer.data.cache import Cache, default_folder
from trainer.progress import Progress

SHOWN = (0.1, 0.2)
HELD_OUT = 0.2
GROUPS = 24


@dataclass(frozen=True)
class Ground:
    """Features, true labels, look-alike groups; and which are held out, whole sources at a time."""

    x: np.ndarray
    y: np.ndarray
    alike: np.ndarray
    held: np.ndarray
    classes: tuple
    recipe: object


def rows(folder):
    """As `python -m bench` has them: wrong labels in the worst fifth of our ranking, beside top losses."""
    place = ground(folder, 0)
    found = [measured(place, noise, 0) for noise in (0.1, 0.2, "groups")]
    return [
        table.row(
            f"cleaning: recall in the worst fifth, labels changed: {one['noise']}",
            one["ours"][1]["recall"] / max(one["top losses"][1]["recall"], 1e-9),
            ">= 1 x top losses",
            table.at_least(1.0),
            line(one),
        )
        for one in found
    ]


def ground(folder, seed):
    """The folder's pictures, and four copies more of GROUPS of those that are learned from."""
    recipe, cache, progress = recipes.read(), Cache(default_folder()), Progress()
    data = suspects.read(folder, recipe, cache, progress)
    groups = [one.group for one in data.pictures]
    out = split.held_out(data.labels().tolist(), groups, HELD_OUT, seed)
    held = [group in out for group in groups]
    free = [one for one, is_held in zip(data.pictures, held, strict=True) if not is_held]
    chosen = np.random.default_rng(seed).choice(len(free), min(GROUPS, len(free)), replace=False)
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as copies:
        for number in chosen:
            save_again(free[number], Path(copies) / data.classes[free[number].label])
        view = suspects.view_of(recipe)
        more = pictures.read(Path(copies), cache, view, progress, data.classes).pictures
        every = [*data.pictures, *more]
        x = head.features(every, recipe.efficientnet_lite0, view, cache, progress)
    return Ground(
        x,
        np.array([one.label for one in every]),
        np.array(pictures.look_alikes(every, cache)),
        np.array([*held, *(False for _ in more)]),
        data.classes,
        recipe.efficientnet_lite0,
    )


def save_again(picture, folder):
    """What people do to a picture before they send it again."""
    folder.mkdir(exist_ok=True)
    image = Image.fromarray(decode(picture.path.read_bytes()).rgb)
    for number, (scale, quality) in enumerate(((1.0, 50), (0.9, 80), (0.75, 60), (0.6, 85))):
        size = [max(1, round(side * scale)) for side in image.size]
        image.resize(size, Image.Resampling.LANCZOS).save(
            folder / f"{picture.sha256[:12]} {number}.jpg", quality=quality
        )


def noisy(y, alike, noise, classes, dice):
    """Labels with a share changed at random, or ("groups") half of the look-alike groups, each to one wrong class."""
    changed = y.copy()
    if noise != "groups":
        for one in dice.choice(len(y), round(noise * len(y)), replace=False):
            changed[one] = dice.choice([other for other in range(classes) if other != y[one]])
        return changed
    numbers, counts = np.unique(alike, return_counts=True)
    several = dice.permutation(numbers[counts > 1])
    for group in several[: len(several) // 2]:
        members = np.flatnonzero(alike == group)
        changed[members] = (y[members[0]] + dice.integers(1, classes)) % classes
    return changed


def measured(place, noise, seed):
    dice = np.random.default_rng(seed)
    x, y, alike = place.x[~place.held], place.y[~place.held], place.alike[~place.held]
    classes = len(place.classes)
    given = noisy(y, alike, noise, classes, dice)
    wrong = given != y
    found = {"noise": noise, "seed": seed, "n": len(y), "wrong": int(wrong.sum()), "held": int(place.held.sum())}
    found["accuracy_clean"], found["accuracy_noisy"] = (accuracy(place, x, labels, seed) for labels in (y, given))
    rankings = {
        "ours": scores.out_of_fold(x, given, alike.tolist(), classes, place.recipe, seed),
        "out of fold, not grouped": scores.out_of_fold(x, given, range(len(y)), classes, place.recipe, seed),
        "top losses": scores.in_sample(x, given, classes, place.recipe, seed),
    }
    for name, probs in rankings.items():
        order = ordered(probs, given, alike if name == "ours" else np.arange(len(y)), place.classes)
        found[name] = [shown(place, x, y, given, order, share, seed) for share in SHOWN]
    return found


def ordered(probs, given, alike, classes):
    names = [f"{number:06d}" for number in range(len(given))]
    found = ranked(names, names, given, probs, scores.quality(given, probs), alike.tolist(), classes)
    return np.array([int(one.name) for one in found])


def shown(place, x, y, given, order, share, seed):
    """What a reviewer of the worst `share` finds, and the accuracy after it is put right."""
    part = order[: round(share * len(order))]
    fixed = given.copy()
    fixed[part] = y[part]
    wrong = given != y
    recall = float(wrong[part].sum() / max(1, wrong.sum()))
    return {"share": share, "recall": recall, "accuracy": accuracy(place, x, fixed, seed)}


def accuracy(place, x, labels, seed):
    weight, bias = head.linear(x, labels, len(place.classes), place.recipe.strength, seed)
    answers = (place.x[place.held] @ weight.T + bias).argmax(axis=1)
    return float((answers == place.y[place.held]).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--noise", nargs="+", default=["0.1", "0.2", "groups"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = []
    for seed in range(arguments.seeds):
        place = ground(arguments.data, seed)
        for noise in arguments.noise:
            started = time.monotonic()
            found.append(measured(place, noise if noise == "groups" else float(noise), seed))
            print(line(found[-1]), f"({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    print(markdown(found))


def line(one):
    rest = "; ".join(
        f"{name}: recall {one[name][0]['recall']:.2f}/{one[name][1]['recall']:.2f}, then "
        f"{one[name][0]['accuracy']:.3f}/{one[name][1]['accuracy']:.3f}"
        for name in ("ours", "out of fold, not grouped", "top losses")
    )
    before = f"clean {one['accuracy_clean']:.3f}, noisy {one['accuracy_noisy']:.3f}"
    return f"{one['noise']} seed {one['seed']}: {one['wrong']} of {one['n']} wrong, {before}; {rest}"


def markdown(found):
    """Means over the seeds, as a table for docs/cleaning.md."""
    rows = ["| labels changed | ranking | recall in 10 % | 20 % | held out: clean | noisy | fixed 10 % | 20 % |"]
    rows.append("|---|---|---|---|---|---|---|---|")
    for noise in dict.fromkeys(one["noise"] for one in found):
        some = [one for one in found if one["noise"] == noise]
        clean, before = (np.mean([one[key] for one in some]) for key in ("accuracy_clean", "accuracy_noisy"))
        for name in ("ours", "out of fold, not grouped", "top losses"):
            recall, after = (
                [np.mean([one[name][at][key] for one in some]) for at in range(len(SHOWN))]
                for key in ("recall", "accuracy")
            )
            cells = [noise, name, *(f"{value:.2f}" for value in recall), f"{clean:.3f}", f"{before:.3f}"]
            rows.append("| " + " | ".join(map(str, [*cells, *(f"{value:.3f}" for value in after)])) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
