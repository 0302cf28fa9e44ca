"""What do we say about one picture, to a program?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketbot.judge.decide import category_of, ranked
from ticketbot.judge.engine import Engine
from ticketbot.settings import Settings


def answer_of(engine: Engine, probabilities: NDArray[np.float64], settings: Settings) -> dict[str, Any]:
    """{"predictions": [[class, p], … best first], "model": id, "category": class or None, "unsure": bool}."""
    rules = settings.model
    decision = category_of(
        probabilities, engine.classes, engine.manifest.thresholds, rules.unproven, rules.tag_threshold
    )
    return {
        "predictions": [list(pair) for pair in ranked(probabilities, engine.classes)],
        "model": engine.model_id,
        "category": decision.category,
        "unsure": decision.unsure,
    }
