"""How likely is each picture's own label, to a model that saw neither the picture nor its look-alikes?

The small body's frozen features (it never learned our labels, so none leaks), a logistic regression a fold, look-alikes
in one fold. The article's top losses stand beside it: the model has learned the labels it then doubts, so look-alikes
that were labelled wrongly together look right to it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from ticketbot.judge import temperature
from trainer import head
from trainer.recipe import Head


def quality(y: NDArray[np.int64], probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Self-confidence, by cleanlab: 0 surely wrong, 1 surely right; nan where probs is nan.

    y: class numbers (N); probs: out of fold, N x C.
    """
    from cleanlab.rank import get_label_quality_scores

    found, judged = np.full(len(y), np.nan), ~np.isnan(probs).any(axis=1)
    if judged.any():
        # cleanlab's score needs no class to be there; its check of labels does. Same number: the label's probability.
        found[judged] = get_label_quality_scores(y[judged], probs[judged], method="self_confidence")
    return found


def out_of_fold(
    x: NDArray[np.float32], y: NDArray[np.int64], groups: Sequence[int], classes: int, recipe: Head, seed: int
) -> NDArray[np.float64]:
    """Probabilities, N x C; nan where there is no judging: without a picture's look-alikes nothing shows its class.

    x: features, N x width; groups: equal numbers are never on both sides.
    """
    logits, scaled = np.full((len(y), classes), np.nan), head.Scaled(x)
    for rest, part in _folds(y, np.asarray(groups), recipe.folds, seed):
        if len(np.unique(y[rest])) > 1:
            weight, bias = scaled.fit(rest, y[rest], classes, recipe.strength, seed)
            known = part[np.isin(y[part], y[rest])]
            logits[known] = x[known] @ weight.T + bias
    return _calibrated(logits, y)


def in_sample(
    x: NDArray[np.float32], y: NDArray[np.int64], classes: int, recipe: Head, seed: int
) -> NDArray[np.float64]:
    """Probabilities of a model that learned all of it, N x C: 1 - p of the label orders as the article's top losses."""
    weight, bias = head.linear(x, y, classes, recipe.strength, seed)
    return temperature.softmax(x @ weight.T + bias)


def _folds(
    y: NDArray[np.int64], groups: NDArray, folds: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    folds = min(folds, len(np.unique(groups)))
    if folds < 2:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer members than folds is nothing to worry about
        try:
            return list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(y, y, groups))
        except ValueError:  # no class has as many members as there are folds
            return list(StratifiedGroupKFold(2, shuffle=True, random_state=seed).split(y, y, groups))


def _calibrated(logits: NDArray[np.float64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    probs, judged = np.full(logits.shape, np.nan), ~np.isnan(logits).any(axis=1)
    if judged.any():
        probs[judged] = temperature.softmax(logits[judged], temperature.fit(logits[judged], y[judged]))
    return probs
