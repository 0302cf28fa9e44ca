"""How near does bulk classification come to the bare network? From staged files, against onnxruntime alone.

    python -m bench.bulk [--pictures 64] [--rounds 3]

The bare network gets prepared inputs on two threads: no file, no decoding, no database. Ours is `Bulk.run`: claims from
a database, files of 1920 x 1080, the guarded decoders, the answers written. In turn, in one process.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from sqlalchemy import delete, func, select, update

from bench import peers, table
from tests.support.settings import make_settings
from tests.support.staged import put_picture
from ticketbot import flow
from ticketbot.app import App
from ticketbot.db.models import Picture, Prediction
from ticketbot.retrain import shelf

GOAL = 0.93


def rows(pictures=64, rounds=3):
    _, bundle = peers.models()
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as folder:
        app = installation(Path(folder), bundle, pictures)
        try:
            raw_s = table.seconds(forward(app.serving.current(), pictures, app.settings.classify.workers))
            bulk_s = table.seconds(lambda: classify(app, pictures))
            raw_s(), again(app)(), bulk_s()  # warm
            took = {"raw": [], "ours": []}
            for _ in range(rounds):
                again(app)()
                took["raw"].append(raw_s())
                took["ours"].append(bulk_s())
        finally:
            app.close()
    raw, ours = (pictures / statistics.median(took[name]) for name in ("raw", "ours"))
    return [
        table.row(
            "bulk: staged files, fp32", table.ratio(took["raw"], took["ours"]), f">= {GOAL} of raw onnxruntime",
            table.at_least(GOAL), f"{ours:.1f} pictures/s; the bare network {raw:.1f}",
            ours_per_s=ours, raw_per_s=raw,
        )
    ]  # fmt: skip


def installation(folder, bundle, pictures):
    """A service with a champion and so many staged pictures."""
    app = App(make_settings(folder, {"model.unproven": "tag"}))
    manifest = shelf.register(app.db, app.settings, bundle, "bench")
    shelf.promote(app.db, app.settings, manifest.model_id, who="bench", reason="bench", now=time.time())
    for data in peers.screenshots(pictures, seed=2):
        put_picture(app.db, app.settings.data_dir, data)
    return app


def again(app):
    """Nothing has been answered yet."""

    def forget():
        with app.db.write() as session:
            session.execute(delete(Prediction))
            session.execute(update(Picture).values(model_id=None))

    return forget


def classify(app, pictures):
    flow.classify(app)
    with app.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Prediction)) == pictures


def forward(engine, pictures, workers):
    px = engine.manifest.stages[0].input_px
    inputs = np.random.default_rng(0).integers(0, 256, (pictures, px, px, 3), dtype=np.uint8)

    def run():
        with ThreadPoolExecutor(workers) as threads:
            list(threads.map(lambda number: engine.logits(inputs[number::workers]), range(workers)))

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    table.show(rows(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
