"""In which order should a person look at the pictures, and which stand or fall together?

Pure. The least likely label comes first, look-alikes of it right behind it; what could not be judged comes last.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ticketbot.contracts.suspects import Suspect


def ranked(
    names: Sequence[str],
    hashes: Sequence[str],
    y: NDArray[np.int64],
    probs: NDArray[np.float64],
    quality: NDArray[np.float64],
    groups: Sequence[int],
    classes: Sequence[str],
) -> list[Suspect]:
    """Every picture as a Suspect, in the order to look at.

    names, hashes (sha256), y (class numbers), quality (0 wrong to 1 right, nan unknown), groups (of look-alikes): N;
    probs: N x C, nan where unknown.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    order = sorted(range(len(names)), key=lambda one: (math.isnan(quality[one]), quality[one], names[one]))
    seen: dict[int, None] = dict.fromkeys(
        other for one in order for other in [one, *_alike(one, members[groups[one]], y)]
    )
    return [
        Suspect(
            name=names[one],
            sha256=hashes[one],
            label=classes[y[one]],
            suggested=classes[_best(probs[one], int(y[one]))],
            p_label=_share(probs[one][y[one]]),
            p_suggested=_share(probs[one].max()),
            group=groups[one],
            group_size=len(members[groups[one]]),
            conflict=len({int(y[other]) for other in members[groups[one]]}) > 1,
        )
        for one in seen
    ]


def _alike(one: int, members: Sequence[int], y: NDArray[np.int64]) -> list[int]:
    """Its look-alikes with the same label: one decision is often theirs too."""
    return [other for other in members if other != one and y[other] == y[one]]


def _best(probs: NDArray[np.float64], label: int) -> int:
    return label if np.isnan(probs).any() else int(probs.argmax())


def _share(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
