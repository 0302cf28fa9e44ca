"""What every bench gives: rows, how two ways are measured side by side, and how it is printed."""

import statistics
import time


def row(name, ratio, goal, met, what, **figures):
    """One line of latest.json; `met` decides about the ratio, `what` says the figures in words.

    figures: the medians themselves, with their unit in the name.
    """
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
    return {"name": name, "ratio": round(ratio, 3), "goal": goal, "met": bool(met(ratio)), "what": what, **rounded}


def at_least(goal):
    return lambda ratio: ratio >= goal


def at_most(goal):
    return lambda ratio: ratio <= goal


def in_turn(rounds, **deeds):
    """Each deed once a round, so that what else the machine does hurts all alike. -> {name: [what it returned, …]}"""
    found = {name: [] for name in deeds}
    for _ in range(rounds):
        for name, deed in deeds.items():
            found[name].append(deed())
    return found


def seconds(deed):
    """A deed that returns how long it took."""

    def timed():
        started = time.perf_counter()
        deed()
        return time.perf_counter() - started

    return timed


def ratio(ours, theirs):
    """The median over the rounds of ours to theirs."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def show(rows):
    for one in rows:
        print(
            f"{'met ' if one['met'] else 'MISS'}  {one['name']}: {one['ratio']:.3f} (goal {one['goal']}) {one['what']}"
        )
