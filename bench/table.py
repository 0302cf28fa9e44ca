"""What every bench gives: rows, and how they are printed."""


def row(name, ratio, goal, met, what):
    """One line of latest.json; `met` decides about the ratio, `what` says the figures in words."""
    return {"name": name, "ratio": round(ratio, 3), "goal": goal, "met": bool(met(ratio)), "what": what}


def show(rows):
    for one in rows:
        print(
            f"{'met ' if one['met'] else 'MISS'}  {one['name']}: {one['ratio']:.3f} (goal {one['goal']}) {one['what']}"
        )
