"""Which pictures of a folder are kept out of training?

Pure. Whole groups go to one side, so that a picture is never judged by its own look-alike or its own source. Each
class gets about its share; a group larger than that is trained on. A class that would have nothing held out gives its
smallest group, if it has another one to learn from.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence


def held_out(labels: Sequence[int], groups: Sequence[str], share: float, seed: int = 0) -> set[str]:
    """The groups to hold out."""
    members: dict[str, Counter[int]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        members[group][label] += 1
    totals = Counter(labels)
    # A set of this share, and not much more of any class.
    room = {label: max(1.0, share * count) for label, count in totals.items()}
    order = sorted(members)
    random.Random(seed).shuffle(order)  # noqa: S311 - a lot, not a secret
    chosen: set[str] = set()
    taken: Counter[int] = Counter()
    for group in order:
        if all(taken[label] + count <= room[label] for label, count in members[group].items()):
            chosen.add(group)
            taken += members[group]
    for label in sorted(totals):
        if not taken[label] and (one := _spare(label, members, chosen)):
            chosen.add(one)
            taken += members[one]
    return chosen


def _spare(label: int, members: dict[str, Counter[int]], chosen: set[str]) -> str | None:
    """The smallest group with `label` that may leave: every class in it stays in another group that is trained on."""
    trained = [group for group in sorted(members) if group not in chosen]

    def may_leave(group: str) -> bool:
        others = [members[other] for other in trained if other != group]
        return all(any(other[one] for other in others) for one in members[group])

    free = [group for group in trained if members[group][label] and may_leave(group)]
    return min(free, key=lambda group: members[group].total(), default=None)
