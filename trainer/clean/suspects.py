"""Which labels may be wrong? Everything ranked, the likeliest first; nothing is decided and nothing deleted here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ticketbot.contracts import cleaned
from ticketbot.contracts.cleaned import Decision
from ticketbot.contracts.suspects import Suspect
from ticketbot.errors import UsageError
from trainer import head
from trainer.clean import scores
from trainer.clean.rank import ranked
from trainer.data import pictures
from trainer.data.cache import Cache
from trainer.data.pictures import Dataset, View
from trainer.progress import Progress
from trainer.recipe import Recipe


@dataclass(frozen=True)
class Found:
    """suspects: in the order to look at, without what people decided already; data: with their decisions applied."""

    suspects: list[Suspect]
    data: Dataset
    decided: int


def read(folder: Path, recipe: Recipe, cache: Cache, progress: Progress) -> Dataset:
    """The pictures as the small body sees them."""
    return pictures.read(folder, cache, view_of(recipe), progress)


def view_of(recipe: Recipe) -> View:
    part = recipe.efficientnet_lite0
    return View(recipe.data.canonical_px, part.px, part.geometry)


def labels_of(data: Dataset) -> dict[str, str]:
    """name -> label, as the folder has them."""
    return {pictures.name_of(one, data.root): data.classes[one.label] for one in data.pictures}


def find(
    data: Dataset,
    recipe: Recipe,
    cache: Cache,
    progress: Progress,
    *,
    decisions: Sequence[Decision] = (),
    top_losses: bool = False,
    seed: int = 7,
) -> Found:
    """Rank the pictures of `data`. decisions: what people said in earlier passes; it counts, and is not asked again.

    top_losses: the article's ranking instead of ours. Raises UsageError when there are no two classes.
    """
    data = _decided(data, decisions)
    y, part = data.labels(), recipe.efficientnet_lite0
    if len(np.unique(y)) < 2:
        raise UsageError("cleaning needs pictures of two classes or more")
    x = head.features(data.pictures, part, view_of(recipe), cache, progress)
    groups = pictures.look_alikes(data.pictures, cache)
    progress.say("ranking", 0, 1)
    probs = (
        scores.in_sample(x, y, len(data.classes), part, seed)
        if top_losses
        else scores.out_of_fold(x, y, groups, len(data.classes), part, seed)
    )
    names, hashes = list(labels_of(data)), [one.sha256 for one in data.pictures]
    order = ranked(names, hashes, y, probs, scores.quality(y, probs), groups, data.classes)
    progress.say("ranking", 1, 1)
    said = cleaned.latest(decisions)
    return Found([one for one in order if one.name not in said], data, len(said))


def _decided(data: Dataset, decisions: Sequence[Decision]) -> Dataset:
    left = cleaned.applied(labels_of(data), decisions)
    kept = ((one, left.get(pictures.name_of(one, data.root))) for one in data.pictures)
    return replace(
        data, pictures=tuple(replace(one, label=data.classes.index(label)) for one, label in kept if label is not None)
    )
