"""How do we train on a body that knows pictures already? A linear head on its frozen features, in seconds.

Features are kept by content hash, so a round of cleaning only fits the head again: a logistic regression, folded with
its scaling into one linear layer. Its out-of-fold answers (groups together) calibrate the temperature.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.blas import dsyrk
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits
from torch import nn

from trainer import body
from trainer.data.cache import Cache
from trainer.data.pictures import EXTRA, Picture, View, inputs
from trainer.progress import Progress
from trainer.recipe import Head
from trainer.trained import CHUNK, Trained, logits_of

ROUNDS = 3000
RIDGE = 1e-9  # of a feature's variance


def features(
    pictures: Sequence[Picture], recipe: Head, view: View, cache: Cache, progress: Progress
) -> NDArray[np.float32]:
    """N x width, from the cache where they are."""
    kind = f"features-{view.kind}-{body.small_version(recipe.blocks, recipe.grid)}"
    missing = [one for one in pictures if cache.get(kind, one.sha256) is None]
    if missing:
        network = body.Served(body.SmallBody(recipe.blocks, recipe.grid))
    for at in range(0, len(missing), CHUNK):
        progress.say("features", at, len(missing))
        some = missing[at : at + CHUNK]
        for one, row in zip(some, logits_of(network, inputs(some, cache, view)), strict=True):
            cache.put(kind, one.sha256, row)
    progress.say("features", len(pictures), len(pictures))
    found = [cache.get(kind, one.sha256) for one in pictures]
    return np.stack([row for row in found if row is not None])


def fit(
    pictures: Sequence[Picture], classes: int, recipe: Head, view: View, cache: Cache, progress: Progress, seed: int
) -> Trained:
    """Train the head on all of `pictures`; calibrate on out-of-fold answers."""
    x = features(pictures, recipe, view, cache, progress)
    y = np.array([one.label for one in pictures], dtype=np.int64)
    groups = np.array([one.group for one in pictures])
    drawn = np.array([one.split == EXTRA for one in pictures])
    progress.say("head", 0, 1)
    scaled = Scaled(x)
    outside = out_of_fold(scaled, y, groups, classes, recipe, seed, drawn)
    weight, bias = scaled.fit(np.arange(len(y)), y, classes, recipe.strength, seed)
    progress.say("head", 1, 1)
    judged = [one for one, is_drawn in zip(pictures, drawn, strict=True) if not is_drawn]
    return Trained(_module(weight, bias, recipe), outside, judged=judged if len(judged) == len(outside[1]) else ())


def refit(
    pictures: Sequence[Picture], classes: int, recipe: Head, view: View, cache: Cache, progress: Progress, seed: int
) -> nn.Module:
    """The network with a head trained on all of `pictures`, and nothing measured."""
    x = features(pictures, recipe, view, cache, progress)
    y = np.array([one.label for one in pictures], dtype=np.int64)
    return _module(*linear(x, y, classes, recipe.strength, seed), recipe)


def logits(
    module: nn.Module, pictures: Sequence[Picture], recipe: Head, view: View, cache: Cache, progress: Progress
) -> NDArray[np.float32]:
    """What a module of `fit` or `refit` says of pictures, N x C: its last layer on the features that are kept."""
    x = features(pictures, recipe, view, cache, progress)
    last = module.get_submodule("body.1")
    with torch.inference_mode():
        return last(torch.from_numpy(x)).numpy()


def out_of_fold(
    scaled: Scaled,
    y: NDArray[np.int64],
    groups: NDArray,
    classes: int,
    recipe: Head,
    seed: int,
    extra: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits of every picture by a head that saw neither it nor its group, and the class numbers.

    extra (N): learned from in every fold and never asked: they are no sample of what comes.
    """
    extra = np.zeros(len(y), bool) if extra is None else extra
    more, own = np.flatnonzero(extra), np.flatnonzero(~extra)
    folds = min(recipe.folds, len(np.unique(groups[own])), int(np.bincount(y[own], minlength=1).max()))
    if folds < 2:
        return np.zeros((0, classes), np.float32), y[:0]
    found, seen = np.zeros((len(y), classes), np.float32), np.zeros(len(y), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer members than folds is nothing to worry about
        parts = list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(own, y[own], groups[own]))
    for rest, part in ((np.concatenate([own[rest], more]), own[part]) for rest, part in parts):
        if len(np.unique(y[rest])) < 2:
            continue
        weight, bias = scaled.fit(rest, y[rest], classes, recipe.strength, seed)
        found[part], seen[part] = scaled.x[part] @ weight.T + bias, True
    return found[seen], y[seen]


def linear(
    x: NDArray[np.float32], y: NDArray[np.int64], classes: int, strength: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """weight (classes x width) and bias of a logistic regression on scaled features, the scaling folded in."""
    return Scaled(x).fit(np.arange(len(y)), y, classes, strength, seed)


class Scaled:
    """Features, N x width, each of mean 0 and spread 1, for one regression or for many on parts of them.

    A few pictures of many features lie in as many dimensions as there are pictures. Turned into these (the triangle of
    their products has the same lengths and angles), a regression gives the same answers from less to calculate. The
    scale is of all N, also for a fold that leaves some out: of those it knows no class.
    """

    def __init__(self, x: NDArray[np.float32]) -> None:
        self.x = x
        self.mean, self.spread = x.mean(axis=0), x.std(axis=0) + 1e-6
        self.z = (x - self.mean) / self.spread
        self.points, self._turned = self.z, 2 * len(x) <= x.shape[1]
        if self._turned:
            with threadpool_limits(1, user_api="blas"):
                products = dsyrk(1.0, self.z.astype(np.float64).T, trans=1, lower=1)
                products[np.diag_indices(len(x))] += RIDGE * x.shape[1]  # pictures may be the same
                self._triangle = cholesky(products, lower=True, overwrite_a=True)
            self.points = self._triangle.astype(np.float32)

    def fit(
        self, rows: NDArray[np.int64], y: NDArray[np.int64], classes: int, strength: float, seed: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """weight and bias, as of `linear`, learned from some rows; y has their classes."""
        model = LogisticRegression(C=strength, max_iter=ROUNDS, class_weight="balanced", random_state=seed)
        # One thread: the products are narrow, and beside other work two wait for each other, 8 x as long in all.
        with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(self.points[rows], y)
            columns = self._turned_back(model.coef_) / self.spread
        weight = np.zeros((classes, len(self.mean)), np.float32)
        bias = np.full(classes, -20.0, np.float32)  # a class without a picture is never the answer
        two = len(model.classes_) == 2
        weight[model.classes_] = np.vstack([-columns / 2, columns / 2]) if two else columns
        offsets = np.array([-1, 1]) * model.intercept_ / 2 if two else model.intercept_
        bias[model.classes_] = offsets - weight[model.classes_] @ self.mean
        return weight, bias

    def _turned_back(self, coefficients: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of the points -> of the scaled features."""
        if not self._turned:
            return coefficients
        return (solve_triangular(self._triangle, coefficients.T, lower=True, trans="T").T @ self.z).astype(np.float32)


def _module(weight: NDArray[np.float32], bias: NDArray[np.float32], recipe: Head) -> nn.Module:
    last = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        last.weight.copy_(torch.from_numpy(weight))
        last.bias.copy_(torch.from_numpy(bias))
    return body.Served(nn.Sequential(body.SmallBody(recipe.blocks, recipe.grid), last)).eval()
