"""Models with everything a Models page may show, in one call."""

import numpy as np

from tests.support.shelf import put_model
from ticketbot.contracts.bundle import Threshold
from ticketbot.db.models import Model, Training
from ticketbot.judge import metrics
from ticketbot.judge.calibration import expected_error, reliability
from ticketbot.judge.thresholds import fit

CLASSES = ("reports", "errors", "screens", "tickets")


def measured(n=400, right=0.93, seed=3):
    """(metrics, thresholds) of a model that is right so often, measured as the trainer measures."""
    dice = np.random.default_rng(seed)
    y = dice.integers(0, 4, n)
    sure = np.clip(dice.beta(8, 1, n), 0.3, 0.999)
    said = np.where(dice.random(n) < np.clip(right - 0.9 + sure, 0, 1), y, (y + dice.integers(1, 4, n)) % 4)
    probs = np.full((n, 4), 0.0) + ((1 - sure) / 3)[:, None]
    probs[np.arange(n), said] = sure
    proven = dict(zip(CLASSES, fit(probs, y), strict=True))
    found = metrics.evaluate(probs, y, CLASSES, proven)
    curve = [vars(one) for one in reliability(probs, y)]
    more = {"on": f"{n} pictures of the snapshot's pinned holdout", "majority_share": 0.27, "reliability": curve}
    return {**found, **more, "calibration_error": expected_error(probs, y)}, proven


def put(
    db, settings, model_id, *, champion=False, now=100.0, right=0.93, seed=3, n_labels=1200, compared=None,
    reason="as good, and trained on 1,620 labels, not 1,200: offered", **more,
):  # fmt: skip
    """A model on the shelf whose manifest says all that the trainer writes; `more`: fields of its manifest."""
    found, proven = measured(right=right, seed=seed)
    gate = {"promote": False, "offered": True, "reason": reason}
    gate |= {"champion": "20261118-champion", "p_value": 0.31}
    if compared:
        gate["compared"] = compared
    put_model(
        db, settings, model_id, champion=champion, now=now, created_at=now, metrics=found, gate=gate,
        thresholds={name: Threshold(**vars(one)) for name, one in proven.items()},
        snapshot={"hash": "0" * 64, "n": n_labels, "per_class": dict.fromkeys(CLASSES, n_labels // 4), "holdout": 400},
        **more,
    )  # fmt: skip


def three(db, settings, now):
    """Champion, challenger and previous, and a training that is running."""
    put(db, settings, "20261101-previous", champion=True, now=now - 20 * 86400, right=0.88, seed=1)
    put(db, settings, "20261118-champion", champion=True, now=now - 3 * 86400, right=0.92, seed=2)
    beaten = {"n": 400, "right": 374, "champion_right": 368}
    put(db, settings, "20261123-challenger", now=now - 86400, right=0.94, seed=4, n_labels=1620, compared=beaten)
    with db.write() as session:
        session.get(Model, "20261123-challenger").reason = "as good, and trained on more labels: offered"
        for state, message in (
            ("failed", "the trainer ran out of memory (retrain.memory_mb)\n" + "Traceback …\n" * 20),
            ("succeeded", "promoted: better than the champion on 400 pictures"),
        ):
            session.add(
                Training(state=state, cause="labels", started_at=now - 4e5, finished_at=now - 3.99e5, message=message)
            )
        session.flush()
        progress = {"stage": "reading pictures", "done": 340, "total": 1620, "beat_at": now}
        row = Training(state="running", cause="asked for by ada", started_at=now - 75, progress=progress)
        session.add(row)
        session.flush()
        return row.id
